"""Families from a workload's own routes: pods, statistics, resource usage, quotas, sharing, and totals.

Totals come from the ledger and continue across restarts of the exporter and replacements of pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from exporter.api import models, pods
from exporter.api.details import EventKind
from exporter.api.models import Number
from exporter.api.pods import Container, Replica, StatusDetails
from exporter.fleet import active_replacement, usage, workload_state
from exporter.fleet.ledger import REPLACEMENT_OUTCOMES, RESTARTING_SECONDS, SOME_RESTARTS, TRANSITIONS, container_label
from exporter.fleet.workload_state import Window
from exporter.metrics.family import Family, Samples, View, closed, one, row

SHORTAGES = ("gpu", "cpu", "memory", "volume", "other")
UNMET_REASONS = (
    "Unschedulable SchedulingGated ContainersNotReady ContainersNotInitialized PodCompleted PodFailed"
).split()
SHARING_ROLES = ("no_role owner read_write editor user data_scientist admin read_only consumer observer").split()
RECIPIENTS = ("user", "group", "organization", "role")
QUOTA_RULES = ("requests", "token", "concurrentRequests", "inputSequenceLength")
EVENT_KINDS: tuple[str, ...] = get_args(EventKind)
_P = ("proton_id", "role")


# -- protons and their pods


def _snapshots(count: Callable[[StatusDetails], Mapping[str, float] | float | None]) -> Callable[[View], Samples]:
    """Samples of each proton whose pods are known: one value, or one per name."""

    def samples(view: View) -> Samples:
        found: list[tuple[tuple[str, ...], float]] = []
        for proton, role, snapshot in view.protons:
            counted = count(snapshot) if snapshot is not None else None
            if isinstance(counted, Mapping):
                found.extend(((proton.id, role, name), value) for name, value in counted.items())
            elif counted is not None:
                found.append(((proton.id, role), counted))
        return tuple(found)

    return samples


def _live(snapshot: StatusDetails) -> list[Replica]:
    return [replica for replica in snapshot.replicas or () if pods.replica_live(replica)]


def _serving(count: Callable[[pods.Overview], int]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        counted = workload_state.serving(view.state)
        return one(None if counted is None else float(count(counted)))

    return samples


def _phases(snapshot: StatusDetails) -> Mapping[str, float]:
    phases = [closed_phase(models.folded(replica.status)) for replica in snapshot.replicas or ()]
    return {phase: float(phases.count(phase)) for phase in pods.PHASES}


def closed_phase(name: str) -> str:
    """A pod's phase, of a closed set; any other is ``unknown``."""
    return name if name in pods.PHASES else "unknown"


def _unmet(snapshot: StatusDetails) -> Mapping[str, float]:
    conditions = [c for replica in _live(snapshot) for c in replica.conditions or () if c.kind in pods.CONDITIONS]
    kinds = {c.kind for c in conditions}
    return {kind: float(sum(c.kind == kind and c.truth is not True for c in conditions)) for kind in sorted(kinds)}


def _unmet_reasons(view: View) -> Samples:
    found: Counter[tuple[str, ...]] = Counter()
    for proton, role, snapshot in view.protons:
        for replica in _live(snapshot) if snapshot is not None else ():
            for condition in replica.conditions or ():
                if condition.kind in pods.CONDITIONS and condition.truth is not True and condition.reason:
                    found[condition.kind, proton.id, closed(condition.reason, UNMET_REASONS), role] += 1
    return _counted(found)


def _unschedulable(snapshot: StatusDetails) -> Mapping[str, float]:
    resources = Counter(pods.unschedulable(replica) for replica in _live(snapshot))
    return {kind: float(resources[kind]) for kind in SHORTAGES}


def _proton_status(view: View) -> Samples:
    return tuple(
        ((proton.id, role, closed(models.folded(proton.status), models.STATUSES)), 1.0)
        for proton, role, _ in view.protons
    )


def _proton_info(view: View) -> Samples:
    return tuple(((proton.artifact_id or "", proton.id, role), 1.0) for proton, role, _ in view.protons)


def _running_since(view: View) -> Samples:
    times = ((proton, role, view.state.at(proton.running_since)) for proton, role, _ in view.protons)
    return tuple(((proton.id, role), at) for proton, role, at in times if at is not None)


def _unreadable(view: View) -> Samples:
    found: Counter[tuple[str, ...]] = Counter()
    for unread in workload_state.unread(view.state):
        found[closed(unread.reason, pods.UNREAD_REASONS), unread.role] += 1
    return _counted(found)


def _snapshot_times(view: View) -> Samples:
    def updated(snapshot: StatusDetails) -> float | None:
        return view.state.at(snapshot.overall_status.last_updated) if snapshot.overall_status is not None else None

    return _snapshots(updated)(view)


def _counted(found: Mapping[tuple[str, ...], int]) -> Samples:
    return tuple((labels, float(count)) for labels, count in sorted(found.items()))


# -- containers


def _containers(view: View) -> Iterator[tuple[str, str, str, Container]]:
    """Each container of a live pod, with its name and the proton's id and role."""
    known = view.state.ledger.restarts  # its names change only with the pods
    for proton, role, snapshot in view.protons:
        for replica in _live(snapshot) if snapshot is not None else ():
            for container in replica.containers or ():
                name = container_label(known, pods.container_name(container.name, proton.id))
                yield name, proton.id, role, container


def _container_states(view: View) -> Samples:
    found: Counter[tuple[str, ...]] = Counter()
    for name, proton, role, container in _containers(view):
        status = models.folded(container.status)
        for state in pods.CONTAINER_STATES:
            found[name, proton, role, state] += state == (status if status in pods.CONTAINER_STATES else "unknown")
    return _counted(found)


def _containers_ready(view: View) -> Samples:
    found: Counter[tuple[str, ...]] = Counter()
    unknown = set()
    for name, proton, role, container in _containers(view):
        found[name, proton, role] += container.ready is True
        if container.ready is None:
            unknown.add((name, proton, role))
    return _counted({labels: count for labels, count in found.items() if labels not in unknown})


def _ended_containers(view: View) -> Iterator[tuple[str, str, str, Container]]:
    """Each container of a live pod, except those whose last termination is the stop of their proton."""
    protons = {proton.id: proton for proton, _, _ in view.protons}
    return (found for found in _containers(view) if not pods.stopped(protons[found[1]], found[3]))


def _reasons(
    reason: Callable[[Container], str | None],
    containers: Callable[[View], Iterator[tuple[str, str, str, Container]]] = _containers,
) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        found: Counter[tuple[str, ...]] = Counter()
        for name, proton, role, container in containers(view):
            found_reason = reason(container)
            if found_reason is not None:
                found[name, proton, found_reason, role] += 1
        return _counted(found)

    return samples


def _last_ends(view: View) -> dict[str, tuple[float, int | None]]:
    """Time and exit code of the last termination in any pod, by container name."""
    ends: dict[str, tuple[float, int | None]] = {}
    for name, _, _, container in _ended_containers(view):
        last = container.last_state
        at = view.state.at(last.finished_at) if last is not None else None
        if last is not None and at is not None and at >= ends.get(name, (0.0, None))[0]:
            ends[name] = at, last.exit_code
    return ends


def _exit_codes(view: View) -> Samples:
    return tuple(((name,), float(code)) for name, (_, code) in sorted(_last_ends(view).items()) if code is not None)


def _end_times(view: View) -> Samples:
    return tuple(((name,), at) for name, (at, _) in sorted(_last_ends(view).items()))


def _restarts(view: View) -> Samples:
    return tuple(((name,), float(count)) for name, count in sorted(view.state.ledger.restarts.items()))


def _terminations(view: View) -> Samples:
    return tuple(
        ((name, reason), float(count))
        for name, reasons in sorted(view.state.ledger.terminations.items())
        for reason, count in sorted(reasons.items())
    )


def _restarting_since(view: View) -> Samples:
    protons = {proton.id for proton in workload_state.serving_protons(view.state)}
    listed = [each for each in (view.state.ledger.pods or {}).values() if each.proton in protons and not each.missing]
    times = [each.restarted for each in listed if len(each.restarted) == SOME_RESTARTS]
    since = [first for first, *_, last in times if last - first >= RESTARTING_SECONDS]
    return one(max(since, default=None))


def _fresh(view: View) -> Samples:
    parts = {**view.state.details.fresh, "list": not view.state.held}
    return tuple(((part,), float(fresh)) for part, fresh in sorted(parts.items()))


# -- capacity


def _allocated(amount: Callable[[models.Bundle], Number | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        found: dict[tuple[str, ...], float] = {}
        for bundle, live in (workload_state.live_by_bundle(view.state) or {}).items():
            one_pod = models.finite(amount(bundle))
            if one_pod is not None:
                labels = (bundle.id or "",)
                found[labels] = found.get(labels, 0.0) + one_pod * live
        return tuple(sorted(found.items()))

    return samples


def _use(resource: usage.Resource) -> Callable[[View], Samples]:
    return lambda view: tuple(
        sorted(((level,), value) for level, value in usage.by_level(view.state, resource).items())
    )


def _load_ratios(view: View) -> Samples:
    """Load divided by target, of concurrent requests and of CPU usage."""
    counted = workload_state.serving(view.state)
    found = []
    for scaling in view.scalings:
        for policy in scaling.policies or ():
            target = models.finite(policy.target)
            value = _load(view, policy.scaling_metric or "", counted.live if counted is not None else 0)
            if target and value is not None:
                found.append(((policy.scaling_metric or "",), value / target))
    return tuple(sorted(dict(found).items()))


def _load(view: View, metric: str, live: int) -> float | None:
    if not live:
        return None
    if metric == "httpRequestsConcurrency":
        window = view.state.details.windows.get("5m")
        concurrent = models.finite(window.metrics.concurrent_requests) if window is not None else None
        return None if concurrent is None else concurrent / live
    if metric == "cpuAverageUtilization":
        used = dict(_CPU(view))
        requested = [
            models.finite(container.resource_allocation.cpu)
            for group in view.groups
            for container in group.containers or ()
            if container.resource_allocation is not None
        ]
        cores = sum(value for value in requested if value is not None)
        per_pod = used.get(("pod",), used[("workload",)] / live if ("workload",) in used else None)
        return 100 * per_pod / cores if cores and per_pod is not None else None
    return None


_CPU = _use(usage.CPU)


def _in_catalogue(view: View) -> Samples:
    there = view.state.catalogue
    if there is None:
        return ()
    wanted = {name for group in view.groups for name in group.resource_bundles or ()}
    return tuple(((name,), float(name in there)) for name in sorted(wanted))


def _quota_limits(view: View) -> Samples:
    found: dict[tuple[str, ...], float] = {}
    for quota in view.state.details.quotas or ():
        for rule in quota.default_rules or ():
            limit = models.finite(rule.limit)
            if limit is not None and rule.rule:
                found[closed(rule.rule, QUOTA_RULES), closed(models.folded(rule.window or "min"), _QUOTA_WINDOWS)] = (
                    limit
                )
    return tuple(sorted(found.items()))


_QUOTA_WINDOWS = ("min", "hour", "day")


# -- statistics


def _windows(value: Callable[[Window], float | None]) -> Callable[[View], Samples]:
    """One sample per window; none for a window of which too little is after a reset of the statistics."""

    def samples(view: View) -> Samples:
        values = ((name, value(window)) for name, window in sorted(workload_state.windows(view.state).items()))
        return tuple(((name,), number) for name, number in values if number is not None)

    return samples


def _count(name: str) -> Callable[[Window], float | None]:
    return lambda window: models.finite(getattr(window.metrics, name))


def _share(name: str) -> Callable[[Window], float | None]:
    def share(window: Window) -> float | None:
        part, whole = models.finite(getattr(window.metrics, name)), models.finite(window.metrics.total_requests)
        return part / whole if part is not None and whole else None

    return share


def _concurrent(view: View) -> Samples:
    window = workload_state.windows(view.state).get("5m")
    return one(_count("concurrent_requests")(window) if window is not None else None)


def _quantiles(view: View) -> Samples:
    if "response_time_mean" in view.state.readings:
        return ()
    return tuple(
        ((str(quantile), name), seconds)
        for name, window in sorted(workload_state.windows(view.state).items())
        for quantile, seconds in window.quantiles
    )


def _means(view: View) -> Samples:
    if "response_time_mean" not in view.state.readings:
        return ()
    windows = sorted(workload_state.windows(view.state).items())
    return tuple(((name,), window.quantiles[0][1]) for name, window in windows if window.quantiles)


# -- sharing, totals, freshness


def _grants(view: View) -> Samples:
    if view.state.details.grants is None:
        return ()
    found: Counter[tuple[str, ...]] = Counter()
    for grant in view.state.details.grants:
        found[
            closed(models.folded(grant.share_recipient_type), RECIPIENTS),
            closed(models.folded(grant.role), SHARING_ROLES),
        ] += 1
    return _counted(found)


def _owners(view: View) -> Samples:
    grants = view.state.details.grants
    return one(None if grants is None else float(sum(models.folded(grant.role) == "owner" for grant in grants)))


def _totals(counts: Mapping[str, int], names: tuple[str, ...] | list[str]) -> Samples:
    return tuple(((name,), float(counts.get(name, 0))) for name in names)


def _events(view: View) -> Samples:
    ledger = view.state.ledger
    return _totals(ledger.events, EVENT_KINDS) if ledger.seen_events is not None else ()


_POD_SOURCE = "protons/{pid}/statusDetails"
_NO_PODS = "no pod snapshot (204), or it could not be read"
_NOT_ALL = "the active proton is unknown, or the pods of a proton that serves are"
_NO_TRAFFIC = "no request in the window, or it could not be read"
_NO_WINDOW = "not running, not reported, or less than an eighth of the window is after a reset of the statistics"
DETAILED: tuple[Family, ...] = (
    row("proton_info", "Proton (deployed version) of a workload; always 1. `role` is active, serving (it serves for "
        "good beside the active one), candidate, outgoing or other, inferred if the API does not report it.",
        _proton_info, labels=("artifact_id", *_P), source="protons[]", absence="the protons could not be read",
        reads=("pods",)),
    row("proton_status", "Status of a proton; 1 for the current status.", _proton_status, labels=(*_P, "status"),
        source="protons[].status", absence="the protons could not be read", reads=("pods",)),
    row("proton_running_since_timestamp_seconds", "Time the proton started running, in seconds since the epoch.",
        _running_since, labels=_P, source="protons[].runningSince", absence="not running, or not reported",
        reads=("pods",)),
    row("proton_snapshot_timestamp_seconds", "Time of the platform's latest pod snapshot, in seconds since the "
        "epoch. Updated only when pods change.", _snapshot_times, labels=_P,
        source=f"{_POD_SOURCE} overallStatus.lastUpdated", absence=_NO_PODS, stability="experimental",
        reads=("pods",)),
    row("proton_unreadable", "Protons whose pods could not be read at the last poll, by reason. `role` is unknown "
        "for protons missing from the proton list.", _unreadable, labels=("reason", "role"),
        source=f"{_POD_SOURCE}, protons[]",
        absence="the pods of all protons were read, or those of no proton were (then see datarobot_workload_fresh and "
        "datarobot_workload_access_refused)",
        unit="protons", reads=("pods",), profile="minimal"),
    row("proton_replicas", "Listed pods by phase. A phase does not indicate health, and stopped pods stay listed.",
        _snapshots(_phases), labels=(*_P, "phase"), source=f"{_POD_SOURCE} replicas[].status", absence=_NO_PODS,
        unit="pods", reads=("pods",)),
    row("proton_replicas_live", "Live pods: listed, and neither succeeded nor failed.",
        _snapshots(lambda s: float(len(_live(s)))), labels=_P, source=f"{_POD_SOURCE} replicas[].status",
        absence=_NO_PODS, unit="pods", reads=("pods",), profile="minimal"),
    row("proton_replicas_ready", "Live pods that are ready according to their Ready condition, or to all "
        "containers if there is none.", _snapshots(lambda s: float(pods.overview(s).ready)), labels=_P,
        source=f"{_POD_SOURCE} conditions[Ready], containers[].ready", absence=_NO_PODS, unit="pods",
        reads=("pods",), profile="minimal"),
    row("proton_replicas_readiness_unknown", "Live pods with unknown readiness.",
        _snapshots(lambda s: float(pods.overview(s).unknown)), labels=_P, source=_POD_SOURCE, absence=_NO_PODS,
        unit="pods", reads=("pods",)),
    row("proton_replicas_condition_unmet", "Live pods with a condition that is false or unknown.", _snapshots(_unmet),
        labels=(*_P, "condition"), source=f"{_POD_SOURCE} conditions[]", unit="pods",
        absence="no live pod reports the condition", reads=("pods",)),
    row("proton_replicas_unmet_reason", "Live pods with an unmet condition, by reason.",
        _unmet_reasons, labels=("condition", "proton_id", "reason", "role"), unit="pods",
        source=f"{_POD_SOURCE} conditions[].reason", absence="no such pod, or no reason reported",
        stability="experimental", reads=("pods",)),
    row("proton_replicas_unschedulable", "Live pods that cannot be scheduled, by missing resource.",
        _snapshots(_unschedulable), labels=(*_P, "resource"), source=f"{_POD_SOURCE} conditions[PodScheduled].message",
        absence=_NO_PODS, unit="pods", reads=("pods",), profile="minimal"),
    row("container_replicas", "Containers of live pods, by state.", _container_states,
        labels=("container", *_P, "state"), source=f"{_POD_SOURCE} containers[].status", unit="containers",
        absence="no live pod lists the container", reads=("pods",)),
    row("container_replicas_ready", "Containers of live pods that are ready.", _containers_ready,
        labels=("container", *_P), source=f"{_POD_SOURCE} containers[].ready", unit="containers",
        absence="no live pod lists the container, or one does not report it", reads=("pods",)),
    row("container_waiting_reason", "Waiting containers of live pods, by reason.",
        _reasons(pods.waiting_reason), labels=("container", "proton_id", "reason", "role"),
        source=f"{_POD_SOURCE} containers[].reason", unit="containers", absence="no such container, or no reason "
            "reported",
        reads=("pods",), profile="minimal"),
    row("container_last_terminated_reason", "Containers of live pods by the reason of their last termination. The stop "
        "of a proton is none.", _reasons(pods.terminated_reason, _ended_containers),
        labels=("container", "proton_id", "reason", "role"),
        source=f"{_POD_SOURCE} containers[].lastState.reason", unit="containers",
        absence="no such container, or the server reports no last state", reads=("pods",)),
    row("container_last_exit_code", "Exit code of the most recent container termination across live pods. The stop of "
        "a proton is none.", _exit_codes,
        labels=("container",), source=f"{_POD_SOURCE} containers[].lastState.exitCode", unit="exit code",
        absence="no termination, or not reported", reads=("pods",)),
    row("container_last_terminated_timestamp_seconds", "Time of the most recent container termination across live "
        "pods, in seconds since the epoch. The stop of a proton is none.", _end_times, labels=("container",),
        source=f"{_POD_SOURCE} containers[].lastState.finishedAt", absence="no termination, or not reported",
        reads=("pods",)),
    row("container_restarts_total", "Container restarts across all pods, including pods replaced since, counted from "
        "the first observation.", _restarts, labels=("container",), source=f"{_POD_SOURCE} containers[].restartCount",
        absence="the container was never listed", reads=("ledger",), profile="minimal"),
    row("container_terminations_total", "Observed container terminations by reason, counted from the first "
        "observation. Of several terminations between two polls only the last is counted.", _terminations,
        labels=("container", "reason"), source=f"{_POD_SOURCE} containers[].lastState",
        absence="the server reports no last state", reads=("ledger",)),
    row("workload_replicas_ready", "Ready pods of all protons that serve, see `role` of datarobot_proton_info.",
        _serving(lambda counted: counted.ready), source=_POD_SOURCE, absence=_NOT_ALL, unit="pods", reads=("pods",),
        profile="minimal"),
    row("workload_replicas_readiness_unknown", "Live pods with unknown readiness of all protons that serve.",
        _serving(lambda counted: counted.unknown), source=_POD_SOURCE, absence=_NOT_ALL, unit="pods", reads=("pods",),
        profile="minimal"),
    row("workload_replicas_live", "Live pods of all protons that serve: listed, and neither succeeded nor failed.",
        _serving(lambda counted: counted.live), source=_POD_SOURCE, absence=_NOT_ALL, unit="pods", reads=("pods",),
        profile="minimal"),
    row("workload_allocated_cpu_cores", "CPU cores allocated to live pods: those of the resource bundle times the "
        "number of pods.",
        _allocated(lambda bundle: bundle.cpu_count), labels=("bundle_id",),
        source=f"cpuCount of the bundle x {_POD_SOURCE}", absence="the pods or the bundle are not known, or there are "
        "several container groups", reads=("pods", "runtime", "catalogue")),
    row("workload_allocated_memory_bytes", "Memory allocated to live pods, in bytes.",
        _allocated(lambda bundle: bundle.memory_bytes), labels=("bundle_id",),
        source=f"memoryBytes of the bundle x {_POD_SOURCE}", absence="the pods or the bundle are not known, or there "
        "are several container groups", reads=("pods", "runtime", "catalogue")),
    row("workload_allocated_gpus", "GPUs allocated to live pods.", _allocated(lambda bundle: bundle.gpu_count),
        labels=("bundle_id",), source=f"gpuCount of the bundle x {_POD_SOURCE}", unit="GPUs",
        absence="the pods or the bundle are not known, or there are several container groups",
        reads=("pods", "runtime", "catalogue")),
    row("workload_scaled_to_zero", "1 while the autoscaler has scaled the workload to zero pods for lack of "
        "requests, 0 while there are pods.",
        lambda view: one(None if (zero := workload_state.scaled_to_zero(view.state)) is None else float(zero)),
        source="autoscaling, statusDetails, status",
        absence="the autoscaler is not allowed to scale to zero, or the pods are not known",
        reads=("pods", "workload"), profile="minimal"),
    row("workload_autoscaling_load_ratio", "Load of a live pod divided by the autoscaler's target; above 1 the "
        "autoscaler adds pods. Load is concurrent requests, or CPU usage over requested CPU.", _load_ratios,
        labels=("scaling_metric",), source="autoscaling.policies[], stats, autocollectedValues",
        absence="no such policy, no live pod, or the load is not known", stability="experimental",
        reads=("pods", "windows", "usage", "workload", "catalogue")),
    row("workload_replicas_limit", "Maximum number of replicas that the account allows a workload.",
        lambda view: one(float(limit) if (limit := view.state.replicas_limit) else None),
        source="GET /account/info limits.maxWorkloadReplicas", absence="no limit (0), or not reported",
        unit="replicas", reads=("replicas_limit",), profile="minimal"),
    row("workload_bundle_offered", "1 if the account's catalogue offers a configured resource bundle to workloads, "
        "else 0.",
        _in_catalogue, labels=("bundle_id",), source="runtime.resourceBundles, GET /mlops/compute/bundles",
        absence="the catalogue could not be read or has no bundle for workloads, or no bundle is configured",
        reads=("runtime", "catalogue")),
    row("workload_cpu_usage_cores", "CPU cores in use, at the level the API reports.", _CPU, labels=("level",),
        source="autocollectedValues, unit nanocores", absence="idle, not reported, in an unknown unit, or more "
            "than the bundle provides", stability="experimental", reads=("usage", "runtime", "pods", "catalogue")),
    row("workload_memory_usage_bytes", "Memory in use at the level the API reports, in bytes.",
        _use(usage.MEMORY), labels=("level",),
        source="autocollectedValues, unit bytes", absence="idle, not reported, in an unknown unit, or more than "
            "the bundle provides", stability="experimental", reads=("usage", "runtime", "pods", "catalogue")),
    row("workload_gpu_usage_ratio", "GPU usage as a ratio; 1 is full usage.", _use(usage.GPU),
        labels=("level",), source="autocollectedValues, unit percentage",
        absence="no GPU, idle, not reported, or in an unknown unit", stability="experimental", reads=("usage",)),
    row("workload_quota_limit", "Limit of a quota's default rule per window, as reported, including 0.",
        _quota_limits, labels=("rule", "window"), source="GET /quotas defaultRules[]", unit="as defined by the rule",
        absence="there is no quota, or the route is not offered for workloads", stability="experimental",
        reads=("quotas",)),
    row("workload_window_requests", "Requests in a sliding window. Do not use rate().",
        _windows(_count("total_requests")), labels=("window",), source="stats totalRequests", unit="requests",
        absence=_NO_WINDOW, reads=("windows", "ledger"), profile="minimal"),
    row("workload_window_server_errors", "Responses with status 500 and above in a sliding window. Do not use "
        "rate().",
        _windows(_count("server_errors")), labels=("window",), source="stats serverErrors", unit="requests",
        absence=_NO_WINDOW, reads=("windows", "ledger"), profile="minimal"),
    row("workload_window_client_errors", "Responses with status 400 to 499 in a sliding window. Do not use rate().",
        _windows(_count("user_errors")), labels=("window",), source="stats userErrors", unit="requests",
        absence=_NO_WINDOW, reads=("windows", "ledger")),
    row("workload_window_slow_requests", "Requests in a sliding window slower than the configured threshold.",
        _windows(_count("slow_requests")), labels=("window",), source="stats slowRequests", unit="requests",
        absence=_NO_WINDOW, reads=("windows", "ledger")),
    row("workload_window_server_error_ratio", "Share of responses with status 500 and above in the window.",
        _windows(workload_state.error_share), labels=("window",), source="stats serverErrors / totalRequests",
        absence=_NO_TRAFFIC, reads=("windows", "ledger")),
    row("workload_window_client_error_ratio", "Share of responses with status 400 to 499 in the window.",
        _windows(_share("user_errors")), labels=("window",), source="stats userErrors / totalRequests",
        absence=_NO_TRAFFIC, reads=("windows", "ledger")),
    row("workload_window_slow_ratio", "Share of requests in the window slower than the configured threshold.",
        _windows(_share("slow_requests")), labels=("window",), source="stats slowRequests / totalRequests",
        absence=_NO_TRAFFIC, reads=("windows", "ledger")),
    row("workload_window_response_seconds", "Response time at a quantile of the window as computed by the API, "
        "without the network, in seconds.", _quantiles, labels=("quantile", "window"),
        source="stats responseTime, milliseconds", absence=f"{_NO_TRAFFIC}, or the API reports a mean",
        stability="experimental", reads=("windows", "ledger")),
    row("workload_window_response_mean_seconds", "Mean response time of the window, if the API is found to report that "
        "instead of a quantile, in seconds.", _means, labels=("window",), source="stats responseTime, milliseconds",
        absence=f"{_NO_TRAFFIC}, or the API reports a quantile", stability="experimental",
        reads=("windows", "ledger")),
    row("workload_window_end_timestamp_seconds", "End of the latest reported window, in seconds since the epoch.",
        _windows(lambda window: window.end), labels=("window",), source="observed", absence=_NO_WINDOW,
        profile="full", reads=("windows", "ledger")),
    row("workload_concurrent_requests", "Concurrent requests, from the shortest window.",
        _concurrent,
        source="stats concurrentRequests", unit="requests", absence=_NO_WINDOW, reads=("windows", "ledger")),
    row("workload_stats_resets_total", "Resets of the statistics: the artifact was promoted, or they were cleared. "
        "Windows of which less than an eighth is after it are left out.",
        lambda view: one(float(view.state.ledger.resets)),
        source="artifact.status, stats totalRequests", absence="the workload is not listed", reads=("ledger",)),
    row("workload_grants", "Grants by role and kind of recipient; only those present. Names are not read.", _grants,
        labels=("recipient", "role"), source="sharedRoles[]", absence="no such grant, or the route cannot be read",
        unit="grants", stability="experimental", reads=("grants",)),
    row("workload_owners", "Grants of the role owner; 0 if the workload has no owner.", _owners,
        source="sharedRoles[role=OWNER]", absence="the route cannot be read", unit="grants",
        stability="experimental", reads=("grants",)),
    row("workload_sharing_changes_total", "Grants added, changed or removed since the first read.",
        lambda view: one(None if view.state.ledger.grants is None else float(view.state.ledger.sharing_changes)),
        source="sharedRoles[]", absence="the route could never be read", stability="experimental", reads=("ledger",)),
    row("workload_access_refused", "1 for each part of the details that this token may not read (403).",
        lambda view: tuple(((part,), 1.0) for part in sorted(view.state.details.refused)), labels=("part",),
        source="status 403", absence="the part may be read", reads=("refused",)),
    row("workload_detail_failing", "1 for each part of the details whose last request failed, by reason.",
        lambda view: tuple((each, 1.0) for each in sorted(view.state.details.failed.items())),
        labels=("part", "reason"), source="failed requests", absence="the last request did not fail, or was refused "
        "(403)", reads=("failed",), profile="minimal"),
    row("workload_access_reduced", "1 if the token may no longer read the pods and events of the workload (403), "
        "which it could before.", lambda view: one(1.0 if workload_state.access_reduced(view.state) else None),
        source="status 403 of several routes", absence="they may be read, or never could be",
        reads=("refused", "ledger"), profile="minimal"),
    row("workload_consumer_only", "1 if the token's user may call the workload but not read its details. This is "
        "not a fault.",
        lambda view: one(1.0 if workload_state.consumer_only(view.state) else None), source="status 403 of several "
            "routes",
        absence="details may be read", stability="experimental", reads=("refused",)),
    row("workload_transitions_total", "State transitions of a workload between sweeps, counted from the first "
        "observation.",
        lambda view: _totals(view.state.ledger.transitions, TRANSITIONS), labels=("transition",),
        source="observed: status, protonId, replacement, events", absence="the workload is not listed",
        reads=("ledger",), profile="minimal"),
    row("workload_replacements_total", "Finished replacements by outcome, from events or the replacement record. "
        "`reverted` means that the record disappeared and the previous proton still serves.",
        lambda view: _totals(view.state.ledger.outcomes, list(REPLACEMENT_OUTCOMES)), labels=("outcome",),
        source="events, replacement, protonId", absence="the workload is not listed", reads=("ledger",)),
    row("workload_replacement_failed_timestamp_seconds", "Time the last unsuccessful replacement ended (reported "
        "as failed, or reverted), in seconds since the epoch.", lambda view: one(view.state.ledger.rollout_failed),
        source="events, replacement, protonId", absence="no failure observed, or a later replacement completed",
        reads=("ledger",), profile="minimal"),
    row("workload_replacement_started_timestamp_seconds", "Start time of the replacement in progress, in seconds "
        "since the epoch; the first observation if not reported.",
        lambda view: one(active_replacement.started(view.state)),
        source="replacement.createdAt, observed", absence="no replacement is in progress",
        reads=("ledger", "replacement", "workload")),
    row("workload_restarting_since_timestamp_seconds", "Time of the third observed restart, counted back, of a "
        "container of the serving version that restarts again and again, in seconds since the epoch; of several "
        "containers the latest.", _restarting_since, source="containers[].restartCount, observed",
        absence="no such container was restarted three times, or only within five minutes", profile="minimal",
        reads=("ledger", "pods")),
    row("workload_replacement_deadline_timestamp_seconds", "Time by which the replacement in progress should be over, "
        "in seconds since the epoch: 30 min after its start, plus its warm-up, plus 5 min for both versions to exist.",
        lambda view: one(active_replacement.deadline(view.state)),
        source="replacement.createdAt, replacement.config.warmupDurationMinutes, observed",
        absence="no replacement is in progress, or an event has reported its end", profile="minimal",
        reads=("ledger", "replacement", "workload")),
    row("workload_events_total", "Events by kind, counted once per id from the first observation.", _events,
        labels=("event",), source="events[].eventType", absence="the events could never be read", reads=("ledger",)),
    row("workload_event_last_timestamp_seconds", "Time of the latest event of a kind, in seconds since the epoch.",
        lambda view: tuple(((kind,), at) for kind, at in sorted(view.state.ledger.newest.items())),
        labels=("event",), source="events[].timestamp", absence="no such event reported", stability="experimental",
        reads=("ledger",)),
    row("workload_fresh", "1 while a part of the workload's data is up to date, else 0. Part `list` is its item in "
        "the workload list: 0 while one of its fields cannot be read. Other parts are details: 0 once too old, "
        "with their series withdrawn; `pods` also while the active proton's pods cannot be read.", _fresh,
        labels=("part",), source="observed", absence="the part is not polled, is refused, or was not read yet",
        reads=("fresh", "held")),
    row("workload_detail_timestamp_seconds", "Time a part of the details was last read, in seconds since the "
        "epoch; only for workloads that are not steady.",
        lambda view: tuple(((part,), at) for part, at in sorted(view.state.details.polled.items())), labels=("part",),
        source="observed", absence="the workload is steady, or the part was never read", reads=("polled",)),
)  # fmt: skip
