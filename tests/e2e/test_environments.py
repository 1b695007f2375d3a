"""The daemon starts, sweeps, pages and stops in any environment that a container, a unit or a person may give it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from exporter.simulator import Simulator
from tests import http
from tests.e2e.servers import eventually, free_port
from tests.receivers import HttpReceiver

ROOT = Path(__file__).parent.parent.parent
STOP_SECONDS = 5.0


class Environment(NamedTuple):
    """`shell`: commands before the daemon replaces the shell; `namespaces`: options of unshare; `python`: of Python.

    `stderr`: what reads the log. `program`: the Python.
    """

    shell: str = ""
    namespaces: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    stderr: str = "file"
    program: str = sys.executable


READ_ONLY = """
    mount --make-rprivate / && mount --bind /tmp /tmp && mount --bind "$FOLDER" "$FOLDER" || exit 77
    mount -o remount,ro,bind /tmp && mount -o remount,ro,bind / && mount -t tmpfs -o ro none /dev/shm || exit 77
    ! touch /tmp/file /file 2>/dev/null || exit 77
    export TMPDIR=/absent
"""
BARE = "unset HOME USER LOGNAME LANG TMPDIR; cd /"
ENVIRONMENTS = {
    "as it is": Environment(),
    "read-only root": Environment(READ_ONLY, ("--mount",)),
    "no home": Environment(BARE),
    "first process": Environment(namespaces=("--pid", "--fork")),
    "64 files": Environment("ulimit -n 64"),
    "small stack": Environment("ulimit -s 256"),
    "optimised": Environment(python=("-OO",)),
    "isolated": Environment(python=("-I", "-X", "dev", "-W", "ignore")),
    "unread log": Environment(stderr="full"),
    "closed log": Environment("exec 2>&-"),
    "no streams": Environment("exec <&- >&- 2>&-"),
    "other language": Environment("export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 TZ=Asia/Kathmandu"),
    "ignored signals": Environment("trap '' HUP INT TERM PIPE"),
    "no permissions": Environment("umask 0777"),
}
COMBINED = Environment(
    "\n".join((READ_ONLY, BARE, "ulimit -n 64; ulimit -s 256; umask 0077; trap '' HUP INT TERM PIPE; exec <&- >&-")),
    ("--mount", "--pid", "--fork"),
    ("-OO",),
    "full",
)
"""Most of them at once."""


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(workloads=5) as made:
        yield made


@contextlib.contextmanager
def log_of(kind: str, folder: Path) -> Iterator[int]:
    """Where the daemon writes its log: a file, or a pipe that is full and is not read."""
    if kind == "file":
        with (folder / "log").open("wb") as file:
            yield file.fileno()
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


def lives(environment: Environment, api: Simulator, folder: Path) -> None:
    """Run the daemon until it has paged, and stop it."""
    port, file = free_port(), folder / "exporter.yaml"
    with HttpReceiver() as receiver, log_of(environment.stderr, folder) as log:
        hook = {"name": "hook", "kind": "webhook", "url": receiver.url, "alerts": ["DataRobotWatchdog"]}
        settings = {
            "accounts": [{"name": "eu", "endpoint": api.url, "token": api.token}],
            "paging": {"who": "direct", "receivers": [hook]},
            "state": {"path": str(folder / "state.db")},
            "web": {"listen_address": [f"127.0.0.1:{port}"]},
            "log": {"level": "debug"},
            "sweep": {"interval": "1s"},
        }
        file.write_text(yaml.safe_dump(settings))
        unshare = ("unshare", *environment.namespaces) if environment.namespaces else ()
        daemon = (environment.program, *environment.python, "-m", "exporter", "run", f"--config.file={file}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "DATAROBOT_"))}
        child = subprocess.Popen(
            [*unshare, "sh", "-c", f'{environment.shell}\nexec "$@"', "sh", *daemon],
            env=kept | {"FOLDER": str(folder)}, stderr=log, cwd=folder,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            return child.poll() is not None or http.get(f"{url}/-/ready").status_code == 200

        try:
            assert eventually(ready, 60)
            if child.poll() == 77:
                pytest.skip("this machine does not permit mounts")
            assert child.poll() is None
            assert eventually(lambda: receiver.received, 30)
            assert "datarobot_workload_info" in http.get(f"{url}/metrics").text
            began = time.monotonic()
            os.kill(_daemon(child.pid) if unshare else child.pid, signal.SIGTERM)
            assert child.wait(30) == 0
            assert time.monotonic() - began < STOP_SECONDS
        except AssertionError as error:
            if environment.stderr == "file":
                error.add_note((folder / "log").read_text())
            raise
        finally:
            if child.poll() is None:
                os.kill(_daemon(child.pid) if unshare else child.pid, signal.SIGKILL)
                child.wait(30)


def _daemon(unshare: int) -> int:
    """The process that unshare started; with only a mount namespace, it becomes it."""
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(children[0]) if children else unshare


def _permits(namespaces: tuple[str, ...]) -> bool:
    if not namespaces:
        return True
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", *namespaces, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.real
@pytest.mark.long
def test_the_daemon_lives_in_a_poor_environment(api: Simulator, tmp_path: Path) -> None:
    if not _permits(COMBINED.namespaces):
        pytest.skip("this user may not create namespaces")
    lives(COMBINED, api, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_daemon_lives_in_each_environment(name: str, api: Simulator, tmp_path: Path) -> None:
    if not _permits(ENVIRONMENTS[name].namespaces):
        pytest.skip("this user may not create namespaces")
    lives(ENVIRONMENTS[name], api, tmp_path)


@pytest.fixture(scope="module", params=["3.12", "3.13", "3.14"])
def newer_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python of a newer version, with the locked dependencies."""
    found = shutil.which(f"python{request.param}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"python{request.param} is not installed")
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    subprocess.run([found, "-m", "venv", folder], check=True)
    program = str(folder / "bin" / "python")
    install = (program, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(ROOT / "requirements.lock"))
    subprocess.run(install, check=True)
    return program


@pytest.mark.exhaustive
def test_the_daemon_lives_with_a_newer_python(newer_python: str, api: Simulator, tmp_path: Path) -> None:
    lives(Environment(f"export PYTHONPATH={ROOT}", program=newer_python), api, tmp_path)
