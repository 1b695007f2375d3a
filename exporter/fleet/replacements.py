"""Counts replacements: follows the record on the workload, and the events that report how a replacement ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from exporter.api import models
from exporter.api.details import Event, EventKind
from exporter.api.models import Replacement, Workload
from exporter.fleet import transitions
from exporter.fleet.episodes import Mark
from exporter.fleet.ledger import Entry, Ledger, ReplacementCursor, plus

MAX_EVENT_WAIT_SECONDS = 300.0
"""How long an ended replacement without an outcome waits for events that cannot be read."""
ENDED = {
    "completed": "completed",
    "errored": "errored",
    "failed": "errored",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
"""Statuses of a replacement that has ended, and its outcome. A server may keep such a record on the workload."""
_EPISODE_OUTCOMES = {
    "completed": "success",
    "errored": "failure",
    "reverted": "failure",
    "cancelled": "cancellation",
}
_MAX_COUNTED_IDS = 20
"""Ids of replacements and candidates whose end has been counted; so many are remembered."""


def replacement_active(workload: Workload) -> bool:
    """Whether the API reports a replacement in progress."""
    record = workload.replacement
    return record is not None and models.folded(record.status) not in ENDED


def record_ids(workload: Workload) -> tuple[str, ...]:
    """The ids of a workload's replacement and its candidates."""
    record = workload.replacement
    return () if record is None else tuple(filter(None, (record.id, *(record.candidate_proton_ids or ()))))


def record_status(workload: Workload) -> str:
    """The status of a workload's replacement; empty if there is none."""
    return models.folded(workload.replacement.status) if workload.replacement is not None else ""


def started(ledger: Ledger, rollout: ReplacementCursor, mark: Mark, record: Replacement | None) -> Ledger:
    """The ledger with a replacement in progress."""
    tracker = transitions.replacing(ledger.tracker, rollout.ids, rollout.status, mark, record)
    return msgspec.structs.replace(ledger, rollout=rollout, tracker=tracker)


def followed(ledger: Ledger, workload: Workload, mark: Mark, *, stayed_up: bool) -> Entry:
    """The ledger after a sweep: follows the replacement record, which is independent of the workload's status.

    A record that has ended has an outcome. A record that disappears may mean success or a silent revert: an event
    decides, or else whether another proton serves than before. `stayed_up`: the workload was running before and is now.
    """
    rollout, ids, status, now = ledger.rollout, record_ids(workload), record_status(workload), mark.at
    serving = workload.proton_id or ""
    if replacement_active(workload):
        if rollout is not None and rollout.ended is None and (not ids or not rollout.ids or {*ids} & {*rollout.ids}):
            known = tuple(dict.fromkeys((*rollout.ids, *ids)))
            kept = msgspec.structs.replace(rollout, ids=known, status=status)
            if kept == rollout:
                return Entry(ledger)
            if kept.counted:
                return Entry(msgspec.structs.replace(ledger, rollout=kept))
            return Entry(started(ledger, kept, mark, workload.replacement))
        entry = concluded(ledger, serving, now) if rollout is not None else Entry(ledger)
        return entry._replace(
            ledger=started(entry.ledger, ReplacementCursor(now, ids, serving, status), mark, workload.replacement)
        )
    if status in ENDED and not (ids and {*ids} <= {*ledger.counted_ids}) and (ids or rollout is not None):
        if rollout is not None and rollout.counted:
            return Entry(_with_counted(msgspec.structs.replace(ledger, rollout=None), ids))
        return _count(ledger, ENDED[status], ids, mark, rollout)
    if rollout is None:
        unobserved = stayed_up and ledger.proton and serving and ledger.proton != serving
        if unobserved and not {serving} & {*ledger.counted_ids}:
            # Another proton serves without a record: a replacement between two sweeps.
            missed = ReplacementCursor(now, (serving,), ledger.proton, ended=now, whole=False)
            return Entry(_record_removed(started(ledger, missed, mark, None), mark))
        return Entry(ledger)
    if rollout.ended is None:
        ended = None if rollout.counted else msgspec.structs.replace(rollout, ended=now)
        return Entry(_record_removed(msgspec.structs.replace(ledger, rollout=ended), mark))
    return concluded(ledger, serving, now) if now - rollout.ended >= MAX_EVENT_WAIT_SECONDS else Entry(ledger)


def _record_removed(ledger: Ledger, mark: Mark) -> Ledger:
    return msgspec.structs.replace(ledger, tracker=transitions.record_removed(ledger.tracker, mark))


def concluded(ledger: Ledger, serving: str, now: float) -> Entry:
    """Count a replacement whose end no event reported."""
    rollout = ledger.rollout
    if rollout is None or rollout.counted:
        return Entry(msgspec.structs.replace(ledger, rollout=None))
    if serving and rollout.proton and serving != rollout.proton:
        outcome = "completed"
    else:
        outcome = "cancelled" if rollout.status in ("canceling", "cancelling", "deleting") else "reverted"
    return _count(ledger, outcome, rollout.ids, Mark(rollout.ended or now), rollout)


def _count(
    ledger: Ledger, outcome: str, ids: Sequence[str], mark: Mark, rollout: ReplacementCursor | None, name: str = ""
) -> Entry:
    """Count the end of a replacement, at `mark`; `name`: its id, if that is not the first of `ids`."""
    transition = {"completed": "replaced", "errored": "reverted", "reverted": "reverted"}.get(outcome)
    known = (*ids, *(rollout.ids if rollout is not None else ()))
    at = mark.at if mark.reported is None else mark.reported
    unobserved = rollout is None and ledger.rollout is not None
    name = name or next(iter(ids), "")
    tracker = transitions.replacement_ended(
        ledger.tracker, _EPISODE_OUTCOMES[outcome], mark, outcome, name, unobserved=unobserved
    )
    after = msgspec.structs.replace(
        _with_counted(ledger, known),
        outcomes=plus(ledger.outcomes, outcome),
        transitions=plus(ledger.transitions, *([transition] if transition else [])),
        rollout=None,
        tracker=tracker,
    )
    after = _with_last_end(after, outcome, at)
    whole = rollout is not None and rollout.whole and outcome == "completed"
    return Entry(after, None, max(0.0, at - rollout.since) if rollout is not None and whole else None)


def _with_last_end(ledger: Ledger, outcome: str, at: float) -> Ledger:
    """The ledger after a replacement ended at `at`: a failure counts until a later success. Ends come in any order."""
    failed, completed = ledger.rollout_failed, ledger.rollout_completed
    if outcome == "completed":
        completed = max(at, completed or at)
        failed = None if failed is not None and failed <= at else failed
    elif outcome != "cancelled" and (completed is None or at > completed):
        failed = max(at, failed or at)
    return msgspec.structs.replace(ledger, rollout_failed=failed, rollout_completed=completed)


def _with_counted(ledger: Ledger, ids: Iterable[str]) -> Ledger:
    counted = tuple(dict.fromkeys((*ledger.counted_ids, *ids)))[-_MAX_COUNTED_IDS:]
    return msgspec.structs.replace(ledger, counted_ids=counted)


def with_event(ledger: Ledger, kind: EventKind, event: Event, at: float | None, *, news: bool, now: float) -> Entry:
    """The ledger after an event about the end of a replacement, of reported time `at`; `news`: it counts as new."""
    details = event.details
    named = tuple(filter(None, (details.replacement_id, *(details.candidate_proton_ids or ())))) if details else ()
    ids = tuple(dict.fromkeys((event.id, *named)))
    rollout = ledger.rollout
    about = rollout is not None and _about(rollout, named, at)
    counted_before = {*ids} & {*ledger.counted_ids} or (rollout is not None and about and rollout.counted)
    if counted_before or not (news or about):
        return Entry(_with_counted(ledger, ids))
    # The event of its end has the replacement's own id, unless it reports another.
    name = (details.replacement_id if details is not None else None) or event.id
    outcome, mark = kind.removeprefix("replacement_"), Mark(now, reported=at)
    entry = _count(ledger, outcome, ids, mark, rollout if about else None, name)
    if rollout is not None and not about:
        return entry._replace(ledger=msgspec.structs.replace(entry.ledger, rollout=rollout))
    if rollout is not None and rollout.ended is None:
        # The event arrived before the record disappeared: remember that its end is counted.
        counted = msgspec.structs.replace(rollout, counted=True)
        return entry._replace(ledger=msgspec.structs.replace(entry.ledger, rollout=counted))
    return entry


def _about(rollout: ReplacementCursor, named: Sequence[str], at: float | None) -> bool:
    """Whether an event belongs to this replacement: by the ids it names, else by its time."""
    if {*named} & {*rollout.ids}:
        return True
    late = at is not None and at >= rollout.since - 60
    return late and (len(named) < 2 or len(rollout.ids) < 2)
