"""Real programs on ports of loopback: started for a test, queried over HTTP, stopped at its end."""

import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests import http
from tests.components import component

PORTS = range(20_000, 32_000)
"""Below the ports that kernels give to clients, so that no connection of another test takes one meanwhile."""
_LOCKS = Path(tempfile.gettempdir(), f"workload-exporter-tests-{os.getuid()}.ports").open("a")  # noqa: SIM115
_UNTRIED = iter(random.sample(PORTS, len(PORTS)))


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on. No other process that runs tests gets it while this one lives.

    The process keeps a lock on one byte of a file for each of its ports.
    """
    for port in _UNTRIED:
        try:
            fcntl.lockf(_LOCKS, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise AssertionError("no port is free")


def eventually(poll: Callable[[], Any], seconds: float) -> Any:
    """Poll until the result is truthy, and return it. Another process makes the progress, so it can only wait."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = poll()
        except httpx.TransportError:
            value = None
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)  # between two polls of another process


@contextmanager
def running(log: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that gets SIGTERM, and is waited for, at the end of the block. Its output goes to a file."""
    with log.open("wb") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


@contextmanager
def demo(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon on its simulated fleet. Its end is clean, or the test fails."""
    log = folder / "demo.log"
    address = f"--web.listen-address=127.0.0.1:{port}"
    with running(log, sys.executable, "-m", "exporter", "demo", address, *options) as process:
        yield process
    assert process.returncode == 0, log.read_text()


class Prometheus:
    """Queries a Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        """What its API answers under ``/api/v1/``."""
        return http.get(f"{self.url}/api/v1/{path}").json()["data"]

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series of an expression, now or at a time."""
        data = {"query": expression} | ({} if at is None else {"time": str(at)})
        answer = http.post(f"{self.url}/api/v1/query", data=data, timeout=60).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of an expression from `start` to `end`, every `step` seconds."""
        data = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        answer = http.post(f"{self.url}/api/v1/query_range", data=data, timeout=300).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any], *options: str) -> Iterator[Prometheus]:
    """A real Prometheus with these settings, from the moment on at which it answers; its data are in ``tsdb``."""
    program, port, log = component("prometheus"), free_port(), folder / "prometheus.log"
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))
    arguments = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", *options)
    with running(log, program, *arguments, f"--web.listen-address=127.0.0.1:{port}"):
        url = f"http://127.0.0.1:{port}"
        ready = eventually(lambda: http.get(f"{url}/-/ready").status_code == 200, 60)
        assert ready, log.read_text()[-2000:]
        yield Prometheus(url)


class Alertmanager:
    """Posts alerts to an Alertmanager and reads them."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire."""
        alerts: list[dict[str, Any]] = http.get(f"{self.url}/api/v2/alerts").json()
        return alerts

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Alerts as Prometheus sends them: ``labels``, ``annotations``, ``startsAt``, ``endsAt``."""
        answer = http.post(f"{self.url}/api/v2/alerts", json=alerts)
        assert answer.status_code == 200, answer.text


@contextmanager
def alertmanager(folder: Path, config: Path, port: int = 0) -> Iterator[Alertmanager]:
    """A real Alertmanager with this file, from the moment on at which it is ready. Debian prefixes its name.

    Without a `port` it gets a free one.
    """
    program = component("prometheus-alertmanager", "alertmanager")
    port, log = port or free_port(), folder / "alertmanager.log"
    arguments = (f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    with running(log, program, *arguments, f"--web.listen-address=127.0.0.1:{port}") as process:
        url = f"http://127.0.0.1:{port}"
        ready = eventually(lambda: http.get(f"{url}/-/ready").status_code == 200, 60)
        assert ready, log.read_text()[-2000:]
        yield Alertmanager(url, process)


class Recorder(NamedTuple):
    """The address of a server, and the method, path and body of each request that it received."""

    url: str
    received: list[tuple[str, str, bytes]]


@contextmanager
def recorder(respond: Callable[[str, str], tuple[int, bytes]]) -> Iterator[Recorder]:
    """An HTTP server that records requests and responds with status and body, from method and path."""
    received: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            received.append((self.command, self.path, sent))
            status, body = respond(self.command, self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _respond  # noqa: N815 — the names in the library

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the library
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Recorder(f"http://127.0.0.1:{server.server_port}", received)
        finally:
            server.shutdown()
            thread.join()
