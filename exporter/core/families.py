"""FAMILIES: every workload family on /metrics is one row.

A row is name, unit, extra labels, help, source, the meaning of its absence, and a function of one `Seen` workload.
The labels ``account``, ``workload_id`` and ``workload`` stand on every sample and are added by the exposition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from exporter.core import model
from exporter.core.model import Autoscaling, Bundle, Group, Workload


class Seen(NamedTuple):
    """One workload as of a sweep. Times are our own observations, in seconds since the epoch.

    `since`: the first sweep that told the present status; `first`: the first sweep that told the workload at all, so
    ``since == first`` means that the status may be older; `vanished`: the second complete sweep without it, else None.
    """

    account: str
    workload: Workload
    since: float
    first: float = 0.0
    vanished: float | None = None


class View(NamedTuple):
    """What a row looks at: one workload as seen, and what several rows need of its runtime, worked out once."""

    seen: Seen
    workload: Workload
    groups: tuple[Group, ...]
    scalings: tuple[Autoscaling, ...]
    bundles: tuple[Bundle, ...]


def view(seen: Seen) -> View:
    """The view of a workload."""
    groups = model.groups(seen.workload)
    return View(
        seen,
        seen.workload,
        groups,
        tuple([scaling for group in groups if (scaling := model.autoscaled(group)) is not None]),
        tuple([group.resolved_bundle for group in groups if group.resolved_bundle is not None]),
    )


Sample = tuple[tuple[str, ...], float]
Samples = tuple[Sample, ...]
"""Label values in the order of the row's `labels`, and the value."""


Kind = Literal["gauge", "counter"]
Stability = Literal["stable", "experimental"]
Profile = Literal["minimal", "standard", "full"]
PROFILES: tuple[Profile, ...] = ("minimal", "standard", "full")


class Family(NamedTuple):
    """One metric family; `samples` returns nothing where the API told nothing: unknown is not zero.

    `profile` is the least profile that serves the family; a stable family keeps its name, type and labels.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    source: str
    absence: str
    samples: Callable[[View], Samples]
    unit: str = ""
    stability: Stability = "stable"
    profile: Profile = "standard"
    of_runtime: bool = False
    """Whether it reads the runtime settings and nothing else: it is looked at again only when they change."""


COMMON_LABELS = ("account", "workload", "workload_id")


def _one(value: float | None) -> Samples:
    return () if value is None else (((), value),)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum, or None where there is nothing to add or one part is unknown."""
    parts = list(values)
    return sum(p for p in parts if p is not None) if parts and None not in parts else None


_ONE_HOT: dict[str, Samples] = {
    told: tuple(((name,), float(name == told)) for name in (*model.STATUSES, "other"))
    for told in (*model.STATUSES, "other")
}


def _status(view: View) -> Samples:
    return _ONE_HOT.get(model.folded(view.workload.status), _ONE_HOT["other"])


def _info(view: View) -> Samples:
    workload = view.workload
    return (
        (
            (
                workload.artifact_id or "",
                model.folded(workload.importance),
                workload.proton_id or "",
                workload.status or "",
                model.folded(workload.type),
            ),
            1.0,
        ),
    )


def _artifact(view: View) -> Samples:
    artifact = view.workload.artifact
    if artifact is None:
        return ()
    version = "" if artifact.version is None else str(artifact.version)
    return (((artifact.id or "", artifact.name or "", model.folded(artifact.status), version), 1.0),)


def _importance(view: View) -> Samples:
    told = model.folded(view.workload.importance)
    return (((told if told in model.IMPORTANCES else "other",), 1.0),)


_REPLACEMENT_ENDED = frozenset({"completed", "errored", "failed", "cancelled", "canceled"})
REPLACEMENT_STATUSES = frozenset(
    (
        "unknown submitted initializing awaiting_promotion switching deleting cleaning_up completed errored "
        "staged promoting canceling cancelling canceled cancelled finalizing failed "
        "candidate_warming pending in_progress"
    ).split()
)


def _replacement_active(view: View) -> Samples:
    replacement = view.workload.replacement
    return _one(float(replacement is not None and model.folded(replacement.status) not in _REPLACEMENT_ENDED))


def _replacement_status(view: View) -> Samples:
    if view.workload.replacement is None:
        return ()
    told = model.folded(view.workload.replacement.status)
    return (((told if told in REPLACEMENT_STATUSES else "other",), 1.0),)


def _replicas_configured(view: View) -> Samples:
    groups = view.groups
    if any(model.autoscaled(g) for g in groups):
        return ()
    return _one(_sum(model.finite(g.replica_count) for g in groups))


def _bound(which: int) -> Callable[[View], Samples]:
    return lambda view: _one(_sum(model.finite(model.replica_bounds(s)[which]) for s in view.scalings))


_CPU_TARGET = "cpuAverageUtilization"
_CONCURRENCY_TARGET = "httpRequestsConcurrency"


def _targets(view: View) -> dict[str, float]:
    return {
        policy.scaling_metric: value
        for scaling in view.scalings
        for policy in scaling.policies or ()
        if policy.scaling_metric and (value := model.finite(policy.target)) is not None
    }


def _cpu_target(view: View) -> Samples:
    percent = _targets(view).get(_CPU_TARGET)
    return _one(None if percent is None else percent / 100)


def _other_targets(view: View) -> Samples:
    told = sorted(_targets(view).items())
    return tuple(((metric,), value) for metric, value in told if metric not in (_CPU_TARGET, _CONCURRENCY_TARGET))


def _list_stats(amount: Callable[[model.RequestStats], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        stats = view.workload.request_stats
        return _one(None if stats is None else amount(stats))

    return samples


def _cooldown(view: View) -> Samples:
    minutes = [m for s in view.scalings if (m := model.finite(s.cooldown_period_minutes)) is not None]
    return _one(max(minutes) * 60 if minutes else None)


def _bundle_info(view: View) -> Samples:
    told = {(b.id or "", b.gpu_maker or "", b.gpu_type_label or "") for b in view.bundles}
    return tuple((labels, 1.0) for labels in sorted(told))


def _allocated(amount: Callable[[Bundle], model.Number | None]) -> Callable[[View], Samples]:
    return lambda view: _one(_sum(model.finite(amount(b)) for b in view.bundles))


def _requested(amount: Callable[[model.Allocation], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        told = [
            value
            for group in view.groups
            for container in group.containers or ()
            if container.resource_allocation is not None
            and (value := model.finite(amount(container.resource_allocation))) is not None
        ]
        return _one(sum(told) if told else None)

    return samples


def _draft_expiry(view: View) -> Samples:
    artifact = view.workload.artifact
    created = model.timestamp(view.workload.created_at)
    draft = artifact is not None and model.folded(artifact.status) == "draft"
    return _one(created + model.DRAFT_LIFETIME_SECONDS if draft and created is not None else None)


def _vanished(view: View) -> Samples:
    if view.seen.vanished is None:
        return ()
    told = model.folded(view.workload.status)
    return (((told if told in model.STATUSES else "other",), view.seen.vanished),)


def _row(
    name: str,
    help: str,  # noqa: A002 — the exposition format's own word
    samples: Callable[[View], Samples],
    *,
    source: str,
    absence: str,
    labels: tuple[str, ...] = (),
    unit: str = "",
    stability: Stability = "stable",
    profile: Profile = "standard",
) -> Family:
    # The unit is the name's own, by the conventions of Prometheus, unless a row says more.
    told = next((u for u in ("seconds", "bytes", "cores", "ratio") if name.endswith("_" + u)), "")
    return Family(
        f"datarobot_workload_{name}",
        "gauge",
        labels,
        help,
        source,
        absence,
        samples,
        unit or told,
        stability,
        profile,
        source.startswith(("runtime.", "autoscaling.", "resolvedBundle.", "containers[].")),
    )


FAMILIES: tuple[Family, ...] = (
    _row(
        "info",
        "What a workload is; always 1. `status` is the API's own spelling.",
        _info,
        labels=("artifact_id", "importance", "proton_id", "status", "workload_type"),
        source="id, artifactId, importance, protonId, status, type",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    _row(
        "status",
        "Status of the workload, one series per status and `other`; the present one is 1.",
        _status,
        labels=("status",),
        source="status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    _row(
        "status_since_timestamp_seconds",
        "When this exporter first saw the present status, in seconds since the epoch. "
        "Equal to first_observed: the status may be older.",
        lambda view: _one(view.seen.since),
        source="observed",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    _row(
        "first_observed_timestamp_seconds",
        "When this exporter first saw the workload, in seconds since the epoch.",
        lambda view: _one(view.seen.first),
        source="observed",
        absence="the workload is not in the last complete sweep",
    ),
    _row(
        "vanished_timestamp_seconds",
        "When the workload was found absent from two complete sweeps in a row, in seconds since the epoch; "
        "shown for an hour, with its last status.",
        _vanished,
        labels=("status",),
        source="observed",
        absence="the workload is there, or has been gone for more than an hour",
        stability="experimental",
        profile="minimal",
    ),
    _row(
        "importance",
        "Importance of the workload; the present one is 1.",
        _importance,
        labels=("importance",),
        source="importance",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    _row(
        "artifact_info",
        "The artifact a workload runs; always 1. `version` is empty while a draft.",
        _artifact,
        labels=("artifact_id", "artifact_name", "artifact_status", "version"),
        source="artifact",
        absence="the API told no artifact",
        stability="experimental",
    ),
    _row(
        "created_timestamp_seconds",
        "When the workload was created, in seconds since the epoch.",
        lambda view: _one(model.timestamp(view.workload.created_at)),
        source="createdAt",
        absence="not told or no timestamp",
    ),
    _row(
        "updated_timestamp_seconds",
        "When the workload or its metadata last changed, in seconds since the epoch.",
        lambda view: _one(model.timestamp(view.workload.updated_at)),
        source="updatedAt",
        absence="not told or no timestamp",
    ),
    _row(
        "last_response_timestamp_seconds",
        "When the workload last answered a request, in seconds since the epoch.",
        lambda view: _one(model.timestamp(view.workload.last_response)),
        source="lastResponse",
        absence="no response was ever seen, or not told",
    ),
    _row(
        "draft_expiry_timestamp_seconds",
        "When the platform will stop a draft: creation plus 8 h, in seconds since the epoch; a restart moves it.",
        _draft_expiry,
        source="artifact.status, createdAt",
        absence="the artifact is no draft, or createdAt is not told",
        profile="minimal",
        stability="experimental",
    ),
    _row(
        "replacement_active",
        "1 while a replacement is under way, else 0.",
        _replacement_active,
        source="replacement.status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    _row(
        "replacement_status",
        "Status of the replacement the API tells of; only the present one, 1.",
        _replacement_status,
        labels=("status",),
        source="replacement.status",
        absence="there is no replacement",
        stability="experimental",
    ),
    _row(
        "replicas_configured",
        "Replicas the settings ask for, over all container groups.",
        _replicas_configured,
        source="runtime.containerGroups[].replicaCount",
        absence="autoscaled, or not told for some group",
        profile="minimal",
        unit="replicas",
    ),
    _row(
        "autoscaling_replicas_min",
        "Least replicas the autoscaler may run, over all autoscaled container groups.",
        _bound(0),
        source="autoscaling.minReplicaCount, else policies[].minCount",
        absence="not autoscaled, or not told for some group",
        unit="replicas",
    ),
    _row(
        "autoscaling_replicas_max",
        "Most replicas the autoscaler may run, over all autoscaled container groups.",
        _bound(1),
        source="autoscaling.maxReplicaCount, else policies[].maxCount",
        absence="not autoscaled, or not told for some group",
        unit="replicas",
    ),
    _row(
        "autoscaling_target_cpu_ratio",
        "Processor use the autoscaler aims at: 1 is all of what a replica asks for.",
        _cpu_target,
        source="autoscaling.policies[scalingMetric=cpuAverageUtilization].target, percent",
        absence="no such policy",
    ),
    _row(
        "autoscaling_target_concurrency",
        "Requests at once per replica the autoscaler aims at.",
        lambda view: _one(_targets(view).get(_CONCURRENCY_TARGET)),
        source="autoscaling.policies[scalingMetric=httpRequestsConcurrency].target",
        absence="no such policy",
        unit="requests per replica",
    ),
    _row(
        "autoscaling_target",
        "Target of any other autoscaling policy, in the unit of its scaling metric as configured.",
        _other_targets,
        labels=("scaling_metric",),
        source="autoscaling.policies[].target",
        absence="no such policy",
        unit="as configured",
        stability="experimental",
    ),
    _row(
        "autoscaling_cooldown_seconds",
        "Idle time before the autoscaler goes down, in seconds.",
        _cooldown,
        source="autoscaling.cooldownPeriodMinutes",
        absence="not autoscaled or not told",
        stability="experimental",
    ),
    _row(
        "bundle_info",
        "Resource bundle chosen at scheduling; always 1.",
        _bundle_info,
        labels=("bundle_id", "gpu_maker", "gpu_type"),
        source="runtime.containerGroups[].resolvedBundle",
        absence="the API told no resolved bundle",
    ),
    _row(
        "replica_cpu_cores",
        "Cores of one replica by its resource bundle.",
        _allocated(lambda bundle: bundle.cpu_count),
        source="resolvedBundle.cpuCount",
        absence="the API told no resolved bundle",
    ),
    _row(
        "replica_memory_bytes",
        "Memory of one replica by its resource bundle, in bytes.",
        _allocated(lambda bundle: bundle.memory_bytes),
        source="resolvedBundle.memoryBytes",
        absence="the API told no resolved bundle",
    ),
    _row(
        "replica_gpus",
        "GPUs of one replica by its resource bundle.",
        _allocated(lambda bundle: bundle.gpu_count),
        source="resolvedBundle.gpuCount",
        absence="the API told no resolved bundle, or not its GPUs",
        unit="GPUs",
    ),
    _row(
        "requested_cpu_cores",
        "Cores the containers of one replica ask for.",
        _requested(lambda allocation: allocation.cpu),
        source="containers[].resourceAllocation.cpu",
        absence="not told",
    ),
    _row(
        "requested_memory_bytes",
        "Memory the containers of one replica ask for, in bytes.",
        _requested(lambda allocation: model.memory_bytes(allocation.memory)),
        source="containers[].resourceAllocation.memory",
        absence="not told or unreadable",
    ),
    _row(
        "requested_gpus",
        "GPUs the containers of one replica ask for.",
        _requested(lambda allocation: allocation.gpu),
        source="containers[].resourceAllocation.gpu",
        absence="not told",
        unit="GPUs",
    ),
    _row(
        "list_requests",
        "Requests by the workload list, over a window the API does not document. Do not rate().",
        _list_stats(lambda stats: model.finite(stats.total_requests)),
        source="requestStats.totalRequests",
        absence="not told",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    _row(
        "list_response_seconds",
        "Response time by the workload list, over a window the API does not document, in seconds.",
        _list_stats(lambda stats: None if (ms := model.finite(stats.response_time)) is None else ms / 1000),
        source="requestStats.responseTime, milliseconds",
        absence="not told",
        stability="experimental",
        profile="full",
    ),
    _row(
        "list_error_rate_raw",
        "Error rate by the workload list as the API gives it: percent or fraction is not documented.",
        _list_stats(lambda stats: model.finite(stats.error_rate)),
        source="requestStats.errorRate",
        absence="not told",
        unit="not documented",
        stability="experimental",
        profile="full",
    ),
    _row(
        "list_concurrent_requests",
        "Requests in work at once by the workload list.",
        _list_stats(lambda stats: model.finite(stats.concurrent_requests)),
        source="requestStats.concurrentRequests",
        absence="not told",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    _row(
        "last_request_timestamp_seconds",
        "When the last request to the workload came, in seconds since the epoch.",
        lambda view: _one(model.timestamp(stats.last_request_at) if (stats := view.workload.request_stats) else None),
        source="requestStats.lastRequestAt",
        absence="no request was ever seen, or not told",
    ),
)


_VANISHED = next(family for family in FAMILIES if family.samples is _vanished)


def samples_of(families: Sequence[Family], seen: Seen, kept: Sequence[Samples] | None = None) -> tuple[Samples, ...]:
    """The samples of each family for one workload; one that has vanished is told by the family of the vanished only.

    `kept` are the samples from when its runtime settings were the same.
    """
    looked = view(seen)
    if seen.vanished is not None:
        return tuple([family.samples(looked) if family is _VANISHED else () for family in families])
    if kept is not None:
        pairs = zip(families, kept, strict=True)
        return tuple([old if family.of_runtime else family.samples(looked) for family, old in pairs])
    return tuple([family.samples(looked) for family in families])


def served(profile: Profile) -> tuple[Family, ...]:
    """The families that a profile serves."""
    allowed = PROFILES[: PROFILES.index(profile) + 1]
    return tuple(family for family in FAMILIES if family.profile in allowed)
