"""A disk that fails, ends and restarts of the process, and clocks that are set."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any

from exporter.simulator.oddities import SimulatedResponse
from tests.disks import full_disk
from tests.reliability.fault import OUTAGE, Fault, Inject
from tests.reliability.faults import api, collector, receivers
from tests.reliability.life import Life, enter
from tests.reliability.servers import Request

Damage = Callable[[Path], None]
"""Damages the state file at a path, while nothing uses it."""


def restarted(*, killed: bool, gap: float = 5.0, times: int = 1, damage: Damage = lambda _: None) -> Inject:
    """The process ends, and starts again after `gap` seconds; so many times within the fault."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        for number in range(times):
            await (life.kill() if killed else life.stop())
            damage(life.folder / "state.db")
            await asyncio.sleep(gap)  # virtual time
            await life.start()
            if number < times - 1:
                await asyncio.sleep(230.0 / times)  # virtual time
        yield

    return injected


def during(fault: Inject, *, killed: bool = True) -> Inject:
    """Another fault, in the middle of which the process ends and starts again."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await enter(stack, fault(life))
            await asyncio.sleep(120.0)  # virtual time
            await (life.kill() if killed else life.stop())
            await asyncio.sleep(5.0)  # virtual time
            await life.start()
            yield

    return injected


def together(*faults: Inject) -> Inject:
    """Several faults at once."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in faults:
                await enter(stack, each(life))
            yield

    return injected


@contextmanager
def full(life: Life) -> Iterator[None]:
    with full_disk(life.store):
        yield


@contextmanager
def quite_full(life: Life) -> Iterator[None]:
    with full_disk(life.store, spent=True):
        yield


@contextmanager
def read_only(life: Life) -> Iterator[None]:
    """What a file system that was remounted read-only answers to a write."""
    with life.store._reading() as db:
        db.execute("PRAGMA query_only=1")
    yield
    with life.store._reading() as db:
        db.execute("PRAGMA query_only=0")


@contextmanager
def hanging(life: Life) -> Iterator[None]:
    """No operation of the disk ends."""
    ended = threading.Event()
    life.store._thread.submit(ended.wait, 120.0)
    yield
    ended.set()


@asynccontextmanager
async def hanging_at_times(life: Life) -> AsyncIterator[None]:
    """The disk hangs for four of every five seconds."""

    async def hang() -> None:
        while True:
            ended = threading.Event()
            life.store._thread.submit(ended.wait, 60.0)
            try:
                await asyncio.sleep(4.0)  # virtual time
            finally:
                ended.set()
            await asyncio.sleep(1.0)  # virtual time

    task = asyncio.create_task(hang())
    yield
    task.cancel()


@contextmanager
def unlinked(life: Life) -> Iterator[None]:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{life.store.path}{suffix}").unlink(missing_ok=True)
    yield


@asynccontextmanager
async def unlinked_and_killed(life: Life) -> AsyncIterator[None]:
    with unlinked(life):
        yield
    await life.kill()
    await life.start()


@asynccontextmanager
async def full_and_killed(life: Life) -> AsyncIterator[None]:
    with full_disk(life.store):
        await asyncio.sleep(235.0)  # virtual time
        await life.kill()
    await asyncio.sleep(1.0)  # virtual time
    await life.start()
    yield


def cut_log(path: Path) -> None:
    """The last frames of the write-ahead log are not whole."""
    log = Path(f"{path}-wal")
    log.write_bytes(log.read_bytes()[:-2000])


def garbage(path: Path) -> None:
    """The file holds something else."""
    path.write_bytes(b"no database" * 1000)


def bad_row(path: Path) -> None:
    """The row of one workload holds bytes that are not UTF-8."""
    db = sqlite3.connect(path)
    db.execute("UPDATE workload SET ledger = x'ff00ff' WHERE id = (SELECT min(id) FROM workload)")
    db.commit()
    db.close()


def nothing(_: Life) -> AbstractContextManager[None]:
    return nullcontext()


def clock_set(seconds: float) -> Inject:
    """Our wall clock is set, and right again at the end."""

    @contextmanager
    def injected(life: Life) -> Iterator[None]:
        life.ahead = seconds
        yield
        life.ahead = 0.0

    return injected


def our_clock(seconds: float) -> Callable[[Life], None]:
    """Our wall clock is ahead of the API's from the start to the end."""

    def prepare(life: Life) -> None:
        life.ahead = seconds

    return prepare


def dates(ahead: Callable[[int], float]) -> Inject:
    """The API's Date headers are ahead by some seconds, as a function of the number of the response."""

    def injected(life: Life) -> AbstractContextManager[None]:
        def answer(_: Request, response: SimulatedResponse) -> SimulatedResponse:
            date = formatdate(life.simulator.clock() + ahead(next(number)), usegmt=True)
            others = (pair for pair in response.headers if pair[0] != "date")
            return response._replace(headers=(*others, ("date", date)))

        number = count()
        return life.answering(answer)

    return injected


def set_aside(life: Life) -> None:
    life.more = {"state": {"on_trouble": "set_aside"}}


AFTER_START = "Nothing is served while the process does not run, and no workload until the API has been read once."
DATES: Mapping[str, Any] = {
    "lost": ("10 spans",),
    "reason": "The pods of a replacement are assigned to it by their times, which are compared by the Date headers.",
}

FAULTS = (
    Fault("The disk is full", full),
    Fault("The disk is full, and what the state keeps free is used up", quite_full),
    Fault("The disk is full, and the process is killed", full_and_killed, served=0.9),
    Fault("The disk is read-only", read_only),
    Fault("The disk hangs", hanging),
    Fault("The disk hangs for four of every five seconds", hanging_at_times),
    Fault("The state file is removed", unlinked),
    Fault("The state file is removed, and later the process is killed", unlinked_and_killed),
    Fault("The process is stopped and started again", restarted(killed=False), served=0.9),
    Fault("The process is stopped for three minutes", restarted(killed=False, gap=180.0), served=0.8, late=300.0,
          reason=AFTER_START),
    Fault("The process is killed and started again", restarted(killed=True), served=0.9),
    Fault("The process is killed ten times", restarted(killed=True, times=10), served=0.7, reason=AFTER_START),
    Fault("The process is killed, and the state's log is cut", restarted(killed=True, damage=cut_log), served=0.9),
    Fault("The process is stopped, and a row of the state is damaged", restarted(killed=False, damage=bad_row),
          served=0.9),
    Fault("The state file is overwritten while the process is stopped", restarted(killed=False, damage=garbage),
          prepare=set_aside, served=0.9, recovered=1500.0, lost=("1 workload_transitions", "3 spans"),
          reason="What was counted before is in the file that was set aside."),
    Fault("The process is killed while the API is down", during(api.down), late=300.0, recovered=180.0, served=0.8,
          reason=AFTER_START),
    Fault("The process is killed while all receivers are down", during(receivers.all_down), late=300.0, served=0.9),
    Fault("The process is killed while the collector is down", during(collector.down), served=0.9),
    Fault("The wall clock is set back an hour", clock_set(-3600.0)),
    Fault("The wall clock is set forward an hour", clock_set(3600.0)),
    Fault("Our clock is five minutes behind the API's from the start", nothing, prepare=our_clock(-300.0)),
    Fault("Our clock is five minutes ahead of the API's from the start", nothing, prepare=our_clock(300.0)),
    Fault("The Date headers of the API are five minutes ahead", dates(lambda _: 300.0), **DATES),
    Fault("The Date headers of the API are five minutes behind", dates(lambda _: -300.0), **DATES),
    Fault("The Date headers of the API jump by ten minutes, every 20 responses",
          dates(lambda number: 300.0 if number // 20 % 2 else -300.0)),
    Fault("Every other Date header of the API is five minutes ahead", dates(lambda number: number % 2 * 300.0)),
    Fault("The wall clock is set back five minutes", clock_set(-300.0)),
    Fault("The wall clock is set forward five minutes", clock_set(300.0)),
    Fault("API, receivers and collector are down at once", together(api.down, receivers.all_down, collector.down),
          **OUTAGE),
    Fault("API, receivers, collector and disk fail at once, and the process is killed",
          during(together(api.down, receivers.all_down, collector.down, read_only)), late=300.0, recovered=180.0,
          served=0.8, reason=AFTER_START),
)  # fmt: skip
