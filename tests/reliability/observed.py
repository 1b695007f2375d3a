"""What can be observed of a run from outside: pages of /metrics, notifications, and spans, with their times."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_VARIES = re.compile(
    r"(?!datarobot_)|datarobot_exporter_|\w*(timestamp_seconds|_memory_|_cpu_|_requests|response|concurrency|load_ratio|_reported|duration_seconds)"
)
"""Series that differ with the second of a poll, or are not about workloads."""


class Scrape(NamedTuple):
    """One scrape, in seconds since the start of the run; None: it was not answered."""

    at: float
    samples: Mapping[str, str] | None


class Page(NamedTuple):
    """One notification that a receiver accepted. Two with the same `identity` are one for it."""

    at: float
    receiver: str
    alert: str
    workload: str
    severity: str
    status: str
    identity: tuple[str, str]


class Span(NamedTuple):
    """One span that a collector accepted."""

    at: float
    trace: bytes
    span: bytes
    content: bytes


class Observed:
    """Everything that was observed in a run. `ended`: when the fault did, in seconds since the start of the run."""

    def __init__(self) -> None:
        self.scrapes: list[Scrape] = []
        self.pages: list[Page] = []
        self.spans: list[Span] = []
        self.ended = 0.0

    def scraped(self, at: float, page: str | None) -> None:
        """Keep what is the same in every run of a page in text format."""
        self.scrapes.append(Scrape(at, None if page is None else samples(page)))

    def paged(self, at: float, receiver: str, body: bytes) -> None:
        """Keep a notification in the format of Alertmanager's webhook."""
        message = json.loads(body)
        for alert in message["alerts"]:
            labels = alert["labels"]
            identity = message["groupKey"], alert["startsAt"]
            name, workload, severity = labels["alertname"], labels.get("workload", ""), labels["severity"]
            self.pages.append(Page(at, receiver, name, workload, severity, alert["status"], identity))

    def collected(self, at: float, body: bytes) -> None:
        """Keep the spans of an OTLP request."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [
                    Span(at, span.trace_id, span.span_id, span.SerializeToString(deterministic=True))
                    for span in scope.spans
                ]


def samples(page: str) -> dict[str, str]:
    """Series and values of a page in text format, without those that differ from one undisturbed run to another."""
    lines = (line for line in page.splitlines() if not line.startswith("#") and not _VARIES.match(line))
    return dict(line.rsplit(" ", 1) for line in lines)
