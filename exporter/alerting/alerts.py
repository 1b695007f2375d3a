"""ALERTS: everything that wakes or tells somebody is one row, and the thresholds that settings may change.

The condition of a row is written once, in the language of `exporter.alerting.expressions`: rules for Prometheus are
printed from it, and the daemon's own paging evaluates it. What is not told proves nothing: no alert fires for lack of
data, except those that are about that lack.
"""

# ruff: noqa: SIM300 — a condition reads as a sentence: what is measured comes first
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from exporter.alerting.expressions import NOW, Condition, Count, Metric, Raw, Term, Threshold
from exporter.api import models

Severity = Literal["critical", "warning", "info", "none"]
Component = Literal["workload", "account", "exporter"]
M, T = Metric, Threshold


class Limit(NamedTuple):
    """A threshold of the settings: its default, and why it is that. Names in ``_seconds`` are times."""

    name: str
    default: float
    why: str


class Level(NamedTuple):
    """How loud an alert is, where `when` holds, which is `said` in words; the first level that holds counts."""

    severity: Severity
    when: Condition | None = None
    said: str = ""


class Alert(NamedTuple):
    """One alert. Times are in seconds.

    `wait`: how long its condition must hold. `keep`: how long it fires on after its condition held last, for ratios
    that swing about their threshold. `summary` is the same for all; `description` says what of whom. `asked`: it is
    only in force where the settings name it.
    """

    name: str
    component: Component
    condition: Condition
    levels: tuple[Level, ...]
    wait: float
    summary: str
    description: str
    keep: float = 0.0
    asked: bool = False

    @property
    def pods(self) -> bool:
        """Whether it reads what is known of pods."""
        told = (self.condition, *(level.when for level in self.levels if level.when is not None))
        return any("pods" in metric.reads for condition in told for metric in condition.metrics())


LIMITS: tuple[Limit, ...] = (
    Limit("starting_seconds", 900, "most starts take about five minutes; a state of a start that lasts fifteen hangs"),
    Limit("starting_gpu_seconds", 2700, "GPU nodes are added on demand and NIM images are large"),
    Limit("stopping_seconds", 1200, "an outgoing version drains for up to twelve minutes"),
    Limit("terminated_seconds", 3600, "terminated is final: after an hour it is history, not an incident"),
    Limit("stopped_seconds", 900, "an accident is noticed at once; later it is the state somebody wanted"),
    Limit("vanished_seconds", 1800, "long enough to be seen, short enough not to be repeated for ever"),
    Limit("draft_seconds", 3600, "an hour is enough to promote or to let go"),
    Limit("replacement_failed_seconds", 1800, "the old version serves on: told once, for half an hour"),
    Limit("replacement_seconds", 1800, "several minutes, plus warm-up and overlap, are normal"),
    Limit("snapshot_seconds", 900, "while a workload starts its pods change every few minutes"),
    Limit("crashed_seconds", 600, "the back-off between two starts of a container grows to five minutes"),
    Limit("oom_seconds", 1800, "one end for lack of memory is a ticket, not a state"),
    Limit("degraded_ratio", 0.5, "half of the replicas gone is no longer a matter for the morning"),
    Limit("memory_ratio", 0.9, "the last tenth goes in one large request"),
    Limit("limit_ratio", 0.9, "the next deployments would be refused with 403"),
    Limit("server_error_ratio", 0.5, "every other request fails: users see an outage"),
    Limit("client_error_ratio", 0.5, "every other request refused is more than the usual noise of callers"),
    Limit("requests", 20, "fewer requests in five minutes prove nothing about a share"),
    Limit("error_budget", 0.005, "an objective of 99.5 % of requests answered without an error of the server"),
    Limit("burn_fast", 14.4, "2 % of a month's budget in an hour"),
    Limit("burn_steady", 6, "5 % of a month's budget in six hours"),
    Limit("burn_slow", 3, "10 % of a month's budget in a day"),
    Limit("burn_trickle", 1, "the whole budget by the end of the month"),
    Limit("p95_response", 10, "seconds at the 95th percentile; set what your callers wait for"),
    Limit("daily_requests", 1000, "a workload with so many requests a day has some every hour"),
    Limit("fleet_workloads", 5, "fewer are incidents of their own"),
    Limit("fleet_ratio", 0.2, "a fifth of an account at once has one cause"),
    Limit("stale_sweeps", 5, "sweeps missed in a row; a slow one is no incident"),
    Limit("notify_seconds", 300, "a receiver may be away for a minute or two"),
    Limit("throttled_ratio", 0.05, "a few refusals are absorbed by retries"),
)
DEFAULTS: Mapping[str, float] = {limit.name: limit.default for limit in LIMITS}


def _status(*names: str) -> Condition:
    return M("workload_status", status="|".join(names)).is_(1)


def _group(name: models.StatusGroup) -> Condition:
    return _status(*models.of_group(name))


def _waits(reasons: str) -> Condition:
    return M("container_waiting_reason", "sum", reason=reasons) > 0


def _share(name: str, window: str) -> Term:
    return M(f"workload_window_{name}_ratio", window=window)


def _burns(factor: str, short: str, long: str) -> Condition:
    budget = T(factor) * T("error_budget")
    return (_share("server_error", long) > budget) & (_share("server_error", short) > budget)


_SINCE = M("workload_status_since_timestamp_seconds")
_FIRST = M("workload_first_observed_timestamp_seconds")
_IN_STATE = NOW - _SINCE
_SEEN_TO_CHANGE = _SINCE > _FIRST
_RUNNING, _STARTING = _status("running"), _group("starting")
_IMPORTANT = M("workload_importance", importance="critical|high").is_(1)
_CRITICAL = M("workload_importance", importance="critical").is_(1)
_DRAFT = M("workload_artifact_info", artifact_status="draft").is_(1)
_LEAST, _MOST = M("workload_replicas_min"), M("workload_replicas_max")
_READY = M("proton_replicas_ready", role="active") + M("proton_replicas_readiness_unknown", role="active")
_LIVE = M("proton_replicas_live", role="active")
_NONE_READY = _READY.is_(0) & (_LEAST > 0)
_FEWER_READY = _READY < _LEAST
_ASKED_ENOUGH = M("workload_window_requests", window="5m") >= T("requests")
_FAILED = _status(*(name for name in models.of_group("failed") if name != "terminated"))
_FAILING = _FAILED | _status("interrupted") | (_RUNNING & _NONE_READY)

PAGE: tuple[Level, ...] = (Level("critical"),)
TICKET: tuple[Level, ...] = (Level("warning"),)
NOTE: tuple[Level, ...] = (Level("info"),)
_IF_IMPORTANT = "the workload is of high or critical importance"
PAGE_IF_IMPORTANT = (Level("critical", _IMPORTANT, _IF_IMPORTANT), *TICKET)
PAGE_IF_CRITICAL = (Level("critical", _CRITICAL, "the workload is of critical importance"), *TICKET)
PAGE_IF_IMPORTANT_AND_DOWN = (
    Level("critical", _IMPORTANT & _NONE_READY, f"{_IF_IMPORTANT} and no replica is ready"),
    *TICKET,
)
PAGE_IF_IMPORTANT_AND_FEWER = (
    Level("critical", _IMPORTANT & _FEWER_READY, f"{_IF_IMPORTANT} and fewer replicas are ready than should be"),
    *TICKET,
)
PAGE_IF_IMPORTANT_AND_HALVED = (
    Level(
        "critical",
        _IMPORTANT & (T("degraded_ratio") > _READY / _LEAST),
        f"{_IF_IMPORTANT} and less than `degraded_ratio` of its replicas are ready",
    ),
    *TICKET,
)

# Causes wait a minute less than what they bring about: rule groups are evaluated at different moments, and an
# Alertmanager can only mute what it has not told yet.
ALERTS: tuple[Alert, ...] = (
    # -- availability
    Alert("DataRobotWorkloadErrored", "workload", _FAILED, PAGE_IF_IMPORTANT, 300,
        "A workload has failed.",
        "has failed: its status has been errored or failed for five minutes; nothing, or not all of it, serves."),
    Alert("DataRobotWorkloadTerminated", "workload",
        _status("terminated") & _SEEN_TO_CHANGE & (_IN_STATE < T("terminated_seconds")), PAGE_IF_IMPORTANT, 60,
        "A workload has been terminated for good.",
        "is terminated, which is final: it can only be deleted and created anew."),
    Alert("DataRobotWorkloadNoReadyReplica", "workload", _RUNNING & _NONE_READY, PAGE, 180,
        "A workload is running by its status, but none of its replicas is ready.",
        "says that it runs, and no replica of its active version is ready: its endpoint cannot answer."),
    Alert("DataRobotWorkloadInterrupted", "workload", _status("interrupted"), PAGE_IF_IMPORTANT, 180,
        "A workload was interrupted by the platform.",
        "was interrupted: the platform took its place away. It has to be started again."),
    Alert("DataRobotWorkloadStopped", "workload",
        (_status("stopped", "suspended") & _IMPORTANT & _SEEN_TO_CHANGE & (_IN_STATE < T("stopped_seconds")))
        .unless(_DRAFT).unless(M("workload_event_last_timestamp_seconds", event="stopped") > _SINCE - 300),
        TICKET, 300,
        "An important workload has been stopped.",
        "is stopped or suspended and was not a few minutes ago. If nobody meant it, start it again."),
    Alert("DataRobotWorkloadUnreadable", "workload", M("workload_fresh", part="list").is_(0),
        (Level("critical", _CRITICAL & _status("unknown"),
               "the workload is of critical importance and its status is not known any more"), *TICKET), 300,
        "The state of a workload cannot be read.",
        "is in the workload list with values that the exporter cannot read. What it shows of them is up to 15 minutes "
        "old, then unknown."),
    Alert("DataRobotWorkloadVanished", "workload",
        (NOW - M("workload_vanished_timestamp_seconds", status="running")) < T("vanished_seconds"), TICKET, 0,
        "A running workload is gone from the list: deleted, or no longer shared.",
        "was running and is missing from two complete sweeps: deleted, or no longer shared with the token's user."),
    Alert("DataRobotWorkloadNotServing", "workload",
        _RUNNING & _ASKED_ENOUGH & (_share("server_error", "5m") > T("server_error_ratio")), PAGE, 180,
        "A workload answers most requests with a server error (5xx).",
        "runs, and most requests of the last five minutes were answered with 500 or above.", keep=300),
    # -- starting, stopping, replacing
    Alert("DataRobotWorkloadStuckStarting", "workload",
        _STARTING & ((_IN_STATE > T("starting_gpu_seconds")) | (_IN_STATE > T("starting_seconds"))
        .unless((M("workload_replica_gpus") > 0) | M("workload_info", workload_type="nim|NIM").is_(1))),
        PAGE_IF_CRITICAL, 60,
        "A workload has been starting for too long.",
        "does not get on: it has been in one state of its start for longer than any start should take."),
    Alert("DataRobotWorkloadUnschedulable", "workload", M("proton_replicas_unschedulable", "sum") > 0,
        PAGE_IF_IMPORTANT_AND_DOWN, 600,
        "Replicas of a workload find no node.",
        "has replicas that no node can take ({{ $value }}): GPUs, processor, memory or a volume are lacking."),
    Alert("DataRobotWorkloadImagePullFailing", "workload",
        _waits("ImagePullBackOff|ErrImagePull|InvalidImageName|ErrImageNeverPull|ImageInspectError"
        "|RegistryUnavailable"),
        PAGE_IF_IMPORTANT_AND_DOWN, 240,
        "An image of a workload cannot be pulled.",
        "has containers whose image cannot be pulled ({{ $value }}): wrong name or tag, or no access to the registry."),
    Alert("DataRobotContainerCannotStart", "workload",
        _waits("CreateContainerConfigError|CreateContainerError|RunContainerError"), PAGE_IF_IMPORTANT_AND_DOWN, 240,
        "A container of a workload cannot be started.",
        "has containers that cannot be created ({{ $value }}): a secret, a variable, a volume or the command is "
        "wrong."),
    Alert("DataRobotPodSnapshotMissing", "workload",
        _STARTING & (_IN_STATE > T("snapshot_seconds")) & (
        M("workload_fresh", part="pods").is_(1).unless(_LIVE >= 0)
        | (_LIVE.is_(0) & (NOW - M("proton_snapshot_timestamp_seconds", role="active") > T("snapshot_seconds")))),
        TICKET, 300,
        "The platform reports no pods of a workload that is starting.",
        "is starting, and the platform has told nothing new about its pods for long: its monitor may be stuck."),
    Alert("DataRobotDraftExpiring", "workload",
        (M("workload_draft_expiry_timestamp_seconds") - NOW < T("draft_seconds")) & _RUNNING
        & M("workload_importance", importance="critical|high|moderate").is_(1), TICKET, 0,
        "A running draft will be stopped by the platform.",
        "runs on a draft, which is stopped eight hours after it began; promote it to keep it."),
    Alert("DataRobotImportantOnDraft", "workload", _RUNNING & _DRAFT & _IMPORTANT, NOTE, 1800,
        "An important workload runs on a draft.",
        "is of high or critical importance and runs on a draft, which lives for eight hours."),
    Alert("DataRobotWorkloadStuckStopping", "workload",
        _group("leaving") & (_IN_STATE > T("stopping_seconds")), TICKET, 60,
        "A workload does not finish stopping.",
        "has been draining or stopping for longer than it should; it still holds its capacity."),
    Alert("DataRobotReplacementFailed", "workload",
        NOW - M("workload_replacement_failed_timestamp_seconds") < T("replacement_failed_seconds"),
        PAGE_IF_CRITICAL, 0,
        "A new version of a workload did not make it.",
        "could not be replaced: the version from before serves on, while people may believe that the new one does."),
    Alert("DataRobotReplacementStuck", "workload",
        M("workload_replacement_active").is_(1)
        & (NOW - M("workload_replacement_started_timestamp_seconds") > T("replacement_seconds")), TICKET, 60,
        "A replacement does not come to its end.",
        "is being replaced for longer than it should take; two versions hold capacity."),
    # -- replicas and containers
    Alert("DataRobotContainerCrashLooping", "workload",
        _waits("CrashLoopBackOff")
        | ((NOW - M("container_last_terminated_timestamp_seconds") < T("crashed_seconds")) & _FEWER_READY),
        PAGE_IF_IMPORTANT_AND_FEWER, 240,
        "A container of a workload ends again and again, and is restarted each time.",
        "has a container that ends as soon as it is started; see its last exit code and its log."),
    Alert("DataRobotContainerOOMKilled", "workload",
        (M("container_last_terminated_reason", "sum", reason="OOMKilled") > 0)
        & (NOW - M("container_last_terminated_timestamp_seconds") < T("oom_seconds")), TICKET, 0,
        "A container of a workload ran out of memory.",
        "has containers that were ended for lack of memory lately ({{ $value }})."),
    Alert("DataRobotWorkloadReplicasDegraded", "workload", _RUNNING & _FEWER_READY & (_READY > 0),
        PAGE_IF_IMPORTANT_AND_HALVED, 600,
        "A workload has fewer ready replicas than it should.",
        "serves with fewer replicas than its settings ask for at the least."),
    Alert("DataRobotWorkloadSingleReplica", "workload", _RUNNING & _CRITICAL & _MOST.is_(1), NOTE, 3600,
        "A critical workload has only one replica.",
        "is critical and may only run one replica: each crash and each eviction is an outage."),
    # -- capacity
    Alert("DataRobotAutoscalerSaturated", "workload",
        (M("workload_autoscaling_load_ratio") >= 1) & _LIVE.is_(_MOST) & (_MOST > _LEAST), TICKET, 900,
        "A workload runs all replicas that its autoscaler may run, and is still overloaded.",
        "runs as many replicas as its autoscaler may, and its load is {{ $value | humanize }} times the target.",
        keep=600),
    Alert("DataRobotWorkloadMemoryNearLimit", "workload",
        (M("workload_memory_usage_bytes", level="pod") / M("workload_replica_memory_bytes") > T("memory_ratio"))
        | (M("workload_memory_usage_bytes", level="workload") / (M("workload_replica_memory_bytes") * _LIVE)
        > T("memory_ratio")), TICKET, 900,
        "A workload uses nearly all of its memory.",
        "uses {{ $value | humanizePercentage }} of the memory of its resource bundle.", keep=600),
    Alert("DataRobotBundleNotOffered", "workload", M("workload_bundle_offered", "min").is_(0), TICKET, 3600,
        "A workload asks for a resource bundle that is not on offer.",
        "names a resource bundle that is not in the catalogue: its next start may fail."),
    Alert("DataRobotAccountWorkloadLimitNear", "account",
        M("account_workloads_active") / M("account_workloads_limit") > T("limit_ratio"), TICKET, 900,
        "An account has nearly as many workloads as it may.",
        "has {{ $value | humanizePercentage }} of the workloads that it may have active at once, or more: what is not "
        "shared with the token's user is not counted."),
    Alert("DataRobotAccountReplicaLimitNear", "account",
        M("account_replicas_max") / M("account_replicas_limit") > T("limit_ratio"), TICKET, 900,
        "An account may run nearly as many replicas as its limit.",
        "could run {{ $value | humanizePercentage }} of its limit of replicas if every autoscaler went to its most.",
        asked=True),
    Alert("DataRobotFleetManyFailing", "account",
        (Count(_FAILING) >= T("fleet_workloads"))
        & (Count(_FAILING) / M("account_workloads_active") >= T("fleet_ratio")), PAGE, 120,
        "Many workloads of an account fail at once.",
        "has {{ $value }} workloads that are failing; look for one cause before looking at each."),
    # -- performance
    Alert("DataRobotErrorBudgetBurnFast", "workload",
        (M("workload_window_requests", window="1h") >= T("requests"))
        & (_burns("burn_fast", "5m", "1h") | _burns("burn_steady", "1h", "6h")), PAGE, 240,
        "A workload uses up its error budget within hours.",
        "answers so many requests with errors that its budget of the month is gone within hours or days.", keep=300),
    Alert("DataRobotErrorBudgetBurnSlow", "workload",
        (M("workload_window_requests", window="1d") >= T("requests"))
        & (_burns("burn_slow", "6h", "1d") | _burns("burn_trickle", "6h", "3d")), TICKET, 3600,
        "Over hours or days, a workload answered too many requests with a server error (5xx).",
        "answers more requests with errors than its objective allows, and has done so for long."),
    Alert("DataRobotWorkloadLatencyHigh", "workload",
        (M("workload_window_response_seconds", quantile="0.95", window="5m") > T("p95_response")) & _ASKED_ENOUGH,
        TICKET, 600,
        "A workload answers slowly.",
        "takes {{ $value | humanizeDuration }} and more for one request in twenty.", keep=300),
    Alert("DataRobotWorkloadRefusesCallers", "workload",
        (_share("client_error", "5m") > T("client_error_ratio")) & _ASKED_ENOUGH, TICKET, 900,
        "A workload refuses most requests.",
        "answered {{ $value | humanizePercentage }} of its requests with 400 to 499: callers are throttled, not let "
        "in, or ask wrongly.", asked=True),
    Alert("DataRobotWorkloadTrafficStopped", "workload",
        _RUNNING & M("workload_window_requests", window="1h").is_(0)
        & (M("workload_window_requests", window="1d") >= T("daily_requests")), TICKET, 600,
        "Nobody calls a workload that is usually busy.",
        "had no request for an hour and many over the day: what calls it may be broken.", asked=True),
    # -- the exporter itself
    Alert("DataRobotExporterDown", "exporter",
        Raw("max by (job, instance) (up{$job}) == 0\nor absent(up{$job})"), PAGE, 180,
        "The workload exporter is down.",
        "Prometheus cannot scrape the exporter {{ $labels.instance }}: nothing is known of any workload."),
    Alert("DataRobotApiUnreachable", "exporter",
        Raw("max by (account) (datarobot_exporter_api_up{$job}) == 0"), PAGE, 180,
        "The DataRobot API does not answer the exporter.",
        "No sweep of account {{ $labels.account }} is complete; datarobot_exporter_sweep_failures_total says why."),
    Alert("DataRobotDataStale", "exporter",
        # Where no sweep was ever complete, the time since the exporter began to sweep counts.
        Raw('time() - max by (account) (datarobot_exporter_sweep_last_success_timestamp_seconds{$job, lane="status"}\n'
        'or datarobot_exporter_sweep_begin_timestamp_seconds{$job, lane="status"})\n'
        '> $stale_sweeps * max by (account) (datarobot_exporter_sweep_interval_seconds{$job, lane="status"})'),
        PAGE, 60,
        "What is known of an account is old.",
        "The last complete sweep of account {{ $labels.account }} was {{ $value | humanizeDuration }} ago."),
    Alert("DataRobotTokenRejected", "exporter",
        Raw("max by (account) (datarobot_exporter_api_up{$job}) == 0\nand on (account) sum by (account) "
        '(increase(datarobot_exporter_sweep_failures_total{$job, reason=~"auth|forbidden"}[$300s])) > 0'), PAGE, 120,
        "The API refuses the exporter's token.",
        "The token of account {{ $labels.account }} is refused: it was revoked, has expired, or lacks a right."),
    Alert("DataRobotApiRateLimited", "exporter",
        Raw('sum by (account) (rate(datarobot_exporter_api_requests_total{$job, code="429"}[$900s]))\n'
        "/ sum by (account) (rate(datarobot_exporter_api_requests_total{$job}[$900s])) > $throttled_ratio"),
        TICKET, 900,
        "The API throttles the exporter.",
        "{{ $value | humanizePercentage }} of the requests for account {{ $labels.account }} are answered with 429."),
    Alert("DataRobotApiUnknownAnswers", "exporter",
        Raw("sum by (account) (increase(datarobot_exporter_api_rejects_total{$job}[$900s])) > 0\n"
        "or sum by (account) (increase(datarobot_exporter_api_unknown_values_total{$job, "
        'field=~"status|replacement.status"}[$900s])) > 0'), TICKET, 900,
        "The API answers what the exporter does not understand.",
        "Answers for account {{ $labels.account }} have items that are left out or states that nobody has heard of."),
    Alert("DataRobotExporterPartialSweep", "exporter",
        Raw('max by (account) (datarobot_exporter_sweep_complete{$job, lane="status"}) == 0'), TICKET, 1800,
        "Sweeps of an account are often not complete.",
        "What is shown of account {{ $labels.account }} has come from a sweep before the last one for half an hour."),
    Alert("DataRobotExporterDetailsStale", "exporter",
        Raw("sum by (account, part) (datarobot_exporter_detail_stale{$job}) > 0"), TICKET, 1800,
        "Details of workloads are too old and withdrawn.",
        "Of {{ $value }} workloads of account {{ $labels.account }} the part {{ $labels.part }} is too old."),
    Alert("DataRobotExporterSeriesLimit", "exporter",
        Raw("max by (job) (datarobot_exporter_series_left_out_workloads{$job}) > 0"), TICKET, 900,
        "The exporter leaves workloads out.",
        "{{ $value }} workloads have no series: metrics.series_limit is reached. No alert covers them."),
    Alert("DataRobotExporterStateNotKept", "exporter",
        Raw("sum by (job) (increase(datarobot_exporter_state_commit_failures_total{$job}[$900s])) > 0"), TICKET, 900,
        "The exporter cannot write its state.",
        "Totals go on in memory; a restart would lose what was counted since. Its disk may be full."),
    Alert("DataRobotExporterCannotNotify", "exporter",
        Raw("max by (job) (datarobot_exporter_notification_failing_seconds{$job}) > $notify_seconds"), PAGE, 60,
        "The exporter cannot reach a receiver of its pages.",
        "A receiver of the exporter's own paging has not taken a notice for {{ $value | humanizeDuration }}."),
    Alert("DataRobotExporterReloadFailed", "exporter",
        Raw("min by (job) (datarobot_exporter_config_last_reload_successful{$job}) == 0"), TICKET, 300,
        "The exporter runs on old settings.",
        "The settings were read again and are bad; the log of the exporter lists the mistakes."),
    Alert("DataRobotWatchdog", "exporter", Raw("vector(1)"), (Level("none"),), 0,
        "The chain of paging works.",
        "This alert fires always. Send it to a dead man's switch, which tells when it comes no more."),
)  # fmt: skip
