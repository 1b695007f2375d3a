"""Every server that the exporter talks to repeats the secrets that it received; the exporter outputs none of them."""

import base64
import html
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml

from exporter.simulator import Simulator
from exporter.simulator.oddities import SimulatedResponse, walk
from tests import http
from tests.e2e.servers import eventually, free_port, running
from tests.receivers import Answer, HttpReceiver

pytestmark = pytest.mark.long

TOKEN, OTHER = "T0ken/of+the=Account", "0ther/T0ken=Of+Eu"
OF_TRACES, HOOK, HMAC = "0wn/Key+of=traces", "h00k-Path/Part2", "Hm4c/secret+of=hook"
SECRETS = (TOKEN, OTHER, OF_TRACES, HOOK, HMAC)
ECHO = " ".join(SECRETS)


def in_json(text: str) -> str:
    """As Java and PHP write it."""
    return text.replace("/", "\\/").replace("=", "\\u003d").replace("+", "\\u002B")


def found(text: str | bytes) -> list[str]:
    """The secrets in a text, in whatever spelling."""
    text = text if isinstance(text, str) else text.decode("latin-1")
    plain = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda each: chr(int(each[1], 16)), text).replace("\\", "")
    plain = html.unescape(unquote(plain))
    return [secret for secret in SECRETS if secret in text or secret in plain]


class Echoing(Simulator):
    """An API that puts all secrets, or another `echo`, into each message and name, and into its errors."""

    echo = ECHO

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        response = super().respond(method, path, query, headers)
        if response.status == 401 or "/account/info" in path:
            return SimulatedResponse(401, (), f'{{"message": "Invalid API key {in_json(ECHO)}"}}'.encode())
        if "/compute/bundles" in path:
            return SimulatedResponse(
                500, (), f"<html><h1>Error</h1><pre>{html.escape(self.echo)}</pre></html>".encode()
            )
        if response.status != 200 or not response.body.startswith(b"{"):
            return response

        def echoed(each: dict[str, Any]) -> dict[str, Any]:
            names = {"name"} if "importance" in each else set()
            return {k: f"{v or k} ECHO" if k in ({"message", "reason"} | names) else v for k, v in each.items()}

        body = json.dumps(walk(json.loads(response.body), echoed))
        return response._replace(body=body.replace("ECHO", in_json(self.echo)).encode())


@pytest.fixture(scope="module")
def api() -> Iterator[Echoing]:
    with Echoing(workloads=40, speed=60, token=TOKEN) as simulator:
        yield simulator


def settings(folder: Path, api: Simulator, collector: str, hook: str) -> Path:
    """Two accounts, traces and a receiver."""
    (folder / "token").write_text(TOKEN)
    account = {"endpoint": api.url, "requests_per_second": 200}
    settings = {
        "accounts": [
            {"name": "us", "token_file": str(folder / "token"), **account},
            {"name": "eu", "token": OTHER, **account},
        ],
        "sweep": {"interval": "1s"},
        "state": {"path": str(folder / "state.db")},
        "web": {"debug_config": True},
        "log": {"level": "debug"},
        "alerts": {"wait": {"DataRobotWorkloadErrored": "0s"}},
        "traces": {
            "endpoint": collector,
            "headers": {"x-api-key": OF_TRACES},
            "checkpoint_after": "1s",
            "backfill": "1d",
        },
        "paging": {
            "who": "direct",
            "log_lines": 3,
            "receivers": [{"name": "hook", "kind": "webhook", "url": f"{hook}/{HOOK}", "hmac_secret": HMAC}],
        },
    }
    file = folder / "exporter.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def command(*arguments: str, **environment: str) -> str:
    """What a command writes to both streams."""
    program = [sys.executable, "-m", "exporter", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAROBOT_", "OTEL_", "GRPC_"))}
    done = subprocess.run(program, env=kept | environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_the_daemon_shows_no_secret_anywhere(api: Simulator, tmp_path: Path) -> None:
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}"
    refused = Answer(503, f'{{"message": "{in_json(ECHO)}"}}'.encode(), {"retry-after": "1"})
    with HttpReceiver(refused) as collector, HttpReceiver(refused) as hook:
        file = settings(tmp_path, api, collector.url, hook.url)
        flags = (f"--config.file={file}", f"--web.listen-address={url.removeprefix('http://')}")
        with running(log, sys.executable, "-m", "exporter", "run", *flags):

            def get(path: str) -> str:
                return http.get(f"{url}{path}").text

            wanted = ("***", "datarobot_container_restarts_total", "datarobot_workload_events_total")
            assert eventually(lambda: all(each in get("/metrics") for each in wanted), 30), log.read_text()
            for receiver in (hook, collector):
                assert eventually(partial(_received, receiver, b"***"), 60), log.read_text()
            paths = ("/metrics", "/", "/debug/config", "/debug/episodes", "/sd", "/-/ready", "/-/silences", "/nothing")
            shown = {path: get(path) for path in paths}
    shown |= {"log": log.read_text(), "pages": _joined(hook), "traces": _joined(collector)}
    shown |= {file.name: file.read_bytes().decode("latin-1") for file in tmp_path.glob("state.db*")}
    assert {where: found(text) for where, text in shown.items() if found(text)} == {}
    # The words came as far as these, without the secrets.
    hidden = {where for where, text in shown.items() if "***" in text}
    assert hidden >= {"/metrics", "/", "/debug/episodes", "log", "pages", "traces", "state.db"}
    assert "returned 503: *** *** *** *** ***" in shown["log"]


def test_after_a_reload_new_secrets_are_hidden_and_old_ones_still(api: Echoing, tmp_path: Path) -> None:
    url, new = f"http://127.0.0.1:{free_port()}", "N3w/secret=of+hook"
    file = settings(tmp_path, api, "http://127.0.0.1:1", "http://127.0.0.1:1")
    flags = (f"--config.file={file}", f"--web.listen-address={url.removeprefix('http://')}")
    with running(tmp_path / "log", sys.executable, "-m", "exporter", "run", *flags):
        assert eventually(lambda: "healthy-0 ***" in http.get(f"{url}/metrics").text, 30)
        file.write_text(file.read_text().replace(HMAC, new))
        assert http.post(f"{url}/-/reload").status_code == 200
        api.echo = f"renamed {new} {HMAC}"
        try:
            assert eventually(lambda: "healthy-0 renamed" in http.get(f"{url}/metrics").text, 30)
        finally:
            api.echo = ECHO
        page = http.get(f"{url}/metrics").text + (tmp_path / "log").read_text()
    assert 'workload="healthy-0 renamed *** ***"' in page
    assert (found(page), new in page) == ([], False)


def _received(receiver: HttpReceiver, words: bytes) -> bool:
    return any(words in each.body for each in list(receiver.accepted))


def _joined(receiver: HttpReceiver) -> str:
    return b"".join(each.body for each in receiver.received).decode("latin-1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("check", "--online"),
            ["/account/info: GET /account/info returned 401: Invalid API key ***", "eu: ", "503: ***"],
        ),
        (("explain", "--account=us", "--log-lines=5", "crash-loop-1 *** *** *** *** ***"), ["Log\n", "returned 500: "]),
        (("explain", "--account=us", "--json", "--log-lines=5", "image-pull-10 *** *** *** *** ***"), ['"message": "']),
        (("explain", "no-such"), ["has the id or name no-such"]),
        (("once",), ['workload="healthy-0 ***']),
        (("notify", "test", "hook", "--hold=10ms"), ["returned 503: *** *** ***"]),
        (("plan",), ["account us: "]),
    ],
)
def test_no_command_shows_a_secret(
    api: Simulator, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    refused = Answer(503, f"<pre>{html.escape(ECHO)} {quote(ECHO)}</pre>".encode())
    with HttpReceiver(*[refused] * 2) as collector, HttpReceiver(*[refused] * 2) as hook:
        shown = command(*arguments, f"--config.file={settings(tmp_path, api, collector.url, hook.url)}")
    assert found(shown) == []
    assert [each for each in words if each not in shown] == [], shown


# -- other connections


@contextmanager
def peer(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on a port of loopback that talks as it likes to everybody who comes."""

    def serve() -> None:
        with suppress(OSError):  # it is closed
            while True:
                with server.accept()[0] as connection, suppress(OSError):
                    connection.settimeout(5)
                    talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_library_of_grpc_writes_nothing_by_itself_of_what_a_collector_says() -> None:
    def frame(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
        return len(body).to_bytes(3) + bytes([kind, flags, 0, 0, 0, 0]) + body

    def has_request(received: bytes) -> bool:
        """Whether a HEADERS frame (type 1) has arrived after the preface of HTTP/2 (RFC 9113 3.4, 4.1)."""
        rest = received[24:]
        while len(rest) >= 9:
            if rest[3] == 1:
                return True
            rest = rest[9 + int.from_bytes(rest[:3]) :]
        return False

    def disconnects(connection: socket.socket) -> None:
        """Take a request of HTTP/2, and close the connection with a text for debugging."""
        received = connection.recv(65536)
        connection.sendall(frame(4) + frame(4, flags=1))
        while not has_request(received):  # before its request the client would only connect again
            more = connection.recv(65536)
            if not more:
                return
            received += more
        connection.sendall(frame(7, bytes([0, 0, 0, 0, 0, 0, 0, 2]) + ECHO.encode()))
        connection.recv(65536)

    with peer(disconnects) as address:
        traces = {
            "ENDPOINT": f"http://{address}",
            "PROTOCOL": "grpc",
            "HEADERS": f"k={quote(OF_TRACES)}",
            "TIMEOUT": "2000",
        }
        environment = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in traces.items()}
        api = {"DATAROBOT_ENDPOINT": "http://127.0.0.1:1", "DATAROBOT_API_TOKEN": TOKEN}
        shown = command("check", "--online", **api, **environment)
    assert f"Debug Text: *** {OTHER} ***" in shown
    assert TOKEN not in shown
    assert OF_TRACES not in shown


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\n\r\n" + b"x" * 150 + b"not %s",
        b"HTTP/1.1 200 OK\r\n\r\n" + b'[{"id": "%s", "ends": "", "author": "", "comment": "", "matchers": {}}]',
        b"%s\r\n\r\n",
    ],
)
def test_who_listens_in_place_of_the_daemon_does_not_make_a_command_show_its_login(answer: bytes) -> None:
    login = "grafana:h4nd-Made"
    basic = base64.b64encode(login.encode())

    def repeats(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer % (b"Basic %s of %s" % (basic, login.encode())))

    with peer(repeats) as address:
        shown = command("silence", "list", f"--web.listen-address={address}", WORKLOAD_EXPORTER_LOGIN=login)
    assert "***" in shown
    assert not [each for each in ("h4nd-Made", basic.decode().rstrip("=")) if each in shown]


# -- the process


def test_no_command_leaves_a_core_file(api: Simulator, tmp_path: Path) -> None:
    """A process that has the token: its core limit is 0, and the kernel may not dump its memory."""
    url = f"http://127.0.0.1:{free_port()}"
    file = settings(tmp_path, api, "http://127.0.0.1:1", "http://127.0.0.1:1")
    flags = (f"--config.file={file}", f"--web.listen-address={url.removeprefix('http://')}")
    with running(tmp_path / "log", sys.executable, "-m", "exporter", "run", *flags) as process:
        assert eventually(lambda: "process_" in http.get(f"{url}/metrics").text, 30)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        owner = Path(f"/proc/{process.pid}/environ").stat().st_uid
        page = http.get(f"{url}/metrics").text
    assert re.search(r"^Max core file size +0 +0 +bytes", limits, re.MULTILINE)
    assert owner == 0  # the kernel gives undumpable processes to root, whichever user runs them
    assert sorted(set(re.findall(r"^process_\w+", page, re.MULTILINE))) == OWN_OF_THE_PROCESS


OWN_OF_THE_PROCESS = """
process_cpu_seconds_total process_max_fds process_open_fds
process_resident_memory_bytes process_start_time_seconds process_virtual_memory_bytes
""".split()
AS_OTHER_USER = """
import ctypes, os, sys
from prometheus_client import REGISTRY, generate_latest
from exporter.cli.process import disable_core_dumps
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
disable_core_dumps()
assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0, "PR_GET_DUMPABLE"
sys.stdout.write(generate_latest(REGISTRY).decode())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word for it is Linux's")
def test_metrics_of_the_process_are_there_for_a_user_without_rights_too() -> None:
    done = subprocess.run([sys.executable, "-c", AS_OTHER_USER], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(set(re.findall(r"^process_\w+", done.stdout, re.MULTILINE))) == OWN_OF_THE_PROCESS
