"""Totals of a workload that survive restarts: the only durable record of a workload.

A ledger holds totals together with the cursors they were counted with (event ids, restart counts of pods, last status
and replacement). Writing it in one go keeps both consistent: nothing is counted twice. The first observation is the
baseline: what happened before does not count. All times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from exporter.api import models
from exporter.api.details import Event, EventKind, SharedRole, event_kind
from exporter.api.models import Replacement, Workload
from exporter.api.pods import UNLISTED, Pods, container_name, terminated_reason
from exporter.fleet import episodes
from exporter.fleet.episodes import EpisodeTracker, Mark, Stored

TRANSITIONS = (
    "started ready errored recovered stopped suspended interrupted terminated draft_expired "
    "replaced reverted vanished reappeared"
).split()
OUTCOMES = ("completed", "errored", "reverted", "cancelled")
DURATION_BUCKETS = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0)
JUDGED_AFTER = 60.0
"""How long an event may lag behind the end of a replacement before the end is judged without one."""
UNTOLD_AFTER = 300.0
"""How long a replacement's end waits for events that cannot be read."""
KEPT_IDS, POD_KEPT = 200, 600.0
ENDED = {
    "completed": "completed",
    "errored": "errored",
    "failed": "errored",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
"""Statuses of a replacement that is over, and how it ended. A server may keep such a record on the workload."""


class Rollout(Stored, frozen=True):
    """A replacement under way, or over but not judged yet; `proton` is the one that served before it."""

    since: float
    ids: tuple[str, ...] = ()
    proton: str = ""
    status: str = ""
    ended: float | None = None
    counted: bool = False
    whole: bool = True
    """Whether its beginning was observed, so that its duration is known."""


class Pod(Stored, frozen=True):
    """One container of one pod as last read; `missing`: since when it is no longer listed.

    `proton`: the proton of the pod; empty if written by an older version.
    """

    restarts: int = 0
    finished: str = ""
    missing: float | None = None
    proton: str = ""


class Ledger(Stored, frozen=True):
    """Totals and cursors of one workload. `since`: when the current status was first observed.

    `unread`: protons whose pods were never read because requests failed; `UNLISTED` for protons missing from the list.
    """

    first: float
    since: float
    name: str = ""
    status: str = "unknown"
    group: str = ""
    proton: str = ""
    artifact: str = ""
    begun: float | None = None
    failed: bool = False
    transitions: Mapping[str, int] = {}
    rollout: Rollout | None = None
    judged: tuple[str, ...] = ()
    rollout_failed: float | None = None
    outcomes: Mapping[str, int] = {}
    seen_events: tuple[str, ...] | None = None
    events: Mapping[str, int] = {}
    newest: Mapping[str, float] = {}
    pods: Mapping[str, Pod] | None = None
    unread: tuple[str, ...] = ()
    restarts: Mapping[str, int] = {}
    terminations: Mapping[str, Mapping[str, int]] = {}
    resets: int = 0
    reset_at: float | None = None
    grants: tuple[str, ...] | None = None
    sharing_changes: int = 0
    gone: float | None = None
    tracker: EpisodeTracker = msgspec.field(name="course", default=EpisodeTracker())


class Durations(Stored, frozen=True):
    """A histogram: counts by bucket of `DURATION_BUCKETS` and one above, and the sum in seconds."""

    counts: tuple[int, ...] = (0,) * (len(DURATION_BUCKETS) + 1)
    sum: float = 0.0

    def with_one(self, seconds: float) -> Durations:
        """The histogram after one more value."""
        place = next((n for n, bound in enumerate(DURATION_BUCKETS) if seconds <= bound), len(DURATION_BUCKETS))
        counts = tuple(count + (n == place) for n, count in enumerate(self.counts))
        return Durations(counts, self.sum + seconds)


class Tally(Stored, frozen=True):
    """What is counted for an account as a whole: how long starts and replacements took."""

    starts: Durations = Durations()
    replacements: Durations = Durations()

    def after(self, entry: Entry) -> Tally:
        """The tally with the durations of an entry."""
        starts, replacements = self.starts, self.replacements
        if entry.start_seconds is not None:
            starts = starts.with_one(entry.start_seconds)
        if entry.replacement_seconds is not None:
            replacements = replacements.with_one(entry.replacement_seconds)
        return self if (starts, replacements) == (self.starts, self.replacements) else Tally(starts, replacements)


class Entry(NamedTuple):
    """A ledger after something was read, and the durations that ended with it."""

    ledger: Ledger
    start_seconds: float | None = None
    replacement_seconds: float | None = None


def _plus(counts: Mapping[str, int], *names: str) -> Mapping[str, int]:
    return counts if not names else {**counts, **{name: counts.get(name, 0) + names.count(name) for name in names}}


def replacement_active(workload: Workload) -> bool:
    """Whether the API reports a replacement in progress."""
    told = workload.replacement
    return told is not None and models.folded(told.status) not in ENDED


# -- the workload list


def first_sight(workload: Workload, now: float, *, baseline: bool, last: float | None = None) -> Ledger:
    """The ledger of a newly observed workload; `baseline`: found by the first sweep, so nothing counts as new.

    `last`: the previous complete sweep.
    """
    group = models.status_group(workload.status)
    ids = _record_ids(workload)
    ledger = Ledger(
        now,
        now,
        workload.name or "",
        models.folded(workload.status),
        "" if group == "indeterminate" else group,
        workload.proton_id or "",
        _artifact_status(workload),
        failed=group == "failed" and models.folded(workload.status) != "terminated",
        judged=() if replacement_active(workload) else ids,
        tracker=episodes.first_sight(workload, now, last, baseline=baseline),
    )
    if replacement_active(workload):
        rollout = Rollout(now, ids, workload.proton_id or "", _record_status(workload), whole=False)
        ledger = _rolling(ledger, rollout, Mark(now, None if baseline else last), workload.replacement)
    if baseline or group != "starting":
        return ledger
    created = models.timestamp(workload.created_at)
    begun = created if created is not None and created <= now else now
    return msgspec.structs.replace(ledger, begun=begun, transitions={"started": 1})


def listed(
    ledger: Ledger, workload: Workload, now: float, expiry: float | None = None, last: float | None = None
) -> Entry:
    """The ledger after a sweep listed `workload`. `expiry`: when the platform stops a draft; `last`: the previous
    sweep.

    An unknown status does not change the group: it is neither healthy nor failed.
    """
    status, told = models.folded(workload.status), models.status_group(workload.status)
    group = ledger.group if told == "indeterminate" else told
    happened = [] if told == "indeterminate" else [*_happened(ledger, status, group, now, expiry)]
    begun, took = ledger.begun, None
    if "started" in happened:
        begun = now
    if group == "up" and begun is not None:
        took = now - begun if ledger.group == "starting" else None
        begun = None
    elif group in ("off", "leaving"):
        begun = None
    failed = (ledger.failed or (group == "failed" and status != "terminated")) and group not in ("up", "off")
    artifact = _artifact_status(workload)
    promoted = ledger.artifact == "draft" and artifact == "locked"
    mark, expired = Mark(now, last), "draft_expired" in happened
    after = msgspec.structs.replace(
        ledger,
        tracker=episodes.listed(ledger.tracker, (ledger.status, ledger.group), workload, mark, expired=expired),
        since=ledger.since if status == ledger.status else now,
        name=workload.name or "",
        status=status,
        group=group,
        artifact=artifact,
        begun=begun,
        failed=failed,
        transitions=_plus(ledger.transitions, *happened),
        resets=ledger.resets + promoted,
        reset_at=now if promoted else ledger.reset_at,
    )
    entry = _rolled(after, workload, mark, stayed_up=ledger.group == group == "up")
    final = msgspec.structs.replace(entry.ledger, proton=workload.proton_id or ledger.proton)
    return Entry(ledger if final == ledger else final, took, entry.replacement_seconds)


def _happened(ledger: Ledger, status: str, group: str, now: float, expiry: float | None) -> Iterable[str]:
    before = ledger.group
    if group in ("starting", "up"):
        if before in ("off", "leaving") or (group, before) == ("starting", "failed"):
            yield "started"
        if group == "up" and before in ("off", "leaving", "starting"):
            yield "ready"
        if group == "up" and ledger.failed:
            yield "recovered"
    elif status != ledger.status and group in ("failed", "off"):
        yield from _ended(before, status, group)
        if status == "stopped" and expiry is not None and now >= expiry - 60:
            yield "draft_expired"


def _ended(before: str, status: str, group: str) -> Iterable[str]:
    if group == "off" or status == "terminated":
        yield status
    elif before != "failed":
        yield "errored"


def vanished(ledger: Ledger, now: float, mark: Mark | None = None) -> Ledger:
    """The ledger of a workload found absent from two complete sweeps in a row; `mark`: when it first was."""
    tracker = episodes.vanished(ledger.tracker, mark or Mark(now))
    transitions = _plus(ledger.transitions, "vanished")
    return msgspec.structs.replace(ledger, transitions=transitions, gone=now, tracker=tracker)


def reappeared(ledger: Ledger) -> Ledger:
    """The ledger of a workload that had vanished and is listed again."""
    transitions = _plus(ledger.transitions, "reappeared")
    return msgspec.structs.replace(ledger, transitions=transitions, gone=None, tracker=_resumed(ledger.tracker))


def hidden(ledger: Ledger) -> Ledger:
    """The ledger of a workload that had vanished and is there, but not shown to us any more: it was not deleted."""
    return msgspec.structs.replace(ledger, tracker=_resumed(ledger.tracker))


def _resumed(tracker: EpisodeTracker) -> EpisodeTracker:
    """The tracker of a workload that was not deleted: episodes closed by the assumed deletion continue."""
    tracker = episodes.reappeared(tracker)
    for each in tracker.over:
        place = "rollout" if each.kind == "replacement" else "life"
        if each.cause == "deleted" and getattr(tracker, place) is None:
            again = msgspec.structs.replace(each, ended=None, outcome="", cause="")
            over = tuple(other for other in tracker.over if other is not each)
            tracker = msgspec.structs.replace(tracker, over=over, **{place: again})
    return tracker


def deleted(ledger: Ledger) -> bool:
    """Whether the deletion of the workload still has to be reported."""
    return any(each.kind == "deletion" for each in ledger.tracker.over)


def _artifact_status(workload: Workload) -> str:
    return models.folded(workload.artifact.status) if workload.artifact is not None else ""


# -- replacements


def _record_ids(workload: Workload) -> tuple[str, ...]:
    told = workload.replacement
    return () if told is None else tuple(filter(None, (told.id, *(told.candidate_proton_ids or ()))))


def _record_status(workload: Workload) -> str:
    return models.folded(workload.replacement.status) if workload.replacement is not None else ""


def _rolling(ledger: Ledger, rollout: Rollout, mark: Mark, told: Replacement | None) -> Ledger:
    """The ledger while a replacement is under way."""
    tracker = episodes.rolling(ledger.tracker, rollout.ids, rollout.status, mark, told)
    return msgspec.structs.replace(ledger, rollout=rollout, tracker=tracker)


def _rolled(ledger: Ledger, workload: Workload, mark: Mark, *, stayed_up: bool) -> Entry:
    """Follow the replacement record, which the workload's status does not show.

    A finished record has an outcome. A record that disappears may mean success or a silent revert: an event decides, or
    else whether another proton serves than before.
    """
    rollout, ids, status, now = ledger.rollout, _record_ids(workload), _record_status(workload), mark.at
    serving = workload.proton_id or ""
    if replacement_active(workload):
        if rollout is not None and rollout.ended is None and (not ids or not rollout.ids or {*ids} & {*rollout.ids}):
            known = tuple(dict.fromkeys((*rollout.ids, *ids)))
            kept = msgspec.structs.replace(rollout, ids=known, status=status)
            if kept == rollout:
                return Entry(ledger)
            if kept.counted:
                return Entry(msgspec.structs.replace(ledger, rollout=kept))
            return Entry(_rolling(ledger, kept, mark, workload.replacement))
        entry = _judged(ledger, serving, now) if rollout is not None else Entry(ledger)
        return entry._replace(
            ledger=_rolling(entry.ledger, Rollout(now, ids, serving, status), mark, workload.replacement)
        )
    if status in ENDED and not (ids and {*ids} <= {*ledger.judged}) and (ids or rollout is not None):
        if rollout is not None and rollout.counted:
            return Entry(msgspec.structs.replace(ledger, rollout=None, judged=_with(ledger.judged, ids)))
        return _count(ledger, ENDED[status], ids, mark, rollout)
    if rollout is None:
        unseen = stayed_up and ledger.proton and serving and ledger.proton != serving
        if unseen and not {serving} & {*ledger.judged}:
            # Another proton serves without a record: a replacement between two sweeps.
            missed = Rollout(now, (serving,), ledger.proton, ended=now, whole=False)
            return Entry(_faded(_rolling(ledger, missed, mark, None), mark))
        return Entry(ledger)
    if rollout.ended is None:
        ended = None if rollout.counted else msgspec.structs.replace(rollout, ended=now)
        return Entry(_faded(msgspec.structs.replace(ledger, rollout=ended), mark))
    return _judged(ledger, serving, now) if now - rollout.ended >= UNTOLD_AFTER else Entry(ledger)


def _faded(ledger: Ledger, mark: Mark) -> Ledger:
    return msgspec.structs.replace(ledger, tracker=episodes.faded(ledger.tracker, mark))


def _judged(ledger: Ledger, serving: str, now: float) -> Entry:
    """Count a replacement whose end no event reported."""
    rollout = ledger.rollout
    if rollout is None or rollout.counted:
        return Entry(msgspec.structs.replace(ledger, rollout=None))
    if serving and rollout.proton and serving != rollout.proton:
        outcome = "completed"
    else:
        outcome = "cancelled" if rollout.status in ("canceling", "cancelling", "deleting") else "reverted"
    return _count(ledger, outcome, rollout.ids, Mark(rollout.ended or now), rollout)


_EPISODES = {"completed": "success", "errored": "failure", "reverted": "failure", "cancelled": "cancellation"}


def _count(
    ledger: Ledger, outcome: str, ids: Sequence[str], mark: Mark, rollout: Rollout | None, name: str = ""
) -> Entry:
    """Count the end of a replacement, at `mark`; `name`: its id, where that is not the first of `ids`."""
    transition = {"completed": "replaced", "errored": "reverted", "reverted": "reverted"}.get(outcome)
    known = (*ids, *(rollout.ids if rollout is not None else ()))
    at = mark.at if mark.told is None else mark.told
    unseen = rollout is None and ledger.rollout is not None
    name = name or next(iter(ids), "")
    after = msgspec.structs.replace(
        ledger,
        outcomes=_plus(ledger.outcomes, outcome),
        transitions=_plus(ledger.transitions, *([transition] if transition else [])),
        judged=_with(ledger.judged, known),
        rollout=None,
        rollout_failed=at if transition == "reverted" else ledger.rollout_failed,
        tracker=episodes.rolled(ledger.tracker, _EPISODES[outcome], mark, outcome, name, unseen=unseen),
    )
    whole = rollout is not None and rollout.whole and outcome == "completed"
    return Entry(after, None, max(0.0, at - rollout.since) if rollout is not None and whole else None)


def _with(judged: tuple[str, ...], ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*judged, *ids)))[-20:]


# -- events


def told_events(ledger: Ledger, events: Sequence[Event], serving: str, now: float) -> Entry:
    """The ledger after events were read, in any order. `serving`: the proton that serves now.

    Each id counts once. On the first read, events from before the first observation are the baseline.
    """
    known = frozenset(ledger.seen_events or ())
    tracker = episodes.told_events(ledger.tracker, events, known, now)
    ledger = ledger if tracker is ledger.tracker else msgspec.structs.replace(ledger, tracker=tracker)
    fresh = {event.id: event for event in events if event.id not in known}
    ordered = sorted(fresh.values(), key=lambda event: (models.timestamp(event.timestamp) or 0.0, event.id))
    entry = Entry(ledger)
    for event in ordered:
        at = models.timestamp(event.timestamp)
        news = ledger.seen_events is not None or (at is not None and at > ledger.first)
        after = _told(entry.ledger, event_kind(event), event, at, news=news, now=now)
        entry = Entry(after.ledger, None, after.replacement_seconds or entry.replacement_seconds)
    rollout = entry.ledger.rollout
    if rollout is not None and rollout.ended is not None and now - rollout.ended >= JUDGED_AFTER:
        after = _judged(entry.ledger, serving, now)
        entry = Entry(after.ledger, None, after.replacement_seconds or entry.replacement_seconds)
    if not fresh and ledger.seen_events is not None:
        return entry
    ids = tuple(dict.fromkeys((*(ledger.seen_events or ()), *(event.id for event in ordered))))[-KEPT_IDS:]
    return entry._replace(ledger=msgspec.structs.replace(entry.ledger, seen_events=ids))


def _told(ledger: Ledger, kind: EventKind, event: Event, at: float | None, *, news: bool, now: float) -> Entry:
    newest = ledger.newest
    if at is not None and at > newest.get(kind, 0.0):
        newest = {**newest, kind: at}
    ledger = msgspec.structs.replace(ledger, newest=newest, events=_plus(ledger.events, *([kind] if news else [])))
    if kind not in ("replacement_completed", "replacement_errored"):
        return Entry(ledger)
    details = event.details
    named = tuple(filter(None, (details.replacement_id, *(details.candidate_proton_ids or ())))) if details else ()
    ids = tuple(dict.fromkeys((event.id, *named)))
    rollout = ledger.rollout
    about = rollout is not None and _about(rollout, named, at)
    if {*ids} & {*ledger.judged} or (rollout is not None and about and rollout.counted):
        return Entry(msgspec.structs.replace(ledger, judged=_with(ledger.judged, ids)))
    if not (news or about):
        return Entry(msgspec.structs.replace(ledger, judged=_with(ledger.judged, ids)))
    # The event of its end has the replacement's own id, unless it reports another.
    name = (details.replacement_id if details is not None else None) or event.id
    outcome, mark = kind.removeprefix("replacement_"), Mark(now, told=at)
    entry = _count(ledger, outcome, ids, mark, rollout if about else None, name)
    if rollout is not None and not about:
        return entry._replace(ledger=msgspec.structs.replace(entry.ledger, rollout=rollout))
    if rollout is not None and rollout.ended is None:
        # The event arrived before the record disappeared: remember that its end is counted.
        counted = msgspec.structs.replace(rollout, counted=True)
        return entry._replace(ledger=msgspec.structs.replace(entry.ledger, rollout=counted))
    return entry


def _about(rollout: Rollout, named: Sequence[str], at: float | None) -> bool:
    """Whether an event belongs to this replacement: by the ids it names, else by its time."""
    if {*named} & {*rollout.ids}:
        return True
    late = at is not None and at >= rollout.since - 60
    return late and (len(named) < 2 or len(rollout.ids) < 2)


# -- pods


def told_pods(ledger: Ledger, told: Pods, now: float) -> Ledger:
    """The ledger after the pods were read: restarts and terminations of containers, across replaced pods.

    A pod that appears later counts in full, at the first read it is the baseline; a lower count means a restarted
    container. A pod no longer listed is remembered for a while: lists are briefly empty at times. Pods of a proton that
    could not be read stay as they were; its first read is its own baseline.
    """
    before = ledger.pods or {}
    read = {pod.proton for pod in before.values()}
    pods: dict[str, Pod] = {}
    restarts = dict(ledger.restarts)
    ends = {container: dict(reasons) for container, reasons in ledger.terminations.items()}
    tracker = ledger.tracker
    for proton, replica in told.replicas():
        began = models.timestamp(replica.started_at)
        for container in replica.containers or ():
            name = container_name(container.name, proton.id)
            key = f"{replica.name or ''}/{name}"
            last = container.last_state
            count = container.restart_count
            finished = (last.finished_at if last is not None else None) or ""
            known = before.get(key)
            first = ledger.pods is None or (proton.id not in read and {proton.id, UNLISTED} & {*ledger.unread})
            new = known is None and (not first or (began is not None and began > ledger.first))
            was = known.restarts if known is not None else 0 if new else (count or 0)
            ended = known.finished if known is not None else "" if new else finished
            restarts.setdefault(name, 0)
            if count is not None:
                restarts[name] += count - was if count >= was else count
            reason = terminated_reason(container)
            if finished and finished != ended and reason is not None:
                reasons = ends.setdefault(name, {})
                reasons[reason] = reasons.get(reason, 0) + 1
                if ledger.group == "up" and reason != "Completed":
                    tracker = episodes.crashed(tracker, replica.name or "", container, now)
            if container.reason is not None or last is not None:
                ends.setdefault(name, {}).setdefault("OOMKilled", 0)
            pods[key] = Pod(was if count is None else count, finished or ended, None, proton.id)
    pods |= _not_listed({key: pod for key, pod in before.items() if key not in pods}, told, now)
    tracker = episodes.told_pods(tracker, told, ledger.proton, now)
    unread = tuple(sorted(proton for proton in told.unread if proton == UNLISTED or proton not in read))
    counted = {"pods": pods, "unread": unread, "restarts": restarts, "terminations": ends}
    after = msgspec.structs.replace(ledger, **counted, tracker=tracker)
    return ledger if after == ledger else after


def _not_listed(pods: Mapping[str, Pod], told: Pods, now: float) -> dict[str, Pod]:
    """Those to remember of the pods that were not read this time."""
    found = {}
    for key, pod in pods.items():
        if _unread(pod, told):
            found[key] = pod
        elif pod.missing is None or now - pod.missing < POD_KEPT:
            found[key] = pod if pod.missing is not None else msgspec.structs.replace(pod, missing=now)
    return found


def _unread(pod: Pod, told: Pods) -> bool:
    """Whether a pod may be there though it was not read: its proton could not be read, or is not in a whole list."""
    if not told.unread or not pod.proton:
        return bool(told.unread)
    if pod.proton in told.unread:
        return True
    return not told.complete and all(proton.id != pod.proton for proton in told.protons)


# -- sharing and statistics


def told_grants(ledger: Ledger, grants: Sequence[SharedRole], marks: Sequence[str]) -> Ledger:
    """The ledger after the grants were read; `marks` are hashes that distinguish grants without naming anyone."""
    assert len(grants) == len(marks)
    now, before = tuple(sorted(marks)), ledger.grants
    if now == before:
        return ledger
    changes = 0 if before is None else max(len({*now} - {*before}), len({*before} - {*now}))
    return msgspec.structs.replace(ledger, grants=now, sharing_changes=ledger.sharing_changes + changes)


def told_reset(ledger: Ledger, now: float) -> Ledger:
    """The ledger after the statistics were reset."""
    return msgspec.structs.replace(ledger, resets=ledger.resets + 1, reset_at=now)
