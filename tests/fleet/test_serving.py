"""Since when a workload that should serve has no ready replica, over sweeps and reads of its pods."""

from typing import NamedTuple

import msgspec
import pytest

from exporter.api.details import Event
from exporter.api.models import Autoscaling, Group, Replacement, Runtime, Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.fleet.apply import received
from exporter.fleet.ledger import Ledger
from exporter.fleet.reconcile import Snapshot, Sweep, restored, step
from exporter.timestamps import rfc3339
from tests.make import container, replica

READY, UNREADY = replica(container()), replica(container(ready=False))
NULL = replica(container(ready=None))
FAILED = replica(container(ready=False), status="failed")


class Listed(NamedTuple):
    """A sweep at `at`."""

    at: float
    status: str
    proton: str = "p1"
    replacement: str = ""
    minimum: int = 1


class Read(NamedTuple):
    """A read of the pods at `at`: "r" ready, "u" unready, "?" of unknown readiness, "f" failed; None: no snapshot.

    `other`: the pods of a second proton, p9; empty: there is no such proton.
    """

    at: float
    pods: str | None
    proton: str = "p1"
    other: str | None = ""


class EventRead(NamedTuple):
    """A read of the events at `at`: one of `type` that happened at `when`."""

    at: float
    type: str
    when: float


class Restart(NamedTuple):
    """The exporter restarts at `at`."""

    at: float


Moment = Listed | Read | EventRead | Restart
KINDS = {"r": READY, "u": UNREADY, "?": NULL, "f": FAILED}


def snapshot(pods: str | None) -> StatusDetails | None:
    return None if pods is None else StatusDetails(replicas=tuple(KINDS[each] for each in pods))


def after(known: Snapshot, moment: Moment) -> Snapshot:
    if isinstance(moment, Listed):
        scaling = Autoscaling(min_replica_count=moment.minimum, max_replica_count=3)
        record = Replacement(status=moment.replacement) if moment.replacement else None
        runtime = Runtime(container_groups=(Group(autoscaling=scaling),))
        item = Workload("w", status=moment.status, proton_id=moment.proton, runtime=runtime, replacement=record)
        return step(known, Sweep((item,), ()), moment.at)
    if isinstance(moment, Restart):
        stored = msgspec.json.encode(known.workloads["w"].ledger)
        return restored("acme", {"w": msgspec.json.decode(stored, type=Ledger)}, known.tally)
    state = known.workloads["w"]
    if isinstance(moment, EventRead):
        event = Event(id=f"e{moment.when}", event_type=moment.type, timestamp=rfc3339(moment.when))
        state, _ = received(state, "events", (event,), moment.at)
    else:
        found = {moment.proton: snapshot(moment.pods)}
        if moment.other != "":
            found["p9"] = snapshot(moment.other)
        protons = tuple(Proton(i, status="running", role="active" if i == moment.proton else None) for i in found)
        state, _ = received(state, "pods", Pods(protons, found), moment.at)
    return known._replace(workloads={"w": state})


def down_since(*moments: Moment) -> list[float | None]:
    """The fact after each of the moments."""
    known, found = Snapshot("acme"), []
    for moment in moments:
        known = after(known, moment)
        found.append(known.workloads["w"].ledger.serving.down)
    return found


SERVES = (Listed(0, "running"), Read(10, "rr"))


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        # -- it was serving, and no longer is, whatever the status
        ([Read(40, "uu")], [40]),
        ([Read(40, "uu"), Read(70, "uu"), Read(100, "ur"), Read(130, "uu")], [40, 40, None, 130]),
        ([Read(40, "uu"), Listed(60, "launching"), Read(61, "uu")], [40, 40, 40]),
        ([Listed(30, "launching"), Read(31, "uu"), Listed(60, "running"), Read(61, "rr")], [None, 31, 31, None]),
        ([Listed(30, "provisioning"), Read(31, "u")], [None, 31]),
        ([Listed(30, "submitted"), Read(31, "")], [None, 31]),
        ([Listed(30, "errored"), Read(31, "ff"), Listed(60, "failed"), Listed(90, "running")], [None, 31, 31, 31]),
        ([Listed(30, "Quarantined"), Read(31, "ff"), Listed(60, "unknown")], [None, 31, 31]),
        ([Listed(30, "errored"), Read(31, "rf")], [None, None]),
        # -- a deliberate stop and the start after it
        *(
            ([Read(40, "u"), Listed(60, status), Read(61, "u")], [40, None, None])
            for status in ("stopping", "stopped", "suspended", "draining", "interrupted", "terminated", "Stopped")
        ),
        (
            [Listed(30, "stopping"), Read(31, "r"), Listed(60, "launching"), Read(61, "u"), Listed(90, "running")],
            [None] * 5,
        ),
        ([Listed(30, "stopped"), Listed(60, "launching"), Read(61, "r"), Read(90, "u")], [None, None, None, 90]),
        ([Listed(30, "stopped"), Listed(60, "launching"), Read(61, "u"), Listed(90, "errored"), Read(91, "u")],
         [None, None, None, None, 91]),
        ([Listed(30, "stopped"), Listed(60, "Hibernated"), Read(61, "u")], [None, None, None]),
        # -- stopped and started between two sweeps
        ([Listed(30, "launching", "p2"), Read(31, "u", "p2"), Read(60, "r", "p2"), Read(90, "u", "p2")],
         [None, None, None, 90]),
        ([EventRead(25, "Workload Started", 20), Listed(30, "launching"), Read(31, "u")], [None, None, None]),
        ([Listed(30, "launching"), Read(31, "u"), EventRead(45, "Workload Stopped", 20)], [None, 31, None]),
        ([EventRead(25, "Workload Started", 5), Read(310, "r"), Listed(330, "launching"), Read(331, "u")],
         [None, None, None, 331]),
        ([Read(40, "u"), EventRead(45, "Scaled", 20), Listed(60, "launching")], [40, 40, 40]),
        # -- another proton by a replacement is no start
        ([Listed(30, "running", replacement="switching"), Listed(60, "launching", "p2"), Read(61, "u", "p2")],
         [None, None, 61]),
        ([Listed(30, "running", "p2"), Read(31, "u", "p2"), Listed(60, "launching", "p2")], [None, 31, 31]),
        ([Read(20, "r", other="r"), Listed(30, "launching", "p9"), Read(31, "u", "p9")], [None, None, 31]),
        # -- unknown is not down, and does not prove that it serves
        ([Read(40, None)], [None]),
        ([Read(40, "?")], [None]),
        ([Read(40, "u?")], [None]),
        ([Read(40, "r?")], [None]),
        ([Read(40, "u"), Read(70, None), Read(370, "?"), Read(371, None), Read(400, "u")], [40, 40, 40, None, 400]),
        ([Read(40, "u"), Read(70, None), Read(300, "u"), Read(600, None)], [40, 40, 40, 40]),
        ([Read(40, "u"), Read(70, None), Listed(371, "running")], [40, 40, None]),
        # -- a minimum of 0
        ([Listed(30, "running", minimum=0), Read(40, "")], [None, None]),
        ([Listed(30, "running", minimum=0), Read(40, "u"), Read(70, "")], [None, 40, None]),
        ([Listed(30, "launching", minimum=0), Read(40, "u")], [None, 40]),
        ([Read(40, "")], [40]),
        # -- it survives a restart of the exporter
        ([Read(40, "u"), Restart(50), Listed(60, "running"), Read(61, "u")], [40, 40, 40, 40]),
        ([Read(40, "u"), Restart(50), Listed(60, "running"), Listed(361, "running")], [40, 40, 40, None]),
        ([Restart(50), Listed(60, "launching"), Read(61, "u")], [None, None, 61]),
    ],
)  # fmt: skip
def test_a_workload_that_served_is_down_since(moments: list[Moment], expected: list[float | None]) -> None:
    assert down_since(*SERVES, *moments)[len(SERVES) :] == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Listed(0, "launching"), Read(1, "u"), Listed(900, "launching"), Read(901, "u")], [None] * 4),
        ([Listed(0, "launching"), Read(1, "u"), Listed(30, "Quarantined"), Read(31, "u")], [None] * 4),
        ([Listed(0, "launching"), Read(1, "ur"), Read(30, "uu")], [None, None, 30]),
        ([Listed(0, "launching"), Listed(30, "running"), Read(31, "u")], [None, None, 31]),
        ([Listed(0, "Quarantined"), Read(1, "ff")], [None, 1]),
        ([Listed(0, "unknown"), Read(1, None)], [None, None]),
        ([Listed(0, "errored"), Read(1, "u"), Listed(30, "launching")], [None, 1, None]),
    ],
)
def test_during_a_first_start_no_replica_has_to_be_ready(moments: list[Moment], expected: list[float | None]) -> None:
    assert down_since(*moments) == expected


def test_a_workload_of_unknown_minimum_counts_only_with_live_pods() -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running", proton_id="p1"),), ()), 0.0)
    assert after(known, Read(10, "")).workloads["w"].ledger.serving.down is None
    assert after(known, Read(10, "u")).workloads["w"].ledger.serving.down == 10


def test_a_read_that_confirms_what_is_known_changes_nothing() -> None:
    known = Snapshot("acme")
    for moment in SERVES:
        known = after(known, moment)
    before = known.workloads["w"]
    assert after(known, Read(310, "rr")).workloads["w"] is before
