"""What is told about an alert that fires or has ended: values alone; `exporter.paging.notify` puts them on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Notification(NamedTuple):
    """One alert of one workload, account or exporter, for a receiver. Times are in seconds since the epoch.

    `key` is the identity of the incident: the same from its beginning to its end, and for every receiver. `labels` are
    those that the rules for Prometheus give the same alert, no more and no less; `annotations` likewise, with the
    templates filled in. `evidence` are pairs of a title and a text, `links` of a text and a URL, in the order in which
    a person wants them. `ended` None: it fires. `importance` and `tags` are the workload's, to route by.
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
        """In Alertmanager's words."""
        return "firing" if self.ended is None else "resolved"

    @property
    def title(self) -> str:
        """One line: which alert, about whom."""
        who = self.labels.get("workload") or self.labels.get("workload_id") or self.labels.get("account", "")
        return f"{self.labels['alertname']}: {who}" if who else self.labels["alertname"]
