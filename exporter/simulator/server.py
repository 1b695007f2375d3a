"""The simulated API over HTTP: an ASGI application that runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn

from exporter.simulator.oddities import ODDITIES, RequestFacts, SimulatedResponse, active
from exporter.simulator.request import PREFIX, ErrorResponse, SimulatedRequest, moved
from exporter.simulator.routes import role_and_oddities, routed
from exporter.simulator.stories import STORIES, Story
from exporter.simulator.world import World

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON = (("content-type", "application/json"),)
_ALL = "0.0.0.0"  # noqa: S104 — only if requested
RELEASE = "11.14.0"
"""The platform's release."""
TOKEN = "demo-token"  # noqa: S105 — of a simulation


class Simulator:
    """A Workload API with its own fleet. Use it as a context manager, or call `start` and `stop`.

    `odd` may be set to other names of `ODDITIES` at any time, `clock` to another source of seconds since the epoch,
    and `ahead`. The first workloads play one of `stories` each.
    `requests` counts (template, status); `non_get_requests` counts requests with other methods. Raises OSError if the
    address is in use, ValueError for an unknown oddity.
    """

    def __init__(
        self,
        *,
        workloads: int = 50,
        seed: int = 7,
        speed: float = 1.0,
        token: str = TOKEN,
        strict: bool = False,
        odd: Iterable[str] = (),
        stories: Sequence[Story] = STORIES,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token, self.strict, self.clock = token, strict, clock
        self.world = World(workloads, seed, speed, clock(), stories)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.non_get_requests = 0
        self._odd: frozenset[str] = frozenset()
        self.odd = frozenset(odd)
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

    @property
    def odd(self) -> frozenset[str]:
        """The names of the active oddities."""
        return self._odd

    @odd.setter
    def odd(self, names: Iterable[str]) -> None:
        wanted = frozenset(names)
        try:
            active(wanted, "")
        except KeyError as error:
            raise ValueError(f"Unknown oddity {error}. Oddities: {', '.join(ODDITIES)}") from None
        self._odd = wanted

    @property
    def ahead(self) -> float:
        """Seconds that the API's clock is ahead of the client's, in all timestamps and in Date headers."""
        return self.world.ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self.world.ahead = seconds

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

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        """The response to one request; header names are in lower case."""
        if path == "/":
            return SimulatedResponse(200, (("content-type", "text/plain; charset=utf-8"),), self._landing().encode())
        if method != "GET":
            self.non_get_requests += 1
            return _json(405, {"detail": "Method Not Allowed"})
        if path == "/config":  # needs no token
            self.requests["/config", 200] += 1
            return _json(200, {"release": RELEASE})
        below = path.removeprefix(PREFIX)
        try:
            template, handler, ids = routed(below)
        except ErrorResponse as error:
            return _json(error.status, error.body)
        response = self._routed(template, handler, ids, below, parse_qs(query), headers)
        self.requests[template, response.status] += 1
        return response

    def _routed(
        self,
        template: str,
        handler: Callable[..., Any],
        ids: tuple[str, ...],
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
    ) -> SimulatedResponse:
        if headers.get("authorization") != f"Bearer {self.token}":
            return _json(401, {"message": "Invalid API key"})
        now = self.clock()
        role, odd = role_and_oddities(self.world, ids, now)
        names = active((*self._odd, *odd), template, path, role)
        if "repeating" in names:
            query = query | {"offset": ["0"]}
        if "short-pages" in names and query.get("limit", ["10"])[-1].isdecimal():
            query = query | {"limit": [str(min(2, int(query.get("limit", ["10"])[-1])))]}
        offset = query.get("offset", ["0"])[-1]
        facts = RequestFacts(template, PREFIX + path, path.endswith("/"), int(offset) if offset.isdecimal() else 0, now)
        if ahead := self.ahead:
            query = {name: [moved(text, -ahead) for text in texts] for name, texts in query.items()}
        try:
            body = handler(SimulatedRequest(self.world, query, now, self.url, self.strict), *ids)
            if ahead:
                body = moved(body, ahead)
            for name in names:
                reshape = ODDITIES[name].reshape
                body = reshape(body, facts) if reshape else body
            response = _json(200, body)
        except ErrorResponse as error:
            response = SimulatedResponse(204, (), b"") if error.status == 204 else _json(error.status, error.body)
        for name in names:
            replace = ODDITIES[name].replace
            response = replace(response, facts) if replace else response
        return response

    def _landing(self) -> str:
        now = self.clock()
        lines = ["A SIMULATION of DataRobot's Workload API. No workload here exists.", ""]
        for number in range(min(self.world.size, len(self.world.stories))):
            actor = self.world.actor(number)
            lines.append(f"{actor.name:32} {actor.moment(now).step.status:13} {actor.story.shows}")
        return "\n".join(lines) + "\n"


class _Cut(Exception):
    """Ends a connection in the middle of a response."""


class _Quiet(uvicorn.Server):
    """A server that runs in a thread and leaves signals to the main thread."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _json(status: int, body: Any) -> SimulatedResponse:
    return SimulatedResponse(status, JSON, json.dumps(body).encode())


def list_page(*, workloads: int, offset: int = 0, seed: int = 7, now: float = 1.7e9) -> bytes:
    """One page of the workload list of a fleet that started at 1.7e9, for benchmarks."""
    query = {"limit": ["100"], "offset": [str(offset)], "serviceStats": ["true"]}
    request = SimulatedRequest(World(workloads, seed, 1.0, 1.7e9), query, now, "https://dr.test")
    return json.dumps(routed("/workloads")[1](request)).encode()
