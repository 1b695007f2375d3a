"""What `top` receives: the list of workloads, and the details of one; and the orders of the list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from exporter.cli.daemon_metrics import samples
from exporter.diagnosis.fleet_table import GROUPS

IMPORTANCES = ("critical", "high", "moderate", "low")


class TopAlert(msgspec.Struct, frozen=True):
    """An alert whose condition is met."""

    alert: str
    severity: str


class TopRow(msgspec.Struct, frozen=True):
    """A workload in /workloads.json; None: not known."""

    account: str
    workload_id: str
    status: str
    group: str
    since: datetime
    needs_attention: bool
    workload: str | None = None
    longer_than_known: bool = False
    importance: str = ""
    owner: str | None = None
    ready: int | None = None
    unknown: int | None = None
    least: int | None = None
    most: int | None = None
    alerts: tuple[TopAlert, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it."""
        return self.account, self.workload_id

    @property
    def name(self) -> str:
        """Its name, or its id if it has none."""
        return self.workload or self.workload_id

    @property
    def severity(self) -> str:
        """The highest severity of its alerts; empty: none is met."""
        return next((each for each in ("critical", "warning", "info") if each in {a.severity for a in self.alerts}), "")

    @property
    def problems(self) -> str:
        """Its alerts, the most severe first, and what else is known to be wrong."""
        order = ("critical", "warning")
        alerts = sorted(self.alerts, key=lambda each: order.index(each.severity) if each.severity in order else 2)
        return ", ".join([*(each.alert.removeprefix("DataRobot") for each in alerts), *self.reasons])


class TopAccount(msgspec.Struct, frozen=True):
    """An account in /workloads.json."""

    account: str
    listed: bool
    last_complete_sweep: datetime | None = None
    problem: str | None = None


class TopTable(msgspec.Struct, frozen=True):
    """The content of /workloads.json: the workloads are the worst first."""

    at: datetime
    accounts: tuple[TopAccount, ...]
    workloads: tuple[TopRow, ...]


class TopMoment(msgspec.Struct, frozen=True):
    """An entry of the timeline of a workload."""

    at: datetime
    kind: str
    text: str
    bad: bool = False


class Explained(msgspec.Struct, frozen=True):
    """A workload in /workloads/{id}: what `explain` shows, and its timeline, latest first."""

    at: datetime
    text: str
    timeline: tuple[TopMoment, ...]


class TopTraffic(NamedTuple):
    """Requests to a workload in the last five minutes: how many per minute, and the share of server errors (5xx).
    None: not known.
    """

    per_minute: float | None = None
    server_errors: float | None = None


_REQUESTS, _ERRORS = "datarobot_workload_window_requests", "datarobot_workload_window_server_error_ratio"
_WINDOW, _WINDOW_MINUTES = "5m", 5.0


def traffic_of(page: str) -> dict[tuple[str, str], TopTraffic]:
    """The traffic on a page of /metrics, by account and id of the workload. Only two families are parsed."""
    found: dict[tuple[str, str], TopTraffic] = {}
    for name in (_REQUESTS, _ERRORS):
        family = page.partition(f"# TYPE {name} ")[2].partition("\n# ")[0]
        lines = (line for line in family.split("\n") if f'window="{_WINDOW}"' in line)
        for sample in samples("\n".join(lines), (f"{name}{{",)):
            labels = sample.labels
            if labels["window"] != _WINDOW:
                continue
            key = labels["account"], labels["workload_id"]
            known = found.get(key, TopTraffic())
            if name == _REQUESTS:
                found[key] = known._replace(per_minute=sample.value / _WINDOW_MINUTES)
            else:
                found[key] = known._replace(server_errors=sample.value)
    return found


def _importance(row: TopRow) -> int:
    return IMPORTANCES.index(row.importance) if row.importance in IMPORTANCES else len(IMPORTANCES)


def _share_ready(row: TopRow) -> tuple[bool, float]:
    return row.ready is None, 0.0 if row.ready is None else row.ready / row.least if row.least else 1.0


SORTS: Mapping[str, Callable[[TopRow], Any]] = {
    "worst": lambda _: 0,  # as the exporter orders them
    "name": lambda row: row.name.casefold(),
    "status": lambda row: (GROUPS.index(row.group) if row.group in GROUPS else len(GROUPS), row.status),
    "newest": lambda row: -row.since.timestamp(),
    "ready": _share_ready,
    "importance": _importance,
}
"""Sort keys; equal rows stay the worst first."""
