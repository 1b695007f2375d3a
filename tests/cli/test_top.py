"""`top` as a process: in tmux, without a terminal, and straight from the API."""

import contextlib
import io
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from exporter.cli.top import Requests
from exporter.cli.top_api import ApiSource
from exporter.cli.top_screen import TopView
from exporter.cli.top_sources import SourceLost, decoded
from exporter.cli.top_table import TopTable, TopTraffic
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.simulator import Simulator
from tests.cli.test_main import account, command_environment, run
from tests.cli.test_top_screen import FLEET, body, row, view
from tests.components import component
from tests.e2e.servers import eventually, free_port

DETAILS = (
    '{"at": "2026-11-30T22:31:05Z", "text": "churn: errored\\n\\nLikely cause  It crashes.", "diagnosis": {}, '
    '"timeline": [{"at": "2026-11-30T22:19:00Z", "kind": "event", "text": "Replacement Errored", "bad": true}]}'
)


METRICS = """\
# TYPE datarobot_workload_window_requests gauge
datarobot_workload_window_requests{account="eu",workload="churn",workload_id="id-churn",window="5m"} 600
datarobot_workload_window_requests{account="eu",workload="churn",workload_id="id-churn",window="1h"} 9
# TYPE datarobot_workload_window_server_error_ratio gauge
datarobot_workload_window_server_error_ratio{account="eu",workload="churn",workload_id="id-churn",window="5m"} 0.25
"""


class Served(BaseHTTPRequestHandler):
    """A daemon of which a test decides what it answers."""

    table: ClassVar[str] = ""

    def do_GET(self) -> None:
        text = {"/workloads.json": type(self).table, "/metrics": METRICS}.get(self.path, DETAILS)
        self.send_response(200 if text else 503)
        self.end_headers()
        self.wfile.write(text.encode("utf-8", "surrogatepass"))

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def daemon(port: int, table: str) -> Iterator[str]:
    """The address of a daemon with this table."""
    handler = type("Handler", (Served,), {"table": table})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Tmux:
    """A terminal of 80 by 24 characters in which a shell runs `top`, and then prints its exit status."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._command = [component("tmux"), "-u", "-S", str(folder / "s"), "-f", "/dev/null"]
        top = shlex.join([sys.executable, "-m", "exporter", "top", *arguments])
        self.errors, self.number = folder / "errors", folder / "number"
        child = f"echo $$ >{self.number}; exec {top} 2>{self.errors}"
        script = f"echo before; sh -c {shlex.quote(child)}; echo status $?; exec cat"
        kept = command_environment({"LC_ALL": "C.UTF-8", "SHELL": "/bin/sh"} | environment)
        subprocess.run(
            [*self._command, "new-session", "-d", "-x", "80", "-y", "24", f"sh -c {shlex.quote(script)}"],
            env={name: value for name, value in kept.items() if name != "TMUX"}, check=True, timeout=60,
        )  # fmt: skip

    def call(self, *arguments: str) -> str:
        ran = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=True, timeout=60)
        return ran.stdout

    def press(self, *keys: str) -> None:
        self.call("send-keys", *keys)

    def until(self, *words: str, absent: str = "\0") -> str:
        """The screen once it contains all words, and not `absent`."""
        screen = ""

        def shown() -> bool:
            nonlocal screen
            screen = self.call("capture-pane", "-p")
            return all(word in screen for word in words) and absent not in screen

        assert eventually(shown, 60), (words, screen, self.errors.read_text())
        return screen


@pytest.fixture
def tmux() -> Iterator[Callable[..., Tmux]]:
    """Starts terminals, and ends them with all that runs in them."""
    started: list[Tmux] = []
    with tempfile.TemporaryDirectory() as folder:  # its path is short enough for a socket

        def start(*arguments: str, **environment: str) -> Tmux:
            place = Path(folder) / str(len(started))
            place.mkdir()
            started.append(Tmux(place, *arguments, **environment))
            return started[-1]

        yield start
        for each in started:
            each.call("kill-server")


@pytest.mark.real
def test_the_fleet_is_shown_live_and_keys_choose_explain_and_follow(tmux: Callable[..., Tmux]) -> None:
    with daemon(0, body()) as address:
        terminal = tmux(f"--web.listen-address={address}")
        screen = terminal.until("6 workloads, 2 need attention", "q quit").splitlines()
        for line in screen[4:10]:
            assert re.match(r".{3}\S", line)
        places = [line.index(text) for line, text in zip(screen[3:6], ["STATUS", "errored", "running"], strict=True)]
        assert places == [28, 28, 28]
        wide = screen[7]
        assert wide.index("running") == 28 - wide.index("~") + 3  # each of its characters takes two columns
        assert screen[9].startswith("   ?[2J?[31mred line?")
        assert [line[:3] for line in screen[4:6]] == ["!!>", "i  "]
        terminal.press("j")
        terminal.until("i >a-name")
        terminal.press("k", "Enter")
        terminal.until("churn: explain as of", "Likely cause  It crashes.")
        terminal.press("e")
        terminal.until("11-30 22:19:00 event", "Replacement Errored")
        terminal.press("q", "/", "s", "c", "a", "l")
        assert "churn" not in terminal.until("filter: scal_; 1 shown", "scaled")
        terminal.press("Escape")
        terminal.until("churn", "sort: worst", absent="filter:")
        terminal.call("resize-window", "-x", "110", "-y", "12")
        assert len(terminal.until("REQ/MIN", "120     25.0%", "IMPORTANCE", "q quit").rstrip("\n").splitlines()) == 12
        terminal.press("q")
        assert "churn" not in terminal.until("before", "status 0")


@pytest.mark.real
def test_a_lost_source_is_shown_with_its_time_above_the_last_table_until_it_is_back(
    tmux: Callable[..., Tmux],
) -> None:
    port = free_port()
    terminal = tmux(f"--web.listen-address=127.0.0.1:{port}", "--interval=200ms")
    terminal.until("LOST since", "cannot be reached")
    with daemon(port, body()):
        terminal.until("churn", "as of 22:31:02 UTC", absent="LOST")
    terminal.until("LOST since", "showing 22:31:02 UTC", "churn")
    with daemon(port, "not a table"):
        terminal.until("LOST since", "churn")
    with daemon(port, body([row("new")])):
        terminal.until("new", absent="LOST")


@pytest.mark.real
def test_a_signal_suspends_or_ends_it_with_the_terminal_as_it_was(tmux: Callable[..., Tmux]) -> None:
    with daemon(0, body()) as address:
        terminal = tmux(f"--web.listen-address={address}", NO_COLOR="1")
        terminal.until("churn")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", terminal.call("capture-pane", "-p", "-e"))
        number = int(terminal.number.read_text())
        os.kill(number, signal.SIGTSTP)
        terminal.until("before", absent="churn")
        os.kill(number, signal.SIGCONT)
        terminal.until("churn", absent="before")
        os.kill(number, signal.SIGTERM)
        terminal.until("before", "status 143", absent="churn")


def test_without_a_terminal_or_with_once_the_table_is_printed() -> None:
    with daemon(0, body()) as address:
        status, out, err = run("top", "--once", f"--web.listen-address={address}", "--filter=churn")
        assert (status, err) == (0, "")
        assert re.match(r"!!  churn +errored .* 120 +25.0% ", out.splitlines()[-2])
        assert out.splitlines()[-1] == "1 workloads, 1 need attention"
        status, again, err = run("top", f"--web.listen-address={address}", "--filter=churn")
        assert (status, err) == (
            0,
            "workload-exporter: standard input and output are not a terminal: the table is printed once\n",
        )
        assert re.sub(r"\d+[smhd]\S*", "", again) == re.sub(r"\d+[smhd]\S*", "", out)
    status, out, err = run("top", "--once", f"--web.listen-address={address}")
    assert (status, out, "/workloads.json cannot be reached" in err) == (1, "", True)


def test_a_terminal_without_a_screen_gets_the_table_once() -> None:
    with daemon(0, body()) as address:
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "exporter", "top", f"--web.listen-address={address}"],
            env=command_environment({"TERM": "dumb", "LC_ALL": "C"}), stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        received = io.BytesIO()
        with contextlib.suppress(OSError):  # the other end is closed
            while received.write(os.read(ours, 4096)):
                pass
        os.close(ours)
        text = received.getvalue().decode()
    assert child.wait(60) == 0
    assert text.startswith("workload-exporter: TERM=dumb has no screen: the table is printed once\r\n")
    assert "churn" in text
    assert "\x1b" not in text


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(workloads=40) as simulator:
        yield simulator


def test_the_api_is_a_source_without_a_daemon(api: Simulator) -> None:
    status, out, _ = run("top", "--once", "--api", "--sort=name", **account(api))
    assert (status, "  crash-loop-1 " in out, out.endswith(" need attention\n")) == (0, True, True)
    status, out, _ = run("top", "--once", "--api", **account(api) | {"DATAROBOT_API_TOKEN": "wrong"})
    assert (status, "no complete sweep yet: GET /workloads returned 401" in out) == (1, True)


def test_the_details_of_the_api_are_polled_and_explained(api: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(f"accounts: [{{endpoint: '{api.url}', token: {api.token}}}]\n")

    def read() -> Settings:
        return load(file, {})

    source = ApiSource(read(), read)
    try:
        found = next(each for each in source.table().workloads if each.workload == "crash-loop-1")
        details = source.details(found.account, found.workload_id)
        assert details.text.startswith("crash-loop-1: ")
        assert eventually(lambda: "CrashLoopBackOff" in source.details(*found.key).text, 60)
        with pytest.raises(SourceLost, match="absent: no such workload"):
            source.details(found.account, "absent")
    finally:
        source.close()


class Answers:
    """A source whose first answer fails."""

    name = "answers"

    def __init__(self) -> None:
        self.requests = 0

    def table(self) -> TopTable:
        self.requests += 1
        if self.requests == 1:
            raise SourceLost("not yet")
        return decoded(body(FLEET[:1]), TopTable)

    def traffic(self) -> dict[tuple[str, str], TopTraffic]:
        return {("eu", "id-churn"): TopTraffic(7.0, 0.5)}

    def details(self, account: str, workload_id: str) -> Any:
        raise SourceLost(f"{account} {workload_id} is gone")

    def close(self) -> None: ...


def test_the_time_since_which_a_source_is_lost_is_that_of_its_first_failure() -> None:
    woken = threading.Event()
    requests = Requests(Answers(), 0.05, woken.set)
    requests.start()
    shown = TopView("answers")
    deadline = time.monotonic() + 60
    while shown.lost is None and time.monotonic() < deadline:
        woken.wait(1)
        shown = requests.applied(shown)
    assert shown.lost is not None
    assert shown.lost[1] == "not yet"
    while shown.table is None and time.monotonic() < deadline:
        woken.clear()
        woken.wait(0.1)
        shown = requests.applied(shown)
    assert shown.lost is None
    page = view()._replace(page="explain", selected=("eu", "id-churn"))
    requests.want(("eu", "id-churn"), traffic=True)
    while not (page.details and page.traffic) and time.monotonic() < deadline:
        woken.wait(0.1)
        page = requests.applied(page)
    assert page.details == "eu id-churn is gone"
    assert page.traffic == {("eu", "id-churn"): TopTraffic(7.0, 0.5)}
