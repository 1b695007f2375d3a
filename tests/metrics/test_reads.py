"""Each row declares the parts of a workload that it reads; an incremental render depends on that.

Each field of a rich workload is replaced by its value in another one, one at a time. Where the samples of a row differ,
the row must declare a part that `changed` reports.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from exporter.api.details import OtelValue, Quota, QuotaRule, RequestMetrics, SharedRole
from exporter.api.models import (
    Allocation,
    Artifact,
    Autoscaling,
    Bundle,
    ContainerRuntime,
    Group,
    Replacement,
    ReplacementConfig,
    RequestStats,
    Runtime,
    ScalingPolicy,
    Workload,
)
from exporter.api.pods import OverallStatus, PodCondition, Pods, Proton, StatusDetails
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark
from exporter.fleet.ledger import ContainerCursor, Ledger, ReplacementCursor, ServingRecord, UsageHistory
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Costs, Details, Window, WorkloadState
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import ALL_PARTS, Family, one, row, view
from exporter.metrics.registry import FAMILIES, changed
from tests.make import container, replica

DAY = "2026-11-{:02}T10:00:00Z"


def _runtime(n: int, *, resolved: bool = True) -> Runtime:
    policies = tuple(
        ScalingPolicy(scaling_metric=metric, target=10.0 * n)
        for metric in ("cpuAverageUtilization", "httpRequestsConcurrency", "gpuRequestQueueDepth")
    )
    return Runtime(
        container_groups=(
            Group(
                autoscaling=Autoscaling(
                    min_replica_count=n - 1, max_replica_count=n + 3, cooldown_period_minutes=n, policies=policies
                ),
                resource_bundles=(("cpu.medium", "cpu.large")[n - 1],),
                resolved_bundle=Bundle(f"b{n}", 8.0 * n, 4096 * n, n, gpu_maker="maker") if resolved else None,
                containers=(ContainerRuntime("main", Allocation(cpu=2.0 * n, gpu=n, memory=1024 * n)),),
            ),
        )
    )


def _pods(n: int) -> Pods:
    conditions = (
        PodCondition(type="Ready", value=False, reason="ContainersNotReady"),
        PodCondition(type="PodScheduled", value=False, message="0/9 nodes: Insufficient memory"),
    )
    pod = replica(
        container(ended=("OOMKilled", 100 + n, DAY.format(n))),
        container("sidecar", status="waiting", ready=False, reason="CrashLoopBackOff"),
        conditions=conditions,
    )
    snapshot = StatusDetails(replicas=(pod,) * n, overall_status=OverallStatus(last_updated=DAY.format(n)))
    protons = tuple(
        Proton(id=i, status="running", artifact_id=f"a{n}", running_since=DAY.format(n), created_at=DAY.format(n))
        for i in ("p1", "p2")
    )
    return Pods(protons, {"p1": snapshot, "p2": None}, {"p2": "server_error"} if n == 1 else {"p2": "decode"})


def rich(n: int) -> WorkloadState:
    """A workload that has samples of nearly every row; those for 1 and 2 differ in every field."""
    workload = Workload(
        id="w",
        name="n",
        status=("running", "errored")[n - 1],
        type=f"type{n}",
        importance=("high", "low")[n - 1],
        artifact_id=f"a{n}",
        proton_id=f"p{n}",
        artifact=Artifact(id=f"a{n}", name="artifact", status=("draft", "locked")[n - 1]),
        replacement=Replacement(
            status=("switching", "errored")[n - 1],
            candidate_proton_ids=(f"p{3 - n}",),
            created_at=(None, DAY.format(9))[n - 1],
            config=(None, ReplacementConfig())[n - 1],
        ),
        request_stats=RequestStats(n, n, n, n, DAY.format(n)),
        last_response=DAY.format(n),
        endpoint=f"https://host{n}/",
        use_case_id=f"u{n}",
        runtime=_runtime(n),
        created_at=DAY.format(n),
        updated_at=DAY.format(n),
    )
    ledger = Ledger(
        float(n),
        n * 1e9,
        transitions={"errored": n},
        rollout=ReplacementCursor(float(n)),
        rollout_failed=float(n),
        outcomes={"completed": n},
        seen_events=(("e",), None)[n - 1],
        events={"created": n},
        newest={"other": float(n)},
        restarts={"main": n},
        terminations={"main": {"OOMKilled": n}},
        resets=n,
        reset_at=(None, 1e9)[n - 1],
        grants=(("g",), None)[n - 1],
        sharing_changes=n,
        tracker=EpisodeTracker(life=Episode("start", Mark(float(n)))),
        starting=float(n),
        objectives=ObjectiveCounts(
            1e9 + n, 1.001e9, Totals(1000 * n, 5 * n * n, 60 * n * n, 800 * n, 40 * n * n), 1.001e9, 1.001e9
        ),
        pods={
            f"pod-{proton}/main": ContainerCursor(3, proton=proton, restarted=(n + at, 200.0, 400.0))
            for proton, at in (("p1", 0.0), ("p2", 10.0))
        },
        serving=ServingRecord(
            up=float(n), fewer=float(n), down=float(n), others=(("p2",), ())[n - 1], recoveries=(n, 10.0, 20.0)
        ),
    )
    metrics = RequestMetrics(100 * n, 2 * n * n, 3 * n * n, 5 * n * n, 1.0 * n, 2.0 * n, 7.0 * n)
    details = Details(
        pods=_pods(n),
        windows={"5m": Window(100.0, 400.0 * n, metrics, ((0.5, 0.1 * n),))},
        usage=(
            OtelValue("cpu", "cores", current_value=1.0 * n, level="pod"),
            OtelValue("memory", "bytes", current_value=100.0 * n, level="pod"),
            OtelValue("gpu", "ratio", current_value=0.1 * n, level="pod"),
        ),
        quotas=(Quota(id="q", default_rules=(QuotaRule("requests", 300 * n, "min"),)),),
        grants=(SharedRole("s", "OWNER", "user"),) * n,
        replacement=Replacement(created_at=DAY.format(n), config=ReplacementConfig(warmup_duration_minutes=n)),
        fresh={"pods": n == 1},
        refused=(frozenset({"stats_5m", "pods", "events"}), frozenset({"usage"}))[n - 1],
        polled={"pods": float(n)},
        failed={"usage": ("timeout", "decode")[n - 1]},
    )
    return WorkloadState(
        "acme",
        workload,
        ledger,
        details,
        catalogue=({"cpu.medium": Bundle("cpu.medium", 0.1, 10, 1)}, {})[n - 1],
        replicas_limit=(3, 5)[n - 1],
        held=({}, {"status": 7.0})[n - 1],
        tag_labels=((("tag_team", "claims"),), None)[n - 1],
        objective=(Objective(0.99, 0.9, 0.9, 2.0), None)[n - 1],
    )


class Change(NamedTuple):
    """A workload before and after a change of one field."""

    field: str
    before: WorkloadState
    after: WorkloadState


UNCHANGED = {"account", "id", "name"}
"""Fields whose change replaces all lines of a workload."""


def _swaps(before: WorkloadState, other: WorkloadState) -> Iterator[Change]:
    for field in sorted({*Workload.__struct_fields__} - UNCHANGED):
        swapped: Any = {field: getattr(other.workload, field)}
        after = before._replace(workload=msgspec.structs.replace(before.workload, **swapped))
        yield Change(f"workload.{field}", before, after)
    for field in Ledger.__struct_fields__:
        swapped = {field: getattr(other.ledger, field)}
        after = before._replace(ledger=msgspec.structs.replace(before.ledger, **swapped))
        yield Change(f"ledger.{field}", before, after)
    for field in Details._fields:
        swapped = {field: getattr(other.details, field)}
        yield Change(f"details.{field}", before, before._replace(details=before.details._replace(**swapped)))
    for field in ("catalogue", "replicas_limit", "costs", "held", "tag_labels", "objective"):
        swapped = {field: getattr(other, field)}
        yield Change(field, before, before._replace(**swapped))
    yield Change("readings", before, before._replace(readings=frozenset({"nanocores_are_thousandths"})))
    yield Change("vanished", before, before._replace(vanished=9.0))
    gone = before._replace(vanished=9.0)
    yield Change("gone_because", gone, gone._replace(gone_because="forbidden"))
    status: Any = {"status": other.workload.status}
    vanished = gone._replace(workload=msgspec.structs.replace(gone.workload, **status))
    yield Change("workload.status", gone, vanished)


def _bases() -> Iterator[tuple[WorkloadState, WorkloadState]]:
    first, second = rich(1), rich(2)
    yield first, second
    yield second, first
    no_pods: dict[str, Any] = {"pods": None, "replacement": None}
    without = first._replace(details=first.details._replace(**no_pods))
    yield without, second
    fixed = Runtime(container_groups=(Group(replica_count=2, resolved_bundle=Bundle("b", 0.1, 1, 1)),))
    more = Runtime(container_groups=(Group(replica_count=3, resolved_bundle=Bundle("b", 8.0, 4096, 1)),))
    workload = msgspec.structs.replace
    yield (
        first._replace(workload=workload(first.workload, runtime=fixed)),
        second._replace(workload=workload(second.workload, runtime=more)),
    )
    # Enough for the usage only if both protons serve.
    enough = Runtime(container_groups=(Group(replica_count=2, resolved_bundle=Bundle("b", 0.15, 15, 1)),))
    yield (
        first._replace(workload=workload(first.workload, runtime=enough, replacement=None)),
        second._replace(workload=workload(second.workload, runtime=enough, replacement=None)),
    )
    # The size of the bundle is known from the catalogue only.
    one_proton = first.details._replace(pods=Pods(_pods(1).protons[:1], _pods(1).details))
    yield (
        first._replace(workload=workload(first.workload, runtime=_runtime(1, resolved=False)), details=one_proton),
        second,
    )
    scaled = without.details._replace(pods=Pods((Proton(id="p1"),), {"p1": StatusDetails(replicas=())}))
    idle = first._replace(details=scaled)
    yield idle, second
    yield _wasteful(1), _wasteful(2)
    mean = frozenset({"response_time_mean"})
    yield first._replace(readings=mean), second._replace(readings=mean)
    busy = _wasteful(1).details._replace(windows=_wasteful(2).details.windows)
    yield _wasteful(1)._replace(details=busy), _wasteful(2)


def _wasteful(n: int) -> WorkloadState:
    """A workload that is idle and in too large a bundle, if `n` is 1."""
    pods = Pods((Proton(id="p1"),), {"p1": StatusDetails(replicas=(replica(container()),) * (2 - n))})
    of = rich(n)
    use = ((0.1, 1.0)[n - 1], 0.1, 0.5)
    return of._replace(
        workload=msgspec.structs.replace(of.workload, runtime=_runtime(n, resolved=False)),
        ledger=msgspec.structs.replace(of.ledger, usage=UsageHistory("cpu.medium", 1.0, 2.0, b"", use, use)),
        details=Details(pods=pods, windows={"5m": Window(1e9, 2.1e9, RequestMetrics(n - 1))}),
        catalogue=({"cpu.medium": Bundle("cpu.medium", 8.0, 4096), "small": Bundle("small", 2.0, 2048)}, {})[n - 1],
        costs=Costs(
            bundles={"cpu.medium": 2.0 * n, "small": 1.0}, idle_after=(1.0, 1e9)[n - 1], min_history=(0.0, 1e9)[n - 1]
        ),
    )


CHANGES = tuple(change for pair in _bases() for change in _swaps(*pair))


def unread(family: Family) -> str:
    """What `family` reads without declaring it; empty if its `reads` are complete."""
    for change in CHANGES:
        before, after = family.samples(view(change.before)), family.samples(view(change.after))
        parts = changed(change.before, change.after)
        if before != after and not family.reads & parts:
            if not parts:
                return f"{family.name} depends on {change.field}, which `changed` does not report: add it there"
            return (
                f"{family.name} depends on {change.field}, which is not in its reads {sorted(family.reads)}: "
                f"add {' or '.join(sorted(parts))} to `reads` of its row"
            )
    return ""


def test_another_offset_of_the_clock_of_the_api_changes_every_part() -> None:
    before = CHANGES[0].before
    assert changed(before, before._replace(ahead=before.ahead + 1.0)) == ALL_PARTS
    assert changed(before, before._replace(readings=frozenset({"response_time_mean"}))) == ALL_PARTS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_row_declares_every_part_that_it_reads(family: Family) -> None:
    assert unread(family) == ""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_examples_change_the_samples_of_a_row(family: Family) -> None:
    """Without that, nothing checks what the row reads: extend `rich`."""
    assert any(family.samples(view(c.before)) != family.samples(view(c.after)) for c in CHANGES)


@pytest.mark.parametrize(
    ("family", "part"), [(f, part) for f in FAMILIES for part in sorted(f.reads)], ids=lambda v: getattr(v, "name", v)
)
def test_a_declaration_that_lacks_a_part_is_found(family: Family, part: Any) -> None:
    assert f"{family.name} depends on" in unread(family._replace(reads=family.reads - {part}))


def test_a_new_row_that_forgets_its_reads_fails_with_what_to_do() -> None:
    forgotten = row("workload_new", "New.", lambda v: one(float(v.state.ledger.resets)), source="", absence="")
    assert unread(forgotten) == (
        "datarobot_workload_new depends on ledger.resets, which is not in its reads ['workload']: "
        "add ledger to `reads` of its row"
    )


def test_after_a_change_of_one_field_the_page_is_the_full_render() -> None:
    for change in CHANGES:
        page, full = Exposition(), Exposition()
        page.update([change.before])
        page.update([change.after])
        full.update([change.after])
        assert page.text() == full.text(), change.field
