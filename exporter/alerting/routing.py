"""Which receiver is told of which alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.alerting.notification import Notification
from exporter.api import models

DAY = 86400


class Wants(NamedTuple):
    """What a receiver wants; empty means all, but for `severities`.

    `severities` are values of the label `severity_label`. `importance` holds for workloads whose importance is known,
    `accounts` for alerts that have one: the exporter's own blindness is told to everybody. `tags` must all be there; a
    value of None stands for any. `quiet` are times of the day from which until which only what is critical goes, in
    seconds since midnight, UTC. `resolved`: also ends.
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
    """Whether a receiver wants to hear of a notice, at whatever time."""
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
    """Whether quiet hours hold a notice back. An end disturbs nobody, and what is critical may."""
    loud = notification.labels.get(receiver.severity_label) == "critical"
    return not loud and notification.ended is None and _is_in(receiver.quiet, now % DAY)


def _is_in(hours: tuple[tuple[int, int], ...], moment: float) -> bool:
    return any((moment - begin) % DAY < (end - begin) % DAY for begin, end in hours)
