"""Traces of the exporter's own sweeps, by the OpenTelemetry SDK: of failed, slow and notable ones, and of a sample.

Spans are created after a sweep has ended (`exporter.telemetry.sweep_trace` has its data), and only if its trace is
kept. Spans that cannot be sent are lost and counted.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from threading import Thread
from typing import Protocol
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from exporter import __version__
from exporter.log import log
from exporter.telemetry.sweep_trace import CURRENT, SweepTrace

KEPT = ("failed", "attempt", "slow", "episode", "heartbeat")
"""Reasons to keep a sweep trace: the sweep was incomplete, a request failed, it took twice the usual time, code
requested it (`SweepTrace.keep`), or it is the first or every hundredth. The first reason that applies is recorded.
"""
HEARTBEAT = 100
USUAL, FEWEST = 20, 5
"""The usual time is the median of up to `USUAL` complete sweeps; with fewer than `FEWEST` it is unknown."""
QUEUE, BATCH = 2048, 512
"""Maximum spans in the queue, and in one request."""


class Acceptance(Protocol):
    """Result of a request."""

    @property
    def accepted(self) -> bool:
        """Whether the collector accepted the request."""


class Sending(Protocol):
    """Delivers spans: `exporter.otlp.transport.Transport`."""

    def send(self, body: bytes) -> Acceptance:
        """Send one serialised ExportTraceServiceRequest; may raise any exception."""


class Counting(Protocol):
    """Counts: `exporter.telemetry.report.Report`."""

    def count(self, name: str, *labels: str, by: float = 1) -> None: ...


class SelfTraces:
    """The SDK's pipeline with its own thread; `account` makes the context for an `AccountMonitor`, `close` ends it.

    `instance` distinguishes exporters, such as ``HOST:PORT``; `attributes` are added to the resource.
    """

    def __init__(
        self,
        transport: Sending,
        counts: Counting,
        *,
        instance: str,
        attributes: Mapping[str, str] | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts, self.wall, self.steady = counts, wall, steady
        # The SDK uses OTEL_SERVICE_NAME only if no name is given.
        name = os.environ.get("OTEL_SERVICE_NAME") or "workload-exporter"
        us = {"service.name": name, "service.version": __version__, "service.instance.id": instance}
        self._provider = TracerProvider(resource=Resource.create({**(attributes or {}), **us}), shutdown_on_exit=False)
        self._exporter = _Exporter(transport, counts)
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, max_queue_size=QUEUE, max_export_batch_size=BATCH)
        )
        self._tracer = self._provider.get_tracer("datarobot_exporter.self", __version__)
        self._given = 0

    def account(self, name: str, endpoint: str) -> Callable[[], AbstractContextManager[SweepTrace]]:
        """For `AccountMonitor`: a function whose context is one sweep of this account."""
        for reason in KEPT:
            self.counts.count("self_traces", name, reason, by=0)
        return _Account(self, name, urlsplit(endpoint).hostname or "").sweep

    def emit(self, trace: SweepTrace, root: Mapping[str, str | int], server: str) -> None:
        """Queue a completed trace, as a whole or not at all."""
        spans = 1 + len(trace.parts)
        if self._given - self._exporter.taken + spans > QUEUE:  # the SDK would drop spans of other traces
            self.counts.count("self_trace_spans_lost", by=spans)
            return
        sweep = self._tracer.start_span("sweep", Context(), attributes=root, start_time=_ns(trace.began))
        if not sweep.is_recording():  # disabled by environment variables of the SDK
            return
        self._given += spans
        inside = set_span_in_context(sweep, Context())
        for part in trace.parts:
            kind = SpanKind.INTERNAL if part.request is None else SpanKind.CLIENT
            attributes = {} if part.request is None else {**part.request, "server.address": server}
            span = self._tracer.start_span(part.name, inside, kind, attributes, start_time=_ns(part.start))
            _end(span, part.end, part.error)
        _end(sweep, trace.now(), trace.failure)

    def close(self, seconds: float = 3.0) -> None:
        """Send queued spans for at most `seconds`; the rest is lost."""
        # The SDK's shutdown has no timeout of its own.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)


class _Account:
    """Decides which traces of one account's sweeps are kept."""

    def __init__(self, traces: SelfTraces, name: str, server: str) -> None:
        self._traces, self._name, self._server = traces, name, server
        self._durations: deque[float] = deque(maxlen=USUAL)
        self._numbers = itertools.count()

    @contextmanager
    def sweep(self) -> Iterator[SweepTrace]:
        trace = SweepTrace(self._traces.wall, self._traces.steady)
        token = CURRENT.set(trace)
        try:
            yield trace
        except Exception as error:  # anything: it is recorded
            trace.failure = type(error).__name__
            raise
        finally:
            CURRENT.reset(token)
            self._ended(trace)

    def _ended(self, trace: SweepTrace) -> None:
        reason = self._reason(trace)
        if not reason:
            return
        self._traces.counts.count("self_traces", self._name, reason)
        root: dict[str, str | int] = {"datarobot.account": self._name, "datarobot.sweep.kept": reason}
        if trace.workloads is not None:
            root["datarobot.sweep.workloads"] = trace.workloads
        self._traces.emit(trace, root, self._server)

    def _reason(self, trace: SweepTrace) -> str:
        duration = trace.now() - trace.began
        slow = len(self._durations) >= FEWEST and duration > 2 * median(self._durations)
        heartbeat = next(self._numbers) % HEARTBEAT == 0
        if trace.failure:
            return "failed"
        self._durations.append(duration)
        if any(part.error for part in trace.parts):
            return "attempt"
        return "slow" if slow else trace.kept or ("heartbeat" if heartbeat else "")


class _Exporter(SpanExporter):
    """Sends spans, and counts those that are lost. `taken`: number of spans that left the queue."""

    def __init__(self, transport: Sending, counts: Counting) -> None:
        self._transport, self._counts = transport, counts
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        try:
            if self._transport.send(encode_spans(spans).SerializeToString()).accepted:
                return SpanExportResult.SUCCESS
        except Exception:  # sweeps must not fail because of it
            log.debug("sending sweep traces failed", exc_info=True)
        self._counts.count("self_trace_spans_lost", by=len(spans))
        return SpanExportResult.FAILURE


def _end(span: Span, at: float, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end(_ns(at))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
