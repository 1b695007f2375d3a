"""The commands that record and replay, each in a process of its own."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.cli.record import inspect
from exporter.cli.replay import ReplayServer
from exporter.collect.recording_file import read_recording
from exporter.recording.lines import TextCounts
from exporter.simulator import Simulator
from tests.e2e.servers import eventually
from tests.recorded import play
from tests.stage import START, simulated

pytestmark = pytest.mark.long


@contextmanager
def command(*arguments: str, api: Simulator | None = None) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATAROBOT_")}
    if api is not None:
        environment |= {"DATAROBOT_ENDPOINT": api.url, "DATAROBOT_API_TOKEN": api.token}
    child = subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        try:
            yield child
        finally:
            child.kill()


def ended(*arguments: str, api: Simulator | None = None) -> tuple[int, str, str]:
    """Exit status and output of a command."""
    with command(*arguments, api=api) as child:
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err


def interrupted(path: Path, number: signal.Signals) -> tuple[int, str]:
    """Exit status and output of a recording that a signal ends when the pods of a workload were requested."""

    def begun() -> bool:
        assert child.poll() is None
        pods = api.requests["/workloads/{id}/protons/{pid}/statusDetails", 200]
        return pods >= 1 and any(read_recording(path)[1])

    with Simulator(workloads=3) as api, command("record", str(path), "--for=10m", api=api) as child:
        assert eventually(begun, 60)
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
        assert api.non_get_requests == 0
    assert api.url not in out
    return child.returncode, out


def test_record_prints_what_it_kept_and_replaced_and_inspect_shows_each_response(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    status, out = interrupted(path, signal.SIGINT)
    assert status == 0
    assert re.search(r"a\.rec: \d+ responses in \d+ s, \d+ kB", out)
    assert re.search(r"^Texts by field +kept +replaced$", out, re.MULTILINE)
    assert re.search(r"^status +[1-9]", out, re.MULTILINE)
    status, shown, _ = ended("record", "--inspect", "--bodies", str(path))
    assert status == 0
    assert re.search(r"^ +\d+\.\d{3} s  200  /api/v2/workloads/\?limit=100\S*  \d+ B$", shown, re.MULTILINE)
    assert re.search(r"^ +[1-9]  200  /api/v2/workloads/ID/protons/$", shown, re.MULTILINE)
    assert '"importance": "' in shown
    assert "Texts by field" in shown


def test_a_recording_whose_process_was_killed_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    assert interrupted(path, signal.SIGKILL)[0] == -9
    lines = list(read_recording(path)[1])
    assert lines
    assert not any(isinstance(line, TextCounts) for line in lines)


def test_a_server_that_refuses_the_token_is_recorded_and_the_reason_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with (
        Simulator(workloads=1, odd=["unauthorized"]) as api,
        command("record", str(path), "--for=10m", api=api) as child,
    ):
        assert child.stderr is not None
        assert any("sweep failed" in line for line in child.stderr)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert "the last sweep failed: GET /workloads returned 401" in err
    assert child.returncode == 1
    assert next(read_recording(path)[1]).status == 401  # type: ignore[union-attr]  # a line first


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "a.rec"
    play(simulated(3), 200, path)
    return path


def test_replay_prints_lines_to_paste_with_which_other_commands_read_the_recording(recording: Path) -> None:
    with command("replay", str(recording)) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline().strip() for _ in range(3)]
        assert re.match(r"REPLAY of \d+ min at 1 times the speed", lines[0])
        environment = dict(line.removeprefix("export ").split("=", 1) for line in lines[1:])
        given = {**os.environ, **environment}
        once = [sys.executable, "-m", "exporter", "once"]
        page = subprocess.run(once, env=given, capture_output=True, text=True, timeout=60)
        assert page.returncode == 0, page.stderr
        assert len(re.findall(r"^datarobot_workload_info\{", page.stdout, re.MULTILINE)) == 3
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_demo_runs_the_daemon_against_a_recording(recording: Path) -> None:
    with command("demo", "--from", str(recording), "--web.listen-address=127.0.0.1:0") as child:
        assert child.stderr is not None
        shown = [child.stderr.readline() for _ in range(4)]
        assert any("export DATAROBOT_API_TOKEN=" in line for line in shown)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_a_replay_responds_as_recorded_and_counts_what_was_not(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ReplayServer(recording, clock=lambda: START) as server:

        def get(path: str, method: str = "GET", token: str = server.token) -> tuple[int, str]:
            request = urllib.request.Request(server.url + path, method=method)
            request.add_header("authorization", f"Bearer {token}")
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        listed = "/api/v2/workloads/?limit=100&offset=0&orderBy=createdAt&serviceStats=true"
        status, body = get(listed)
        assert (status, len(json.loads(body)["data"])) == (200, 3)
        assert get(listed, "POST")[0] == 405
        assert get(listed, token="another")[0] == 401
        assert get("/api/v2/workloads/?limit=3")[0] == 404
    assert server.unknown == {"/api/v2/workloads/": 1}
    server.print_unknown()
    assert "not recorded: /api/v2/workloads/, requested 1 times" in capsys.readouterr().err


def test_a_recording_of_others_cannot_control_the_terminal_that_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape, path = r"\u001b[2J\u202e", tmp_path / "a.rec"
    path.write_bytes(
        gzip.compress(
            f'{{"format":1,"started":0.0,"exporter":"{escape}"}}\n'
            f'{{"at":1.0,"path":"/{escape}","status":200,"query":"{escape}","body":{{"{escape}":"{escape}"}}}}\n'
            f'{{"kept":{{"{escape}":1}},"replaced":{{}}}}\n'.encode()
        )
    )
    assert inspect(path, bodies=True) == 0
    assert not {"\x1b", "\u202e"} & {*capsys.readouterr().out}


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["replay", "absent.rec"], 1, "No such file"),
        (["record", "--inspect", "pyproject.toml"], 1, "not a recording"),
        (["demo", "--from", "absent.rec"], 1, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(arguments: list[str], status: int, problem: str) -> None:
    found, _, err = ended(*arguments)
    assert (found, problem in err) == (status, True), err
