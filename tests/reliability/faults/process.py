"""What the system does to a real process: signals, a standard error that nobody reads, few file descriptors."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.reliability.fault import Fault, Inject
from tests.reliability.life import Life, enter
from tests.reliability.process import ProcessLife


def _of(life: Life) -> ProcessLife:
    assert isinstance(life, ProcessLife)
    return life


@contextmanager
def suspended(life: Life) -> Iterator[None]:
    process = _of(life).process
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


@contextmanager
def unread(life: Life) -> Iterator[None]:
    """Nobody reads standard error."""
    real = _of(life)
    real.unread = True
    yield
    real.read_again()


def few_descriptors(number: Callable[[int], int]) -> Inject:
    """The process may have file descriptors below a number, computed from the lowest one that is free."""

    @contextmanager
    def injected(life: Life) -> Iterator[None]:
        process = _of(life).process.pid
        before = resource.prlimit(process, resource.RLIMIT_NOFILE)
        used = {int(each.name) for each in Path(f"/proc/{process}/fd").iterdir()}
        free = next(each for each in itertools.count() if each not in used)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (number(free), before[1]))
        yield
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)

    return injected


@asynccontextmanager
async def few_descriptors_used_up(life: Life) -> AsyncIterator[None]:
    """64 file descriptors, and 60 clients that connect and send nothing."""
    async with AsyncExitStack() as stack:
        await enter(stack, few_descriptors(lambda _: 64)(life))
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", life.port) for _ in range(60)))
        yield
        for _, writer in opened:
            writer.transport.abort()


@contextmanager
def hangups(life: Life) -> Iterator[None]:
    for _ in range(200):
        _of(life).process.send_signal(signal.SIGHUP)
    yield


def terminated_in_a_reload(change: Callable[[Life], None]) -> Inject:
    """The settings file is changed, SIGHUP, at once SIGTERM; after five seconds the process is started again."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        real = _of(life)
        change(life)
        real.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.05)  # so that the reload has begun
        await real.stop()
        life.file.unlink()
        life.write()
        await asyncio.sleep(5.0)  # as a supervisor waits
        await real.start()
        yield

    return injected


def other(life: Life) -> None:
    made = life.settings()
    made["accounts"][0]["concurrency"] = 3
    made["alerts"]["labels"] = {"try": "1"}
    life.write(made)


def never_opens(life: Life) -> None:
    """The settings file is a pipe."""
    life.file.unlink()
    os.mkfifo(Path(life.file))


STOPPED = "Nothing is served while the process does not run."

FAULTS = (
    Fault("The process is suspended for a minute (SIGSTOP)", suspended, minutes=6.0, late=90.0, served=0.7,
          reason=STOPPED),
    Fault("Nobody reads standard error, and its pipe is full", unread),
    Fault("The process cannot open any file descriptor", few_descriptors(lambda free: free), late=90.0, served=0.8,
          reason="The scraper opens a connection for each scrape; those that are open are served."),
    Fault("The process may have 64 file descriptors, and 60 clients connect", few_descriptors_used_up, served=0.95),
    Fault("200 signals to reload at once (SIGHUP)", hangups),
    Fault("SIGTERM during a reload, and a new start", terminated_in_a_reload(other), served=0.8, reason=STOPPED),
    Fault("SIGTERM while a reload waits for a file that never opens", terminated_in_a_reload(never_opens), served=0.8,
          reason=STOPPED),
)  # fmt: skip
