"""Sizes of the wheel and of what it installs, and the times until commands have started."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
"""What `python -m venv` itself installs."""
ROUNDS = 9
STARTS = 5
PATIENCE = 60.0


class Installation(NamedTuple):
    """An environment with the wheel: its program, the size of the wheel, and what is installed, in bytes by name."""

    program: Path
    wheel: int
    installed: dict[str, int]


def size(place: Path) -> int:
    """The bytes on disk of a file or folder, as `du` counts them."""
    return sum(each.lstat().st_blocks for each in (place, *place.rglob("*"))) * 512


def install(folder: Path) -> Installation:
    """Build the wheel and install it, without extras, into a new environment below `folder`; uses the package index."""
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run((sys.executable, "-m", "venv", environment), check=True)
    subprocess.run((environment / "bin/python", "-m", "pip", "install", "--quiet", wheel), check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    installed = {each.name: size(each) for each in packages.iterdir() if not each.name.startswith(NOT_OURS)}
    return Installation(environment / "bin/workload-exporter", wheel.stat().st_size, installed)


def starts(program: Path) -> dict[str, float]:
    """Seconds that processes take, as interleaved medians: of Python alone, `--version` and `--help`."""
    commands = {
        "python": (program.with_name("python"), "-c", "pass"),
        "--version": (program, "--version"),
        "--help": (program, "--help"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(_timed(lambda command=command: subprocess.run(command, stdout=subprocess.DEVNULL)))  # type: ignore[misc]
    return {name: median(each) for name, each in times.items()}


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def first_metrics(program: Path, port: int) -> float:
    """Seconds from the start of the demo until `/metrics` has its workloads, as a median."""
    return median(_timed(lambda: _first_metrics(program, port)) for _ in range(STARTS))


def _first_metrics(program: Path, port: int) -> None:
    with _demo(program, port):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
                    if b"\ndatarobot_workload_status{" in response.read():
                        return
            except OSError:
                pass  # it does not listen yet
            time.sleep(0.005)  # another process does not signal that it serves
        raise TimeoutError("the demo serves no workloads")


@contextmanager
def _demo(program: Path, port: int) -> Iterator[None]:
    command = (program, "demo", f"--web.listen-address=127.0.0.1:{port}")
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()
