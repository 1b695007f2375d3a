"""The families of what the workload list tells, and of when we saw it."""

from __future__ import annotations

from collections.abc import Callable

from exporter.api import models
from exporter.api.models import REPLACEMENT_STATUSES, Bundle
from exporter.fleet import workload_state
from exporter.fleet.ledger import replacement_active
from exporter.metrics.family import Family, Samples, View, closed, one, row, total

_ONE_HOT: dict[str, Samples] = {
    told: tuple(((name,), float(name == told)) for name in (*models.STATUSES, "other"))
    for told in (*models.STATUSES, "other")
}


def _status(view: View) -> Samples:
    return _ONE_HOT.get(models.folded(view.workload.status), _ONE_HOT["other"])


def _info(view: View) -> Samples:
    workload = view.workload
    return (
        (
            (
                workload.artifact_id or "",
                models.folded(workload.importance),
                workload.proton_id or "",
                workload.status or "",
                models.folded(workload.type),
            ),
            1.0,
        ),
    )


def _artifact(view: View) -> Samples:
    artifact = view.workload.artifact
    if artifact is None:
        return ()
    version = "" if artifact.version is None else str(artifact.version)
    return (((artifact.id or "", artifact.name or "", models.folded(artifact.status), version), 1.0),)


def _importance(view: View) -> Samples:
    told = models.folded(view.workload.importance)
    return (((closed(told, models.IMPORTANCES),), 1.0),)


def _replacement_active(view: View) -> Samples:
    return one(float(replacement_active(view.workload)))


def _replacement_status(view: View) -> Samples:
    if view.workload.replacement is None:
        return ()
    told = models.folded(view.workload.replacement.status)
    return (((closed(told, REPLACEMENT_STATUSES),), 1.0),)


def _replicas_configured(view: View) -> Samples:
    groups = view.groups
    if any(models.autoscaled(g) for g in groups):
        return ()
    return one(total(models.finite(g.replica_count) for g in groups))


def _bound(which: int) -> Callable[[View], Samples]:
    return lambda view: one(total(models.finite(models.replica_bounds(s)[which]) for s in view.scalings))


_CPU_TARGET = "cpuAverageUtilization"
_CONCURRENCY_TARGET = "httpRequestsConcurrency"


def _targets(view: View) -> dict[str, float]:
    return {
        policy.scaling_metric: value
        for scaling in view.scalings
        for policy in scaling.policies or ()
        if policy.scaling_metric and (value := models.finite(policy.target)) is not None
    }


def _cpu_target(view: View) -> Samples:
    percent = _targets(view).get(_CPU_TARGET)
    return one(None if percent is None else percent / 100)


def _other_targets(view: View) -> Samples:
    told = sorted(_targets(view).items())
    return tuple(((metric,), value) for metric, value in told if metric not in (_CPU_TARGET, _CONCURRENCY_TARGET))


def _list_stats(amount: Callable[[models.RequestStats], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        stats = view.workload.request_stats
        return one(None if stats is None else amount(stats))

    return samples


def _cooldown(view: View) -> Samples:
    minutes = [m for s in view.scalings if (m := models.finite(s.cooldown_period_minutes)) is not None]
    return one(max(minutes) * 60 if minutes else None)


def _bundle_info(view: View) -> Samples:
    told = {(b.id or "", b.gpu_maker or "", b.gpu_type_label or "") for b in view.bundles}
    return tuple((labels, 1.0) for labels in sorted(told))


def _allocated(amount: Callable[[Bundle], models.Number | None]) -> Callable[[View], Samples]:
    return lambda view: one(total(models.finite(amount(b)) for b in view.bundles))


def _requested(amount: Callable[[models.Allocation], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        told = [
            value
            for group in view.groups
            for container in group.containers or ()
            if container.resource_allocation is not None
            and (value := models.finite(amount(container.resource_allocation))) is not None
        ]
        return one(sum(told) if told else None)

    return samples


def _vanished(view: View) -> Samples:
    if view.state.vanished is None:
        return ()
    return (
        ((closed(models.folded(view.workload.status), models.STATUSES), view.state.gone_because), view.state.vanished),
    )


LISTED: tuple[Family, ...] = (
    row(
        "workload_info",
        "What a workload is; always 1. `status` is the API's own spelling.",
        _info,
        labels=("artifact_id", "importance", "proton_id", "status", "workload_type"),
        source="id, artifactId, importance, protonId, status, type",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_status",
        "Status of the workload, one series per status and `other`; the present one is 1.",
        _status,
        labels=("status",),
        source="status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_status_since_timestamp_seconds",
        "When this exporter first saw the present status, in seconds since the epoch. "
        "Equal to first_observed: the status may be older.",
        lambda view: one(view.state.ledger.since),
        source="observed",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_first_observed_timestamp_seconds",
        "When this exporter first saw the workload, in seconds since the epoch.",
        lambda view: one(view.state.ledger.first),
        source="observed",
        absence="the workload is not in the last complete sweep",
        reads=("ledger",),
    ),
    row(
        "workload_vanished_timestamp_seconds",
        "When the workload was found absent from two complete sweeps in a row, in seconds since the epoch; "
        "shown for an hour, with its last status. `answer` is what the API says of it now: not_found (deleted, or no "
        "longer shared), forbidden (no longer shared), or empty where it was not asked.",
        _vanished,
        labels=("status", "answer"),
        source="observed, GET /workloads/{id}",
        absence="the workload is there, or has been gone for more than an hour",
        stability="experimental",
        profile="minimal",
        reads=("workload", "vanished"),
    ),
    row(
        "workload_importance",
        "Importance of the workload; the present one is 1.",
        _importance,
        labels=("importance",),
        source="importance",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_artifact_info",
        "The artifact a workload runs; always 1. `version` is empty while a draft.",
        _artifact,
        labels=("artifact_id", "artifact_name", "artifact_status", "version"),
        source="artifact",
        absence="the API told no artifact",
        stability="experimental",
    ),
    row(
        "workload_created_timestamp_seconds",
        "When the workload was created, in seconds since the epoch.",
        lambda view: one(models.timestamp(view.workload.created_at)),
        source="createdAt",
        absence="not told or no timestamp",
    ),
    row(
        "workload_updated_timestamp_seconds",
        "When the workload or its metadata last changed, in seconds since the epoch.",
        lambda view: one(models.timestamp(view.workload.updated_at)),
        source="updatedAt",
        absence="not told or no timestamp",
    ),
    row(
        "workload_last_response_timestamp_seconds",
        "When the workload last answered a request, in seconds since the epoch.",
        lambda view: one(models.timestamp(view.workload.last_response)),
        source="lastResponse",
        absence="no response was ever seen, or not told",
    ),
    row(
        "workload_draft_expiry_timestamp_seconds",
        "When the platform will stop a draft, in seconds since the epoch: 8 h after its proton began to run, "
        "else after its creation.",
        lambda view: one(workload_state.draft_expiry(view.state)),
        source="artifact.status, protons[].runningSince, createdAt",
        absence="the artifact is no draft, or no time is told",
        profile="minimal",
        stability="experimental",
        reads=("workload", "pods"),
    ),
    row(
        "workload_replacement_active",
        "1 while a replacement is under way, else 0.",
        _replacement_active,
        source="replacement.status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_replacement_status",
        "Status of the replacement the API tells of; only the present one, 1.",
        _replacement_status,
        labels=("status",),
        source="replacement.status",
        absence="there is no replacement",
        stability="experimental",
    ),
    row(
        "workload_replicas_configured",
        "Replicas the settings ask for, over all container groups.",
        _replicas_configured,
        source="runtime.containerGroups[].replicaCount",
        absence="autoscaled, or not told for some group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_replicas_min",
        "Fewest replicas that there should be: those configured, or the autoscaler's least.",
        lambda view: one(None if (least := workload_state.least_replicas(view.state)) is None else float(least)),
        source="runtime.containerGroups[].replicaCount, autoscaling",
        absence="not told for some group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_replicas_max",
        "Most replicas that there may be: those configured, or the autoscaler's most.",
        lambda view: one(None if (most := workload_state.most_replicas(view.state)) is None else float(most)),
        source="runtime.containerGroups[].replicaCount, autoscaling",
        absence="not told for some group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_replicas_min",
        "Least replicas the autoscaler may run, over all autoscaled container groups.",
        _bound(0),
        source="autoscaling.minReplicaCount, else policies[].minCount",
        absence="not autoscaled, or not told for some group",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_replicas_max",
        "Most replicas the autoscaler may run, over all autoscaled container groups.",
        _bound(1),
        source="autoscaling.maxReplicaCount, else policies[].maxCount",
        absence="not autoscaled, or not told for some group",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target_cpu_ratio",
        "Processor use the autoscaler aims at: 1 is all of what a replica asks for.",
        _cpu_target,
        source="autoscaling.policies[scalingMetric=cpuAverageUtilization].target, percent",
        absence="no such policy",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target_concurrency",
        "Requests at once per replica the autoscaler aims at.",
        lambda view: one(_targets(view).get(_CONCURRENCY_TARGET)),
        source="autoscaling.policies[scalingMetric=httpRequestsConcurrency].target",
        absence="no such policy",
        unit="requests per replica",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target",
        "Target of any other autoscaling policy, in the unit of its scaling metric as configured.",
        _other_targets,
        labels=("scaling_metric",),
        source="autoscaling.policies[].target",
        absence="no such policy",
        unit="as configured",
        stability="experimental",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_cooldown_seconds",
        "Idle time before the autoscaler goes down, in seconds.",
        _cooldown,
        source="autoscaling.cooldownPeriodMinutes",
        absence="not autoscaled or not told",
        stability="experimental",
        reads=("runtime",),
    ),
    row(
        "workload_bundle_info",
        "Resource bundle chosen at scheduling; always 1.",
        _bundle_info,
        labels=("bundle_id", "gpu_maker", "gpu_type"),
        source="runtime.containerGroups[].resolvedBundle",
        absence="the API told no resolved bundle",
        reads=("runtime",),
    ),
    row(
        "workload_replica_cpu_cores",
        "Cores of one replica by its resource bundle.",
        _allocated(lambda bundle: bundle.cpu_count),
        source="resolvedBundle.cpuCount",
        absence="the API told no resolved bundle",
        reads=("runtime",),
    ),
    row(
        "workload_replica_memory_bytes",
        "Memory of one replica by its resource bundle, in bytes.",
        _allocated(lambda bundle: bundle.memory_bytes),
        source="resolvedBundle.memoryBytes",
        absence="the API told no resolved bundle",
        reads=("runtime",),
    ),
    row(
        "workload_replica_gpus",
        "GPUs of one replica by its resource bundle.",
        _allocated(lambda bundle: bundle.gpu_count),
        source="resolvedBundle.gpuCount",
        absence="the API told no resolved bundle, or not its GPUs",
        unit="GPUs",
        reads=("runtime",),
    ),
    row(
        "workload_requested_cpu_cores",
        "Cores the containers of one replica ask for.",
        _requested(lambda allocation: allocation.cpu),
        source="containers[].resourceAllocation.cpu",
        absence="not told",
        reads=("runtime",),
    ),
    row(
        "workload_requested_memory_bytes",
        "Memory the containers of one replica ask for, in bytes.",
        _requested(lambda allocation: models.memory_bytes(allocation.memory)),
        source="containers[].resourceAllocation.memory",
        absence="not told or unreadable",
        reads=("runtime",),
    ),
    row(
        "workload_requested_gpus",
        "GPUs the containers of one replica ask for.",
        _requested(lambda allocation: allocation.gpu),
        source="containers[].resourceAllocation.gpu",
        absence="not told",
        unit="GPUs",
        reads=("runtime",),
    ),
    row(
        "workload_episode_open_since_timestamp_seconds",
        "Since when a start, a stop, a failure or a replacement of the workload goes on, in seconds since the epoch.",
        lambda view: tuple([((each.kind,), each.opened.at) for each in view.state.ledger.tracker.episodes]),
        labels=("kind",),
        source="status and replacement, from sweep to sweep",
        absence="none goes on",
        reads=("ledger",),
    ),
    row(
        "workload_list_requests",
        "Requests by the workload list, over a window the API does not document. Do not rate().",
        _list_stats(lambda stats: models.finite(stats.total_requests)),
        source="requestStats.totalRequests",
        absence="not told",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_response_seconds",
        "Response time by the workload list, over a window the API does not document, in seconds.",
        _list_stats(lambda stats: None if (ms := models.finite(stats.response_time)) is None else ms / 1000),
        source="requestStats.responseTime, milliseconds",
        absence="not told",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_error_rate_raw",
        "Error rate by the workload list as the API gives it: percent or fraction is not documented.",
        _list_stats(lambda stats: models.finite(stats.error_rate)),
        source="requestStats.errorRate",
        absence="not told",
        unit="not documented",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_concurrent_requests",
        "Requests in work at once by the workload list.",
        _list_stats(lambda stats: models.finite(stats.concurrent_requests)),
        source="requestStats.concurrentRequests",
        absence="not told",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_last_request_timestamp_seconds",
        "When the last request to the workload came, in seconds since the epoch.",
        lambda view: one(models.timestamp(stats.last_request_at) if (stats := view.workload.request_stats) else None),
        source="requestStats.lastRequestAt",
        absence="no request was ever seen, or not told",
    ),
)
