"""Workloads, events and pods of one workload, and its ledger after they were read. Times are seconds since 1970."""

import msgspec

from exporter.api.details import Event, EventDetails
from exporter.api.models import Artifact, Replacement, Workload
from exporter.api.pods import Container, LastState, Pods, Proton, Replica, StatusDetails
from exporter.fleet import counting
from exporter.fleet.ledger import Ledger


def workload(
    status: str = "running", proton: str = "p1", replacement: Replacement | None = None, **more: str
) -> Workload:
    artifact = Artifact(status=more["artifact"]) if "artifact" in more else None
    return Workload(
        id="w", name="w", status=status, proton_id=proton, replacement=replacement, artifact=artifact,
        created_at=more.get("created"),
    )  # fmt: skip


def life(*items: Workload, baseline: bool = True, expiry: float | None = None) -> Ledger:
    """The ledger after sweeps at 100, 200, 300 … seconds."""
    ledger = counting.first_observed(items[0], 100.0, baseline=baseline)
    for number, each in enumerate(items[1:], 2):
        ledger = counting.listed(ledger, each, number * 100.0, expiry).ledger
    return ledger


ROLLING = Replacement(status="initializing", candidate_proton_ids=("p2",), id="r1")


def rolling(status: str, proton: str = "p1", **more: object) -> Workload:
    return workload("running", proton, msgspec.structs.replace(ROLLING, status=status, **more))


def event(kind: str = "Errored", at: float = 450.0, number: int = 1, **details: object) -> Event:
    about = EventDetails(**({"replacement_id": "r1"} | details))  # type: ignore[arg-type]  # fields by name
    stamp = f"1970-01-01T00:{int(at) // 60:02}:{at % 60:05.2f}Z"
    return Event(id=f"e{number}", timestamp=stamp, event_type=f"Replacement {kind}", details=about)


def after(ledger: Ledger, *events: Event, serving: str = "p1", now: float = 500.0) -> Ledger:
    return counting.with_events(ledger, events, serving, now).ledger


READ = after(life(workload()), now=150.0)


def goes_on(ledger: Ledger, *items: Workload, since: float = 200.0) -> Ledger:
    for number, each in enumerate(items):
        ledger = counting.listed(ledger, each, since + number * 100).ledger
    return ledger


def pods(*counts: tuple[str, int, str], began: float = 0.0) -> Pods:
    """Pods as triples: name, restarts, and the last termination of the container."""
    replicas = tuple(
        Replica(
            name=name,
            status="running",
            started_at=f"1970-01-01T00:{began // 60:02.0f}:00Z",
            containers=(
                Container(
                    name="lrs-p1-main",
                    status="running",
                    restart_count=count,
                    reason="",
                    last_state=LastState(reason="OOMKilled", finished_at=ended) if ended else None,
                ),
            ),
        )
        for name, count, ended in counts
    )
    return Pods((Proton(id="p1"),), {"p1": StatusDetails(replicas=replicas)})
