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
ONE_OUTAGE = _CAUSES | {*_DOWN}
"""What an outage of a workload pages: the alert that fires first depends on when the list and the pods are read."""
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
    Mute(frozenset({"DataRobotAccountDetailsUnreadable"}), frozenset({"DataRobotWorkloadUnreadable"}), _ACCOUNT,
        target=("warning", frozenset())),
    Mute(frozenset({"DataRobotApiUnreachable", "DataRobotDataStale", "DataRobotTokenRejected"}), frozenset(), _ACCOUNT,
        ("", ""), ("warning", frozenset({"workload", "account"}))),
    Mute(frozenset({"DataRobotTokenRejected"}), frozenset({"DataRobotApiUnreachable", "DataRobotDataStale"}), _ACCOUNT),
    Mute(frozenset({"DataRobotApiUnreachable"}), frozenset({"DataRobotDataStale"}), _ACCOUNT),
)  # fmt: skip
"""The inhibitions of alerts/alertmanager.example.yml: causes mute their consequences, an alert storm is one page."""


def muted(firing: Iterable[Alarm], now: float, silent: Collection[str] = ()) -> frozenset[str]:
    """The keys of the incidents that are muted at `now`. An incident of several severities counts with the highest.

    One outage is one page: while the condition of the first of `ONE_OUTAGE` that paged is met, it mutes the others,
    in any direction of `MUTES`. An Alertmanager cannot do that: it does not know which alert was first. `silent`: keys
    of silenced incidents, which were not the page.
    """
    by_severity = sorted(firing, key=lambda alarm: -SEVERITIES.index(alarm.severity))
    incidents = tuple({alarm.key: alarm for alarm in by_severity}.values())
    first, later = _pages_of_outages((each for each in incidents if each.key not in silent), now)
    found = set(later)
    for mute in MUTES:
        sources = {
            _equal(mute, each) for each in incidents if _is(each, mute.sources, mute.source[0], {mute.source[1]} - {""})
        }
        targets = (e for e in incidents if _equal(mute, e) in sources and _is(e, mute.targets, *mute.target))
        found.update(each.key for each in targets if each.key not in first or not mute.sources <= ONE_OUTAGE)
    return frozenset(found)


def _pages_of_outages(incidents: Iterable[Alarm], now: float) -> tuple[Collection[str], Collection[str]]:
    """The keys of the first pages about outages that go on, and of the later ones."""
    outages: dict[tuple[str | None, ...], list[Alarm]] = {}
    for each in incidents:
        if each.alert in ONE_OUTAGE and each.severity == "critical":
            outages.setdefault(tuple(each.labels.get(label) for label in _WORKLOAD), []).append(each)
    first: set[str] = set()
    later: set[str] = set()
    for pages in outages.values():
        begin = min(each.fired or 0.0 for each in pages)
        earliest = [each for each in pages if each.fired == begin]
        if len(earliest) == 1 and earliest[0].held == now:
            first.add(earliest[0].key)
            later.update(each.key for each in pages if each is not earliest[0])
    return first, later


def _equal(mute: Mute, alarm: Alarm) -> tuple[str | None, ...]:
    return tuple(alarm.labels.get(label) for label in mute.equal)


def _is(alarm: Alarm, names: frozenset[str], severity: str, components: Collection[str]) -> bool:
    return (
        (not names or alarm.alert in names)
        and (not severity or alarm.severity == severity)
        and (not components or BY_NAME[alarm.alert].component in components)
    )
