"""Log records as OTLP requests."""

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from exporter import __version__
from exporter.otlp.log_encoding import encode_log
from exporter.tracing.log_records import EventRecord

TRACED = EventRecord(b"u", "datarobot.workload.event", 1, 2, "ERROR", "it failed", {"n": 1}, b"t" * 16, b"s" * 8)
UNTRACED = EventRecord(b"v", "datarobot.workload.transition", 3, 4, "WARN", "workload vanished", {})


def test_records_are_a_request_with_all_their_contents() -> None:
    body = b"".join(encode_log({"service.name": "workload-1"}, record) for record in (TRACED, UNTRACED))
    message = MessageToDict(ExportLogsServiceRequest.FromString(body), preserving_proto_field_name=True)
    resource, other = message["resource_logs"]
    assert other["resource"] == resource["resource"]
    assert resource["resource"] == {"attributes": [{"key": "service.name", "value": {"string_value": "workload-1"}}]}
    (scope,) = resource["scope_logs"]
    assert scope["scope"] == {"name": "datarobot_exporter.events", "version": __version__}
    assert scope["log_records"] + other["scope_logs"][0]["log_records"] == [
        {
            "time_unix_nano": "1",
            "observed_time_unix_nano": "2",
            "severity_number": "SEVERITY_NUMBER_ERROR",
            "severity_text": "ERROR",
            "body": {"string_value": "it failed"},
            "attributes": [{"key": "n", "value": {"int_value": "1"}}],
            "flags": 1,
            "trace_id": "dHR0dHR0dHR0dHR0dHR0dA==",
            "span_id": "c3Nzc3Nzc3M=",
            "event_name": "datarobot.workload.event",
        },
        {
            "time_unix_nano": "3",
            "observed_time_unix_nano": "4",
            "severity_number": "SEVERITY_NUMBER_WARN",
            "severity_text": "WARN",
            "body": {"string_value": "workload vanished"},
            "event_name": "datarobot.workload.transition",
        },
    ]
