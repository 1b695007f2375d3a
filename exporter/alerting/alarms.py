"""Alarms: alerts that the exporter raises itself, with the conditions, wait and hold times of the Prometheus rules.

An alarm is pending, firing or ended; `next_alarms` derives the next alarms from the previous ones and from the
conditions that are met now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from exporter.alerting.alerts import BY_NAME
from exporter.alerting.rules import Options
from exporter.alerting.subjects import SWEEP_ALERTS, Subject
from exporter.fleet.episodes import Stored

JITTER_SECONDS = 0.1
"""Evaluations are that inexact in time: without it, an alarm could miss the evaluation at which its rule fires."""
ENDED_SECONDS = 900.0
"""For how long an ended alarm is kept, for an Alertmanager that was unavailable."""


class Alarm(Stored, frozen=True):
    """One alert of one severity about one subject. Times are in seconds since the epoch.

    `since`: when its condition was first met; `held`: when it was last met; `recent`: when there was last recent data
    about the subject. `fired`: since when it fires (None: pending); `ended`: when it stopped firing. `tags`: labels
    from tags when it began; they stay, as those of a Prometheus alert, which would be another one with other labels.
    """

    alert: str
    severity: str
    labels: Mapping[str, str]
    since: float
    held: float
    recent: float = msgspec.field(name="told")
    fired: float | None = None
    ended: float | None = None
    tags: Mapping[str, str] = {}

    @property
    def firing(self) -> bool:
        """Whether it fires now."""
        return self.fired is not None and self.ended is None

    @property
    def key(self) -> str:
        """The identity of the incident, which does not depend on the severity."""
        return "/".join(("datarobot", self.labels.get("account", ""), self.alert, self.labels.get("workload_id", "")))


Alarms = Mapping[str, Alarm]
"""By alert, severity and subject."""


def next_alarms(alarms: Alarms, subjects: Iterable[Subject], options: Options, now: float) -> dict[str, Alarm]:
    """The alarms after an evaluation of all subjects at `now`."""
    before: dict[tuple[str, str], list[tuple[str, Alarm]]] = {}
    for place, alarm in alarms.items():
        before.setdefault(_identity(alarm.labels), []).append((place, alarm))
    found: dict[str, Alarm] = {}
    for subject in subjects:
        identity = _identity(subject.labels)
        if not subject.polled:
            found.update(before.pop(identity, ()))
            continue
        for alert, severity in sorted(subject.alerts):
            place = "\x1f".join((alert, severity, *identity))
            old = alarms.get(place)
            if old is None or old.ended is not None:
                begun = (each.tags for _, each in before.get(identity, ()) if each.alert == alert and not each.ended)
                old = Alarm(alert, severity, subject.labels, now, now, now, tags=next(begun, subject.tags))
            found[place] = _met(_relabelled(old, subject), options, now)
        for place, alarm in before.pop(identity, ()):
            if place not in found:
                _keep(found, place, _of(subject, _relabelled(alarm, subject), options, now))
    for rows in before.values():  # subjects about which nothing is known any more
        for place, alarm in rows:
            _keep(found, place, _not_met(alarm, True, options, now))
    return found


def only_kept(firing: Iterable[Alarm], now: float) -> frozenset[str]:
    """The keys of the incidents whose conditions are not met at `now`: they are over unless they come back soon.

    A receiver that was not notified of them before, for instance because they were muted, need not be notified now.
    """
    firing = tuple(firing)
    return frozenset(alarm.key for alarm in firing) - {alarm.key for alarm in firing if alarm.held == now}


def _relabelled(alarm: Alarm, subject: Subject) -> Alarm:
    """The alarm with the current labels of its subject: a workload may be renamed."""
    return alarm if alarm.labels == subject.labels else msgspec.structs.replace(alarm, labels=subject.labels)


def _identity(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("account", ""), labels.get("workload_id", "")


def _keep(found: dict[str, Alarm], place: str, alarm: Alarm | None) -> None:
    if alarm is not None:
        found[place] = alarm


def _met(alarm: Alarm, options: Options, now: float) -> Alarm:
    alert = BY_NAME[alarm.alert]
    # The condition of an alert with `since` has the wait in it.
    wait = 0.0 if alert.since is not None else options.waits.get(alarm.alert, alert.wait) / options.scale
    fires = alarm.fired is None and now - alarm.since >= wait - JITTER_SECONDS
    return msgspec.structs.replace(alarm, held=now, recent=now, fired=now if fires else alarm.fired)


def _of(subject: Subject, alarm: Alarm, options: Options, now: float) -> Alarm | None:
    """The alarm if its condition is not known to be met."""
    if alarm.alert in SWEEP_ALERTS:
        return _not_met(alarm, True, options, now)
    if subject.blind and alarm.firing:
        return _met(alarm, options, now)
    return _not_met(alarm, subject.pods_recent if BY_NAME[alarm.alert].pods else subject.recent, options, now)


def _not_met(alarm: Alarm, recent: bool, options: Options, now: float) -> Alarm | None:
    """The alarm if its condition is not met, or, without recent data, unknown; None: it is no longer kept."""
    if alarm.ended is not None:
        return alarm if now - alarm.ended < ENDED_SECONDS else None
    if not recent and now - alarm.recent <= options.hold / options.scale:
        return msgspec.structs.replace(_met(alarm, options, now), recent=alarm.recent)
    if alarm.fired is None:
        return None
    if now - alarm.held < options.keep(BY_NAME[alarm.alert], alarm.severity):
        return alarm
    return msgspec.structs.replace(alarm, ended=now)
