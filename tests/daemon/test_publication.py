"""Publishing for many accounts: callers that wait share one page."""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from exporter.daemon.publication import Publication
from exporter.daemon.state_writer import StateWriter
from exporter.simulator import Simulator
from exporter.web.metrics_page import Published
from tests.daemon.test_daemon import Scene, play


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=3) as made:
        yield made


class Commits:
    """A state whose commits, and with them the pages, wait for the test."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.number = 0

    async def commit(self) -> None:
        self.number += 1
        self.begun.set()
        await self.may_end.wait()


class Pages:
    """A publication of the daemon's accounts. `served`: on each page, whether it has workloads. Making one takes
    `seconds`.
    """

    def __init__(self, scene: Scene) -> None:
        self.commits, self.served = Commits(), list[bool]()
        self.broken, self.seconds = False, 0.0
        self.time = scene.time
        daemon = scene.daemon
        self.publication = Publication(
            scene.settings.metrics,
            accounts=daemon.accounts,
            state=cast("StateWriter", self.commits),
            report=daemon.report,
            clock=scene.time.clock,
            serve=self._serve,
        )

    def _serve(self, page: Published) -> None:
        if self.broken:
            raise OSError("no space")
        self.time.pass_(self.seconds)
        self.served.append(b"\ndatarobot_workload_info{" in b"".join(page.text))

    async def begun(self) -> asyncio.Task[None]:
        """A publication whose snapshot is taken, and whose page is not served."""
        task = asyncio.create_task(self.publication.publish())
        await self.commits.begun.wait()
        return task


def test_all_callers_that_wait_share_one_page(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        pages = Pages(scene)
        first = await pages.begun()
        waiting = [asyncio.create_task(pages.publication.publish()) for _ in range(50)]
        await asyncio.sleep(0)  # let all of them begin
        pages.commits.may_end.set()
        await asyncio.gather(first, *waiting)
        assert (len(pages.served), pages.commits.number) == (2, 2)
        await pages.publication.publish()
        assert len(pages.served) == 3

    play(simulator, work)


def test_what_was_known_when_a_caller_began_is_on_its_page(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        pages = Pages(scene)
        first = await pages.begun()
        await scene.daemon.accounts.monitors["eu"].sweep()
        swept = asyncio.create_task(pages.publication.publish())
        pages.commits.may_end.set()
        await asyncio.gather(first, swept)
        assert pages.served == [False, True]

    play(simulator, work)


def test_a_failure_reaches_all_who_share_the_page_and_the_next_page_is_served(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        pages = Pages(scene)
        waiting = [asyncio.create_task(pages.publication.publish()) for _ in range(3)]
        pages.broken = True
        pages.commits.may_end.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(each) for each in results] == ["no space"] * 3
        pages.broken = False
        await pages.publication.publish()
        assert pages.served == [False]

    play(simulator, work)


@pytest.mark.parametrize("cancelled", [0, 1])
def test_a_caller_that_is_cancelled_cancels_no_other(cancelled: int, simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        pages = Pages(scene)
        first = await pages.begun()
        waiting = [asyncio.create_task(pages.publication.publish()) for _ in range(2)]
        await asyncio.sleep(0)  # let both begin
        waiting[cancelled].cancel()
        first.cancel()
        pages.commits.may_end.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [each.cancelled() for each in (first, *waiting)] == [True, cancelled == 0, cancelled == 1]
        assert len(pages.served) == 2

    play(simulator, work)


@pytest.mark.parametrize(
    ("accounts", "takes", "begun"), [(2, 0.0, 0.0), (2, 0.25, 2.5), (2, 0.5, 5.0), (2, 30.0, 35.0), (1, 0.5, 0.5)]
)
def test_pages_of_several_accounts_are_made_during_a_tenth_of_the_time_and_delayed_for_five_seconds_at_most(
    accounts: int, takes: float, begun: float, simulator: Simulator
) -> None:
    async def work(scene: Scene) -> None:
        pages = Pages(scene)
        (monitor,) = scene.daemon.accounts.monitors.values()
        scene.daemon.accounts.monitors = dict.fromkeys(["eu", "us"][:accounts], monitor)
        pages.commits.may_end.set()
        pages.seconds, first = takes, scene.time.steady
        await pages.publication.publish()
        await pages.publication.publish()
        assert scene.time.steady - takes - first == begun, "when the second page was begun"

    play(simulator, work)
