"""Hints of the workload list show an outage of responses within minutes, and cost a quiet fleet no requests."""

import asyncio
import random
import re
from collections import Counter

import pytest

from exporter.fleet.workload_state import error_share
from exporter.simulator.stories import HEALTHY, Story, StoryStep
from tests.one_story import OneStory
from tests.stage import START, Stage, played, simulated

MONTH, HOUR, MINUTE = 30 * 86400.0, 3600.0, 60.0
RANDOM = random.Random(2)


def fails(begin: float, seconds: float, requests: float, share: float) -> OneStory:
    """A workload that has served well for a month, and responds with this share of server errors from `begin` on."""
    steps = (
        StoryStep(MONTH, "running"),
        StoryStep(seconds, "running", server_errors=share),
        StoryStep(HOUR, "running"),
    )
    world = OneStory(Story("fails", "an outage", steps, requests=requests))
    world.actor(0).origin = START + begin - MONTH
    return world


def shown(world: OneStory, until: float, above: float) -> list[float]:
    """When the 5-minute window shows a higher share of server errors: times at steps of five seconds."""
    found: list[float] = []

    async def play(stage: Stage) -> None:
        async def observe() -> None:
            while stage.now < until:
                await asyncio.sleep(5.0)  # virtual time
                for state in stage.monitor.workloads.values():
                    share = error_share(state.details.windows.get("5m"))
                    if share is not None and share > above:
                        found.append(stage.now)

        async with asyncio.TaskGroup() as group:
            group.create_task(observe())
            await stage.run(until)

    simulator = simulated(1)
    simulator.world = world
    played(play, simulator)
    return found


@pytest.mark.parametrize("requests", [12.0, 240.0, 30_000.0], ids="{:.0f} requests a minute".format)
@pytest.mark.parametrize("begin", [600.0 + RANDOM.uniform(0, 300) for _ in range(3)], ids="from {:.0f} s".format)
def test_a_total_outage_is_most_of_a_window_within_three_and_a_half_minutes(begin: float, requests: float) -> None:
    """Earlier than after 150 s it cannot be: then half of a 5-minute window has failed."""
    begun = shown(fails(begin, HOUR, requests, 1.0), begin + 250, 0.5)[0] - begin
    assert 150 < begun <= 210


def test_an_outage_that_has_ended_is_seen_to_end_soon_and_does_not_return() -> None:
    begin, seconds = 640.0, 20 * MINUTE
    end = begin + seconds
    times = shown(fails(begin, seconds, 240.0, 1.0), end + 20 * MINUTE, 0.5)
    assert times == [times[0] + 5.0 * n for n in range(len(times))]  # without a gap
    assert 150 < times[-1] - end <= 300


def test_a_part_of_the_requests_failing_is_over_the_error_budget_within_minutes() -> None:
    assert shown(fails(700.0, HOUR, 240.0, 0.2), 1000.0, 0.005)[0] - 700.0 <= 210


def test_hints_cost_a_quiet_fleet_no_requests() -> None:
    requested: Counter[str] = Counter()

    async def play(stage: Stage) -> None:
        await stage.run(HOUR)
        for sent in stage.sent:
            if match := re.fullmatch(r"/api/v2/workloads/([0-9a-f]+)/stats", sent.path):
                requested[match[1]] += 1

    simulator = simulated(1)
    world = OneStory(HEALTHY[0])
    simulator.world = world
    played(play, simulator)
    # Every five minutes three quantiles of the shortest window, every ten minutes the window of an hour.
    assert list(requested.values()) == [12 * 3 + 6]
