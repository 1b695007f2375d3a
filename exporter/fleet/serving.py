"""Since when a workload that should serve has no ready replica: (workload state, time) -> workload state.

It does not depend on the exact status. Only a read of the pods proves that no replica is ready; the workload list, or
an event, reports that the workload was stopped or started on purpose. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from exporter.api import models
from exporter.api.pods import overview
from exporter.fleet import workload_state
from exporter.fleet.ledger import SOME_RECOVERIES, Ledger, ServingRecord
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WorkloadState

UNKNOWN_SECONDS = 300.0
"""How long the fact is kept while the pods are unknown."""
STOP_GRACE_SECONDS = 120.0
"""How long after a reported stop or start replicas may still be ready from before."""
DRAIN_SECONDS = 1200.0
"""How long a proton may run beside the active one until it is not one that drains."""
MAX_PROTONS = 16
_NOT_SERVING = ("terminated",)
"""Statuses that are final; those of the groups off and leaving are deliberate, or the platform's."""
_with = msgspec.structs.replace


def listed(state: WorkloadState, before: Ledger, now: float) -> WorkloadState:
    """The state after a sweep listed the workload; `before`: the ledger before it. It can only end the fact."""
    return _stored(state, _judged(state, _started(state, before), now))


def events_read(state: WorkloadState, now: float) -> WorkloadState:
    """The state after the events were read: one may report a stop or a start."""
    return _stored(state, _judged(state, state.ledger.serving, now))


def pods_read(state: WorkloadState, now: float) -> WorkloadState:
    """The state after the pods were read."""
    state = _stored(state, _beside(state, now))
    record, ready = state.ledger.serving, any_ready(state)
    record = _with(record, protons=_ready_protons(state))
    if ready is not None:
        record = _with(record, fewer=(record.fewer or now) if _fewer_ready(state) else None)
    if ready is True:
        again = record.down is not None and bool(workload_state.min_replicas(state))  # to wake up is not to recover
        recoveries = (*record.recoveries, now)[-SOME_RECOVERIES:] if again else record.recoveries
        record = _with(record, none=False, up=now if record.none else record.up, recoveries=recoveries)
    elif ready is False or idle(state):
        record = _with(record, none=True, up=None)
    if ready is True and _should_serve(state):
        stop = _last_stop(state.ledger)
        seen = stop if stop > record.stop and now >= stop + STOP_GRACE_SECONDS else record.stop
        return _stored(state, _with(record, ready=True, stop=seen, down=None, unknown=None))
    record = _judged(state, record, now)
    if ready is False and record.down is None and _expected(state, record):
        record = _with(record, down=now)
    return _stored(state, record)


def any_ready(state: WorkloadState) -> bool | None:
    """Whether any replica of the serving protons is ready; None if unknown, or if none has to be ready.

    With a minimum of 0 replicas, or an unknown one, none has to be ready unless there are live pods.
    """
    pods, protons = state.details.pods, workload_state.serving_protons(state)
    if pods is None or not protons:
        return None
    snapshots = [pods.details.get(proton.id) for proton in protons]
    counted = [overview(snapshot) for snapshot in snapshots if snapshot is not None]
    if any(each.ready for each in counted):
        return True
    if None in snapshots or any(each.unknown for each in counted):
        return None
    return False if any(each.live for each in counted) or workload_state.min_replicas(state) else None


def ready(state: WorkloadState) -> bool | None:
    """Whether the workload, which should serve, has a ready replica; None: unknown, or it need not serve."""
    record = state.ledger.serving
    if record.down is not None:
        return False if record.unknown is None else None
    return True if any_ready(state) and _should_serve(state) else None


def _fewer_ready(state: WorkloadState) -> bool:
    """Whether fewer replicas are ready than the minimum; those with unknown readiness may be ready."""
    least = workload_state.min_replicas(state)
    pods, protons = state.details.pods, workload_state.serving_protons(state)
    if not least or pods is None:
        return False
    snapshots = [pods.details.get(proton.id) for proton in protons]
    counted = [overview(snapshot) for snapshot in snapshots if snapshot is not None]
    return sum(each.ready + each.unknown for each in counted) < least


def idle(state: WorkloadState) -> bool:
    """Whether the pods are known and none has to be ready: there are none, and the minimum may be 0."""
    pods, protons = state.details.pods, workload_state.serving_protons(state)
    if pods is None or not protons or workload_state.min_replicas(state):
        return False
    snapshots = [pods.details.get(proton.id) for proton in protons]
    return all(snapshot is not None and overview(snapshot).live == 0 for snapshot in snapshots)


def _judged(state: WorkloadState, record: ServingRecord, now: float) -> ServingRecord:
    """The record without a fact that no longer applies."""
    stop = _last_stop(state.ledger)
    if not _should_serve(state):
        return _reset(record, max(stop, record.stop))
    ready = any_ready(state)
    if stop > record.stop and workload_state.last_group(state) == "starting" and ready is not True:
        record = _with(record, ready=False, protons=(), stop=stop)
    if record.down is None:
        return record
    if not _expected(state, record) or idle(state):
        return _with(record, down=None, unknown=None)
    if ready is not None:
        return _with(record, unknown=None)
    unknown = now if record.unknown is None else record.unknown
    if now - unknown > UNKNOWN_SECONDS:
        return _with(record, down=None, unknown=None)
    return _with(record, unknown=unknown)


def _should_serve(state: WorkloadState) -> bool:
    """Whether the workload was neither stopped, by anyone, nor ended. An unknown status changes nothing."""
    status = models.folded(state.workload.status)
    return status not in _NOT_SERVING and workload_state.last_group(state) not in ("off", "leaving")


def _expected(state: WorkloadState, record: ServingRecord) -> bool:
    """Whether a replica should be ready by now: not during a start before which none was, nor if that start fails."""
    return _should_serve(state) and (record.ready or workload_state.last_group(state) not in ("starting", "failed"))


def _started(state: WorkloadState, before: Ledger) -> ServingRecord:
    """The record, reset if another proton starts without a replacement: stopped and started between two sweeps."""
    record, proton = state.ledger.serving, state.workload.proton_id
    if not before.proton or not proton or proton in (before.proton, *record.protons):
        return record
    replaced = before.rollout is not None or state.ledger.rollout is not None
    if replaced or workload_state.last_group(state) != "starting":
        return record
    return _reset(record, record.stop)


def _reset(record: ServingRecord, stop: float) -> ServingRecord:
    """The record after a stop or a start: no replica was ready since then."""
    nothing = {"up": None, "fewer": None, "down": None, "unknown": None}
    return _with(record, none=True, ready=False, protons=(), recoveries=(), stop=stop, **nothing)


def _beside(state: WorkloadState, now: float) -> ServingRecord:
    """The record after the protons were read: which run beside the active one, and which of them serve as well.

    An old version drains for up to twelve minutes. One that runs and has ready replicas for longer serves for good,
    until it stops or another proton becomes active. A replacement in progress adds none.
    """
    record, pods, active = state.ledger.serving, state.details.pods, workload_state.active(state)
    if pods is None or active is None:
        return record
    if active.id != record.active:
        record = _with(record, active=active.id, beside={}, others=(), lasting=())
    replaced = replacement_active(state.workload) or state.ledger.rollout is not None
    beside, others = {}, []
    for proton in pods.protons:
        since = record.beside.get(proton.id, None if replaced or not models.may_run(proton.status) else now)
        left = models.status_group(proton.status) in ("leaving", "off") or models.folded(proton.status) == "terminated"
        if since is None or left or workload_state.role(state, proton) in ("active", "candidate"):
            continue
        beside[proton.id] = since
        snapshot = pods.details.get(proton.id)
        ready = snapshot is not None and overview(snapshot).ready > 0
        if proton.id in record.others or (ready and not replaced and now - since >= DRAIN_SECONDS):
            others.append(proton.id)
    if not pods.complete:
        listed = {proton.id for proton in pods.protons}
        beside |= {i: since for i, since in record.beside.items() if i not in listed}
        others += [i for i in record.others if i not in listed]
    lasting = tuple(i for i, since in beside.items() if now - since >= DRAIN_SECONDS)
    if replaced:
        lasting = tuple(i for i in record.lasting if i in beside)
    return _with(record, beside=beside, others=tuple(others), lasting=lasting)


def _ready_protons(state: WorkloadState) -> Sequence[str]:
    """The protons that have had a ready replica, as far as they may still exist."""
    pods, known = state.details.pods, state.ledger.serving.protons
    if pods is None:
        return known
    ready = [i for i, snapshot in pods.details.items() if snapshot is not None and overview(snapshot).ready]
    there = {proton.id for proton in pods.protons}
    kept = (i for i in known if i in there or not pods.complete)
    return tuple(dict.fromkeys((*kept, *ready)))[-MAX_PROTONS:]


def _last_stop(ledger: Ledger) -> float:
    """Time of the latest event about a stop or a start; 0 if there is none."""
    return max(ledger.newest.get("stopped", 0.0), ledger.newest.get("started", 0.0))


def _stored(state: WorkloadState, record: ServingRecord) -> WorkloadState:
    if record == state.ledger.serving:
        return state
    return state._replace(ledger=_with(state.ledger, serving=record))
