"""Traces on the wire: a trace as an OTLP request, and requests to a collector over HTTP or gRPC.

Source: OTLP 1.x, `opentelemetry/proto/collector/trace/v1/trace_service.proto`, and the OTLP specification of responses.
The SDK's exporters treat a redirect as success and drop rejected spans; here each response has its `Verdict`, and the
caller decides about the traces.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import ssl
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from exporter import __version__, redaction
from exporter.failures import beginning, detail, one_line, retry_after, some_of, trouble
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.traces import TraceSettings
from exporter.tracing.trace import Attributes, Span, Trace, Value

if TYPE_CHECKING:
    import grpc

SCOPE = "datarobot_exporter.lifecycle"
_AGENT = f"workload-exporter/{__version__}"
_SAMPLED, _PARENT_NOT_REMOTE = 0x1, 0x100  # W3C trace flags; SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK of trace.proto

# -- a trace as bytes


def encode(trace: Trace) -> bytes:
    """One serialised ExportTraceServiceRequest, the same bytes for the same trace.

    Such bodies one after another are a valid request again: repeated fields add up.
    """
    scope = pb.ScopeSpans(
        scope=InstrumentationScope(name=SCOPE, version=__version__),
        spans=[_span(trace.id, span) for span in trace.spans],
    )
    resource = Resource(attributes=_attributes(trace.resource))
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
        attributes=_attributes(span.attributes),
        events=[
            pb.Span.Event(time_unix_nano=event.at, name=event.name, attributes=_attributes(event.attributes))
            for event in span.events
        ],
        links=[
            pb.Span.Link(trace_id=link.trace, span_id=link.span, attributes=_attributes(link.attributes))
            for link in span.links
        ],
        status=None if span.error is None else pb.Status(code=pb.Status.STATUS_CODE_ERROR, message=span.error),
    )


def _attributes(attributes: Attributes) -> list[KeyValue]:
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


EMPTY = b""
"""A request without traces: it proves the way to a collector."""


# -- what became of a request

REASONS = (
    "timeout dns connect tls auth forbidden not_found redirect throttled server_error bad_request too_large refused"
).split()
"""Why a request was not accepted."""


_NEXT = {
    "accepted": "",
    "again": "the traces are kept and sent again",
    "bad": "smaller batches are sent until the trace is found that is not wanted; it is dropped",
    "refused": "the traces are kept and sent again every five minutes",
}
_REMEDIES = {
    "auth": "check traces.headers",
    "forbidden": "check the rights of what traces.headers hold",
    "not_found": "check traces.endpoint and traces.path",
    "redirect": "set traces.endpoint and traces.path to where it leads",
    "tls": "check traces.certificate, and http or https in traces.endpoint",
}


class Verdict(NamedTuple):
    """Result of one request, and what to do with its traces.

    ``accepted``: delivered, except for `rejected` spans. ``again``: may be accepted later, after `after` seconds if the
    collector requested it. ``bad``: their content or size is rejected. ``refused``: nothing is accepted until someone
    fixes the configuration. `reason` is one of `REASONS`, empty if accepted; `what` describes the request and the
    response.
    """

    fate: Literal["accepted", "again", "bad", "refused"]
    what: str
    reason: str = ""
    rejected: int = 0
    after: float | None = None
    hint: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the collector has it."""
        return self.fate == "accepted"

    @property
    def words(self) -> str:
        """The request, the response, the next step, and a hint."""
        return "; ".join(filter(None, (self.what, _NEXT[self.fate], self.hint or _REMEDIES.get(self.reason))))


class _Cleaner:
    """Removes all known secrets, and those that this collector is sent, from what it sends."""

    def __init__(self, traces: TraceSettings, secrets: redaction.Secrets | None) -> None:
        self._secrets = secrets or redaction.Secrets()
        self._own = [part.text for each in _headers(traces).items() for part in redaction.header(*each)]

    def body(self, body: bytes) -> bytes:
        return self._secrets.clean(body, *self._own)

    def text(self, text: str) -> str:
        return self._secrets.text(text, *self._own)


def _accepted(what: str, body: bytes, clean: _Cleaner, kind: str = "") -> Verdict:
    """A success, with what the collector says of it; many say nothing, or not in OTLP's words. `kind`: of the body."""
    try:
        if "json" in kind:
            partial = Parse(body, ExportTraceServiceResponse(), ignore_unknown_fields=True).partial_success
        else:
            partial = ExportTraceServiceResponse.FromString(body).partial_success
    except (DecodeError, ParseError, ValueError, RecursionError):
        return Verdict("accepted", f"{what}: accepted")
    if not partial.rejected_spans and not partial.error_message:
        return Verdict("accepted", f"{what}: accepted")
    said = one_line(clean.text(partial.error_message)) or "(no words)"
    lost = f"{partial.rejected_spans} spans were rejected and are lost" if partial.rejected_spans else "all accepted"
    return Verdict("accepted", f"{what}: {lost}: {said}", rejected=partial.rejected_spans)


def _cut_short(what: str) -> Verdict:
    return Verdict("again", f"{what} was cut short", "timeout")


class Transport(Protocol):
    """A way to a collector."""

    def send(self, body: bytes) -> Verdict:
        """Send one serialised request and wait for the result, within the timeout."""

    def close(self) -> None:
        """End a `send` under way in another thread, which is then ``again``. Between two of them nothing is held."""


def transport(traces: TraceSettings, secrets: redaction.Secrets | None = None) -> Transport:
    """The way that these settings name. Raises `BadSettings` for certificates that cannot be used.

    What the collector sends is cleaned of `secrets` and of the values of `traces.headers`.
    """
    clean = _Cleaner(traces, secrets)
    try:
        trusted = ssl.create_default_context(cafile=traces.certificate)
        if traces.client_certificate is not None:
            trusted.load_cert_chain(traces.client_certificate, traces.client_key)
        return Grpc(traces, clean) if traces.protocol == "grpc" else Http(traces, trusted, clean)
    except OSError as error:
        names = ", ".join(f"traces.{name}" for name in _FILES if getattr(traces, name) is not None)
        raise BadSettings([Problem(names, f"cannot be used: {one_line(str(error))}; give PEM files")]) from error


_FILES = ("certificate", "client_certificate", "client_key")


def _headers(traces: TraceSettings) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in traces.headers.items()}


# -- HTTP

_REASONS_OF = {401: "auth", 403: "forbidden", 404: "not_found", 413: "too_large", 429: "throttled"}


class Http:
    """OTLP/HTTP, protobuf. Redirects are not followed: headers go to the configured host and nowhere else."""

    def __init__(self, traces: TraceSettings, trusted: ssl.SSLContext, clean: _Cleaner) -> None:
        self._clean = clean
        self._url, self._timeout, self._trusted = traces.endpoint + traces.path, traces.timeout, trusted
        self._compress = traces.compression == "gzip"
        ours = {"content-type": "application/x-protobuf", "user-agent": _AGENT, "accept-encoding": "identity"}
        self._headers = _headers(traces) | ours | ({"content-encoding": "gzip"} if self._compress else {})
        self._cut: Callable[[], object] = lambda: None

    def send(self, body: bytes) -> Verdict:
        """See `Transport`."""
        # The blocking client limits the time of one read, so that a server that sends a byte now and then holds it for
        # ever, and nobody can end what is under way. A loop of our own does both.
        loop = asyncio.new_event_loop()
        sending = loop.create_task(self._post(gzip.compress(body, mtime=0) if self._compress else body))
        self._cut = lambda: loop.call_soon_threadsafe(sending.cancel)
        try:
            return loop.run_until_complete(sending)
        except asyncio.CancelledError:
            return _cut_short(f"POST {self._url}")
        finally:
            self._cut = lambda: None
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _post(self, content: bytes) -> Verdict:
        what = f"POST {self._url}"
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(headers=self._headers, timeout=self._timeout, verify=self._trusted) as http,
                http.stream("POST", self._url, content=content) as response,
            ):
                answer = await some_of(response)
        except (TimeoutError, httpx.TimeoutException):
            return Verdict("again", f"{what} was not answered within {self._timeout:g} s", "timeout")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason, words = trouble(error, self._clean.text)
            hint = "if it is a port of OTLP/gRPC, set traces.protocol: grpc" if "illegal" in words else ""
            return Verdict("again", f"{what} failed: {words}", reason, hint=hint)
        return _answered(what, response, answer, self._clean)

    def close(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(RuntimeError):  # it has just ended by itself
            self._cut()


def _answered(what: str, response: httpx.Response, body: bytes, clean: _Cleaner) -> Verdict:
    status, kind = response.status_code, response.headers.get("content-type", "").lower()
    if 200 <= status < 300 and "html" in kind:  # of a login, or of what stands before the collector
        words = f"{what} answered {status}, but with a page for people: {detail(beginning(body, clean.body))}"
        return Verdict("refused", words, "refused", hint="check traces.endpoint and traces.path")
    if 200 <= status < 300:
        return _accepted(what, body, clean, kind)
    if 300 <= status < 400:
        location = clean.text(response.headers.get("location", "nowhere"))
        leads = re.sub(r"//[^/@]*@", "//", location.partition("?")[0])
        words = f"{what} answered {status}: a redirect to {one_line(leads)}, which is not followed"
        return Verdict("refused", words, "redirect")
    said = _said(body, clean) if "protobuf" in kind else detail(beginning(body, clean.body))
    words = f"{what} answered {status}: {said}"
    if status == 429 or status >= 500:
        after = retry_after(response.headers.get("retry-after"), time.time())
        return Verdict("again", words, _REASONS_OF.get(status, "server_error"), after=after)
    if status in (400, 413, 422):
        return Verdict("bad", words, _REASONS_OF.get(status, "bad_request"))
    return Verdict("refused", words, _REASONS_OF.get(status, "refused"))


def _said(status: bytes, clean: _Cleaner) -> str:
    """The message of a serialised google.rpc.Status."""
    try:
        message = Status.FromString(status).message
    except DecodeError:
        message = ""
    return one_line(clean.text(message)) or "(no words)"


# -- gRPC

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_CODES: dict[str, tuple[Literal["again", "bad", "refused"], str]] = {
    "UNAVAILABLE": ("again", "connect"),
    "DEADLINE_EXCEEDED": ("again", "timeout"),
    "RESOURCE_EXHAUSTED": ("again", "throttled"),
    "INVALID_ARGUMENT": ("bad", "bad_request"),
    "UNAUTHENTICATED": ("refused", "auth"),
    "PERMISSION_DENIED": ("refused", "forbidden"),
    "UNIMPLEMENTED": ("refused", "not_found"),
    "NOT_FOUND": ("refused", "not_found"),
    "ALREADY_EXISTS": ("refused", "refused"),
    "FAILED_PRECONDITION": ("refused", "refused"),
}
"""Meaning of each code; all others, such as ABORTED, INTERNAL and DATA_LOSS, are transient server failures."""


class Grpc:
    """OTLP/gRPC. Bytes go in and out as they are: they are serialised already."""

    def __init__(self, traces: TraceSettings, clean: _Cleaner) -> None:
        # Its library writes to standard error what a collector says, uncleaned; it all comes back as an error, too.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc  # here: 15 MB of memory, for those who use it

        self._clean = clean
        parts = urlsplit(traces.endpoint)
        self._endpoint, self._target = traces.endpoint, parts.netloc if parts.port else f"{parts.netloc}:4317"
        self._timeout = traces.timeout
        self._metadata = tuple(_headers(traces).items())
        self._compression = grpc.Compression.Gzip if traces.compression == "gzip" else grpc.Compression.NoCompression
        self._credentials: grpc.ChannelCredentials | None = None
        if parts.scheme == "https":
            authorities, key, chain = (
                file.read_bytes() if file is not None else None
                for file in (
                    traces.certificate, traces.client_key or traces.client_certificate, traces.client_certificate,
                )
            )  # fmt: skip
            self._credentials = grpc.ssl_channel_credentials(authorities, key, chain)
        self._cut: Callable[[], object] = lambda: None

    def _opened(self) -> grpc.Channel:
        """A channel for one request: one that is kept waits as long as it likes once it has failed."""
        import grpc

        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.primary_user_agent", _AGENT))
        if self._credentials is None:
            return grpc.insecure_channel(self._target, options)
        return grpc.secure_channel(self._target, self._credentials, options)

    def send(self, body: bytes) -> Verdict:
        """See `Transport`."""
        import grpc

        what = f"Export to {self._endpoint}"
        channel = self._opened()
        self._cut = channel.close
        try:
            answer = channel.unary_unary(METHOD)(body, self._timeout, self._metadata, compression=self._compression)
        except grpc.RpcError as error:
            details = self._clean.text(error.details() or "")
            return _failed(what, error.code().name, details, error.trailing_metadata() or ())
        except ValueError:  # closed meanwhile
            return _cut_short(what)
        else:
            return _accepted(what, answer, self._clean)
        finally:
            channel.close()

    def close(self) -> None:
        """See `Transport`."""
        self._cut()


def _failed(what: str, code: str, details: str, metadata: Iterable[tuple[str, str | bytes]]) -> Verdict:
    fate, reason = _CODES.get(code, ("again", "server_error"))
    words, hint = one_line(details) or "(no words)", ""
    if code == "UNAVAILABLE":
        reason, words = trouble(ConnectionError(details), str)  # it is clean
        hint = "if it is a port of OTLP/HTTP, set traces.protocol: http/protobuf" if "HTTP/2" in details else ""
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        fate, reason = "bad", "too_large"
    status = dict(metadata).get("grpc-status-details-bin")
    after = _retry_delay(status) if isinstance(status, bytes) else None
    return Verdict(fate, f"{what} answered {code}: {words}", reason, after=after, hint=hint)


def _retry_delay(status: bytes) -> float | None:
    """Whole seconds of the google.rpc.RetryInfo in a serialised google.rpc.Status; None if there is none."""
    info = RetryInfo()
    try:
        found = any(each.Unpack(info) for each in Status.FromString(status).details)
    except DecodeError:
        return None
    return float(info.retry_delay.seconds) if found and info.HasField("retry_delay") else None
