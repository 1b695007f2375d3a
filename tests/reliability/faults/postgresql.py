"""The state is in a PostgreSQL server, which fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from exporter.state.database import StateError
from tests.postgresql import PASSWORD, Server, server
from tests.reliability.fault import Fault
from tests.reliability.life import Life

RETRY_SECONDS = 10.0
"""Until a process that could not start is started again."""


def with_server(life: Life) -> None:
    """A server for the life, and its state in it, with a password from a file."""
    life.postgresql = made = life.stack.enter_context(server())
    password = life.folder / "password"
    password.write_text(PASSWORD)
    state = {"path": None, "url": made.url(host="127.0.0.1"), "password_file": str(password)}
    life.more = {**life.more, "state": state}


def fault(name: str, inject: Callable[[Life, Server], Any], **bounds: Any) -> Fault:
    """A row with such a server."""

    def injected(life: Life) -> Any:
        assert life.postgresql is not None
        return inject(life, life.postgresql)

    return Fault(name, injected, prepare=with_server, **bounds)


@contextmanager
def restarted(_: Life, server: Server) -> Iterator[None]:
    with server.down():
        pass
    yield


@contextmanager
def away(_: Life, server: Server) -> Iterator[None]:
    with server.down():
        yield


@contextmanager
def cut(_: Life, server: Server) -> Iterator[None]:
    server.end_sessions()
    yield


@asynccontextmanager
async def cut_often(_: Life, server: Server) -> AsyncIterator[None]:
    async def cut() -> None:
        while True:
            server.end_sessions()
            await asyncio.sleep(10.0)  # virtual time

    task = asyncio.create_task(cut())
    yield
    task.cancel()


@contextmanager
def hanging(_: Life, server: Server) -> Iterator[None]:
    """The sessions are stopped, and so is what accepts new ones."""
    stopped = [*server.sessions(signal.SIGSTOP), server.pid]
    os.kill(server.pid, signal.SIGSTOP)
    yield
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def read_only(_: Life, server: Server) -> Iterator[None]:
    """What a standby answers, to which connections go after a failover."""
    server.execute("ALTER ROLE exporter SET default_transaction_read_only = on")
    server.end_sessions()
    yield
    server.execute("ALTER ROLE exporter RESET default_transaction_read_only")
    server.end_sessions()


@contextmanager
def other_password(life: Life, server: Server) -> Iterator[None]:
    """The password is another one, and only later in the file."""
    server.execute("ALTER ROLE exporter PASSWORD 'another'")
    server.end_sessions()
    yield
    (life.folder / "password").write_text("another")


@asynccontextmanager
async def away_at_start(life: Life, server: Server) -> AsyncIterator[None]:
    """The server is away when the process is stopped, and when it is started again."""
    with server.down():
        await life.stop()
        restarting = asyncio.create_task(started(life))
        yield
    await restarting


async def started(life: Life) -> None:
    """Start, as often as it takes."""
    while True:
        try:
            await life.start()
        except StateError:
            await asyncio.sleep(RETRY_SECONDS)  # virtual time
        else:
            return


NO_START = "Without its state, the exporter does not start: it would count and notify again what it has before."
HIDDEN: dict[str, Any] = {"served": 0.8, "late": 300.0, "recovered": 180.0, "reason": NO_START}

FAULTS = (
    fault("PostgreSQL is restarted", restarted),
    fault("PostgreSQL is away", away),
    fault("PostgreSQL is away for a quarter of an hour", away, minutes=15.0),
    fault("PostgreSQL is away when the process is started again", away_at_start, **HIDDEN),
    fault("The connection to PostgreSQL is cut", cut),
    fault("The connection to PostgreSQL is cut every ten seconds", cut_often),
    fault("PostgreSQL hangs", hanging),
    fault("PostgreSQL is read-only", read_only),
    fault("The password of PostgreSQL changes before its file does", other_password),
)
