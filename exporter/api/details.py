"""API objects other than workloads and pods: events, statistics, limits, bundles, resource usage, quotas, sharing.

Each class is one object of a response; `None` means "not reported". Sources: spec 11.5, and for routes missing there
the responses that DataRobot's clients read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from exporter.api.models import ApiObject, Bundle, Integer, Number, folded, timestamp
from exporter.api.pods import StatusDetails
from exporter.timestamps import rfc3339


class EventDetails(ApiObject, frozen=True):
    """Data of a replacement's event; `proton_statuses` by proton id."""

    replacement_id: str | None = None
    artifact_id: str | None = None
    message: str | None = None
    candidate_proton_ids: tuple[str, ...] | None = None
    proton_statuses: dict[str, StatusDetails] | None = None


class Event(ApiObject, frozen=True):
    """One event (spec 11.5 WorkloadEvent); `type`, `reason` and `message` are the older shape.

    `updated`: not part of the API; `dated` moves a timestamp there that is only the last update of the record.
    """

    id: str
    timestamp: str | None = None
    event_type: str | None = None
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    details: EventDetails | None = None
    updated: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("the id is empty")

    @property
    def reported_type(self) -> str:
        """Event type as the API spells it; ``unknown`` if not reported."""
        return self.event_type or self.type or "unknown"

    @property
    def text(self) -> str:
        """The message, from whichever field has it; empty if there is none."""
        return (self.details.message if self.details else None) or self.message or self.reason or ""


EventKind = Literal[
    "replacement_completed",
    "replacement_errored",
    "replacement_cancelled",
    "created",
    "started",
    "stopped",
    "scaled",
    "promoted",
    "deleted",
    "failed",
    "other",
]
_KINDS: tuple[tuple[str, EventKind], ...] = (
    ("created", "created"),
    ("started", "started"),
    ("stopped", "stopped"),
    ("scaled", "scaled"),
    ("promoted", "promoted"),
    ("deleted", "deleted"),
)


def event_kind(event: Event) -> EventKind:
    """The kind of an event, of a closed set: the API's types are free text."""
    name = folded(event.reported_type).replace(".", "_")
    bad = "error" in name or "fail" in name
    if "replacement" in name:
        ended: tuple[tuple[bool, EventKind], ...] = (
            (bad, "replacement_errored"),
            ("complete" in name, "replacement_completed"),
            ("cancel" in name, "replacement_cancelled"),
        )
        return next((kind for is_met, kind in ended if is_met), "other")
    return "failed" if bad else next((kind for word, kind in _KINDS if word in name), "other")


REPLACEMENT_ENDS: tuple[EventKind, ...] = ("replacement_completed", "replacement_errored", "replacement_cancelled")
"""Kinds of events that report the end of a replacement."""


_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ID_SLACK_SECONDS = 60.0
"""How far the time in an id may lie outside of what is plausible: ids of different servers."""


def id_time(object_id: str) -> float | None:
    """Seconds since the epoch at which an ObjectId was made; None if it is none."""
    return float(int(object_id[:8], 16)) if _OBJECT_ID.fullmatch(object_id) else None


def dated(event: Event, oldest: str | None, now: float) -> Event:
    """The event of a replacement with the time at which its record was created as its timestamp, if its id has it.

    The reported timestamp is the last update of the record: a later cleanup moves it by minutes. The id is an ObjectId,
    whose first four bytes are the seconds since the epoch at which it was made. It counts only if it is plausible: not
    before `oldest`, the creation of the workload, and neither after the last update nor after `now` on the API's clock.
    """
    if "replacement" not in folded(event.reported_type):
        return event
    first, updated = timestamp(oldest), timestamp(event.timestamp)
    created = id_time(event.id)
    if (
        first is None
        or created is None
        or not first - _ID_SLACK_SECONDS
        <= created
        <= (min(now, now if updated is None else updated) + _ID_SLACK_SECONDS)
    ):
        return event
    return msgspec.structs.replace(event, timestamp=rfc3339(created), updated=event.timestamp)


class Period(ApiObject, frozen=True):
    """A period of time."""

    start: str | None = None
    end: str | None = None


class RequestMetrics(ApiObject, frozen=True):
    """Statistics of a window: counts, and a response time in milliseconds (spec 11.5 RequestMetrics)."""

    total_requests: Integer | None = None
    server_errors: Integer | None = None
    user_errors: Integer | None = None
    slow_requests: Integer | None = None
    requests_per_minute: Number | None = None
    concurrent_requests: Number | None = None
    response_time: Number | None = None


class Stats(ApiObject, frozen=True):
    """``GET /workloads/{id}/stats``: a window and its statistics."""

    period: Period | None = None
    metrics: RequestMetrics | None = None


class WorkloadCounts(ApiObject, frozen=True):
    """Numbers of workloads."""

    active: Integer | None = None
    total: Integer | None = None


class RequestTotals(ApiObject, frozen=True):
    """Requests of the last seven days; `trend` in percent against the seven before."""

    total: Integer | None = None
    succeeded: Integer | None = None
    failed: Integer | None = None
    trend: Number | None = None


class AggregateStats(ApiObject, frozen=True):
    """``GET /workloads/stats``."""

    workloads: WorkloadCounts | None = None
    requests: RequestTotals | None = None


class AccountLimits(ApiObject, frozen=True):
    """Limits of the organisation; 0 means no limit."""

    max_concurrent_workloads: Integer | None = None
    max_workload_replicas: Integer | None = None


class AccountInfo(ApiObject, frozen=True):
    """``GET /account/info``; older servers report no limits. E-mail and names are not read."""

    org_id: str | None = None
    limits: AccountLimits | None = None


class ComputeBundle(ApiObject, frozen=True):
    """One resource bundle of the catalogue: cores, bytes and GPUs."""

    id: str
    name: str | None = None
    cpu_count: Number | None = None
    memory_bytes: Number | None = None
    gpu_count: Number | None = None
    gpu_maker: str | None = None
    gpu_type_label: str | None = None
    use_cases: tuple[str, ...] | None = None


def offered(bundles: Iterable[ComputeBundle]) -> Mapping[str, Bundle] | None:
    """The bundles that the catalogue offers to workloads, by id; one that does not report its uses is offered.

    None if there are none: a catalogue that is empty, or only has bundles for other uses, proves nothing.
    """
    found = {
        b.id: Bundle(b.id, b.cpu_count, b.memory_bytes, b.gpu_count, b.gpu_maker, b.gpu_type_label)
        for b in bundles
        if not b.use_cases or any(folded(use).replace("_", "").startswith("workload") for use in b.use_cases)
    }
    return found or None


def of_other_uses(bundles: Iterable[ComputeBundle]) -> frozenset[str]:
    """The ids of the bundles that the catalogue offers, but not to workloads."""
    listed = tuple(bundles)
    return frozenset(each.id for each in listed) - (offered(listed) or {}).keys()


class LogRecord(ApiObject, frozen=True):
    """One line of a workload's log (``GET /otel/workload/{id}/logs``); has no id."""

    timestamp: str | None = None
    level: str | None = None
    message: str | None = None
    body: str | None = None

    @property
    def text(self) -> str | None:
        """The line, from whichever field has it."""
        return self.message if self.message is not None else self.body


class OtelValue(ApiObject, frozen=True):
    """One value of ``…/metrics/autocollectedValues``, in `unit`; null where idle, scaled to zero or new."""

    otel_name: str | None = None
    unit: str | None = None
    aggregation: str | None = None
    aggregated_value: Number | None = None
    current_value: Number | None = None
    level: str | None = None
    snake_name: str | None = msgspec.field(default=None, name="otel_name")
    snake_aggregated: Number | None = msgspec.field(default=None, name="aggregated_value")
    snake_current: Number | None = msgspec.field(default=None, name="current_value")

    @property
    def name(self) -> str:
        """The metric's name in either spelling; empty if not reported."""
        return self.otel_name or self.snake_name or ""

    @property
    def current(self) -> Number | None:
        """The most recent value."""
        return self.snake_current if self.current_value is None else self.current_value

    @property
    def mean(self) -> Number | None:
        """The mean over the window."""
        return self.snake_aggregated if self.aggregated_value is None else self.aggregated_value


UNITS: dict[str, float] = {
    "bytes": 1.0,
    "by": 1.0,
    "cores": 1.0,
    "millicores": 1e-3,
    "nanocores": 1e-9,
    "ratio": 1.0,
    "percentage": 1e-2,
    "percent": 1e-2,
    "seconds": 1.0,
    "milliseconds": 1e-3,
}
"""Units of resource usage, and what one is in the base unit."""


def base_value(unit: str | None, value: Number | None, most: float | None = None) -> float | None:
    """The value in cores, bytes, a ratio or seconds; None for an unknown unit or an impossible value.

    `most` is the maximum possible usage in the base unit: more than twice that means a misunderstood unit.
    """
    factor = UNITS.get(folded(unit))
    if factor is None or value is None or not math.isfinite(value) or value < 0:
        return None
    converted = value * factor
    return None if most is not None and converted > 2 * most else converted


class QuotaRule(ApiObject, frozen=True):
    """One rule: at most `limit` of `rule` in a `window` (min, hour, day)."""

    rule: str | None = None
    limit: Number | None = None
    window: str | None = None


class Quota(ApiObject, frozen=True):
    """The quota of one resource."""

    id: str
    resource_type: str | None = None
    resource_id: str | None = None
    default_rules: tuple[QuotaRule, ...] | None = None


class SharedRole(ApiObject, frozen=True):
    """One grant: who (by type, never by name) and which role."""

    id: str
    role: str | None = None
    share_recipient_type: str | None = None
