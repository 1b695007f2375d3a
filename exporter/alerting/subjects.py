"""Subjects: what alarms are about, and which alerts have their condition met for each of them now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from exporter.alerting.alerts import Alert
from exporter.alerting.evaluation import active_alerts
from exporter.alerting.expressions import WORKLOAD, AccountContext, WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.metrics.exposition import bounded


class Subject(NamedTuple):
    """A workload, an account, or, without labels, the exporter itself.

    `alerts`: alert and severity of each condition that is met now. `recent`: there is recent data about the subject;
    always true of the exporter. `pods_recent`: there is recent data about its pods. `polled`: data has been requested
    since the exporter started; until then its alarms stay as they were. `blind`: its account cannot be read, so no
    alarm that fires is known to be over. `tags`: labels from tags, for alarms that begin.
    """

    labels: Mapping[str, str]
    alerts: frozenset[tuple[str, str]]
    recent: bool = True
    pods_recent: bool = True
    polled: bool = True
    blind: bool = False
    tags: Mapping[str, str] = {}


class SweepStatus(NamedTuple):
    """The last sweep of an account: reason of its failure (empty: it succeeded), and the age of the data.

    `age`: seconds since the last complete sweep, or until the first one since the exporter began to sweep the account.
    `interval`: seconds between sweeps.
    """

    failure: str
    age: float
    interval: float


class ExporterStatus(NamedTuple):
    """The state of the exporter itself.

    `left_out`: workloads without series. `unwritten`: seconds since writing the state started failing; None: it
    succeeds. `undelivered`: seconds since delivery to a receiver started failing. `published`: metrics have been
    published since the start.
    """

    left_out: int = 0
    unwritten: float | None = None
    settings_good: bool = True
    undelivered: float = 0.0
    published: bool = True


class AccountFleet(NamedTuple):
    """An account and its workloads as last known.

    `recent`: whether that is recent. `missing`: workloads that the last sweep did not report, but the next one may.
    `swept`: a sweep has ended since the exporter started, with or without success.
    """

    known: AccountFacts
    workloads: Iterable[WorkloadState]
    sweep: SweepStatus
    recent: bool = True
    missing: Iterable[WorkloadState] = ()
    swept: bool = True

    @property
    def blind(self) -> bool:
        """Whether nothing is known of the workloads because sweeps fail."""
        return not self.recent and bool(self.sweep.failure)


SWEEP_ALERTS: Mapping[str, Callable[[SweepStatus, Options], bool]] = {
    "DataRobotApiUnreachable": lambda sweep, _: bool(sweep.failure),
    "DataRobotTokenRejected": lambda sweep, _: sweep.failure in ("auth", "forbidden"),
    "DataRobotDataStale": lambda sweep, options: sweep.age > options.thresholds["stale_sweeps"] * sweep.interval,
}
EXPORTER_ALERTS: Mapping[str, Callable[[ExporterStatus, Options], bool]] = {
    "DataRobotExporterSeriesLimit": lambda exporter, _: exporter.left_out > 0,
    "DataRobotExporterStateNotKept": lambda exporter, _: exporter.unwritten is not None and exporter.unwritten < 900,
    "DataRobotExporterReloadFailed": lambda exporter, _: not exporter.settings_good,
    "DataRobotExporterCannotNotify": lambda exporter, options: (
        exporter.undelivered > options.thresholds["notify_seconds"] / options.scale
    ),
    "DataRobotWatchdog": lambda _, __: True,
}
"""The alerts about the exporter that it can evaluate itself. It cannot evaluate those that need the history of its
counters, nor report its own absence: the dead man's switch that receives the watchdog does that.
"""


def worst(statuses: Iterable[ExporterStatus]) -> ExporterStatus:
    """The status of several replicas as that of one exporter: what is wrong with any of them."""
    each = tuple(statuses)
    return ExporterStatus(
        left_out=sum(status.left_out for status in each),
        unwritten=min((status.unwritten for status in each if status.unwritten is not None), default=None),
        settings_good=all(status.settings_good for status in each),
        undelivered=max(status.undelivered for status in each),
        published=all(status.published for status in each),
    )


def subjects(
    fleets: Iterable[AccountFleet], exporter: ExporterStatus | None, options: Options, now: float
) -> Iterator[Subject]:
    """All subjects at `now`: workloads, accounts, and the exporter unless another replica speaks for it (None)."""
    alerts = in_force(options)
    severity = {alert.name: alert.levels[0].severity for alert in alerts if alert.component == "exporter"}
    workload_alerts = [alert for alert in alerts if alert.component == "workload"]
    account_alerts = [alert for alert in alerts if alert.component == "account"]
    for fleet in fleets:
        states = tuple(fleet.workloads)
        yield from _workloads(fleet._replace(workloads=states), workload_alerts, options, now)
        context = AccountContext(fleet.known, states, now, options.thresholds)
        met = active_alerts(account_alerts, context) if fleet.recent else ()
        sweep = {
            (a, severity[a]) for a, is_met in SWEEP_ALERTS.items() if a in severity and is_met(fleet.sweep, options)
        }
        labels = {"account": fleet.known.account.name}
        yield Subject(labels, frozenset(met) | sweep, fleet.recent, polled=fleet.swept, blind=fleet.blind)
    if exporter is None:
        return
    own = {(a, severity[a]) for a, is_met in EXPORTER_ALERTS.items() if a in severity and is_met(exporter, options)}
    yield Subject({}, frozenset(own), polled=exporter.published)


def _workloads(fleet: AccountFleet, alerts: Iterable[Alert], options: Options, now: float) -> Iterator[Subject]:
    for state in fleet.workloads:
        # Workloads that are no longer shown are not evaluated: their alarms keep their state for a while.
        met = active_alerts(alerts, WorkloadContext(state, now, options.thresholds)) if fleet.recent else ()
        pods_recent = fleet.recent and (state.vanished is not None or state.details.fresh.get("pods") is True)
        tags = _tags(state, options) if met else {}
        yield Subject(_labels(state), frozenset(met), fleet.recent, pods_recent, fleet.swept, fleet.blind, tags)
    for state in fleet.missing:
        yield Subject(_labels(state), frozenset(), False, False, fleet.swept, fleet.blind)


def _labels(state: WorkloadState) -> dict[str, str]:
    return dict(zip(WORKLOAD, (state.account, bounded(state.workload.name or ""), state.workload.id), strict=True))


def _tags(state: WorkloadState, options: Options) -> dict[str, str]:
    return {name: bounded(value) for name, value in state.tag_labels or () if name in options.tag_labels}
