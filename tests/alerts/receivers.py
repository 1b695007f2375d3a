"""Receivers that log: a PagerDuty, a Slack and a webhook of our own, behind the shipped Alertmanager example."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

ALERTS = Path(__file__).parents[2] / "alerts"


class Message(NamedTuple):
    """What came, at which path: ``/pagerduty``, ``/slack`` or ``/dead-man``."""

    path: str
    body: dict[str, Any]


class Receivers:
    """The messages that came, in order. At any GET stands the runbook of that name, or 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.messages: list[Message] = []

    def at(self, path: str) -> list[dict[str, Any]]:
        return [message.body for message in list(self.messages) if message.path == path]

    def incidents(self) -> dict[tuple[str, str], list[str]]:
        """What PagerDuty would show: (alert, workload id) -> its actions in order."""
        alerts: dict[str, tuple[str, str]] = {}
        found: dict[tuple[str, str], list[str]] = {}
        for event in self.at("/pagerduty"):
            key, action = event["dedup_key"], event["event_action"]
            if action == "trigger":
                payload = event["payload"]
                alerts[key] = (payload["class"], payload["custom_details"]["workload_id"])
            found.setdefault(alerts[key], []).append(action)
        return found

    def tickets(self) -> list[tuple[str, bool]]:
        """What Slack would show: the title of each message, and whether it is a resolve notification."""
        messages = [message["attachments"][0] for message in self.at("/slack")]
        return [(re.sub(r"^\[.*?\] ", "", found["title"]), "[RESOLVED]" in found["title"]) for found in messages]


@contextmanager
def receivers() -> Iterator[Receivers]:
    """The receivers, on a port of loopback."""
    made: list[Receivers] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made[0].messages.append(Message(self.path, json.loads(body)))
            status, text = (202, b"{}") if self.path == "/pagerduty" else (200, b"ok")
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            page = ALERTS / "runbooks" / Path(self.path).name
            self.send_response(200 if page.is_file() else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.append(Receivers(f"http://127.0.0.1:{server.server_address[1]}"))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def example(folder: Path, url: str, scale: float) -> Path:
    """The shipped example, with our receivers' addresses, secrets of ours, and every duration divided."""
    (folder / "routing-key").write_text("k" * 32)
    (folder / "slack-url").write_text(f"{url}/slack")
    text = (ALERTS / "alertmanager.example.yml").read_text()
    changes: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
        ("/etc/alertmanager/secrets/pagerduty-routing-key", str(folder / "routing-key")),
        ("/etc/alertmanager/secrets/slack-webhook-url", str(folder / "slack-url")),
        ("/etc/alertmanager/datarobot.tmpl", str(ALERTS / "alertmanager.tmpl")),
        ("https://dead-mans-switch.example.test/datarobot", f"{url}/dead-man"),
        ("^global:\n", f"global:\n  pagerduty_url: {url}/pagerduty\n"),
        (r"(?<=(?:wait|rval): )(\d+)([smh])$", lambda found: _divided(found, scale)),
    )
    for old, new in changes:
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count, old
    file = folder / "alertmanager.yml"
    file.write_text(text)
    return file


def _divided(found: re.Match[str], scale: float) -> str:
    return f"{round(int(found[1]) * {'s': 1, 'm': 60, 'h': 3600}[found[2]] / scale * 1000)}ms"
