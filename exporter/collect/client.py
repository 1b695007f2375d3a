"""HTTP client of one account's Workload API. It only sends GET requests.

The token is only sent to the configured scheme, host and port: redirects are not followed, and links in responses are
not used. No message contains the token, a query string or an id.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol, Self
from urllib.parse import urlencode

import httpx

from exporter.backoff import Backoff
from exporter.collect.body import ACCEPTED, NotUnpackable, unpacked
from exporter.collect.budget import RequestBudget
from exporter.errors import ExporterError
from exporter.failures import MARGIN_BYTES, beginning, date, detail, failure_of, retry_after, status_reason
from exporter.failures import MAX_BODY_BYTES as MAX_ERROR_BYTES
from exporter.fleet.pauses import LIST, Pause
from exporter.http_client import HttpClient
from exporter.recording.lines import Exchange
from exporter.redaction import Secrets
from exporter.telemetry.sweep_trace import attempted
from exporter.threads import calculated
from exporter.trust import trusted

RETRIES = 2
BACKOFF = Backoff(first=0.5)
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Maximum size of an unpacked body. A page of a hundred workloads has 300 kB; to decode this much takes 80 MB."""
MAX_ESCAPES = 200_000
"""Maximum number of characters of a body that may begin an escape: each takes time to find secrets."""
PROBE_SECONDS = 3600.0
"""Seconds until a route that the server does not support is tried again."""
REFUSED_OBJECTS = 3
"""Number of objects for which a route must have been refused before it counts as absent: one may be hidden from this
token, or broken.
"""
ROOTS = ("/workloads", "/version", "/workloads/{id}")
"""Routes that never count as absent."""
HOST_ROUTES = frozenset({"/config"})
"""Routes that are not below ``/api/v2``; they need no token and get none."""

NO_HEADERS: Mapping[str, str] = {}
_ID = re.compile(r"(?!\.+\Z)[\w.:~-]{1,128}", re.ASCII)
"""Ids that are sent. Others, such as ``..``, could make the path that of another route, here or in a proxy."""

Params = Mapping[str, str | int | Sequence[str]]
Record = Callable[[Exchange, float | None], None]


class ApiError(ExporterError):
    """Raised for a failed GET: `reason` of `exporter.failures.REASONS`, the status (0: none), and the server's message.

    `pause`: the pause that prevented the request, or that the API's refusal started.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        status: int = 0,
        retry_after: float | None = None,
        pause: Pause | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.pause = pause

    @property
    def transient(self) -> bool:
        """Whether the same GET may succeed soon: network failure, 429, 5xx."""
        return self.reason in ("timeout", "dns", "connect", "server_error") or self.status == 429


class ApiResponse(NamedTuple):
    """A 200, or a 204 with an empty body. `date` is the Date header in seconds since the epoch; `seconds` is how long
    the request took, to the last byte.
    """

    status: int
    body: bytes
    date: float | None
    seconds: float = 0.0


class Observer(Protocol):
    """Counts the requests. `endpoint` is the route's template, never the path with ids."""

    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...
    def paused(self, endpoint: str, seconds: float) -> None: ...
    def resumed(self, endpoint: str) -> None: ...


class _Route:
    """One route: whether it needs a trailing slash, whether it ever succeeded, the objects for which it was refused,
    and until when it counts as absent.
    """

    def __init__(self, template: str) -> None:
        self.slash = not template.endswith("/statusDetails") and template not in HOST_ROUTES
        self.succeeded = False
        self.refused: set[tuple[str, ...]] = set()
        self.absent_until: float | None = None


class _Get(NamedTuple):
    """One GET. `places` fills the route's template; `sends` numbers the attempts."""

    route: str
    params: Params
    places: Mapping[str, str]
    sends: Iterator[int]

    @property
    def ids(self) -> tuple[str, ...]:
        """The values in `places`."""
        return tuple(self.places.values())


class Client:
    """Sends GET requests for one account, within its budget.

    `base` is ``https://HOST/api/v2``. `token` is called for every request, and after a 401 once more when `renew` has
    read it from its file: a token that was replaced is used at once. `rate` is in requests per second, evenly spaced,
    retries included; `concurrency` in requests at once; `timeout` in seconds for a whole request. The token and all
    `secrets` are removed from responses before anything reads them. `record` gets every request with its response, and
    the response's Date header in seconds since the epoch. `steady` and `pause` are the clock and the sleep.

    After a refusal (429, or 503 with Retry-After) requests are paused according to `exporter.fleet.pauses`. A request
    for the workload list waits for the end of a pause of up to `timeout` seconds, any other of up to `patience`
    seconds; for a longer pause `get` raises at once.
    """

    def __init__(
        self,
        base: str,
        token: Callable[[], str],
        observer: Observer,
        *,
        renew: Callable[[], Awaitable[object]] | None = None,
        rate: float = 10.0,
        concurrency: int = 4,
        timeout: float = 30.0,
        patience: float = 0.0,
        ca_file: str | None = None,
        secrets: Secrets | None = None,
        body_limit: int = MAX_BODY_BYTES,
        user_agent: str = "workload-exporter",
        transport: httpx.AsyncBaseTransport | None = None,
        record: Record | None = None,
        steady: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base, self._token, self._observer, self._renew = base, token, observer, renew
        self._timeout, self._body_limit = timeout, body_limit
        self._secrets = secrets or Secrets()
        self._steady, self._pause, self.record = steady, pause, record
        self._budget = RequestBudget(rate, concurrency)
        self._patience = patience
        self._routes: dict[str, _Route] = {}
        context = trusted(ca_file)
        self._headers = {"Accept": "application/json", "Accept-Encoding": ACCEPTED, "User-Agent": user_agent}
        # One connection per httpx client: the cost of its pool grows with the pool, at every request.
        self._idle: asyncio.LifoQueue[HttpClient] = asyncio.LifoQueue()
        self._all = [
            HttpClient(
                {},
                timeout=timeout,
                trusted=context,
                transport=transport,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            )
            for _ in range(concurrency)
        ]
        for http in self._all:
            self._idle.put_nowait(http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def inherit(self, previous: Client) -> None:
        """Share the budget and the pauses of the previous client of the account, with the limits of this one."""
        if previous._base == self._base:
            previous._budget.resize(self._budget)
            self._budget = previous._budget

    async def aclose(self) -> None:
        """Close all connections."""
        for http in self._all:
            await http.aclose()

    @property
    def capabilities(self) -> Mapping[str, bool]:
        """Template of a route -> whether the server supports it, as far as known."""
        known = {name: each for name, each in self._routes.items() if each.succeeded or each.absent_until is not None}
        return {name: each.absent_until is None for name, each in known.items()}

    @property
    def other_forms(self) -> tuple[str, ...]:
        """Templates of the routes that refused the expected form of the path, and succeeded with the other one."""
        return tuple(name for name, each in self._routes.items() if each.succeeded and each.slash != _Route(name).slash)

    async def get(self, route: str, params: Params | None = None, **places: str) -> ApiResponse:
        """Send a GET for a route, such as ``get("/workloads/{id}/events", {"limit": 20}, id=…)``, and return the
        response.

        The client learns whether a route needs a trailing slash (after 404, 405, 422 or a redirect it tries the other
        form once, and keeps the form that works) and whether the server supports it. A route other than `ROOTS` that
        never succeeded and refuses with 403, 404, 405 or 501, for three objects if it is about objects, is treated as
        unsupported for an hour. Once a route has succeeded, 403, 404 and 422 only concern that object.

        Raises `ApiError` when retries are exhausted, the failure is final, or the route is unsupported.
        """
        known = self._routes.setdefault(route, _Route(route))
        if known.absent_until is not None and self._steady() < known.absent_until:
            raise ApiError("absent", f"GET {route} is not supported by this server; it is tried again within an hour")
        try:
            return await self._retried(known, _Get(route, params or {}, places, itertools.count()))
        except ApiError as error:
            self._observer.failure(route, error.reason)
            raise

    async def _retried(self, known: _Route, request: _Get) -> ApiResponse:
        for attempt in range(RETRIES + 1):
            try:
                return await self._either_form(known, request)
            except ApiError as error:
                pause = self._paused(request)
                # A detail that hangs is not repeated at once: it would hold a connection for as long again.
                final = not error.transient or (error.reason == "timeout" and request.route != LIST)
                if final or attempt == RETRIES or (pause is not None and not self._waits(request, pause)):
                    raise
                self._observer.retry(request.route, error.reason)
                await self._pause(BACKOFF.seconds(attempt + 1))
        raise AssertionError("the loop returns or raises")

    def _pause_after(self, request: _Get, error: ApiError, sent: float) -> None:
        """Start the pause that a refusal demands, if `error` is one. `sent`: when the request was sent."""
        if error.status not in (401, 429) and error.retry_after is None:
            return
        now = self._steady()
        paused = self._budget.pauses.refused(request.route, request.ids, error.status, error.retry_after, sent, now)
        for endpoint, seconds in paused.items():
            self._observer.paused(endpoint, seconds)
        error.pause = self._paused(request)

    def _paused(self, request: _Get) -> Pause | None:
        return self._budget.pauses.of(request.route, request.ids, self._steady())

    def _waits(self, request: _Get, pause: Pause) -> bool:
        """Whether a request waits for the end of a pause."""
        return pause.seconds <= (self._timeout if request.route == LIST else self._patience)

    async def _wait_unpaused(self, request: _Get) -> None:
        """Wait until this request is not paused. Raises `ApiError` if that takes too long."""
        while (pause := self._paused(request)) is not None:
            if not self._waits(request, pause):
                raise ApiError("throttled", f"GET {request.route} was not sent: {_pause_text(pause)}", pause=pause)
            self._observer.wait("throttled", pause.seconds)
            await self._pause(max(pause.seconds, 0.001))

    async def _either_form(self, known: _Route, request: _Get) -> ApiResponse:
        refused: ApiError | None = None
        for slash in (known.slash, not known.slash):
            try:
                response = await self._once(request, slash)
            except ApiError as error:
                if error.status not in (403, 404, 405, 422, 501) and error.reason != "redirect":
                    raise
                refused = refused or error
                if error.status in (403, 501):
                    break  # a trailing slash changes neither a permission nor a feature
                if known.succeeded and request.places and error.status in (404, 422):
                    break  # it concerns this one object
            else:
                known.slash, known.succeeded, known.absent_until = slash, True, None
                return response
        assert refused is not None
        if not known.succeeded and len(known.refused) < REFUSED_OBJECTS:
            known.refused.add(tuple(request.places.values())[:1])
        certain = not request.places or len(known.refused) >= REFUSED_OBJECTS
        if not known.succeeded and request.route not in ROOTS and refused.status in (403, 404, 405, 501) and certain:
            known.absent_until = self._steady() + PROBE_SECONDS
        raise refused

    async def _once(self, request: _Get, slash: bool) -> ApiResponse:
        if not all(map(_ID.fullmatch, request.ids)):
            raise ApiError("bad_request", f"GET {request.route} was not sent: the id cannot be part of a path")
        base = self._base.removesuffix("/api/v2") if request.route in HOST_ROUTES else self._base
        url = f"{base}{request.route.format(**request.places)}{'/' if slash else ''}"
        refused = ""
        while True:
            # Before a connection is taken: requests that wait for a pause must not block others.
            await self._wait_unpaused(request)
            async with self._connection() as http:
                if not await self._take_turn(request):
                    continue
                token, sent = self._token(), self._steady()
                try:
                    return await self._attempt(http, request, url, token)
                except ApiError as error:
                    if error.status == 401 and not refused and self._renew is not None:
                        await self._renew()
                    if error.status != 401 or refused or self._token() == token:
                        self._pause_after(request, error, sent)
                        raise
                    refused = token  # and has been replaced since

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[HttpClient]:
        """A connection for one request, when the budget allows one more."""
        async with self._budget.request():
            http = await self._idle.get()
            try:
                yield http
            finally:
                self._idle.put_nowait(http)

    async def _take_turn(self, request: _Get) -> bool:
        """Wait for this request's turn in the budget; False if it was paused meanwhile."""
        if self._paused(request) is not None:
            return False
        now = self._steady()
        start = self._budget.turn(now)
        if start > now:
            self._observer.wait("budget", start - now)
            await self._pause(start - now)
        return self._paused(request) is None

    async def _attempt(self, http: HttpClient, request: _Get, url: str, token: str) -> ApiResponse:
        """Send one request, and record it in the trace of the current sweep."""
        if not re.fullmatch(r"[!-~]+", token):
            problem = "is empty" if not token else "contains characters that are not allowed in a header"
            raise ApiError("auth", f"GET {request.route} was not sent: the API token {problem}")
        self._secrets.learn(token)
        began, resend = self._steady(), next(request.sends)
        try:
            response = await self._send(http, request.route, url, request.params, token)
        except ApiError as error:
            attempted(request.route, self._steady() - began, error.status, resend, error.reason)
            if not error.status:
                unread = error.reason in ("decode", "too_large")
                self._recorded(request.route, url, request.params, *((200, b"-") if unread else (0, b"")))
            raise
        attempted(request.route, response.seconds, response.status, resend)
        for endpoint in self._budget.pauses.succeeded(request.route, request.ids, began):
            self._observer.resumed(endpoint)
        return response

    async def _send(self, http: HttpClient, route: str, url: str, params: Params, token: str) -> ApiResponse:
        began = self._steady()
        code = "error"
        try:
            async with asyncio.timeout(self._timeout):
                own = {} if route in HOST_ROUTES else {"Authorization": f"Bearer {token}"}
                # `http.build_request` parses the URL twice and merges defaults, which takes longer than all the rest.
                request = httpx.Request("GET", _with_query(url, params), headers={**self._headers, **own})
                async with http.sent(request) as response:
                    code = str(response.status_code)
                    failed = response.status_code not in (200, 204)
                    limit = MAX_ERROR_BYTES + MARGIN_BYTES if failed else self._body_limit
                    body = await self._body(route, response, limit)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise ApiError("timeout", f"GET {route} got no response within {self._timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason, text = failure_of(error, self._secrets.text)
            raise ApiError(reason, f"GET {route} failed: {text}") from error
        except RuntimeError as error:
            if not http.closed:
                raise
            raise ApiError("connect", f"GET {route} was not sent: the account's settings have changed") from error
        finally:
            self._observer.request(route, code, self._steady() - began)
        self._observer.received(route, len(body))
        clean = self._secrets.clean
        body = beginning(body, clean) if failed else await calculated(clean, body)
        self._recorded(route, url, params, response.status_code, body, response.headers)
        if failed:
            raise _refused(route, response, body)
        return ApiResponse(response.status_code, body, date(response.headers.get("date")), self._steady() - began)

    def _recorded(
        self, route: str, url: str, params: Params, status: int, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        if self.record is not None:
            path = url.removeprefix(self._base.removesuffix("/api/v2"))
            self.record(Exchange(route, path, params, status, headers, body), date(headers.get("date")))

    async def _body(self, route: str, response: httpx.Response, limit: int) -> bytes:
        """The body. Of a response that means failure, as much as is used: its status counts, whatever its body is."""
        failed = response.status_code not in (200, 204)
        length = response.headers.get("content-length", "")
        try:
            too_large = not failed and length.isdecimal() and int(length) > limit
            assert isinstance(response.stream, httpx.AsyncByteStream)
            encoding = response.headers.get("content-encoding", "")
            body = b"" if too_large else await unpacked(response.stream, encoding, limit)
        except NotUnpackable as error:
            if failed:
                return b""
            raise ApiError("decode", f"GET {route} returned {response.status_code}, but {error}") from error
        if too_large or (len(body) > limit and not failed):
            raise ApiError("too_large", f"GET {route} returned more than {limit} bytes")
        if len(body) > MAX_ESCAPES and sum(map(body.count, (b"\\", b"%", b"&"))) > MAX_ESCAPES:
            raise ApiError("too_large", f"GET {route} returned more than {MAX_ESCAPES} escaped characters")
        return body


def _with_query(url: str, params: Params) -> str:
    query = urlencode(params, doseq=True)
    return f"{url}?{query}" if query else url


def _pause_text(pause: Pause) -> str:
    """Why a request is not sent, for how long, and what else is affected."""
    seconds = f"for {math.ceil(pause.seconds)} s more"
    return {
        "object": f"the API refused requests for this object, which is paused {seconds}; others are not affected",
        "route": f"the API refused requests to this route, which is paused {seconds}; other routes are not affected",
        "details": f"the API refused requests to several routes, or the token: all but the workload list are paused "
        f"{seconds}",
        "account": f"the API refused to list workloads: all requests of the account are paused {seconds}",
    }[pause.scope]


def _refused(route: str, response: httpx.Response, body: bytes) -> ApiError:
    status = response.status_code
    reason = status_reason(status, {501: "bad_request"}, other="bad_request")
    text = "a redirect, which is not followed" if reason == "redirect" else detail(body)
    after = retry_after(response.headers, time.time()) if status in (429, 503) else None
    return ApiError(reason, f"GET {route} returned {status}: {text}", status, after)
