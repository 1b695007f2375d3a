"""/-/ready: what was swept is on the page that /metrics serves at that moment."""

import asyncio
from collections.abc import Iterator

import pytest

from exporter.daemon.once import sweep_once
from exporter.simulator import Simulator
from tests.daemon.test_daemon import START, Scene, play


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=320, clock=lambda: START - 6720) as made:
        yield made


async def first_ready(scene: Scene) -> int:
    """How many workloads the page has at the first moment at which /-/ready answers 200."""
    async with asyncio.timeout(60):
        while (await scene.get("/-/ready"))[0] != 200:  # noqa: ASYNC110 — checks at each turn of the loop
            await asyncio.sleep(0)  # let the other tasks run
    return await scene.workloads()  # nothing else runs in between: neither answer waits for anything


def test_ready_once_the_first_complete_sweep_is_on_the_page(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        sweeping = asyncio.create_task(scene.daemon.sweep("eu"))
        shown = await first_ready(scene)
        assert shown == len(simulator.world.listed(scene.time.wall)) >= 300
        await sweeping

    play(simulator, work)


def test_what_was_swept_but_is_not_served_yet_is_the_reason_given(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        assert await scene.get("/-/ready") == (503, b"not ready: account eu: the first sweep has not ended yet\n")
        await scene.daemon.accounts.monitors["eu"].sweep()
        reason = b"not ready: account eu: swept, but its workloads are not on the page yet\n"
        assert await scene.get("/-/ready") == (503, reason)
        await scene.daemon.publish()
        assert await scene.get("/-/ready") == (200, b"ready\n")

    play(simulator, work)


def test_an_account_that_a_reload_adds_is_waited_for(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        one = await scene.workloads()
        other = scene.settings.accounts[0].model_copy(update={"name": "us"})
        scene.next = scene.settings.model_copy(update={"accounts": (*scene.settings.accounts, other)})
        assert await scene.daemon.reload() == []
        assert await scene.get("/-/ready") == (503, b"not ready: account us: the first sweep has not ended yet\n")
        sweeping = asyncio.create_task(scene.daemon.sweep("us"))
        assert await first_ready(scene) == 2 * one
        await sweeping

    play(simulator, work)


def test_a_page_that_is_made_while_a_reload_changes_what_is_served_is_whole(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.daemon.accounts.monitors["eu"].sweep()
        fewer = scene.settings.metrics.model_copy(update={"profile": "minimal"})
        scene.next = scene.settings.model_copy(update={"metrics": fewer})
        working = [asyncio.create_task(scene.daemon.publish()), asyncio.create_task(scene.daemon.reload())]
        there = len(simulator.world.listed(scene.time.wall))
        assert await first_ready(scene) == there
        while not all(task.done() for task in working):
            assert await scene.workloads() == there
            await asyncio.sleep(0)  # let the other tasks run
        await asyncio.gather(*working)

    play(simulator, work)


def test_an_account_that_a_reload_changes_stays_ready(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        faster = scene.settings.accounts[0].model_copy(update={"requests_per_second": 50.0})
        scene.next = scene.settings.model_copy(update={"accounts": (faster,)})
        reloading = asyncio.create_task(scene.daemon.reload())
        while not reloading.done():
            assert await scene.get("/-/ready") == (200, b"ready\n")
            await asyncio.sleep(0)  # let the other tasks run
        assert await reloading == []

    play(simulator, work)


def test_an_account_that_is_swept_no_more_for_an_hour_stays_ready(simulator: Simulator) -> None:
    """Readiness is about the first sweep: afterwards the metrics say how old they are, and must be scraped."""

    async def work(scene: Scene) -> None:
        await scene.sweep()
        simulator.odd = {"unavailable"}
        await scene.sweep(after=3600)
        simulator.odd = frozenset()
        assert await scene.workloads() == 0
        assert await scene.get("/-/ready") == (200, b"ready\n")

    play(simulator, work)


def test_one_sweep_alone_prints_all_that_it_found(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        page, failures = await sweep_once(scene.daemon)
        found = page.count(b"\ndatarobot_workload_info{")
        assert (found, failures) == (len(simulator.world.listed(scene.time.wall)), "")

    play(simulator, work)
