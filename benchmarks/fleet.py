"""A synthetic fleet for benchmarks, with the fields of real workloads."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.api.models import (
    Allocation,
    Artifact,
    Bundle,
    ContainerRuntime,
    Group,
    RequestStats,
    Runtime,
    Workload,
)
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState

SERIES_PER_WORKLOAD = 52
STATUSES = ("running", "running", "running", "stopped", "launching", "errored")


def workload(number: int, change: int = 0) -> Workload:
    """Workload `number`; `change` selects its status and last response."""
    return Workload(
        id=f"{number:024x}",
        name=f"workload-{number}",
        status=STATUSES[(number + change) % len(STATUSES)],
        type="service",
        importance=("critical", "high", "moderate", "low")[number % 4],
        artifact_id=f"{number:024x}",
        proton_id=f"{number:024x}",
        artifact=Artifact(id=f"{number:024x}", name=f"artifact-{number}", status="locked", type="service", version=3),
        request_stats=RequestStats(total_requests=change, last_request_at="2026-11-20T10:14:58.120000+00:00"),
        last_response=f"2026-11-20T10:{change % 60:02}:58.263000+00:00",
        runtime=Runtime(
            container_groups=(
                Group(
                    replica_count=2,
                    resource_bundles=("cpu.medium",),
                    resolved_bundle=Bundle("cpu.medium", 2.0, 4294967296, 0, None, None),
                    containers=(ContainerRuntime("primary", Allocation(cpu=1.0, memory=2147483648)),),
                ),
            )
        ),
        created_at="2026-08-01T07:00:00.000000+00:00",
        updated_at="2026-11-18T09:30:11.445000+00:00",
    )


def fleet(size: int, changed: Sequence[int] = (), change: int = 0) -> list[WorkloadState]:
    """`size` workload states; those numbered in `changed` differ by `change`."""
    moved = frozenset(changed)
    return [
        WorkloadState(
            "bench", workload(n, change if n in moved else 0), Ledger(1.7e9, 1.7e9 + (change if n in moved else 0))
        )
        for n in range(size)
    ]
