"""Times of spans: as reported by the API, or as observed in a sweep, with the possible error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from exporter.fleet.episodes import Mark
from exporter.tracing.identity import SLACK_SECONDS
from exporter.tracing.trace import Span, Value


class SpanTime(NamedTuple):
    """A time in nanoseconds since the epoch, its source, and its possible error in milliseconds (None: unknown)."""

    ns: int
    source: str
    uncertainty: int | None


def to_ns(at: float) -> int:
    """Seconds in nanoseconds, with a resolution of one microsecond."""
    return round(at * 1e6) * 1000


def reported_at(at: float) -> SpanTime:
    """A time that the API reported."""
    return SpanTime(to_ns(at), "reported", 0)


def span_time(mark: Mark, reported: Iterable[float | None], skew: float) -> SpanTime:
    """The time of a change: the first reported time between the two sweeps around it, else that of the sweep."""
    at = mark.at + skew
    last = mark.last + skew if mark.last is not None else None
    for each in (mark.reported, *reported):
        if each is not None and 0 < each <= at + SLACK_SECONDS and (last is None or each > last - SLACK_SECONDS):
            return reported_at(each)
    return SpanTime(to_ns(at), "observed", None if last is None else round((at - last) * 1000))


def time_attributes(start: SpanTime, end: SpanTime) -> dict[str, Value]:
    """Attributes with source and possible error of a span's start and end."""
    found: dict[str, Value] = {
        "datarobot.time.start.source": start.source,
        "datarobot.time.end.source": end.source,
    }
    for edge, each in (("start", start), ("end", end)):
        if each.uncertainty is not None:
            found[f"datarobot.time.{edge}.uncertainty_ms"] = each.uncertainty
    return found


def edge_of(span: Span, edge: Literal["start", "end"]) -> SpanTime:
    """Start or end time of a span."""
    uncertainty = span.attributes.get(f"datarobot.time.{edge}.uncertainty_ms")
    source = str(span.attributes[f"datarobot.time.{edge}.source"])
    return SpanTime(getattr(span, edge), source, uncertainty if isinstance(uncertainty, int) else None)
