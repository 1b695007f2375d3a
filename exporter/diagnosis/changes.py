"""Recent changes of a workload, from its events, its replacement, and what the exporter observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporter.api import models
from exporter.api.details import Event, event_kind
from exporter.diagnosis.facts import Change, topic
from exporter.fleet import active_replacement
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import scrubbed

CLOCK_SLACK_SECONDS = 60.0
"""Maximum difference between the clocks that timestamps come from."""
_BRIEF_SECONDS = 60.0
"""Failures shorter than this are not listed."""
_SAME_SECONDS = 300.0
"""Maximum time between two reports of one change."""
_EVENT_KINDS = {"replacement_completed": "replaced", "replacement_errored": "reverted"} | {
    name: name for name in ("promoted", "started", "stopped", "scaled")
}
_EPISODE_KINDS = {"replacement": "replaced", "failure": "failure", "start": "start", "stop": "stop"}


def event_time(state: WorkloadState, event: Event) -> float:
    """The time of an event; 0 if it has none."""
    return state.at(event.timestamp) or 0.0


def changes(state: WorkloadState, now: float, events: Iterable[Event], version: float | None) -> tuple[Change, ...]:
    """The changes, latest first, after the one in progress. `version`: when the newest version was created."""
    ledger = state.ledger
    newest = dict(ledger.newest)
    for event in events:
        newest[event_kind(event)] = max(newest.get(event_kind(event), 0.0), event_time(state, event))
    in_progress = tuple(_in_progress(state))
    found = [
        *in_progress,
        *(Change(_EVENT_KINDS[kind], at) for kind, at in newest.items() if kind in _EVENT_KINDS and at),
    ]
    # Observed changes are added if no event reports them.
    observed = [("reverted", ledger.rollout_failed), ("reset", ledger.reset_at), *_ended(state), ("version", version)]
    for kind, at in observed:
        if at is not None and at <= now + CLOCK_SLACK_SECONDS and not any(_same(kind, at, each) for each in found):
            found.append(Change(kind, at))
    return (*in_progress, *sorted(found[len(in_progress) :], key=lambda change: -(change.at or 0.0)))


def _in_progress(state: WorkloadState) -> Iterator[Change]:
    """The replacement in progress."""
    workload, rollout = state.workload, state.ledger.rollout
    record = active_replacement.record(state)
    if record is None or not replacement_active(workload):
        return
    at = state.at(record.created_at)
    if at is None and rollout is not None and rollout.whole:
        at = rollout.since
    same = record.candidate_artifact_id is not None and record.candidate_artifact_id == workload.artifact_id
    status = masked_enum(record.status).replace("_", " ")
    yield Change("new_settings" if same else "replacing", at, status)


def _ended(state: WorkloadState) -> Iterator[tuple[str, float]]:
    """Kind and end of the observed episodes, except crashes that ended immediately."""
    tracker = state.ledger.tracker
    for episode in tracker.over:
        if episode.ended is not None and episode.kind in _EPISODE_KINDS and episode.cause != "crashed":
            reported = episode.ended.reported
            yield _EPISODE_KINDS[episode.kind], episode.ended.at if reported is None else reported - state.ahead
    for past in tracker.past:
        brief = past.kind == "failure" and past.ended - past.opened < _BRIEF_SECONDS
        if past.kind in _EPISODE_KINDS and not brief:
            yield _EPISODE_KINDS[past.kind], past.ended - state.ahead


def _same(kind: str, at: float, other: Change) -> bool:
    """Whether another change reports the same: a version is created for its replacement."""
    if kind == "version" and other.kind in ("replacing", "new_settings", "replaced"):
        return other.at is None or abs(at - other.at) < 2 * _SAME_SECONDS
    return topic(kind) == topic(other.kind) and abs(at - (other.at or 0.0)) < _SAME_SECONDS


def masked_enum(text: str | None) -> str:
    """A value of an enumeration in canonical form, masked if it looks like a secret."""
    return models.folded(scrubbed(text or ""))  # masked first: canonical form hides what looks like a secret
