"""Possible problems of a workload, the most important first: conditions of alerts, as one number per workload.

Dashboards and pages therefore cannot disagree, and dashboards need no loaded rules. The wait of an alert is ignored: a
dashboard shows at once what a page may still hold back.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboards.look import BAD, NOTICE, WARNING
from exporter.alerting.alerts import ALERTS, DEFAULTS
from exporter.alerting.expressions import WORKLOAD, Condition, Metric, Writing

CHOSEN = 'job=~"$job", account=~"$account"'
IDS = ", ".join(WORKLOAD)
WHICH = "on (account, workload_id)"


class Trouble(NamedTuple):
    """The alert whose condition is shown, its text in the cell, and its colour.

    `serves`: only for workloads that run, or only for those that do not: a problem of a new version is less severe.
    """

    alert: str
    words: str
    colour: str
    serves: bool | None = None


TROUBLES: tuple[Trouble, ...] = (
    Trouble("DataRobotWorkloadImagePullFailing", "image cannot be pulled", BAD, serves=False),
    Trouble("DataRobotContainerCannotStart", "container cannot start", BAD, serves=False),
    Trouble("DataRobotContainerCrashLooping", "crashes again and again", BAD, serves=False),
    Trouble("DataRobotWorkloadErrored", "failed", BAD),
    Trouble("DataRobotWorkloadInterrupted", "interrupted by the platform", BAD),
    Trouble("DataRobotWorkloadTerminated", "terminated for good", BAD),
    Trouble("DataRobotWorkloadNoReadyReplica", "no replica is ready", BAD),
    Trouble("DataRobotWorkloadNotServing", "answers with errors", BAD),
    Trouble("DataRobotWorkloadUnschedulable", "finds no node", BAD, serves=False),
    Trouble("DataRobotWorkloadStuckStarting", "start hangs", BAD),
    Trouble("DataRobotWorkloadImagePullFailing", "an image cannot be pulled", WARNING, serves=True),
    Trouble("DataRobotContainerCannotStart", "a container cannot start", WARNING, serves=True),
    Trouble("DataRobotContainerCrashLooping", "a container crashes", WARNING, serves=True),
    Trouble("DataRobotWorkloadUnschedulable", "a replica finds no node", WARNING, serves=True),
    Trouble("DataRobotErrorBudgetBurnFast", "too many errors", WARNING),
    Trouble("DataRobotWorkloadReplicasDegraded", "too few replicas ready", WARNING),
    Trouble("DataRobotReplacementFailed", "new version did not make it", WARNING),
    Trouble("DataRobotReplacementStuck", "replacement hangs", WARNING),
    Trouble("DataRobotWorkloadUnreadable", "cannot be read", WARNING),
    Trouble("DataRobotWorkloadVanished", "no longer listed", WARNING),
    Trouble("DataRobotWorkloadStopped", "stopped, though important", WARNING),
    Trouble("DataRobotWorkloadStuckStopping", "does not stop", WARNING),
    Trouble("DataRobotContainerOOMKilled", "ran out of memory", WARNING),
    Trouble("DataRobotWorkloadLatencyHigh", "slow", WARNING),
    Trouble("DataRobotAutoscalerSaturated", "autoscaler at its most", WARNING),
    Trouble("DataRobotWorkloadMemoryNearLimit", "memory nearly used up", WARNING),
    Trouble("DataRobotErrorBudgetBurnSlow", "error budget shrinks", NOTICE),
    Trouble("DataRobotDraftExpiring", "draft is about to end", NOTICE),
    Trouble("DataRobotPodSnapshotMissing", "pods are not told", NOTICE),
    Trouble("DataRobotBundleNotOffered", "bundle not on offer", NOTICE),
)
_RUNS = Metric("workload_status", status="running").is_(1)
_CONDITIONS = {alert.name: alert.condition for alert in ALERTS}


def condition(alert: str, selector: str = CHOSEN) -> str:
    """The PromQL of an alert's condition at the default thresholds, without its wait, on one line."""
    return _written(_CONDITIONS[alert], selector)


def _written(told: Condition, selector: str) -> str:
    return " ".join(told.promql(Writing(selector, DEFAULTS)).split())


def _meant(trouble: Trouble) -> Condition:
    told = _CONDITIONS[trouble.alert]
    return told if trouble.serves is None else told & _RUNS if trouble.serves else told.unless(_RUNS)


def number(trouble: Trouble) -> int:
    """Numbers that represent problems: higher is worse."""
    return len(TROUBLES) - TROUBLES.index(trouble)


def worst(selector: str = CHOSEN) -> str:
    """PromQL: for each workload with problems, the number of the most important one."""
    told = [f"{number(trouble)} * group by ({IDS}) ({_written(_meant(trouble), selector)})" for trouble in TROUBLES]
    return "\nor ".join(told)


def of_those_in_trouble(expression: str, selector: str = CHOSEN) -> str:
    """PromQL: an expression, restricted to workloads with problems."""
    return f"{expression}\nand {WHICH} (\n{worst(selector)}\n)"
