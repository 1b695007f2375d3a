"""When the local clock is set, all times in the state of an account that are by this clock are moved, and no others."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from exporter.api.details import RequestMetrics
from exporter.api.models import Workload
from exporter.fleet.clock_steps import MOVED, moved
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, ObservedEvent, Past, PodFacts, Run, StatusChange
from exporter.fleet.ledger import (
    ContainerCursor,
    Durations,
    Ledger,
    ReplacementCursor,
    ServingRecord,
    Tally,
    UsageHistory,
)
from exporter.fleet.objective_counts import ObjectiveCounts
from exporter.fleet.objectives import Objective
from exporter.fleet.reconcile import Snapshot
from exporter.fleet.workload_state import Costs, Details, Window, WorkloadState

REPORTED: dict[type, set[str]] = {
    Mark: {"reported"},
    PodFacts: {"created", "conditions", "started", "runs"},
    Run: {"started", "finished"},
    ObservedEvent: {"at"},
    Past: {"opened", "ended"},
    EpisodeTracker: {"events", "late", "last", "past"},
}
"""Times by the clock of the API."""
NO_TIMES: dict[type, set[str]] = {
    Durations: {"counts", "sum"},
    Tally: {"starts", "replacements"},
    Window: {"metrics", "quantiles"},
    WorkloadState: {"ahead", "objective"},
    Objective: {"availability", "readiness", "latency", "slower", "window"},
    UsageHistory: {"p95", "peak"},
    Costs: {"bundles", "idle_after", "min_history"},
}
"""Durations, shares, prices and the offset between the clocks, which is moved in the other direction."""
DECODED = "exporter.api"
"""Responses of the API: their times are by its clock."""


def classes(kind: Any) -> Iterator[type]:
    """The classes of the state in a type."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and hasattr(each, "__annotations__") and not each.__module__.startswith(DECODED):
            yield each
    for each in get_args(kind):
        yield from classes(each)


def contains_float(kind: Any) -> bool:
    return kind is float or any(contains_float(each) for each in get_args(kind))


def reachable(kind: type) -> dict[type, set[str]]:
    """Classes within a class -> their fields that are, or contain, floats."""
    found: dict[type, set[str]] = {}
    todo = [kind]
    while todo:
        each = todo.pop()
        if each in found or not (issubclass(each, msgspec.Struct | tuple)):
            continue
        hints = get_type_hints(each)
        names: tuple[str, ...] = getattr(each, "_fields", ()) or getattr(each, "__struct_fields__", ())
        found[each] = {name for name in names if contains_float(hints[name])}
        todo += [inner for name in names for inner in classes(hints[name])]
    return found


def test_each_number_in_the_state_is_known_to_be_a_time_by_the_local_clock_or_not() -> None:
    unknown = {
        f"{kind.__name__}.{name}"
        for kind, names in reachable(Snapshot).items()
        for name in names - {*MOVED.get(kind, ())} - REPORTED.get(kind, set()) - NO_TIMES.get(kind, set())
    }
    assert unknown == set()


def test_each_field_whose_class_has_times_is_moved() -> None:
    """Unless all times in it are by the clock of the API."""
    missing = {
        f"{kind.__name__}.{name}"
        for kind in reachable(Snapshot)
        for name, hint in get_type_hints(kind).items()
        if any(inner in MOVED for inner in classes(hint))
        and name not in MOVED.get(kind, ())
        and name not in REPORTED.get(kind, ())
    }
    assert missing == set()


MARK = Mark(100.0, 90.0, 95.0)
TRACKER = EpisodeTracker(
    life=Episode("start", MARK, states=(StatusChange("starting", MARK),)),
    over=(Episode("stop", MARK, ended=Mark(120.0)),),
    pods={"a": PodFacts("p", 110.0, 70.0, {"Ready": 80.0}, runs=(Run("m", 1.0, 2.0),))},
    events={"e": ObservedEvent("Started", 60.0)},
    pods_read=110.0,
    recent=(50.0, 60.0),
    past=(Past("k", "stop", "t", "r", 40.0, 45.0),),
)
LEDGER = Ledger(
    10.0,
    20.0,
    rollout=ReplacementCursor(30.0, created=25.0),
    newest={"stopped": 15.0},
    pods={"a/m": ContainerCursor(restarted=(16.0, 17.0))},
    serving=ServingRecord(down=18.0, beside={"p": 19.0}, recoveries=(21.0,)),
    tracker=TRACKER,
    usage=UsageHistory("b", 11.0, 12.0, b"", (0.5,), (0.9,)),
)
STATE = WorkloadState(
    "acme",
    Workload(id="a", name="a"),
    LEDGER,
    Details(windows={"5m": Window(1.0, 2.0, RequestMetrics(), ((0.5, 0.25),))}, polled={"pods": 3.0}),
    held={"status": 4.0},
    ahead=7.0,
)
SNAPSHOT = Snapshot("acme", {"a": STATE}, attempted=5.0, succeeded=6.0)
LATER = Mark(1100.0, 1090.0, 95.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (MARK, LATER),
        (0.0, 0.0),
        (None, None),
        (LEDGER.rollout, ReplacementCursor(1030.0, created=1025.0)),
        (LEDGER.serving, ServingRecord(down=1018.0, beside={"p": 1019.0}, recoveries=(1021.0,))),
        (LEDGER.pods, {"a/m": ContainerCursor(restarted=(1016.0, 1017.0))}),
        (LEDGER.usage, UsageHistory("b", 1011.0, 1012.0, b"", (0.5,), (0.9,))),
        (Tally(active=((5.0, 3),)), Tally(active=((1005.0, 3),))),
        (ObjectiveCounts(1.0, 2.0, until=3.0), ObjectiveCounts(1001.0, 1002.0, until=1003.0)),
        (TRACKER.life, Episode("start", LATER, states=(StatusChange("starting", LATER),))),
        (TRACKER.pods, {"a": PodFacts("p", 1110.0, 70.0, {"Ready": 80.0}, runs=(Run("m", 1.0, 2.0),))}),
        (STATE.details.windows, {"5m": Window(1001.0, 1002.0, RequestMetrics(), ((0.5, 0.25),))}),
        (SNAPSHOT._replace(workloads={}), Snapshot("acme", attempted=1005.0, succeeded=1006.0)),
    ],
)
def test_times_by_the_local_clock_are_moved_and_others_are_not(now: Any, expected: Any) -> None:
    assert moved(now, 1000.0) == expected


def test_what_the_api_reports_is_at_the_moved_local_time() -> None:
    after = moved(SNAPSHOT, 1000.0).workloads["a"]
    reported = "1970-01-01T00:01:00Z"
    assert (STATE.at(reported), after.at(reported)) == (53.0, 1053.0)
    tracker: Mapping[str, Any] = msgspec.structs.asdict(after.ledger.tracker)
    for name in ("events", "past", "run", "numbers"):
        assert tracker[name] == getattr(TRACKER, name)


def test_a_clock_that_is_set_and_set_back_changes_nothing() -> None:
    assert moved(moved(SNAPSHOT, 3600.0), -3600.0) == SNAPSHOT
