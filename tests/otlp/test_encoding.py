"""Traces as OTLP requests."""

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter import __version__
from exporter.otlp.encoding import EMPTY, encode
from exporter.tracing.trace import Link, Span, SpanEvent, Trace

SECOND = 10**9
ROOT = Span(
    b"r" * 8,
    b"",
    "workload start",
    1 * SECOND,
    9 * SECOND,
    {"b": True, "i": 3, "f": 0.5, "s": "ü", "t": ("x", "y"), "huge": 2**63},
    events=(SpanEvent("datarobot.workload.event", 2 * SECOND, {"type": "started"}),),
    links=(Link(b"p" * 16, b"q" * 8, {"datarobot.link.type": "previous"}),),
    error="ImagePullBackOff",
)
CHILD = Span(b"c" * 8, b"r" * 8, "provisioning", 1 * SECOND, 2 * SECOND)
TRACE = Trace(b"t" * 16, {"service.name": "workload-1"}, (ROOT, CHILD))


def test_a_trace_is_one_request_with_all_its_contents() -> None:
    message = MessageToDict(ExportTraceServiceRequest.FromString(encode(TRACE)), preserving_proto_field_name=True)
    (resource,) = message["resource_spans"]
    assert resource["resource"] == {"attributes": [{"key": "service.name", "value": {"string_value": "workload-1"}}]}
    (scope,) = resource["scope_spans"]
    assert scope["scope"] == {"name": "datarobot_exporter.lifecycle", "version": __version__}
    root, child = scope["spans"]
    assert root == {
        "trace_id": "dHR0dHR0dHR0dHR0dHR0dA==",
        "span_id": "cnJycnJycnI=",
        "flags": 0x101,
        "name": "workload start",
        "kind": "SPAN_KIND_INTERNAL",
        "start_time_unix_nano": "1000000000",
        "end_time_unix_nano": "9000000000",
        "attributes": [
            {"key": "b", "value": {"bool_value": True}},
            {"key": "f", "value": {"double_value": 0.5}},
            {"key": "huge", "value": {"string_value": "9223372036854775808"}},
            {"key": "i", "value": {"int_value": "3"}},
            {"key": "s", "value": {"string_value": "ü"}},
            {"key": "t", "value": {"array_value": {"values": [{"string_value": "x"}, {"string_value": "y"}]}}},
        ],
        "events": [
            {
                "name": "datarobot.workload.event",
                "time_unix_nano": "2000000000",
                "attributes": [{"key": "type", "value": {"string_value": "started"}}],
            }
        ],
        "links": [
            {
                "trace_id": "cHBwcHBwcHBwcHBwcHBwcA==",
                "span_id": "cXFxcXFxcXE=",
                "attributes": [{"key": "datarobot.link.type", "value": {"string_value": "previous"}}],
            }
        ],
        "status": {"code": "STATUS_CODE_ERROR", "message": "ImagePullBackOff"},
    }
    assert child["parent_span_id"] == root["span_id"]
    assert "status" not in child


def test_the_order_of_attributes_does_not_change_the_bytes() -> None:
    reordered = dict(reversed(list(ROOT.attributes.items())))
    assert encode(TRACE._replace(spans=(ROOT._replace(attributes=reordered), CHILD))) == encode(TRACE)


def test_concatenated_bodies_are_one_request() -> None:
    other = TRACE._replace(id=b"o" * 16)
    both = ExportTraceServiceRequest.FromString(encode(TRACE) + encode(other))
    assert [each.scope_spans[0].spans[0].trace_id for each in both.resource_spans] == [TRACE.id, other.id]
    assert ExportTraceServiceRequest.FromString(EMPTY) == ExportTraceServiceRequest()
