"""What may be wrong with a workload, the most telling first: the conditions of the alerts, as one number a workload.

So that dashboards and pages cannot disagree, and dashboards need no rules to be loaded. The time for which an alert
waits is left out: a dashboard shows at once what a page may still hold back.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboards.look import BAD, NOTICE, WARNING
from exporter.core.conditions import ALERTS, DEFAULTS
from exporter.core.terms import WORKLOAD, Writing

CHOSEN = 'job=~"$job", account=~"$account"'
IDS = ", ".join(WORKLOAD)
WHICH = "on (account, workload_id)"


class Trouble(NamedTuple):
    """The alert of which the condition is meant, what stands in its cell, and its colour."""

    alert: str
    words: str
    colour: str


TROUBLES: tuple[Trouble, ...] = (
    Trouble("DataRobotWorkloadImagePullFailing", "image cannot be pulled", BAD),
    Trouble("DataRobotContainerCannotStart", "container cannot start", BAD),
    Trouble("DataRobotContainerCrashLooping", "crashes again and again", BAD),
    Trouble("DataRobotWorkloadErrored", "failed", BAD),
    Trouble("DataRobotWorkloadInterrupted", "interrupted by the platform", BAD),
    Trouble("DataRobotWorkloadTerminated", "terminated for good", BAD),
    Trouble("DataRobotWorkloadNoReadyReplica", "no replica is ready", BAD),
    Trouble("DataRobotWorkloadNotServing", "answers with errors", BAD),
    Trouble("DataRobotWorkloadUnschedulable", "finds no node", BAD),
    Trouble("DataRobotWorkloadStuckStarting", "start hangs", BAD),
    Trouble("DataRobotErrorBudgetBurnFast", "too many errors", WARNING),
    Trouble("DataRobotWorkloadReplicasDegraded", "too few replicas ready", WARNING),
    Trouble("DataRobotReplacementFailed", "new version did not make it", WARNING),
    Trouble("DataRobotReplacementStuck", "replacement hangs", WARNING),
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
_CONDITIONS = {alert.name: alert.condition for alert in ALERTS}


def condition(alert: str, selector: str = CHOSEN) -> str:
    """The PromQL of an alert's condition at the default thresholds, without its wait."""
    return _CONDITIONS[alert].promql(Writing(selector, DEFAULTS))


def number(trouble: Trouble) -> int:
    """What stands for a trouble where only numbers can: the greater the worse."""
    return len(TROUBLES) - TROUBLES.index(trouble)


def worst(selector: str = CHOSEN) -> str:
    """PromQL: of each workload that is in trouble, the number of what is most telling of it."""
    told = [
        f"{number(trouble)} * group by ({IDS}) ({' '.join(condition(trouble.alert, selector).split())})"
        for trouble in TROUBLES
    ]
    return "\nor ".join(told)


def of_those_in_trouble(expression: str, selector: str = CHOSEN) -> str:
    """PromQL: an expression, of the workloads that are in trouble."""
    return f"{expression}\nand {WHICH} (\n{worst(selector)}\n)"
