"""A trace all the way: simulated API, daemon, and third-party receivers, which all get the same tree.

The daemon lives three times through the same 25 minutes, each time with another collector. Time is made: what the API
reports and what a sweep observes is the same each time, and so are the traces.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import rotel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from exporter.simulator import Simulator
from tests import http
from tests.daemon.test_daemon import START
from tests.e2e.servers import eventually, free_port, running
from tests.life import Life
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.long

STORIES = "stop-and-start-.*|reverted-replacement-.*"


async def live(simulator: Simulator, folder: Path, **traces: Any) -> None:
    """The life of a daemon with these settings of traces, until all of them are sent."""
    more = {"self_traces": False, "environment": "test", "resource_attributes": {"team": "ml"}}
    async with Life(simulator, folder, select={"name": STORIES}, traces=more | traces) as life:
        await life.until(25)
        await life.sent()


# -- the receivers


async def to_oteltap(simulator: Simulator, folder: Path, count: int) -> list[Span]:
    """What comes over HTTP, decoded in Rust; so many spans are waited for. It does not unpack what is compressed."""
    port, spans = free_port(), list[Span]()
    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as tap:
        stream = tap.stream_traces()
        first = asyncio.ensure_future(anext(stream))  # it listens from the first question on
        await live(simulator, folder, endpoint=f"http://127.0.0.1:{port}", compression="none")
        async with asyncio.timeout(60):
            spans.append(await first)
            while len(spans) < count:
                spans.append(await anext(stream))
    return spans


def to_rotel(simulator: Simulator, folder: Path) -> str:
    """What comes over gRPC, as a collector writes it down."""
    log, grpc, listen = folder.with_suffix(".log"), free_port(), free_port()
    command = (
        *(Path(rotel.__file__).with_name("rotel-agent"), "start", "--exporter", "blackhole"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{listen}"),
        *("--debug-log", "traces", "--debug-log-verbosity", "detailed"),
    )
    with running(log, *command):
        assert eventually(lambda: http.get(f"http://127.0.0.1:{listen}").status_code, 20)
        asyncio.run(live(simulator, folder, endpoint=f"http://127.0.0.1:{grpc}", protocol="grpc"))
    return log.read_text()


class WorkloadState(NamedTuple):
    """What each of them got: ours requests, oteltap spans, rotel a text."""

    ours: list[ExportTraceServiceRequest]
    oteltap: list[Span]
    rotel: str


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkloadState]:
    folder = tmp_path_factory.mktemp("traces")
    with Simulator(workloads=16, clock=lambda: START) as simulator:
        with HttpReceiver() as receiver:
            asyncio.run(live(simulator, folder / "ours", endpoint=receiver.url))
        count = sum(len(each.spans) for each in receiver.accepted)
        ours = [ExportTraceServiceRequest.FromString(each.body) for each in receiver.accepted]
        tapped = asyncio.run(to_oteltap(simulator, folder / "oteltap", count))
        yield WorkloadState(ours, tapped, to_rotel(simulator, folder / "rotel"))


# -- what they received


def value(attribute: Any) -> str:
    """An attribute's value in rotel's notation, such as ``Str(running)``."""
    match attribute.WhichOneof("value"):
        case "array_value":
            return f"Slice({', '.join(map(value, attribute.array_value.values))})"
        case "bool_value":
            return f"Bool({str(attribute.bool_value).lower()})"
        case "int_value":
            return f"Int({attribute.int_value})"
    return f"Str({attribute.string_value})"


def attributes(pairs: Any, depth: int = 5) -> str:
    return "".join(f"{' ' * depth}-> {each.key}: {value(each.value)}\n" for each in pairs)


def written(span: Span) -> str:
    """A span as rotel writes it."""
    lines = [
        f"    Trace ID       : {span.trace_id.hex()}\n    Parent ID      : {span.parent_span_id.hex()}\n"
        f"    ID             : {span.span_id.hex()}\n    Name           : {span.name}\n"
        f"    Kind           : {Span.SpanKind.Name(span.kind)}\n"
        f"Start time: {span.start_time_unix_nano}\nEnd time: {span.end_time_unix_nano}\n"
    ]
    if span.HasField("status"):
        code = Status.StatusCode.Name(span.status.code)
        lines.append(f"    Status code    : {code}\n    Status message : {span.status.message}\n")
    lines.append("Attributes:\n" + attributes(span.attributes))
    more = "     -> DroppedAttributesCount: 0\n     -> Attributes::\n"
    for number, event in enumerate(span.events):
        head = f"SpanEvent #{number}\n     -> Name: {event.name}\n     -> Timestamp: {event.time_unix_nano}\n"
        lines.append("Events:\n" * (not number) + head + more + attributes(event.attributes, 10))
    for number, link in enumerate(span.links):
        ids = f"     -> Trace ID: {link.trace_id.hex()}\n     -> ID: {link.span_id.hex()}\n     -> TraceState: \n"
        lines.append("Links:\n" * (not number) + f"SpanLink #{number}\n" + ids + more + attributes(link.attributes, 10))
    return "".join(lines)


def blocks(log: str) -> list[tuple[str, list[str]]]:
    """Resources and their spans, as rotel wrote them."""
    found = []
    said = re.sub(r"(?m)^\x1b.*\n", "", log)  # of itself
    for resource in re.split(r"(?m)^ResourceSpans #\d+\n", said)[1:]:
        head, *spans = re.split(r"(?m)^Span #\d+\n", resource)
        found.append((head, spans))
    return found


def test_two_strangers_and_we_see_the_same_spans_with_all_that_they_say(state: WorkloadState) -> None:
    ours = [s for request in state.ours for resource in request.resource_spans for s in resource.scope_spans[0].spans]
    assert state.oteltap == ours
    assert [span for _, spans in blocks(state.rotel) for span in spans] == [written(span) for span in ours]
    assert {bool(span.links) for span in ours} == {bool(span.events) for span in ours} == {True, False}


def test_a_collector_and_we_see_the_same_resource_around_them(state: WorkloadState) -> None:
    ours = [attributes(each.resource.attributes) for request in state.ours for each in request.resource_spans]
    heads = [re.findall(r"^     -> .*\n", head, re.MULTILINE) for head, _ in blocks(state.rotel)]
    assert ["".join(head) for head in heads] == ours
    assert all("     -> team: Str(ml)\n" in resource for resource in ours)


RUNS = "  container run ERROR\n"
TREES = f"""\
workload stop
  stopping
workload replacement ERROR
  initializing
  awaiting_promotion ERROR
  replica ERROR
    schedule
    init
    pull and start
    readiness ERROR
  replica ERROR
    schedule
    init
    pull and start
    readiness ERROR
{10 * RUNS}\
workload start
  provisioning
  launching
  replica
    schedule
    init
    pull and start
    readiness
  replica
    schedule
    init
    pull and start
    readiness
"""


def tree(spans: list[Span]) -> str:
    """Names below each other, as the spans name their parents."""

    def lines(parent: bytes, depth: int) -> Iterator[str]:
        for span in spans:
            if span.parent_span_id == parent:
                yield f"{'  ' * depth}{span.name}{' ERROR' if span.status.code else ''}\n"
                yield from lines(span.span_id, depth + 1)

    return "".join(lines(b"", 0))


def test_the_trees_are_those_of_the_stories_and_a_start_links_to_the_stop_before(state: WorkloadState) -> None:
    assert tree(state.oteltap) == TREES
    stop, start = (next(s for s in state.oteltap if s.name == f"workload {kind}") for kind in ("stop", "start"))
    assert [(link.trace_id, link.span_id) for link in start.links] == [(stop.trace_id, stop.span_id)]
