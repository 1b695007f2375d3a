"""Derives the next ledger of a workload: (ledger, what was read, time) -> ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exporter.api import models
from exporter.api.details import REPLACEMENT_ENDS, Event, SharedRole, event_kind
from exporter.api.models import Workload
from exporter.api.pods import UNLISTED, Pods, container_name, stopped, terminated_reason
from exporter.fleet import observations, replacements, transitions
from exporter.fleet.episodes import EMPTY_TRACKER, Mark
from exporter.fleet.history import MAX_ENTRIES, event_entry, with_entry
from exporter.fleet.ledger import SOME_RESTARTS, ContainerCursor, Entry, Ledger, container_label, plus

MAX_EVENT_IDS = 200
MISSING_POD_SECONDS = 600.0
"""How long complete reports must lack a pod until it is forgotten."""


# -- the workload list


def first_observed(
    workload: Workload, now: float, *, baseline: bool, last: float | None = None, ahead: float = 0.0
) -> Ledger:
    """The ledger of a newly observed workload; `baseline`: found by the first sweep, so nothing counts as new.

    `last`: the previous complete sweep. `ahead`: seconds that the API's clock is ahead.
    """
    group = models.status_group(workload.status)
    replaced = baseline and group == "starting" and replacements.replacement_active(workload)
    group = "up" if replaced else group
    ids = replacements.record_ids(workload)
    ledger = Ledger(
        now,
        now,
        workload.name or "",
        models.folded(workload.status),
        "" if group == "indeterminate" else group,
        workload.proton_id or "",
        _artifact_status(workload),
        starting=now if group == "starting" else None,
        failed=group == "failed" and models.folded(workload.status) != "terminated",
        counted_ids=() if replacements.replacement_active(workload) else ids,
        tracker=EMPTY_TRACKER if replaced else transitions.first_observed(workload, now, last, baseline=baseline),
    )
    ledger = replacements.first_observed(ledger, workload, Mark(now, None if baseline else last), ahead)
    if baseline or group != "starting":
        return ledger
    created = models.timestamp(workload.created_at)
    begun = now if created is None else min(now, created - ahead)
    return msgspec.structs.replace(ledger, begun=begun, transitions={"started": 1})


def listed(
    ledger: Ledger,
    workload: Workload,
    now: float,
    expiry: float | None = None,
    last: float | None = None,
    ahead: float = 0.0,
) -> Entry:
    """The ledger after a sweep listed `workload`.

    `expiry`: when the platform stops a draft; `last`: the previous complete sweep; `ahead`: seconds that the API's
    clock is ahead. An unknown status does not change the group: it is neither healthy nor failed.
    """
    status, reported = models.folded(workload.status), models.status_group(workload.status)
    group = ledger.group if reported == "indeterminate" or _is_replaced(ledger, workload) else reported
    happened = [] if reported == "indeterminate" else [*_happened(ledger, status, group, now, expiry)]
    begun, took = ledger.begun, None
    if "started" in happened:
        begun = now
    if group == "up" and begun is not None:
        took = now - begun if ledger.group == "starting" else None
        begun = None
    elif group in ("off", "leaving"):
        begun = None
    failed = (ledger.failed or (group == "failed" and status != "terminated")) and group not in ("up", "off")
    # A start goes on while its status changes to errored and back.
    starting = ledger.starting if group in ("starting", "failed") else None
    starting = now if group == "starting" and starting is None else starting
    artifact = _artifact_status(workload)
    promoted = ledger.artifact == "draft" and artifact == "locked"
    mark, expired = Mark(now, last), "draft_expired" in happened
    tracker = ledger.tracker
    if group == reported:
        before = (ledger.status, ledger.group)
        tracker = transitions.listed(tracker, before, workload, mark, expired=expired)
    after = msgspec.structs.replace(
        ledger,
        tracker=tracker,
        since=ledger.since if status == ledger.status else now,
        name=workload.name or "",
        status=status,
        group=group,
        artifact=artifact,
        begun=begun,
        starting=starting,
        failed=failed,
        transitions=plus(ledger.transitions, *happened),
        resets=ledger.resets + promoted,
        reset_at=now if promoted else ledger.reset_at,
    )
    entry = replacements.followed(after, workload, mark, stayed_up=ledger.group == group == "up", ahead=ahead)
    final = msgspec.structs.replace(entry.ledger, proton=workload.proton_id or ledger.proton)
    return Entry(ledger if final == ledger else final, took, entry.replacement_seconds)


def _is_replaced(ledger: Ledger, workload: Workload) -> bool:
    """Whether a starting status is that of a replacement: the workload was up and was not started."""
    if ledger.group != "up" or models.status_group(workload.status) != "starting":
        return False
    return ledger.rollout is not None or replacements.replacement_active(workload)


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
    tracker = transitions.vanished(ledger.tracker, mark or Mark(now))
    counts = plus(ledger.transitions, "vanished")
    return msgspec.structs.replace(ledger, transitions=counts, gone=now, tracker=tracker)


def reappeared(ledger: Ledger) -> Ledger:
    """The ledger of a vanished workload that is listed again."""
    counts = plus(ledger.transitions, "reappeared")
    tracker = transitions.not_deleted(ledger.tracker)
    return msgspec.structs.replace(ledger, transitions=counts, gone=None, tracker=tracker)


def hidden(ledger: Ledger) -> Ledger:
    """The ledger of a workload that vanished from the list but still exists: this token may no longer read it."""
    return msgspec.structs.replace(ledger, tracker=transitions.not_deleted(ledger.tracker))


def deleted(ledger: Ledger) -> bool:
    """Whether the deletion of the workload still has to be reported."""
    return any(each.kind == "deletion" for each in ledger.tracker.over)


def _artifact_status(workload: Workload) -> str:
    return models.folded(workload.artifact.status) if workload.artifact is not None else ""


# -- events


def with_events(ledger: Ledger, events: Sequence[Event], serving: str, now: float, ahead: float = 0.0) -> Entry:
    """The ledger after events were read, in any order. `serving`: the proton that serves now.

    `ahead`: seconds that the API's clock is ahead.

    Each id counts once. On the first read, events from before the first observation are the baseline.
    """
    known = frozenset(ledger.seen_events or ())
    tracker = observations.with_events(ledger.tracker, events, known, now, ahead)
    ledger = ledger if tracker is ledger.tracker else msgspec.structs.replace(ledger, tracker=tracker)
    fresh = {event.id: event for event in events if event.id not in known}
    ordered = sorted(fresh.values(), key=lambda event: (models.timestamp(event.timestamp) or 0.0, event.id))
    entry = Entry(ledger)
    for event in ordered:
        reported = models.timestamp(event.timestamp)
        at = reported - ahead if reported is not None else None
        kind = event_kind(event)
        news = ledger.seen_events is not None or (at is not None and at > ledger.first)
        counts = plus(entry.ledger.events, *([kind] if news else []))
        after = Entry(msgspec.structs.replace(entry.ledger, events=counts))
        if kind in REPLACEMENT_ENDS:
            after = replacements.with_event(after.ledger, kind, event, news=news, now=now, ahead=ahead)
            at = replacements.ended_at(after.ledger, event, at)
        newest = after.ledger.newest
        if at is not None and at > newest.get(kind, 0.0):
            newest = {**newest, kind: at}
        counted = msgspec.structs.replace(after.ledger, newest=newest)
        entry = Entry(counted, None, after.replacement_seconds or entry.replacement_seconds)
    after = replacements.concluded(entry.ledger, serving, now)
    entry = Entry(after.ledger, None, after.replacement_seconds or entry.replacement_seconds)
    if not fresh and ledger.seen_events is not None:
        return entry
    ids = tuple(dict.fromkeys((*(ledger.seen_events or ()), *(event.id for event in ordered))))[-MAX_EVENT_IDS:]
    history = entry.ledger.history
    for event in ordered[-MAX_ENTRIES:]:
        reported = models.timestamp(event.timestamp)
        if reported is not None:
            history = with_entry(history, event_entry(reported - ahead, event.reported_type, event.text), now)
    return entry._replace(ledger=msgspec.structs.replace(entry.ledger, seen_events=ids, history=history))


# -- pods


def with_pods(ledger: Ledger, read: Pods, now: float, ahead: float = 0.0) -> Ledger:
    """The ledger after the pods were read: restarts and terminations of containers, across replaced pods.

    `ahead`: seconds that the API's clock is ahead.

    A pod that appears later counts in full, at the first read it is the baseline; a lower count means a restarted
    container. A pod no longer listed is remembered for a while: lists are briefly empty at times. Pods of a proton that
    could not be read, or of which the platform reports none (204), stay as they were; its first report is its own
    baseline.
    """
    before = ledger.pods or {}
    known_protons = {pod.proton for pod in before.values()}
    pods: dict[str, ContainerCursor] = {}
    restarts = dict(ledger.restarts)
    ends = {container: dict(reasons) for container, reasons in ledger.terminations.items()}
    tracker = ledger.tracker
    for proton, replica in read.replicas():
        began = models.timestamp(replica.started_at)
        for container in replica.containers or ():
            name = container_name(container.name, proton.id)
            if not name:
                continue  # it is not known which container it is
            key = f"{replica.name or ''}/{name}"
            label = container_label(restarts, name)
            last = container.last_state
            count = container.restarts
            finished = (last.finished_at if last is not None else None) or ""
            known = before.get(key)
            first = ledger.pods is None or (proton.id not in known_protons and {proton.id, UNLISTED} & {*ledger.unread})
            new = known is None and (not first or (began is not None and began - ahead > ledger.first))
            was = known.restarts if known is not None else 0 if new else (count or 0)
            ended = known.finished if known is not None else "" if new else finished
            restarts.setdefault(label, 0)
            more = 0 if count is None else count - was if count >= was else count
            restarts[label] += more
            restarted = (*(known.restarted if known is not None else ()), *([now] if more else []))
            reason = None if stopped(proton, container) else terminated_reason(container)
            if finished and finished != ended and reason is not None:
                reasons = ends.setdefault(label, {})
                reasons[reason] = reasons.get(reason, 0) + 1
                if ledger.group == "up" and reason != "Completed":
                    tracker = observations.with_crash(tracker, replica.name or "", container, now)
            if container.reason is not None or last is not None:
                ends.setdefault(label, {}).setdefault("OOMKilled", 0)
            pods[key] = ContainerCursor(
                was if count is None else count, finished or ended, None, proton.id, restarted[-SOME_RESTARTS:]
            )
    pods |= _not_listed({key: pod for key, pod in before.items() if key not in pods}, read, now)
    tracker = observations.with_pods(tracker, read, ledger.proton, now)
    missing = {*read.unread, *(proton for proton, snapshot in read.details.items() if snapshot is None)}
    unread = tuple(sorted(proton for proton in missing if proton == UNLISTED or proton not in known_protons))
    counted = {"pods": pods, "unread": unread, "restarts": restarts, "terminations": ends}
    after = msgspec.structs.replace(ledger, **counted, tracker=tracker)
    return ledger if after == ledger else after


def _not_listed(pods: Mapping[str, ContainerCursor], read: Pods, now: float) -> dict[str, ContainerCursor]:
    """The pods to remember although they were not read this time."""
    found = {}
    for key, pod in pods.items():
        if _unread(pod, read):
            # Only the time counts for which complete reports lack it.
            found[key] = pod if pod.missing is None else msgspec.structs.replace(pod, missing=None)
        elif pod.missing is None or now - pod.missing < MISSING_POD_SECONDS:
            found[key] = pod if pod.missing is not None else msgspec.structs.replace(pod, missing=now)
    return found


def _unread(pod: ContainerCursor, read: Pods) -> bool:
    """Whether a pod may exist though it was not read: its proton has no report, or is not in an incomplete list."""
    if not pod.proton:
        return bool(read.unread) or None in read.details.values()
    if pod.proton in read.details or pod.proton in read.unread:
        return read.details.get(pod.proton) is None
    return not read.complete


# -- sharing and statistics


def with_grants(ledger: Ledger, grants: Sequence[SharedRole], marks: Sequence[str]) -> Ledger:
    """The ledger after the grants were read; `marks` are hashes that distinguish grants without naming anyone."""
    assert len(grants) == len(marks)
    now, before = tuple(sorted(marks)), ledger.grants
    if now == before:
        return ledger
    changes = 0 if before is None else max(len({*now} - {*before}), len({*before} - {*now}))
    return msgspec.structs.replace(ledger, grants=now, sharing_changes=ledger.sharing_changes + changes)


def with_reset(ledger: Ledger, now: float) -> Ledger:
    """The ledger after the statistics were reset."""
    return msgspec.structs.replace(ledger, resets=ledger.resets + 1, reset_at=now)
