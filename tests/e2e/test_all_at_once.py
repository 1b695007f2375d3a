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

from exporter.simulator import Simulator
from exporter.simulator.oddities import Answer
from exporter.simulator.stories import STORIES
from tests.e2e.servers import eventually, free_port
from tests.shell.receivers import HttpReceiver

pytestmark = pytest.mark.long
STORY = {story.name: story for story in STORIES}
TOKEN = "NjQ-secret/token+of=the:account"
JSON = (("content-type", "application/json"),)
LOC = {"detail": [{"loc": 5}], "message": f"Invalid API key {TOKEN}"}
WITNESS, OUT_OF_RANGE, NOT_UTF8, NOT_A_NUMBER, NO_ID, NESTED = 0, 10, 11, 12, 13, 14
PAUSED, DRAINING, ECHO, FAILED = 15, 16, 17, 18
BROKEN_BUT_FAILED = (OUT_OF_RANGE, NOT_A_NUMBER, NO_ID, FAILED)
"""Workloads that have failed, and of which the list shows something that cannot be read, or an unusual status."""


class Hostile(Simulator):
    """A simulated API that, once `hostile` is set, breaks a part of nearly everything it answers."""

    def __init__(self) -> None:
        super().__init__(workloads=200, seed=11, token=TOKEN)
        self.hostile = False
        self.lists = 0
        for number in range(200):
            actor = self.world.actor(number)
            actor.story, actor.importance = STORY["healthy"], "critical"
        self.world.actor(DRAINING).story = STORY["crash loop"]

    def number(self, path: str) -> int | None:
        """The number of the workload that a path is about."""
        return next((n for n in range(20) if f"/{self.id(n)}/" in f"{path}/"), None)

    def id(self, number: int) -> str:
        return self.ids[number]

    ids: dict[int, str] = {}

    def answer(self, method: str, path: str, query: str, headers: dict[str, str]) -> Answer:
        answer = super().answer(method, path, query, headers)
        place = path.removeprefix("/api/v2").rstrip("/")
        if place == "/workloads" and answer.status == 200:
            for item in json.loads(answer.body)["data"]:
                self.ids[int(item["name"].rpartition("-")[2])] = item["id"]
        if not self.hostile or answer.status != 200:
            return answer
        number = self.number(place)
        if place == "/workloads":
            self.lists += 1
            return self._list(answer) if self.lists % 7 else Answer(400, JSON, json.dumps(LOC).encode())
        if place == "/account/info":
            return Answer(500, JSON, json.dumps(LOC).encode())
        if place.startswith("/quotas"):
            return Answer(500, (("content-type", "text/html"),), f"<html><p>debug: Bearer {TOKEN}</p></html>".encode())
        if number == FAILED and place.count("/") == 2:
            return answer._replace(body=json.dumps(json.loads(answer.body) | {"status": "failed"}).encode())
        if place.endswith("/statusDetails"):
            if number == PAUSED:
                return Answer(503, (*JSON, ("retry-after", "300")), b'{"message": "busy"}')
            if place.endswith("/70acdeadbeef/statusDetails"):
                return Answer(500, JSON, json.dumps(LOC).encode())
            if number == ECHO:
                body = json.loads(answer.body)
                body["replicas"][0]["containers"][0] |= {"message": f"401 for {TOKEN}", "ready": False}
                return answer._replace(body=json.dumps(body).encode())
        if place.endswith("/protons") and number == DRAINING:
            body = json.loads(answer.body)
            body["data"].append(body["data"][0] | {"id": "70acdeadbeef", "status": "draining", "role": None})
            return answer._replace(body=json.dumps(body).encode())
        return answer

    def _list(self, answer: Answer) -> Answer:
        body = json.loads(answer.body)
        for item in body["data"]:
            match int(item["name"].rpartition("-")[2]):
                case n if n == OUT_OF_RANGE:
                    item["requestStats"] = {"errorRate": float("inf")}
                case n if n == NOT_UTF8:
                    item["description"] = "NOT-UTF8"
                case n if n == NOT_A_NUMBER:
                    item["requestStats"] = {"errorRate": float("nan")}
                case n if n == NO_ID:
                    item["id"] = None
                case n if n == NESTED:
                    item["extra"] = "NESTED"
                case n if n == ECHO:
                    item["tags"] = [{"name": "note", "value": f"use {TOKEN}"}]
                case n if n == FAILED:
                    item["status"] = "failed"
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
            "sweep": {"interval": "1s"},
            "alerts": {
                "wait": {"DataRobotWorkloadErrored": "1s", "DataRobotContainerCrashLooping": "1s"},
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
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", auth=self.login, trust_env=False, timeout=5)

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


def told(webhook: HttpReceiver) -> dict[str, list[tuple[str, str]]]:
    """By workload: the alerts it was paged for and that ended, in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for received in list(webhook.accepted):
        for alert in json.loads(received.body)["alerts"]:
            name = alert["labels"].get("workload", "")
            found.setdefault(name.rpartition("-")[2], []).append((alert["labels"]["alertname"], alert["status"]))
    return found


ERRORED, CRASHING = "DataRobotWorkloadErrored", "DataRobotContainerCrashLooping"


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

                def paged(*numbers: int, alert: str = ERRORED, status: str = "firing") -> bool:
                    return all((alert, status) in told(webhook).get(str(number), []) for number in numbers)

                assert eventually(lambda: paged(WITNESS, *BROKEN_BUT_FAILED), 60), told(webhook)
                assert eventually(lambda: paged(DRAINING, alert=CRASHING), 60), told(webhook)
                page = exporter.page()
                assert page["datarobot_exporter_config_last_reload_successful"] == 0
                api.world.actor(WITNESS).story = STORY["healthy"]
                assert eventually(lambda: paged(WITNESS, status="resolved"), 60), told(webhook)
                shown = [name for name in page if name.startswith("datarobot_workload_info{")]
                assert len(shown) == 200
                swept = eventually(lambda: api.lists > 40 and exporter.page(), 60)
                assert swept
                assert swept[
                    'datarobot_exporter_sweep_failures_total{account="acme",lane="status",reason="bad_request"}'
                ]
                assert not swept[
                    'datarobot_exporter_sweep_failures_total{account="acme",lane="status",reason="internal"}'
                ]
                assert exporter.get("/-/healthy").status_code == 200
                assert TOKEN not in exporter.get("/metrics").text + exporter.get("/").text
            api.hostile = False
            exporter.write(exporter.settings)
            exporter.process.send_signal(signal.SIGHUP)
            good = "datarobot_exporter_config_last_reload_successful"
            assert eventually(lambda: exporter.page()[good] == 1, 30)
            for number in BROKEN_BUT_FAILED:
                api.world.actor(number).story = STORY["healthy"]
            assert eventually(lambda: paged(*BROKEN_BUT_FAILED, status="resolved"), 60), told(webhook)
        known = {str(n) for n in (WITNESS, *BROKEN_BUT_FAILED, DRAINING, ECHO)}
        assert told(webhook).keys() - {""} <= known
        assert TOKEN not in exporter.log
        assert not any(TOKEN.encode() in received.body for received in webhook.received)
