"""Possible problems of a workload, most important first: the conditions of alerts, as one number per workload.

Dashboards therefore agree with notifications and need no loaded rules. They ignore the wait time of an alert and show a
problem immediately.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboards.style import BAD, NOTICE, WARNING
from exporter.alerting.alerts import ALERTS
from exporter.alerting.expressions import WORKLOAD, Condition, Metric, Writing
from exporter.alerting.limits import DEFAULTS

SELECTED = 'job=~"$job", account=~"$account"'
IDS = ", ".join(WORKLOAD)
ON_WORKLOAD = "on (account, workload_id)"


class Problem(NamedTuple):
    """An alert whose condition is shown, the text of the cell, and its colour.

    `serves`: only for workloads that are running, or that are not; a problem of a new version is less severe.
    """

    alert: str
    text: str
    colour: str
    serves: bool | None = None


PROBLEMS: tuple[Problem, ...] = (
    Problem("DataRobotWorkloadImagePullFailing", "image cannot be pulled", BAD, serves=False),
    Problem("DataRobotContainerCannotStart", "container cannot start", BAD, serves=False),
    Problem("DataRobotContainerCrashLooping", "crash loop", BAD, serves=False),
    Problem("DataRobotWorkloadUnschedulable", "cannot be scheduled", BAD, serves=False),
    Problem("DataRobotWorkloadErrored", "errored", BAD),
    Problem("DataRobotWorkloadInterrupted", "interrupted by the platform", BAD),
    Problem("DataRobotWorkloadTerminated", "terminated for good", BAD),
    Problem("DataRobotWorkloadNoReadyReplica", "no ready replica", BAD),
    Problem("DataRobotWorkloadNotServing", "most requests fail", BAD),
    Problem("DataRobotWorkloadStuckStarting", "stuck starting", BAD),
    Problem("DataRobotWorkloadImagePullFailing", "an image cannot be pulled", WARNING, serves=True),
    Problem("DataRobotContainerCannotStart", "a container cannot start", WARNING, serves=True),
    Problem("DataRobotContainerCrashLooping", "a container is crash-looping", WARNING, serves=True),
    Problem("DataRobotWorkloadUnschedulable", "a replica cannot be scheduled", WARNING, serves=True),
    Problem("DataRobotErrorBudgetBurnFast", "error budget burns fast", WARNING),
    Problem("DataRobotWorkloadReplicasDegraded", "too few ready replicas", WARNING),
    Problem("DataRobotReplacementFailed", "replacement failed", WARNING),
    Problem("DataRobotReplacementStuck", "replacement stuck", WARNING),
    Problem("DataRobotWorkloadUnreadable", "unreadable", WARNING),
    Problem("DataRobotWorkloadVanished", "no longer listed", WARNING),
    Problem("DataRobotWorkloadStopped", "important but stopped", WARNING),
    Problem("DataRobotWorkloadStuckStopping", "stuck stopping", WARNING),
    Problem("DataRobotContainerOOMKilled", "out of memory", WARNING),
    Problem("DataRobotWorkloadLatencyHigh", "slow responses", WARNING),
    Problem("DataRobotAutoscalerSaturated", "autoscaler at its maximum", WARNING),
    Problem("DataRobotWorkloadMemoryNearLimit", "memory near its limit", WARNING),
    Problem("DataRobotErrorBudgetBurnSlow", "error budget burns slowly", NOTICE),
    Problem("DataRobotLatencyBudgetBurn", "slower than its objective", NOTICE),
    Problem("DataRobotReadinessBudgetBurn", "down for longer than its objective", NOTICE),
    Problem("DataRobotDraftExpiring", "draft expires soon", NOTICE),
    Problem("DataRobotPodSnapshotMissing", "pods are not reported", NOTICE),
    Problem("DataRobotBundleNotOffered", "bundle not available", NOTICE),
)
_RUNS = Metric("workload_status", status="running").is_(1)
_CONDITIONS = {alert.name: alert.condition for alert in ALERTS}


def condition_promql(alert: str, selector: str = SELECTED) -> str:
    """The PromQL of an alert's condition at the default thresholds, without its wait, on one line."""
    return _promql(_CONDITIONS[alert], selector)


def _promql(condition: Condition, selector: str) -> str:
    return " ".join(condition.promql(Writing(selector, DEFAULTS)).split())


def _condition(problem: Problem) -> Condition:
    condition = _CONDITIONS[problem.alert]
    if problem.serves is None:
        return condition
    return condition & _RUNS if problem.serves else condition.unless(_RUNS)


def number(problem: Problem) -> int:
    """Numbers that represent problems: higher is worse."""
    return len(PROBLEMS) - PROBLEMS.index(problem)


def worst_problem(selector: str = SELECTED) -> str:
    """PromQL: for each workload with problems, the number of the most important one."""
    numbers = [
        f"{number(problem)} * group by ({IDS}) ({_promql(_condition(problem), selector)})" for problem in PROBLEMS
    ]
    return "\nor ".join(numbers)


def with_problems(expression: str, selector: str = SELECTED) -> str:
    """PromQL: an expression, restricted to workloads with problems."""
    return f"{expression}\nand {ON_WORKLOAD} (\n{worst_problem(selector)}\n)"
