"""Who has a password checked, when, and what it costs: the checks are done one by one, when the test says so."""

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


class ByHand(Executor):
    """Does the next piece of work when it is told to."""

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
    """Passwords, the requests that wait for them, and the time."""

    def __init__(self, users: dict[str, str] = USERS) -> None:
        self.pool, self.now = ByHand(), 1000.0
        self.passwords = Passwords(users, self.pool, self.steady)

    def steady(self) -> float:
        self.now += 1e-6  # time passes while it is looked at
        return self.now

    def ask(
        self, authorization: str, network: str = "a", gone: Callable[[], bool] = lambda: False
    ) -> "asyncio.Task[bool | None]":
        """A request whose password is not known."""
        assert self.passwords.known(authorization) is None
        return asyncio.create_task(self.passwords.check(authorization, network, gone))

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def checks_until(self, request: "asyncio.Task[bool | None]", refill: Callable[[], Any] = lambda: None) -> int:
        """How many checks are done before this one is answered; `refill` is called before each."""
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


def played(work: Callable[[Bench], Awaitable[Any]], users: dict[str, str] = USERS) -> Any:
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
        ("Basic ???", False),
        ("Basic " + base64.b64encode(b"no colon").decode(), False),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), False),
        (RIGHT, None),
        (basic("nobody", "x"), None),
    ],
)
def test_only_a_user_with_a_password_takes_a_check(authorization: str, known: bool | None) -> None:
    assert Bench().passwords.known(authorization) is known


def test_without_users_everybody_may_pass() -> None:
    assert Bench({}).passwords.known("") is True


@pytest.mark.parametrize(
    ("authorization", "passes"),
    [
        (RIGHT, True),
        (RIGHT.replace("Basic", "BASIC"), True),
        (wrong(), False),
        (basic("nobody", "right"), False),
        (basic("scraper", ""), False),
        (basic("scraper", "wrong\0"), False),
    ],
)
def test_the_result_of_a_check_is_remembered_and_costs_no_second_check(authorization: str, passes: bool) -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None, int]:
        request = bench.ask(authorization)
        await bench.finish()
        return await request, bench.passwords.known(authorization), bench.pool.done

    assert played(work) == (passes, passes, 1)


def test_a_wrong_password_is_checked_again_after_a_minute_and_a_right_one_never() -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None, bool | None]:
        password = wrong()
        for request in (bench.ask(password), bench.ask(RIGHT)):
            await bench.finish()
            await request
        bench.now += FAILED_SECONDS - 1
        before = bench.passwords.known(password)
        bench.now += 2
        return before, bench.passwords.known(password), bench.passwords.known(RIGHT)

    assert played(work) == (False, None, True)


def test_no_number_of_wrong_passwords_makes_a_right_one_forgotten() -> None:
    async def work(bench: Bench) -> bool | None:
        bench.ask(RIGHT)
        for number in range(MOST_FAILED + 100):
            bench.ask(wrong(f"user {number}"), f"network {number}")
            await bench.finish()
        return bench.passwords.known(RIGHT)

    assert played(work) is True


def test_requests_with_the_same_password_take_one_check_together() -> None:
    async def work(bench: Bench) -> tuple[set[bool | None], int]:
        requests = [bench.ask(RIGHT, network) for network in "abcd"]
        await bench.finish()
        return {await each for each in requests}, bench.pool.done

    assert played(work) == ({True}, 1)


def test_a_client_that_has_hung_up_costs_no_check() -> None:
    async def work(bench: Bench) -> tuple[list[bool | None], int]:
        hung_up = False
        requests = [bench.ask(wrong(), gone=lambda: hung_up) for _ in range(20)]
        await bench.settle()  # the first check has begun
        hung_up = True
        requests.append(bench.ask(RIGHT))
        await bench.finish()
        return [await each for each in requests], bench.pool.done

    assert played(work) == ([False] * 20 + [True], 2)


@pytest.mark.parametrize(
    ("network", "user"),
    [("strangers", "scraper"), ("strangers", "nobody"), ("a", "nobody")],
    ids=["another network", "another network and user", "another user"],
)
def test_a_client_with_a_clean_record_waits_for_two_checks_whatever_strangers_send(network: str, user: str) -> None:
    async def work(bench: Bench) -> int:
        def flood() -> None:
            for _ in range(MOST_WAITING):
                bench.ask(wrong(user), network)

        flood()
        await bench.settle()
        for _ in range(5):
            bench.pool.next()
            await bench.settle()
        flood()
        return await bench.checks_until(bench.ask(RIGHT, "a"), flood)

    assert played(work) <= 3  # the one under way, one more, and its own


def test_strangers_from_the_same_address_with_the_same_user_make_it_wait_in_line_and_no_longer() -> None:
    async def work(bench: Bench) -> tuple[bool | None, int]:
        strangers = [bench.ask(wrong()) for _ in range(20)]
        await bench.settle()
        request = bench.ask(RIGHT)

        def refill() -> None:
            strangers[:] = [each for each in strangers if not each.done()]
            strangers.extend(bench.ask(wrong()) for _ in range(20 - len(strangers)))

        checks = await bench.checks_until(request, refill)
        return await request, checks

    assert played(work) == (True, 21)


@pytest.mark.parametrize(("patience", "checks"), [(10.0, 2), (0.5, 21)])
def test_a_client_that_hangs_up_after_a_while_has_its_place_in_the_line_when_it_comes_back(
    patience: float, checks: int
) -> None:
    async def work(bench: Bench) -> int:
        waiting: list[asyncio.Task[bool | None]] = []

        def refill() -> None:
            waiting[:] = [each for each in waiting if not each.done()]
            waiting.extend(bench.ask(wrong()) for _ in range(20 - len(waiting)))

        refill()
        await bench.settle()
        hung_up = False
        request = bench.ask(RIGHT, gone=lambda: hung_up)
        for _ in range(18):
            bench.pool.next()
            await bench.settle()
            refill()
        await bench.settle()
        bench.now += patience
        hung_up = True
        bench.pool.next()
        await bench.settle()
        assert not await request
        refill()
        await bench.settle()
        return await bench.checks_until(bench.ask(RIGHT), refill)

    assert played(work) == checks


def test_a_record_gets_clean_in_time() -> None:
    async def work(bench: Bench) -> list[int]:
        for _ in range(8):
            bench.ask(wrong(), "a")
            await bench.finish()

        async def wait() -> int:
            for _ in range(4):
                bench.ask(wrong(), "b")
            return await bench.checks_until(bench.ask(wrong(), "a"))

        soon = await wait()
        await bench.finish()
        bench.now += 3600
        return [soon, await wait()]

    soon, later = played(work)
    assert soon > later


def test_when_many_wait_the_newest_of_whoever_asks_most_is_turned_away_without_a_check() -> None:
    async def work(bench: Bench) -> tuple[list[int], bool | None, int]:
        strangers = [bench.ask(wrong(), "strangers")]
        await bench.settle()  # it is being checked, so that all others wait
        strangers += [bench.ask(wrong(), "strangers") for _ in range(MOST_WAITING + 1)]
        scraper = bench.ask(RIGHT, "a")
        await bench.settle()
        away = [number for number, each in enumerate(strangers) if each.done() and each.result() is None]
        await bench.finish()
        return away, await scraper, bench.pool.done

    assert played(work) == ([MOST_WAITING, MOST_WAITING + 1], True, 1 + MOST_WAITING)


def test_a_password_that_is_right_by_the_old_file_alone_does_not_pass_once_the_file_has_changed() -> None:
    new = bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()

    async def work(bench: Bench) -> list[bool | None]:
        under_way, waits, by_the_new = bench.ask(RIGHT), bench.ask(wrong()), bench.ask(basic("scraper", "new"))
        await bench.settle()
        bench.passwords.replace({"scraper": new})
        await bench.finish()
        return [await under_way, await waits, await by_the_new, bench.passwords.known(RIGHT)]

    assert played(work) == [False, False, True, False]


def test_what_was_found_by_the_old_file_is_forgotten_when_it_changes() -> None:
    async def work(bench: Bench) -> tuple[bool | None, ...]:
        refused = wrong()
        bench.ask(RIGHT)
        bench.ask(refused)
        await bench.finish()
        bench.passwords.replace(USERS)
        return bench.passwords.known(RIGHT), bench.passwords.known(refused)

    assert played(work) == (None, None)


def test_a_hash_that_cannot_be_checked_refuses_its_user_and_holds_up_nobody() -> None:
    async def work(bench: Bench) -> tuple[bool | None, bool | None]:
        broken, right = bench.ask(basic("broken", "x")), bench.ask(RIGHT)
        await bench.finish()
        return await broken, await right

    assert played(work, USERS | {"broken": "$2b$04$" + "9" * 53}) == (False, True)


@pytest.mark.parametrize("highest", [4, 8])
def test_a_refusal_takes_the_same_time_whether_there_is_such_a_user_or_not(highest: int) -> None:
    users = {"low": HASH, "high": bcrypt.hashpw(b"x", bcrypt.gensalt(highest)).decode()}

    async def work(bench: Bench) -> list[float]:
        spent = []
        for name in ("low", "high", "nobody"):
            shortest = 60.0
            for _ in range(3):
                request = bench.ask(wrong(name))
                await bench.settle()
                began = time.thread_time()
                bench.pool.next()
                shortest = min(shortest, time.thread_time() - began)
                assert not await request
            spent.append(shortest)
        return spent

    spent = played(work, users)
    assert max(spent) < 1.8 * min(spent)


requests = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["scraper", "x", "y"]), st.booleans(), st.integers(0, 2)),
    max_size=80,
)


@settings(deadline=None)
@given(requests)
def test_every_request_gets_an_answer_and_only_a_right_password_passes(asked: list[tuple[str, str, bool, int]]) -> None:
    async def work(bench: Bench) -> None:
        waiting: list[tuple[bool, asyncio.Task[bool | None]]] = []
        for network, user, right, checks in asked:
            authorization = basic(user, "right") if right else wrong(user)
            known = bench.passwords.known(authorization)
            if known is None:
                waiting.append((right and user == "scraper", bench.ask(authorization, network)))
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

    played(work)
