"""Opens and closes episodes as the workload list reports them: changes of the status, replacements and deletion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from exporter.api import models
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Proton
from exporter.fleet.episodes import (
    EMPTY_TRACKER,
    Episode,
    EpisodeKind,
    EpisodeTracker,
    Mark,
    StatusChange,
    closed,
    with_ended,
)

MAX_STATES = 64
"""Number of status changes that are kept of one episode, the first ones."""
MAX_START_SECONDS = 86400.0
"""A longer time from a proton's creation to its run means that it was stopped in between."""
_with = msgspec.structs.replace


# -- the status


def first_observed(workload: Workload, now: float, last: float | None, *, baseline: bool) -> EpisodeTracker:
    """The tracker of a newly observed workload; an episode in progress has an unknown beginning.

    `last`: the previous complete sweep, which did not list it; `baseline`: there was none.
    """
    status, group = models.folded(workload.status), models.status_group(workload.status)
    if baseline:
        kind = _IN_PROGRESS.get(group)
        if kind is None or status == "terminated":
            return EMPTY_TRACKER
        return _opened(EMPTY_TRACKER, kind, Mark(now), "", workload)
    if group not in ("starting", "up", "failed"):
        return EMPTY_TRACKER
    opened = Mark(now, last, models.timestamp(workload.created_at))
    started = _opened(EMPTY_TRACKER, "start", opened, "", workload)
    return started if group == "starting" else _moved(started, "starting", Mark(now, last), workload, "", expired=False)


_IN_PROGRESS: Mapping[str, EpisodeKind] = {"starting": "start", "leaving": "stop", "failed": "failure"}
_GROUPS: Mapping[EpisodeKind, str] = {kind: group for group, kind in _IN_PROGRESS.items()}


def listed(
    tracker: EpisodeTracker, before: tuple[str, str], workload: Workload, mark: Mark, *, expired: bool
) -> EpisodeTracker:
    """The tracker after a sweep listed `workload`. `before`: previous status and group; `expired`: a draft has ended.

    An unknown status starts and ends no episode.
    """
    status, group = before
    if models.folded(workload.status) == status or models.status_group(workload.status) == "indeterminate":
        return tracker
    return _moved(tracker, group, mark, workload, status, expired=expired)


def _moved(
    tracker: EpisodeTracker, group: str, mark: Mark, workload: Workload, before: str, *, expired: bool
) -> EpisodeTracker:
    """Close and open episodes for a change of the status; `before` and `group` are the previous status and group."""
    now, kind = models.status_group(workload.status), tracker.life.kind if tracker.life is not None else ""
    if models.folded(workload.status) == "terminated":
        if group == "up":
            tracker = _opened(tracker, "failure", mark, before, workload, run=True)
        return closed(tracker, mark, "success" if kind == "stop" else "failure", "terminated", workload)
    if now == "up":
        if group in ("off", "leaving"):  # stopped, and started again, between two sweeps
            tracker = closed(tracker, mark, "success", "stopped", workload)
            return closed(_opened(tracker, "start", mark, before, workload), mark, "success", "", workload)
        failed = kind == "failure"
        return closed(tracker, mark, "failure" if failed else "success", "recovered" if failed else "", workload)
    if now == "starting":
        if kind == "start":
            return _continued(tracker, mark, workload)
        tracker = closed(tracker, mark, "failure" if kind == "failure" else "success", "restarted", workload)
        return _opened(tracker, "start", mark, before, workload)
    if now == "failed":
        if kind == "failure":
            return _continued(tracker, mark, workload)
        tracker = closed(tracker, mark, "failure", "errored", workload)
        return _opened(tracker, "failure", mark, before, workload, run=group == "up")
    return _left(tracker, group, mark, workload, before, expired=expired)


def _left(
    tracker: EpisodeTracker, group: str, mark: Mark, workload: Workload, before: str, *, expired: bool
) -> EpisodeTracker:
    """Stopping, or stopped: that ends a start or a failure; the end of a run is an episode of its own."""
    status, life = models.folded(workload.status), tracker.life
    interrupted = status == "interrupted"
    if life is not None and life.kind != "stop":
        outcome = "failure" if life.kind == "failure" else "error" if interrupted else "cancellation"
        return closed(tracker, mark, outcome, status if interrupted else "stopped", workload)
    if life is None and group == "up":
        tracker = _opened(tracker, "stop", mark, before, workload, run=True)
    elif life is not None and models.status_group(status) == "leaving":
        return _continued(tracker, mark, workload)
    if models.status_group(status) == "leaving":
        return tracker
    outcome = "error" if interrupted else "cancellation" if expired else "success"
    return closed(tracker, mark, outcome, "draft_expired" if expired else status, workload)


def _opened(
    tracker: EpisodeTracker, kind: EpisodeKind, mark: Mark, before: str, workload: Workload, *, run: bool = False
) -> EpisodeTracker:
    """The tracker with a new episode of the status; `run`: it ends the known run if that belongs to this proton."""
    proton, since = workload.proton_id or "", ""
    if run and tracker.run[0] and proton in ("", tracker.run[0]):
        proton, since = tracker.run
    first = (StatusChange(models.folded(workload.status), mark),)
    states = first if models.status_group(workload.status) == _GROUPS[kind] else ()
    return _with(tracker, life=Episode(kind, mark, before, states, proton=proton, since=since))


def _continued(tracker: EpisodeTracker, mark: Mark, workload: Workload) -> EpisodeTracker:
    """The tracker with one more status of its open episode."""
    assert tracker.life is not None
    states = (*tracker.life.states, StatusChange(models.folded(workload.status), mark))
    return _with(tracker, life=_with(tracker.life, states=states[:MAX_STATES]))


# -- the deletion


def vanished(tracker: EpisodeTracker, mark: Mark) -> EpisodeTracker:
    """The tracker of a workload absent from two complete sweeps; `mark`: the first of them, and the sweep before."""
    kind = tracker.life.kind if tracker.life is not None else ""
    outcome = {"stop": "success", "failure": "failure"}.get(kind, "cancellation")
    tracker = replacement_ended(closed(tracker, mark, outcome, "deleted", None), "cancellation", mark, "deleted")
    deletion = Episode("deletion", mark, ended=mark, outcome="success", cause="deleted", proton=tracker.run[0])
    return _with(tracker, over=(*tracker.over, deletion))


def not_deleted(tracker: EpisodeTracker) -> EpisodeTracker:
    """The tracker of a workload that was assumed to be deleted, but was not: closed episodes continue."""
    tracker = _with(tracker, over=tuple(each for each in tracker.over if each.kind != "deletion"))
    for each in tracker.over:
        place = "rollout" if each.kind == "replacement" else "life"
        if each.cause == "deleted" and getattr(tracker, place) is None:
            again = _with(each, ended=None, outcome="", cause="")
            over = tuple(other for other in tracker.over if other is not each)
            tracker = _with(tracker, over=over, **{place: again})
    return tracker


# -- the replacement


def replacing(
    tracker: EpisodeTracker, ids: Sequence[str], status: str, mark: Mark, reported: Replacement | None
) -> EpisodeTracker:
    """The tracker while a replacement is in progress. `ids`: reported ids of the replacement and its candidates.

    `reported`: its record; None: another proton serves and no record was ever observed.
    """
    record = (reported.id or "") if reported is not None else ""
    candidates = tuple(i for i in ids if i != record)
    rollout = tracker.rollout
    if rollout is None:
        created = models.timestamp(reported.created_at) if reported is not None else None
        rollout = Episode("replacement", _with(mark, reported=created), replacement=record)
    states = rollout.states
    if status and (not states or states[-1].status != status):
        states = (*states, StatusChange(status, mark))[:MAX_STATES]
    after = _with(rollout, states=states, replacement=rollout.replacement or record, candidates=candidates)
    return tracker if after == tracker.rollout else _with(tracker, rollout=after)


def record_removed(tracker: EpisodeTracker, mark: Mark) -> EpisodeTracker:
    """The tracker after a replacement record disappeared: the replacement ended with unknown outcome."""
    rollout = tracker.rollout
    if rollout is None or rollout.ended is not None:
        return tracker
    return _with(tracker, rollout=_with(rollout, ended=mark))


def replacement_ended(
    tracker: EpisodeTracker, outcome: str, mark: Mark, cause: str, replacement: str = "", *, unobserved: bool = False
) -> EpisodeTracker:
    """The tracker after a replacement ended. `unobserved`: not the one known to be in progress.

    A replacement that was not observed started when it ended, as far as is known.
    """
    rollout = None if unobserved else tracker.rollout
    if rollout is None and not replacement:
        return tracker
    known = rollout if rollout is not None else Episode("replacement", mark)
    ended = mark if mark.reported is not None or known.ended is None else known.ended
    done = _with(known, ended=ended, outcome=outcome, cause=cause, replacement=known.replacement or replacement)
    return with_ended(tracker if unobserved else _with(tracker, rollout=None), done)


# -- the past


def recalled(
    tracker: EpisodeTracker,
    records: Iterable[Replacement],
    protons: Iterable[Proton],
    now: float,
    back: float,
    ahead: float = 0.0,
) -> EpisodeTracker:
    """The tracker with episodes from before the first observation, up to `back` seconds ago.

    `records`: the replacement history; of the protons, the start of the current run counts if it was the first. All
    times are as reported; `ahead`: seconds that the API's clock is ahead.
    """
    latest = now + ahead
    found: list[Episode] = []
    candidates: set[str] = set()
    about: dict[str, Any]
    for record in records:
        opened, ended = models.timestamp(record.created_at), models.timestamp(record.deleted_at or record.updated_at)
        cause, outcome = _RECORDED.get(models.folded(record.status), ("", ""))
        candidates.update(record.candidate_proton_ids or ())
        if opened is None or ended is None or not latest - back <= ended <= latest or not outcome or not record.id:
            continue
        about = {"replacement": record.id, "candidates": record.candidate_proton_ids or ()}
        found.append(_recalled("replacement", opened, ended, now, outcome=outcome, cause=cause, **about))
    for proton in protons:
        opened, ended = models.timestamp(proton.created_at), models.timestamp(proton.running_since)
        if opened is None or ended is None or not latest - back <= opened <= ended <= latest or proton.id in candidates:
            continue
        if ended - opened < MAX_START_SECONDS:
            about = {"outcome": "success", "after": "running", "proton": proton.id, "since": proton.running_since}
            found.append(_recalled("start", opened, ended, now, **about))
    return _with(tracker, over=(*tracker.over, *found)) if found else tracker


def _recalled(kind: EpisodeKind, opened: float, ended: float, now: float, **facts: Any) -> Episode:
    return Episode(kind, Mark(now, None, opened), ended=Mark(now, None, ended), recalled=True, **facts)


_RECORDED = {
    "completed": ("completed", "success"),
    "errored": ("errored", "failure"),
    "failed": ("errored", "failure"),
    "cancelled": ("cancelled", "cancellation"),
    "canceled": ("cancelled", "cancellation"),
}
"""The end cause and outcome of a replacement of the history, as if it had been observed."""
