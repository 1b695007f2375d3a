"""A real Prometheus scrapes replicas that take an account over from each other: its alerts wait and fire on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alerting.rules import DEFAULT, rules
from tests.alerts.cases import BY_NAME
from tests.alerts.pages import WELL
from tests.alerts.timeline import Ago, Lag, series_of
from tests.e2e.servers import eventually, free_port, prometheus

pytestmark = [pytest.mark.real, pytest.mark.long]
SCALE = 20.0
"""Waits are so many times shorter: four minutes are 12 s."""
GAP = 45.0 / SCALE
"""Between the last scrape of one replica and the first of the next, in seconds."""
WATCHED = ("DataRobotApiUnreachable", "DataRobotContainerCrashLooping")


def page(instance: str) -> bytes:
    """All is well but what the two alerts are about."""
    now, lines = time.time(), []
    for name, value in {**WELL, **BY_NAME[WATCHED[0]].bad, **BY_NAME[WATCHED[1]].bad}.items():
        number = now - value.seconds if isinstance(value, Ago | Lag) else value
        if number is not None and name != "up":
            lines.append(f"{series_of(name, instance)} {number}\n")
    return "".join(lines).encode()


@contextmanager
def replica(port: int) -> Iterator[None]:
    """A replica that holds the account, on this port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(f"127.0.0.1:{port}")
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the library
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_takeover_neither_restarts_the_wait_of_an_alert_nor_resolves_it(tmp_path: Path) -> None:
    """The times at which the conditions began to be met, as Prometheus has them, stay those of the first replica."""
    file, ports = tmp_path / "rules.yml", [free_port() for _ in range(3)]
    file.write_text(yaml.safe_dump(rules(DEFAULT._replace(scale=SCALE))))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "250ms"},
        "rule_files": [str(file)],
        "scrape_configs": [
            {
                "job_name": "datarobot",
                "honor_labels": True,
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            }
        ],
    }
    with prometheus(tmp_path, config) as server:

        def alerts(state: str = "") -> dict[str, Any]:
            found = server.get("alerts")["alerts"]
            return {
                each["labels"]["alertname"]: each["activeAt"]
                for each in found
                if each["labels"]["alertname"] in WATCHED and each["state"].startswith(state)
            }

        def served() -> bool:
            return bool(server.query('datarobot_exporter_api_up{job="datarobot"}'))

        def gap() -> None:
            assert eventually(lambda: not served(), 30)
            assert not eventually(served, GAP)

        with replica(ports[0]):
            assert eventually(lambda: alerts("pending").keys() == {*WATCHED}, 20)
            began = alerts()
            assert eventually(lambda: (server.value("count_over_time(datarobot_exporter_api_up[1m])") or 0) >= 4, 20)
        gap()
        assert alerts("pending") == began
        with replica(ports[1]):
            assert eventually(lambda: alerts("firing").keys() == {*WATCHED}, 30)
            assert alerts() == began
        gap()
        assert alerts("firing") == began
        with replica(ports[2]):
            assert eventually(served, 30)
            assert not eventually(lambda: alerts("firing") != began, 2)
