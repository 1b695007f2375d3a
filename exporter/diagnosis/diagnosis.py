"""What is wrong with one workload, the likely cause, and the next step, for the engineer on call.

The likely cause is the first row of `exporter.diagnosis.causes.CAUSES` whose condition is met;
`exporter.diagnosis.wording` writes the texts. Missing data is stated as such, never as zero and never with an invented
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import active_alerts
from exporter.alerting.expressions import Metric, Threshold, WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.api import models
from exporter.api.details import Event
from exporter.api.pods import UNREAD_REASONS
from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.changes import changes, masked_enum
from exporter.diagnosis.facts import PARTS, Facts, ReplicaCounts, StatusFacts, TrafficFacts
from exporter.diagnosis.log_causes import of_mixed_log
from exporter.diagnosis.log_signs import LogSigns
from exporter.diagnosis.owner import owner, owner_text, printable
from exporter.diagnosis.phrases import utc
from exporter.diagnosis.pod_causes import Cause
from exporter.diagnosis.pod_problems import (
    Snapshot,
    container_problems,
    log_is_mixed,
    rolled_back,
    scheduling_problems,
    snapshots,
)
from exporter.fleet import waste, workload_state
from exporter.fleet.episodes import ObservedEvent, PodFacts
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WINDOWS, WorkloadState
from exporter.masking import scrubbed

_WORKLOAD_ALERTS = tuple(alert for alert in ALERTS if alert.component == "workload")


class Diagnosis(NamedTuple):
    """The facts, the likely cause, links (pairs of a text and a URL), lines of its log, if requested, and its signs."""

    facts: Facts
    cause: Cause
    links: tuple[tuple[str, str], ...]
    log: str = ""
    log_signs: LogSigns = LogSigns(0)

    def with_unknown(self, part: str, reason: str) -> Diagnosis:
        """The same with another part of the facts that is not known."""
        return self._replace(facts=self.facts._replace(unknown={**self.facts.unknown, part: reason}))

    @property
    def severity(self) -> str:
        """The highest severity of the alerts whose condition is met: critical, warning, info, or empty."""
        met = {alert.severity for alert in self.facts.alerts}
        return next((severity for severity in ("critical", "warning", "info") if severity in met), "")


def diagnosis(
    state: WorkloadState, now: float, options: Options, events: tuple[Event, ...] = (), recovering: str = ""
) -> Diagnosis:
    """The diagnosis of a workload. `events`: its events from the API, if they were requested, in any order.

    `recovering`: an alert that fires although its condition is no longer met; empty: there is none.
    """
    facts = _facts(state, now, options, events)._replace(recovering=recovering)
    cause = next(row for row in CAUSES if row.is_met(facts))
    if facts.log_mixed and cause.observed:
        cause = of_mixed_log(cause)
    return Diagnosis(facts, cause, tuple(_links(facts, cause, options)))


def _facts(state: WorkloadState, now: float, options: Options, events: tuple[Event, ...]) -> Facts:
    context = WorkloadContext(state, now, options.thresholds)
    met, workload = active_alerts(_WORKLOAD_ALERTS, context), state.workload
    wanted = {alert.name for alert in in_force(options)}
    gone, status, version = state.vanished is not None, _status(state, now), _newest_version(state)
    reports, recorded = _reports(state, now, events)
    facts = Facts(
        at=now,
        account=state.account,
        id=printable(workload.id),
        name=printable(workload.name or workload.id),
        importance=masked_enum(workload.importance),
        state=status,
        replicas=_replicas(state),
        containers=(),
        unschedulable=(),
        event=_last_event(state, events),
        changes=changes(state, now, events, version),
        requests=None,
        limits=(),
        draft_ends=None,
        unknown={},
        alerts=tuple(alert for alert in met if alert.alert in wanted),
        met=frozenset(alert.alert for alert in met),
        gone=(state.gone_because or "unknown") if gone else "",
        rolling=replacement_active(workload),
        owner=owner(state, options.owner_tags),
        owner_text=owner_text(state, options.owner_tags),
        down=state.ledger.serving.down if not gone else None,
        served=state.ledger.serving.ready,
    )
    if gone:
        return facts
    return facts._replace(
        containers=container_problems(state, now, reports, recorded),
        unschedulable=scheduling_problems(reports, recorded),
        requests=_requests(state, context),
        limits=tuple(_limits(state, context, facts.met)),
        draft_ends=workload_state.draft_expiry(state),
        unknown=dict(_unknown(state)),
        draft_over=_draft_over(state, version, now if status.longer else status.since or now),
        snapshot=_pods_reported(state),
        other_uses=any(name in state.other_uses for name in _not_offered(context)),
        unread=tuple(each._replace(proton=printable(each.proton)) for each in workload_state.unread(state)),
        unreadable=workload_state.unreadable(state),
        log_mixed=log_is_mixed(state),
    )


def _reports(
    state: WorkloadState, now: float, events: tuple[Event, ...]
) -> tuple[tuple[Snapshot, ...], tuple[PodFacts, ...]]:
    """The pod reports, and the recorded pods of versions that are no longer reported; each version once.

    While the record of a failed replacement is still listed, its version is reported, and is the rolled-back one.
    """
    reverted, recorded = rolled_back(state, now, events)
    back = {proton for _, proton, _ in reverted} | {pod.proton for pod in recorded}
    reported = [("reverted" if proton in back else role, proton, each) for role, proton, each in snapshots(state)]
    listed = {proton for _, proton, _ in reported}
    return (
        (*reported, *(each for each in reverted if each[1] not in listed)),
        tuple(pod for pod in recorded if pod.proton not in listed),
    )


def _newest_version(state: WorkloadState) -> float | None:
    """When the newest version was created; None if it may be one that is not listed."""
    pods = state.details.pods
    protons = pods.protons if pods is not None and pods.complete else ()
    created = [state.at(proton.created_at) for proton in protons]
    return max((at for at in created if at is not None), default=None)


def _draft_over(state: WorkloadState, version: float | None, ended: float) -> bool:
    """Whether a draft was stopped because its time was over: as observed, or because it is old enough."""
    artifact = state.workload.artifact
    if (
        models.folded(state.workload.status) != "stopped"
        or artifact is None
        or models.folded(artifact.status) != "draft"
    ):
        return False
    began = version if version is not None else state.at(state.workload.created_at)
    old = began is not None and ended - began >= models.DRAFT_LIFETIME_SECONDS - 60
    return old or "draft_expired" in state.ledger.transitions


def _status(state: WorkloadState, now: float) -> StatusFacts:
    """The status; `since` as observed, else since its version runs."""
    ledger, group = state.ledger, workload_state.status_group(state)
    if state.vanished is not None:
        return StatusFacts("vanished", "vanished", state.vanished)
    status, failures = masked_enum(state.workload.status), ledger.transitions.get("errored", 0)
    if ledger.since > ledger.first:
        return StatusFacts(status, group, ledger.since, failures=failures)
    proton = workload_state.active(state) if group == "up" else None
    running = state.at(proton.running_since) if proton is not None else None
    if running is not None and running <= now:
        return StatusFacts(status, group, running, failures=failures)
    since = ledger.since if now - ledger.since >= 60 else None
    return StatusFacts(status, group, since, longer=True, failures=failures)


def _replicas(state: WorkloadState) -> ReplicaCounts:
    counted = workload_state.serving(state) if state.vanished is None else None
    return ReplicaCounts(
        counted.ready if counted is not None else None,
        counted.unknown if counted is not None else 0,
        counted.live if counted is not None else None,
        workload_state.min_replicas(state),
        workload_state.max_replicas(state),
        counted is not None and bool(workload_state.scaled_to_zero(state)),
    )


def _pods_reported(state: WorkloadState) -> bool:
    """Whether pods of the active version are reported, or of any version if none is known to be active."""
    active, pods = workload_state.active(state), state.details.pods
    if pods is None or workload_state.unreadable(state):
        return False
    return any(snapshots(state)) if active is None else pods.details.get(active.id) is not None


def _last_event(state: WorkloadState, events: Iterable[Event]) -> ObservedEvent | None:
    reported = [ObservedEvent(each.reported_type, models.timestamp(each.timestamp), each.text) for each in events]
    last = max(reported, key=lambda each: each.at or 0.0, default=state.ledger.tracker.last)
    if last is None:
        return None
    at = None if last.at is None else last.at - state.ahead
    return ObservedEvent(scrubbed(last.type), at, scrubbed(last.message))


# -- requests, limits, and unknown parts


def _requests(state: WorkloadState, context: WorkloadContext) -> TrafficFacts | None:
    def value(name: str, window: str = "5m", **where: str) -> float | None:
        return Metric(f"workload_window_{name}", "max", window=window, **where).value(context)

    total, window = value("requests"), state.details.windows.get("5m")
    if total is None or window is None:
        return None
    return TrafficFacts(
        window.end,
        total,
        value("server_error_ratio"),
        value("client_error_ratio"),
        value("slow_ratio"),
        value("response_seconds", quantile="0.95"),
        value("server_error_ratio", "1h"),
    )


_OFFERED, _LOAD = Metric("workload_bundle_offered"), Metric("workload_autoscaling_load_ratio")
_MEMORY_OF_POD = Metric("workload_memory_usage_bytes", level="pod") / Metric("workload_replica_memory_bytes")
_MEMORY_OF_WORKLOAD = Metric("workload_memory_usage_bytes", level="workload") / (
    Metric("workload_replica_memory_bytes") * Metric("workload_replicas_live")
)


_OF_COSTS = {"DataRobotWorkloadIdle", "DataRobotWorkloadForgotten", "DataRobotWorkloadOversized"}
"""Alerts about money. With any other problem, a bundle that is too large does not matter."""


def _limits(state: WorkloadState, context: WorkloadContext, met: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What is at its limit, by the conditions of the alerts."""
    if "DataRobotBundleNotOffered" in met:
        missing = ", ".join(map(scrubbed, _not_offered(context)))
        yield "bundle", f"the catalogue does not offer its resource bundle {missing} to workloads"
    if "DataRobotAutoscalerSaturated" in met:
        most, load = workload_state.max_replicas(state), _LOAD.value(context)
        at_maximum = f"the autoscaler is at its maximum of {most} replicas"
        yield "autoscaler", f"{at_maximum}, and the load is {load:.1f} times its target"
    if "DataRobotWorkloadReplicaLimitNear" in met:
        most = workload_state.max_replicas(state)
        yield "replicas", f"its maximum is {most} replicas, and its account allows a workload {state.replicas_limit}"
    if "DataRobotWorkloadMemoryNearLimit" in met:
        ratios = (ratio.value(context) for ratio in (_MEMORY_OF_POD, _MEMORY_OF_WORKLOAD))
        used = max(ratio for ratio in ratios if ratio is not None)
        yield "memory", f"{100 * used:.0f}% of the memory of its resource bundle is in use{_bundle(context)}"
    if (since := waste.idle_since(state)) is not None:
        yield "requests", f"no requests since {utc(since):%Y-%m-%d}, although its replicas are ready"
    found = waste.sizing(state)
    if found is not None and (found.finding == "undersized" or met <= _OF_COSTS):
        fitting = scrubbed(found.fitting) or "no bundle of the catalogue with the same GPUs"
        yield "size", f"its resource bundle is {found.finding} for the use of the last days; {fitting} would fit"
    if met & {"DataRobotErrorBudgetBurnFast", "DataRobotErrorBudgetBurnSlow"}:
        ratios_by_window = [
            (w, Metric("workload_window_server_error_ratio", window=w).value(context)) for w in WINDOWS if w != "5m"
        ]
        windows = ", ".join(f"{ratio:.2%} over {window}" for window, ratio in ratios_by_window if ratio is not None)
        own = state.objective.availability if state.objective is not None else None
        allowed = Threshold("error_budget").value(context) if own is None else 1 - own
        yield "errors", f"server errors {windows}; {allowed:.2%} allowed"


def _not_offered(context: WorkloadContext) -> list[str]:
    """The configured resource bundles that are not offered to workloads."""
    return [name for (name,), offered in context.samples(_OFFERED) if not offered]


def _bundle(context: WorkloadContext) -> str:
    """The memory of a replica, by its resource bundle."""
    size = Metric("workload_replica_memory_bytes").value(context)
    return f" ({size / (1 << 30):.3g} GiB per replica)" if size else ""


def _unknown(state: WorkloadState) -> Iterator[tuple[str, str]]:
    """Parts that are not known, each with the reason."""
    if state.held:
        fields = workload_state.held(state)
        yield "list", f"{fields} not readable; the last readable value is shown for at most 15 minutes"
    for part in PARTS:
        reason = _unknown_reason(state, part)
        if reason:
            yield part, reason


def _unknown_reason(state: WorkloadState, part: str) -> str:
    details, group = state.details, workload_state.status_group(state)
    failed = UNREAD_REASONS.get(details.failed.get(part, ""), "")
    if part in details.refused:
        return "the API responds with 403: this token is not allowed to read them"
    if part == "pods" and (unread := workload_state.unread(state)):
        return printable("; ".join(each.text for each in unread))
    if details.fresh.get(part) is False:
        return f"not reported recently; {failed or 'the last values are too old'}"
    if part == "pods" and details.pods is None:
        return f"not reported yet; {failed}" if failed else "not reported yet"
    if part == "pods" and group not in ("off", "failed") and not _pods_reported(state):
        return "the platform reports nothing about them (204)"
    if part == "stats_5m" and workload_state.is_up(state) and "5m" not in details.windows:
        return f"not reported yet; {failed}" if failed else "not reported yet"
    return f"the last request failed, what was reported before is shown; {failed}" if failed else ""


# -- links


def _links(facts: Facts, cause: Cause, options: Options) -> Iterator[tuple[str, str]]:
    by_severity = sorted(facts.alerts, key=lambda alert: ("critical", "warning", "info").index(alert.severity))
    names = dict.fromkeys([*filter(None, [cause.alert]), *(alert.alert for alert in by_severity)])
    for name in list(names)[:2]:
        yield f"Runbook {name}", options.runbook(name)
    workload, account = quote(facts.id, safe=""), quote(facts.account, safe="")
    if options.status:
        yield "Status", f"{options.status}/workloads/{workload}?account={account}"
    if options.dashboards:
        yield "Dashboard", f"{options.dashboards}/d/datarobot-workload?var-account={account}&var-workload={workload}"
    if options.console:
        yield "Console", f"{options.console}/console-nextgen/workloads/{workload}/overview"
    if options.traces:
        yield "Traces", options.traces.replace("{workload_id}", workload)
