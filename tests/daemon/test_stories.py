"""What each story of the simulator changes on /metrics, in tests/golden: review these files by reading them.

A story is compared with a healthy workload of the same configuration, played for the same time. The first step in a
golden file lists all differences from the healthy workload, each later step the differences that have changed since:

      series value            the healthy workload does not have the series
    ~ series healthy -> value
    - series                  only the healthy workload has it; without labels: the story has none of the family
    = series                  as for the healthy workload again

So a new metric changes a golden file only if the story affects that metric. What the comparison leaves out, the values
of workloads without a problem, is in tests/golden/healthy: all series of a few configurations. Timestamps are in
seconds since the start of the play. `UPDATE_GOLDEN=1 pytest tests/daemon/test_stories.py` regenerates the files.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Family, one, row
from exporter.metrics.registry import FAMILIES
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES, Story, StoryStep
from tests.goldens import check_golden
from tests.one_story import LEAD_SECONDS, MAX_PLAY_SECONDS, OneStory
from tests.stage import START, Stage, played

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent.parent / "golden"
CONSTANT_LABELS = re.compile(r'\b(account|workload|workload_id)="[^"]*",?')
PROTON = re.compile(r'\bproton_id="[^"]*",?')
KNOWN_IMPORTANCES = ("low", "moderate", "high", "critical")
OF_WORKLOAD = ("workload_", "proton_", "container_")
ALL_OTHERS = "all other series of the workload"
CONFIGURATIONS = ("healthy", "autoscaled", "unschedulable GPU")
"""Stories whose configurations, played as healthy workloads, have all series of a workload without a problem."""


def healthy(story: Story) -> Story:
    """A healthy workload with the configuration of a story's."""
    known = story.importance in KNOWN_IMPORTANCES
    return Story(
        story.name,
        "a healthy workload",
        (StoryStep(0.0, "running"),),
        importance=story.importance if known else "moderate",
        bundle=story.bundle,
        replicas=story.replicas,
        bounds=story.bounds,
        scaling=story.scaling,
    )


def shortened(samples: dict[str, str]) -> dict[str, str]:
    """The samples without constant labels, histogram buckets and the zeros of `workload_status`, with short ids.

    Only `proton_info` shows the proton's id, unless two protons have the same role.
    """
    short: dict[str, str] = {}
    for series, value in samples.items():
        name, _, labels = series.removeprefix("datarobot_").partition("{")
        if name.endswith("_bucket") or (name == "workload_status" and value == "0.0"):
            continue
        labels = CONSTANT_LABELS.sub("", labels.rstrip("}"))
        labels = re.sub(r'"([0-9a-f]{6})[0-9a-f]{18}"', r'"\1"', labels)
        shown = f"{float(value) - START:+.0f} s" if name.endswith("_timestamp_seconds") else value
        keys = [f"{name}{{{each.rstrip(',')}}}".replace("{}", "") for each in (PROTON.sub("", labels), labels)]
        key = keys[0] if name != "proton_info" and keys[0] not in short else keys[1]
        short[key] = shown
    return short


def differences(story: dict[str, str], quiet: dict[str, str]) -> dict[str, str]:
    """Lines that show what differs from a healthy workload, by series."""
    lines = {}
    for series, value in story.items():
        if series not in quiet:
            lines[series] = f"  {series} {value}"
        elif quiet[series] != value:
            lines[series] = f"~ {series} {quiet[series]} -> {value}"
    families = {series.partition("{")[0] for series in story}
    for series in quiet.keys() - story.keys():
        family = series.partition("{")[0]
        key = series if family in families else family
        if "workload_info" not in families and family.startswith(OF_WORKLOAD):
            key = ALL_OTHERS
        lines[key] = f"- {key}"
    return lines


def pages(story: Story, moments: Sequence[float], families: Sequence[Family]) -> list[dict[str, str]]:
    """The samples at each of the moments, in seconds since the start of the play."""
    found = []
    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)

    async def play(stage: Stage) -> None:
        stage.exposition = Exposition(families)
        for moment in moments:
            await stage.run(moment)
            found.append(shortened(stage.samples()))

    played(play, simulator)
    return found


def path(story: Story) -> Path:
    """The golden file of a story."""
    return GOLDEN / f"{story.name.replace(' ', '-')}.txt"


def steps(story: Story) -> list[tuple[float, StoryStep]]:
    """The steps of a story's first round, and a moment in each."""
    found, total = [], 0.0
    for step in story.steps:
        begin, length = max(0.0, total - LEAD_SECONDS), min(step.seconds or 600.0, MAX_PLAY_SECONDS)
        found.append((begin + min(0.6 * length, 7200.0), step))
        total += step.seconds
        if begin + length >= MAX_PLAY_SECONDS:
            break
    return found


def golden(story: Story, families: Sequence[Family] = FAMILIES) -> str:
    """The golden text of a story."""
    blocks: list[str] = []
    before: dict[str, str] = {}
    moments = [moment for moment, _ in steps(story)]
    pairs = zip(pages(story, moments, families), pages(healthy(story), moments, families), strict=True)
    for (moment, step), (page, quiet) in zip(steps(story), pairs, strict=True):
        now = differences(page, quiet)
        lines = [line for series, line in now.items() if before.get(series) != line]
        lines += [f"= {series}" for series in before if series not in now and ALL_OTHERS not in now]
        what = ", ".join(filter(None, (step.status, step.replacement, step.event)))
        blocks.append("\n".join([f"# {moment:.0f} s: {what}", *sorted(lines, key=lambda line: (line[0], line[2:]))]))
        before = now
    return f"{story.shows}\n\n" + "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_changes_the_metrics_that_its_golden_file_lists(story: Story) -> None:
    file, text = path(story), golden(story)
    check_golden(file, text)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_healthy_workload_has_all_series_that_its_golden_file_lists(name: str) -> None:
    story = next(each for each in STORIES if each.name == name)
    (page,) = pages(healthy(story), [600.0], FAMILIES)
    lines = sorted(f"{series} {value}" for series, value in page.items())
    check_golden(GOLDEN / "healthy" / path(story).name, "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["crash loop", "deleted", "bare"])
def test_a_metric_that_no_story_affects_changes_no_golden_file(name: str) -> None:
    story = next(each for each in STORIES if each.name == name)
    constant = row("workload_constant", "A constant.", lambda view: one(1.0), source="none", absence="never")
    assert golden(story, (*FAMILIES, constant)) == path(story).read_text()


def test_each_golden_file_belongs_to_a_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {path(story).stem for story in STORIES}
