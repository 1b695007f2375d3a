"""HTTP servers in the event loop of a run, whose responses may be anything that a broken server can send."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Literal, NamedTuple

from exporter.simulator.oddities import SimulatedResponse

REASON = "Status"


class Request(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def content(self) -> bytes:
        """The body after decompression."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


class Reply(NamedTuple):
    """One response, after `delay` seconds. `fill`: the body is repeated up to this many bytes.

    ``hang``: none, ``reset``: the connection is reset, ``cut``: it ends in the middle of the body, ``drip``: a header
    now and then, for ever, ``raw``: the body is all that is sent, then the connection ends.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    how: Literal["whole", "hang", "reset", "cut", "drip", "raw"] = "whole"
    delay: float = 0.0
    fill: int = 0


def reply(response: SimulatedResponse) -> Reply:
    """What the simulated API would send."""
    how: Literal["cut", "whole"] = "cut" if response.cut else "whole"
    return Reply(response.status, response.body, response.headers, how, response.delay, response.fill)


HANG, RESET, DRIP = Reply(how="hang"), Reply(how="reset"), Reply(how="drip")


class Peer:
    """Serves on a port of its own. `handler` may be replaced at any time; `wall` is its clock."""

    def __init__(
        self, handler: Callable[[Request], Awaitable[Reply]], wall: Callable[[], float], *, port: int = 0
    ) -> None:
        self.handler, self.port = handler, port
        self.tls: ssl.SSLContext | None = None
        self._wall = wall
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and reset those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.sleep(0)  # let the other tasks run

    def reset(self) -> None:
        """Reset all connections."""
        for each in [*self._connections]:
            each.transport.abort()

    async def close(self) -> None:
        """Stop, and end what hangs."""
        await self.down()
        for task in [*self.tasks]:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self._connections.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(writer)
            self.tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        target = re.sub("^http://[^/]*", "", target)  # of a request to a proxy
        path, _, query = target.partition("?")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        answer = await self.handler(Request(method, path, query, headers, body))
        if answer.delay:
            await asyncio.sleep(answer.delay)  # virtual time
        return await self._send(answer, writer)

    async def _send(self, answer: Reply, writer: asyncio.StreamWriter) -> bool:
        match answer.how:
            case "hang":
                await asyncio.Event().wait()
            case "reset":
                writer.transport.abort()
                return False
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    writer.write(b"x: y\r\n")
                    await writer.drain()
                    await asyncio.sleep(1.0)  # virtual time
            case "raw":
                writer.write(answer.body)
                await writer.drain()
                return False
        size = answer.fill or len(answer.body)
        sent = [f"HTTP/1.1 {answer.status} {REASON}", *(f"{name}: {value}" for name, value in answer.headers)]
        if "date" not in dict(answer.headers):
            sent.append(f"date: {formatdate(self._wall(), usegmt=True)}")
        sent.append(f"content-length: {size}")
        writer.write("\r\n".join((*sent, "", "")).encode("latin-1", "replace"))
        if answer.how == "cut":
            writer.write(answer.body[: len(answer.body) // 2])
            with contextlib.suppress(OSError):
                await writer.drain()
            return False
        left = size
        while answer.fill and left > 0:
            writer.write(answer.body[:left])
            left -= len(answer.body)
            await writer.drain()
        if not answer.fill:
            writer.write(answer.body)
        await writer.drain()
        return True
