"""/metrics, health, reload and the status page: an ASGI application that serves prepared bytes.

No request renders metrics or sends an API request. The status page is rendered on request by `front`, outside the event
loop. `Server` runs the application in uvicorn with limits: a client that is slow to send, slow to read, or sends too
much is disconnected, and costs no copy of the page. Metrics and health are served regardless of the number of other
connections and requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import re
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.log import log
from exporter.settings.values import listen_address
from exporter.web.connections import Closed, Connections, Refused, network_of
from exporter.web.metrics_page import Published
from exporter.web.passwords import Passwords
from exporter.web.status_page import POLICY

HEARTBEAT_OLD = 60.0

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Rows = list[dict[str, object]]


class Limits(NamedTuple):
    """What clients may take: connections at once, bytes and seconds of a head, seconds to read an answer.

    `reserved` of the connections are for metrics and health: as many fewer requests for anything else are answered at
    once.
    """

    connections: int = 40
    reserved: int = 8
    head_bytes: int = 32 * 1024
    head_seconds: float = 10.0
    write_seconds: float = 30.0


class Request(NamedTuple):
    """A request beside its path; `query` is the part after the question mark, still encoded."""

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
"""The silences, or a status and an error text."""
_NOT_ENABLED = _plain(404, "not enabled; see web.debug_config\n")


class Application:
    """The ASGI application. `publish` swaps the served page in one assignment; everything else comes from the
    callables.

    `reload` returns the problems (empty: done); `heartbeat_age` is in seconds; `not_ready` returns the reason (empty:
    ready); `front` renders the page at / for a query string; `config` returns the settings as text and `episodes` those
    in progress, or None if not enabled; `targets` returns target groups in the format of Prometheus's HTTP service
    discovery; `silences` lists (GET), creates (POST) and deletes (DELETE) silences; `count` receives path and code of
    each request, `refused` the reason of a refused request, `closed` the reason of a closed connection; `passwords`
    decides which Authorization headers may pass (None: all).
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
        refused: Callable[[Refused], None] = lambda _: None,
        closed: Callable[[Closed], None] = lambda _: None,
        passwords: Passwords | None = None,
        limits: Limits = Limits(),  # noqa: B008 — immutable
    ) -> None:
        self._now = Published()
        self._reload, self._heartbeat_age, self._not_ready = reload, heartbeat_age, not_ready
        self._front, self._config, self._episodes = front, config, episodes
        self._count, self._targets, self._silences = count, targets, silences
        self._metrics_path, self._metrics_target = metrics_path, metrics_path.encode()
        self._refused, self.closed = refused, closed
        self.passwords = passwords
        self.limits = limits
        self._prompt = {metrics_path.encode(), b"/-/healthy", b"/-/ready"}
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
        """The answer to a scrape whose password, if it takes one, needs no check."""
        if path != self._metrics_target or not self._may_pass(headers):
            return None
        reply = self._page(headers)
        return reply._replace(headers=self._told(self._metrics_path, reply))

    def prompt(self, path: bytes, headers: Headers) -> bool:
        """Whether this is a request for metrics or health and needs no password check."""
        return path.partition(b"?")[0] in self._prompt and self._may_pass(headers) is not None

    def busy(self, path: bytes) -> Reply:
        """The answer to a request for which there is no room."""
        self._refused("busy")
        reply = _plain(503, "too many requests at once; try again in a moment\n", (b"retry-after", b"1"))
        headers = [*self._told(path.partition(b"?")[0].decode("latin-1"), reply), (b"connection", b"close")]
        return reply._replace(headers=headers)

    def _may_pass(self, headers: Headers) -> bool | None:
        return True if self.passwords is None else self.passwords.known(_header(headers, b"authorization"))

    async def _checked(self, scope: MutableMapping[str, Any]) -> bool | None:
        assert self.passwords is not None
        connection: Protocol = scope["state"]["connection"]
        authorization = _header(scope["headers"], b"authorization")
        return await self.passwords.check(authorization, connection.network, connection.gone)

    def _told(self, path: str, reply: Reply) -> Headers:
        """All headers of a reply, which is counted."""
        self._count(path if path in self._routes else "other", str(reply.status))
        length = str(sum(map(len, reply.body))).encode()
        return [*reply.headers, (b"content-length", length), (b"x-content-type-options", b"nosniff")]

    async def _answer(self, scope: MutableMapping[str, Any]) -> Reply:
        headers: Headers = scope["headers"]
        passed = self._may_pass(headers)
        if passed is None:
            passed = await self._checked(scope)
        if passed is None:
            self._refused("password_checks")
            return _plain(429, "too many passwords wait to be checked; try again\n", (b"retry-after", b"5"))
        if not passed:
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
    """The problem with the parameters of a silence request (empty: none): each is given once, and each except comment
    has a value.

    Otherwise ``account=a workload_id=`` of a script with an empty variable would silence a whole account.
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
    """The Content-Type for an Accept header (RFC 9110 12.5.1): the most preferred of the supported formats, else text.

    Our names are valid in every escaping scheme, so the requested scheme is returned.
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
    """uvicorn's HTTP protocol with additional limits: time and size of the request head, and a timeout for unread
    responses.

    A plain scrape is served immediately, without a task: that saves a third of the time of a small page. A pipelined
    request is not served: the connection is closed after the current response, which HTTP allows. Otherwise each would
    add a response to those in memory, and more time to read them.
    """

    def __init__(self, application: Application, connections: Connections, network: str, **named: Any) -> None:
        super().__init__(**named)
        self._application, self._limits = application, application.limits
        self._places, self.network = connections, network
        self.opening: asyncio.Task[Any] | None = None
        self._answered = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._head = 0

    def cut(self) -> None:
        """End the connection now; what was not sent is dropped."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:  # TLS is not agreed on yet
            self.opening.cancel()

    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self not in self._places

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first head."""
        super().connection_made(transport)
        if self.gone():
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._places.remove(self)
        self._head_came()
        self._answer_was_read()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        # They point back here. The daemon looks for garbage once an hour, so what ends must leave none.
        self.scope = self.cycle = None  # type: ignore[assignment]  # as they are at first

    def data_received(self, data: bytes) -> None:
        """Refuse a head that is too long, else continue."""
        if self._head_timer is not None:
            self._head += len(data)
            if self._head > self._limits.head_bytes:
                self._application.closed("long_head")
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the time for this head."""
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: start the time for the answer."""
        self._head_came()
        self._answered = True
        if self in self._places.waiting:
            self._answer()
        elif self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _answer(self) -> None:
        application = self._application
        self._read_timer = self.loop.call_later(self._limits.write_seconds, self._cut, "slow_read")
        reply = application.scraped(self.url, self.headers) if self._plain() else None
        if reply is not None:
            self._write(b"HTTP/1.1 200 OK\r\n", reply)
            self.on_response_complete()
        elif self._full() and not application.prompt(self.url, self.headers):
            self._write(b"HTTP/1.1 503 Service Unavailable\r\n", application.busy(self.url))
            self.transport.close()
        else:
            self._answered = False
            self._places.move(self, self._places.working)
            self.scope["state"]["connection"] = self
            super().on_headers_complete()

    def _write(self, status: bytes, reply: Reply) -> None:
        head = b"".join([b"%s: %s\r\n" % pair for pair in (*self.server_state.default_headers, *reply.headers)])
        body = () if self.parser.get_method() == b"HEAD" else reply.body
        self.transport.writelines([status, head, b"\r\n", *body])

    def on_body(self, body: bytes) -> None:
        """Drop the body. No request needs one, and if it were kept, reading would pause and a hang-up go unnoticed."""

    def on_message_complete(self) -> None:
        """End the request."""
        if not self._answered:
            super().on_message_complete()

    def _plain(self) -> bool:
        """Whether this is a GET that stays connected."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        )

    def _full(self) -> bool:
        """Whether so many requests are being answered, also for clients that hung up, that only metrics and health may
        be added.
        """
        return len(self.tasks) >= self._limits.connections - self._limits.reserved

    def on_response_complete(self) -> None:
        """All is handed to the system; what a slow client has not taken yet keeps its time running."""
        if not self.flow.write_paused:
            self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than data is written."""
        super().pause_writing()
        self._places.move(self, self._places.unread)

    def resume_writing(self) -> None:
        """The client has read all, or nearly so; if that was the end of the answer, the next request may come."""
        super().resume_writing()
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self._wait()

    def _wait(self) -> None:
        self._answer_was_read()
        self._places.move(self, self._places.waiting)

    def _await_head(self) -> None:
        self._head = 0
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._cut, "slow_head")

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _answer_was_read(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _cut(self, reason: Closed) -> None:
        self._application.closed(reason)
        self._places.remove(self)
        self.cut()


class Server(uvicorn.Server):
    """uvicorn on sockets that are bound already, without its signal handling, which would raise SIGTERM again.

    It accepts connections itself: of those that asyncio accepts nothing is known before TLS is agreed on, so that any
    number of them could stay at that.
    """

    def __init__(self, application: Application, listen: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        """Bind all addresses. Raises OSError that names the address which could not be had."""
        self._sockets = bound(listen)
        self._application, self._tls = application, tls
        self.connections = Connections(application.limits.connections, application.closed)
        self._opening: set[asyncio.Task[None]] = set()
        config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=4,
        )
        config.load()
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup([])
        for each in sockets or []:
            self._listen(each)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, and wait for the responses in progress."""
        for each in sockets or []:
            asyncio.get_running_loop().remove_reader(each)
        for opening in self._opening:
            opening.cancel()
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Accept one connection in each turn of the loop, so that it is read before many others can push it out."""
        loop = asyncio.get_running_loop()
        try:
            accepted, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # such as no file descriptors
            log.error("cannot accept a connection; the next try is in a second", error=str(error))
            loop.remove_reader(listener)
            loop.call_later(1.0, self._listen, listener)
            return
        accepted.setblocking(False)
        protocol = Protocol(
            self._application,
            self.connections,
            network_of(peer[0]),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.connections.admit(protocol)
        protocol.opening = opening = loop.create_task(self._open(protocol, accepted))
        self._opening.add(opening)
        opening.add_done_callback(functools.partial(self._opened, protocol, accepted))

    async def _open(self, protocol: Protocol, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            await loop.connect_accepted_socket(lambda: protocol, accepted)
            return
        seconds = self._application.limits.head_seconds
        try:
            await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=self._tls, ssl_handshake_timeout=seconds)
        except ConnectionAbortedError:
            self._application.closed("slow_head")
        except OSError:  # the client speaks no TLS, or none that is allowed here, or has hung up
            pass

    def _opened(self, protocol: Protocol, accepted: socket.socket, opening: asyncio.Task[None]) -> None:
        self._opening.discard(opening)
        if protocol.transport is None:  # no connection came of it
            self.connections.remove(protocol)
            accepted.close()


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
