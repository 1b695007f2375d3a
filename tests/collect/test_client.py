"""The client against plain functions as servers, in a time that the tests make."""

import asyncio
import gzip
import heapq
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.client import MAX_ESCAPES, ApiError, ApiResponse, Client
from exporter.failures import DETAIL_LENGTH, MAX_BODY_BYTES, detail, retry_after
from exporter.redaction import Secrets, Source
from tests.examples import payload

Server = Callable[[httpx.Request], httpx.Response]


class World:
    """A server, a clock that only pauses move, and what was counted. `get` sends a request, all in one event loop."""

    def __init__(self, server: Server, token: Callable[[], str] = lambda: "s3cret", **options: Any) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, httpx.Request]] = []
        self.counted: list[tuple[str, ...]] = []
        self._sleepers: list[float] = []
        self._server = server
        self._options = {"rate": 1000.0, **options}
        self._token = token

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        self.counted.append(("request", endpoint, code))

    def failure(self, endpoint: str, reason: str) -> None:
        self.counted.append(("failure", endpoint, reason))

    def received(self, endpoint: str, size: int) -> None:
        pass

    def retry(self, endpoint: str, reason: str) -> None:
        self.counted.append(("retry", endpoint, reason))

    def wait(self, reason: str, seconds: float) -> None:
        self.counted.append(("wait", reason))

    def paused(self, endpoint: str, seconds: float) -> None:
        pass

    def resumed(self, endpoint: str) -> None:
        pass

    async def pause(self, seconds: float) -> None:
        deadline = self.now + seconds
        heapq.heappush(self._sleepers, deadline)
        for _ in range(50):  # everyone else gets as far as they can in this moment
            await asyncio.sleep(0)  # let the other tasks run
        while self._sleepers[0] < deadline:  # noqa: ASYNC110 — no event signals that all others wait
            await asyncio.sleep(0)  # let the other tasks run
        heapq.heappop(self._sleepers)
        self.now = max(self.now, deadline)

    def run(self, work: Callable[[Client], Awaitable[Any]]) -> Any:
        def answer(request: httpx.Request) -> httpx.Response:
            self.sent.append((self.now, request))
            return self._server(request)

        async def inside() -> Any:
            async with Client(
                "https://dr.test/api/v2",
                self._token,
                self,
                transport=httpx.MockTransport(answer),
                steady=lambda: self.now,
                pause=self.pause,
                **self._options,
            ) as client:
                return await work(client)

        return asyncio.run(inside())

    def get(self, route: str = "/workloads", **places: str) -> ApiResponse:
        answer: ApiResponse = self.run(lambda client: client.get(route, None, **places))
        return answer

    def fails(self, route: str = "/workloads", **places: str) -> ApiError:
        with pytest.raises(ApiError) as raised:
            self.get(route, **places)
        return raised.value

    @property
    def paths(self) -> list[str]:
        return [request.url.raw_path.decode().removeprefix("/api/v2") for _, request in self.sent]


def always(status: int, **given: Any) -> Server:
    return lambda request: httpx.Response(status, **given)


def test_a_request_is_a_get_with_the_token_at_the_configured_host() -> None:
    world = World(always(200, content=b"{}", headers={"date": "Thu, 01 Jan 1970 00:00:30 GMT"}))
    assert world.get() == ApiResponse(200, b"{}", 30.0)
    (_, request) = world.sent[0]
    assert (request.method, str(request.url)) == ("GET", "https://dr.test/api/v2/workloads/")
    assert request.headers["authorization"] == "Bearer s3cret"


def test_204_is_an_answer_with_nothing_in_it() -> None:
    world = World(always(204))
    assert world.get("/workloads/{id}/protons/{pid}/statusDetails", id="a", pid="b") == ApiResponse(204, b"", None)
    assert world.paths == ["/workloads/a/protons/b/statusDetails"]


def test_what_stands_in_the_place_of_an_id_cannot_change_the_path() -> None:
    world = World(always(200))
    for odd in (
        "..",
        ".",
        "...",
        "",
        "../../version",
        "a/../b",
        "a?x=1",
        "a#b",
        "a\n",
        "a b",
        "{id}",
        "%2e",
        "\ud83d",
        "x" * 129,
    ):
        error = world.fails("/workloads/{id}/events", id=odd)
        assert (error.reason, error.transient) == ("bad_request", False)
        assert not odd.strip(".") or odd not in str(error).removeprefix("GET /workloads/{id}/events")
    assert world.sent == []
    for plain in ("65f0c0ffee0123456789abcd", "a.b-c_d", "A:1~", "..a"):
        world.get("/workloads/{id}/events", id=plain)
    assert world.paths == [
        f"/workloads/{each}/events/" for each in ("65f0c0ffee0123456789abcd", "a.b-c_d", "A:1~", "..a")
    ]


@pytest.mark.parametrize(
    "piece", [b"\\/", b"\\", b"\\n", b"\\u0041", b"%41", b"%2541", b"&amp;", b"&#x41;", b"\\\\u0041"]
)
def test_a_body_of_nothing_but_escapes_takes_no_long_time(piece: bytes) -> None:
    few, many = (
        piece * (count // len(re.findall(rb"[\\%&]", piece))) + b"x" * MAX_ESCAPES
        for count in (MAX_ESCAPES, MAX_ESCAPES + 9)
    )
    began = time.process_time()
    assert World(always(200, content=few), lambda: TOKEN).get().body == few
    assert World(always(200, content=many), lambda: TOKEN).fails().reason == "too_large"
    assert time.process_time() - began < 3.0


def test_no_cookie_of_the_api_is_sent_back() -> None:
    world = World(always(200, headers={"set-cookie": "session=1; Path=/"}), concurrency=1)

    async def send(client: Client) -> None:
        for _ in range(3):
            await client.get("/workloads")

    world.run(send)
    assert [request.headers.get("cookie") for _, request in world.sent] == [None] * 3


@pytest.mark.parametrize(
    ("status", "body", "reason", "requests"),
    [
        (401, payload("P30")[0], "auth", 1),
        (403, payload("P30")[1], "forbidden", 1),
        (404, {"detail": "gone"}, "not_found", 2),
        (405, {}, "bad_request", 2),
        (409, payload("P30")[2], "bad_request", 1),
        (422, payload("P30")[3], "bad_request", 2),
        (301, {}, "redirect", 2),
        (500, {"detail": "oops"}, "server_error", 3),
        (501, {}, "bad_request", 1),
        (503, {}, "server_error", 3),
    ],
)
def test_each_refusal_has_its_reason(status: int, body: object, reason: str, requests: int) -> None:
    world = World(always(status, json=body))
    error = world.fails()
    assert (error.reason, error.status, len(world.sent)) == (reason, status, requests)
    assert ("failure", "/workloads", reason) in world.counted


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("[Errno -2] Name or service not known"), "dns"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "tls"),
        (httpx.ConnectError("All connection attempts failed"), "connect"),
        (httpx.ReadError("reset"), "connect"),
        (httpx.RemoteProtocolError("peer closed connection"), "connect"),
        (httpx.ReadTimeout("slow"), "timeout"),
    ],
)
def test_a_network_failure_has_its_reason_and_is_retried(error: Exception, reason: str) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        raise error

    world = World(server)
    assert world.fails().reason == reason
    expected = 1 if reason == "tls" else 3
    assert (len(world.sent), world.counted.count(("retry", "/workloads", reason))) == (expected, expected - 1)


def test_a_transient_failure_is_tried_again() -> None:
    answers = iter([httpx.Response(503), httpx.Response(429), httpx.Response(200, content=b"x")])
    assert World(lambda request: next(answers)).get().body == b"x"


def test_retry_after_of_the_list_pauses_every_request_of_the_account() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429 if world.now < 7 else 200, headers={"retry-after": "7"})

    world = World(server, patience=30.0)
    world.run(lambda client: asyncio.gather(client.get("/workloads"), client.get("/version")))
    sent = [round(at, 3) for at, _ in world.sent]
    assert [at for at in sent if 1 < at < 7] == []
    assert ("wait", "throttled") in world.counted


def test_a_storm_of_refusals_is_met_with_ever_longer_pauses_and_then_with_silence() -> None:
    world = World(always(429), timeout=30.0)

    async def storm(client: Client) -> None:
        for _ in range(40):
            with pytest.raises(ApiError, match=r"429|are paused"):
                await client.get("/workloads")
            world.now += 30.0

    world.run(storm)
    gaps = [b - a for (a, _), (b, _) in pairwise(world.sent)]
    assert gaps[0] >= 5.0
    assert gaps == sorted(gaps) or max(gaps[-3:]) >= 300.0
    assert len(world.sent) < 15


@pytest.mark.parametrize("header", [None, "0", "-1", "Thu, 01 Jan 1970 00:00:01 GMT", "soon", "1"])
def test_a_server_that_refuses_and_names_no_time_is_not_stormed(header: str | None) -> None:
    world = World(always(429, headers={} if header is None else {"retry-after": header}), timeout=30.0)

    async def storm(client: Client) -> None:
        for minute in range(240):
            await asyncio.gather(client.get("/workloads"), return_exceptions=True)
            world.now = max(world.now, 15.0 * minute)

    world.run(storm)
    assert len(world.sent) < 25  # in an hour


@given(
    st.lists(st.sampled_from([200, 204, 429, 500, 503, 404]), min_size=1, max_size=30),
    st.sampled_from([0.5, 2.0, 10.0]),
    st.integers(1, 4),
)
def test_the_budget_is_never_exceeded_retries_included(statuses: list[int], rate: float, concurrency: int) -> None:
    answers = iter([*statuses, *[200] * 200])
    world = World(lambda request: httpx.Response(next(answers)), rate=rate, concurrency=concurrency)

    async def send(client: Client) -> None:
        await asyncio.gather(*(client.get("/workloads") for _ in range(10)), return_exceptions=True)

    world.run(send)
    sent = [at for at, _ in world.sent]
    assert all(later - sooner >= 1 / rate - 1e-9 for sooner, later in pairwise(sent))


def test_the_number_of_requests_in_progress_is_limited() -> None:
    in_progress: list[int] = []

    async def send() -> None:
        now = 0

        async def server(request: httpx.Request) -> httpx.Response:
            nonlocal now
            now += 1
            in_progress.append(now)
            for _ in range(5):
                await asyncio.sleep(0)  # let the other tasks run
            now -= 1
            return httpx.Response(200)

        world = World(always(200))
        transport = httpx.MockTransport(server)
        async with Client(
            "https://dr.test/api/v2", lambda: "t", world, rate=1e6, concurrency=3, transport=transport
        ) as client:
            await asyncio.gather(*(client.get("/workloads") for _ in range(20)))

    asyncio.run(send())
    assert max(in_progress) == 3


def slashed(request: httpx.Request) -> bool:
    return request.url.path.endswith("/")


@pytest.mark.parametrize("refusal", [404, 405, 422, 301])
def test_the_slash_form_is_learned_per_route_and_then_kept(refusal: int) -> None:
    world = World(lambda request: httpx.Response(refusal if slashed(request) else 200))

    async def send(client: Client) -> None:
        for _ in range(3):
            await client.get("/workloads")

    world.run(send)
    assert world.paths == ["/workloads/", "/workloads", "/workloads", "/workloads"]


def test_a_missing_object_on_a_known_route_is_requested_once() -> None:
    world = World(lambda request: httpx.Response(404 if "/gone/" in request.url.path else 200))

    async def send(client: Client) -> str:
        await client.get("/workloads/{id}/events", id="there")
        with pytest.raises(ApiError) as raised:
            await client.get("/workloads/{id}/events", id="gone")
        await client.get("/workloads/{id}/events", id="there")
        return raised.value.reason

    assert world.run(send) == "not_found"
    assert len(world.sent) == 3


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_a_route_that_never_answered_is_absent_for_an_hour(status: int) -> None:
    offered = False
    world = World(lambda request: httpx.Response(200 if offered else status))

    async def send(client: Client) -> list[str]:
        nonlocal offered
        values = []
        for other in "xy":  # one object may be hidden from us or broken; three are the route
            with pytest.raises(ApiError):
                await client.get("/workloads/{id}/protons", id=other)
            assert "/workloads/{id}/protons" not in client.capabilities
        for wait in (0.0, 3599.0, 2.0):
            world.now += wait
            offered = wait == 2.0
            try:
                values.append(str((await client.get("/workloads/{id}/protons", id="a")).status))
            except ApiError as error:
                values.append(error.reason)
            values.append(str(dict(client.capabilities)["/workloads/{id}/protons"]))
        return values

    first = {403: "forbidden", 404: "not_found", 405: "bad_request", 501: "bad_request"}[status]
    assert world.run(send) == [first, "False", "absent", "False", "200", "True"]


def test_the_list_itself_is_never_absent() -> None:
    world = World(always(403))

    async def send(client: Client) -> None:
        for _ in range(2):
            with pytest.raises(ApiError, match="403"):
                await client.get("/workloads")

    world.run(send)
    assert len(world.sent) == 2


def test_a_token_that_was_replaced_is_used_at_once() -> None:
    tokens = iter(["old", "new", "new"])

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["authorization"] == "Bearer new" else 401)

    world = World(server, token=lambda: next(tokens))
    assert world.get().status == 200
    assert len(world.sent) == 2


def test_a_token_is_read_from_its_file_again_after_a_401_and_only_then() -> None:
    token, renewals = ["old"], list[str]()

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["authorization"] == "Bearer new" else 401)

    async def renew() -> None:
        renewals.append(token[0])
        token[0] = "new"

    world = World(server, token=lambda: token[0], renew=renew)
    assert [world.get().status for _ in range(2)] == [200, 200]
    assert renewals == ["old"]


@pytest.mark.parametrize(("token", "words"), [("", "is empty"), ("a\nb", "not allowed in"), ("ä", "not allowed in")])
def test_a_token_that_no_header_can_contain_is_reported_and_not_sent(token: str, words: str) -> None:
    world = World(always(200), token=lambda: token)
    error = world.fails()
    assert (error.reason, world.sent) == ("auth", [])
    assert words in str(error)
    assert not token or token not in str(error)


def test_while_the_list_does_not_accept_the_token_nothing_else_is_requested() -> None:
    tokens = ["old"]

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["authorization"] == "Bearer new" else 401)

    world = World(server, token=lambda: tokens[0], rate=10.0)

    async def send(client: Client) -> None:
        for second in range(1200):
            if second == 900:
                tokens[0] = "new"
            if second % 30 == 0:
                await asyncio.gather(client.get("/workloads"), return_exceptions=True)
            for route in ("/workloads/{id}/events", "/workloads/{id}/protons", "/quotas"):
                places = {"id": f"w{second % 40}"} if "{id}" in route else {}
                await asyncio.gather(client.get(route, None, **places), return_exceptions=True)
            world.now = max(world.now, second + 1.0)

    world.run(send)
    before = [path for (at, _), path in zip(world.sent, world.paths, strict=True) if at < 900]
    assert before.count("/workloads/") == 30
    assert len(before) == 30  # details were not even tried after the first refusal of the list
    assert sum(at >= 900 for at, _ in world.sent) > 900  # at once with the new token


def test_a_route_that_alone_does_not_accept_the_token_delays_no_other() -> None:
    world = World(lambda request: httpx.Response(401 if request.url.path.endswith("/events/") else 200))

    async def send(client: Client) -> None:
        for second in range(600):
            if second % 30 == 0:
                await client.get("/workloads")
            await asyncio.gather(client.get("/workloads/{id}/events", id=f"w{second % 40}"), return_exceptions=True)
            await client.get("/workloads/{id}/protons", id="a")  # raises if it is paused
            world.now = max(world.now, second + 1.0)

    world.run(send)
    assert sum(path.endswith("/events/") for path in world.paths) < 20


def test_a_client_that_follows_another_shares_its_budget_and_its_pauses() -> None:
    """A reload: the requests of the previous client end while those of the new one begin."""
    at_once: list[int] = []
    released = asyncio.Event()
    now = 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal now
        if request.url.path.endswith("/quotas/"):
            return httpx.Response(429, headers={"retry-after": "100"})
        now += 1
        at_once.append(now)
        await released.wait()
        now -= 1
        return httpx.Response(200)

    async def inside() -> str:
        world = World(always(200))

        def client(concurrency: int, base: str = "https://dr.test/api/v2") -> Client:
            transport = httpx.MockTransport(slow)
            return Client(base, lambda: "t", world, rate=1e6, concurrency=concurrency, transport=transport)

        old, new, other = client(3), client(2), client(2, "https://other.test/api/v2")
        async with old, new, other:
            with pytest.raises(ApiError, match="429"):
                await old.get("/quotas")
            first = [asyncio.create_task(old.get("/version")) for _ in range(3)]
            for _ in range(100):
                await asyncio.sleep(0)  # let the requests begin
            new.inherit(old)
            other.inherit(old)
            second = [asyncio.create_task(new.get("/version")) for _ in range(3)]
            for _ in range(100):
                await asyncio.sleep(0)  # let the new ones get as far as they can
            assert (now, len(at_once)) == (3, 3)
            released.set()
            await asyncio.gather(*first, *second)
            with pytest.raises(ApiError, match=r"was not sent.*paused") as paused:
                await new.get("/quotas")
            with pytest.raises(ApiError, match="429"):  # the API of another host is another budget
                await other.get("/quotas")
        return paused.value.reason

    assert asyncio.run(inside()) == "throttled"
    assert max(at_once[3:]) <= 2


def test_a_redirect_is_not_followed() -> None:
    world = World(always(302, headers={"location": "https://evil.test/"}))
    assert world.fails().reason == "redirect"
    assert {request.url.host for _, request in world.sent} == {"dr.test"}


def test_no_error_contains_the_token_or_a_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "exporter")
    world = World(always(401, text="no\x00\n" * 500))
    error = world.fails()
    assert str(error).startswith("GET /workloads returned 401: no no")
    assert len(str(error)) < 300
    values = str(error) + repr(error) + repr(error.__cause__) + caplog.text
    assert "s3cret" not in values
    assert "?" not in values


def test_an_answer_that_is_too_large_is_not_read() -> None:
    world = World(always(200, content=b"x" * 1001), body_limit=1000)
    assert world.fails().reason == "too_large"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "none"}', "none"),
        (b'{"detail": ["a", "b"]}', "a; b"),
        (b'{"detail": [{"loc": ["query", "limit"], "msg": "at most 100"}]}', "query.limit: at most 100"),
        (b'{"message": "Invalid API key"}', "Invalid API key"),
        (b'{"error": "API rate limit exceeded"}', "API rate limit exceeded"),
        (b'"plain"', "plain"),
        (b'{"detail": [{"loc": 5}, null, {"msg": [7]}]}', "{'loc': 5}; None; : [7]"),
        (b"<html><style>a{}</style>\n<h1>502</h1></html>", "502"),
        (b"<SCRIPT type=x>if (a < b) c()</SCRIPT><p>busy: 3 < 5", "busy: 3 < 5"),
        (b"<script>the end is cut", "(no message)"),
        (b"[" * 100000, "["),
        (b"", "(no message)"),
    ],
)
def test_error_bodies_of_every_shape_become_words(body: bytes, words: str) -> None:
    assert detail(body).startswith(words)


@pytest.mark.parametrize(
    "piece",
    [b"<", b"<script ", b"<script>", b"</script", b"<style><", b"&lt;", b"[", b'{"detail":', b"\\u003c", b"\xff"],
)
def test_no_error_body_takes_long(piece: bytes) -> None:
    began = time.process_time()
    assert len(detail(piece * (MAX_BODY_BYTES // len(piece)))) <= DETAIL_LENGTH
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after({} if header is None else {"retry-after": header}, 10.0) == seconds


@pytest.mark.parametrize(("date", "seconds"), [("Thu, 01 Jan 1970 00:10:23 GMT", 7.0), ("no date", 620.0)])
def test_a_date_to_retry_after_is_by_the_clock_of_the_server(date: str, seconds: float) -> None:
    headers = {"retry-after": "Thu, 01 Jan 1970 00:10:30 GMT", "date": date}
    assert retry_after(headers, 10.0) == seconds


# -- secrets

TOKEN = "T0ken/of+the=Account"
ECHOES = [
    TOKEN,
    TOKEN.replace("/", "\\/"),
    TOKEN.replace("+", "\\u002b"),
    quote(TOKEN, safe=""),
    TOKEN.replace("/", "&#x2F;"),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, '{"message": "Invalid API key %s"}'),
        (500, "<html><h1>KeyError</h1><pre>authorization: Bearer %s</pre></html>"),
        (422, '{"detail": [{"loc": ["header"], "msg": "not %s"}]}'),
    ],
)
def test_no_error_contains_a_token_that_the_server_repeats(status: int, text: str, echo: str) -> None:
    error = World(always(status, text=text % echo), lambda: TOKEN).fails()
    assert "***" in str(error)
    assert not [each for each in ECHOES if each in str(error)]


@pytest.mark.parametrize("echo", ECHOES)
def test_no_body_contains_a_token_that_the_server_repeats_compressed_or_not(echo: str) -> None:
    body = json.dumps({"data": [{"name": "x"}]}).replace('"x"', f'"of {echo}"').encode()
    for served in ({"content": body}, {"content": gzip.compress(body), "headers": {"content-encoding": "gzip"}}):
        assert World(always(200, **served), lambda: TOKEN).get().body == b'{"data": [{"name": "of ***"}]}'


def test_the_secrets_of_others_are_removed_too() -> None:
    secrets = Secrets([Source(lambda: "t0ken-of-another-account")])
    world = World(always(200, content=b"[t0ken-of-another-account]"), lambda: TOKEN, secrets=secrets)
    assert world.get().body == b"[***]"


def test_a_token_that_is_replaced_during_a_request_is_not_shown_in_its_answer() -> None:
    tokens = iter(["first-t0ken", "second-t0ken", "second-t0ken"])
    error = World(always(401, text="first-t0ken second-t0ken"), lambda: next(tokens)).fails()
    assert str(error) == "GET /workloads returned 401: *** ***"


@pytest.mark.parametrize(
    "error",
    [
        httpx.RemoteProtocolError(f"illegal header line: bytearray(b'x-debug {TOKEN}')"),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"),
        httpx.ConnectError("x" * (DETAIL_LENGTH - 45) + TOKEN),
    ],
)
def test_no_error_of_the_library_shows_the_token(error: httpx.HTTPError) -> None:
    def server(_: httpx.Request) -> httpx.Response:
        raise error

    assert not shows(str(World(server, lambda: TOKEN).fails()))


@pytest.mark.parametrize("left", range(1, len(TOKEN)))
def test_half_a_token_at_the_end_of_what_is_read_is_not_shown(left: int) -> None:
    page = b"<script>" + b"x" * (MAX_BODY_BYTES - len("<script></script>") - left) + b"</script>"
    assert not shows(str(World(always(500, content=page + TOKEN.encode() + b"</p>"), lambda: TOKEN).fails()))


def shows(words: str) -> bool:
    """Whether there are six characters in a row of the token."""
    return any(TOKEN[at : at + 6] in words for at in range(len(TOKEN) - 5))
