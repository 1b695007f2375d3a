"""Families from the workload list, and from times of observation."""

from __future__ import annotations

from collections.abc import Callable

from exporter.api import models
from exporter.api.models import REPLACEMENT_STATUSES, Bundle
from exporter.fleet import workload_state
from exporter.fleet.ledger import SOME_RECOVERIES
from exporter.fleet.replacements import replacement_active
from exporter.metrics.family import Family, Samples, View, closed, one, row, total

_ONE_HOT: dict[str, Samples] = {
    current: tuple(((name,), float(name == current)) for name in (*models.STATUSES, "other"))
    for current in (*models.STATUSES, "other")
}


def _tags(view: View) -> Samples:
    labels = view.state.tag_labels
    return () if labels is None else ((tuple(text for label in labels for text in label), 1.0),)


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


def _placement(view: View) -> Samples:
    runtime, use_case = view.workload.runtime, view.workload.use_case_id or ""
    enclaves = ",".join(sorted({*(runtime.enclaves or ())})) if runtime is not None else ""
    policy = models.folded(runtime.enclave_selection_policy) if runtime is not None and enclaves else ""
    if not enclaves and not use_case:
        return ()
    return (((enclaves, policy and closed(policy, ("availability", "manual")), use_case), 1.0),)


def _importance(view: View) -> Samples:
    importance = models.folded(view.workload.importance)
    return (((closed(importance, models.IMPORTANCES),), 1.0),)


def _replacement_active(view: View) -> Samples:
    return one(float(replacement_active(view.workload)))


def _replacement_status(view: View) -> Samples:
    if view.workload.replacement is None:
        return ()
    status = models.folded(view.workload.replacement.status)
    return (((closed(status, REPLACEMENT_STATUSES),), 1.0),)


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
    targets = sorted(_targets(view).items())
    return tuple(((metric,), value) for metric, value in targets if metric not in (_CPU_TARGET, _CONCURRENCY_TARGET))


def _list_stats(amount: Callable[[models.RequestStats], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        stats = view.workload.request_stats
        return one(None if stats is None else amount(stats))

    return samples


def _cooldown(view: View) -> Samples:
    minutes = [m for s in view.scalings if (m := models.finite(s.cooldown_period_minutes)) is not None]
    return one(max(minutes) * 60 if minutes else None)


def _bundle_info(view: View) -> Samples:
    bundles = {(b.id or "", b.gpu_maker or "", b.gpu_type_label or "") for b in view.bundles}
    return tuple((labels, 1.0) for labels in sorted(bundles))


def _allocated(amount: Callable[[Bundle], models.Number | None]) -> Callable[[View], Samples]:
    return lambda view: one(total(models.finite(amount(b)) for b in view.bundles))


def _requested(amount: Callable[[models.Allocation], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        amounts = [
            value
            for group in view.groups
            for container in group.containers or ()
            if container.resource_allocation is not None
            and (value := models.finite(amount(container.resource_allocation))) is not None
        ]
        return one(sum(amounts) if amounts else None)

    return samples


def _recovering_since(view: View) -> Samples:
    recoveries = view.state.ledger.serving.recoveries
    return one(recoveries[0] if len(recoveries) == SOME_RECOVERIES else None)


def _vanished(view: View) -> Samples:
    if view.state.vanished is None:
        return ()
    if "drafts_are_deleted" in view.state.readings and workload_state.ended_as_draft(view.state):
        return ()
    return (
        ((closed(models.folded(view.workload.status), models.STATUSES), view.state.gone_because), view.state.vanished),
    )


LISTED: tuple[Family, ...] = (
    row(
        "workload_info",
        "Properties of a workload; always 1. `status` is spelled as in the API.",
        _info,
        labels=("artifact_id", "importance", "proton_id", "status", "workload_type"),
        source="id, artifactId, importance, protonId, status, type",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_status",
        "Status of the workload, one series per status and `other`; 1 for the current one, else 0.",
        _status,
        labels=("status",),
        source="status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_status_since_timestamp_seconds",
        "Time the current status was first observed, in seconds since the epoch. If equal to first_observed, the "
        "status may be older.",
        lambda view: one(view.state.ledger.since),
        source="observed",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_starting_since_timestamp_seconds",
        "Time the start in progress was first observed, in seconds since the epoch. It goes on while the status "
        "changes between starting ones and errored.",
        lambda view: one(view.state.ledger.starting),
        source="observed",
        absence="no start is in progress",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_ready_since_timestamp_seconds",
        "Time since when the workload has had a ready replica, as observed, in seconds since the epoch.",
        lambda view: one(view.state.ledger.serving.up),
        source="statusDetails",
        absence="no replica is ready, or one was when the workload was first observed",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_recovering_since_timestamp_seconds",
        "Time of the third last time that the workload had a ready replica again after it was down, as observed, in "
        "seconds since the epoch.",
        _recovering_since,
        source="statusDetails",
        absence="it has recovered less than three times since it was started, or its minimum is 0",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_degraded_since_timestamp_seconds",
        "Time since when fewer replicas of the workload have been ready than its minimum, as observed, in seconds "
        "since the epoch.",
        lambda view: one(view.state.ledger.serving.fewer),
        source="statusDetails, settings",
        absence="enough replicas are ready, their number was never known, or the workload was stopped",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_down_since_timestamp_seconds",
        "Time since when a workload that should serve has had no ready replica, as observed, in seconds since the "
        "epoch. It does not depend on the status: pods prove it, also while the status is a starting one or unknown.",
        lambda view: one(view.state.ledger.serving.down),
        source="statusDetails, status, events",
        absence="a replica is ready, the pods are unknown, the workload was stopped or has ended, no replica was ready "
        "since it was started, or it has no pods and its minimum is 0",
        profile="minimal",
        reads=("ledger",),
    ),
    row(
        "workload_first_observed_timestamp_seconds",
        "Time the workload was first observed, in seconds since the epoch.",
        lambda view: one(view.state.ledger.first),
        source="observed",
        absence="the workload is not in the last complete sweep",
        reads=("ledger",),
    ),
    row(
        "workload_vanished_timestamp_seconds",
        "Time the workload was absent from a second complete sweep in a row, in seconds since the epoch; exposed "
        "for an hour with its last status. `answer` is the API's response for its id: not_found (deleted or "
        "not shared), forbidden (not shared), or empty if not requested.",
        _vanished,
        labels=("status", "answer"),
        source="observed, GET /workloads/{id}",
        absence="the workload is listed, vanished more than an hour ago, or was a draft that the API deletes then",
        stability="experimental",
        profile="minimal",
        reads=("workload", "vanished"),
    ),
    row(
        "workload_importance",
        "Importance of the workload; always 1.",
        _importance,
        labels=("importance",),
        source="importance",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_tags",
        "Tags of the workload that metrics.tags selects, as labels; always 1. A label is tag_ and the name of the tag "
        "in lower case, with _ for blanks, hyphens and other characters; further tags of a workload with the same "
        "label end in _2, _3. A tag that the workload does not have has no label. A longer value than 256 characters "
        "is cut and ends in a hash. A vanished workload keeps its labels for an hour.",
        _tags,
        labels=("tag_*",),
        source="tags",
        absence="metrics.tags is not set, or a selected tag is not reported or unreadable",
        profile="minimal",
        reads=("tag_labels",),
        dynamic=True,
    ),
    row(
        "workload_artifact_info",
        "Artifact that the workload runs; always 1. `version` is empty for a draft.",
        _artifact,
        labels=("artifact_id", "artifact_name", "artifact_status", "version"),
        source="artifact",
        absence="no artifact reported",
        stability="experimental",
    ),
    row(
        "workload_placement_info",
        "Enclaves that the workload may run in, separated by commas, and the use case it is linked to; always 1.",
        _placement,
        labels=("enclaves", "selection_policy", "use_case_id"),
        source="runtime.enclaves, runtime.enclaveSelectionPolicy, useCaseId",
        absence="it runs in no enclave and is linked to no use case",
        stability="experimental",
    ),
    row(
        "workload_created_timestamp_seconds",
        "Creation time of the workload, in seconds since the epoch.",
        lambda view: one(view.state.at(view.workload.created_at)),
        source="createdAt",
        absence="not reported, or not a timestamp",
    ),
    row(
        "workload_updated_timestamp_seconds",
        "Time the workload or its metadata last changed, in seconds since the epoch.",
        lambda view: one(view.state.at(view.workload.updated_at)),
        source="updatedAt",
        absence="not reported, or not a timestamp",
    ),
    row(
        "workload_last_response_timestamp_seconds",
        "Time the workload last responded to a request, in seconds since the epoch.",
        lambda view: one(view.state.at(view.workload.last_response)),
        source="lastResponse",
        absence="no response yet, or not reported",
    ),
    row(
        "workload_draft_expiry_timestamp_seconds",
        "Time the platform will stop a draft, in seconds since the epoch: 8 h after its proton started running, or "
        "after its creation if that is unknown.",
        lambda view: one(workload_state.draft_expiry(view.state)),
        source="artifact.status, protons[].runningSince, createdAt",
        absence="the artifact is not a draft, or no time is reported",
        profile="minimal",
        stability="experimental",
        reads=("workload", "pods", "ledger"),
    ),
    row(
        "workload_replacement_active",
        "1 while a replacement is in progress, else 0.",
        _replacement_active,
        source="replacement.status",
        absence="the workload is not in the last complete sweep",
        profile="minimal",
    ),
    row(
        "workload_replacement_status",
        "Status of the reported replacement; 1 for the current status.",
        _replacement_status,
        labels=("status",),
        source="replacement.status",
        absence="there is no replacement",
        stability="experimental",
    ),
    row(
        "workload_replicas_configured",
        "Configured replicas, summed over container groups.",
        _replicas_configured,
        source="runtime.containerGroups[].replicaCount",
        absence="autoscaled, or not reported for a container group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_replicas_min",
        "Minimum number of replicas: the configured number, or the autoscaler's minimum.",
        lambda view: one(None if (least := workload_state.min_replicas(view.state)) is None else float(least)),
        source="runtime.containerGroups[].replicaCount, autoscaling",
        absence="not reported for a container group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_replicas_max",
        "Maximum number of replicas: the configured number, or the autoscaler's maximum.",
        lambda view: one(None if (most := workload_state.max_replicas(view.state)) is None else float(most)),
        source="runtime.containerGroups[].replicaCount, autoscaling",
        absence="not reported for a container group",
        profile="minimal",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_replicas_min",
        "Autoscaler's minimum number of replicas, summed over autoscaled container groups.",
        _bound(0),
        source="autoscaling.minReplicaCount, else policies[].minCount",
        absence="not autoscaled, or not reported for a container group",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_replicas_max",
        "Autoscaler's maximum number of replicas, summed over autoscaled container groups.",
        _bound(1),
        source="autoscaling.maxReplicaCount, else policies[].maxCount",
        absence="not autoscaled, or not reported for a container group",
        unit="replicas",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target_cpu_ratio",
        "Autoscaler's target CPU usage as a ratio of the requested CPU.",
        _cpu_target,
        source="autoscaling.policies[scalingMetric=cpuAverageUtilization].target, percent",
        absence="no such policy",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target_concurrency",
        "Autoscaler's target of concurrent requests per replica.",
        lambda view: one(_targets(view).get(_CONCURRENCY_TARGET)),
        source="autoscaling.policies[scalingMetric=httpRequestsConcurrency].target",
        absence="no such policy",
        unit="requests per replica",
        reads=("runtime",),
    ),
    row(
        "workload_autoscaling_target",
        "Target of any other autoscaling policy, in the unit of its scaling metric.",
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
        "Autoscaler's cooldown before scaling down, in seconds.",
        _cooldown,
        source="autoscaling.cooldownPeriodMinutes",
        absence="not autoscaled, or not reported",
        stability="experimental",
        reads=("runtime",),
    ),
    row(
        "workload_bundle_info",
        "Resource bundle selected at scheduling; always 1.",
        _bundle_info,
        labels=("bundle_id", "gpu_maker", "gpu_type"),
        source="runtime.containerGroups[].resolvedBundle, else resourceBundles, GET /mlops/compute/bundles",
        absence="the bundle is neither reported nor the only configured one of the catalogue",
        reads=("runtime", "catalogue"),
    ),
    row(
        "workload_replica_cpu_cores",
        "CPU cores of one replica according to its resource bundle.",
        _allocated(lambda bundle: bundle.cpu_count),
        source="resolvedBundle, else GET /mlops/compute/bundles: cpuCount",
        absence="the bundle is neither reported nor the only configured one of the catalogue",
        reads=("runtime", "catalogue"),
    ),
    row(
        "workload_replica_memory_bytes",
        "Memory of one replica according to its resource bundle, in bytes.",
        _allocated(lambda bundle: bundle.memory_bytes),
        source="resolvedBundle, else GET /mlops/compute/bundles: memoryBytes",
        absence="the bundle is neither reported nor the only configured one of the catalogue",
        reads=("runtime", "catalogue"),
    ),
    row(
        "workload_replica_gpus",
        "GPUs of one replica according to its resource bundle.",
        _allocated(lambda bundle: bundle.gpu_count),
        source="resolvedBundle, else GET /mlops/compute/bundles: gpuCount",
        absence="the bundle is neither reported nor the only configured one of the catalogue, or without GPUs",
        unit="GPUs",
        reads=("runtime", "catalogue"),
    ),
    row(
        "workload_requested_cpu_cores",
        "CPU cores requested by the containers of one replica.",
        _requested(lambda allocation: allocation.cpu),
        source="containers[].resourceAllocation.cpu",
        absence="not reported",
        reads=("runtime",),
    ),
    row(
        "workload_requested_memory_bytes",
        "Memory requested by the containers of one replica, in bytes.",
        _requested(lambda allocation: models.memory_bytes(allocation.memory)),
        source="containers[].resourceAllocation.memory",
        absence="not reported, or unreadable",
        reads=("runtime",),
    ),
    row(
        "workload_requested_gpus",
        "GPUs requested by the containers of one replica.",
        _requested(lambda allocation: allocation.gpu),
        source="containers[].resourceAllocation.gpu",
        absence="not reported",
        unit="GPUs",
        reads=("runtime",),
    ),
    row(
        "workload_episode_open_since_timestamp_seconds",
        "Start time of the current start, stop, failure or replacement of the workload, in seconds since the epoch.",
        lambda view: tuple([((each.kind,), each.opened.at) for each in view.state.ledger.tracker.episodes]),
        labels=("kind",),
        source="status and replacement, from sweep to sweep",
        absence="none in progress",
        reads=("ledger",),
    ),
    row(
        "workload_list_requests",
        "Requests reported by the workload list over an undocumented window. Do not use rate().",
        _list_stats(lambda stats: models.finite(stats.total_requests)),
        source="requestStats.totalRequests",
        absence="not reported",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_response_seconds",
        "Response time reported by the workload list over an undocumented window, in seconds.",
        _list_stats(lambda stats: None if (ms := models.finite(stats.response_time)) is None else ms / 1000),
        source="requestStats.responseTime, milliseconds",
        absence="not reported",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_error_rate_raw",
        "Error rate as reported by the workload list; whether percent or fraction is not documented.",
        _list_stats(lambda stats: models.finite(stats.error_rate)),
        source="requestStats.errorRate",
        absence="not reported",
        unit="not documented",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_list_concurrent_requests",
        "Concurrent requests reported by the workload list.",
        _list_stats(lambda stats: models.finite(stats.concurrent_requests)),
        source="requestStats.concurrentRequests",
        absence="not reported",
        unit="requests",
        stability="experimental",
        profile="full",
    ),
    row(
        "workload_last_request_timestamp_seconds",
        "Time of the last request to the workload, in seconds since the epoch.",
        lambda view: one(view.state.at(stats.last_request_at) if (stats := view.workload.request_stats) else None),
        source="requestStats.lastRequestAt",
        absence="no request yet, or not reported",
    ),
)
