"""/metrics, health, reload and the status page: an ASGI application that writes bytes which are ready.

No request makes it render metrics or ask the API anything; the status page is made when it is asked for, by `front`,
beside the event loop. `Server` runs it in uvicorn, with limits: a client that is
slow to ask, slow to read, or that asks too much is cut, and costs no copy of the page meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import logging
import re
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.settings import listen_address
from exporter.shell.page import Published
from exporter.shell.status_page import POLICY

log = logging.getLogger("exporter")

HEARTBEAT_OLD = 60.0

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Rows = list[dict[str, object]]


class Limits(NamedTuple):
    """What one client may take: connections at once, bytes and seconds of a head, seconds to read an answer."""

    connections: int = 40
    head_bytes: int = 32 * 1024
    head_seconds: float = 10.0
    write_seconds: float = 30.0


class Request(NamedTuple):
    """What a request asks beside its path; `query` is what stands behind the question mark, still encoded."""

    headers: Headers
    query: str
    method: str = "GET"


class Reply(NamedTuple):
    """A status, headers without Content-Length, and a body in parts."""

    status: int
    headers: Headers
    body: tuple[bytes, ...]


def _plain(status: int, text: str, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers], (text.encode(),))


def _json(told: Rows) -> Reply:
    body = json.dumps(told, separators=(",", ":")).encode()
    return Reply(200, [(b"content-type", b"application/json; charset=utf-8")], (body,))


ASKED_BY = b"x-requested-by"
Silenced = Rows | tuple[int, str]
"""Silences, or a status and why there are none to tell."""
_NOT_ENABLED = _plain(404, "not enabled; see web.debug_config\n")


class Application:
    """The ASGI application. `publish` swaps what it serves in one assignment; all else is asked of the callables.

    `reload` returns the problems (empty: done); `heartbeat_age` is in seconds; `not_ready` says why (empty: ready);
    `front` makes the page at / for a query string; `config` gives the settings as text and `episodes` those under way,
    or None where that is not enabled; `targets` are target groups in the format of Prometheus's HTTP service discovery;
    `silences` lists (GET), makes (POST) and ends (DELETE) silences; `count` gets (path, code) of each request;
    `allowed` says whether an Authorization header may pass (None: everyone may).
    """

    def __init__(
        self,
        *,
        metrics_path: str,
        reload: Callable[[], Awaitable[list[str]]],
        heartbeat_age: Callable[[], float],
        not_ready: Callable[[], str],
        front: Callable[[str], Awaitable[bytes]],
        config: Callable[[], str | None],
        episodes: Callable[[], Rows | None],
        targets: Callable[[], Rows],
        silences: Callable[[str, Mapping[str, str]], Silenced],
        count: Callable[[str, str], None],
        allowed: Callable[[str | None], Awaitable[bool]] | None = None,
        limits: Limits = Limits(),  # noqa: B008 — immutable
    ) -> None:
        self._now = Published()
        self._reload, self._heartbeat_age, self._not_ready = reload, heartbeat_age, not_ready
        self._front, self._config, self._episodes = front, config, episodes
        self._count, self._targets, self._silences = count, targets, silences
        self._metrics_path, self._metrics_target = metrics_path, metrics_path.encode()
        self.allowed = allowed
        self.limits = limits
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Request], Awaitable[Reply]]]] = {
            metrics_path: (("GET", "HEAD"), self._metrics),
            "/": (("GET", "HEAD"), self._status),
            "/-/healthy": (("GET", "HEAD"), self._healthy),
            "/-/ready": (("GET", "HEAD"), self._ready),
            "/-/reload": (("POST", "PUT"), self._reloaded),
            "/-/silences": (("GET", "HEAD", "POST", "DELETE"), self._silenced),
            "/sd": (("GET", "HEAD"), self._discovery),
            "/debug/config": (("GET", "HEAD"), self._configured),
            "/debug/episodes": (("GET", "HEAD"), self._under_way),
        }

    def publish(self, page: Published) -> None:
        """Serve `page` from now on."""
        self._now = page

    async def __call__(self, scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
        """Answer one request (ASGI 3.0, http scope only)."""
        if scope["type"] != "http":
            return
        reply = await self._answer(scope)
        headers = self._told(scope["path"], reply)
        *parts, last = (b"",) if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    def scraped(self, path: bytes, headers: Headers) -> Reply | None:
        """The answer to a scrape, where it needs no waiting for anybody: the metrics, and nobody to be let in first."""
        if self.allowed is not None or path != self._metrics_target:
            return None
        reply = self._page(headers)
        return reply._replace(headers=self._told(self._metrics_path, reply))

    def _told(self, path: str, reply: Reply) -> Headers:
        """All headers of a reply, which is counted."""
        self._count(path if path in self._routes else "other", str(reply.status))
        length = str(sum(map(len, reply.body))).encode()
        return [*reply.headers, (b"content-length", length), (b"x-content-type-options", b"nosniff")]

    async def _answer(self, scope: MutableMapping[str, Any]) -> Reply:
        headers: Headers = scope["headers"]
        if self.allowed is not None and not await self.allowed(_header(headers, b"authorization") or None):
            return _plain(401, "Unauthorized\n", (b"www-authenticate", b'Basic realm="workload-exporter"'))
        methods, answer = self._routes.get(scope["path"], ((), None))
        if answer is None:
            return _plain(404, f"not found; there are {' '.join(self._routes)}\n")
        if scope["method"] not in methods:
            return _plain(405, f"only {' and '.join(methods)}\n", (b"allow", ", ".join(methods).encode()))
        return await answer(Request(headers, scope.get("query_string", b"").decode("latin-1"), scope["method"]))

    async def _metrics(self, request: Request) -> Reply:
        return self._page(request.headers)

    def _page(self, headers: Headers) -> Reply:
        page = self._now
        kind = content_type(_header(headers, b"accept"))
        openmetrics = kind.startswith("application/")
        told: Headers = [(b"content-type", kind.encode()), (b"vary", b"accept, accept-encoding")]
        if accepts_gzip(_header(headers, b"accept-encoding")):
            body = page.openmetrics_gzip if openmetrics else page.text_gzip
            return Reply(200, [*told, (b"content-encoding", b"gzip")], (body,))
        return Reply(200, told, page.openmetrics if openmetrics else page.text)

    async def _healthy(self, _: Request) -> Reply:
        age = self._heartbeat_age()
        if age > HEARTBEAT_OLD:
            return _plain(503, f"not healthy: the page was last brought up to date {age:.0f} s ago\n")
        return _plain(200, "healthy\n")

    async def _ready(self, _: Request) -> Reply:
        why = self._not_ready()
        return _plain(503, f"not ready: {why}\n") if why else _plain(200, "ready\n")

    async def _reloaded(self, _: Request) -> Reply:
        problems = await self._reload()
        if problems:
            return _plain(500, "bad settings, the old ones stay in force:\n" + "".join(f"{p}\n" for p in problems))
        return _plain(200, "reloaded\n")

    async def _configured(self, _: Request) -> Reply:
        text = self._config()
        return _NOT_ENABLED if text is None else _plain(200, text)

    async def _under_way(self, _: Request) -> Reply:
        told = self._episodes()
        return _NOT_ENABLED if told is None else _json(told)

    async def _silenced(self, request: Request) -> Reply:
        if request.method in ("POST", "DELETE") and not _header(request.headers, ASKED_BY):
            # A page of somebody else's that a person has open cannot send it, and so cannot mute anything.
            return _plain(403, f"send the header {ASKED_BY.decode()}, with whatever you like\n")
        asked = parse_qsl(request.query, keep_blank_values=True)
        wrong = misgiven(asked)
        if wrong:
            return _plain(400, f"{wrong}\n")
        told = self._silences(request.method, dict(asked))
        return _json(told) if isinstance(told, list) else _plain(*told)

    async def _discovery(self, _: Request) -> Reply:
        return _json(self._targets())

    async def _status(self, request: Request) -> Reply:
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", POLICY.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ]
        return Reply(200, headers, (await self._front(request.query),))


def misgiven(asked: Sequence[tuple[str, str]]) -> str:
    """What is wrong with what is asked about silences (empty: nothing): all is given once, and all but a comment has a
    value. ``account=a workload_id=`` of a script whose variable is empty would else silence a whole account.
    """
    for name, number in Counter(name for name, _ in asked).items():
        if number > 1:
            return f"{name} is given twice; give one value"
    blank = [name for name, value in asked if not value and name != "comment"]
    return f"{blank[0]} has no value; give {blank[0]}=VALUE" if blank else ""


def _header(headers: Headers, name: bytes) -> str:
    return b",".join(value for told, value in headers if told == name).decode("latin-1")


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"\s*[01](\.\d{0,3})?\s*", value) else 0.0
    return 1.0


@functools.lru_cache(maxsize=256)
def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110 12.5.3): named, or by ``*``, and not with q=0."""
    weights = {name.strip(): _weight(rest) for name, *rest in (p.split(";") for p in header.casefold().split(","))}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version={}; charset=utf-8"


@functools.lru_cache(maxsize=256)
def content_type(header: str) -> str:
    """The Content-Type to answer an Accept header with (RFC 9110 12.5.1): the dearest of what we have, else text.

    Our names are plain in every escaping scheme, so the scheme that is asked for is the one that is told.
    """
    best, best_weight = TEXT, 0.0
    for part in header.split(","):
        kind, *parameters = (piece.strip() for piece in part.casefold().split(";"))
        told = dict(p.partition("=")[::2] for p in parameters)
        weight = _weight(parameters)
        offer = ""
        if kind == "application/openmetrics-text" and told.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            offer = OPENMETRICS.format(told.get("version", "1.0.0"))
            if re.fullmatch(r"[a-z0-9-]+", told.get("escaping", "")):
                offer += f"; escaping={told['escaping']}"
        elif kind in ("text/plain", "text/*", "*/*"):
            offer = TEXT
        if offer and weight > best_weight:
            best, best_weight = offer, weight
    return best


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the limits it lacks: time and bytes for the head, and an end for unread answers.

    A plain scrape is answered at once, without a task of its own: that is a third of the time of a small page.
    """

    def __init__(self, application: Application, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._application, self._limits = application, application.limits
        self._answered = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._head_came()
        self._answer_was_read()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a head that is too long, else go on."""
        if self._head_timer is not None:
            self._head += len(data)
            if self._head > self._limits.head_bytes:
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the time for this head."""
        self._answer_was_read()
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: start the time for the answer."""
        self._head_came()
        self._read_timer = self.loop.call_later(self._limits.write_seconds, self.transport.abort)
        reply = self._application.scraped(self.url, self.headers) if self._plain() else None
        self._answered = reply is not None
        if reply is None:
            super().on_headers_complete()
            return
        head = b"".join([b"%s: %s\r\n" % pair for pair in (*self.server_state.default_headers, *reply.headers)])
        self.transport.writelines([b"HTTP/1.1 200 OK\r\n", head, b"\r\n", *reply.body])
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Leave the body of a request that is answered."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if not self._answered:
            super().on_message_complete()

    def _plain(self) -> bool:
        """Whether this is a GET that stays connected, with no answer under way before it and room for one more."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and (self.cycle is None or self.cycle.response_complete)  # type: ignore[redundant-expr]  # None at first
            and len(self.connections) < self._limits.connections
        )

    def on_response_complete(self) -> None:
        """All is handed to the system; what a slow client has not taken yet keeps its time running."""
        if not self.transport.get_write_buffer_size():
            self._answer_was_read()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head = 0
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self.transport.abort)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _answer_was_read(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


class Server(uvicorn.Server):
    """uvicorn on sockets that are bound already, without its signal handling, which would raise SIGTERM again."""

    def __init__(self, application: Application, listen: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        """Bind all addresses. Raises OSError that names the address which could not be had."""
        self._sockets = bound(listen)
        config = uvicorn.Config(
            application,
            http=functools.partial(Protocol, application),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=application.limits.connections,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=4,
        )
        config.load()
        config.ssl = tls
        super().__init__(config)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [each.getsockname()[:2] for each in self._sockets]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the daemon."""
        yield

    def stop(self) -> None:
        """End `run` after the answers under way; never later than five seconds."""
        self.should_exit = True

    async def run_until_stopped(self) -> None:
        """Serve until `stop`."""
        await self.serve(sockets=self._sockets)


def bound(listen: Sequence[str]) -> list[socket.socket]:
    """One listening socket an address; an empty host means all addresses, of IPv6 too where there is such a thing."""
    sockets: list[socket.socket] = []
    try:
        for address in listen:
            host, port = listen_address(address)
            dual = not host and socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
            try:
                made = socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=dual)
            except OSError as error:
                remedy = {
                    errno.EADDRINUSE: "is taken; stop the other program or give --web.listen-address another port",
                    errno.EACCES: "may not be had; ports below 1024 want a right that this user lacks",
                }.get(error.errno or 0, f"cannot be listened on: {error.strerror or error}")
                raise OSError(f"{address} {remedy}") from error
            made.setblocking(False)
            sockets.append(made)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
