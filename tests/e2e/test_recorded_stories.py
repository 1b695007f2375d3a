"""A replay is the same as what was recorded: samples, notifications, traces."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.recording.fields import VALUES
from exporter.recording.redactor import Redactor
from exporter.simulator import SimulatedApi
from exporter.simulator.incidents import ALL_STORIES
from exporter.simulator.stories import Story
from exporter.simulator.world import World
from tests.alerts.played import Notified
from tests.one_story import OneStory
from tests.recorded import KEY, Redacted, Replayed, Unchanged, play
from tests.stage import START, simulated

pytestmark = pytest.mark.long
STORY = {story.name: story for story in ALL_STORIES}
INCIDENTS = "crash loop|reverted replacement|image pull|server errors|unschedulable GPU|no bundle for it".split("|")
SECONDS = 900.0


def fleet(names: Sequence[str]) -> SimulatedApi:
    """A workload for each story, all at the beginning of it."""
    simulator = SimulatedApi(workloads=len(names), clock=lambda: START)
    simulator.world = world = World(len(names), 7, 1.0, START, [STORY[name] for name in names])
    for number in range(len(names)):
        world.actor(number).origin = START - 20
    return simulator


def same(simulator: Any, seconds: float, path: Path, each: int = 1) -> int:
    """Compare a play with the replay of its recording; return the number of notifications."""
    direct = play(simulator, seconds, path, each=each, redactor=Unchanged(START))
    replayed = Replayed(path)
    again = play(replayed, seconds, each=each)
    assert not replayed.unknown
    assert again.samples == direct.samples
    assert again.notified == direct.notified
    assert again.traces == direct.traces
    return len(direct.notified)


def test_a_fleet_and_its_replay_have_the_same_samples_notifications_and_traces(tmp_path: Path) -> None:
    assert same(fleet(INCIDENTS), SECONDS, tmp_path / "a.rec") > 3


def test_a_redacted_fleet_and_its_replay_have_the_same_samples_notifications_and_traces(tmp_path: Path) -> None:
    assert same(Redacted(fleet(INCIDENTS)), SECONDS, tmp_path / "a.rec") > 3


@pytest.mark.exhaustive
def test_a_thousand_workloads_for_an_hour_and_their_replay_are_the_same(tmp_path: Path) -> None:
    assert same(Redacted(simulated(1000)), 3600.0, tmp_path / "a.rec", each=10) > 100


FIELDS = {"workload": "name", "container": "name"}
"""Labels whose values are replaced unless they are known values of these fields."""
OF_INFO = FIELDS | {"status": "status", "importance": "importance", "workload_type": "type"}
"""The same for a family with values as the API spells them."""
OF_OTHERS = frozenset("enclaves workload_id proton_id artifact_id artifact_name bundle_id id org_id version_id".split())
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def redacted(samples: Mapping[str, str], replay: Replayed) -> dict[str, str]:
    """Samples as a replay has them: ids and names replaced, and the times in ids moved."""
    redactor = Redactor(KEY, START)

    def label(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        of = OF_INFO if match.string.startswith("datarobot_workload_info{") else FIELDS
        if name in of and value != "unknown":  # what is not reported
            value = redactor.json({of[name]: value}, "")[of[name]]
        elif name in OF_OTHERS:
            value = replay.replay._text(redactor.replacement(value))
        return f'{name}="{value}"'

    return {LABEL.sub(label, series): value for series, value in samples.items()}


def state(shown: str) -> str:
    """The state of a notification, with one word for all unknown statuses."""
    word, since, rest = shown.partition(" since ")
    return f"{word if word in VALUES['status'] or ' ' in word else 'another'}{since}{rest}"


def shown(sent: Sequence[Notified]) -> list[tuple[Any, ...]]:
    """What does not depend on names and texts of notifications: times, alerts, likely causes, signs of logs."""
    found = []
    for at, each in sent:
        evidence = dict(each.evidence)
        labels = {name: each.labels.get(name) for name in ("alertname", "severity")}
        facts = [evidence.get(name) for name in ("Likely cause", "Next step", "Log shows", "Serving")]
        found.append((at, *labels.values(), each.ended, *facts, state(evidence.get("State", ""))))
    return found


def outline(traces: Sequence[str]) -> list[str]:
    """Traces without messages."""
    return [re.sub(r"(ERROR \w+): .*?(?=; episode)", r"\1", trace) for trace in traces]


QUICK = "crash loop|reverted replacement|image pull".split("|")


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(story, marks=[] if story.name in QUICK else [pytest.mark.exhaustive], id=story.name)
        for story in ALL_STORIES
    ],
)
def test_a_recording_keeps_numbers_likely_causes_and_traces_of(story: Story, tmp_path: Path) -> None:
    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)
    direct = play(simulator, 2 * SECONDS, tmp_path / "a.rec")
    replayed = Replayed(tmp_path / "a.rec")
    again = play(replayed, 2 * SECONDS)
    assert not replayed.unknown
    assert again.samples == [redacted(samples, replayed) for samples in direct.samples]
    assert shown(again.notified) == shown(direct.notified)
    assert outline(again.traces) == outline(direct.traces)
