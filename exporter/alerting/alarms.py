"""Alarms: alerts that the daemon itself raises, by the same conditions, waits and holds as the rules for Prometheus.

An alarm waits, fires and ends; `after` makes the next alarms of those before and of what holds now. What of them a
receiver must be told is worked out from what it was told (`due`), so nothing is queued: what healed while a receiver
was away is never told, and nothing ends for a receiver that was never told of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote_plus

import msgspec

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import active_alerts
from exporter.alerting.expressions import WORKLOAD, AccountContext, WorkloadContext
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options, in_force, words
from exporter.fleet.episodes import Stored
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.metrics.exposition import bounded

ENDED_KEPT = 900.0
"""How long the end of an alarm is remembered, for an Alertmanager that was not there."""
ROWS = {alert.name: alert for alert in ALERTS}


SEVERITIES = ("critical", "warning", "info", "none")
"""The loudest first."""


class Alarm(Stored, frozen=True):
    """One alert, of one severity, of one subject. Times are in seconds since the epoch.

    `since`: its condition has held from then on; `held`: it held last then; `told`: something recent was told of the
    subject last then. `fired`: since when it fires (None: it waits), `ended`: since when it fires no more.
    """

    alert: str
    severity: str
    labels: Mapping[str, str]
    since: float
    held: float
    told: float
    fired: float | None = None
    ended: float | None = None

    @property
    def firing(self) -> bool:
        """Whether it fires now."""
        return self.fired is not None and self.ended is None

    @property
    def key(self) -> str:
        """What is one incident, whatever its severity is."""
        return "/".join(("datarobot", self.labels.get("account", ""), self.alert, self.labels.get("workload_id", "")))


Alarms = Mapping[str, Alarm]
"""By alert, severity and subject."""


class Subject(NamedTuple):
    """What alarms are about: a workload, an account, or, without labels, the exporter itself.

    `alerts`: alert and severity of all that holds of it now. `told`: whether something recent is known of it, `pods`:
    of its pods; what the exporter knows of itself is always recent. `asked`: whether anything was asked since the
    start; until then its alarms stay as they were.
    """

    labels: Mapping[str, str]
    alerts: frozenset[tuple[str, str]]
    told: bool = True
    pods: bool = True
    asked: bool = True


# -- what holds


class Sweeping(NamedTuple):
    """How the sweeps of an account go: why the last one failed (empty: it did not), and how old its data is.

    `age`: seconds since the last complete sweep; until the first one, since the exporter began to sweep the account.
    """

    failure: str
    age: float
    interval: float


class Exporter(NamedTuple):
    """What the exporter knows of itself. `unwritten`: seconds since the state could not be written; None: it can.

    `unheard`: for how many seconds a receiver has not been told what it must be. `begun`: it has published once.
    """

    left_out: int = 0
    unwritten: float | None = None
    settings_good: bool = True
    unheard: float = 0.0
    begun: bool = True


class Fleet(NamedTuple):
    """An account and its workloads as known last. `told`: whether that is recent.

    `missing`: workloads that the last sweep did not tell; they may be told by the next. `asked`: whether a sweep has
    ended, well or not, since the start.
    """

    known: AccountFacts
    workloads: Iterable[WorkloadState]
    sweeping: Sweeping
    told: bool = True
    missing: Iterable[WorkloadState] = ()
    asked: bool = True


OF_SWEEPS: Mapping[str, Callable[[Sweeping, Options], bool]] = {
    "DataRobotApiUnreachable": lambda sweeping, _: bool(sweeping.failure),
    "DataRobotExporterPartialSweep": lambda sweeping, _: bool(sweeping.failure),
    "DataRobotTokenRejected": lambda sweeping, _: sweeping.failure in ("auth", "forbidden"),
    "DataRobotDataStale": lambda sweeping, options: (
        sweeping.age > options.thresholds["stale_sweeps"] * sweeping.interval
    ),
}
OF_THE_EXPORTER: Mapping[str, Callable[[Exporter, Options], bool]] = {
    "DataRobotExporterSeriesLimit": lambda exporter, _: exporter.left_out > 0,
    "DataRobotExporterStateNotKept": lambda exporter, _: exporter.unwritten is not None and exporter.unwritten < 900,
    "DataRobotExporterReloadFailed": lambda exporter, _: not exporter.settings_good,
    "DataRobotExporterCannotNotify": lambda exporter, options: (
        exporter.unheard > options.thresholds["notify_seconds"] / options.scale
    ),
    "DataRobotWatchdog": lambda _, __: True,
}
"""The alerts about the exporter that it can raise itself. Those that look back over its own counters it cannot, nor
that it is not there: who expects the watchdog and does not hear it tells that."""


def subjects(fleets: Iterable[Fleet], exporter: Exporter, options: Options, now: float) -> Iterator[Subject]:
    """Everything that alarms may be about, as of `now`."""
    alerts = in_force(options)
    own = {alert.name: alert.levels[0].severity for alert in alerts if alert.component == "exporter"}
    of_workloads = [alert for alert in alerts if alert.component == "workload"]
    of_accounts = [alert for alert in alerts if alert.component == "account"]
    for fleet in fleets:
        there = tuple(fleet.workloads)
        for state in there:
            # What is no longer shown is not judged either: an alarm is held as it was, for a while.
            met = active_alerts(of_workloads, WorkloadContext(state, now, options.thresholds)) if fleet.told else ()
            pods = fleet.told and (state.vanished is not None or state.details.fresh.get("pods") is True)
            yield Subject(_labels(state), frozenset(met), fleet.told, pods, fleet.asked)
        for state in fleet.missing:
            yield Subject(_labels(state), frozenset(), told=False, pods=False, asked=fleet.asked)
        context = AccountContext(fleet.known, there, now, options.thresholds)
        account = active_alerts(of_accounts, context) if fleet.told else ()
        sweeps = {(a, own[a]) for a, is_so in OF_SWEEPS.items() if a in own and is_so(fleet.sweeping, options)}
        yield Subject({"account": fleet.known.account.name}, frozenset(account) | sweeps, fleet.told, asked=fleet.asked)
    ours = {(a, own[a]) for a, is_so in OF_THE_EXPORTER.items() if a in own and is_so(exporter, options)}
    yield Subject({}, frozenset(ours), asked=exporter.begun)


def _labels(state: WorkloadState) -> dict[str, str]:
    return dict(zip(WORKLOAD, (state.account, bounded(state.workload.name or ""), state.workload.id), strict=True))


# -- what becomes of it


def after(alarms: Alarms, told: Iterable[Subject], options: Options, now: float) -> dict[str, Alarm]:
    """The alarms after one look at everything, at `now`."""
    before: dict[tuple[str, str], list[tuple[str, Alarm]]] = {}
    for place, alarm in alarms.items():
        before.setdefault(_about(alarm.labels), []).append((place, alarm))
    found: dict[str, Alarm] = {}
    for subject in told:
        if not subject.asked:
            found.update(before.pop(_about(subject.labels), ()))
            continue
        for alert, severity in sorted(subject.alerts):
            place = "\x1f".join((alert, severity, *_about(subject.labels)))
            old = alarms.get(place)
            if old is None or old.ended is not None:
                old = Alarm(alert, severity, subject.labels, now, now, now)
            found[place] = _held(_named(old, subject), options, now)
        for place, alarm in before.pop(_about(subject.labels), ()):
            if place not in found:
                recent = subject.pods if ROWS[alarm.alert].pods else subject.told
                _keep(found, place, _unheld(_named(alarm, subject), recent or alarm.alert in OF_SWEEPS, options, now))
    for rows in before.values():  # nothing is known of their subject any more
        for place, alarm in rows:
            _keep(found, place, _unheld(alarm, True, options, now))
    return found


def _named(alarm: Alarm, subject: Subject) -> Alarm:
    """The alarm with the labels that its subject has now: a workload may be renamed."""
    return alarm if alarm.labels == subject.labels else msgspec.structs.replace(alarm, labels=subject.labels)


def _about(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("account", ""), labels.get("workload_id", "")


def _keep(found: dict[str, Alarm], place: str, alarm: Alarm | None) -> None:
    if alarm is not None:
        found[place] = alarm


def _held(alarm: Alarm, options: Options, now: float) -> Alarm:
    wait = options.waits.get(alarm.alert, ROWS[alarm.alert].wait) / options.scale
    fires = alarm.fired is None and now - alarm.since >= wait
    return msgspec.structs.replace(alarm, held=now, told=now, fired=now if fires else alarm.fired)


def _unheld(alarm: Alarm, told: bool, options: Options, now: float) -> Alarm | None:
    """The alarm where its condition does not hold, or nobody knows whether it does; None: it is over and done with."""
    if alarm.ended is not None:
        return alarm if now - alarm.ended < ENDED_KEPT else None
    if not told and now - alarm.told <= options.hold / options.scale:
        return msgspec.structs.replace(_held(alarm, options, now), told=alarm.told)
    if alarm.fired is None:
        return None
    if now - alarm.held < ROWS[alarm.alert].keep / options.scale:
        return alarm
    return msgspec.structs.replace(alarm, ended=now)


# -- what is said of it


def labels(alarm: Alarm, options: Options) -> dict[str, str]:
    """The labels that the rules for Prometheus give the same alert."""
    row = ROWS[alarm.alert]
    told = {
        "alertname": alarm.alert,
        **alarm.labels,
        options.severity_label: alarm.severity,
        "component": row.component,
    }
    job = re.search(r'\bjob="([^"]*)"', options.selector)
    if not alarm.labels and job is not None and alarm.alert != "DataRobotWatchdog":
        told["job"] = job[1]  # which those rules are aggregated by
    return {**told, **options.labels}


def texts(alarm: Alarm, options: Options) -> dict[str, str]:
    """What a person reads, filled in; where a text wants a number of Prometheus's, the summary says it."""
    told = words(ROWS[alarm.alert], options)
    if "$value" in told["description"]:
        told["description"] = told["summary"]
    return {name: _filled(text, alarm.labels) for name, text in told.items()}


def _filled(template: str, told: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        text = told.get(match[1], "")
        return quote_plus(text) if match[2] else text

    return re.sub(r"\{\{ \$labels\.(\w+) (\| urlquery )?\}\}", value, template)


def notification(alarm: Alarm, options: Options, about: About | None = None) -> Notification:
    """An alarm that fires or has ended, as a receiver is told of it; `about`: its workload, where that is known."""
    assert alarm.fired is not None
    told = about or About()
    links = [
        ("Runbook", "runbook_url"),
        ("Dashboard", "dashboard_url"),
        ("Console", "console_url"),
        ("Traces", "trace_url"),
    ]
    text = texts(alarm, options)
    return Notification(
        alarm.key,
        labels(alarm, options),
        text,
        alarm.fired,
        alarm.ended,
        told.evidence,
        tuple((title, text[name]) for title, name in links if text.get(name, "").startswith("http")),
        told.importance,
        told.tags,
    )


class About(NamedTuple):
    """What is known of a workload beside its alarm: what to show, and what to route by."""

    evidence: tuple[tuple[str, str], ...] = ()
    importance: str = ""
    tags: Mapping[str, str] = {}


# -- what mutes it


class Mute(NamedTuple):
    """While one fires, others of the same `equal` labels are not told. Empty: any."""

    sources: frozenset[str]
    targets: frozenset[str]
    equal: tuple[str, ...]
    source: tuple[str, str] = ("", "")
    target: tuple[str, frozenset[str]] = ("", frozenset())
    """Severity and component, of the sources and of the targets."""


_DOWN = ("DataRobotWorkloadErrored", "DataRobotWorkloadNoReadyReplica")
_CAUSES = frozenset(
    "DataRobotWorkloadImagePullFailing DataRobotContainerCannotStart DataRobotContainerCrashLooping "
    "DataRobotWorkloadUnschedulable".split()
)
_UNANSWERED = ("DataRobotWorkloadNotServing", "DataRobotErrorBudgetBurnFast")
_WHO, _WHERE = ("account", "workload_id"), ("account",)
MUTES: tuple[Mute, ...] = (
    Mute(frozenset(), frozenset(), _WHO, ("critical", "workload"), ("warning", frozenset({"workload"}))),
    Mute(_CAUSES,
        frozenset((*_DOWN, "DataRobotWorkloadReplicasDegraded", "DataRobotWorkloadStuckStarting", *_UNANSWERED)),
        _WHO, ("critical", "")),
    Mute(_CAUSES, frozenset((*_DOWN, "DataRobotWorkloadReplicasDegraded", "DataRobotWorkloadStuckStarting")),
        _WHO, target=("warning", frozenset())),
    Mute(frozenset((*_DOWN, "DataRobotWorkloadInterrupted")), frozenset(_UNANSWERED), _WHO, ("critical", "")),
    Mute(frozenset(_UNANSWERED[:1]), frozenset(_UNANSWERED[1:]), _WHO),
    Mute(frozenset({"DataRobotFleetManyFailing"}),
        frozenset((*_DOWN, "DataRobotWorkloadInterrupted", "DataRobotWorkloadNotServing")) | _CAUSES, _WHERE),
    Mute(frozenset({"DataRobotApiUnreachable", "DataRobotDataStale", "DataRobotTokenRejected"}), frozenset(), _WHERE,
        ("", ""), ("warning", frozenset({"workload", "account"}))),
    Mute(frozenset({"DataRobotTokenRejected"}),
        frozenset({"DataRobotApiUnreachable", "DataRobotDataStale", "DataRobotExporterPartialSweep"}), _WHERE),
    Mute(frozenset({"DataRobotApiUnreachable"}),
        frozenset({"DataRobotDataStale", "DataRobotExporterPartialSweep"}), _WHERE),
)  # fmt: skip
"""The inhibitions of alerts/alertmanager.example.yml: causes before what they bring about, a storm as one page."""


def muted(firing: Iterable[Alarm]) -> frozenset[str]:
    """The keys of the incidents that something else speaks for; none speaks for itself in another severity."""
    there = tuple(
        {each.key: each for each in sorted(firing, key=lambda each: -SEVERITIES.index(each.severity))}.values()
    )
    found: set[str] = set()
    for mute in MUTES:
        sources = {
            _equal(mute, each) for each in there if _is(each, mute.sources, mute.source[0], {mute.source[1]} - {""})
        }
        found.update(
            each.key for each in there if _equal(mute, each) in sources and _is(each, mute.targets, *mute.target)
        )
    return frozenset(found)


def _equal(mute: Mute, alarm: Alarm) -> tuple[str | None, ...]:
    return tuple(alarm.labels.get(label) for label in mute.equal)


def _is(alarm: Alarm, names: frozenset[str], severity: str, components: Collection[str]) -> bool:
    named = not names or alarm.alert in names
    loud = not severity or alarm.severity == severity
    return named and loud and (not components or ROWS[alarm.alert].component in components)


# -- what a receiver must be told


class Notified(Stored, frozen=True):
    """What a receiver was told of an incident that is not over for it: enough to tell it the end.

    `at`: when last. `tried`: it may not have heard it: nobody knows what became of the telling.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    began: float
    links: tuple[tuple[str, str], ...] = ()
    at: float = 0.0
    tried: bool = False


class Subscription(NamedTuple):
    """What a receiver wants: which notices at all, which not now, and whether it is told of ends."""

    wants: Callable[[Notification], bool]
    quiet: Callable[[Notification, float], bool]
    ends: bool = True


def loudest(firing: Iterable[Notification], severity_label: str) -> dict[str, Notification]:
    """The notices by incident: the loudest of each."""
    found: dict[str, Notification] = {}
    for each in firing:
        rival = found.get(each.key)
        if rival is None or _loud(each, severity_label) < _loud(rival, severity_label):
            found[each.key] = each
    return found


def _loud(told: Notification, severity_label: str) -> int:
    return SEVERITIES.index(told.labels[severity_label])


def due(
    firing: Mapping[str, Notification],
    told: Mapping[str, Notified],
    hushed: Collection[str],
    subscription: Subscription,
    now: float,
) -> list[Notification]:
    """What a receiver must be told: of incidents new to it, or louder or softer than it knows, and of those over.

    `firing`: the incidents, by key; `told`: those it was told of; `hushed`: the keys of those that are muted or
    silenced, of which nothing new is said. An incident that is not as loud any more as it wants them is over for it.
    """
    news = [
        each
        for key, each in firing.items()
        if subscription.wants(each) and (key not in told or told[key].tried or told[key].labels != each.labels)
        if key not in hushed and not subscription.quiet(each, now)
    ]
    over = [
        Notification(key, old.labels, old.annotations, old.began, now, links=old.links)
        for key, old in told.items()
        if key not in firing or not subscription.wants(firing[key])
    ]
    return [*news, *over] if subscription.ends else news


def trying(told: Mapping[str, Notified], notifications: Iterable[Notification], now: float) -> dict[str, Notified]:
    """What a receiver was told, once these are on their way: of what is new to it nobody knows whether it arrives.

    Kept before it is sent, so that an incident is ended of which we never heard that it was opened.
    """
    new = [each for each in notifications if each.ended is None and each.key not in told]
    return {**told, **{each.key: _told(each, now, tried=True) for each in new}}


def remembered(
    told: Mapping[str, Notified], delivered: Iterable[Notification], lost: Collection[str], now: float
) -> dict[str, Notified]:
    """What a receiver was told, after these notices arrived, and those of the keys `lost` certainly never did."""
    found = {key: each for key, each in told.items() if key not in lost}
    for each in delivered:
        if each.ended is None:
            found[each.key] = _told(each, now)
        else:
            found.pop(each.key, None)
    return found


def _told(notification: Notification, now: float, *, tried: bool = False) -> Notified:
    return Notified(notification.labels, notification.annotations, notification.began, notification.links, now, tried)


def forgotten(
    told: Mapping[str, Notified], firing: Mapping[str, Notification], subscription: Subscription
) -> dict[str, Notified]:
    """What a receiver was told, without what is over, where it is not told of ends."""
    return dict(told) if subscription.ends else {key: each for key, each in told.items() if key in firing}
