"""Which receiver is told of which alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.core import model
from exporter.core.notice import Notice

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


def wants(receiver: Wants, notice: Notice, now: float) -> bool:
    """Whether a receiver is to be told of a notice at this time, in seconds since the epoch.

    An end disturbs nobody, so quiet hours do not hold it back: what they hold back may be told once they are over.
    """
    if notice.ended is not None and not receiver.resolved:
        return False
    severity = notice.labels.get(receiver.severity_label, "none")
    if severity not in receiver.severities:
        return False
    if receiver.alerts and notice.labels["alertname"] not in receiver.alerts:
        return False
    if receiver.accounts and notice.labels.get("account", "") not in ("", *receiver.accounts):
        return False
    if receiver.importance and model.folded(notice.importance) not in ("unknown", *receiver.importance):
        return False
    if any(name not in notice.tags or value not in (None, notice.tags[name]) for name, value in receiver.tags.items()):
        return False
    return severity == "critical" or notice.ended is not None or not _is_in(receiver.quiet, now % DAY)


def _is_in(hours: tuple[tuple[int, int], ...], moment: float) -> bool:
    return any((moment - begin) % DAY < (end - begin) % DAY for begin, end in hours)
