"""What a receiver was notified of, and which notifications it still needs.

Nothing is queued: what a receiver needs is the difference between the firing incidents and those it was notified of. An
incident that ended while a receiver was unavailable is never sent, and nothing is resolved that was never sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from exporter.alerting.alerts import SEVERITIES
from exporter.alerting.notification import Notification
from exporter.fleet.episodes import Stored


class Notified(Stored, frozen=True):
    """An incident that a receiver was notified of and that is not resolved there: enough to resolve it.

    `at`: when it was last notified. `tried`: it is unknown whether the receiver got the notification.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    began: float
    links: tuple[tuple[str, str], ...] = ()
    at: float = 0.0
    tried: bool = False


class Subscription(NamedTuple):
    """What a receiver wants: which notifications, which of them not now, and whether resolve notifications."""

    wants: Callable[[Notification], bool]
    quiet: Callable[[Notification, float], bool]
    ends: bool = True


def by_incident(firing: Iterable[Notification], severity_label: str) -> dict[str, Notification]:
    """The notifications by incident, the one with the highest severity of each."""
    found: dict[str, Notification] = {}
    for each in firing:
        other = found.get(each.key)
        if other is None or _rank(each, severity_label) < _rank(other, severity_label):
            found[each.key] = each
    return found


def _rank(notification: Notification, severity_label: str) -> int:
    return SEVERITIES.index(notification.labels[severity_label])


def due(
    firing: Mapping[str, Notification],
    notified: Mapping[str, Notified],
    suppressed: Collection[str],
    subscription: Subscription,
    now: float,
    severity_label: str = "severity",
) -> list[Notification]:
    """The notifications that a receiver needs: of new incidents, of higher severities, and of resolved ones.

    `firing`: the incidents by key. `notified`: those the receiver was notified of. `suppressed`: keys of incidents that
    are muted or silenced and get no new notifications. An incident whose severity the receiver does not want any more
    is resolved for it.
    """
    new = [
        each
        for key, each in firing.items()
        if subscription.wants(each) and (key not in notified or _is_news(each, notified[key], severity_label))
        if key not in suppressed and not subscription.quiet(each, now)
    ]
    resolved = [
        Notification(key, old.labels, old.annotations, old.began, now, links=old.links)
        for key, old in notified.items()
        if key not in firing or not subscription.wants(firing[key])
    ]
    return [*new, *resolved] if subscription.ends else new


def _is_news(notification: Notification, before: Notified, severity_label: str) -> bool:
    """Whether a receiver needs this after what it was notified of.

    That an incident became less severe is no news, nor is a new name of its workload.
    """
    changed = {name for name, value in notification.labels.items() if before.labels.get(name) != value} - {"workload"}
    old = before.labels.get(severity_label, "")
    less_severe = old in SEVERITIES and SEVERITIES.index(old) < _rank(notification, severity_label)
    return before.tried or bool(changed - {severity_label} if less_severe else changed)


def trying(notified: Mapping[str, Notified], notifications: Iterable[Notification], now: float) -> dict[str, Notified]:
    """What a receiver was notified of while these are being sent: whether new ones arrive is unknown.

    Stored before they are sent, so that an incident is resolved even if it is unknown whether the receiver opened it.
    """
    new = [each for each in notifications if each.ended is None and each.key not in notified]
    return {**notified, **{each.key: _notified(each, now, tried=True) for each in new}}


def remembered(
    notified: Mapping[str, Notified], delivered: Iterable[Notification], lost: Collection[str], now: float
) -> dict[str, Notified]:
    """What a receiver was notified of after these were delivered. Those with the keys `lost` certainly were not."""
    found = {key: each for key, each in notified.items() if key not in lost}
    for each in delivered:
        if each.ended is None:
            found[each.key] = _notified(each, now)
        else:
            found.pop(each.key, None)
    return found


def _notified(notification: Notification, now: float, *, tried: bool = False) -> Notified:
    return Notified(notification.labels, notification.annotations, notification.began, notification.links, now, tried)


def without_resolved(
    notified: Mapping[str, Notified], firing: Mapping[str, Notification], subscription: Subscription
) -> dict[str, Notified]:
    """What a receiver was notified of, without resolved incidents if it gets no resolve notifications."""
    return dict(notified) if subscription.ends else {key: each for key, each in notified.items() if key in firing}
