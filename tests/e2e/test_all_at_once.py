"""A fleet of two hundred while everything goes wrong at once: what happens to the rest is shown, pages and resolves."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from exporter.simulator import Simulator
from exporter.simulator.oddities import SimulatedResponse
from exporter.simulator.stories import STORIES
from tests import http
from tests.e2e.servers import eventually, free_port
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.long
STORY = {story.name: story for story in STORIES}
TOKEN = "NjQ-secret/token+of=the:account"
DRAINED = "70acdeadbeef"
"""The id of a version that drains, whose pods cannot be read."""
JSON = (("content-type", "application/json"),)
LOC = {"detail": [{"loc": 5}], "message": f"Invalid API key {TOKEN}"}
WITNESS, OUT_OF_RANGE, NOT_UTF8, NOT_A_NUMBER, NO_ID, NESTED = 0, 10, 11, 12, 13, 14
PAUSED, DRAINING, ECHO, FAILED = 15, 16, 17, 18
BROKEN_BUT_FAILED = (OUT_OF_RANGE, NOT_A_NUMBER, NO_ID, FAILED)
"""Workloads that have failed, and of which the list shows something that cannot be read, or an unusual status."""


class Hostile(Simulator):
    """A simulated API that, once `hostile` is set, breaks a part of nearly everything it answers.

    `ids`: the number of each workload, by its id. `lists`: how often the list was requested since.
    """

    def __init__(self) -> None:
        super().__init__(workloads=200, seed=11, token=TOKEN)
        self.hostile, self.lists = False, 0
        self.ids: dict[str, int] = {}
        for number in range(200):
            actor = self.world.actor(number)
            actor.story, actor.importance = STORY["healthy"], "critical"
        self.world.actor(DRAINING).story = STORY["crash loop"]

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        answer = super().respond(method, path, query, headers)
        parts = path.removeprefix("/api/v2").strip("/").split("/")
        if parts == ["workloads"] and answer.status == 200:
            self.ids |= {item["id"]: _number(item) for item in json.loads(answer.body)["data"]}
        if not self.hostile or (answer.status != 200 and DRAINED not in parts):
            return answer
        match parts:
            case ["workloads"]:
                self.lists += 1
                return (
                    _broken_list(answer) if self.lists % 7 else SimulatedResponse(400, JSON, json.dumps(LOC).encode())
                )
            case ["workloads", workload, *rest]:
                return _broken(answer, self.ids[workload], rest)
            case ["account", "info"]:
                return SimulatedResponse(500, JSON, json.dumps(LOC).encode())
            case ["quotas"]:
                page = f"<html><p>debug: Bearer {TOKEN}</p></html>"
                return SimulatedResponse(500, (("content-type", "text/html"),), page.encode())
        return answer


def _number(item: dict[str, Any]) -> int:
    return int(item["name"].rpartition("-")[2])


def _broken(answer: SimulatedResponse, number: int, route: list[str]) -> SimulatedResponse:
    """What one workload's routes answer."""
    body = json.loads(answer.body or b"null")
    match number, route:
        case n, [] if n == FAILED:
            body["status"] = "failed"
        case n, ["protons", _, "statusDetails"] if n == PAUSED:
            return SimulatedResponse(503, (*JSON, ("retry-after", "300")), b'{"message": "busy"}')
        case _, ["protons", proton, "statusDetails"] if proton == DRAINED:
            return SimulatedResponse(500, JSON, json.dumps(LOC).encode())
        case n, ["protons", _, "statusDetails"] if n == ECHO:
            body["replicas"][0]["containers"][0] |= {"message": f"401 for {TOKEN}", "ready": False}
        case n, ["protons"] if n == DRAINING:
            body["data"].append(body["data"][0] | {"id": DRAINED, "status": "draining", "role": None})
        case _:
            return answer
    return answer._replace(body=json.dumps(body).encode())


_IN_THE_LIST: dict[int, dict[str, Any]] = {
    OUT_OF_RANGE: {"requestStats": {"errorRate": float("inf")}},
    NOT_A_NUMBER: {"requestStats": {"errorRate": float("nan")}},
    NOT_UTF8: {"description": "NOT-UTF8"},
    NO_ID: {"id": None},
    NESTED: {"extra": "NESTED"},
    ECHO: {"tags": [{"name": "note", "value": f"use {TOKEN}"}]},
    FAILED: {"status": "failed"},
}


def _broken_list(answer: SimulatedResponse) -> SimulatedResponse:
    body = json.loads(answer.body)
    body["data"] = [item | _IN_THE_LIST.get(_number(item), {}) for item in body["data"]]
    raw = json.dumps(body).encode().replace(b"Infinity", b"1e400").replace(b"NOT-UTF8", b"caf\xe9 \\ud83d\t")
    return answer._replace(body=b"\xef\xbb\xbf" + raw.replace(b'"NESTED"', b"[" * 1100 + b"]" * 1100))


class Exporter:
    """The daemon as a process, behind a password, which pages a webhook."""

    def __init__(self, folder: Path, simulator: Hostile, webhook: str) -> None:
        self.folder, self.port = folder, free_port()
        self.login = ("prometheus", "right")
        hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()
        (folder / "web.yaml").write_text(yaml.safe_dump({"basic_auth_users": {"prometheus": hashed}}))
        (folder / "token").write_text(TOKEN)
        self.file = folder / "exporter.yaml"
        self.settings: dict[str, Any] = {
            "accounts": [
                {"name": "acme", "endpoint": simulator.url, "token_file": str(folder / "token"),
                 "requests_per_second": 300}
            ],
            "sweep": {"interval": "2s"},
            "alerts": {
                "wait": {"DataRobotWorkloadErrored": "1s", "DataRobotContainerCrashLooping": "1s"},
                "keep": {alert.name: max(alert.keep) / 60 for alert in ALERTS},
                "off": ["DataRobotFleetManyFailing"],
            },
            "paging": {"who": "direct", "receivers": [{"name": "hook", "kind": "webhook", "url": webhook}]},
        }  # fmt: skip
        self.write(self.settings)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, settings: dict[str, Any]) -> None:
        # A person writes `off:` without quotes, which YAML 1.1 takes for false.
        self.file.write_text(yaml.safe_dump(settings).replace("'off':", "off:"))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = (sys.executable, "-m", "exporter", "run", f"--config.file={self.file}", "--log.format=json")
        serving = (f"--web.listen-address=127.0.0.1:{self.port}", f"--web.config.file={self.folder / 'web.yaml'}")
        with (self.folder / "exporter.log").open("wb") as log:
            self.process = subprocess.Popen((*command, *serving), stdout=log, stderr=log)
            try:
                assert eventually(lambda: self.get("/-/ready").status_code == 200, 60), self.log[-2000:]
                yield
            finally:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(timeout=20) == 0, self.log[-2000:]

    def get(self, path: str) -> httpx.Response:
        return http.get(f"http://127.0.0.1:{self.port}{path}", auth=self.login, timeout=5)

    def page(self) -> dict[str, float]:
        answer = self.get("/metrics")
        assert answer.status_code == 200
        lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    @property
    def log(self) -> str:
        return (self.folder / "exporter.log").read_text()


@contextlib.contextmanager
def strangers(port: int) -> Iterator[None]:
    """Forty-five connections that say nothing, and four clients with a hundred wrong passwords each."""
    ended = threading.Event()

    def guess(who: int) -> None:
        for number in range(100):
            login = b64encode(f"prometheus:wrong-{who}-{number}".encode()).decode()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as guessing:
                guessing.sendall(f"GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Basic {login}\r\n\r\n".encode())
                ended.wait(0.05)  # it hangs up before the answer
            if ended.is_set():
                return

    threads = [threading.Thread(target=guess, args=(who,)) for who in range(4)]
    idle = [socket.create_connection(("127.0.0.1", port), 2) for _ in range(45)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for each in idle:
            each.close()


def notified(webhook: HttpReceiver) -> dict[str, list[tuple[str, str]]]:
    """By workload: the alerts it was paged for and that ended, in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for received in list(webhook.accepted):
        for alert in json.loads(received.body)["alerts"]:
            name = alert["labels"].get("workload", "")
            found.setdefault(name.rpartition("-")[2], []).append((alert["labels"]["alertname"], alert["status"]))
    return found


def paged(webhook: HttpReceiver, *numbers: int) -> bool:
    """Whether each of these has a page, whatever its cause: a page about the cause stands for its consequences."""
    pages = notified(webhook)
    return all(any(status == "firing" for _, status in pages.get(str(number), [])) for number in numbers)


def resolved(webhook: HttpReceiver, *numbers: int) -> bool:
    """Whether every page about these has ended."""
    pages = notified(webhook)
    return all(
        status == "resolved" for number in numbers for status in dict(pages.get(str(number), [("", "")])).values()
    )


def test_what_happens_to_the_rest_is_shown_pages_and_resolves(tmp_path: Path) -> None:
    with Hostile() as api, HttpReceiver() as webhook:
        exporter = Exporter(tmp_path, api, webhook.url)
        with exporter.running():
            first = exporter.page()
            assert sum(name.startswith("datarobot_workload_info{") for name in first) == 200  # ready means served
            api.hostile = True
            for number in (WITNESS, OUT_OF_RANGE, NOT_A_NUMBER, NO_ID):
                api.world.actor(number).story = STORY["exit 0"]
            with strangers(exporter.port):
                exporter.write({**exporter.settings, "accounts": [
                    {**exporter.settings["accounts"][0], "ca_file": str(exporter.file)}]})  # fmt: skip
                assert exporter.process is not None
                exporter.process.send_signal(signal.SIGHUP)

                assert eventually(lambda: paged(webhook, WITNESS, DRAINING, *BROKEN_BUT_FAILED), 60), notified(webhook)
                page = exporter.page()
                assert page["datarobot_exporter_config_last_reload_successful"] == 0
                api.world.actor(WITNESS).story = STORY["healthy"]
                assert eventually(lambda: resolved(webhook, WITNESS), 60), notified(webhook)
                swept = eventually(lambda: api.lists > 30 and exporter.page(), 60)
                assert swept
                failures = 'datarobot_exporter_sweep_failures_total{account="acme",lane="status",reason="%s"}'
                assert swept[failures % "bad_request"] > 0
                assert swept[failures % "internal"] == 0
                assert sum(name.startswith("datarobot_workload_info{") for name in swept) == 200

                def shown() -> bool:
                    page = exporter.page()
                    fresh = [name for name in page if name.startswith("datarobot_workload_fresh{") and page[name] == 1]
                    lists, pods = (sum(f'part="{part}"' in name for name in fresh) for part in ("list", "pods"))
                    unreadable = [name for name in page if name.startswith("datarobot_proton_unreadable{")]
                    named = [name for name in unreadable if 'reason="server_error",role="outgoing"' in name]
                    return lists == 200 and pods >= 190 and len(named) == 1

                assert eventually(shown, 90)
                assert exporter.get("/-/healthy").status_code == 200
                assert TOKEN not in exporter.get("/metrics").text + exporter.get("/").text
            api.hostile = False
            exporter.write(exporter.settings)
            exporter.process.send_signal(signal.SIGHUP)
            good = "datarobot_exporter_config_last_reload_successful"
            assert eventually(lambda: exporter.page()[good] == 1, 30)
            for number in BROKEN_BUT_FAILED:
                api.world.actor(number).story = STORY["healthy"]
            assert eventually(lambda: resolved(webhook, *BROKEN_BUT_FAILED), 60), notified(webhook)
        known = {str(n) for n in (WITNESS, *BROKEN_BUT_FAILED, DRAINING, ECHO)}
        assert notified(webhook).keys() - {""} <= known
        assert TOKEN not in exporter.log
        assert not any(TOKEN.encode() in received.body for received in webhook.received)
