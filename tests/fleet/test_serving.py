"""Since when a workload that should serve has no ready replica, over sweeps and reads of its pods."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import pytest

from exporter.api.decoding import Reject
from exporter.api.details import Event
from exporter.api.models import Autoscaling, Group, Replacement, Runtime, Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.fleet import workload_state
from exporter.fleet.apply import received
from exporter.fleet.ledger import Ledger
from exporter.fleet.reconcile import Snapshot, Sweep, lacking, restored, step
from exporter.fleet.serving import pods_read, ready
from exporter.fleet.workload_state import WorkloadState
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


def ledgers(*moments: Moment) -> list[Ledger]:
    """The ledger after each of the moments."""
    known, found = Snapshot("acme"), []
    for moment in moments:
        known = after(known, moment)
        found.append(known.workloads["w"].ledger)
    return found


def down_since(*moments: Moment) -> list[float | None]:
    """The fact after each of the moments."""
    return [each.serving.down for each in ledgers(*moments)]


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
         [None, None, None, None, None]),
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
        # -- it was ready at the first read: since when is not known
        ([Read(40, "rr")], [None]),
        ([Read(40, "ru"), Read(70, "rr")], [None, None]),
        ([Read(40, "uu"), Read(70, "ur"), Read(100, "rr")], [None, 70, 70]),
        ([Read(40, "uu"), Read(70, "r"), Read(100, "u"), Read(130, "r")], [None, 70, None, 130]),
        ([Read(40, "uu"), Read(70, "?"), Read(100, "r")], [None, None, 100]),
        ([Read(40, "uu"), Read(70, "r"), Read(100, None), Read(130, "?")], [None, 70, 70, 70]),
        ([Read(40, "uu"), Read(70, "r"), Listed(90, "stopped")], [None, 70, None]),
        ([Read(40, "uu"), Read(70, "r"), Restart(80), Listed(90, "running")], [None, 70, 70, 70]),
        ([Listed(30, "running", minimum=0), Read(40, ""), Read(70, "r")], [None, None, 70]),
    ],
)
def test_replicas_are_ready_since(moments: list[Moment], expected: list[float | None]) -> None:
    assert [each.serving.up for each in ledgers(*SERVES, *moments)][len(SERVES) :] == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Read(40, "uu"), Read(70, "ur"), Read(80, "rr")], [(), (70,), (70,)]),
        ([Read(at, "r" if at % 20 else "u") for at in range(20, 100, 10)][-1:], [()]),
        ([Read(at, "r" if at % 20 else "u") for at in range(20, 100, 10)],
         [(), (30,), (30,), (30, 50), (30, 50), (30, 50, 70), (30, 50, 70), (50, 70, 90)]),
        ([Read(40, "u"), Read(70, "r"), Listed(80, "stopped")], [(), (70,), ()]),
        # -- to wake up is not to recover
        ([Listed(30, "running", minimum=0), Read(40, "u"), Read(70, "r")], [(), (), ()]),
    ],
)  # fmt: skip
def test_a_workload_that_was_down_recovers_and_the_last_times_are_kept(
    moments: list[Moment], expected: list[tuple[float, ...]]
) -> None:
    assert [each.serving.recoveries for each in ledgers(*SERVES, *moments)][len(SERVES) :] == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Read(40, "r")], [40]),
        ([Read(40, "ru"), Read(70, "uu"), Read(100, "rr")], [40, 40, None]),
        ([Read(40, "r?")], [None]),
        ([Read(40, "?"), Read(70, "r")], [None, 70]),
        ([Read(40, "r"), Read(70, None)], [40, 40]),
        ([Read(40, "r"), Listed(60, "running", minimum=1), Read(70, "r")], [40, 40, None]),
        ([Read(40, "r"), Listed(60, "stopping")], [40, None]),
        ([Read(40, "r"), Restart(50), Listed(60, "running", minimum=2)], [40, 40, 40]),
    ],
)
def test_fewer_replicas_than_the_minimum_are_ready_since(moments: list[Moment], expected: list[float | None]) -> None:
    served = (Listed(0, "running", minimum=2), Read(10, "rr"))
    assert [each.serving.fewer for each in ledgers(*served, *moments)][len(served) :] == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        # -- one start lasts from the first starting status until it runs, also while the status changes to errored
        (["running", "launching", "provisioning"], [None, 30, 30]),
        (["running", "launching", "errored", "launching", "running"], [None, 30, 30, 30, None]),
        (["running", "errored", "launching"], [None, None, 60]),
        (["launching", "stopped", "launching"], [0, None, 60]),
    ],
)
def test_a_workload_is_starting_since(statuses: list[str], expected: list[float | None]) -> None:
    moments = [Listed(30.0 * place, status) for place, status in enumerate(statuses)]
    assert [each.starting for each in ledgers(*moments)] == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Listed(0, "launching"), Read(1, "u"), Listed(900, "launching"), Read(901, "u")], [None] * 4),
        ([Listed(0, "launching"), Read(1, "u"), Listed(30, "Quarantined"), Read(31, "u")], [None] * 4),
        ([Listed(0, "launching"), Read(1, "ur"), Read(30, "uu")], [None, None, 30]),
        ([Listed(0, "launching"), Listed(30, "running"), Read(31, "u")], [None, None, 31]),
        ([Listed(0, "Quarantined"), Read(1, "ff")], [None, 1]),
        ([Listed(0, "unknown"), Read(1, None)], [None, None]),
        ([Listed(0, "errored"), Read(1, "u"), Listed(30, "launching")], [None, None, None]),
    ],
)
def test_during_a_first_start_no_replica_has_to_be_ready(moments: list[Moment], expected: list[float | None]) -> None:
    assert down_since(*moments) == expected


def test_a_workload_of_unknown_minimum_counts_only_with_live_pods() -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running", proton_id="p1"),), ()), 0.0)
    assert after(known, Read(10, "")).workloads["w"].ledger.serving.down is None
    assert after(known, Read(10, "u")).workloads["w"].ledger.serving.down == 10


class Versions(NamedTuple):
    """A read of the protons at `at`: their status, and "r", "u" as in `Read`; p1 is the active one unless named."""

    at: float
    protons: Mapping[str, tuple[str, str | None]]
    active: str = "p1"
    roles: Mapping[str, str] = {}
    complete: bool = True


BOTH = {"p1": ("running", "r"), "p2": ("running", "rr")}


def with_versions(known: Snapshot, read: Versions) -> Snapshot:
    roles = {read.active: "active", **read.roles}
    protons = tuple(Proton(i, status=status, role=roles.get(i)) for i, (status, _) in read.protons.items())
    found = {i: snapshot(pods) for i, (_, pods) in read.protons.items()}
    state, _ = received(
        known.workloads["w"], "pods", Pods(protons, found, {} if read.complete else {"": "decode"}), read.at
    )
    return known._replace(workloads={"w": state})


def roles_after(*moments: Moment | Versions) -> list[tuple[dict[str, str], tuple[int, int] | None]]:
    """The role of each proton, and the ready and live replicas that serve, after each read of the protons."""
    known, found = step(Snapshot("acme"), Sweep((Workload("w", status="running", proton_id="p1"),), ()), 0.0), []
    for moment in moments:
        if not isinstance(moment, Versions):
            known = after(known, moment)
            continue
        known = with_versions(known, moment)
        state = known.workloads["w"]
        assert state.details.pods is not None
        counted = workload_state.serving(state)
        roles = {proton.id: workload_state.role(state, proton) for proton in state.details.pods.protons}
        found.append((roles, None if counted is None else (counted.ready, counted.live)))
    return found


OUTGOING, SERVING = {"p1": "active", "p2": "outgoing"}, {"p1": "active", "p2": "serving"}
LONG = Versions(0, BOTH), Versions(1200, BOTH)


@pytest.mark.parametrize(
    ("moments", "roles", "ready"),
    [
        # -- beyond the time of a drain, a version that has ready replicas serves for good
        ([Versions(0, BOTH)], OUTGOING, (1, 1)),
        ([Versions(0, BOTH), Versions(1199, BOTH)], OUTGOING, (1, 1)),
        (LONG, SERVING, (3, 3)),
        ([Versions(0, BOTH, roles={"p2": "retiring"}), Versions(1200, BOTH, roles={"p2": "retiring"})],
         SERVING, (3, 3)),
        ([Versions(0, BOTH | {"p2": ("Hibernating", "rr")}), Versions(1200, BOTH | {"p2": ("Hibernating", "rr")})],
         SERVING, (3, 3)),
        # -- it continues to count when its replicas fail, when it cannot be read, and after a restart
        ([*LONG, Versions(1300, BOTH | {"p2": ("running", "ur")})], SERVING, (2, 3)),
        ([*LONG, Versions(1300, BOTH | {"p2": ("errored", "uu")})], SERVING, (1, 3)),
        ([*LONG, Versions(1300, BOTH | {"p2": ("running", None)})], SERVING, None),
        ([*LONG, Versions(1300, {"p1": ("running", "r")}, complete=False), Versions(1400, BOTH)], SERVING, (3, 3)),
        ([*LONG, Restart(1250), Listed(1260, "running"), Versions(1300, BOTH)], SERVING, (3, 3)),
        # -- one that stops no longer does, nor one that is gone for a while
        ([*LONG, Versions(1300, BOTH | {"p2": ("draining", "rr")})], OUTGOING, (1, 1)),
        ([*LONG, Versions(1300, BOTH | {"p2": ("stopped", "")})], {"p1": "active", "p2": "other"}, (1, 1)),
        ([*LONG, Versions(1300, {"p1": ("running", "r")}), Versions(1400, BOTH)], OUTGOING, (1, 1)),
        # -- without ready replicas it does not serve, but does not drain either
        ([Versions(0, BOTH), Versions(1200, BOTH | {"p2": ("running", "u")})], {"p1": "active", "p2": "other"}, (1, 1)),
        ([Versions(0, BOTH), Versions(1200, BOTH | {"p2": ("running", None)})], {"p1": "active", "p2": "other"},
         (1, 1)),
        # -- a replacement and a drain change nothing
        ([Listed(0, "running", replacement="switching"), *LONG], OUTGOING, (1, 1)),
        ([Listed(0, "running", replacement="switching"), Versions(0, BOTH, roles={"p2": "candidate"}),
          Versions(5000, BOTH, roles={"p2": "candidate"})], {"p1": "active", "p2": "candidate"}, (1, 1)),
        ([*LONG, Listed(1250, "running", replacement="switching"), Versions(1300, BOTH)], SERVING, (3, 3)),
        ([*LONG, Versions(1300, BOTH, active="p2")], {"p1": "outgoing", "p2": "active"}, (2, 2)),
        ([*LONG, Versions(1300, BOTH, active="p2"), Versions(2500, BOTH, active="p2")],
         {"p1": "serving", "p2": "active"}, (3, 3)),
        ([Versions(0, BOTH | {"p2": ("Retiring", "r")}, roles={"p2": "retiring"})], OUTGOING, (1, 1)),
    ],
)  # fmt: skip
def test_several_versions_may_serve_for_good(
    moments: Sequence[Moment | Versions], roles: dict[str, str], ready: tuple[int, int] | None
) -> None:
    assert roles_after(*moments)[-1] == (roles, ready)


def test_a_workload_is_down_only_if_no_version_that_serves_has_a_ready_replica() -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running", proton_id="p1"),), ()), 0.0)
    unready, unread = ("running", "u"), ("running", None)
    down = []
    for read in (
        *LONG,
        Versions(1300, BOTH | {"p1": unready}),
        Versions(1400, {"p1": unready, "p2": unread}),
        Versions(1500, {"p1": unready, "p2": unready}),
    ):
        known = with_versions(known, read)
        down.append(known.workloads["w"].ledger.serving.down)
    assert down == [None, None, None, None, 1500]


def test_a_read_that_confirms_what_is_known_changes_nothing() -> None:
    known = Snapshot("acme")
    for moment in SERVES:
        known = after(known, moment)
    before = known.workloads["w"]
    assert after(known, Read(310, "rr")).workloads["w"] is before


def test_before_its_pods_were_ever_read_a_workload_has_no_serving_record() -> None:
    state = WorkloadState("acme", Workload("w", status="running"))
    assert pods_read(state, 10.0) == state


def test_a_change_of_the_offset_of_the_clock_is_kept_with_the_workload() -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running"),), ()), 0.0)
    moved = step(known, Sweep((Workload("w", status="running"),), ()), 30.0, ahead=300.0)
    assert moved.workloads["w"].ahead == 300.0


@pytest.mark.parametrize(
    ("listed", "expected"), [((Workload("w", status="running"),), ()), ((), ("w",))], ids=["listed", "not listed"]
)
def test_a_workload_that_a_readable_list_lacks_is_requested(
    listed: tuple[Workload, ...], expected: tuple[str, ...]
) -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running"),), ()), 0.0)
    assert lacking(known, Sweep(listed, ())) == expected


def test_a_workload_may_be_an_item_without_a_readable_id_and_is_not_requested() -> None:
    known = step(Snapshot("acme"), Sweep((Workload("w", status="running"),), ()), 0.0)
    assert lacking(known, Sweep((), (Reject("$", "type"),))) == ()


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Listed(0, "running"), Read(10, "r")], True),
        ([Listed(0, "running"), Read(10, "r"), Read(20, "u")], False),
        ([Listed(0, "running"), Read(10, "r"), Read(20, "u"), Read(30, None)], None),
        ([Listed(0, "running"), Read(10, "r"), Listed(20, "stopped")], None),
        ([Listed(0, "launching"), Read(10, "u")], None),
        ([Listed(0, "running")], None),
    ],
    ids=["ready", "down", "down, and then unknown", "stopped, with pods", "first start", "not read yet"],
)
def test_a_workload_that_should_serve_is_ready_or_not(moments: list[Moment], expected: bool | None) -> None:
    known = Snapshot("eu")
    for moment in moments:
        known = after(known, moment)
    assert ready(known.workloads["w"]) is expected
