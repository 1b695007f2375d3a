"""The timeline of a workload: what happened when, latest first, in the words of its page."""

from typing import Any

import pytest

from exporter.api.models import Workload
from exporter.diagnosis.timeline import TimelineEntry, timeline
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, StatusChange
from exporter.fleet.history import KEPT_SECONDS, HistoryEntry
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC


def state(*history: HistoryEntry, tracker: EpisodeTracker = EpisodeTracker(), **facts: Any) -> WorkloadState:  # noqa: B008 — immutable
    ledger = Ledger(NOW - 2 * KEPT_SECONDS, NOW, tracker=tracker, history=history)
    return WorkloadState("eu", Workload(id="w"), ledger, **facts)


def shown(*history: HistoryEntry, **facts: Any) -> list[tuple[float, str, str, bool]]:
    """Seconds before now, kind, text, and whether it is bad."""
    return [(NOW - at, kind, text, bad) for at, kind, text, bad in timeline(state(*history, **facts), NOW)]


@pytest.mark.parametrize(
    ("entry", "moments"),
    [
        pytest.param(
            HistoryEntry(NOW - 60, "event", "WorkloadScaled", "to 3 replicas"),
            [(60, "event", "WorkloadScaled: to 3 replicas", False)],
            id="event",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "event", "Pulled", began=NOW - 3600, count=4),
            [(60, "event", "Pulled (4 times since 10:06 UTC)", False)],
            id="event that was repeated",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "event", "Error", "password=hunter22"),
            [(60, "event", "Error: password=[…]", False)],
            id="a secret in a message is masked",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "alert", "DataRobotPodsNotReady", "critical"),
            [(60, "alert", "DataRobotPodsNotReady (critical) fires", True)],
            id="alert that fires",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "alert", "DataRobotPodsNotReady", "warning", NOW - 360),
            [
                (60, "alert", "DataRobotPodsNotReady (warning) ended after 5 min", False),
                (360, "alert", "DataRobotPodsNotReady (warning) fires", True),
            ],
            id="alert that ended",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "episode", "failure", "recovered", NOW - 780, bad=True),
            [
                (60, "episode", "failure ended after 12 min: it recovered", True),
                (780, "episode", "failure began", True),
            ],
            id="failure",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "episode", "replacement", "completed", NOW - 780),
            [
                (60, "replacement", "replacement ended after 12 min: completed", False),
                (780, "replacement", "replacement began", False),
            ],
            id="replacement",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "episode", "failure", "crashed", NOW - 100, bad=True),
            [(60, "episode", "failure: a container terminated and was restarted", True)],
            id="crash",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "episode", "flapping", "flapping", NOW - 3600, 12),
            [(60, "episode", "flapping: too many to list each (12 times since 10:06 UTC)", False)],
            id="flapping",
        ),
        pytest.param(
            HistoryEntry(NOW - 60, "episode", "deletion", "deleted", NOW - 60),
            [(60, "episode", "deletion: it was deleted", False)],
            id="a moment",
        ),
    ],
)
def test_an_entry_of_the_history(entry: HistoryEntry, moments: list[tuple[float, str, str, bool]]) -> None:
    assert shown(entry) == moments


def test_the_latest_comes_first_and_what_is_too_old_is_left_out() -> None:
    entries = [HistoryEntry(NOW - age, "event", f"{age}") for age in (KEPT_SECONDS, 3600, 60)]
    assert [text for _, _, text, _ in shown(*entries)] == ["60", "3600"]


def test_an_episode_that_is_not_over_shows_its_status_and_one_that_just_ended_its_end() -> None:
    tracker = EpisodeTracker(
        life=Episode("start", Mark(NOW - 60), states=(StatusChange("launching", Mark(NOW - 30)),)),
        rollout=Episode("replacement", Mark(NOW - 40, None, NOW - 45)),
        flapping=Episode("flapping", Mark(NOW - 50)),
        over=(Episode("stop", Mark(NOW - 90), ended=Mark(NOW - 80), outcome="success"),),
    )
    assert shown(tracker=tracker, ahead=5.0) == [
        (50, "replacement", "replacement began, not over", False),
        (50, "episode", "flapping began, not over", False),
        (60, "episode", "start began, now launching", False),
        (80, "episode", "stop ended after 10 s: success", False),
        (90, "episode", "stop began", False),
    ]


def test_when_it_was_first_observed_and_when_it_vanished() -> None:
    known = state(vanished=NOW - 60)
    known = known._replace(ledger=Ledger(NOW - 3600, NOW))
    assert timeline(known, NOW) == (
        TimelineEntry(NOW - 60, "exporter", "no longer listed", bad=True),
        TimelineEntry(NOW - 3600, "exporter", "first observed by this exporter"),
    )
