"""Strangers who guess passwords over real sockets: they hold up neither the scraper nor the daemon's own work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import bcrypt
import pytest

from exporter.simulator import Simulator
from exporter.state.store import Store
from exporter.web.passwords import MOST_WAITING, Passwords
from tests.daemon.test_daemon import Scene, play
from tests.daemon.test_kept import ended, restarted
from tests.web.test_passwords import RIGHT, wrong
from tests.web.test_server import PROMPT, Asked, Opened, get, meet, visited

STRANGERS = 20


def signed(path: str, authorization: str) -> bytes:
    return get(path, f"authorization: {authorization}")


def users(cost: int) -> dict[str, str]:
    return {"scraper": bcrypt.hashpw(b"right", bcrypt.gensalt(cost)).decode()}


async def guess(opened: Opened, answered: list[int]) -> None:
    """Send wrong passwords for ever, each on a new connection; hang up on every other without reading the answer."""
    for number in count():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            stranger = await opened(signed("/metrics", wrong()))
            if number % 2:
                answered.append((await stranger.answer())[0])
            stranger.writer.transport.abort()


@contextlib.asynccontextmanager
async def guessing(opened: Opened) -> AsyncIterator[list[int]]:
    answered: list[int] = []
    strangers = [asyncio.create_task(guess(opened, answered)) for _ in range(STRANGERS)]
    try:
        while len(answered) < 5:  # noqa: ASYNC110 — nobody tells when the attack is in full swing
            await asyncio.sleep(0)
        yield answered
    finally:
        for each in strangers:
            each.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


def test_the_scraper_gets_in_though_strangers_at_its_address_guess_its_password_all_the_time() -> None:
    asked = Asked()
    asked.application.passwords = Passwords(users(cost=8))

    async def work(opened: Opened) -> tuple[int, int, list[int], int]:
        async with guessing(opened) as answered:
            before = len(answered)
            first = await (await opened()).ask(signed("/metrics", RIGHT))
            waited, before = len(answered) - before, len(answered)
            more = [await (await opened()).ask(signed(path, RIGHT)) for path in PROMPT for _ in range(10)]
            return first, waited, more, len(answered) - before

    first, waited, more, meanwhile = meet(asked, work)
    assert first == 200
    assert waited <= STRANGERS + 2  # in line, behind one check of each stranger
    assert more == [200] * 30
    assert meanwhile < 15  # no scrape waits for a check


def test_the_scraper_does_not_wait_in_line_behind_strangers_at_another_address() -> None:
    asked = Asked()
    asked.application.passwords = Passwords(users(cost=8))

    async def work(opened: Opened) -> tuple[int, int]:
        async with guessing(opened) as answered:
            before = len(answered)
            status = await (await opened(address="127.0.0.2")).ask(signed("/metrics", RIGHT))
            return status, len(answered) - before

    status, waited = meet(asked, work)
    assert status == 200
    assert waited <= 3


def test_a_request_for_one_check_too_many_is_refused_at_once_and_counted() -> None:
    asked = Asked()
    asked.application.passwords = Passwords(users(cost=10))

    async def work(opened: Opened) -> list[bytes]:
        strangers = [await opened(signed("/", wrong())) for _ in range(MOST_WAITING + 2)]
        heads = [asyncio.create_task(each.reader.readuntil(b"\r\n\r\n")) for each in strangers]
        ended, waiting = await asyncio.wait(heads, return_when=asyncio.FIRST_COMPLETED)
        while not any(b" 429 " in each.result() for each in ended):
            ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(waiting) > MOST_WAITING / 2
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return [each.result() for each in ended if b" 429 " in each.result()]

    assert all(b"\r\nretry-after: 5\r\n" in each for each in meet(asked, work))
    assert asked.refused["password_checks"] == sum(count == ("/", "429") for count in asked.counted) > 0


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=20) as simulator:
        yield simulator


def test_sweeps_commits_and_the_page_do_not_wait_for_passwords_of_strangers(
    simulator: Simulator, tmp_path: Path
) -> None:
    async def work(scene: Scene) -> None:
        store = Store(tmp_path / "state.db")
        scene = restarted(scene, store)
        application = scene.daemon.application
        application.passwords = Passwords(users(cost=12))
        asked = Asked()
        asked.application = application
        async with visited(asked) as opened:
            strangers = [await opened(signed("/metrics", wrong())) for _ in range(STRANGERS)]
            answers = [asyncio.create_task(each.answer()) for each in strangers]
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
