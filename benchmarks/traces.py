"""Cost of lifecycle traces: to build, encode and store them, and to check for them in a sweep without changes."""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

from benchmarks.fleet import workload
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, ObservedEvent, PodFacts, ProtonTimes, StatusChange
from exporter.fleet.ledger import Ledger
from exporter.fleet.reconcile import Snapshot
from exporter.fleet.workload_state import WorkloadState
from exporter.otlp.encoding import SCOPE, encode
from exporter.simulator import list_page
from exporter.state.store import EncodedTrace, Store
from exporter.telemetry.report import Report
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import settled
from exporter.tracing.trace import Trace

TRACING = Tracing("https://dr.test")
BEGAN, ENDED, NOW = 1.7e9, 1.7e9 + 240, 1.7e9 + 400
SPANS = 8
ROUNDS, TIMES = 15, 200


def episode(number: int) -> WorkloadState:
    """A workload that has just started: two states, and one pod with all its phases."""
    listed = workload(number)
    name = listed.proton_id or ""
    start = Episode(
        "start",
        Mark(BEGAN, BEGAN - 30),
        "stopped",
        (
            StatusChange("provisioning", Mark(BEGAN, BEGAN - 30)),
            StatusChange("launching", Mark(BEGAN + 60, BEGAN + 30)),
        ),
        Mark(ENDED, ENDED - 30),
        "success",
        "running",
        proton=name,
    )
    true = {"PodScheduled": BEGAN + 5, "Initialized": BEGAN + 20, "Ready": ENDED - 2}
    tracker = EpisodeTracker(
        over=(start,),
        pods={f"pod-{number}": PodFacts(name, NOW, BEGAN, true, BEGAN + 200, ready=True)},
        protons={name: ProtonTimes("2023-11-14T22:13:10+00:00", "2023-11-14T22:17:15+00:00")},
        events={"e": ObservedEvent("Workload Started", BEGAN + 1)},
        pods_read=NOW,
        events_read=NOW,
    )
    return WorkloadState("bench", listed, Ledger(1.6e9, BEGAN, tracker=tracker))


def built(state: WorkloadState) -> tuple[WorkloadState, Trace]:
    """The trace of an episode, and the workload state without the episode."""
    after, (one,) = settled(state, NOW, NOW - 30, TRACING)
    assert one.trace is not None
    return after, one.trace


class Library:
    """The same spans, created by the tracer of the OpenTelemetry SDK with its in-memory exporter and its encoder."""

    def __init__(self, like: Trace) -> None:
        self._spans, self._exporter = like.spans, InMemorySpanExporter()
        provider = TracerProvider(resource=Resource(dict(like.resource)))
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._tracer = provider.get_tracer(SCOPE)

    def traced(self) -> Sequence[ReadableSpan]:
        """Start and end all spans."""
        self._exporter.clear()
        contexts: dict[bytes, Context] = {b"": Context()}
        for template in self._spans:
            span = self._tracer.start_span(
                template.name,
                contexts[template.parent],
                attributes=template.attributes,
                start_time=template.start,
            )
            for event in template.events:
                span.add_event(event.name, event.attributes, event.at)
            span.end(template.end)
            contexts[template.id] = set_span_in_context(span, contexts[b""])
        return self._exporter.get_finished_spans()


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """The request that the library's exporter would send."""
    body: bytes = encode_spans(spans).SerializeToString()
    return body


def interleaved(rivals: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of one call of each function, in rounds that call all of them."""
    spent: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(ROUNDS + 1):
        for name, work in rivals.items():
            began = time.perf_counter()
            for _ in range(TIMES):
                work()
            if number:  # the first round warms up
                spent[name].append((time.perf_counter() - began) / TIMES)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def against_the_library() -> dict[str, float]:
    """Seconds to build and encode a trace, and only to encode it, by the exporter and by the library."""
    state = episode(1)
    trace = built(state)[1]
    library = Library(trace)
    spans = library.traced()
    assert len(spans) == len(trace.spans) == SPANS
    return interleaved(
        {
            "ours": lambda: encode(built(state)[1]),
            "library": lambda: encoded(library.traced()),
            "our encoding": lambda: encode(trace),
            "its encoding": lambda: encoded(spans),
        }
    )


def kept(size: int = 500) -> float:
    """Seconds per span from the episode to the committed row of the outbox, with many ledgers in one commit."""
    states = [episode(number) for number in range(size)]
    spent = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "state.db")
            began = time.perf_counter()
            found = [built(each) for each in states]
            frozen = [EncodedTrace(trace.id, len(trace.spans), encode(trace), NOW) for _, trace in found]
            store.commit("bench", {after.workload.id: after.ledger for after, _ in found}, traces=frozen)
            spent.append(time.perf_counter() - began)
            assert store.outbox().traces == size
            store.close()
    return statistics.median(spent) / size / SPANS


async def _quiet(size: int) -> dict[str, float]:
    bodies = {offset: list_page(workloads=size, offset=offset, now=NOW) for offset in range(0, size, 100)}

    def answer(request: httpx.Request) -> httpx.Response:
        offset = parse_qs(urlsplit(str(request.url)).query).get("offset", ["0"])[0]
        return httpx.Response(200, content=bodies[int(offset)])

    def monitor(tracing: Tracing | None) -> AccountMonitor:
        report = Report(NOW).account("bench", 30.0, 1e6)
        client = Client("http://dr.test", lambda: "-", report, rate=1e6, transport=httpx.MockTransport(answer))
        return AccountMonitor(AccountState(Snapshot("bench")), client, report, Plan(900.0, tracing=tracing), Clock())

    monitors = {"on": monitor(TRACING), "off": monitor(None)}
    spent: dict[str, list[float]] = {name: [] for name in monitors}
    spent["check"] = []
    for number in range(ROUNDS + 2):
        for name, each in monitors.items():
            began = time.process_time()
            await each.sweep()
            if number > 1:
                spent[name].append(time.process_time() - began)
            else:
                gc.collect()
                gc.freeze()
        began = time.process_time()
        sum(state.ledger.tracker.changes_with_time for state in monitors["on"].workloads.values())
        spent["check"].append(time.process_time() - began)
    assert len(monitors["on"].workloads) == len(monitors["off"].workloads) > 0.99 * size
    for each in monitors.values():
        await each.close()
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def quiet(size: int) -> dict[str, float]:
    """CPU seconds of a sweep without changes, with and without traces, and of the check for open episodes."""
    return asyncio.run(_quiet(size))
