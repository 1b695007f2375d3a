"""The table of mutes: the end of an alert never unmutes one that is over too.

A recovery ends several conditions at once, but data about them arrives at different times. So whatever mutes an alert
is kept longer than that alert, by more than their data can differ in age.
"""

from collections.abc import Iterator

import pytest

from exporter.alerting.alerts import ALERTS, Alert
from exporter.alerting.mutes import MUTES, Mute

OF_THE_LIST_AND_PODS, OF_REQUESTS, OF_A_START = 60.0, 120.0, 240.0
"""Seconds between the times at which two conditions end after the same recovery."""
START = "DataRobotWorkloadStuckStarting"
"""It ends when the workload serves, minutes after that which delayed its start."""
REQUESTS = {
    "DataRobotWorkloadNotServing",
    "DataRobotErrorBudgetBurnFast",
    "DataRobotErrorBudgetBurnSlow",
    "DataRobotLatencyBudgetBurn",
}
FACTS_OF_THEIR_OWN = {
    "DataRobotAutoscalerSaturated": "load",
    "DataRobotWorkloadMemoryNearLimit": "memory",
    "DataRobotBundleNotOffered": "the catalogue",
    "DataRobotWorkloadReplicaLimitNear": "its settings",
    "DataRobotAccountWorkloadLimitNear": "the size of the fleet",
    "DataRobotWorkloadLatencyHigh": "response times",
    "DataRobotWorkloadRefusesCallers": "the callers",
    "DataRobotWorkloadUnreadable": "what the list reports",
    "DataRobotReplacementStuck": "a replacement",
    "DataRobotWorkloadStuckStopping": "a stop",
    "DataRobotWorkloadInterrupted": "the platform's decision",
}
"""Alerts that end for reasons of their own: when a page ends, they are news."""
Each = tuple[Alert, str]


def _matching(names: frozenset[str], severity: str, components: frozenset[str]) -> Iterator[Each]:
    for alert in ALERTS:
        for level in alert.levels:
            if (
                (not names or alert.name in names)
                and severity in ("", level.severity)
                and (not components or alert.component in components)
            ):
                yield alert, level.severity


def _pairs(mute: Mute) -> Iterator[tuple[Each, Each]]:
    components = frozenset({mute.source[1]}) - {""}
    for source in _matching(mute.sources, mute.source[0], components):
        for target in _matching(mute.targets, *mute.target):
            ends_with_it = target[0].name not in FACTS_OF_THEIR_OWN and target[0].keep != (0.0, 0.0)
            ends_by_recovery = source[0].keep != (0.0, 0.0)
            if source[0] is not target[0] and ends_by_recovery and ends_with_it:
                yield source, target


@pytest.mark.parametrize("mute", MUTES, ids=[str(number) for number in range(len(MUTES))])
def test_what_mutes_an_alert_is_kept_longer_than_it(mute: Mute) -> None:
    shorter = []
    for (source, severity), (target, of_target) in _pairs(mute):
        later = OF_REQUESTS if {source.name, target.name} <= REQUESTS else OF_THE_LIST_AND_PODS
        later = OF_A_START if target.name == START and source.name != "DataRobotWorkloadNoReadyReplica" else later
        if source.keep_of(severity) < target.keep_of(of_target) + later:
            shorter.append(f"{severity} {source.name} mutes {of_target} {target.name}, which is kept longer")
    assert not shorter


def test_the_law_compares_causes_with_what_they_cause() -> None:
    pairs = {(source[0].name, target[0].name) for mute in MUTES for source, target in _pairs(mute)}
    assert ("DataRobotWorkloadImagePullFailing", "DataRobotWorkloadErrored") in pairs
    assert ("DataRobotWorkloadNoReadyReplica", "DataRobotWorkloadNotServing") in pairs
    assert ("DataRobotFleetManyFailing", "DataRobotContainerCrashLooping") in pairs
    assert len(pairs) > 40


def test_an_alert_with_two_severities_is_kept_longer_than_it_waits() -> None:
    """So that a change of its severity is not the end of its incident.

    DataRobotWorkloadNoReadyReplica pages when the last replica is lost to a lack of nodes, long before.
    """
    for alert in ALERTS:
        paged_before = alert.name == "DataRobotWorkloadUnschedulable"
        if len(alert.levels) > 1 and alert.keep != (0.0, 0.0) and alert.since is None and not paged_before:
            assert min(alert.keep) >= alert.wait + 60, alert.name
