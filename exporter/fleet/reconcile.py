"""Applies one sweep: (snapshot of an account, sweep, now) -> snapshot.

Only a complete sweep removes a workload, and only two in a row mark it as vanished. An incomplete sweep changes only
the time of the attempt. A listed field that cannot be read keeps its value for `HELD_SECONDS`, marked as held; after
that it is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from exporter.api import models
from exporter.api.decoding import One, Reject, incomplete
from exporter.api.models import REPLACEMENT_STATUSES, Workload
from exporter.fleet import counting, serving, workload_state
from exporter.fleet.episodes import Mark
from exporter.fleet.ledger import Entry, Ledger, Tally
from exporter.fleet.workload_state import Details, WorkloadState


class Sweep(NamedTuple):
    """All pages of one sweep; `failure` is empty if it was complete, else one of the client's reasons.

    `message` describes the failure. `unchosen`: ids of listed workloads that are not selected. `absent`: ids of
    unlisted workloads for which the API returned 404. `doubted`: ids of known workloads that the list lacks, while it
    also lacks others that exist.
    """

    workloads: tuple[Workload, ...]
    rejects: tuple[Reject, ...]
    failure: str = ""
    message: str = ""
    unchosen: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()


class Snapshot(NamedTuple):
    """Everything known about one account. Times are seconds since the epoch, None before the first.

    `missing` are workloads absent from one complete sweep, `gone` those absent from two: shown for
    `GONE_SHOWN_SECONDS`, their ledgers kept for `GONE_KEPT_SECONDS`. `previous`: when the complete sweep before the
    last ended; `earlier`: when one of an earlier process did.
    """

    account: str
    workloads: Mapping[str, WorkloadState] = {}
    missing: Mapping[str, WorkloadState] = {}
    gone: Mapping[str, WorkloadState] = {}
    attempted: float | None = None
    succeeded: float | None = None
    failure: str = ""
    vanished: int = 0
    tally: Tally = Tally()
    baseline: bool = True
    previous: float | None = None
    earlier: float | None = None


GONE_SHOWN_SECONDS, GONE_KEPT_SECONDS = 3600.0, 7 * 86400.0
MAX_GONE = 10_000
"""Maximum number of vanished workloads whose ledgers are kept."""
_FORGOTTEN = Details()
"""The details of a vanished workload that is not shown any more."""
HELD_SECONDS = 900.0
"""How long a field that cannot be read keeps its last value."""
HIDDEN_SECONDS = 300.0
"""A workload created longer than this before a complete sweep without it existed, but was not visible to the token."""


def restored(account: str, ledgers: Mapping[str, Ledger], tally: Tally) -> Snapshot:
    """The snapshot after a restart: nothing to show before the first sweep, and nothing counted twice."""
    stubs = {
        i: WorkloadState(account, Workload(id=i, name=ledger.name, status=ledger.status), ledger, vanished=ledger.gone)
        for i, ledger in ledgers.items()
    }
    gone = {i: state for i, state in stubs.items() if state.vanished is not None}
    there = {i: state for i, state in stubs.items() if state.vanished is None}
    earlier = max((ledger.since for ledger in ledgers.values()), default=None)
    return Snapshot(account, there, gone=gone, tally=tally, baseline=not ledgers, earlier=earlier)


Observed = tuple[WorkloadState | None, WorkloadState, Entry | None]
"""The state of a workload before a sweep, its state after it, and an entry for the account's counters."""


def observed(
    known: Snapshot, sweep: Sweep, workloads: Iterable[Workload], now: float, ahead: float = 0.0
) -> dict[str, Observed]:
    """What `step` computes for some workloads of a sweep, by id. It takes the most time, and may be done before."""
    unread = _unread(sweep.rejects)
    before = {each.id: known.workloads.get(each.id, known.missing.get(each.id)) for each in workloads}
    return {
        each.id: (before[each.id], *_observed(before[each.id], known, each, now, unread.get(each.id, ()), ahead))
        for each in workloads
    }


def step(
    known: Snapshot, sweep: Sweep, now: float, ahead: float = 0.0, done: Mapping[str, Observed] = MappingProxyType({})
) -> Snapshot:
    """The account after `sweep`, which ended at `now`. `ahead`: seconds that the API's clock is ahead.

    `done`: results of `observed` with the same arguments. Those of workloads that have changed since are not used.
    """
    if sweep.failure:
        return known._replace(attempted=now, failure=sweep.failure)
    if sweep.unchosen:
        known = _without(known, sweep.unchosen)
    before = {**known.missing, **known.workloads}
    present: dict[str, WorkloadState] = {}
    tally = known.tally.begun(now)
    unread = _unread(sweep.rejects)
    for workload in sweep.workloads:
        state = before.get(workload.id)
        if (computed := done.get(workload.id)) is not None and computed[0] is state:
            _, present[workload.id], entry = computed
        else:
            present[workload.id], entry = _observed(state, known, workload, now, unread.get(workload.id, ()), ahead)
        if entry is not None:
            tally = tally.after(entry)
    doubted = ({*unlisted(known, sweep)} - sweep.absent) | sweep.doubted
    held = {i: _held(known.workloads[i], now) for i in known.workloads.keys() & doubted}
    absent = {i: state for i, state in known.workloads.items() if i not in present and i not in held}
    still_missing = {i: state for i, state in known.missing.items() if i in doubted}
    missed = Mark(known.succeeded if known.succeeded is not None else now, known.previous)
    vanished = {
        i: state._replace(vanished=now, ledger=counting.vanished(state.ledger, now, missed))
        for i, state in known.missing.items()
        if i not in present and i not in still_missing
    }
    gone = {
        i: _slimmed(state, now - state.vanished)
        for i, state in {**known.gone, **vanished}.items()
        if i not in present and state.vanished is not None and now - state.vanished < GONE_KEPT_SECONDS
    }
    if len(gone) > MAX_GONE:
        gone = dict([*gone.items()][-MAX_GONE:])  # the last ones that vanished
    return Snapshot(
        known.account,
        {**held, **present},
        {**still_missing, **absent},
        gone,
        now,
        now,
        vanished=known.vanished + len(vanished),
        tally=tally,
        baseline=False,
        previous=known.succeeded,
    )


def _slimmed(state: WorkloadState, age: float) -> WorkloadState:
    """A vanished workload; once it is not shown any more, only its ledger and what a restart would know of it."""
    if age < GONE_SHOWN_SECONDS or state.details is _FORGOTTEN:
        return state
    workload = Workload(id=state.workload.id, name=state.workload.name, status=state.workload.status)
    return WorkloadState(
        state.account, workload, state.ledger, _FORGOTTEN, vanished=state.vanished, gone_because=state.gone_because
    )


def _without(known: Snapshot, unchosen: Container[str]) -> Snapshot:
    """The snapshot without workloads that the settings no longer select: they have not vanished."""
    there, missing, gone = (
        {i: state for i, state in each.items() if i not in unchosen}
        for each in (known.workloads, known.missing, known.gone)
    )
    return known._replace(workloads=there, missing=missing, gone=gone)


def ledgers(known: Snapshot) -> Iterable[tuple[str, Ledger]]:
    """The ledgers to store, by workload id."""
    for there in (known.gone, known.missing, known.workloads):
        for i, state in there.items():
            yield i, state.ledger


def visible(known: Snapshot, age: float, stale_after: float) -> Iterable[WorkloadState]:
    """The workloads to show: none before the first complete sweep, or if the last one is too old.

    `age`: its age in seconds, which the caller measures on the monotonic clock.
    """
    if known.succeeded is None or age > stale_after:
        return ()
    latest = known.succeeded
    shown = [
        state
        for state in known.gone.values()
        if state.vanished is not None and latest - state.vanished < GONE_SHOWN_SECONDS
    ]
    return (*known.workloads.values(), *shown)


def _observed(
    before: WorkloadState | None,
    known: Snapshot,
    workload: Workload,
    now: float,
    unread: Collection[str] = (),
    ahead: float = 0.0,
) -> tuple[WorkloadState, Entry | None]:
    """The workload state after the list contained the workload. `unread`: fields that could not be read."""
    if before is not None and before.ahead != ahead:
        before = before._replace(ahead=ahead)
    if before is not None and (unread or before.held):
        before = _holding(before, {field: before.held.get(field, now) for field in unread})
        workload = _carried(before, workload, now)
    if before is None:
        gone = known.gone.get(workload.id)
        if gone is None:
            baseline = known.baseline or _existed(known, workload, ahead)
            new = counting.first_observed(workload, now, baseline=baseline, last=known.succeeded, ahead=ahead)
            return WorkloadState(known.account, workload, new, ahead=ahead), None
        before = gone._replace(ledger=counting.reappeared(gone.ledger), vanished=None, gone_because="", ahead=ahead)
    elif before.workload == workload and before.ledger.rollout is None and before.ledger.serving.down is None:
        return before, None  # the same object: rendering then skips it without a comparison
    expiry = workload_state.draft_expiry(before)
    entry = counting.listed(before.ledger, workload, now, expiry, known.succeeded, ahead)
    after = serving.listed(before._replace(workload=workload, ledger=entry.ledger), before.ledger, now)
    if before.workload == workload and after.ledger is before.ledger:
        return before, None
    return after, entry._replace(ledger=after.ledger)


def _existed(known: Snapshot, workload: Workload, ahead: float) -> bool:
    """Whether a workload that is new here existed before: it was not selected, or not visible to the token."""
    created = models.timestamp(workload.created_at)
    last = known.succeeded if known.succeeded is not None else known.earlier
    return created is not None and last is not None and created - ahead < last - HIDDEN_SECONDS


def unknown_values(workloads: Iterable[Workload]) -> Mapping[str, Counter[str]]:
    """Undocumented values of enumerations, by field: a sign that the API has changed."""
    there = list(workloads)
    return {
        field: Counter({v: n for v, n in Counter(map(read, there)).items() if v and models.folded(v) not in names})
        for field, read, names in _ENUMS
    }


_ENUMS: tuple[tuple[str, Callable[[Workload], str | None], Container[str]], ...] = (
    ("status", lambda workload: workload.status, models.STATUS_GROUPS),
    ("importance", lambda workload: workload.importance, models.IMPORTANCES),
    ("type", lambda workload: workload.type, ("service", "nim", "agent", "mcp")),
    ("replacement.status", lambda w: w.replacement.status if w.replacement else None, REPLACEMENT_STATUSES),
)


_FIELDS = {f"$.{field.encode_name}": field.name for field in msgspec.structs.fields(Workload) if not field.required}


def _unread(rejects: Iterable[Reject]) -> Mapping[str, Collection[str]]:
    """The unreadable fields of each listed workload, by its id."""
    found: dict[str, list[str]] = {}
    for reject in rejects:
        # Text with an invalid character counts as read; it has a replacement character.
        if reject.item_id and reject.path in _FIELDS and reject.reason != "text":
            found.setdefault(reject.item_id, []).append(_FIELDS[reject.path])
    return found


def recognised(known: Snapshot, sweep: Sweep) -> Sweep:
    """The sweep without items whose id is a number that no known workload has: they have no readable id.

    Such a number may be a part of another id. It is trusted if known ids consist of digits, too, or none is known.
    """
    ids = {*known.workloads, *known.missing, *known.gone}
    numbers = {reject.item_id for reject in sweep.rejects if reject.path == "$.id" and reject.item_id} - ids
    if not numbers or all(map(str.isdecimal, ids)):
        return sweep
    workloads = tuple(each for each in sweep.workloads if each.id not in numbers)
    rejects = tuple(each._replace(item_id=None) if each.item_id in numbers else each for each in sweep.rejects)
    return sweep._replace(workloads=workloads, rejects=rejects)


def unlisted(known: Snapshot, sweep: Sweep) -> tuple[str, ...]:
    """Ids that items without a readable id may have: all known ids that are not in the list."""
    if not incomplete(sweep.rejects):
        return ()
    listed = {workload.id for workload in sweep.workloads} | sweep.unchosen
    return tuple(i for i in (*known.workloads, *known.missing) if i not in listed)


def lacking(known: Snapshot, sweep: Sweep) -> tuple[str, ...]:
    """Ids of known workloads that a list with only readable ids does not contain."""
    if incomplete(sweep.rejects):
        return ()
    listed = {workload.id for workload in sweep.workloads} | sweep.unchosen
    return tuple(i for i in (*known.workloads, *known.missing) if i not in listed)


def unclear(known: Snapshot, sweep: Sweep) -> tuple[str, ...]:
    """Ids of known workloads whose status cannot be read from the list, but may be from their own routes."""
    unread = (i for i, fields in _unread(sweep.rejects).items() if "status" in fields and i in known.workloads)
    return (*unlisted(known, sweep), *unread)


def resolved(sweep: Sweep, found: Mapping[str, One[Workload]], absent: Collection[str]) -> Sweep:
    """The sweep with workloads that were fetched individually, and the ids that do not exist."""
    workloads = {workload.id: workload for workload in sweep.workloads}
    rejects = [reject for reject in sweep.rejects if reject.item_id not in found]
    for i, read in found.items():
        workloads[i] = read.value
        rejects.extend(read.rejects)
    return sweep._replace(workloads=tuple(workloads.values()), rejects=tuple(rejects), absent=frozenset(absent))


def _held(state: WorkloadState, now: float) -> WorkloadState:
    """The state of a workload whose whole list item cannot be read."""
    state = _holding(state, {"$": state.held.get("$", now)})
    workload = state.workload
    if now - state.held["$"] <= HELD_SECONDS:
        return state
    unknown = Workload(id=workload.id, name=workload.name, importance=workload.importance, tags=workload.tags)
    return state if unknown == workload else state._replace(workload=unknown)


def _holding(state: WorkloadState, held: Mapping[str, float]) -> WorkloadState:
    return state if held == state.held else state._replace(held=held)


def _carried(before: WorkloadState, workload: Workload, now: float) -> Workload:
    """The list item of a workload, with the previous values of unreadable fields."""
    kept = [field for field, since in before.held.items() if now - since <= HELD_SECONDS]
    return msgspec.structs.replace(workload, **{field: getattr(before.workload, field) for field in kept})
