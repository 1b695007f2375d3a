"""Applies one API response about one workload: (workload state, part, value, now) -> workload state.

Each part of `exporter.fleet.polling.DETAIL_PARTS` has its row in `_MERGES`. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from exporter.api import models
from exporter.api.details import SharedRole
from exporter.fleet import counting, objective_counts, serving, usage, workload_state
from exporter.fleet.ledger import Entry, Ledger
from exporter.fleet.objective_counts import ObjectiveCounts, RequestCount
from exporter.fleet.workload_state import WINDOWS, Details, Window, WorkloadState


class Shared(NamedTuple):
    """The grants of a workload, and hashes that distinguish grants without naming anyone."""

    grants: tuple[SharedRole, ...]
    marks: tuple[str, ...]


def received(state: WorkloadState, part: str, value: Any, now: float) -> tuple[WorkloadState, Entry]:
    """The workload state after a response for `part`: its details, and additions to the totals.

    Pods without those of the serving proton are used, but not fresh.
    """
    details, entry = _MERGES[part](state, value, now)
    refused = details.refused - {part} if part in details.refused else details.refused
    details = details._replace(refused=refused, failed=_but(details.failed, part))
    known = part != "pods" or not workload_state.unreadable(state._replace(details=details))
    if details.fresh.get(part) is not known:
        details = details._replace(fresh={**details.fresh, part: known})
    after = state._replace(ledger=entry.ledger, details=details)
    if part in _JUDGED:
        after = _JUDGED[part](after, now)
        entry = entry._replace(ledger=after.ledger)
    if workload_state.unsteady(after):
        details = details._replace(polled={**details.polled, part: now}) if known else details
    elif details.polled:
        details = details._replace(polled={})
    return (state, entry) if after == state and details == state.details else (after._replace(details=details), entry)


def refused(state: WorkloadState, part: str) -> WorkloadState:
    """The workload state after the API refused `part` to this token: its data is withdrawn."""
    if part in state.details.refused and part not in state.details.failed:
        return state
    details = _without(state.details, part)
    failing = _but(details.failed, part)
    return state._replace(details=details._replace(refused=details.refused | {part}, failed=failing))


def failed(state: WorkloadState, part: str, reason: str) -> WorkloadState:
    """The workload state after a failed request for `part`: its data stays until it is too old."""
    if state.details.failed.get(part) == reason:
        return state
    return state._replace(details=state.details._replace(failed={**state.details.failed, part: reason}))


def withdrawn(state: WorkloadState, old: Collection[str], unwanted: Collection[str] = ()) -> WorkloadState:
    """The workload state without parts that are too old or no longer polled."""
    details = state.details
    for part in (*old, *unwanted):
        details = _without(details, part)
    fresh = {part: value for part, value in details.fresh.items() if part not in unwanted}
    details = details._replace(
        fresh=fresh | dict.fromkeys(old, False),
        failed=_but(details.failed, *unwanted),
        refused=details.refused.difference(unwanted),
    )
    return state._replace(details=details)


_FIELDS = {"pods": "pods", "usage": "usage", "quotas": "quotas", "sharing": "grants", "replacement": "replacement"}


def _without(details: Details, part: str) -> Details:
    window = part.removeprefix("stats_")
    if window in details.windows:
        details = details._replace(windows={name: w for name, w in details.windows.items() if name != window})
    if part in _FIELDS:
        nothing: dict[str, Any] = {_FIELDS[part]: None}
        details = details._replace(**nothing)
    fresh = {name: value for name, value in details.fresh.items() if name != part}
    polled = {name: at for name, at in details.polled.items() if name != part}
    return details._replace(fresh=fresh, polled=polled)


def _but(failed: Mapping[str, str], *parts: str) -> Mapping[str, str]:
    return {part: reason for part, reason in failed.items() if part not in parts} if failed else failed


Merge = Callable[[WorkloadState, Any, float], tuple[Details, Entry]]


def _pods(state: WorkloadState, value: Any, now: float) -> tuple[Details, Entry]:
    return state.details._replace(pods=value), Entry(counting.with_pods(state.ledger, value, now, state.ahead))


def _events(state: WorkloadState, value: Any, now: float) -> tuple[Details, Entry]:
    serving = state.workload.proton_id or ""
    return state.details, counting.with_events(state.ledger, value, serving, now, state.ahead)


def _sharing(state: WorkloadState, value: Any, _: float) -> tuple[Details, Entry]:
    return state.details._replace(grants=value.grants), Entry(
        counting.with_grants(state.ledger, value.grants, value.marks)
    )


def _requests_since(state: WorkloadState, value: RequestCount, now: float) -> tuple[Details, Entry]:
    if state.objective is None:  # the settings have changed since it was requested
        return state.details, Entry(state.ledger)
    counts = objective_counts.with_requests(state.ledger.objectives, value, now, state.objective)
    return state.details, Entry(_with_counts(state, counts).ledger)


def _plain(field: str) -> Merge:
    return lambda state, value, _: (state.details._replace(**{field: value}), Entry(state.ledger))


def _usage(state: WorkloadState, value: Any, now: float) -> tuple[Details, Entry]:
    details, ledger = state.details._replace(usage=value), state.ledger
    history = usage.sampled(state._replace(details=details), now)
    return details, Entry(ledger if history is ledger.usage else msgspec.structs.replace(ledger, usage=history))


def _window(name: str) -> Merge:
    def merge(state: WorkloadState, value: Any, now: float) -> tuple[Details, Entry]:
        ledger = counting.with_reset(state.ledger, now) if shrunk(state, value) else state.ledger
        return state.details._replace(windows={**state.details.windows, name: value}), Entry(ledger)

    return merge


def shrunk(state: WorkloadState, window: Window) -> bool:
    """Whether a window has fewer requests than an earlier window within it: the statistics were reset."""
    return any(
        _requests(window) < _requests(before)
        for before in state.details.windows.values()
        if window.start <= before.start
        and before.end <= window.end
        and before.protons == window.protons
        and _counts_on(state.ledger, before)
    )


def _counts_on(ledger: Ledger, window: Window) -> bool:
    return ledger.reset_at is None or window.start >= ledger.reset_at


def _requests(window: Window) -> float:
    return models.finite(window.metrics.total_requests) or 0.0


def _pods_read(state: WorkloadState, now: float) -> WorkloadState:
    """The state after the pods were read: whether it serves, and for how long it was ready."""
    state, objective = serving.pods_read(state, now), state.objective
    if objective is None:
        return state
    counts = state.ledger.objectives
    if objective.readiness is not None:
        counts = objective_counts.with_ready(counts, serving.ready(state), now, objective)
    else:
        counts = objective_counts.rolled(counts, now, objective)
    return _with_counts(state, counts)


def _with_counts(state: WorkloadState, counts: ObjectiveCounts | None) -> WorkloadState:
    if counts is state.ledger.objectives:
        return state
    return state._replace(ledger=msgspec.structs.replace(state.ledger, objectives=counts))


_JUDGED: Mapping[str, Callable[[WorkloadState, float], WorkloadState]] = {
    "pods": _pods_read,
    "events": serving.events_read,
}
"""Parts that prove whether a workload serves."""
_MERGES: dict[str, Merge] = {
    "pods": _pods,
    "events": _events,
    "sharing": _sharing,
    "requests": _requests_since,
    "replacement": _plain("replacement"),
    "usage": _usage,
    "quotas": _plain("quotas"),
    **{f"stats_{name}": _window(name) for name in WINDOWS},
}
