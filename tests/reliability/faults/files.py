"""Files that change while the exporter runs, and reloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.reliability.fault import OUTAGE, Fault, Inject
from tests.reliability.life import Life


def contains(file: Callable[[Life], Path], change: Callable[[str], str | None], *, reloads: bool = False) -> Inject:
    """A file has other contents, or is removed (None), and is restored at the end. `reloads`: a reload is requested."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        place = file(life)
        before = place.read_text()
        after = change(before)
        if after is None:
            place.unlink()
        else:
            place.write_text(after)
        if reloads:
            await life.daemon.reload()
        yield
        place.write_text(before)
        if reloads:
            await life.daemon.reload()

    return injected


def token(life: Life) -> Path:
    return life.token


def settings(life: Life) -> Path:
    return life.file


@asynccontextmanager
async def rotated(life: Life) -> AsyncIterator[None]:
    """Another token, known to the API at the moment when the file has it."""
    life.simulator.token = "another-token"
    life.token.write_text("another-token")
    yield


@contextmanager
def rotated_late(life: Life) -> Iterator[None]:
    """The API refuses the token; the file has another one when the fault ends."""
    life.simulator.token = "another-token"
    yield
    life.token.write_text("another-token")


@asynccontextmanager
async def reloads(life: Life) -> AsyncIterator[None]:
    """A reload of unchanged settings every two seconds."""

    async def reload() -> None:
        while True:
            assert await life.daemon.reload() == []
            await asyncio.sleep(2.0)  # virtual time

    task = asyncio.create_task(reload())
    yield
    task.cancel()


def other_settings(**more: Any) -> Inject:
    """Other settings are put in force by a reload, and the first ones again at the end."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        life.write(life.settings() | more)
        assert await life.daemon.reload() == []
        yield
        life.write()
        assert await life.daemon.reload() == []

    return injected


@asynccontextmanager
async def churn(life: Life) -> AsyncIterator[None]:
    """Every ten seconds a reload changes all clients, the collector's settings and the receivers'."""

    async def change() -> None:
        for number in range(24):
            made = life.settings()
            made["accounts"][0]["concurrency"] = 3 + number % 3
            made["traces"]["max_age"] = 3600 + number
            made["alerts"]["labels"] = {"try": str(number)}
            life.write(made)
            assert await life.daemon.reload() == []
            await asyncio.sleep(10.0)  # virtual time

    task = asyncio.create_task(change())
    yield
    task.cancel()
    life.write()
    assert await life.daemon.reload() == []


NO_CERTIFICATE = f"- ca_file: {__file__}\n  endpoint"

FAULTS = (
    Fault("The token is replaced, in the API and in its file", rotated),
    Fault("The token is replaced in the API, in its file four minutes later", rotated_late, **OUTAGE),
    Fault("The token file is half written", contains(token, lambda text: text[:4]), **OUTAGE),
    Fault("The token file is empty", contains(token, lambda _: ""), **OUTAGE),
    Fault("The token file is removed", contains(token, lambda _: None), **OUTAGE),
    Fault("The token file holds binary data", contains(token, lambda text: f"{text}\x00\x7f"), **OUTAGE),
    Fault("The settings file is removed", contains(settings, lambda _: None)),
    Fault("The settings file is removed, and a reload requested", contains(settings, lambda _: None, reloads=True)),
    Fault("The settings file is half written", contains(settings, lambda text: text[: len(text) // 2])),
    Fault("A reload of settings that are not valid", contains(settings, lambda text: f"{text}swep: 1", reloads=True)),
    Fault("A reload names a certificate file that holds none",
          contains(settings, lambda text: text.replace("- endpoint", NO_CERTIFICATE), reloads=True)),
    Fault("A reload every two seconds", reloads),
    Fault("A reload with other settings every ten seconds", churn),
    Fault("The sweep interval is changed by a reload", other_settings(sweep={"interval": "20s"})),
    Fault("Traces are turned off by a reload, and on again", other_settings(traces={}),
          recovered=300.0, lost=("2 spans",), reason="Without a collector in the settings no traces are made."),
    Fault("Paging is left to rules by a reload, and direct again", other_settings(paging={"who": "rules"}), late=300.0),
)  # fmt: skip
