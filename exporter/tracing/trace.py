"""A trace before it is encoded: plain values, in the terms of the OpenTelemetry trace model.

Source: OTLP 1.x `opentelemetry/proto/trace/v1/trace.proto`. Times are nanoseconds since the epoch; ids have
16 and 8 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]


class SpanEvent(NamedTuple):
    """An event of a span, at one moment."""

    name: str
    at: int
    attributes: Mapping[str, Value] = {}


class Link(NamedTuple):
    """A link to a related span."""

    trace: bytes
    span: bytes
    attributes: Mapping[str, Value] = {}


class Span(NamedTuple):
    """One span. `parent` is empty for the root. `error`: the message of the status ERROR; None: the status is unset."""

    id: bytes
    parent: bytes
    name: str
    start: int
    end: int
    attributes: Mapping[str, Value] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[Link, ...] = ()
    error: str | None = None


class Trace(NamedTuple):
    """A complete trace, the root first. `resource`: attributes of the workload."""

    id: bytes
    resource: Attributes
    spans: tuple[Span, ...]
