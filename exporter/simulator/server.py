"""The simulated API over HTTP: an ASGI application that runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self

import uvicorn

from exporter.simulator.api import SimulatedApi
from exporter.simulator.console import CONSOLE, Explained, console_page
from exporter.simulator.oddities import SimulatedResponse

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_ALL = "0.0.0.0"  # noqa: S104 — only if requested


class Simulator(SimulatedApi):
    """A `SimulatedApi` that is served. Use it as a context manager, or call `start` and `stop`.

    `explained` returns the text of a page in place of the console; it may take a while.

    Raises OSError if the address is in use, ValueError for an unknown oddity.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, explained: Explained | None = None, **api: Any
    ) -> None:
        super().__init__(**api)
        self._explained = explained
        config = uvicorn.Config(
            self._application,
            host=host or _ALL,
            port=port,
            log_config=None,
            log_level="warning",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            date_header=False,  # uvicorn would use the machine's clock instead of `clock`
        )
        self._socket = config.bind_socket()
        # Connections inherit it. Without it, 40 ms pass between the headers and the body of a response.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = "127.0.0.1" if host in ("", _ALL) else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server = _Quiet(config)
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    def start(self) -> Self:
        """Serve in a separate thread until `stop`."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)  # uvicorn does not signal that it has started
        return self

    def stop(self) -> None:
        """Stop the server and its thread."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """Serve in this thread until SIGTERM or Ctrl-C; `ready` is called once both are handled."""

        async def until_signal() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, setattr, self._server, "should_exit", True)
            ready()
            await self._server.serve(sockets=[self._socket])

        asyncio.run(until_signal())

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def _application(self, scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope["raw_path"].decode("latin-1")
        if raw.startswith(CONSOLE):
            await _send(send, await asyncio.to_thread(console_page, raw, self._explained))
            return
        response = self.respond(scope["method"], raw, scope["query_string"].decode("latin-1"), headers)
        if response.delay:
            await asyncio.sleep(response.delay)  # the oddities `slow` and `hanging`
        size = response.fill or len(response.body)
        sent = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
        if "date" not in dict(response.headers):
            sent.append((b"date", formatdate(self.clock() + self.ahead, usegmt=True).encode()))
        if not response.fill and not response.cut:
            sent.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        if response.cut:
            await send(
                {"type": "http.response.body", "body": response.body[: len(response.body) // 2], "more_body": True}
            )
            raise _Cut
        left = response.fill
        with contextlib.suppress(OSError):
            while left > 0:
                await send({"type": "http.response.body", "body": response.body, "more_body": True})
                left -= len(response.body)
        last = b"" if response.fill or scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": last})


async def _send(send: Send, response: SimulatedResponse) -> None:
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


class _Cut(Exception):
    """Ends a connection in the middle of a response."""


class _Quiet(uvicorn.Server):
    """A server that runs in a thread and leaves signals to the main thread."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
