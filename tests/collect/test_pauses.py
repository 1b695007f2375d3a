"""The client after refusals (429, or 503 with Retry-After), in virtual time: what is sent, when, and what is not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice, pairwise
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collect.client import ApiError, Client
from exporter.fleet.pauses import LIST, MAX_PAUSE_SECONDS, Pause
from tests.stage import VirtualLoop

PODS, EVENTS = "/workloads/{id}/protons/{pid}/statusDetails", "/workloads/{id}/events"
QUOTAS, LIMITS = "/quotas", "/account/info"
OK = (200, None)


class Sent(NamedTuple):
    """One request: when it was sent, its path, when it was answered, with what, and the Retry-After of the answer."""

    at: float
    path: str
    answered: float
    status: int
    retry_after: float | None


class Api:
    """A server that answers a path as `answer` says, after `latency` seconds, and the observer of the client."""

    def __init__(
        self, answer: Callable[[str, float], tuple[int, float | None]], latency: Callable[[], float] = lambda: 0.1
    ) -> None:
        self._answer, self._latency = answer, latency
        self.sent: list[Sent] = []
        self.events: list[tuple[str, str, float]] = []
        self.in_progress = self.most = 0

    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...

    def paused(self, endpoint: str, seconds: float) -> None:
        self.events.append(("paused", endpoint, round(seconds, 3)))

    def resumed(self, endpoint: str) -> None:
        self.events.append(("resumed", endpoint, 0.0))

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time
        at, path = now(), request.url.path.removeprefix("/api/v2").rstrip("/")
        self.in_progress += 1
        self.most = max(self.most, self.in_progress)
        await asyncio.sleep(self._latency())  # virtual time
        self.in_progress -= 1
        status, retry_after = self._answer(path, now())
        self.sent.append(Sent(at, path, now(), status, retry_after))
        headers = {} if retry_after is None else {"retry-after": f"{retry_after:.0f}"}
        return httpx.Response(status, headers=headers)

    def run(
        self, work: Callable[[Client], Awaitable[Any]], token: Callable[[], str] = lambda: "t", **options: Any
    ) -> Any:
        """What `work` returns, given a client of this server."""

        async def inside() -> Any:
            client = Client(
                "https://dr.test/api/v2",
                token,
                self,
                transport=httpx.MockTransport(self._respond),
                steady=asyncio.get_running_loop().time,
                **({"rate": 1000.0} | options),
            )
            async with client:
                return await work(client)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(inside())

    def times(self, path: str) -> list[float]:
        return [round(request.at, 2) for request in self.sent if request.path == path]


async def error_of(get: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await get
    return raised.value


def refusing(*paths: str, status: int = 429, retry_after: float | None = None) -> Api:
    return Api(lambda path, _: (status, retry_after) if path in paths else OK)


def pods(client: Client, workload: str) -> Awaitable[object]:
    return client.get(PODS, id=workload, pid="p1")


@pytest.mark.parametrize(("status", "retry_after"), [(503, 300.0), (429, 300.0), (429, None), (401, None)])
def test_a_refusal_for_one_workload_delays_neither_the_list_nor_other_routes_nor_other_workloads(
    status: int, retry_after: float | None
) -> None:
    api = refusing("/workloads/a/protons/p1/statusDetails", status=status, retry_after=retry_after)

    async def work(client: Client) -> None:
        await error_of(pods(client, "a"))
        await client.get(LIST)
        await client.get(EVENTS, id="a")
        await pods(client, "b")

    api.run(work)
    expected = ["/workloads", "/workloads/a/events", "/workloads/b/protons/p1/statusDetails"]
    assert [request.path for request in api.sent[1:]] == expected
    assert api.sent[-1].answered < 1.0


HELD_BACK: dict[str, tuple[list[tuple[str, dict[str, str]]], int, str, Pause, str]] = {
    "an object": (
        [(PODS, {"id": "a", "pid": "p1"})],
        503,
        PODS,
        Pause("object", 60),
        "the API refused requests for this object, which is paused for 60 s more; others are not affected",
    ),
    "a route": (
        [(EVENTS, {"id": each}) for each in "bcd"],
        429,
        EVENTS,
        Pause("route", 60),
        "the API refused requests to this route, which is paused for 60 s more; other routes are not affected",
    ),
    "all but the list": (
        [(QUOTAS, {}), ("/computeBundles", {})],
        429,
        LIMITS,
        Pause("details", 5),
        "the API refused requests to several routes, or the token: all but the workload list are paused for 5 s more",
    ),
    "the account": (
        [(LIST, {})],
        429,
        LIMITS,
        Pause("account", 60),
        "the API refused to list workloads: all requests of the account are paused for 60 s more",
    ),
}


@pytest.mark.parametrize("name", HELD_BACK)
def test_a_paused_request_is_not_sent_and_its_error_says_what_is_paused_and_for_how_long(name: str) -> None:
    refused, status, route, pause, words = HELD_BACK[name]
    api = Api(lambda _, __: (status, 60.0), latency=lambda: 0.0)

    async def work(client: Client) -> ApiError:
        for refuses, places in refused:
            await error_of(client.get(refuses, None, **places))
        places = {"id": "a", "pid": "p1"} if route == PODS else {"id": "a"} if route == EVENTS else {}
        return await error_of(client.get(route, None, **places))

    error = api.run(work)
    assert (error.reason, error.status, len(api.sent)) == ("throttled", 0, len(refused))
    assert str(error) == f"GET {route} was not sent: {words}"
    assert error.pause is not None
    assert (error.pause.scope, round(error.pause.seconds)) == pause


@pytest.mark.parametrize(("status", "retry_after"), [(429, None), (429, 2.0), (429, 300.0), (503, 300.0)])
def test_a_refused_get_is_not_repeated_while_it_is_paused(status: int, retry_after: float | None) -> None:
    api = refusing("/workloads/a/events", status=status, retry_after=retry_after)

    async def work(client: Client) -> ApiError:
        return await error_of(client.get(EVENTS, id="a"))

    error = api.run(work)
    assert (error.status, len(api.sent)) == (status, 1)
    assert error.pause is not None
    assert error.pause.seconds == pytest.approx(retry_after or 5.0)


@pytest.mark.parametrize(
    ("retry_after", "sent"),
    [
        (None, [0.0, 5.1, 15.2]),  # the third pause would be 20 s
        (7.0, [0.0, 7.1, 14.2]),
        (40.0, [0.0]),
    ],
)
@pytest.mark.parametrize(("route", "options"), [(LIST, {"timeout": 30.0}), (QUOTAS, {"patience": 30.0})])
def test_a_refused_get_is_repeated_at_the_end_of_a_pause_that_it_may_wait_for(
    route: str, options: dict[str, Any], retry_after: float | None, sent: list[float]
) -> None:
    api = refusing(route, retry_after=retry_after)

    async def work(client: Client) -> ApiError:
        return await error_of(client.get(route))

    assert api.run(work, **options).status == 429
    assert api.times(route) == sent


def test_requests_that_wait_for_the_end_of_a_pause_hold_no_connection() -> None:
    api = Api(lambda path, now: (429, 20.0) if path == QUOTAS and now < 20.0 else OK)

    async def work(client: Client) -> None:
        waiting = [asyncio.create_task(client.get(QUOTAS)) for _ in range(11)]
        await asyncio.sleep(1.0)  # virtual time
        await client.get(LIST)
        await asyncio.gather(*waiting)

    api.run(work, patience=30.0, concurrency=2)
    assert api.times(LIST) == [1.0]
    first, second, *others = api.times(QUOTAS)
    assert (first, second, len(others)) == (0.0, 0.0, 11)
    assert min(others) >= 20.1


def test_a_paused_request_takes_no_turn_of_the_budget() -> None:
    api = refusing(QUOTAS, retry_after=300.0)

    async def work(client: Client) -> None:
        for _ in range(50):
            await error_of(client.get(QUOTAS))
        await client.get(LIST)

    api.run(work, rate=0.1)
    assert (api.times(QUOTAS), api.times(LIST)) == ([0.0], [10.0])


def test_requests_that_have_their_turn_already_are_not_sent_once_their_route_is_paused() -> None:
    api = refusing(QUOTAS, retry_after=300.0)

    async def work(client: Client) -> list[object]:
        return await asyncio.gather(*(client.get(QUOTAS) for _ in range(4)), return_exceptions=True)

    answers = api.run(work, rate=1.0, concurrency=4)
    assert [request.path for request in api.sent] == [QUOTAS]
    assert [str(error).split(":")[0] for error in answers[1:]] == [f"GET {QUOTAS} was not sent"] * 3


def test_many_refusals_of_requests_in_progress_are_one_pause_and_one_report() -> None:
    answer = 429

    def changing(path: str, _: float) -> tuple[int, None]:
        return (answer, None) if path.endswith("/events") else OK

    api = Api(changing)

    async def burst(client: Client) -> None:
        await asyncio.gather(*(client.get(EVENTS, id=str(n)) for n in range(20)), return_exceptions=True)

    async def work(client: Client) -> None:
        nonlocal answer
        for pause in (5.0, 10.0):
            await burst(client)
            await asyncio.sleep(pause)  # virtual time
        answer = 200
        await burst(client)
        answer = 429
        await burst(client)

    api.run(work, rate=1e6, concurrency=20)
    assert len(api.sent) == 80
    assert api.events == [
        ("paused", EVENTS, 5.0),
        ("paused", EVENTS, 10.0),
        ("resumed", EVENTS, 0.0),
        ("paused", EVENTS, 5.0),
    ]


def test_a_request_that_is_sent_again_with_a_new_token_waits_for_the_end_of_a_pause_too() -> None:
    answers = iter([401, 429])

    def answer(_path: str, _now: float) -> tuple[int, float | None]:
        status = next(answers, 200)
        return status, 7.0 if status == 429 else None

    api = Api(answer)
    tokens = cycle(["old", "new"])

    async def work(client: Client) -> None:
        await asyncio.gather(client.get(QUOTAS), client.get(QUOTAS))

    api.run(work, lambda: next(tokens), rate=1.0, patience=30.0)
    # The new token is there at 0.1 s and its turn at 2 s; from 1.1 s to 8.1 s the route is paused.
    first, other, *later = api.times(QUOTAS)
    assert (first, other, len(later), min(later) >= 8.1) == (0.0, 1.0, 2, True)


DETAILS = [(PODS, {"id": each, "pid": "p1"}) for each in "abcd"] + [(EVENTS, {"id": each}) for each in "ab"]
DETAILS += [(QUOTAS, {})]
ANSWERS = st.sampled_from([OK, (429, None), (429, 7.0), (429, 60.0), (503, 20.0), (503, 900.0), (500, None)])
SCRIPTS = st.tuples(
    st.lists(st.sampled_from([OK, OK, OK, (429, None), (429, 20.0), (503, 60.0)]), min_size=1, max_size=3),
    *(st.lists(ANSWERS, min_size=1, max_size=3) for _ in DETAILS),
)
"""What the list and each detail answer, in turn, over and over again."""
SPAN, EVERY = 400.0, 30.0


class Played(NamedTuple):
    """What was sent in `SPAN` seconds in which the list was requested every `EVERY` seconds, and when that was."""

    sent: list[Sent]
    most: int
    wanted: list[float]


def play(scripts: Sequence[list[tuple[int, float | None]]], latencies: list[float], **options: Any) -> Played:
    paths = [LIST, *(route.format(**places) for route, places in DETAILS)]
    scripted = {path: cycle(script) for path, script in zip(paths, scripts, strict=True)}
    durations = cycle(latencies)
    api = Api(lambda path, _: next(scripted[path]), lambda: next(durations))
    wanted: list[float] = []

    async def work(client: Client) -> None:
        now = asyncio.get_running_loop().time

        async def sweep() -> None:
            while now() < SPAN:
                wanted.append(now())
                await asyncio.gather(client.get(LIST), return_exceptions=True)
                await asyncio.sleep(max(0.1, wanted[-1] + EVERY - now()))  # virtual time

        async def poll(first: int) -> None:
            for route, places in islice(cycle(DETAILS), first, None):
                error = (await asyncio.gather(client.get(route, None, **places), return_exceptions=True))[0]
                if now() >= SPAN:
                    break
                if isinstance(error, ApiError):
                    await asyncio.sleep(1.0)  # virtual time

        await asyncio.gather(sweep(), *(poll(first) for first in range(options["concurrency"] - 1)))

    api.run(work, **options)
    return Played(sorted(api.sent), api.most, wanted)


@settings(max_examples=25, deadline=None)
@given(
    SCRIPTS,
    st.sampled_from([0.5, 2.0]),
    st.integers(2, 4),
    st.lists(st.sampled_from([0.01, 0.5, 3.0]), min_size=1, max_size=5),
    st.sampled_from([0.0, 30.0]),
)
def test_with_any_refusals_the_budget_is_kept_retry_after_obeyed_and_the_list_requested(
    scripts: tuple[list[tuple[int, float | None]], ...],
    rate: float,
    concurrency: int,
    latencies: list[float],
    patience: float,
) -> None:
    played = play(scripts, latencies, rate=rate, concurrency=concurrency, patience=patience)
    assert all(later.at - sooner.at >= 1 / rate - 1e-6 for sooner, later in pairwise(played.sent))
    assert played.most <= concurrency
    refusals = [request for request in played.sent if request.status == 429 or request.retry_after is not None]
    assert [pair for refusal in refusals for pair in _too_soon(refusal, played.sent)][:1] == []
    refused = [refusal.answered for refusal in refusals if refusal.path == LIST]
    for at in played.wanted:
        if not any(at - MAX_PAUSE_SECONDS - EVERY < each < at + EVERY for each in refused):
            went = min((each.at for each in played.sent if each.path == LIST and each.at >= at), default=SPAN)
            # Requests of the details that have a connection may have their turns first.
            assert went - at <= concurrency / rate + 1e-6


def _too_soon(refusal: Sent, sent: Sequence[Sent]) -> list[tuple[Sent, Sent]]:
    """What was sent within the time that a refusal requested to wait."""
    until = refusal.answered + min(refusal.retry_after or 0.0, MAX_PAUSE_SECONDS) - 1e-6
    return [(refusal, each) for each in sent if refusal.answered < each.at < until and _applies(refusal, each)]


def _applies(refusal: Sent, other: Sent) -> bool:
    """Whether a refusal requested that another request not be sent."""
    if refusal.path == LIST:
        return True
    return refusal.path == other.path
