"""What recording costs: CPU of a sweep with and without it, and the size of an hour of 1,000 workloads."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from exporter.collect.client import Client
from exporter.collect.recording_file import RecordingFile
from exporter.collect.sweep import sweep
from exporter.recording.lines import Exchange, Lines
from exporter.recording.redactor import Redactor
from exporter.telemetry.report import AccountReport, Report
from tests.stage import Stage, played, simulated

SWEEPS = 8
HOUR = 3600.0


class RecordedHour(NamedTuple):
    """A recorded hour: bytes of the file, responses, and seconds of CPU that recording them took."""

    packed: int
    responses: int
    seconds: float


async def _sweeps(url: str, token: str, path: Path) -> tuple[list[float], list[float]]:
    """CPU seconds of sweeps without and with recording, interleaved."""
    report = AccountReport(Report(time.time()), "bench")
    plain, recorded = list[float](), list[float]()
    with RecordingFile(path, Lines(Redactor(bytes(32), time.time())), time.time) as file:
        async with (
            Client(f"{url}/api/v2", lambda: token, report, rate=1000.0) as without,
            Client(f"{url}/api/v2", lambda: token, report, rate=1000.0, record=file.add) as with_record,
        ):
            for _ in range(SWEEPS):
                for client, spent in ((without, plain), (with_record, recorded)):
                    began = time.process_time()
                    assert not (await sweep(client)).failure
                    spent.append(time.process_time() - began)
    return plain, recorded


def sweeps(url: str, token: str) -> tuple[list[float], list[float]]:
    """The same, of an API that another process serves."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_sweeps(url, token, Path(folder) / "a.rec"))


def hour(workloads: int, seconds: float = HOUR, rate: float = 10.0) -> RecordedHour:
    """Record an hour of simulated time with the default budget of requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.rec"

        responses, spent = 0, 0.0

        async def play(stage: Stage) -> None:
            nonlocal responses
            with RecordingFile(path, Lines(Redactor(bytes(32), stage.wall)), lambda: stage.wall) as file:

                def record(exchange: Exchange, date: float | None) -> None:
                    nonlocal spent
                    began = time.process_time()
                    file.add(exchange, date)
                    spent += time.process_time() - began

                stage.client.record = record
                await stage.run(seconds)
                responses = file.responses

        played(play, simulated(workloads), rate=rate)
        return RecordedHour(path.stat().st_size, responses, spent)
