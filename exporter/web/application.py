"""/metrics, health, reload, silences and the pages for people: an ASGI application that serves prepared bytes.

No request renders metrics or sends an API request. What is made on request is made outside the event loop.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from exporter.web.connections import Closed, Refused
from exporter.web.metrics_page import Published
from exporter.web.on_request import made
from exporter.web.passwords import Passwords
from exporter.web.query import list_problem, query_problem
from exporter.web.responses import (
    Headers,
    HttpRequest,
    HttpResponse,
    accepts_gzip,
    content_type,
    encoded,
    header,
    html,
    json_body,
    plain,
    wants_json,
)
from exporter.web.runbook_page import runbook_page
from exporter.web.silence_form import SilenceForm, SilencesResult, Tokens
from exporter.web.status_page import POLICY
from exporter.web.workload_page import POLICY as WORKLOAD_POLICY

MAX_HEARTBEAT_AGE = 60.0
"""Seconds since the last update of the page after which the exporter is unhealthy."""
MAX_NEGOTIATION = 1024
"""Characters of an Accept or Accept-Encoding header that are read: a long one would delay other requests."""
WORKLOADS, RUNBOOKS = "/workloads/", "/runbooks/"
"""The page of a workload is at this path and its id, the runbook of an alert at that and its name."""
MAX_PARAMETERS = 50
"""Parameters of a query."""
REQUESTED_BY = b"x-requested-by"
_NOT_ENABLED = plain(404, "not enabled; see web.debug_config\n")
_READ = ("GET", "HEAD")
_OF_WEB_PAGES = {b"origin", b"sec-fetch-site"}
"""Headers that browsers add to requests of web pages which change something, and that scripts cannot remove."""
_REJECTED = {
    400: "not a valid HTTP request\n",
    421: "this host name is not one of web.hosts\n",
    413: "the request body is too long; no request needs one\n",
    431: "the request line and headers are too long\n",
}
_EVERYWHERE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""Headers of every response: other web pages cannot include it, and no cache keeps it."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ServerLimits(NamedTuple):
    """Limits for clients: concurrent connections, bytes and seconds of a request, seconds to read a response.

    `reserved` connections are for metrics and health: other requests are refused while only so many are left.
    """

    connections: int = 40
    reserved: int = 8
    head_bytes: int = 32 * 1024
    head_seconds: float = 10.0
    write_seconds: float = 30.0


class Peer(Protocol):
    """The connection of a request."""

    network: str

    def gone(self) -> bool:
        """Whether it has ended."""


class Application:
    """The ASGI application. `publish` swaps the served page in one assignment; everything else comes from callables.

    `reload` returns the problems (empty: done); `heartbeat_age` is in seconds; `not_ready` returns the reason
    (empty: ready); `status_page` renders the page at / for a query string, `workload_page` that of a workload, with
    its status code, for an id and a query string, `workload_json` the same as JSON, `workloads_csv` and
    `workloads_json` the list of workloads that the status page shows; `config` returns the settings as text and
    `episodes` those in progress as JSON, or None if not enabled; `targets` returns target groups as JSON in the
    format of Prometheus's HTTP service discovery, or the reason why they are not known; `silences` lists (GET),
    creates (POST) and deletes (DELETE) silences; `count` receives path and status code of each request, `refused`
    the reason of a refused request, `closed` the reason of a closed connection; `passwords` decides which
    Authorization headers are accepted (None: all).
    """

    def __init__(
        self,
        *,
        metrics_path: str,
        reload: Callable[[], Awaitable[list[str]]],
        heartbeat_age: Callable[[], float],
        not_ready: Callable[[], str],
        status_page: Callable[[str], Awaitable[bytes]],
        workload_page: Callable[[str, str, Tokens | None], Awaitable[tuple[int, bytes]]],
        workload_json: Callable[[str, str], Awaitable[tuple[int, bytes]]],
        workloads_csv: Callable[[str], Awaitable[bytes]],
        workloads_json: Callable[[str], Awaitable[bytes]],
        config: Callable[[], str | None],
        episodes: Callable[[], Awaitable[bytes | None]],
        targets: Callable[[], Awaitable[bytes | str]],
        silences: Callable[[str, Mapping[str, str]], Awaitable[SilencesResult]],
        count: Callable[[str, str], None],
        refused: Callable[[Refused], None] = lambda _: None,
        closed: Callable[[Closed], None] = lambda _: None,
        passwords: Passwords | None = None,
        limits: ServerLimits = ServerLimits(),  # noqa: B008 — immutable
    ) -> None:
        self._published = Published()
        self._reload, self._heartbeat_age, self._not_ready = reload, heartbeat_age, not_ready
        self._status_page, self._config, self._episodes = status_page, config, episodes
        self._workload_page, self._workload_json = workload_page, workload_json
        self._workloads_csv, self._workloads_json = workloads_csv, workloads_json
        self._count, self._targets, self._silences = count, targets, silences
        self._refused, self.closed = refused, closed
        self.passwords = passwords
        self._form = SilenceForm(lambda: self.passwords, silences)
        self.limits = limits
        self.hosts: tuple[str, ...] = ()
        """Names under which clients may address the server, besides IP addresses and localhost; empty: every name."""
        self._metrics_path, self._metrics_target = metrics_path, metrics_path.encode()
        self._prioritised = {metrics_path.encode(), b"/-/healthy", b"/-/ready"}
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[HttpRequest], Awaitable[HttpResponse]]]] = {
            metrics_path: (_READ, self._get_metrics),
            "/": (_READ, self._get_status_page),
            WORKLOADS: ((*_READ, "POST"), self._handle_workload),
            RUNBOOKS: (_READ, self._get_runbook),
            "/workloads.csv": (_READ, self._get_workloads_csv),
            "/workloads.json": (_READ, self._get_workloads_json),
            "/-/healthy": (_READ, self._get_healthy),
            "/-/ready": (_READ, self._get_ready),
            "/-/reload": (("POST", "PUT"), self._post_reload),
            "/-/silences": ((*_READ, "POST", "DELETE"), self._handle_silences),
            "/sd": (_READ, self._get_targets),
            "/debug/config": (_READ, self._get_config),
            "/debug/episodes": (_READ, self._get_episodes),
        }

    def publish(self, page: Published) -> None:
        """Serve `page` from now on."""
        self._published = page

    # -- requests

    async def __call__(self, scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
        """Handle one request (ASGI 3.0, http scope only)."""
        if scope["type"] != "http":
            return
        response = await self._respond(scope)
        headers = self._complete(scope["path"], response)
        *parts, last = (b"",) if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    def immediate(self, path: bytes, headers: Headers) -> HttpResponse | None:
        """The response to a scrape that needs no password check; None for other requests."""
        if path != self._metrics_target or not self._authorized(headers):
            return None
        response = self._metrics(headers)
        return response._replace(headers=self._complete(self._metrics_path, response))

    def prioritised(self, path: bytes, headers: Headers) -> bool:
        """Whether this is a request for metrics or health that needs no password check."""
        return path.partition(b"?")[0] in self._prioritised and self._authorized(headers) is not None

    def refuse(self, path: bytes) -> HttpResponse:
        """The response to a request when too many are in progress."""
        self._refused("busy")
        response = plain(503, "too many requests in progress; try again later\n", (b"retry-after", b"1"))
        return self._last(path.partition(b"?")[0].decode("latin-1"), response)

    def reject(self, status: int) -> HttpResponse:
        """The response to what is not a request (400), is too long (413, 431), or is for another host (421)."""
        return self._last("", plain(status, _REJECTED[status]))

    def _last(self, path: str, response: HttpResponse) -> HttpResponse:
        """The complete response, after which the connection is closed."""
        return response._replace(headers=[*self._complete(path, response), (b"connection", b"close")])

    def _complete(self, path: str, response: HttpResponse) -> Headers:
        """Count a response and return all its headers."""
        route = self._route(path)
        self._count(route if route in self._routes else "other", str(response.status))
        length = str(sum(map(len, response.body))).encode()
        return [*response.headers, (b"content-length", length), *_EVERYWHERE]

    async def _respond(self, scope: MutableMapping[str, Any]) -> HttpResponse:
        headers: Headers = scope["headers"]
        authorized = self._authorized(headers)
        if authorized is None:
            authorized = await self._check_password(scope)
        if authorized is None:
            self._refused("password_checks")
            return plain(429, "too many password checks in progress; try again later\n", (b"retry-after", b"5"))
        if not authorized:
            return plain(401, "Unauthorized\n", (b"www-authenticate", b'Basic realm="workload-exporter"'))
        path = scope["path"]
        methods, handler = self._routes.get(self._route(path), ((), None))
        if handler is None:
            return plain(404, f"not found; available: {' '.join(self._routes)}\n")
        if scope["method"] not in methods:
            allowed = ", ".join(methods)
            return plain(405, f"method not allowed; use {allowed}\n", (b"allow", allowed.encode()))
        form = self._route(path) == WORKLOADS  # which decides by more than these headers
        if scope["method"] not in _READ and not form and any(name in _OF_WEB_PAGES for name, _ in headers):
            return plain(403, "web pages cannot change anything; use curl or the command line\n")
        query = scope.get("query_string", b"").decode("latin-1")
        return await handler(HttpRequest(headers, query, scope["method"], path))

    def _route(self, path: str) -> str:
        """The key of a path in the routes, if it has one."""
        prefix = next((each for each in (WORKLOADS, RUNBOOKS) if path.startswith(each)), path)
        return path if path in self._routes else prefix

    def _authorized(self, headers: Headers) -> bool | None:
        """Whether the request is authorized; None if that needs a password check."""
        return True if self.passwords is None else self.passwords.known(header(headers, b"authorization"))

    async def _check_password(self, scope: MutableMapping[str, Any]) -> bool | None:
        assert self.passwords is not None
        client: Peer = scope["state"]["connection"]
        return await self.passwords.check(header(scope["headers"], b"authorization"), client.network, client.gone)

    # -- routes

    async def _get_metrics(self, request: HttpRequest) -> HttpResponse:
        return self._metrics(request.headers)

    def _metrics(self, headers: Headers) -> HttpResponse:
        page = self._published
        kind = content_type(header(headers, b"accept")[:MAX_NEGOTIATION])
        openmetrics = kind.startswith("application/")
        ours: Headers = [(b"content-type", kind.encode()), (b"vary", b"accept, accept-encoding")]
        if accepts_gzip(header(headers, b"accept-encoding")[:MAX_NEGOTIATION]):
            body = page.openmetrics_gzip if openmetrics else page.text_gzip
            return HttpResponse(200, [*ours, (b"content-encoding", b"gzip")], (body,))
        return HttpResponse(200, ours, page.openmetrics if openmetrics else page.text)

    async def _get_status_page(self, request: HttpRequest) -> HttpResponse:
        return html(200, await self._status_page(request.query), POLICY)

    async def _handle_workload(self, request: HttpRequest) -> HttpResponse:
        workload_id = request.path.removeprefix(WORKLOADS)
        if request.method == "POST":
            return await self._form.post(request, workload_id)
        if wants_json(header(request.headers, b"accept")[:MAX_NEGOTIATION]):
            status, body = await self._workload_json(workload_id, request.query)
            return json_body(body, status)
        tokens = self._form.tokens(request.headers)
        status, body = await self._workload_page(workload_id, request.query, tokens)
        # With `no-referrer`, a browser would send no origin with the form.
        return html(status, body, WORKLOAD_POLICY, "no-referrer" if tokens is None else "same-origin")

    async def _get_runbook(self, request: HttpRequest) -> HttpResponse:
        path = request.path.removeprefix(RUNBOOKS)
        return html(*await made(functools.partial(runbook_page, path), short=True), WORKLOAD_POLICY)

    async def _get_workloads_csv(self, request: HttpRequest) -> HttpResponse:
        headers = [
            (b"content-type", b"text/csv; charset=utf-8; header=present"),
            (b"content-disposition", b'attachment; filename="workloads.csv"'),
        ]
        if problem := list_problem(request.query):
            return plain(400, f"{problem}\n")
        return HttpResponse(200, headers, (await self._workloads_csv(request.query),))

    async def _get_workloads_json(self, request: HttpRequest) -> HttpResponse:
        if problem := list_problem(request.query):
            return plain(400, f"{problem}\n")
        return json_body(await self._workloads_json(request.query))

    async def _get_healthy(self, _: HttpRequest) -> HttpResponse:
        age = self._heartbeat_age()
        if age > MAX_HEARTBEAT_AGE:
            return plain(503, f"not healthy: the metrics were last updated {age:.0f} s ago\n")
        return plain(200, "healthy\n")

    async def _get_ready(self, _: HttpRequest) -> HttpResponse:
        reason = self._not_ready()
        return plain(503, f"not ready: {reason}\n") if reason else plain(200, "ready\n")

    async def _post_reload(self, _: HttpRequest) -> HttpResponse:
        problems = await self._reload()
        if problems:
            lines = "".join(f"{problem}\n" for problem in problems)
            return plain(500, f"reload failed; the old settings stay in force:\n{lines}")
        return plain(200, "reloaded\n")

    async def _handle_silences(self, request: HttpRequest) -> HttpResponse:
        if request.method in ("POST", "DELETE") and not header(request.headers, REQUESTED_BY):
            # Required besides the check of `_respond`, because of browsers too old for it: a web page cannot send this.
            return plain(403, "Missing header X-Requested-By (any value).\n")
        try:
            parameters = parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError:
            return plain(400, f"more than {MAX_PARAMETERS} parameters\n")
        problem = query_problem(parameters)
        if problem:
            return plain(400, f"{problem}\n")
        result = await self._silences(request.method, dict(parameters))
        return json_body(encoded(result)) if isinstance(result, list) else plain(*result)

    async def _get_targets(self, _: HttpRequest) -> HttpResponse:
        found = await self._targets()
        return plain(503, f"targets are not known: {found}\n") if isinstance(found, str) else json_body(found)

    async def _get_config(self, _: HttpRequest) -> HttpResponse:
        text = self._config()
        return _NOT_ENABLED if text is None else plain(200, text)

    async def _get_episodes(self, _: HttpRequest) -> HttpResponse:
        episodes = await self._episodes()
        return _NOT_ENABLED if episodes is None else json_body(episodes)
