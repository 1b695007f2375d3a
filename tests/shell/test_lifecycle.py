"""Each story of the simulator, swept as the daemon does it, gives the traces in tests/golden/traces: read them.

`UPDATE_GOLDEN=1 pytest tests/shell/test_lifecycle.py` writes them anew.
"""

import os
from pathlib import Path

import pytest

from exporter.core.lifecycle import Made, Tracing
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES, Story
from tests.shell.stage import START, Stage, played
from tests.shell.test_stories import LONGEST, _OneStory
from tests.trees import tree

GOLDEN = Path(__file__).parent.parent / "golden" / "traces"
TRACING = Tracing("https://dr.example.test")
CHANGING = tuple(story for story in STORIES if len(story.steps) > 1 and story.name != "promoted")


def lived(story: Story, interval: float = 30.0, late: float = 0.0, tracing: Tracing = TRACING) -> list[Made]:
    """What becomes of a story's first round and a little more, swept every `interval` seconds, the first one `late`."""
    made: list[Made] = []
    with Simulator(workloads=1) as simulator:
        simulator.world = world = _OneStory(story)
        length = min(story.seconds, LONGEST) + 900.0 if story.seconds != float("inf") else 900.0
        if story.draft and story.rounds_ids:  # its last hours are enough
            skipped = story.steps[0].seconds - 1200.0
            world.actor(0).origin -= skipped
            length -= skipped

        async def play(stage: Stage) -> None:
            if late:
                await stage.rest(late)
            await stage.run(length, interval=interval)
            made.extend(stage.watch.pending().made)

        played(play, simulator, tracing=tracing, interval=interval)
    return made


def told(story: Story) -> str:
    """The golden text of a story's traces."""
    trees = [tree(each.trace, round(START * 1e9)) for each in lived(story) if each.trace is not None]
    return f"{story.shows}\n\n" + ("\n\n".join(trees) or "no trace: nothing begins or ends") + "\n"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_gives_the_traces_that_its_script_states(story: Story) -> None:
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    text = told(story)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    assert text == file.read_text(), "if it is meant: UPDATE_GOLDEN=1, and read the difference"


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in STORIES}


def outcomes(made: list[Made]) -> list[tuple[str, str, str]]:
    """Kind, outcome and trace id of each."""
    return [(each.kind, each.outcome, each.trace.id.hex()) for each in made if each.trace is not None]


@pytest.mark.parametrize("interval", [pytest.param(1.0, marks=pytest.mark.long), 7.0, 60.0])
@pytest.mark.parametrize("story", CHANGING, ids=lambda story: story.name)
def test_however_often_it_is_swept_a_story_gives_the_same_traces_with_the_same_outcomes(
    story: Story, interval: float
) -> None:
    assert outcomes(lived(story, interval)) == outcomes(lived(story))


@pytest.mark.parametrize("story", CHANGING, ids=lambda story: story.name)
def test_two_exporters_that_sweep_at_other_moments_make_the_same_ids_of_what_was_reported(story: Story) -> None:
    def reported(made: list[Made]) -> list[tuple[str, str, str]]:
        traces = [each for each in made if each.trace is not None]
        key = "datarobot.workload.episode.identity"
        return outcomes([m for m in traces if m.trace is not None and m.trace.spans[0].attributes[key] == "reported"])

    one, other = reported(lived(story)), reported(lived(story, late=13.0))
    assert one == other
    assert one or not outcomes(lived(story))
