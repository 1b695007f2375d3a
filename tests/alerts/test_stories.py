"""The alerts that each story of the simulator fires: tests/alerts/stories.txt, for review.

All stories are played in virtual time, their pages are stored in a real Prometheus, which evaluates the shipped rules.
`UPDATE_GOLDEN=1` regenerates the file. Smaller counterparts: `test_same_pages.py` for some stories, and
`tests/e2e/test_parity.py` for each alert.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.alerting.alarms import Alarm, next_alarms
from exporter.alerting.rules import DEFAULT
from exporter.alerting.subjects import (
    EXPORTER_ALERTS,
    SWEEP_ALERTS,
    AccountFleet,
    ExporterStatus,
    SweepStatus,
    subjects,
)
from exporter.simulator.incidents import ALL_STORIES
from tests.alerts.history import Fired, families_read, fired, shipped
from tests.e2e.backfill import Pages, filled
from tests.goldens import check_golden
from tests.stage import START, Stage, played, simulated

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.exhaustive]
FILE = Path(__file__).with_name("stories.txt")
LASTS, EVERY = 9000.0, 30.0
PLAYED = [story for story in ALL_STORIES if story.name != "crash loop with minimum zero"]
"""All stories but one whose pods are ready for seconds only: `last_over_time` does not notice that a series ended."""
OWN_ALERTS = {*SWEEP_ALERTS, *EXPORTER_ALERTS}
RULES = [rule for rule in shipped() if rule["labels"]["component"] != "exporter"]


Fires = tuple[str, str, str]
"""Alert, severity and workload id."""


class Played(NamedTuple):
    """The firings of each rule over the stories, and the daemon's own alarms at each evaluation: time -> alarms."""

    firings: list[Fired]
    alarms: dict[float, set[Fires]]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Played:
    pages = Pages(families_read(RULES))
    fired_then: dict[float, set[Fires]] = {}
    alarms: dict[str, Alarm] = {}
    simulator = simulated(len(PLAYED), seed=11, stories=PLAYED)

    async def play(stage: Stage) -> None:
        async def note() -> None:
            at = START + round(stage.now / EVERY) * EVERY  # as of the evaluation: what is gone is gone at once
            pages.add(stage.page(), at, 'job="datarobot"')
            fleet = AccountFleet(stage.monitor.facts, stage.monitor.visible(), SweepStatus("", 0.0, EVERY))
            evaluated = subjects([fleet], ExporterStatus(), DEFAULT, stage.wall)
            now = next_alarms(alarms, evaluated, DEFAULT, stage.wall)
            alarms.clear()
            alarms.update(now)
            fired_then[at] = {
                (each.alert, each.severity, each.labels.get("workload_id", "")) for each in now.values() if each.firing
            }

        await stage.run(LASTS + 1, note)

    played(play, simulator)
    with filled(tmp_path_factory.mktemp("stories"), pages, lookback="29s") as server:
        firings = [one for rule in RULES for one in fired(server, rule, START, START + LASTS, EVERY)]
    return Played(firings, fired_then)


def _listed(firings: Iterable[Fired]) -> str:
    rows: dict[str, set[str]] = {story.name: set() for story in PLAYED}
    for one in firings:
        story = re.sub(r"-\d+$", "", one.labels.get("workload", "the account")).replace("-", " ")
        name = next((name for name in rows if name.replace("-", " ") == story), story)
        rows.setdefault(name, set()).add(f"  {one.severity} {one.alert}{' (goes on)' if one.ends is None else ''}")
    shows = {story.name: story.shows for story in PLAYED}
    return "\n\n".join(
        "\n".join([f"{name}: {shows.get(name, '')}", *sorted(lines or {"  none"})]) for name, lines in rows.items()
    )


def test_a_story_fires_the_expected_alerts(stories: Played) -> None:
    text = _listed(stories.firings) + "\n"
    check_golden(FILE, text)


def test_the_daemons_own_alarms_fire_when_the_rules_do_give_or_take_one_evaluation(stories: Played) -> None:
    times = sorted(stories.alarms)
    ours = {(each, at) for at in times for each in stories.alarms[at] if each[0] not in OWN_ALERTS}
    theirs: set[tuple[Fires, float]] = set()
    for one in stories.firings:
        key = one.alert, one.severity, one.labels.get("workload_id", "")
        ends = START + LASTS + 1 if one.ends is None else one.ends
        theirs.update((key, at) for at in times if one.begins <= at < ends)

    def alone(some: set[tuple[Fires, float]], others: set[tuple[Fires, float]]) -> list[tuple[Fires, float]]:
        """Firings of two evaluations in a row of which the other side has nothing nearby."""
        near = {
            (key, times[n]) for key, at in others for n in range(max(0, place[at] - 1), place[at] + 2) if n < len(times)
        }
        lonely = some - near
        return sorted((key, at) for key, at in lonely if (key, times[max(0, place[at] - 1)]) in lonely - {(key, at)})

    place = {at: number for number, at in enumerate(times)}
    assert alone(ours, theirs) == []
    assert alone(theirs, ours) == []
    assert len({key for key, _ in ours & theirs}) > 20
