"""What a trace is, before anybody encodes it: values alone, in the words of the OpenTelemetry trace model.

Source: OTLP 1.x `opentelemetry/proto/trace/v1/trace.proto`. Times are nanoseconds since the epoch; ids have
16 and 8 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]


class SpanEvent(NamedTuple):
    """Something that happened at one moment, within a span or beside it."""

    name: str
    at: int
    attributes: Mapping[str, Value] = {}


class Link(NamedTuple):
    """Another span that this one has to do with."""

    trace: bytes
    span: bytes
    attributes: Mapping[str, Value] = {}


class Span(NamedTuple):
    """One span. `parent` is empty for the root. `error`: what is said of the failure; None: the status is unset."""

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
    """A whole trace, the root first. `resource` are the attributes of what it is about."""

    id: bytes
    resource: Attributes
    spans: tuple[Span, ...]
