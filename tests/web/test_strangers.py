"""Clients that guess passwords over real sockets delay neither the scraper nor the daemon."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import bcrypt
import pytest

from exporter import __version__
from exporter.simulator import Simulator
from exporter.state.store import Store
from exporter.web.passwords import MOST_WAITING, Passwords
from tests.daemon.test_daemon import Scene, play
from tests.daemon.test_kept import ended, restarted
from tests.web.serving import CLOSE, PRIORITISED, Connect, Served, connecting, get, run_clients
from tests.web.test_passwords import RIGHT, wrong

STRANGERS = 20


def signed(path: str, authorization: str) -> bytes:
    return get(path, f"authorization: {authorization}")


def users(cost: int) -> dict[str, str]:
    return {"scraper": bcrypt.hashpw(b"right", bcrypt.gensalt(cost)).decode()}


@pytest.mark.parametrize("authorization", [None, wrong(), "Bearer x", "Basic \xff"])
def test_without_the_password_every_request_gets_the_same_response_and_changes_nothing(
    authorization: str | None,
) -> None:
    served = Served()
    served.problems = ["/etc/exporter.yaml: accounts: missing"]
    served.application.passwords = Passwords(users(cost=4))
    credentials = [] if authorization is None else [f"authorization: {authorization}"]
    paths = ("/", "/metrics", "/sd", "/-/healthy", "/-/ready", "/-/reload", "/-/silences", "/debug/config", "/nothing")

    async def work(connect: Connect) -> set[bytes]:
        found = set()
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            for path in (*paths, "/workloads/w", "/workloads/unknown", "/workloads.csv", "/workloads.json"):
                client = await connect(get(path, "x-requested-by: x", CLOSE, *credentials, method=method))
                found.add(re.sub(rb"date: .*\r\n", b"", await client.reader.read()))
        return found

    (response,) = run_clients(served, work)
    assert response.startswith(b"HTTP/1.1 401 ")
    assert response.endswith(b"\r\n\r\nUnauthorized\n")
    assert __version__.encode() not in response
    assert (served.reloads, served.silenced) == (0, [])


async def guess(connect: Connect, answered: list[int]) -> None:
    """Send wrong passwords forever, each on a new connection; hang up on every other without reading the response."""
    for number in count():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            stranger = await connect(signed("/metrics", wrong()))
            if number % 2:
                answered.append((await stranger.response())[0])
            stranger.writer.transport.abort()


@contextlib.asynccontextmanager
async def guessing(connect: Connect) -> AsyncIterator[list[int]]:
    answered: list[int] = []
    strangers = [asyncio.create_task(guess(connect, answered)) for _ in range(STRANGERS)]
    try:
        while len(answered) < 5:  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0)  # let the other tasks run
        yield answered
    finally:
        for each in strangers:
            each.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


def test_the_scraper_is_served_while_strangers_at_its_address_guess_its_password() -> None:
    served = Served()
    served.application.passwords = Passwords(users(cost=8))

    async def work(connect: Connect) -> tuple[int, int, list[int], int]:
        async with guessing(connect) as answered:
            before = len(answered)
            first = await (await connect()).request(signed("/metrics", RIGHT))
            waited, before = len(answered) - before, len(answered)
            more = [await (await connect()).request(signed(path, RIGHT)) for path in PRIORITISED for _ in range(10)]
            return first, waited, more, len(answered) - before

    first, waited, more, meanwhile = run_clients(served, work)
    assert first == 200
    assert waited <= STRANGERS + 2  # in the queue, behind one check of each stranger
    assert more == [200] * 30
    assert meanwhile < 15  # no scrape waits for a check


def test_the_scraper_does_not_queue_behind_strangers_at_another_address() -> None:
    served = Served()
    served.application.passwords = Passwords(users(cost=8))

    async def work(connect: Connect) -> tuple[int, int]:
        async with guessing(connect) as answered:
            before = len(answered)
            status = await (await connect(address="127.0.0.2")).request(signed("/metrics", RIGHT))
            return status, len(answered) - before

    status, waited = run_clients(served, work)
    assert status == 200
    assert waited <= 3


def test_a_request_beyond_the_queue_is_refused_immediately_and_counted() -> None:
    served = Served()
    served.application.passwords = Passwords(users(cost=10))

    async def work(connect: Connect) -> list[bytes]:
        strangers = [await connect(signed("/", wrong())) for _ in range(MOST_WAITING + 2)]
        heads = [asyncio.create_task(each.reader.readuntil(b"\r\n\r\n")) for each in strangers]
        ended, waiting = await asyncio.wait(heads, return_when=asyncio.FIRST_COMPLETED)
        while not any(b" 429 " in each.result() for each in ended):
            ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(waiting) > MOST_WAITING / 2
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return [each.result() for each in ended if b" 429 " in each.result()]

    assert all(b"\r\nretry-after: 5\r\n" in each for each in run_clients(served, work))
    assert served.refused["password_checks"] == sum(count == ("/", "429") for count in served.counted) > 0


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=20) as simulator:
        yield simulator


def test_sweeps_commits_and_scrapes_do_not_wait_for_passwords_of_strangers(
    simulator: Simulator, tmp_path: Path
) -> None:
    async def work(scene: Scene) -> None:
        store = Store(tmp_path / "state.db")
        scene = restarted(scene, store)
        application = scene.daemon.application
        application.passwords = Passwords(users(cost=12))
        served = Served()
        served.application = application
        async with connecting(served) as connect:
            strangers = [await connect(signed("/metrics", wrong())) for _ in range(STRANGERS)]
            answers = [asyncio.create_task(each.response()) for each in strangers]
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)  # by now all others wait
            await scene.sweep()
            assert sum(not each.done() for each in answers) > STRANGERS / 2
            application.passwords = None
            assert await scene.value("datarobot_exporter_state_commits_total") == 1
            for each in answers:
                each.cancel()
            await asyncio.gather(*answers, return_exceptions=True)
        await ended(scene)
        store.close()

    play(simulator, work)
