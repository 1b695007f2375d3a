"""The simulated API over real HTTP: an ASGI application in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn

from exporter.simulator.answers import PREFIX, Asked, Refused, routed, situation
from exporter.simulator.oddities import ODDITIES, Answer, Put, active
from exporter.simulator.stories import STORIES
from exporter.simulator.world import World

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON = (("content-type", "application/json"),)
_ALL = "0.0.0.0"  # noqa: S104 — only where it is asked for
TOKEN = "demo-token"  # noqa: S105 — of a simulation


class Simulator:
    """A Workload API with its own fleet. Use as a context manager, or `start` and `stop`.

    `odd` may be set to other names of `ODDITIES` at any time, `clock` to another source of seconds since the epoch.
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
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token, self.strict, self.clock = token, strict, clock
        self.world = World(workloads, seed, speed, clock())
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
            date_header=False,  # it would be that of the machine, whatever `clock` says
        )
        self._socket = config.bind_socket()
        # Inherited by each connection: the head and the body of an answer are two writes, and 40 ms would lie between.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = "127.0.0.1" if host in ("", _ALL) else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server = _Quiet(config)
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def odd(self) -> frozenset[str]:
        """The names of the oddities that are on."""
        return self._odd

    @odd.setter
    def odd(self, names: Iterable[str]) -> None:
        told = frozenset(names)
        try:
            active(told, "")
        except KeyError as error:
            raise ValueError(f"no oddity is called {error}; there are {', '.join(ODDITIES)}") from None
        self._odd = told

    def start(self) -> Self:
        """Serve, in a thread of its own, until `stop`."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)  # uvicorn tells nobody that it has started
        return self

    def stop(self) -> None:
        """End the server and its thread."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """Serve in this thread until SIGTERM or Ctrl-C; `ready` is called once both are heeded."""

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
        answer = self.answer(scope["method"], raw, scope["query_string"].decode("latin-1"), headers)
        if answer.delay:
            await asyncio.sleep(answer.delay)  # an API that is slow on purpose
        size = answer.fill or len(answer.body)
        sent = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        if "date" not in dict(answer.headers):
            sent.append((b"date", formatdate(self.clock(), usegmt=True).encode()))
        if not answer.fill and not answer.cut:
            sent.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        if answer.cut:
            await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
            raise _Cut
        left = answer.fill
        with contextlib.suppress(OSError):
            while left > 0:
                await send({"type": "http.response.body", "body": answer.body, "more_body": True})
                left -= len(answer.body)
        last = b"" if answer.fill or scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": last})

    def answer(self, method: str, path: str, query: str, headers: dict[str, str]) -> Answer:
        """The answer to one request; header names in lower case."""
        if path == "/":
            return Answer(200, (("content-type", "text/plain; charset=utf-8"),), self._landing().encode())
        if method != "GET":
            self.non_get_requests += 1
            return _json(405, {"detail": "Method Not Allowed"})
        below = path.removeprefix(PREFIX)
        try:
            template, handler, ids = routed(below)
        except Refused as refused:
            return _json(refused.status, refused.body)
        answer = self._routed(template, handler, ids, below, parse_qs(query), headers)
        self.requests[template, answer.status] += 1
        return answer

    def _routed(
        self,
        template: str,
        handler: Callable[..., Any],
        ids: tuple[str, ...],
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
    ) -> Answer:
        if headers.get("authorization") != f"Bearer {self.token}":
            return _json(401, {"message": "Invalid API key"})
        now = self.clock()
        role, odd = situation(self.world, ids, now)
        names = active((*self._odd, *odd), template, path, role)
        if "repeating" in names:
            query = query | {"offset": ["0"]}
        offset = query.get("offset", ["0"])[-1]
        put = Put(template, PREFIX + path, path.endswith("/"), int(offset) if offset.isdecimal() else 0, now)
        try:
            body = handler(Asked(self.world, query, now, self.url, self.strict), *ids)
            for name in names:
                reshape = ODDITIES[name].reshape
                body = reshape(body, put) if reshape else body
            answer = _json(200, body)
        except Refused as refused:
            answer = Answer(204, (), b"") if refused.status == 204 else _json(refused.status, refused.body)
        for name in names:
            replace = ODDITIES[name].replace
            answer = replace(answer, put) if replace else answer
        return answer

    def _landing(self) -> str:
        now = self.clock()
        lines = ["A SIMULATION of DataRobot's Workload API. No workload here exists.", ""]
        for number in range(min(self.world.size, len(STORIES))):
            actor = self.world.actor(number)
            lines.append(f"{actor.name:32} {actor.moment(now).step.status:13} {actor.story.shows}")
        return "\n".join(lines) + "\n"


class _Cut(Exception):
    """Ends a connection in the middle of an answer."""


class _Quiet(uvicorn.Server):
    """A server in a thread: signals belong to the main one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _json(status: int, body: Any) -> Answer:
    return Answer(status, JSON, json.dumps(body).encode())


def list_page(*, workloads: int, offset: int = 0, seed: int = 7, now: float = 1.7e9) -> bytes:
    """One page of the list of a fleet that started at 1.7e9, for benchmarks."""
    query = {"limit": ["100"], "offset": [str(offset)], "serviceStats": ["true"]}
    asked = Asked(World(workloads, seed, 1.0, 1.7e9), query, now, "https://dr.test")
    return json.dumps(routed("/workloads")[1](asked)).encode()
