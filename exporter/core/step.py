"""What one sweep changes: (what we knew of an account, a sweep, now) -> what we know.

Only a complete sweep removes a workload, and only two in a row call it vanished. An incomplete sweep changes
nothing but the time of the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporter.core import model
from exporter.core.decode import Reject
from exporter.core.families import Seen
from exporter.core.model import Workload


class Sweep(NamedTuple):
    """All pages of one sweep; `failure` is empty when it was complete, else one of the client's reasons."""

    workloads: tuple[Workload, ...]
    rejects: tuple[Reject, ...]
    failure: str = ""


class Knowledge(NamedTuple):
    """What is known of one account. Times are seconds since the epoch, None before the first."""

    account: str
    workloads: Mapping[str, Seen] = {}
    missing: Mapping[str, Seen] = {}
    attempted: float | None = None
    succeeded: float | None = None
    vanished: int = 0


def step(known: Knowledge, sweep: Sweep, now: float) -> Knowledge:
    """The account after `sweep`, which ended at `now`."""
    if sweep.failure:
        return known._replace(attempted=now)
    before = {**known.missing, **known.workloads}
    present = {w.id: Seen(known.account, w, _since(before.get(w.id), w, now)) for w in sweep.workloads}
    held = _held(known.workloads, sweep.rejects, present)
    absent = {i: seen for i, seen in known.workloads.items() if i not in present and i not in held}
    vanished = sum(1 for i in known.missing if i not in present)
    return Knowledge(known.account, {**held, **present}, absent, now, now, known.vanished + vanished)


def visible(known: Knowledge, now: float, stale_after: float) -> Iterable[Seen]:
    """The workloads to show: none once the last complete sweep is older than `stale_after` seconds."""
    if known.succeeded is None or now - known.succeeded > stale_after:
        return ()
    return known.workloads.values()


def _since(before: Seen | None, workload: Workload, now: float) -> float:
    same = before is not None and model.folded(before.workload.status) == model.folded(workload.status)
    return before.since if same and before is not None else now


def _held(workloads: Mapping[str, Seen], rejects: Iterable[Reject], present: Mapping[str, Seen]) -> dict[str, Seen]:
    """Workloads that may stand behind a rejected item: all we knew where the item told no id, else that one."""
    lost = [reject.item_id for reject in rejects if reject.path in ("$", "$.id")]
    if any(not item_id for item_id in lost):
        return {i: seen for i, seen in workloads.items() if i not in present}
    return {i: workloads[i] for i in lost if i is not None and i in workloads and i not in present}
