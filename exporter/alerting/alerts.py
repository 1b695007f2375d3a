"""ALERTS: all alerts as a table.

The condition of an alert is an expression of `exporter.alerting.expressions`: Prometheus rules are printed from it, and
direct paging evaluates it. Missing data fires no alert, except those about missing data.
"""

# ruff: noqa: SIM300 — a condition reads more naturally with the measured value first
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from exporter.alerting.expressions import NOW, Condition, Count, Metric, Number, Raw, Term, Threshold
from exporter.api import models

Severity = Literal["critical", "warning", "info", "none"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "none")
"""Highest first."""
Component = Literal["workload", "account", "exporter"]
M, T = Metric, Threshold


class Level(NamedTuple):
    """A severity and its condition, which `text` describes. The first level whose condition is met counts."""

    severity: Severity
    when: Condition | None = None
    text: str = ""


class Keep(NamedTuple):
    """For how many seconds an alert keeps firing after its condition was last met, by severity.

    What fails again within that time is the same incident.
    """

    critical: float = 0.0
    warning: float = 0.0


class Alert(NamedTuple):
    """One alert. Times are in seconds.

    `wait`: how long its condition must be met before it fires. `since`: when the condition was first met, if a metric
    reports that: then the wait is part of the condition, and a change of severity does not wait again. `keep`: when its
    incident has ended. `summary` is the same for all subjects; `description` continues the name of the subject.
    `opt_in`: it is off unless the settings turn it on. `lasting`: for an alert that reports a change and
    ends once that is no longer new, what is then still so; empty: the problem is over.
    """

    name: str
    component: Component
    condition: Condition
    levels: tuple[Level, ...]
    wait: float
    summary: str
    description: str
    keep: Keep = Keep()
    opt_in: bool = False
    since: Term | None = None
    lasting: str = ""

    def keep_of(self, severity: str) -> float:
        """For how long it keeps firing with this severity."""
        return self.keep.critical if severity == "critical" else self.keep.warning

    @property
    def pods(self) -> bool:
        """Whether its condition reads data about pods, and not only if there are any; its severities may do so as
        well.
        """
        return any("pods" in metric.reads for metric in self.condition.metrics(reported=False))


def _status(*names: str) -> Condition:
    return M("workload_status", status="|".join(names)).is_(1)


def _group(name: models.StatusGroup) -> Condition:
    return _status(*models.of_group(name))


def _waits(reasons: str) -> Condition:
    # Only versions that serve: DataRobotReplacementFailed reports what a candidate lacks, once its end is known.
    return M("container_waiting_reason", "sum", reason=reasons, role=_SERVING) > 0


def _share(name: str, window: str) -> Term:
    return M(f"workload_window_{name}_ratio", window=window)


def _requests(window: str) -> Term:
    return M("workload_window_requests", window=window)


def _burns(
    factor: str,
    short: str,
    long: str,
    now: str,
    over: Callable[[str, str], Condition] | None = None,
    bad: str = "server_error",
) -> Condition:
    """Whether an error budget is used up `factor` times too fast over two windows, and it still is.

    `over`: whether the share of `bad` requests in a window exceeds `factor` times what is allowed; by default, that of
    server errors. The pairs are those of the workbook of Google's SREs. A window goes on for long after an outage:
    `now` is a short one that ends soon after it.
    """
    over = over or _over
    met = over(factor, long) & (_requests(long) * _share(bad, long) >= T("burn_errors"))
    if short != now:
        met = met & over(factor, short)
    enough = T("requests" if short == "5m" else "burn_requests")
    return met & (_requests(short) >= enough) & over(factor, now)


def _over(factor: str, window: str) -> Condition:
    """Whether more requests have server errors than `factor` times what the objective of the workload allows.

    Workloads without an objective of availability have the threshold `error_budget`.
    """
    share = _share("server_error", window)
    by_default = (share > T(factor) * T("error_budget")).unless(_TARGET.reported())
    return (share > T(factor) * (Number(1) - _TARGET)) | by_default


def _slow_burns(factor: str, short: str, long: str, now: str) -> Condition:
    """The same for slow requests of workloads with an objective of latency."""
    return _burns(factor, short, long, now, lambda factor, window: _burn("latency", window) > T(factor), "slow")


def _burn(objective: str, window: str) -> Term:
    return M("workload_objective_burn_rate", objective=objective, window=window)


_SERVING = "active|serving"
_TARGET = M("workload_objective_target_ratio", objective="availability")
_SINCE = M("workload_status_since_timestamp_seconds")
_FIRST = M("workload_first_observed_timestamp_seconds")
_DEGRADED_SINCE = M("workload_degraded_since_timestamp_seconds")
_DOWN_SINCE = M("workload_down_since_timestamp_seconds")
_IN_STATE = NOW - _SINCE
_CHANGE_OBSERVED = _SINCE > _FIRST
_RUNNING, _STARTING = _status("running"), _group("starting")
_OFF = _status("stopped", "suspended", "interrupted", "terminated", *models.of_group("leaving"))
_IMPORTANT = M("workload_importance", importance="critical|high").is_(1)
_CRITICAL = M("workload_importance", importance="critical").is_(1)
_UNREAD = M("workload_detail_failing", part="pods", reason="server_error|decode|too_large").is_(1) & M(
    "workload_detail_failing", part="events", reason="server_error|decode|too_large"
).is_(1)
_REFUSED = M("workload_access_reduced").is_(1)
_DRAFT = M("workload_artifact_info", artifact_status="draft").is_(1)
_LEAST, _MOST = M("workload_replicas_min"), M("workload_replicas_max")
_KNOWN_READY = M("proton_replicas_ready", "sum", role=_SERVING)
_READY = _KNOWN_READY + M("proton_replicas_readiness_unknown", "sum", role=_SERVING)
_LIVE = M("proton_replicas_live", "sum", role=_SERVING)
_LIVE_BUT_NOT_READY = _READY.is_(0) & (_LIVE > 0)
_HALVED = _READY / _LEAST < T("degraded_ratio")
_READY_FOR = NOW - M("workload_ready_since_timestamp_seconds")
_JUST_READY = _READY_FOR < T("ready_seconds")
_DOWN, _DEGRADED = _DOWN_SINCE.reported(), _DEGRADED_SINCE.reported()
_FAILED = _status(*(name for name in models.of_group("failed") if name != "terminated"))
_RESTARTING_FOR = NOW - M("workload_restarting_since_timestamp_seconds")
_CRASHED_FOR = NOW - M("container_last_terminated_timestamp_seconds")
_CRASHED = _CRASHED_FOR < T("crashed_seconds")
_UNSTABLE = (_READY_FOR < T("unstable_seconds")) & (_CRASHED_FOR < T("unstable_seconds"))
_MOSTLY_ERRORS = (_requests("5m") >= T("requests")) & (_share("server_error", "5m") > T("server_error_ratio"))
# What is rejected proves nothing about a workload: many such requests must not hide that all others fail.
_ACCEPTED = Number(1) - _share("client_error", "5m")
_MOSTLY_ERRORS_OF_ACCEPTED = (_requests("5m") * _ACCEPTED >= T("requests")) & (
    _share("server_error", "5m") / _ACCEPTED > T("server_error_ratio")
)
_DOWN_AT_TIMES = NOW - M("workload_recovering_since_timestamp_seconds") < T("recoveries_seconds")
_EXPLAINED = (_JUST_READY | _DOWN).unless(_DOWN_AT_TIMES)
_ONLY_ERRORS = (_MOSTLY_ERRORS | _MOSTLY_ERRORS_OF_ACCEPTED).unless(_OFF).unless(_JUST_READY)
_ENOUGH_READY = _KNOWN_READY / _LEAST >= T("degraded_ratio")
_SHOULD_RUN = M("workload_status").reported().unless(_status("stopped", "suspended", "terminated"))
_FAILING = _FAILED.unless(_ENOUGH_READY) | _status("interrupted") | _DOWN | _ONLY_ERRORS

_SLOW_TO_START = (M("workload_replica_gpus") > 0) | M("workload_info", workload_type="nim|NIM").is_(1)
_STARTING_FOR = NOW - M("workload_starting_since_timestamp_seconds")
_FOR_LONG = (_STARTING_FOR > T("starting_gpu_seconds")) | (_STARTING_FOR > T("starting_seconds")).unless(_SLOW_TO_START)
_STARTING_FOR_LONG = _STARTING & _FOR_LONG
_FIRST_START = (_STARTING & _READY.is_(0)).unless(_DOWN | _FOR_LONG)
"""None of its replicas was ready since it was started, which may take a while."""

_IDLE_SINCE = M("workload_idle_since_timestamp_seconds")
_UPDATED = M("workload_updated_timestamp_seconds")
_FORGOTTEN = (NOW - _IDLE_SINCE > T("forgotten_seconds")) & (NOW - _UPDATED > T("forgotten_seconds"))

PAGE: tuple[Level, ...] = (Level("critical"),)
TICKET: tuple[Level, ...] = (Level("warning"),)
NOTE: tuple[Level, ...] = (Level("info"),)
TICKET_IF_HELD = (
    Level(
        "warning",
        Raw("on (job) max by (job) (datarobot_exporter_unit_held{$job}) == 1"),
        "another replica holds accounts",
    ),
    *PAGE,
)
_IF_IMPORTANT = "the workload is of high or critical importance"
PAGE_IF_IMPORTANT = (Level("critical", _IMPORTANT, _IF_IMPORTANT), *TICKET)
PAGE_IF_CRITICAL_UNLESS_SERVING = (
    Level(
        "critical",
        _CRITICAL.unless(_ENOUGH_READY),
        "the workload is of critical importance, unless `degraded_ratio` of its replicas are ready",
    ),
    *TICKET,
)
PAGE_IF_IMPORTANT_AND_FEW_READY = (
    # Without a minimum of replicas, those that there are show that it should serve, such as after a request woke it.
    Level(
        "critical",
        _IMPORTANT & (_HALVED | _LIVE_BUT_NOT_READY),
        f"{_IF_IMPORTANT} and less than `degraded_ratio` of its replicas are ready, or none",
    ),
    *TICKET,
)
PAGE_IF_IMPORTANT_UNLESS_SERVING = (
    Level(
        "critical",
        _IMPORTANT.unless(_ENOUGH_READY),
        f"{_IF_IMPORTANT}, unless `degraded_ratio` of its replicas are ready",
    ),
    *TICKET,
)
PAGE_IF_RUNNING_OR_IMPORTANT = (
    # The list is read more often than pods: while a workload recovers, its status is right before its replicas are.
    Level(
        "critical",
        _IMPORTANT | (_RUNNING & (_IN_STATE > T("running_seconds"))) | _MOSTLY_ERRORS,
        f"{_IF_IMPORTANT}, or its status has been running for `running_seconds`, or most requests fail",
    ),
    *TICKET,
)
PAGE_IF_IMPORTANT_AND_HALVED = (
    Level(
        "critical",
        _IMPORTANT & _HALVED,
        f"{_IF_IMPORTANT} and less than `degraded_ratio` of its replicas are ready",
    ),
    *TICKET,
)
PAGE_IF_IMPORTANT_AND_DOWN_AT_TIMES = (
    Level(
        "critical",
        # Of a workload without a minimum, no ratio is known.
        _IMPORTANT & (_HALVED | _LIVE_BUT_NOT_READY | _UNSTABLE),
        f"{_IF_IMPORTANT} and less than `degraded_ratio` of its replicas are ready, or none, or both the last exit and "
        "a time without a ready replica are less than `unstable_seconds` ago",
    ),
    *TICKET,
)

# When one recovery ends several conditions, data about them arrives within a minute, about requests within two. What
# mutes others is kept longer than they are by more than that, and a page longer than a ticket, which it mutes: so the
# end of an alert never unmutes one that is over too. tests/alerting/test_mutes.py checks it.
_OF_FLEET = Keep(critical=900)
_OF_DOWN = Keep(critical=840, warning=480)
_OF_CAUSE = Keep(critical=780, warning=420)
_OF_STATE = Keep(critical=720, warning=360)
_OF_START = Keep(critical=540, warning=180)  # it goes on for minutes after that which delayed it
_OF_REQUESTS = Keep(critical=660)
_OF_BUDGET = Keep(critical=540, warning=360)
_OF_INTERRUPTION = Keep(critical=720, warning=480)
_OF_USE, _OF_MEMORY = Keep(warning=600), Keep(warning=1800)
_OF_ACCESS = Keep(warning=480)
_OF_DELIVERY = Keep(critical=480)  # a new process counts the time from its own first failure
_OF_TOKEN, _OF_API, _OF_DATA = Keep(critical=660), Keep(critical=600), Keep(critical=540)

# While no replica reports an account, what was reported last counts: another one takes it over.
_API_UP = (
    "(\n  max by (account) (datarobot_exporter_api_up{$job})\n"
    "  or min by (account) (last_over_time(datarobot_exporter_api_up{$job}[$300s]))\n)"
)

# Causes wait a minute less than their consequences: rule groups are evaluated at different times, and an Alertmanager
# can only mute alerts that it has not notified yet.
ALERTS: tuple[Alert, ...] = (
    # -- availability
    Alert("DataRobotWorkloadErrored", "workload", _FAILED, PAGE_IF_IMPORTANT_UNLESS_SERVING, 300,
        "A workload has failed.",
        "is errored or failed: it may serve only in part or not at all.", _OF_STATE, since=_SINCE),
    Alert("DataRobotWorkloadTerminated", "workload",
        _status("terminated") & _CHANGE_OBSERVED & (_IN_STATE < T("terminated_seconds")), PAGE_IF_IMPORTANT, 60,
        "A workload was terminated.",
        "is terminated. This is final: it cannot be started again, only deleted and recreated.",
        lasting="It is still terminated, unless it was deleted."),
    Alert("DataRobotWorkloadNoReadyReplica", "workload",
        _DOWN.unless(_LEAST.is_(0) & (NOW - _DOWN_SINCE < T("waking_seconds"))), PAGE_IF_RUNNING_OR_IMPORTANT, 180,
        "A workload that should serve has no ready replica.",
        "has no ready replica although it should serve, whatever its status: its endpoint cannot respond.",
        _OF_DOWN, since=_DOWN_SINCE),
    Alert("DataRobotWorkloadInterrupted", "workload", _status("interrupted"), PAGE_IF_IMPORTANT, 180,
        "A workload was interrupted by the platform.",
        "was interrupted: the platform evicted it. It stays down until it is started again.", _OF_INTERRUPTION,
        since=_SINCE),
    Alert("DataRobotWorkloadStopped", "workload",
        (_status("stopped", "suspended") & _IMPORTANT & _CHANGE_OBSERVED & (_IN_STATE < T("stopped_seconds")))
        .unless(_DRAFT).unless(_LEAST.is_(0))
        .unless(M("workload_event_last_timestamp_seconds", event="stopped") > _SINCE - 300),
        TICKET, 300,
        "An important workload was stopped.",
        "was stopped or suspended within the last few minutes. If this was not intended, start it again; only the "
        "person or platform that suspended it can lift a suspension.",
        lasting="It is still stopped or suspended, unless it was started again."),
    Alert("DataRobotWorkloadUnreadable", "workload",
        M("workload_fresh", part="list").is_(0)
        | (_status("unknown", "other") & _CHANGE_OBSERVED & (_IN_STATE > 300)).unless(_LIVE.reported())
        | (_UNREAD & _IMPORTANT) | _REFUSED,
        (Level("critical", _CRITICAL & _status("unknown", "other"),
               "the workload is of critical importance and its status is no longer known"), *TICKET), 300,
        "The state of a workload is not known.",
        "has values in the workload list that the exporter cannot read, or an unknown status and no pods reported, or "
        "its own routes fail or are denied. The last readable values are shown for up to 15 minutes; after that they "
        "are unknown.",
        _OF_STATE),
    Alert("DataRobotWorkloadVanished", "workload",
        (NOW - M("workload_vanished_timestamp_seconds", status="running", answer="not_found|forbidden|"))
        < T("vanished_seconds"), TICKET, 60,
        "A running workload disappeared from the list: it was deleted or is no longer shared.",
        "was running and is missing from two complete sweeps: it was deleted, or is no longer shared with the "
        "token's user.",
        lasting="It is still missing, unless it was created or shared again."),
    Alert("DataRobotWorkloadNotServing", "workload", _ONLY_ERRORS.unless(_DOWN), PAGE, 60,
        "A workload responds to most requests with server errors (5xx).",
        "responded to most requests of the last five minutes with status 500 or above, or to most requests that it "
        "did not reject.", _OF_REQUESTS),
    # -- starting, stopping, replacing
    Alert("DataRobotWorkloadStuckStarting", "workload",
        _STARTING_FOR_LONG.unless(M("workload_replacement_active").is_(1)), PAGE_IF_CRITICAL_UNLESS_SERVING, 120,
        "A workload has been starting for too long.",
        "is stuck: it has been starting for longer than any start should take.", _OF_START),
    Alert("DataRobotWorkloadUnschedulable", "workload",
        M("proton_replicas_unschedulable", "sum", role=_SERVING) > 0,
        PAGE_IF_IMPORTANT_AND_FEW_READY, 600,
        "Replicas of a workload cannot be scheduled.",
        "has replicas that no node can run ({{ $value }}): GPUs, CPU, memory or a volume are not available.",
        _OF_CAUSE),
    Alert("DataRobotWorkloadImagePullFailing", "workload",
        _waits("ImagePullBackOff|ErrImagePull|InvalidImageName|ErrImageNeverPull|ImageInspectError"
        "|RegistryUnavailable"),
        PAGE_IF_IMPORTANT_AND_FEW_READY, 240,
        "A container image of a workload cannot be pulled.",
        "has containers whose image cannot be pulled ({{ $value }}): wrong name or tag, or no access to the "
        "registry.", _OF_CAUSE),
    Alert("DataRobotContainerCannotStart", "workload",
        _waits("CreateContainerConfigError|CreateContainerError|RunContainerError"), PAGE_IF_IMPORTANT_AND_FEW_READY,
        240,
        "A container of a workload cannot be started.",
        "has containers that cannot be created ({{ $value }}): a secret, a variable, a volume or the command is "
        "wrong.", _OF_CAUSE),
    Alert("DataRobotPodSnapshotMissing", "workload",
        _STARTING & (_IN_STATE > T("snapshot_seconds")) & (
        M("workload_fresh", part="pods").is_(1).unless(_LIVE.reported())
        | (_LIVE.is_(0) & (NOW - M("proton_snapshot_timestamp_seconds", role="active") > T("snapshot_seconds")))),
        TICKET, 60,
        "The platform reports no pods for a workload that is starting.",
        "is starting, but the platform has not reported anything new about its pods for a long time: its monitor "
        "may be stuck.", _OF_CAUSE),
    Alert("DataRobotDraftExpiring", "workload",
        (M("workload_draft_expiry_timestamp_seconds") - NOW < T("draft_seconds")) & _RUNNING
        & M("workload_importance", importance="critical|high|moderate").is_(1), TICKET, 0,
        "A running draft is about to be stopped by the platform.",
        "runs a draft, which the platform stops eight hours after it started. Promote it to keep it running.",
        lasting="It was stopped, unless it was promoted or started again."),
    Alert("DataRobotImportantOnDraft", "workload", _RUNNING & _DRAFT & _IMPORTANT, NOTE, 1800,
        "An important workload runs a draft.",
        "has high or critical importance and runs a draft, which the platform stops after eight hours."),
    Alert("DataRobotWorkloadStuckStopping", "workload",
        _group("leaving") & (_IN_STATE > T("stopping_seconds")), TICKET, 60,
        "A workload does not finish stopping.",
        "has been draining or stopping for longer than expected and still occupies its capacity.", _OF_STATE),
    Alert("DataRobotReplacementFailed", "workload",
        NOW - M("workload_replacement_failed_timestamp_seconds") < T("replacement_failed_seconds"),
        TICKET, 60,  # its event, with the reason, is read after the list
        "The replacement of a workload failed.",
        "was not replaced: the previous version still serves, although users may expect the new one.",
        lasting="It still runs the previous version, unless it was replaced since."),
    Alert("DataRobotReplacementStuck", "workload",
        M("workload_replacement_active").is_(1)
        & (NOW > M("workload_replacement_deadline_timestamp_seconds")), TICKET, 60,
        "The replacement of a workload does not finish.",
        "has been in replacement for longer than expected; two versions occupy capacity.", _OF_STATE),
    # -- replicas and containers
    Alert("DataRobotContainerCrashLooping", "workload",
        _waits("CrashLoopBackOff")
        | (_CRASHED & ((_RESTARTING_FOR < T("restarts_seconds"))
        | (_DEGRADED | _LIVE_BUT_NOT_READY).unless(_FIRST_START))),
        PAGE_IF_IMPORTANT_AND_DOWN_AT_TIMES, 240,
        "A container of a workload exits and restarts repeatedly.",
        "has a container that exits soon after each start. Check its last exit code and its log.", _OF_CAUSE),
    Alert("DataRobotContainerOOMKilled", "workload",
        (M("container_last_terminated_reason", "sum", reason="OOMKilled") > 0)
        & (NOW - M("container_last_terminated_timestamp_seconds") < T("oom_seconds")), TICKET, 0,
        "A container of a workload ran out of memory.",
        "has containers that were recently killed because they ran out of memory ({{ $value }})."),
    Alert("DataRobotWorkloadReplicasDegraded", "workload",
        (_DEGRADED & (_READY > 0)).unless(_STARTING | _OFF), PAGE_IF_IMPORTANT_AND_HALVED, 600,
        "A workload has fewer ready replicas than it should.",
        "serves with fewer ready replicas than the minimum in its settings.", _OF_STATE, since=_DEGRADED_SINCE),
    Alert("DataRobotWorkloadSingleReplica", "workload",
        (_RUNNING & _CRITICAL & _MOST.is_(1)).unless(_LIVE > 1), NOTE, 3600,
        "A critical workload can run only one replica.",
        "is critical and limited to one replica: every crash and every eviction is an outage."),
    # -- capacity
    Alert("DataRobotAutoscalerSaturated", "workload",
        (M("workload_autoscaling_load_ratio") >= 1) & _LIVE.is_(_MOST) & (_MOST > _LEAST), TICKET, 900,
        "A workload is overloaded and already runs its maximum number of replicas.",
        "runs the maximum number of replicas of its autoscaler, and its load is {{ $value | humanize }} times the "
        "target.", _OF_USE),
    Alert("DataRobotWorkloadMemoryNearLimit", "workload",
        (M("workload_memory_usage_bytes", level="pod") / M("workload_replica_memory_bytes") > T("memory_ratio"))
        | (M("workload_memory_usage_bytes", level="workload") / (M("workload_replica_memory_bytes") * _LIVE)
        > T("memory_ratio")), TICKET, 900,
        "A workload uses nearly all of its memory.",
        "uses {{ $value | humanizePercentage }} of the memory of its resource bundle.", _OF_MEMORY),
    Alert("DataRobotBundleNotOffered", "workload", M("workload_bundle_offered", "min").is_(0), TICKET, 3600,
        "A workload uses a resource bundle that is not offered.",
        "uses a resource bundle that is not in the catalogue: its next start may fail.", _OF_USE),
    Alert("DataRobotAccountWorkloadLimitNear", "account",
        M("account_workloads_active") / M("account_workloads_limit") > T("limit_ratio"), TICKET, 900,
        "An account is close to its limit of active workloads.",
        "uses at least {{ $value | humanizePercentage }} of its limit of active workloads. Workloads that are not "
        "shared with the token's user are not counted.", _OF_USE),
    Alert("DataRobotWorkloadReplicaLimitNear", "workload",
        (_MOST / M("workload_replicas_limit") > T("limit_ratio")) & (_MOST > _LEAST) & _LIVE.is_(_MOST), TICKET, 900,
        "A workload runs its maximum number of replicas, which is close to the most that the account allows.",
        "runs the maximum number of replicas of its autoscaler, which is {{ $value | humanizePercentage }} of the most "
        "that its account allows a workload: it cannot grow.", _OF_USE,
        opt_in=True),
    Alert("DataRobotAccountFullSoon", "account",
        M("account_workloads_full_timestamp_seconds") - NOW < T("full_seconds"), TICKET, 21600,
        "An account will reach its limit of active workloads soon.",
        "will reach its limit of active workloads in {{ $value | humanizeDuration }} if they grow as in the last "
        "days. Workloads that are not shared with the token's user are not counted.", opt_in=True),
    Alert("DataRobotWorkloadIdle", "workload", _IDLE_SINCE.reported(),
        (Level("warning", M("workload_replica_gpus") > 0, "its replicas have GPUs"), *NOTE), 3600,
        "A workload has ready replicas and receives no requests.",
        "has ready replicas, which cost money, and has received no request for longer than the setting "
        "`costs.idle_after`.", opt_in=True),
    Alert("DataRobotWorkloadForgotten", "workload",
        _FORGOTTEN | (_status("stopped", "suspended") & (_IN_STATE > T("forgotten_seconds"))), NOTE, 3600,
        "A workload has not been used or changed for a long time.",
        "has received no request and was not changed for a long time, or has been stopped for as long: it may be no "
        "longer needed.", opt_in=True),
    Alert("DataRobotWorkloadOversized", "workload", M("workload_sizing_info", finding="oversized").is_(1), NOTE, 3600,
        "A cheaper resource bundle would be enough for a workload.",
        "has used so little of its resource bundle in the last days that a cheaper one of the catalogue would be "
        "enough.", opt_in=True),
    Alert("DataRobotWorkloadUndersized", "workload", M("workload_sizing_info", finding="undersized").is_(1), TICKET,
        3600, "The resource bundle of a workload is too small.",
        "has used nearly all CPU or memory of its resource bundle for more than a twentieth of the last days.",
        opt_in=True),
    Alert("DataRobotFleetManyFailing", "account",
        Count(_FAILING).if_at_least(T("fleet_workloads")) >= T("fleet_ratio") * Count(_SHOULD_RUN), PAGE, 30,
        "Many workloads of an account are failing at the same time.",
        "has {{ $value }} failing workloads. Look for a common cause before investigating each one.", _OF_FLEET),
    Alert("DataRobotAccountDetailsUnreadable", "account",
        Count(_UNREAD | _REFUSED).if_at_least(T("unread_workloads")) >= T("fleet_ratio") * Count(_SHOULD_RUN),
        TICKET, 240,
        "The pods and events of many workloads of an account cannot be read.",
        "has {{ $value }} workloads whose pods and events cannot be read although the list can: their replicas, "
        "crashes and requests are not monitored.", _OF_ACCESS),
    # -- performance
    Alert("DataRobotErrorBudgetBurnFast", "workload",
        (_burns("burn_fast", "5m", "1h", now="5m") | _burns("burn_steady", "30m", "6h", now="5m"))
        .unless(_OFF).unless(_EXPLAINED), PAGE, 120,
        "A workload will use up its error budget within hours or days.",
        "responds to so many requests with server errors that its error budget will be used up within hours or days.",
        _OF_BUDGET),
    Alert("DataRobotErrorBudgetBurnSlow", "workload",
        (_burns("burn_slow", "2h", "1d", now="30m") | _burns("burn_trickle", "6h", "3d", now="30m")).unless(_OFF),
        TICKET, 3600,
        "A workload has had too many server errors (5xx) over hours or days.",
        "has responded to more requests with server errors than its objective allows, for hours or days.",
        _OF_BUDGET),
    Alert("DataRobotLatencyBudgetBurn", "workload",
        (_slow_burns("burn_fast", "5m", "1h", now="5m") | _slow_burns("burn_steady", "30m", "6h", now="5m")
        | _slow_burns("burn_slow", "2h", "1d", now="30m") | _slow_burns("burn_trickle", "6h", "3d", now="30m"))
        .unless(_OFF), TICKET, 900,
        "A workload responds more slowly than its objective allows.",
        "has responded slowly to more requests than its objective of latency allows: its error budget will be used up "
        "within days or weeks.", _OF_BUDGET),
    Alert("DataRobotReadinessBudgetBurn", "workload",
        ((_burn("readiness", "1d") > T("burn_slow")) | (_burn("readiness", "3d") > T("burn_trickle"))).unless(_OFF),
        TICKET, 900,
        "A workload was without a ready replica for longer than its objective allows.",
        "was without a ready replica for so much of the last days that the error budget of its objective of readiness "
        "will be used up."),
    Alert("DataRobotWorkloadLatencyHigh", "workload",
        (M("workload_window_response_seconds", quantile="0.95", window="5m") > T("p95_response"))
        & (_requests("5m") >= T("requests")), TICKET, 480,
        "A workload responds slowly.",
        "takes {{ $value | humanizeDuration }} or more to respond to one request in twenty.", _OF_BUDGET),
    Alert("DataRobotWorkloadRefusesCallers", "workload",
        (_share("client_error", "5m") > T("client_error_ratio")) & (_requests("5m") >= T("requests")), TICKET, 900,
        "A workload rejects most requests with client errors (4xx).",
        "responded to {{ $value | humanizePercentage }} of its requests with 400 to 499: callers are throttled, not "
        "authorized, or send invalid requests.", _OF_BUDGET, opt_in=True),
    Alert("DataRobotWorkloadTrafficStopped", "workload",
        _RUNNING & M("workload_window_requests", window="1h").is_(0)
        & (M("workload_window_requests", window="1d") >= T("daily_requests")), TICKET, 600,
        "A workload that is usually busy receives no requests.",
        "received no requests in the last hour but many over the last day: its callers may be broken.", opt_in=True),
    # -- the exporter itself
    Alert("DataRobotExporterDown", "exporter",
        Raw("(\n  max by (job, instance) (up{$job}) == 0\n  or absent(up{$job})\n)"), TICKET_IF_HELD, 180,
        "The workload exporter is down.",
        "Prometheus cannot scrape the exporter {{ $labels.instance }}: unless other replicas hold its accounts, no "
        "workload is monitored."),
    Alert("DataRobotAccountNotHeld", "exporter",
        Raw("max by (account) (datarobot_exporter_unit_held{$job}) == 0"), PAGE, 120,
        "No replica of the exporter monitors an account.",
        "No replica that Prometheus can scrape holds the account \"{{ $labels.account }}\" (empty: what all replicas "
        "share, such as alarms about the exporter): it is not monitored."),
    Alert("DataRobotExporterLeasesExpired", "exporter",
        Raw("max by (job, instance) (datarobot_exporter_lease_remaining_seconds{$job}) == 0"), TICKET, 60,
        "A replica of the exporter cannot renew its leases.",
        "The leases of the exporter {{ $labels.instance }} have run out: the database does not respond to it. Another "
        "replica may take its accounts."),
    Alert("DataRobotApiUnreachable", "exporter",
        Raw(f"{_API_UP} == 0"), PAGE, 180,
        "The exporter cannot read the workload list from the DataRobot API.",
        "No sweep of account {{ $labels.account }} completes; datarobot_exporter_sweep_failures_total has the "
        "reason.", _OF_API),
    Alert("DataRobotDataStale", "exporter",
        # If no sweep was complete lately, the time since the exporter began to sweep counts. The interval is held for
        # as long as another replica takes; for longer, it would page about an exporter that is down.
        Raw("time() - (\n"
        "  max by (account) (last_over_time("
        'datarobot_exporter_sweep_last_success_timestamp_seconds{$job, lane="status"}'
        '[$300s]))\n'
        '  or max by (account) (datarobot_exporter_sweep_begin_timestamp_seconds{$job, lane="status"})\n'
        ")\n> $stale_sweeps * max by (account) (last_over_time(datarobot_exporter_sweep_interval_seconds{$job, "
        'lane="status"}[$120s]))'),
        PAGE, 60,
        "The data of an account is stale.",
        "The last complete sweep of account {{ $labels.account }} was {{ $value | humanizeDuration }} ago.", _OF_DATA),
    Alert("DataRobotTokenRejected", "exporter",
        Raw(f"{_API_UP} == 0\nand on (account) sum by (account) "
        '(increase(datarobot_exporter_sweep_failures_total{$job, reason=~"auth|forbidden"}[$300s])) > 0'), PAGE, 120,
        "The API rejects the exporter's token.",
        "The API rejects the token of account {{ $labels.account }}: it was revoked, has expired, or lacks a "
        "permission.", _OF_TOKEN),
    Alert("DataRobotApiRateLimited", "exporter",
        Raw('sum by (account) (rate(datarobot_exporter_api_requests_total{$job, code="429"}[$900s]))\n'
        "/ sum by (account) (rate(datarobot_exporter_api_requests_total{$job}[$900s])) > $throttled_ratio"),
        TICKET, 900,
        "The API throttles the exporter.",
        "The API responds to {{ $value | humanizePercentage }} of the requests for account {{ $labels.account }} "
        "with 429."),
    Alert("DataRobotApiUnknownAnswers", "exporter",
        Raw("sum by (account) (increase(datarobot_exporter_api_rejects_total{$job}[$900s])) > 0\n"
        "or sum by (account) (increase(datarobot_exporter_api_unknown_values_total{$job, "
        'field=~"status|replacement.status"}[$900s])) > 0'), TICKET, 900,
        "The API returns data that the exporter does not understand.",
        "Responses for account {{ $labels.account }} contain items that could not be read and were left out, or "
        "unknown statuses."),
    Alert("DataRobotExporterDetailsStale", "exporter",
        Raw("max by (account, part) (last_over_time(datarobot_exporter_detail_stale{$job}[$300s])) > 0"), TICKET, 1800,
        "Details of workloads are stale and were withdrawn.",
        "The part {{ $labels.part }} of {{ $value }} workloads of account {{ $labels.account }} is stale.", _OF_STATE),
    Alert("DataRobotExporterSeriesLimit", "exporter",
        Raw("max by (job) (last_over_time(datarobot_exporter_series_left_out_workloads{$job}[$300s])) > 0"),
        TICKET, 900,
        "The exporter leaves out workloads.",
        "At least {{ $value }} workloads have no series because metrics.series_limit is reached. No alert covers "
        "them."),
    Alert("DataRobotExporterStateNotKept", "exporter",
        Raw("sum by (job) (increase(datarobot_exporter_state_commit_failures_total{$job}[$900s])) > 0"), TICKET, 900,
        "The exporter cannot write its state.",
        "Counters continue in memory, but a restart would lose what was counted since the last write. The disk may "
        "be full."),
    Alert("DataRobotExporterCannotNotify", "exporter",
        Raw("max by (job) (datarobot_exporter_notification_failing_seconds{$job}) > $notify_seconds"), PAGE, 60,
        "The exporter cannot deliver notifications to a receiver.",
        "A receiver of direct paging has not accepted a notification for {{ $value | humanizeDuration }}.",
        _OF_DELIVERY),
    Alert("DataRobotExporterReloadFailed", "exporter",
        Raw("min by (job) (datarobot_exporter_config_last_reload_successful{$job}) == 0"), TICKET, 300,
        "The exporter could not reload its settings.",
        "The new settings are invalid and the previous ones are still in force. The exporter's log lists the errors."),
    Alert("DataRobotWatchdog", "exporter", Raw("vector(1)"), (Level("none"),), 0,
        "The alerting pipeline works.",
        "This alert always fires. Send it to a dead man's switch, which alerts when it stops arriving."),
)  # fmt: skip
BY_NAME: Mapping[str, Alert] = {alert.name: alert for alert in ALERTS}
