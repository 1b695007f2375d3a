"""A log record of a workload as an OTLP request.

Source: OTLP 1.x, `opentelemetry/proto/collector/logs/v1/logs_service.proto`.
"""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1 import logs_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from exporter import __version__
from exporter.otlp.encoding import attributes_of
from exporter.tracing.log_records import EventRecord
from exporter.tracing.trace import Attributes

SCOPE = "datarobot_exporter.events"
_SEVERITIES = {
    "INFO": pb.SEVERITY_NUMBER_INFO,
    "WARN": pb.SEVERITY_NUMBER_WARN,
    "ERROR": pb.SEVERITY_NUMBER_ERROR,
}
_SAMPLED = 0x1


def encode_log(resource: Attributes, record: EventRecord) -> bytes:
    """One serialised ExportLogsServiceRequest, the same bytes for the same record.

    Several such bodies concatenated are a valid request, as of traces.
    """
    scope = pb.ScopeLogs(scope=InstrumentationScope(name=SCOPE, version=__version__), log_records=[_record(record)])
    logs = [pb.ResourceLogs(resource=Resource(attributes=attributes_of(resource)), scope_logs=[scope])]
    body: bytes = ExportLogsServiceRequest(resource_logs=logs).SerializeToString(deterministic=True)
    return body


def _record(record: EventRecord) -> pb.LogRecord:
    return pb.LogRecord(
        time_unix_nano=record.at,
        observed_time_unix_nano=record.observed,
        severity_number=_SEVERITIES[record.severity],
        severity_text=record.severity,
        body=AnyValue(string_value=record.body),
        attributes=attributes_of(record.attributes),
        flags=_SAMPLED if record.trace else 0,
        trace_id=record.trace,
        span_id=record.span,
        event_name=record.name,
    )
