"""Runs with a real process in real time: a unit of the world is ten seconds, the shortest interval of details."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from exporter.alerting.alerts import ALERTS
from tests.e2e.servers import free_port
from tests.reliability.fault import Fault
from tests.reliability.life import UNIT, Life, lived
from tests.reliability.observed import Observed
from tests.reliability.scraper import scraped

REAL_UNIT = 10.0
LEAD_SECONDS = 20.0
"""Real seconds for starting all processes before the world begins."""
STOP_SECONDS = 5.0
"""Real seconds in which a process ends after SIGTERM, as the README says."""
PIPE_BYTES = 4096
"""Capacity of the pipe that standard error is, so that it is soon full."""
API = "http://api.test"
"""The same for all runs, each of which has a proxy of its own: the ids of traces depend on it."""


class ProcessLife(Life):
    """A run of a real `process`, until its end. Its standard error is a pipe that is read unless `unread` is set."""

    process: asyncio.subprocess.Process

    def __init__(self, folder: Path, fault: Fault, start: float) -> None:
        self.api_port, self.port = free_port(), free_port()
        super().__init__(folder, fault, start, REAL_UNIT)
        self.simulator.clock = time.time
        self.scrape_timeout = REAL_UNIT / 2  # this machine may be busy
        self.unread = False
        self._log, self._written = bytearray(), -1

    @property
    def now(self) -> float:
        """Real seconds since the start."""
        return time.time() - self._start

    @property
    def endpoint(self) -> str:
        return API

    def settings(self) -> dict[str, Any]:
        made = super().settings()
        scale = REAL_UNIT / UNIT
        made["alerts"]["keep"] = {alert.name: max(alert.keep) * scale for alert in ALERTS}
        made["log"] = {"level": "debug"}
        return made

    async def start(self) -> None:
        """Start a process."""
        self._written, standard_error = os.pipe()
        os.set_blocking(self._written, False)
        fcntl.fcntl(standard_error, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        passed_on = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "DATAROBOT_"))}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exporter", "run", f"--config.file={self.file}"),
            env=passed_on | {"http_proxy": self.api.url, "no_proxy": "127.0.0.1"},
            stderr=standard_error,
        )
        os.close(standard_error)
        self._loop.add_reader(self._written, self._read, self._written)
        self._lives = True

    def _read(self, pipe: int) -> None:
        if self.unread:
            self._loop.remove_reader(pipe)
        elif data := os.read(pipe, 65536):
            self._log += data
        else:
            self._loop.remove_reader(pipe)
            os.close(pipe)

    def read_again(self) -> None:
        """Read standard error again."""
        self.unread = False
        self._loop.add_reader(self._written, self._read, self._written)

    async def stop(self) -> None:
        """SIGTERM; the process must end in time with status 0."""
        self.process.send_signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> None:
        """Wait for the end of the process after SIGTERM."""
        self._lives = False
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            status = await self.process.wait()
        assert status == 0, f"ended with status {status}: {self._log[-2000:].decode()}"

    async def kill(self) -> None:
        self._lives = False
        self.process.kill()
        await self.process.wait()

    async def scrape(self) -> str | None:
        return await scraped(self.port) if self._lives else None


CALM = Fault("none", lambda _: nullcontext())


def lived_together(folder: Path, faults: Sequence[Fault]) -> tuple[Observed, dict[str, Observed | Exception]]:
    """An undisturbed run, and at the same time one with each of these faults. All see the same world."""

    async def inside() -> list[Observed | BaseException]:
        start = time.time() + LEAD_SECONDS
        lives = []
        for number, fault in enumerate((CALM, *faults)):
            place = folder / str(number)
            place.mkdir()
            lives.append(lived(ProcessLife(place, fault, start), fault))
        return await asyncio.gather(*lives, return_exceptions=True)

    calm, *runs = asyncio.run(inside())
    if isinstance(calm, BaseException):
        raise calm
    found: dict[str, Observed | Exception] = {}
    for fault, run in zip(faults, runs, strict=True):
        if not isinstance(run, Observed | Exception):
            raise run
        found[fault.name] = run
    return calm, found
