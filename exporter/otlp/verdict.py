"""What a collector's response means for the traces of a request.

Source: the OTLP specification of responses. The SDK's exporters treat a redirect as success and drop rejected spans;
here each response has its `Verdict`, and the caller decides about the traces.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter import redaction
from exporter.failures import beginning, detail, failure_of, one_line, retry_after, status_reason

REASONS = (
    "timeout dns connect tls auth forbidden not_found redirect throttled server_error bad_request too_large refused"
).split()
"""Reasons why a request was not accepted."""

Result = Literal["accepted", "retry", "invalid", "refused"]
_NEXT_STEPS = {
    "accepted": "",
    "retry": "traces are kept and sent again",
    "invalid": "smaller batches are sent until the rejected trace is found; it is dropped",
    "refused": "traces are kept and sent again every five minutes",
}
_HINTS = {
    "auth": "check traces.headers",
    "forbidden": "check the permissions of the credentials in traces.headers",
    "not_found": "check traces.endpoint and traces.path",
    "redirect": "set traces.endpoint and traces.path to the new location",
    "tls": "check traces.certificate, and http or https in traces.endpoint",
}
_NO_MESSAGE = "(no message)"


class Verdict(NamedTuple):
    """Result of one request, and what to do with its traces.

    ``accepted``: delivered, except for `rejected` spans. ``retry``: may be accepted later, after `after` seconds if the
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

    @property
    def accepted(self) -> bool:
        """Whether the collector accepted the request."""
        return self.result == "accepted"

    @property
    def message(self) -> str:
        """The request, the response, the next step, and a hint."""
        parts = self.summary, _NEXT_STEPS[self.result], self.hint or _HINTS.get(self.reason)
        return "; ".join(filter(None, parts))


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


def success(request: str, body: bytes, clean: Cleaner, kind: str = "") -> Verdict:
    """The verdict for a successful response; `kind` is the media type of its body, default protobuf.

    Many collectors send an empty body, or one that is not OTLP.
    """
    try:
        if "json" in kind:
            partial = Parse(body, ExportTraceServiceResponse(), ignore_unknown_fields=True).partial_success
        else:
            partial = ExportTraceServiceResponse.FromString(body).partial_success
    except (DecodeError, ParseError, ValueError, RecursionError):
        return Verdict("accepted", f"{request}: accepted")
    if not partial.rejected_spans and not partial.error_message:
        return Verdict("accepted", f"{request}: accepted")
    message = one_line(clean.text(partial.error_message)) or _NO_MESSAGE
    lost = f"{partial.rejected_spans} spans rejected" if partial.rejected_spans else "accepted with a warning"
    return Verdict("accepted", f"{request}: {lost}: {message}", rejected=partial.rejected_spans)


def interrupted(request: str) -> Verdict:
    """The verdict for a request that was cancelled."""
    return Verdict("retry", f"{request} was interrupted", "timeout")


# -- HTTP

_STATUS_REASONS = {413: "too_large"}
"""Reasons of statuses beside `exporter.failures.STATUS_REASONS`."""


def http_verdict(request: str, status: int, headers: Mapping[str, str], body: bytes, clean: Cleaner) -> Verdict:
    """The verdict for an HTTP response; names of `headers` are case-insensitive or lower-case."""
    kind = headers.get("content-type", "").lower()
    if 200 <= status < 300 and "html" in kind:  # a login page, or another server
        summary = f"{request} returned {status} with an HTML page: {detail(beginning(body, clean.body))}"
        return Verdict("refused", summary, "refused", hint="check traces.endpoint and traces.path")
    if 200 <= status < 300:
        return success(request, body, clean, kind)
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
        hint = "if the port is for OTLP/HTTP, set traces.protocol: http/protobuf" if "HTTP/2" in details else ""
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
