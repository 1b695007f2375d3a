"""Mutes: incidents that are not notified while another one fires, like inhibitions of an Alertmanager."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from exporter.alerting.alarms import Alarm
from exporter.alerting.alerts import BY_NAME, SEVERITIES


class Mute(NamedTuple):
    """While a source fires, targets with the same values of the labels `equal` are not notified. Empty: any.

    `source` is the severity and component of sources, `target` the severity and components of targets.
    """

    sources: frozenset[str]
    targets: frozenset[str]
    equal: tuple[str, ...]
    source: tuple[str, str] = ("", "")
    target: tuple[str, frozenset[str]] = ("", frozenset())


_DOWN = ("DataRobotWorkloadErrored", "DataRobotWorkloadNoReadyReplica")
_CAUSES = frozenset(
    "DataRobotWorkloadImagePullFailing DataRobotContainerCannotStart DataRobotContainerCrashLooping "
    "DataRobotWorkloadUnschedulable".split()
)
_CONSEQUENCES = frozenset(
    {"DataRobotWorkloadErrored", "DataRobotWorkloadReplicasDegraded", "DataRobotWorkloadStuckStarting"}
)
_DOWN_ITSELF = frozenset({"DataRobotWorkloadNoReadyReplica"})
_REQUESTS = ("DataRobotWorkloadNotServing", "DataRobotErrorBudgetBurnFast")
_WORKLOAD, _ACCOUNT = ("account", "workload_id"), ("account",)
MUTES: tuple[Mute, ...] = (
    Mute(frozenset(), frozenset(), _WORKLOAD, ("critical", "workload"), ("warning", frozenset({"workload"}))),
    Mute(_CAUSES, _CONSEQUENCES | {*_REQUESTS}, _WORKLOAD, ("critical", "")),
    Mute(_CAUSES, _CONSEQUENCES, _WORKLOAD, target=("warning", frozenset())),
    Mute(_DOWN_ITSELF, _CAUSES | _CONSEQUENCES, _WORKLOAD, ("critical", "")),
    Mute(_DOWN_ITSELF, _CAUSES | _CONSEQUENCES, _WORKLOAD, target=("warning", frozenset())),
    Mute(frozenset((*_DOWN, "DataRobotWorkloadInterrupted")), frozenset(_REQUESTS), _WORKLOAD, ("critical", "")),
    Mute(frozenset({"DataRobotContainerOOMKilled"}), frozenset({"DataRobotWorkloadMemoryNearLimit"}), _WORKLOAD),
    Mute(frozenset({"DataRobotPodSnapshotMissing"}), frozenset({"DataRobotWorkloadStuckStarting"}), _WORKLOAD,
        target=("warning", frozenset())),
    Mute(frozenset(_REQUESTS[:1]), frozenset(_REQUESTS[1:]), _WORKLOAD),
    Mute(frozenset({"DataRobotFleetManyFailing"}),
        frozenset((*_DOWN, "DataRobotWorkloadInterrupted", "DataRobotWorkloadNotServing")) | _CAUSES, _ACCOUNT),
    Mute(frozenset({"DataRobotApiUnreachable", "DataRobotDataStale", "DataRobotTokenRejected"}), frozenset(), _ACCOUNT,
        ("", ""), ("warning", frozenset({"workload", "account"}))),
    Mute(frozenset({"DataRobotTokenRejected"}), frozenset({"DataRobotApiUnreachable", "DataRobotDataStale"}), _ACCOUNT),
    Mute(frozenset({"DataRobotApiUnreachable"}), frozenset({"DataRobotDataStale"}), _ACCOUNT),
)  # fmt: skip
"""The inhibitions of alerts/alertmanager.example.yml: causes mute their consequences, an alert storm is one page."""


def muted(firing: Iterable[Alarm]) -> frozenset[str]:
    """The keys of the incidents that are muted. An incident of several severities counts with the highest."""
    by_severity = sorted(firing, key=lambda alarm: -SEVERITIES.index(alarm.severity))
    incidents = tuple({alarm.key: alarm for alarm in by_severity}.values())
    found: set[str] = set()
    for mute in MUTES:
        sources = {
            _equal(mute, each) for each in incidents if _is(each, mute.sources, mute.source[0], {mute.source[1]} - {""})
        }
        found.update(
            each.key for each in incidents if _equal(mute, each) in sources and _is(each, mute.targets, *mute.target)
        )
    return frozenset(found)


def _equal(mute: Mute, alarm: Alarm) -> tuple[str | None, ...]:
    return tuple(alarm.labels.get(label) for label in mute.equal)


def _is(alarm: Alarm, names: frozenset[str], severity: str, components: Collection[str]) -> bool:
    return (
        (not names or alarm.alert in names)
        and (not severity or alarm.severity == severity)
        and (not components or BY_NAME[alarm.alert].component in components)
    )
