"""A real Prometheus scrapes the demo: what it stores is what the fleet does."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

pytestmark = pytest.mark.real


def component(name: str) -> str:
    """The path of a program; a missing one fails in CI and is skipped, loudly, elsewhere."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; apt-get install prometheus prometheus-alertmanager")
        pytest.skip(f"{name} is missing; on Debian: apt-get install prometheus prometheus-alertmanager")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(told: Callable[[], Any], seconds: float) -> Any:
    """Poll until `told` is truthy. A process of another makes the progress, so only the clock can be waited for."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = told()
        except httpx.TransportError:
            value = None
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.2)


class Scene(NamedTuple):
    exporter: str
    prometheus: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}, trust_env=False).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=20)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    prometheus = component("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    ours, theirs = free_port(), free_port()
    (folder / "exporter.yaml").write_text("sweep: {interval: 1s, stale_after: 1m}\n")
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [{"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{ours}"]}]}],
            }
        )
    )
    demo = subprocess.Popen(
        [
            *(sys.executable, "-m", "exporter", "demo", f"--config.file={folder / 'exporter.yaml'}"),
            *(f"--web.listen-address=127.0.0.1:{ours}", "--demo.workloads=30", "--demo.speed=120"),
        ],
        stderr=(folder / "demo.log").open("wb"),
    )
    server = subprocess.Popen(
        [
            *(prometheus, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
            f"--web.listen-address=127.0.0.1:{theirs}",
        ],
        stderr=(folder / "prometheus.log").open("wb"),
    )
    made = Scene(f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{theirs}")
    try:
        ready = eventually(lambda: made.value('up{job="datarobot"}') == 1, 60)
        assert ready, (folder / "demo.log").read_text() + (folder / "prometheus.log").read_text()[-2000:]
        yield made
    finally:
        statuses = [stop(demo), stop(server)]
    assert statuses[0] == 0, (folder / "demo.log").read_text()


def test_the_whole_fleet_is_there(scene: Scene) -> None:
    assert eventually(lambda: (scene.value("count(datarobot_workload_info)") or 0) >= 29, 20)
    assert scene.value("sum(datarobot_workload_status)") == scene.value("count(datarobot_workload_info)")
    assert scene.value("datarobot_exporter_api_up") == 1


def test_a_state_change_of_a_story_arrives_within_two_intervals(scene: Scene) -> None:
    """Prometheus sees a new status at most two sweep intervals (and a scrape) after the API first tells it."""
    changed = "changes(datarobot_workload_status_since_timestamp_seconds[30s]) > 0"
    assert eventually(lambda: scene.query(changed), 60)


def test_the_sweep_metrics_are_right(scene: Scene) -> None:
    assert eventually(lambda: (scene.value("rate(datarobot_exporter_sweeps_total[10s])") or 0) > 0.5, 30)
    assert (scene.value("time() - datarobot_exporter_sweep_last_success_timestamp_seconds") or 99) < 5
    assert scene.value("sum(datarobot_exporter_sweep_failures_total)") == 0
    assert scene.query('ALERTS{alertstate="firing"}') == []


def test_promtool_has_no_remark(scene: Scene) -> None:
    promtool = component("promtool")
    page = httpx.get(f"{scene.exporter}/metrics", trust_env=False).content
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
