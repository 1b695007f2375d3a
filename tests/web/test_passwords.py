"""Order and cost of password checks. The test decides when each check runs."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from itertools import count
from typing import Any

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.web.passwords import FAILED_SECONDS, MOST_FAILED, MOST_WAITING, Passwords

HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
USERS = {"scraper": HASH}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


RIGHT = basic("scraper", "right")
wrong_passwords = count()


def wrong(user: str = "scraper") -> str:
    """A password that was never sent before."""
    return basic(user, f"wrong {next(wrong_passwords)}")


class ManualExecutor(Executor):
    """Runs the next task when the test calls `next`."""

    def __init__(self) -> None:
        self._work: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.done = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.append((future, fn, args))
        return future

    def next(self) -> None:
        ((future, fn, args),) = self._work  # never two at once
        self._work.clear()
        self.done += 1
        try:
            future.set_result(fn(*args))
        except ValueError as error:
            future.set_exception(error)

    @property
    def idle(self) -> bool:
        return not self._work


class Bench:
    """Passwords, waiting requests, and the clock."""

    def __init__(self, users: dict[str, str] = USERS) -> None:
        self.pool, self.now = ManualExecutor(), 1000.0
        self.passwords = Passwords(users, self.pool, self.steady)

    def steady(self) -> float:
        self.now += 1e-6  # time passes between two calls
        return self.now

    def request(
        self, authorization: str, network: str = "a", gone: Callable[[], bool] = lambda: False
    ) -> "asyncio.Task[bool | None]":
        """A request whose password needs a check."""
        assert self.passwords.known(authorization) is None
        return asyncio.create_task(self.passwords.check(authorization, network, gone))

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)  # let the other tasks run

    async def checks_until(self, request: "asyncio.Task[bool | None]", refill: Callable[[], Any] = lambda: None) -> int:
        """The number of checks until this request is decided; `refill` is called before each."""
        before = self.pool.done
        await self.settle()
        while not request.done():
            refill()
            await self.settle()
            self.pool.next()
            await self.settle()
        return self.pool.done - before

    async def finish(self) -> None:
        await self.settle()
        while not self.pool.idle:
            self.pool.next()
            await self.settle()


def run(work: Callable[[Bench], Awaitable[Any]], users: dict[str, str] = USERS) -> Any:
    async def inside() -> Any:
        bench = Bench(users)
        try:
            return await work(bench)
        finally:
            await bench.finish()

    return asyncio.run(inside())


@pytest.mark.parametrize(
    ("authorization", "known"),
    [
        ("", False),
        ("Bearer x", False),
        ("Basic \xff\xfe==", False),
        ("Basic dXNlcjpw\xa0", False),
        ("Basic ???", False),
        ("Basic " + base64.b64encode(b"no colon").decode(), False),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), False),
        (RIGHT, None),
        (basic("nobody", "x"), None),
    ],
)
def test_only_well_formed_credentials_need_a_check(authorization: str, known: bool | None) -> None:
    assert Bench().passwords.known(authorization) is known


def test_without_users_every_request_is_authorized() -> None:
    assert Bench({}).passwords.known("") is True


@pytest.mark.parametrize(
    ("authorization", "accepted"),
    [
        (RIGHT, True),
        (RIGHT.replace("Basic", "BASIC"), True),
        (wrong(), False),
        (basic("nobody", "right"), False),
        (basic("scraper", ""), False),
        (basic("scraper", "wrong\0"), False),
    ],
)
def test_the_result_of_a_check_is_cached(authorization: str, accepted: bool) -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None, int]:
        request = bench.request(authorization)
        await bench.finish()
        return await request, bench.passwords.known(authorization), bench.pool.done

    assert run(work) == (accepted, accepted, 1)


def test_a_wrong_password_is_checked_again_after_a_minute_and_a_right_one_never() -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None, bool | None]:
        password = wrong()
        for request in (bench.request(password), bench.request(RIGHT)):
            await bench.finish()
            await request
        bench.now += FAILED_SECONDS - 1
        before = bench.passwords.known(password)
        bench.now += 2
        return before, bench.passwords.known(password), bench.passwords.known(RIGHT)

    assert run(work) == (False, None, True)


def test_wrong_passwords_do_not_displace_a_right_one_from_the_cache() -> None:
    async def work(bench: Bench) -> bool | None:
        bench.request(RIGHT)
        for number in range(MOST_FAILED + 100):
            bench.request(wrong(f"user {number}"), f"network {number}")
            await bench.finish()
        return bench.passwords.known(RIGHT)

    assert run(work) is True


def test_requests_with_the_same_password_share_one_check() -> None:
    async def work(bench: Bench) -> tuple[set[bool | None], int]:
        requests = [bench.request(RIGHT, network) for network in "abcd"]
        await bench.finish()
        return {await each for each in requests}, bench.pool.done

    assert run(work) == ({True}, 1)


def test_a_disconnected_client_costs_no_check() -> None:
    async def work(bench: Bench) -> tuple[list[bool | None], int]:
        disconnected = False
        requests = [bench.request(wrong(), gone=lambda: disconnected) for _ in range(20)]
        await bench.settle()  # the first check has begun
        disconnected = True
        requests.append(bench.request(RIGHT))
        await bench.finish()
        return [await each for each in requests], bench.pool.done

    assert run(work) == ([False] * 20 + [True], 2)


@pytest.mark.parametrize(
    ("network", "user"),
    [("strangers", "scraper"), ("strangers", "nobody"), ("a", "nobody")],
    ids=["another network", "another network and user", "another user"],
)
def test_a_client_without_recent_failures_waits_for_two_checks_at_most(network: str, user: str) -> None:
    async def work(bench: Bench) -> int:
        def flood() -> None:
            for _ in range(MOST_WAITING):
                bench.request(wrong(user), network)

        flood()
        await bench.settle()
        for _ in range(5):
            bench.pool.next()
            await bench.settle()
        flood()
        return await bench.checks_until(bench.request(RIGHT, "a"), flood)

    assert run(work) <= 3  # the one in progress, one more, and its own


def test_strangers_with_the_same_address_and_user_delay_it_by_one_check_each() -> None:
    async def work(bench: Bench) -> tuple[bool | None, int]:
        strangers = [bench.request(wrong()) for _ in range(20)]
        await bench.settle()
        request = bench.request(RIGHT)

        def refill() -> None:
            strangers[:] = [each for each in strangers if not each.done()]
            strangers.extend(bench.request(wrong()) for _ in range(20 - len(strangers)))

        checks = await bench.checks_until(request, refill)
        return await request, checks

    assert run(work) == (True, 21)


@pytest.mark.parametrize(("patience", "checks"), [(10.0, 2), (0.5, 21)])
def test_a_client_that_disconnects_after_waiting_keeps_its_place_in_the_queue(patience: float, checks: int) -> None:
    async def work(bench: Bench) -> int:
        waiting: list[asyncio.Task[bool | None]] = []

        def refill() -> None:
            waiting[:] = [each for each in waiting if not each.done()]
            waiting.extend(bench.request(wrong()) for _ in range(20 - len(waiting)))

        refill()
        await bench.settle()
        disconnected = False
        request = bench.request(RIGHT, gone=lambda: disconnected)
        for _ in range(18):
            bench.pool.next()
            await bench.settle()
            refill()
        await bench.settle()
        bench.now += patience
        disconnected = True
        bench.pool.next()
        await bench.settle()
        assert not await request
        refill()
        await bench.settle()
        return await bench.checks_until(bench.request(RIGHT), refill)

    assert run(work) == checks


def test_failures_are_forgotten_over_time() -> None:
    async def work(bench: Bench) -> list[int]:
        for _ in range(8):
            bench.request(wrong(), "a")
            await bench.finish()

        async def wait() -> int:
            for _ in range(4):
                bench.request(wrong(), "b")
            return await bench.checks_until(bench.request(wrong(), "a"))

        soon = await wait()
        await bench.finish()
        bench.now += 3600
        return [soon, await wait()]

    soon, later = run(work)
    assert soon > later


def test_beyond_the_queue_the_newest_request_of_the_busiest_network_is_rejected() -> None:
    async def work(bench: Bench) -> tuple[list[int], bool | None, int]:
        strangers = [bench.request(wrong(), "strangers")]
        await bench.settle()  # it is being checked, so that all others wait
        strangers += [bench.request(wrong(), "strangers") for _ in range(MOST_WAITING + 1)]
        scraper = bench.request(RIGHT, "a")
        await bench.settle()
        rejected = [number for number, each in enumerate(strangers) if each.done() and each.result() is None]
        await bench.finish()
        return rejected, await scraper, bench.pool.done

    assert run(work) == ([MOST_WAITING, MOST_WAITING + 1], True, 1 + MOST_WAITING)


def test_an_old_password_is_rejected_after_the_file_has_changed() -> None:
    new = bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()

    async def work(bench: Bench) -> list[bool | None]:
        in_progress, waiting, new_password = (
            bench.request(RIGHT),
            bench.request(wrong()),
            bench.request(basic("scraper", "new")),
        )
        await bench.settle()
        bench.passwords.replace({"scraper": new})
        await bench.finish()
        return [await in_progress, await waiting, await new_password, bench.passwords.known(RIGHT)]

    assert run(work) == [False, False, True, False]


@pytest.mark.parametrize(
    ("users", "known"),
    [(USERS | {"other": HASH}, (None, None)), (dict(USERS), (True, False))],
    ids=["another user", "the same users, such as with a new certificate"],
)
def test_cached_results_are_dropped_when_the_users_change(
    users: dict[str, str], known: tuple[bool | None, bool | None]
) -> None:
    async def work(bench: Bench) -> tuple[bool | None, ...]:
        refused = wrong()
        bench.request(RIGHT)
        bench.request(refused)
        await bench.finish()
        bench.passwords.replace(users)
        return bench.passwords.known(RIGHT), bench.passwords.known(refused)

    assert run(work) == known


def test_an_invalid_hash_rejects_its_user_and_delays_no_other() -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None]:
        broken, right = bench.request(basic("broken", "x")), bench.request(RIGHT)
        await bench.finish()
        return await broken, await right

    assert run(work, USERS | {"broken": "$2b$04$" + "9" * 53}) == (False, True)


@pytest.mark.parametrize("highest", [4, 8])
def test_a_refusal_takes_the_same_time_for_existing_and_unknown_users(highest: int) -> None:
    users = {"low": HASH, "high": bcrypt.hashpw(b"x", bcrypt.gensalt(highest)).decode()}

    async def work(bench: Bench) -> list[float]:
        spent = []
        for name in ("low", "high", "nobody"):
            shortest = 60.0
            for _ in range(3):
                request = bench.request(wrong(name))
                await bench.settle()
                began = time.thread_time()
                bench.pool.next()
                shortest = min(shortest, time.thread_time() - began)
                assert not await request
            spent.append(shortest)
        return spent

    spent = run(work, users)
    assert max(spent) < 1.8 * min(spent)


requests = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["scraper", "x", "y"]), st.booleans(), st.integers(0, 2)),
    max_size=80,
)


@settings(deadline=None)
@given(requests)
def test_every_request_is_decided_and_only_a_right_password_is_accepted(sent: list[tuple[str, str, bool, int]]) -> None:
    async def work(bench: Bench) -> None:
        waiting: list[tuple[bool, asyncio.Task[bool | None]]] = []
        for network, user, right, checks in sent:
            authorization = basic(user, "right") if right else wrong(user)
            known = bench.passwords.known(authorization)
            if known is None:
                waiting.append((right and user == "scraper", bench.request(authorization, network)))
            else:
                assert known == (right and user == "scraper")
            await bench.settle()
            assert sum(not each.done() for _, each in waiting) <= MOST_WAITING + 1
            for _ in range(checks):
                if not bench.pool.idle:
                    bench.pool.next()
                    await bench.settle()
        await bench.finish()
        assert all(each.result() in (right, None) for right, each in waiting)

    run(work)
