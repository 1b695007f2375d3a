"""Which receiver is notified of which alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.alerting.notification import Notification
from exporter.api import models

DAY = 86400


class Wants(NamedTuple):
    """The notifications that a receiver wants. Empty fields mean all, except `severities`.

    `severities` are values of the label `severity_label`. `importance` applies to workloads whose importance is known,
    `accounts` to alerts about an account: every receiver is notified of alerts about the exporter. The workload must
    have all `tags`; None means any value. `quiet` are hours in which only critical alerts are sent: begin and end in
    seconds since midnight UTC. `resolved`: also send resolve notifications.
    """

    severities: frozenset[str]
    importance: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    alerts: frozenset[str] = frozenset()
    tags: Mapping[str, str | None] = {}
    quiet: tuple[tuple[int, int], ...] = ()
    resolved: bool = True
    severity_label: str = "severity"


def chosen(receiver: Wants, notification: Notification) -> bool:
    """Whether a receiver wants a notification, regardless of the time."""
    if notification.ended is not None and not receiver.resolved:
        return False
    if notification.labels.get(receiver.severity_label, "none") not in receiver.severities:
        return False
    if receiver.alerts and notification.labels["alertname"] not in receiver.alerts:
        return False
    if receiver.accounts and notification.labels.get("account", "") not in ("", *receiver.accounts):
        return False
    if receiver.importance and models.folded(notification.importance) not in ("unknown", *receiver.importance):
        return False
    tags = notification.tags
    return all(name in tags and value in (None, tags[name]) for name, value in receiver.tags.items())


def quiet(receiver: Wants, notification: Notification, now: float) -> bool:
    """Whether quiet hours delay a notification. Critical and resolve notifications are not delayed."""
    critical = notification.labels.get(receiver.severity_label) == "critical"
    return not critical and notification.ended is None and _is_in(receiver.quiet, now % DAY)


def _is_in(hours: tuple[tuple[int, int], ...], moment: float) -> bool:
    return any((moment - begin) % DAY < (end - begin) % DAY for begin, end in hours)
