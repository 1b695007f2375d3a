"""Clients of the exporter's own port that use it up, beside a scraper that must be served."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import bcrypt
import yaml

from tests.reliability.fault import Fault, Inject
from tests.reliability.life import Life
from tests.reliability.scraper import LOGIN

LONG = b"GET / HTTP/1.1\r\nx: " + b"x" * 1_000_000
GET = b"GET /metrics HTTP/1.1\r\nhost: exporter\r\n\r\n"
Client = Callable[[Life, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def clients(number: int, behave: Client, every: float = 2.0) -> Inject:
    """So many clients that connect again whenever they are disconnected."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        async def client() -> None:
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", life.port)
                    try:
                        await behave(life, reader, writer)
                    finally:
                        writer.transport.abort()
                await asyncio.sleep(every)  # virtual time

        tasks = [asyncio.create_task(client()) for _ in range(number)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return injected


def sends(data: bytes, *, reads: bool = False) -> Client:
    """Sends these bytes and stays; `reads`: until the server disconnects it."""

    async def behave(_: Life, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await reader.read() if reads else await asyncio.sleep(3600.0)  # it never reads

    return behave


async def drips(_: Life, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends one byte a second of a header that never ends."""
    writer.write(GET[:-2])
    while not writer.transport.is_closing():
        writer.write(b"x")
        await asyncio.sleep(1.0)  # virtual time


async def scrapes(_: Life, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One more scraper."""
    writer.write(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    await reader.read()


async def guesses(life: Life, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A wrong password, another one each time; hangs up before the answer."""
    login = b64encode(f"prometheus:wrong-{life.now}-{id(writer)}".encode()).decode()
    writer.write(GET.replace(b"\r\n\r\n", f"\r\nauthorization: Basic {login}\r\n\r\n".encode()))
    await asyncio.sleep(1.0)  # virtual time


def with_passwords(life: Life) -> None:
    """The exporter requires a password, which the scraper knows."""
    user, password = LOGIN
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode()
    (life.folder / "web.yaml").write_text(yaml.safe_dump({"basic_auth_users": {user: hashed}}))
    life.more = {"web": {"config_file": str(life.folder / "web.yaml")}}


FAULTS = (
    Fault("200 clients connect and send nothing", clients(200, sends(b"")), serves=True),
    Fault("50 clients request the page and read nothing", clients(50, sends(GET * 50)), serves=True),
    Fault("50 clients send a header that never ends", clients(50, drips), serves=True),
    Fault("Clients send headers of a megabyte", clients(5, sends(LONG, reads=True)), serves=True),
    Fault("Clients send bytes that are not HTTP", clients(20, sends(b"\x16\x03\x01\x02\x00\xff" * 99, reads=True)),
          serves=True),
    Fault("30 more scrapers every two seconds", clients(30, scrapes), serves=True, minutes=2.0),
    Fault("20 clients guess passwords", clients(20, guesses), serves=True, prepare=with_passwords),
)  # fmt: skip
