"""What a collector's response means for the contents of a request.

Source: the OTLP specification of responses. The SDK's exporters treat a redirect as success and drop rejected spans;
here each response has its `Verdict`, and the caller decides about the contents.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter import redaction
from exporter.failures import beginning, detail, failure_of, one_line, retry_after, status_reason
from exporter.otlp.status import RetryInfo, Status

REASONS = (
    "timeout dns connect tls auth forbidden not_found redirect throttled server_error bad_request too_large refused"
).split()
"""Reasons why a request was not accepted."""

Result = Literal["accepted", "retry", "invalid", "refused"]
_HINTS = {
    "auth": "check {place}.headers",
    "forbidden": "check the permissions of the credentials in {place}.headers",
    "not_found": "check {place}.endpoint and {place}.path",
    "redirect": "set {place}.endpoint and {place}.path to the new location",
    "tls": "check {place}.certificate, and http or https in {place}.endpoint",
}
_NO_MESSAGE = "(no message)"


class Signal(NamedTuple):
    """What is sent. `place`: its section of the settings; `items`: what a collector may reject in part, in the field
    `rejected` of its response; `service`: the method of gRPC.
    """

    place: str
    items: str
    service: str
    response: type[Message]
    rejected: str
    retry: str
    invalid: str
    refused: str


TRACES = Signal(
    "traces",
    "spans",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    ExportTraceServiceResponse,
    "rejected_spans",
    retry="traces are kept and sent again",
    invalid="smaller batches are sent until the rejected trace is found; it is dropped",
    refused="traces are kept and sent again every five minutes",
)
METRICS = Signal(
    "metrics.otlp",
    "data points",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    ExportMetricsServiceResponse,
    "rejected_data_points",
    retry="current values are sent later",
    invalid="smaller requests are sent until the rejected data points are found; they are dropped",
    refused="current values are sent in five minutes",
)


LOGS = Signal(
    "events.otlp",
    "log records",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    ExportLogsServiceResponse,
    "rejected_log_records",
    retry="log records are kept and sent again",
    invalid="smaller batches are sent until the rejected records are found; they are dropped",
    refused="log records are kept and sent again every five minutes",
)


class Verdict(NamedTuple):
    """Result of one request, and what to do with its contents.

    ``accepted``: delivered, except for `rejected` items. ``retry``: may be accepted later, after `after` seconds if the
    collector requested it. ``invalid``: their content or size is rejected. ``refused``: nothing is accepted until
    someone fixes the configuration. `reason` is one of `REASONS`, empty if accepted; `summary` describes the request
    and the response.
    """

    result: Result
    summary: str
    reason: str = ""
    rejected: int = 0
    after: float | None = None
    hint: str = ""
    signal: Signal = TRACES

    @property
    def accepted(self) -> bool:
        """Whether the collector accepted the request."""
        return self.result == "accepted"

    @property
    def message(self) -> str:
        """The request, the response, the next step, and a hint."""
        steps = {"retry": self.signal.retry, "invalid": self.signal.invalid, "refused": self.signal.refused}
        hint = (self.hint or _HINTS.get(self.reason, "")).replace("{place}", self.signal.place)
        return "; ".join(filter(None, (self.summary, steps.get(self.result), hint)))


class Cleaner:
    """Removes secrets from what a collector sends: all known ones, and those in `headers`, which it receives."""

    def __init__(self, secrets: redaction.Secrets | None, headers: Mapping[str, str]) -> None:
        self._secrets = secrets or redaction.Secrets()
        self._own = [part.text for each in headers.items() for part in redaction.header(*each)]

    def body(self, body: bytes) -> bytes:
        """A body without secrets."""
        return self._secrets.clean(body, *self._own)

    def text(self, text: str) -> str:
        """A text without secrets."""
        return self._secrets.text(text, *self._own)


def success(request: str, body: bytes, clean: Cleaner, kind: str = "", signal: Signal = TRACES) -> Verdict:
    """The verdict for a successful response; `kind` is the media type of its body, default protobuf.

    Many collectors send an empty body, or one that is not OTLP.
    """
    try:
        if "json" in kind:
            partial = Parse(body, signal.response(), ignore_unknown_fields=True).partial_success
        else:
            partial = signal.response.FromString(body).partial_success
    except (DecodeError, ParseError, ValueError, RecursionError):
        return Verdict("accepted", f"{request}: accepted")
    rejected: int = getattr(partial, signal.rejected)
    if not rejected and not partial.error_message:
        return Verdict("accepted", f"{request}: accepted")
    message = one_line(clean.text(partial.error_message)) or _NO_MESSAGE
    lost = f"{rejected} {signal.items} rejected" if rejected else "accepted with a warning"
    return Verdict("accepted", f"{request}: {lost}: {message}", rejected=rejected)


def interrupted(request: str) -> Verdict:
    """The verdict for a request that was cancelled."""
    return Verdict("retry", f"{request} was interrupted", "timeout")


# -- HTTP

_STATUS_REASONS = {413: "too_large"}
"""Reasons of statuses beside `exporter.failures.STATUS_REASONS`."""


def http_verdict(
    request: str, status: int, headers: Mapping[str, str], body: bytes, clean: Cleaner, signal: Signal = TRACES
) -> Verdict:
    """The verdict for an HTTP response; names of `headers` are case-insensitive or lower-case."""
    kind = headers.get("content-type", "").lower()
    if 200 <= status < 300 and "html" in kind:  # a login page, or another server
        summary = f"{request} returned {status} with an HTML page: {detail(beginning(body, clean.body))}"
        return Verdict("refused", summary, "refused", hint=_HINTS["not_found"])
    if 200 <= status < 300:
        return success(request, body, clean, kind, signal)
    if 300 <= status < 400:
        location = clean.text(headers.get("location", "an unknown location"))
        location = one_line(re.sub(r"//[^/@]*@", "//", location.partition("?")[0]))
        return Verdict("refused", f"{request} returned {status}: redirects to {location} are not followed", "redirect")
    message = _status_message(body, clean) if "protobuf" in kind else detail(beginning(body, clean.body))
    summary = f"{request} returned {status}: {message}"
    if status == 429 or status >= 500:
        after = retry_after(headers, time.time())
        return Verdict("retry", summary, status_reason(status, _STATUS_REASONS, other="server_error"), after=after)
    if status in (400, 413, 422):
        return Verdict("invalid", summary, status_reason(status, _STATUS_REASONS, other="bad_request"))
    return Verdict("refused", summary, status_reason(status, _STATUS_REASONS, other="refused"))


def _status_message(status: bytes, clean: Cleaner) -> str:
    """The message of a serialised google.rpc.Status."""
    try:
        message = Status.FromString(status).message
    except DecodeError:
        message = ""
    return one_line(clean.text(message)) or _NO_MESSAGE


# -- gRPC

_CODES: dict[str, tuple[Result, str]] = {
    "UNAVAILABLE": ("retry", "connect"),
    "DEADLINE_EXCEEDED": ("retry", "timeout"),
    "RESOURCE_EXHAUSTED": ("retry", "throttled"),
    "INVALID_ARGUMENT": ("invalid", "bad_request"),
    "UNAUTHENTICATED": ("refused", "auth"),
    "PERMISSION_DENIED": ("refused", "forbidden"),
    "UNIMPLEMENTED": ("refused", "not_found"),
    "NOT_FOUND": ("refused", "not_found"),
    "ALREADY_EXISTS": ("refused", "refused"),
    "FAILED_PRECONDITION": ("refused", "refused"),
}
"""Result and reason by code; all others, such as ABORTED, INTERNAL and DATA_LOSS, are transient server errors."""


def grpc_verdict(request: str, code: str, details: str, metadata: Iterable[tuple[str, str | bytes]]) -> Verdict:
    """The verdict for a failed gRPC call; `details` are without secrets, `metadata` are the trailers."""
    result, reason = _CODES.get(code, ("retry", "server_error"))
    message, hint = one_line(details) or _NO_MESSAGE, ""
    if code == "UNAVAILABLE":
        reason, message = failure_of(ConnectionError(details), str)
        hint = "if the port is for OTLP/HTTP, set {place}.protocol: http/protobuf" if "HTTP/2" in details else ""
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        result, reason = "invalid", "too_large"
    status = dict(metadata).get("grpc-status-details-bin")
    after = _retry_delay(status) if isinstance(status, bytes) else None
    return Verdict(result, f"{request} returned {code}: {message}", reason, after=after, hint=hint)


def _retry_delay(status: bytes) -> float | None:
    """Whole seconds of the google.rpc.RetryInfo in a serialised google.rpc.Status; None if there is none."""
    info = RetryInfo()
    try:
        found = any(each.Unpack(info) for each in Status.FromString(status).details)
    except DecodeError:
        return None
    return float(info.retry_delay.seconds) if found and info.HasField("retry_delay") else None
