"""The clock of the API may differ from that of the exporter by minutes: /metrics is as with equal clocks."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES, Story
from tests.one_story import OneStory
from tests.stage import Stage, played

pytestmark = pytest.mark.long

NAMES = (
    "healthy", "crash loop", "start of 14 minutes", "replacement", "reverted replacement", "silent revert",
    "out of memory", "settings change", "stop and start", "interrupted", "deleted", "draft about to end",
    "no bundle for it", "promoted", "monitor frozen", "woken from zero", "degraded", "draining unreadable",
)  # fmt: skip
PLAYED = [story for story in STORIES if story.name in NAMES]
MINUTES, STEP = 36, 4


@cache
def shown(story: Story, ahead: float) -> list[str]:
    """The page of /metrics every few minutes of a story."""
    found: list[str] = []
    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)
    simulator.ahead = ahead

    async def play(stage: Stage) -> None:
        for minute in range(STEP, MINUTES + 1, STEP):
            await stage.run(minute * 60.0)
            found.append(stage.page())

    played(play, simulator)
    return found


def _cases() -> Iterator[Any]:
    """Each story with a clock that is ahead and one that is behind; `make test` plays one of both."""
    for number, story in enumerate(PLAYED):
        for ahead in (300.0, -300.0):
            marks = [] if (number % 2 == 0) == (ahead > 0) else [pytest.mark.exhaustive]
            yield pytest.param(story, ahead, marks=marks, id=f"{story.name}-{ahead:+.0f}")


@pytest.mark.parametrize(("story", "ahead"), [*_cases()])
def test_metrics_do_not_depend_on_the_clock_of_the_api(story: Story, ahead: float) -> None:
    for number, (expected, page) in enumerate(zip(shown(story, 0.0), shown(story, ahead), strict=True), 1):
        differ = {*page.splitlines()} ^ {*expected.splitlines()}
        assert sorted(differ) == [], number * STEP
