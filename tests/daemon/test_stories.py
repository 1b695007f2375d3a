"""Each story of the simulator, swept and looked at as the daemon does it, gives the page in tests/golden: read them.

A golden file begins with what is on the page in the middle of the story's first step; each later step shows what
differs then: the series that are new, changed or gone. `UPDATE_GOLDEN=1 pytest tests/daemon/test_stories.py` writes
them anew.
"""

import os
import re
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES, Story
from exporter.simulator.world import World
from tests.stage import START, Stage, played

GOLDEN = Path(__file__).parent.parent / "golden"
LONGEST = 9 * 3600.0
SPEED = 1.0


class _OneStory(World):
    """A fleet of a single workload that plays one story from its beginning."""

    def __init__(self, story: Story) -> None:
        super().__init__(1, 7, SPEED, START)
        actor = self.actor(0)
        actor.story = story
        actor.name = story.name.replace(" ", "-")
        actor.importance = story.importance or "moderate"
        actor.requests = story.requests
        actor.origin = START - 20.0 if story.seconds != float("inf") else START
        self._numbers = {} if story.rounds_ids else {actor.id(actor.moment(START)): 0}

    def find(self, workload: str, now: float) -> object:  # type: ignore[override]
        actor = self.actor(0)
        moment = actor.moment(now)
        return actor if actor.id(moment) == workload and (moment.step.listed or moment.step.hidden) else None

    def listed(self, now: float) -> list[int]:
        return [0] if self.actor(0).moment(now).step.listed else []


def shown(samples: dict[str, str]) -> dict[str, str]:
    """The samples without the labels that are the same on all, and without the zeros of one-hot families."""
    short = {}
    for series, value in samples.items():
        name, _, labels = series.partition("{")
        kept = re.sub(r'\b(account|workload|workload_id)="[^"]*",?', "", labels.rstrip("}")).rstrip(",")
        kept = re.sub(r'"([0-9a-f]{6})[0-9a-f]{18}"', r'"\1"', kept)
        hot = name in ("datarobot_workload_status",) and value == "0.0"
        histogram = "_duration_seconds_bucket" in name
        if not hot and not histogram:
            short[f"{name.removeprefix('datarobot_')}{{{kept}}}".replace("{}", "")] = value
    return short


def told(story: Story) -> str:
    """The golden text of a story."""
    blocks: list[str] = []
    with Simulator(workloads=1) as simulator:
        simulator.world = _OneStory(story)
        steps = [(max(0.0, begin - 20.0), step) for begin, step in zip(_bounds(story), story.steps, strict=True)]

        async def play(stage: Stage) -> None:
            before: dict[str, str] = {}
            for begin, step in steps:
                length = min(step.seconds or 600.0, LONGEST)
                at = begin + min(0.6 * length, 7200.0)
                await stage.run(at)
                now = shown(stage.samples())
                lines = [f"  {series} {value}" for series, value in now.items() if series not in before]
                lines += [
                    f"~ {series} {before[series]} -> {value}"
                    for series, value in now.items()
                    if before.get(series, value) != value
                ]
                lines += [f"- {series} {value}" for series, value in before.items() if series not in now]
                what = ", ".join(filter(None, (step.status, step.replacement, step.event)))
                blocks.append(f"# {at:.0f} s: {what}\n" + "\n".join(sorted(lines, key=_order)))
                before = now
                if begin + length >= LONGEST:
                    break

        played(play, simulator)
    return f"{story.shows}\n\n" + "\n\n".join(blocks) + "\n"


def _order(line: str) -> tuple[str, str]:
    return line[0], line[2:]


def _bounds(story: Story) -> list[float]:
    begins, total = [], 0.0
    for step in story.steps:
        begins.append(total)
        total += step.seconds
    return begins


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_gives_the_page_that_its_script_states(story: Story) -> None:
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    text = told(story)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "if it is meant: UPDATE_GOLDEN=1, and read the difference"


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in STORIES}
