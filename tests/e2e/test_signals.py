"""Signals to a real process at any moment of its life."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from tests.e2e.servers import eventually, free_port


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(workloads=5) as made:
        yield made


def environment(api: Simulator) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "DATAROBOT_"))}
    return kept | {"DATAROBOT_ENDPOINT": api.url, "DATAROBOT_API_TOKEN": api.token}


def test_the_entry_point_handles_signals_before_it_imports_anything_else() -> None:
    program = "import exporter.__main__, sys; print([name for name in sys.modules if 'exporter' in name])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout == "['exporter', 'exporter.signals', 'exporter.__main__']\n"


@pytest.mark.parametrize(
    ("arguments", "number", "status"),
    [
        ([], signal.SIGTERM, 0),
        (["run"], signal.SIGINT, 0),
        (["demo"], signal.SIGTERM, 0),
        (["--log.level=debug"], signal.SIGTERM, 0),
        (["check"], signal.SIGTERM, 143),
    ],
)
def test_a_signal_during_the_imports_ends_the_process_with_the_status_of_its_command(
    arguments: list[str], number: signal.Signals, status: int
) -> None:
    # The import of the command line is the first thing after the handlers are installed.
    program = (
        "import os, signal, sys\n"
        "class Importing:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'exporter.cli.main': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Importing())\n"
        f"sys.argv[1:] = {arguments}\n"
        "from exporter.__main__ import main\n"
        "sys.exit(main())\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (child.returncode, child.stderr) == (status, b"")


@pytest.mark.long
def test_signals_at_any_moment_stop_the_daemon_with_0_and_reload_it(api: Simulator, tmp_path: Path) -> None:
    for moment in (0, 2, 5, 7):
        log = tmp_path / f"{moment}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "exporter", "run", f"--web.listen-address=127.0.0.1:{free_port()}"],
                env=environment(api), stderr=out,
            )  # fmt: skip
            assert eventually(partial(_handles_hup, child.pid), 30)
            for _ in range(moment * 20):  # the later, the more of the start is over
                child.send_signal(signal.SIGHUP)
            if moment > 4:
                assert eventually(partial(_serves, log), 30)
            child.send_signal(signal.SIGTERM)
            child.send_signal(signal.SIGHUP)
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0, log.read_text()


def _handles_hup(process: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGHUP - 1) & 1)


def _serves(log: Path) -> bool:
    return b"serving" in log.read_bytes()
