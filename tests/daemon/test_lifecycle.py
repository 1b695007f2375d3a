"""Traces of each story of the simulator, swept as by the daemon, in tests/golden/traces: review them by reading them.

`UPDATE_GOLDEN=1 pytest tests/daemon/test_lifecycle.py` regenerates them.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.fleet.reconcile import ledgers, restored
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES, Story
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import EpisodeTrace, in_progress
from tests.goldens import check_golden
from tests.one_story import MAX_PLAY_SECONDS, OneStory
from tests.stage import START, Stage, played
from tests.trees import tree

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent.parent / "golden" / "traces"
TRACING = Tracing("https://dr.example.test")
CHANGING = tuple(story for story in STORIES if len(story.steps) > 1 and story.name != "promoted")
EACH_SECOND = {"slow start"}
"""The story that `make test` sweeps every second and every 7 seconds; `make test-all` does so for all stories."""


def pace(story: Story, interval: float) -> pytest.ParameterSet:
    """A story swept at an interval. The shorter the interval, the longer the play takes."""
    rare = interval < 60.0 and story.name not in EACH_SECOND
    marks = [pytest.mark.exhaustive] if rare else [pytest.mark.long] if interval < 60.0 else []
    return pytest.param(story, interval, id=f"{story.name}-{interval:g}", marks=marks)


class Play(NamedTuple):
    """Traces of a play of a story, and after each sweep the trace ids of the episodes in progress."""

    made: tuple[EpisodeTrace, ...]
    in_progress: tuple[frozenset[str], ...]


@functools.cache
def lived(story: Story, interval: float = 30.0, late: float = 0.0) -> Play:
    """Play a story's first round and a little more, swept every `interval` seconds, the first time `late`.

    Each play is made once in a process, and all tests of a story run in one (`SPLIT` of tests/conftest.py).
    """
    made: list[EpisodeTrace] = []
    after_sweeps: list[frozenset[str]] = []
    simulator = SimulatedApi(workloads=1)
    simulator.world = world = OneStory(story)
    world.actor(0).origin -= _skipped(story)
    length = _length(story)

    async def play(stage: Stage) -> None:
        async def note() -> None:
            there = [each for state in stage.monitor.workloads.values() for each in in_progress(state, TRACING)]
            after_sweeps.append(frozenset(str(each["trace_id"]) for each in there if each["trace_id"]))

        if late:
            await stage.rest(late)
        await stage.run(length, note, interval)
        made.extend(stage.monitor.pending().traces)

    played(play, simulator, tracing=TRACING, interval=interval)
    return Play(tuple(made), tuple(after_sweeps))


def _skipped(story: Story) -> float:
    """Seconds of a draft's eight hours that a play skips: the last minutes are enough."""
    return story.steps[0].seconds - 1200.0 if story.draft and story.rounds_ids else 0.0


def _length(story: Story) -> float:
    whole = story.seconds if story.seconds != float("inf") else 0.0
    return min(whole, MAX_PLAY_SECONDS) - _skipped(story) + 900.0


def golden(story: Story) -> str:
    """The golden text of a story's traces."""
    trees = [tree(each.trace, round(START * 1e9)) for each in lived(story).made if each.trace is not None]
    return f"{story.shows}\n\n" + ("\n\n".join(trees) or "no trace: nothing begins or ends") + "\n"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_gives_the_traces_that_its_script_states(story: Story) -> None:
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    text = golden(story)
    check_golden(file, text)


@pytest.mark.parametrize("story", CHANGING, ids=lambda story: story.name)
def test_an_id_reported_during_an_episode_is_that_of_its_trace(story: Story) -> None:
    play = lived(story)
    ended = frozenset[str]().union(*play.in_progress) - play.in_progress[-1]
    assert ended <= {each.trace.id.hex() for each in play.made if each.trace is not None}


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in STORIES}


def outcomes(made: tuple[EpisodeTrace, ...], story: Story, identity: str = "") -> list[tuple[str, str, str]]:
    """Kind, outcome and trace id of each settled episode; only those of one `identity`, if given."""
    until = round((START + _length(story) - 450.0) * 1e9)
    traced = [(each, each.trace) for each in made if each.trace is not None and each.trace.spans[0].end < until]
    key = "datarobot.workload.episode.identity"
    return [
        (each.kind, each.outcome, trace.id.hex())
        for each, trace in traced
        if identity in ("", trace.spans[0].attributes[key])
    ]


@pytest.mark.parametrize(("story", "interval"), [pace(story, each) for story in CHANGING for each in (1.0, 7.0, 60.0)])
def test_a_story_gives_the_same_traces_and_outcomes_at_any_sweep_interval(story: Story, interval: float) -> None:
    assert outcomes(lived(story, interval).made, story) == outcomes(lived(story).made, story)


@pytest.mark.parametrize("story", CHANGING, ids=lambda story: story.name)
def test_two_exporters_that_sweep_at_other_times_make_the_same_ids_of_reported_data(story: Story) -> None:
    one = outcomes(lived(story).made, story, "reported")
    other = outcomes(lived(story, late=13.0).made, story, "reported")
    assert one == other
    assert one or not outcomes(lived(story).made, story)


@pytest.mark.parametrize(("name", "kinds"), [("access lost", []), ("deleted", ["deletion"])])
def test_a_hidden_workload_was_not_deleted_even_if_the_exporter_restarts_meanwhile(name: str, kinds: list[str]) -> None:
    story = next(each for each in STORIES if each.name == name)
    ends = story.steps[0].seconds
    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)

    async def play(stage: Stage) -> None:
        await stage.run(ends + 40.0)
        assert (stage.monitor.snapshot.vanished, stage.monitor.pending().traces) == (1, ())
        known = restored("acme", dict(ledgers(stage.monitor.snapshot)), stage.monitor.snapshot.tally)
        again = Stage(simulator, known=known, tracing=TRACING)
        await again.run(ends + 150.0)
        await again.monitor.close()
        assert [each.kind for each in again.monitor.pending().traces] == kinds

    played(play, simulator, tracing=TRACING)
