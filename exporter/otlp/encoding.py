"""A trace as an OTLP request.

Source: OTLP 1.x, `opentelemetry/proto/collector/trace/v1/trace_service.proto`.
"""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from exporter import __version__
from exporter.tracing.trace import Attributes, Span, Trace, Value

SCOPE = "datarobot_exporter.lifecycle"
EMPTY = b""
"""A request without traces, to check the connection to a collector."""
_SAMPLED, _PARENT_NOT_REMOTE = 0x1, 0x100  # W3C trace flags; SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK of trace.proto


def encode(trace: Trace) -> bytes:
    """One serialised ExportTraceServiceRequest, the same bytes for the same trace.

    Several such bodies concatenated are a valid request: repeated fields add up.
    """
    scope = pb.ScopeSpans(
        scope=InstrumentationScope(name=SCOPE, version=__version__),
        spans=[_span(trace.id, span) for span in trace.spans],
    )
    resource = Resource(attributes=attributes_of(trace.resource))
    spans = [pb.ResourceSpans(resource=resource, scope_spans=[scope])]
    body: bytes = ExportTraceServiceRequest(resource_spans=spans).SerializeToString(deterministic=True)
    return body


def _span(trace: bytes, span: Span) -> pb.Span:
    return pb.Span(
        trace_id=trace,
        span_id=span.id,
        parent_span_id=span.parent,
        flags=_SAMPLED | _PARENT_NOT_REMOTE,
        name=span.name,
        kind=pb.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=attributes_of(span.attributes),
        events=[
            pb.Span.Event(time_unix_nano=event.at, name=event.name, attributes=attributes_of(event.attributes))
            for event in span.events
        ],
        links=[
            pb.Span.Link(trace_id=link.trace, span_id=link.span, attributes=attributes_of(link.attributes))
            for link in span.links
        ],
        status=None if span.error is None else pb.Status(code=pb.Status.STATUS_CODE_ERROR, message=span.error),
    )


def attributes_of(attributes: Attributes) -> list[KeyValue]:
    """Attributes as OTLP has them, in the order of their names."""
    return [KeyValue(key=key, value=_value(attributes[key])) for key in sorted(attributes)]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int() if -(2**63) <= value < 2**63:
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case tuple():
            return AnyValue(array_value=ArrayValue(values=[_value(each) for each in value]))
    return AnyValue(string_value=str(value))
