"""Traces of our own sweeps, by the OpenTelemetry SDK: of those that failed, were slow or mattered, and of a few others.

Spans are made once a sweep has ended (`exporter.telemetry.sweep_trace` has its facts), and only if it is kept: one that
is not costs microseconds. What cannot be sent is lost, and counted.
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
"""Why a sweep trace is kept: the sweep was incomplete, a request failed, it took twice the usual time, code requested
it (`SweepTrace.keep`), or it is the first or every hundredth. The first reason that applies is recorded.
"""
HEARTBEAT = 100
USUAL, FEWEST = 20, 5
"""Usual is the median of the last complete sweeps, up to so many; of fewer than `FEWEST` nothing is said."""
QUEUE, BATCH = 2048, 512
"""Spans that wait to be sent, and that go at once."""


class Transport(Protocol):
    """Who delivers. An answer that is false, or has a false `accepted`, says that the body was not taken."""

    def send(self, body: bytes) -> object:
        """Deliver one serialised ExportTraceServiceRequest; may raise anything."""


class Counts(Protocol):
    """Who counts: `exporter.telemetry.own_metrics.Report`."""

    def count(self, name: str, *labels: str, by: float = 1) -> None: ...


class SelfTraces:
    """The SDK's pipeline with its own thread; `account` makes the context for an `AccountMonitor`, `close` ends it.

    `instance` distinguishes exporters, such as ``HOST:PORT``; `attributes` are added to the resource.
    """

    def __init__(
        self,
        transport: Transport,
        counts: Counts,
        *,
        instance: str,
        attributes: Mapping[str, str] | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts, self.wall, self.steady = counts, wall, steady
        # The SDK hears OTEL_SERVICE_NAME only where no name is given.
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
        """For `AccountMonitor`: what is done inside the context it opens is one sweep of this account."""
        for reason in KEPT:
            self.counts.count("self_traces", name, reason, by=0)
        return _Account(self, name, urlsplit(endpoint).hostname or "").sweep

    def emit(self, trace: SweepTrace, root: Mapping[str, str | int], server: str) -> None:
        """Hand on a trace that has ended, as a whole or not at all."""
        spans = 1 + len(trace.done)
        if self._given - self._exporter.taken + spans > QUEUE:  # the SDK would drop spans of other traces for it
            self.counts.count("self_trace_spans_lost", by=spans)
            return
        sweep = self._tracer.start_span("sweep", Context(), attributes=root, start_time=_ns(trace.began))
        if not sweep.is_recording():  # the SDK's own environment variables turn it off
            return
        self._given += spans
        inside = set_span_in_context(sweep, Context())
        for done in trace.done:
            kind = SpanKind.INTERNAL if done.request is None else SpanKind.CLIENT
            told = {} if done.request is None else {**done.request, "server.address": server}
            span = self._tracer.start_span(done.name, inside, kind, told, start_time=_ns(done.start))
            _end(span, done.end, done.error)
        _end(sweep, trace.now(), trace.failure)

    def close(self, seconds: float = 3.0) -> None:
        """Send what waits, for so long at most; the rest is lost."""
        # The SDK's own shutdown takes as long as the transport does, and no argument.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)


class _Account:
    """What is usual for the sweeps of one account, and which of them are kept."""

    def __init__(self, traces: SelfTraces, name: str, server: str) -> None:
        self._traces, self._name, self._server = traces, name, server
        self._lasted: deque[float] = deque(maxlen=USUAL)
        self._numbers = itertools.count()

    @contextmanager
    def sweep(self) -> Iterator[SweepTrace]:
        trace = SweepTrace(self._traces.wall, self._traces.steady)
        token = CURRENT.set(trace)
        try:
            yield trace
        except Exception as error:
            trace.failure = type(error).__name__
            raise
        finally:
            CURRENT.reset(token)
            self._ended(trace)

    def _ended(self, trace: SweepTrace) -> None:
        why = self._why(trace)
        if not why:
            return
        self._traces.counts.count("self_traces", self._name, why)
        root: dict[str, str | int] = {"datarobot.account": self._name, "datarobot.sweep.kept": why}
        if trace.workloads is not None:
            root["datarobot.sweep.workloads"] = trace.workloads
        self._traces.emit(trace, root, self._server)

    def _why(self, trace: SweepTrace) -> str:
        lasted = trace.now() - trace.began
        slow = len(self._lasted) >= FEWEST and lasted > 2 * median(self._lasted)
        heartbeat = next(self._numbers) % HEARTBEAT == 0
        if trace.failure:
            return "failed"
        self._lasted.append(lasted)
        if any(done.error for done in trace.done):
            return "attempt"
        return "slow" if slow else trace.kept or ("heartbeat" if heartbeat else "")


class _Exporter(SpanExporter):
    """Encodes and hands over; counts what was not taken. `taken`: spans that left the queue."""

    def __init__(self, transport: Transport, counts: Counts) -> None:
        self._transport, self._counts = transport, counts
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        try:
            answer = self._transport.send(encode_spans(spans).SerializeToString())
            if getattr(answer, "accepted", answer):
                return SpanExportResult.SUCCESS
        except Exception:  # whatever it is, the sweeps go on
            log.debug("traces of sweeps were not sent", exc_info=True)
        self._counts.count("self_trace_spans_lost", by=len(spans))
        return SpanExportResult.FAILURE


def _end(span: Span, at: float, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end(_ns(at))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
