"""Notifications about alerts, as values; `exporter.paging.notify` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from exporter.alerting.alerts import BY_NAME


class Notification(NamedTuple):
    """One alert of one workload, account or exporter, for a receiver. Times are in seconds since the epoch.

    `key` identifies the incident: it is the same from its beginning to its end, and for every receiver. `labels` and
    `annotations` are those that the Prometheus rules give the same alert, with the templates filled in. `evidence` are
    pairs of a title and a text, `links` pairs of a text and a URL, most relevant first. `ended` None: it fires.
    `importance` and `tags` are those of the workload, for routing.
    """

    key: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    began: float
    ended: float | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    importance: str = ""
    tags: Mapping[str, str] = {}

    @property
    def status(self) -> Literal["firing", "resolved"]:
        """The status, in Alertmanager's terms."""
        return "firing" if self.ended is None else "resolved"

    @property
    def lasting(self) -> str:
        """What may still be so although it has ended; empty: it fires, or the problem is over."""
        alert = BY_NAME.get(self.labels["alertname"])
        return alert.lasting if alert is not None and self.ended is not None else ""

    @property
    def heading(self) -> Literal["firing", "resolved", "ended"]:
        """The status as text shows it: `resolved` only if nothing of the problem lasts."""
        return "ended" if self.lasting else self.status

    @property
    def title(self) -> str:
        """One line, the same for every receiver: the alert, its workload if it is about one, and the account."""
        workload = self.labels.get("workload") or self.labels.get("workload_id")
        account = f"account {self.labels['account']}" if self.labels.get("account") else ""
        subject = f"{workload} ({account})" if workload and account else workload or account
        return f"{self.labels['alertname']}: {subject}" if subject else self.labels["alertname"]
