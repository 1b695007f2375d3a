"""Moves the times in the state of an account when the local clock was set, so that durations stay as they are.

Only times by the local clock are moved: times that the API reports stay, and the offset between both clocks changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, PodFacts, StatusChange
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import ContainerCursor, Ledger, ReplacementCursor, ServingRecord, Tally, UsageHistory
from exporter.fleet.objective_counts import ObjectiveCounts
from exporter.fleet.reconcile import Snapshot
from exporter.fleet.workload_state import Details, Window, WorkloadState

MOVED: Mapping[type, tuple[str, ...]] = {
    Snapshot: ("workloads", "missing", "gone", "attempted", "succeeded", "previous", "earlier", "tally"),
    WorkloadState: ("ledger", "details", "vanished", "held"),
    Details: ("windows", "polled"),
    Window: ("start", "end"),
    Ledger: (
        "first", "since", "begun", "starting", "rollout", "rollout_failed", "rollout_order", "last_rollout",
        "failed_pods", "newest", "pods", "reset_at", "gone", "tracker", "serving", "usage", "history", "objectives",
    ),
    ReplacementCursor: ("since", "ended", "created", "before"),
    UsageHistory: ("first", "last"),
    Tally: ("active", "since"),
    ContainerCursor: ("missing", "restarted"),
    ServingRecord: ("up", "fewer", "down", "unknown", "stop", "beside", "recoveries"),
    ObjectiveCounts: ("since", "at", "until", "read"),
    EpisodeTracker: ("life", "rollout", "flapping", "over", "pods", "pods_read", "events_read", "recent"),
    Episode: ("opened", "states", "ended"),
    StatusChange: ("mark",),
    Mark: ("at", "last"),
    PodFacts: ("read",),
    HistoryEntry: ("at", "began"),
}  # fmt: skip
"""The fields that are times by the local clock, or contain some."""
T = TypeVar("T")


def moved(value: T, step: float) -> T:
    """The value with all its times by the local clock moved by `step` seconds; 0 means that there is no time."""
    result: Any = _moved(value, step)
    return result  # type: ignore[no-any-return]  # of the same type


def _moved(value: Any, step: float) -> Any:
    if isinstance(value, float):
        return value + step if value else value
    if isinstance(value, Mapping):
        return {key: _moved(each, step) for key, each in value.items()}
    if type(value) is tuple:
        return tuple(_moved(each, step) for each in value)
    if type(value) not in MOVED:
        return value
    fields = {name: _moved(getattr(value, name), step) for name in MOVED[type(value)]}
    if isinstance(value, WorkloadState):
        fields["ahead"] = value.ahead - step
    return msgspec.structs.replace(value, **fields) if isinstance(value, msgspec.Struct) else value._replace(**fields)
