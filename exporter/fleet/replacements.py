"""Counts replacements: follows the record on the workload, and the events that report how a replacement ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from exporter.api import models
from exporter.api.details import Event, EventKind
from exporter.api.models import Replacement, Workload
from exporter.fleet import observations, transitions
from exporter.fleet.episodes import Mark, PodFacts
from exporter.fleet.ledger import Entry, Ledger, ReplacementCursor, plus

EVENT_GRACE_SECONDS = 60.0
"""How long an event may lag behind the end of a replacement before a proven outcome is counted without one."""
MAX_EVENT_WAIT_SECONDS = 300.0
"""How long an ended replacement without an outcome waits for an event."""
ENDED = {
    "completed": "completed",
    "errored": "errored",
    "failed": "errored",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
"""Statuses of a replacement that has ended, and its outcome. A server may keep such a record on the workload."""
_CANCELLING = ("canceling", "cancelling", "deleting")
_EPISODE_OUTCOMES = {
    "completed": "success",
    "errored": "failure",
    "reverted": "failure",
    "cancelled": "cancellation",
    "unknown": "cancellation",
}
_MAX_COUNTED_IDS = 20
"""Ids of replacements and candidates whose end has been counted; so many are remembered."""
_SLACK_SECONDS = 5.0
"""How far times of one replacement may contradict each other: ids have a resolution of one second."""
_EARLY_SECONDS = 60.0
"""How long before its first observation a replacement may have started, if nothing is known about that."""
_LATE_SECONDS = 60.0
"""How long after the observed end the record of a finished replacement may be written."""
_with = msgspec.structs.replace


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


def first_observed(ledger: Ledger, workload: Workload, mark: Mark, ahead: float) -> Ledger:
    """The ledger of a newly observed workload, with its replacement if one is in progress: its start is unknown."""
    if not replacement_active(workload):
        return ledger
    return _started(ledger, _cursor(workload, mark, ahead, whole=False), mark, workload.replacement)


def _cursor(workload: Workload, mark: Mark, ahead: float, *, whole: bool) -> ReplacementCursor:
    record = workload.replacement
    created = models.timestamp(record.created_at) if record is not None else None
    return ReplacementCursor(
        mark.at,
        record_ids(workload),
        workload.proton_id or "",
        record_status(workload),
        whole=whole,
        created=None if created is None else created - ahead,
        before=mark.last if whole else None,
    )


def _started(ledger: Ledger, rollout: ReplacementCursor, mark: Mark, record: Replacement | None) -> Ledger:
    """The ledger with a replacement in progress."""
    tracker = transitions.replacing(ledger.tracker, rollout.ids, rollout.status, mark, record)
    return _with(ledger, rollout=rollout, tracker=tracker)


def followed(ledger: Ledger, workload: Workload, mark: Mark, *, stayed_up: bool, ahead: float = 0.0) -> Entry:
    """The ledger after a sweep: follows the replacement record, which is independent of the workload's status.

    A record that has ended has an outcome. A record that disappears may mean success, a cancel or a silent revert: an
    event decides, or else what was observed. `stayed_up`: the workload was running before and is now. `ahead`: seconds
    that the API's clock is ahead.
    """
    if replacement_active(workload):
        return _in_progress(ledger, workload, mark, ahead)
    rollout, ids, status = ledger.rollout, record_ids(workload), record_status(workload)
    serving = workload.proton_id or ""
    if status in ENDED and (ids or rollout is not None) and not _counted(ledger, workload, ahead):
        if rollout is not None and rollout.counted:
            return Entry(_with_counted(_with(ledger, rollout=None), ids))
        return _count(ledger, _End(ENDED[status], ids, mark), rollout)
    if rollout is None:
        unobserved = stayed_up and ledger.proton and serving and ledger.proton != serving
        if unobserved and not {serving} & {*ledger.counted_ids}:
            # Another proton serves without a record: a replacement between two sweeps.
            missed = ReplacementCursor(mark.at, (serving,), ledger.proton, ended=mark.at, whole=False, before=mark.last)
            return Entry(_record_removed(_started(ledger, missed, mark, None), mark))
        return Entry(ledger)
    if rollout.ended is None:
        ended = None if rollout.counted else _with(rollout, ended=mark.at)
        return Entry(_record_removed(_with(ledger, rollout=ended), mark))
    return concluded(ledger, serving, mark.at)


def _in_progress(ledger: Ledger, workload: Workload, mark: Mark, ahead: float) -> Entry:
    """The ledger while the list reports a replacement in progress: the known one, or another."""
    rollout, ids, serving = ledger.rollout, record_ids(workload), workload.proton_id or ""
    if rollout is not None and rollout.ended is None and (not ids or not rollout.ids or {*ids} & {*rollout.ids}):
        known = tuple(dict.fromkeys((*rollout.ids, *ids)))
        kept = _with(rollout, ids=known, status=record_status(workload))
        if kept == rollout:
            return Entry(ledger)
        if kept.counted:
            return Entry(_with(ledger, rollout=kept))
        return Entry(_started(ledger, kept, mark, workload.replacement))
    entry, late = Entry(ledger), rollout is not None and rollout.ended is not None
    if rollout is not None:
        # Another one has begun. How the one before ended may still be reported; until then only that one is followed.
        ended = rollout if rollout.ended is not None else _with(rollout, ended=mark.at)
        waits = ledger.seen_events is not None and serving in ("", rollout.proton)
        entry = concluded(_with(ledger, rollout=ended), serving, mark.at, waits=waits)
        if entry.ledger.rollout is not None:
            return Entry(_record_removed(entry.ledger, mark))
    elif {*ids} & {*ledger.counted_ids}:
        return entry  # its end is counted, but its record stays
    begun = _cursor(workload, mark, ahead, whole=not late)
    return entry._replace(ledger=_started(entry.ledger, begun, mark, workload.replacement))


def _counted(ledger: Ledger, workload: Workload, ahead: float) -> bool:
    """Whether the end of the replacement that the list reports is counted: its record may have a new id at the end."""
    record, ids, last = workload.replacement, record_ids(workload), ledger.last_rollout
    created = models.timestamp(record.created_at) if record is not None else None
    same = last is not None and created is not None and _about(last, ids, created - ahead, _LATE_SECONDS)
    return same or bool({*ids} & {*ledger.counted_ids})


def _record_removed(ledger: Ledger, mark: Mark) -> Ledger:
    return _with(ledger, tracker=transitions.record_removed(ledger.tracker, mark))


# -- the end


class _End(NamedTuple):
    """The end of a replacement, observed at `mark`.

    `at`: when it ended, if that is known better. `name`: its id, if that is not the first of `ids`. `pods`: what an
    event reports about the candidate's pods. `inferred`: neither an event nor the record reports how it ended.
    """

    outcome: str
    ids: Sequence[str]
    mark: Mark
    at: float | None = None
    name: str = ""
    pods: Mapping[str, PodFacts] = {}
    inferred: bool = False


def concluded(ledger: Ledger, serving: str, now: float, *, waits: bool = True) -> Entry:
    """Count an ended replacement whose end no event reported in time; `waits` False: now, it can wait no longer."""
    rollout = ledger.rollout
    if rollout is None or rollout.ended is None:
        return Entry(ledger)
    if rollout.counted:
        return Entry(_with(ledger, rollout=None))
    silent = ledger.tracker.events_read > rollout.ended
    outcome, proven = _inferred(ledger, rollout, serving, silent=silent)
    patience = EVENT_GRACE_SECONDS if silent and proven else MAX_EVENT_WAIT_SECONDS
    if waits and now - rollout.ended < patience:
        return Entry(ledger)
    return _count(ledger, _End(outcome, rollout.ids, Mark(rollout.ended), inferred=True), rollout)


def _inferred(ledger: Ledger, rollout: ReplacementCursor, serving: str, *, silent: bool) -> tuple[str, bool]:
    """How a replacement ended that neither an event nor its record reports, and whether something proves that.

    A failed replacement has an event; a cancelled one may leave nothing. `silent`: the events were read since.
    """
    if serving and rollout.proton and serving != rollout.proton:
        return "completed", True
    if rollout.status in _CANCELLING:
        return "cancelled", True
    pods = candidate_pods(ledger).values()
    if any(pod.problem and not pod.ready for pod in pods):
        return "reverted", True
    if pods and all(pod.ready for pod in pods):
        return "cancelled", False
    return ("unknown" if silent else "reverted"), False


def candidate_pods(ledger: Ledger) -> dict[str, PodFacts]:
    """What was reported about the pods of the candidate during the replacement, by pod name."""
    rollout, episode, pods = ledger.rollout, ledger.tracker.rollout, ledger.tracker.pods
    if rollout is None or episode is None:
        return {}
    if episode.candidates:
        return {name: pod for name, pod in pods.items() if pod.proton in episode.candidates}
    return {name: pod for name, pod in pods.items() if pod.proton != rollout.proton and pod.read >= rollout.since}


def _count(ledger: Ledger, end: _End, rollout: ReplacementCursor | None) -> Entry:
    """Count the end of a replacement; `rollout` None: it was not observed."""
    outcome, mark = end.outcome, end.mark
    transition = {"completed": "replaced", "errored": "reverted", "reverted": "reverted"}.get(outcome)
    at = mark.at if end.at is None else end.at
    pods = max(
        observations.failing(candidate_pods(ledger) if rollout is not None else {}),
        observations.failing(end.pods),
        key=_exits,
    )
    tracker = transitions.replacement_ended(
        ledger.tracker,
        _EPISODE_OUTCOMES[outcome],
        mark,
        outcome,
        end.name or next(iter(end.ids), ""),
        unobserved=rollout is None and ledger.rollout is not None,
    )
    last = rollout if rollout is not None else ReplacementCursor(at, whole=False, before=at)
    ids = tuple(dict.fromkeys((*end.ids, *last.ids)))
    last = _with(last, ids=ids, ended=at, inferred=end.inferred)
    after = _with(
        _with_counted(ledger, ids),
        outcomes=plus(ledger.outcomes, outcome),
        transitions=plus(ledger.transitions, *([transition] if transition else [])),
        rollout=None,
        last_rollout=last,
        tracker=tracker,
    )
    seconds = max(0.0, at - last.since) if last.whole and outcome == "completed" else None
    return Entry(_judged(after, last, outcome, pods), None, seconds)


def _judged(ledger: Ledger, last: ReplacementCursor, outcome: str, pods: Mapping[str, PodFacts]) -> Ledger:
    """The ledger after a replacement: a failure counts until a later one succeeds. Ends are read in any order."""
    order = last.since if last.created is None else last.created
    if outcome not in ("completed", "errored", "reverted") or order < ledger.rollout_order:
        return ledger
    failed = None if outcome == "completed" else last.ended
    return _with(ledger, rollout_failed=failed, rollout_order=order, failed_pods={} if failed is None else pods)


def _exits(pods: Mapping[str, PodFacts]) -> tuple[bool, bool]:
    """How much is known of failing pods: the exit code of a container counts most."""
    return any(pod.exit_code is not None for pod in pods.values()), bool(pods)


def _with_counted(ledger: Ledger, ids: Iterable[str]) -> Ledger:
    counted = tuple(dict.fromkeys((*ledger.counted_ids, *ids)))[-_MAX_COUNTED_IDS:]
    return _with(ledger, counted_ids=counted)


# -- events


def with_event(ledger: Ledger, kind: EventKind, event: Event, *, news: bool, now: float, ahead: float = 0.0) -> Entry:
    """The ledger after an event about the end of a replacement; `news`: it counts as new.

    `ahead`: seconds that the API's clock is ahead.
    """
    details, rollout, last = event.details, ledger.rollout, ledger.last_rollout
    named = tuple(filter(None, (details.replacement_id, *(details.candidate_proton_ids or ())))) if details else ()
    ids, created = tuple(dict.fromkeys((event.id, *named))), models.timestamp(event.timestamp)
    at = created - ahead if created is not None else None
    known = _with_counted(ledger, ids)
    if rollout is not None and _about(rollout, named, at) and not (last is not None and {*ids} & {*last.ids}):
        if rollout.counted:
            return Entry(known)
        entry = _count(ledger, _reported_end(event, kind, rollout, now, ahead), rollout)
        if rollout.ended is not None:
            return entry
        # The event arrived before the record disappeared: remember that its end is counted.
        return entry._replace(ledger=_with(entry.ledger, rollout=_with(rollout, counted=True)))
    if last is not None and last.inferred and _about(last, named, at, _LATE_SECONDS):
        return Entry(_corrected(known, last, _reported_end(event, kind, last, now, ahead)))
    if {*ids} & {*ledger.counted_ids} or not news:
        return Entry(known)
    entry = _count(ledger, _reported_end(event, kind, None, now, ahead), None)
    return entry._replace(ledger=_with(entry.ledger, rollout=rollout))


def ended_at(ledger: Ledger, event: Event, at: float | None) -> float | None:
    """When the replacement of an event ended, if that was observed; else `at`, the time of the event.

    The id of an event may have the time at which the replacement started.
    """
    last = ledger.last_rollout
    return last.ended if last is not None and event.id in last.ids else at


def _about(cursor: ReplacementCursor, named: Sequence[str], at: float | None, late: float = math.inf) -> bool:
    """Whether an event, or a record, belongs to this replacement: by the ids it names, else by its time.

    The record of a finished replacement is written under a new id. `late`: how long after the end that may be.
    """
    if {*named} & {*cursor.ids}:
        return True
    if at is None or (len(named) > 1 and len(cursor.ids) > 1):
        return False
    first = next((each for each in (cursor.created, cursor.before) if each is not None), cursor.since - _EARLY_SECONDS)
    until = math.inf if cursor.ended is None else cursor.ended + late
    return first - _SLACK_SECONDS <= at <= until


def _reported_end(event: Event, kind: EventKind, rollout: ReplacementCursor | None, now: float, ahead: float) -> _End:
    """The end of a replacement as its event reports it.

    The time in its id is that of its start or of its end; the last update is never before the end.
    """
    created, updated = models.timestamp(event.timestamp), models.timestamp(event.updated)
    at = created
    if created is not None and updated is not None and rollout is not None:
        ended = rollout.ended if rollout.ended is not None else now
        at = max(created, min(updated, ended + ahead))
    details = event.details
    statuses = details.proton_statuses if details is not None else None
    # The event of its end has the replacement's own id, unless it reports another.
    name = (details.replacement_id if details is not None else None) or event.id
    candidates = (details.candidate_proton_ids or ()) if details is not None else ()
    return _End(
        kind.removeprefix("replacement_"),
        tuple(dict.fromkeys((event.id, name, *candidates))),
        Mark(now, reported=at),
        None if at is None else at - ahead,
        name,
        observations.reported_pods(statuses or {}, now),
    )


def _corrected(ledger: Ledger, last: ReplacementCursor, end: _End) -> Ledger:
    """The ledger after an event reports how a replacement ended whose end is already counted, as inferred."""
    inferred = ledger.rollout_failed is not None and ledger.rollout_failed == last.ended
    ended = _with(last, ended=last.ended if end.at is None else end.at, inferred=False)
    pods = max(observations.failing(end.pods), ledger.failed_pods, key=_exits)
    after = _judged(_with(ledger, last_rollout=ended), ended, end.outcome, pods)
    if inferred and end.outcome == "cancelled":
        return _with(after, rollout_failed=None, failed_pods={})
    return after
