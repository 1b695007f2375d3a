"""Traces of our own sweeps: what a sweep did beside the spans it is told in, and which sweeps are told at all."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter import __version__
from exporter.collect.client import Client
from exporter.collect.sweep import sweep
from exporter.fleet.polling import Policy
from exporter.otlp.self_traces import QUEUE, SelfTraces
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.telemetry.own_metrics import Report
from exporter.telemetry.sweep_trace import SweepTrace, part
from tests.collect.test_client import World, always
from tests.daemon.test_daemon import Scene, play
from tests.stage import START, Stage, played, simulated

ENDPOINT = "https://dr.test:8443/api/v2"


class Wire:
    """A transport that keeps what it is given, or does what it is told to."""

    def __init__(self, answer: Callable[[], object] = lambda: True) -> None:
        self.bodies: list[bytes] = []
        self._answer = answer

    def send(self, body: bytes) -> object:
        self.bodies.append(body)
        return self._answer()


class Notified(NamedTuple):
    """A span as it was sent; `start` and `seconds` count from the beginning of its trace and of itself."""

    name: str
    start: float
    seconds: float
    attributes: Mapping[str, str | int]
    error: bool
    client: bool


def resources(wire: Wire) -> list[Mapping[str, str | int]]:
    return [_plain(each.resource.attributes) for body in wire.bodies for each in _request(body).resource_spans]


def traces(wire: Wire) -> list[list[Notified]]:
    """Every trace that was sent, its root first; checks that the rest are the root's children."""
    spans: dict[bytes, list[Span]] = {}
    for body in wire.bodies:
        for resource in _request(body).resource_spans:
            for span in resource.scope_spans[0].spans:
                spans.setdefault(span.trace_id, []).append(span)
    told = []
    for trace in spans.values():
        (root,) = (span for span in trace if not span.parent_span_id)
        rest = [span for span in trace if span is not root]
        assert {span.parent_span_id for span in rest} <= {root.span_id}
        told.append([_told(span, root.start_time_unix_nano) for span in (root, *rest)])
    return told


def _request(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return request


def _plain(attributes: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


def _told(span: Span, began: int) -> Notified:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return Notified(
        span.name,
        round((start - began) / 1e9, 3),
        round((end - start) / 1e9, 3),
        _plain(span.attributes),
        span.status.code == Status.STATUS_CODE_ERROR,
        span.kind == Span.SPAN_KIND_CLIENT,
    )


def kept(wire: Wire) -> list[str]:
    """Why each trace that was sent was kept."""
    return [str(trace[0].attributes["datarobot.sweep.kept"]) for trace in traces(wire)]


def swept(
    simulator: Simulator, until: float = 0.1, *, does: Callable[[Stage], None] = lambda _: None, **stage: Any
) -> Wire:
    """What is sent of the sweeps of a simulated fleet until a moment."""
    wire = Wire()

    async def on(stage: Stage) -> None:
        own = SelfTraces(wire, stage.report, instance="here:1", wall=lambda: stage.wall, steady=lambda: stage.now)
        stage.monitor.traced = own.account("acme", ENDPOINT)
        does(stage)
        await stage.run(until)
        own.close()

    with simulator:
        played(on, simulator, **stage)
    return wire


class Clocked:
    """Sweeps of given lengths, of an account of its own, without an API."""

    def __init__(self, wire: Wire) -> None:
        self.report, self._now = Report(START), 0.0
        self.own = SelfTraces(
            wire, self.report, instance="here:1", wall=lambda: START + self._now, steady=lambda: self._now
        )
        self.traced: Callable[[], AbstractContextManager[SweepTrace]] = self.own.account("acme", ENDPOINT)

    def sweep(self, seconds: float = 1.0, parts: int = 0, **facts: str) -> None:
        with self.traced() as trace:
            for _ in range(parts):
                with part("step"):
                    pass
            for name, value in facts.items():
                setattr(trace, name, value)
            self._now += seconds

    def count(self, name: str, **labels: str) -> float | None:
        return self.report.registry.get_sample_value(f"datarobot_exporter_{name}_total", labels)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def sweeps(wire: Wire) -> Iterator[Clocked]:
    made = Clocked(wire)
    yield made
    made.own.close()


# -- what a trace tells


def test_a_sweep_is_one_trace_of_its_requests_and_of_what_was_done_with_the_answers() -> None:
    page: dict[str, str | int] = {
        "http.request.method": "GET", "url.template": "/workloads", "server.address": "dr.test",
        "http.response.status_code": 200,
    }  # fmt: skip
    (trace,) = traces(swept(simulated(250), latency=0.25))
    assert trace == [
        Notified("sweep", 0.0, 0.75, {
            "datarobot.account": "acme", "datarobot.sweep.kept": "heartbeat", "datarobot.sweep.workloads": 250,
        }, error=False, client=False),
        Notified("GET /workloads", 0.0, 0.25, page, error=False, client=True),
        Notified("decode", 0.25, 0.0, {}, error=False, client=False),
        Notified("GET /workloads", 0.25, 0.25, page, error=False, client=True),
        Notified("decode", 0.5, 0.0, {}, error=False, client=False),
        Notified("GET /workloads", 0.5, 0.25, page, error=False, client=True),
        Notified("decode", 0.75, 0.0, {}, error=False, client=False),
        Notified("step", 0.75, 0.0, {}, error=False, client=False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "failure", "attempts"),
    [
        ("unauthorized", "auth", ["401 401"]),
        ("unavailable", "server_error", ["503 503", "503 503 again 1", "503 503 again 2"]),
        ("slash-forbidden", "", ["422 422", "200 None again 1"]),
        ("redirect-elsewhere", "redirect", ["301 301", "301 301 again 1"]),
        ("empty", "decode", ["200 None"]),
    ],
)
def test_each_attempt_has_its_status_and_its_number_and_is_an_error_where_it_brought_nothing(
    odd: str, failure: str, attempts: list[str]
) -> None:
    def does(stage: Stage) -> None:
        stage.simulator.odd = {odd}

    ((root, *rest),) = traces(swept(simulated(1), does=does))
    assert (root.attributes.get("error.type", ""), root.error) == (failure, bool(failure))
    told = []
    for span in rest:
        if span.client:
            of = span.attributes
            again = f" again {of['http.request.resend_count']}" if "http.request.resend_count" in of else ""
            told.append(f"{of['http.response.status_code']} {of.get('error.type')}{again}")
            assert span.error is ("error.type" in of)
    assert told == attempts


def test_a_request_that_is_not_answered_has_no_status_but_a_reason() -> None:
    ((root, attempt, *_),) = traces(swept(simulated(1), latency=40.0))
    assert root.attributes["error.type"] == "timeout"
    assert (attempt.seconds, attempt.error) == (30.0, True)
    assert attempt.attributes == {
        "http.request.method": "GET", "url.template": "/workloads", "server.address": "dr.test",
        "error.type": "timeout",
    }  # fmt: skip


def test_an_answer_that_cannot_be_read_is_an_error_of_its_decoding() -> None:
    def does(stage: Stage) -> None:
        stage.simulator.odd = {"truncated"}

    ((_, _, decode, *_),) = traces(swept(simulated(1), does=does))
    assert (decode.name, decode.error, decode.attributes) == ("decode", True, {"error.type": "NotDecodable"})


def test_what_the_daemon_does_with_a_sweep_is_part_of_it() -> None:
    wire = Wire()

    async def work(scene: Scene) -> None:
        clock = scene.time.clock
        own = SelfTraces(wire, scene.daemon.report, instance="here:1", wall=clock.wall, steady=clock.steady)
        scene.daemon.accounts.monitors["eu"].traced = own.account("eu", scene.simulator.url)
        await scene.daemon.sweep("eu")
        await scene.daemon.publish()  # the timer's: part of no sweep
        own.close()

    with Simulator(workloads=3) as simulator:
        play(simulator, work)
    (trace,) = traces(wire)
    assert [span.name for span in trace] == ["sweep", "GET /workloads", "decode", "step", "commit", "render"]


def test_the_resource_is_this_exporter_and_what_the_settings_add(wire: Wire) -> None:
    added = {"deployment.environment.name": "test"}
    own = SelfTraces(wire, Report(START), instance="here:10142", attributes={"service.name": "other", **added})
    with own.account("acme", ENDPOINT)():
        pass
    own.close()
    (resource,) = resources(wire)
    assert {name: value for name, value in resource.items() if not name.startswith("telemetry.sdk.")} == {
        "service.name": "workload-exporter", "service.version": __version__, "service.instance.id": "here:10142",
        **added,
    }  # fmt: skip


def test_the_environment_may_name_this_exporter(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "exporter-eu")
    own = SelfTraces(wire, Report(START), instance="here:10142", attributes={"service.name": "other"})
    with own.account("acme", ENDPOINT)():
        pass
    own.close()
    (resource,) = resources(wire)
    assert resource["service.name"] == "exporter-eu"


# -- what it must not tell


@pytest.mark.long
def test_no_secret_no_query_and_no_id_leaves_in_a_trace() -> None:
    """Every fifth sweep is refused with words, and workloads vanish and are asked about by their ids."""
    state: set[str] = set()

    def does(stage: Stage) -> None:
        stage.simulator.token = "canary-token"
        answer = stage.simulator.respond

        def noisy(method: str, path: str, query: str, headers: dict[str, str]) -> Any:
            state.update(path.split("/"), [query])
            told = answer(method, path, query, headers)
            words = f'{{"detail": "{path}?{query} {headers["authorization"]} canary-words"}}'
            return told._replace(status=500, body=words.encode()) if len(stage.sent) % 5 == 0 else told

        stage.simulator.respond = noisy  # type: ignore[method-assign]

    wire = swept(simulated(len(STORIES)), 1500.0, does=does)
    assert len(traces(wire)) > 10
    assert any(span.name == "GET /workloads/{id}" for trace in traces(wire) for span in trace)
    sent = b"".join(wire.bodies)
    for secret in ("canary", "Bearer", "limit=", "offset=", "orderBy", "serviceStats", "api/v2", "healthy"):
        assert secret.encode() not in sent, secret
    ids = {each for each in state if len(each) == 24}
    assert ids
    assert not [i for i in ids if i.encode() in sent]


def test_requests_of_the_detail_lane_are_part_of_no_sweep() -> None:
    stages: list[Stage] = []
    wire = swept(simulated(3), 600.0, does=stages.append, policy=Policy())
    assert [sent for sent in stages[0].sent if sent.path.endswith("/events")]
    told = {span.attributes["url.template"] for trace in traces(wire) for span in trace if span.client}
    assert told <= {"/workloads", "/workloads/{id}"}


def test_datarobot_gets_no_trace_headers(sweeps: Clocked) -> None:
    async def work(client: Client) -> None:
        with sweeps.traced():
            await sweep(client)

    world = World(always(200, json={"data": []}))
    world.run(work)
    assert [set(request.headers) for _, request in world.sent] == [
        {"host", "accept", "accept-encoding", "connection", "user-agent", "authorization"}
    ]


# -- which sweeps are told


@pytest.mark.parametrize(
    ("seconds", "reasons"),
    [
        ([1.0] * 10 + [1.9], ["heartbeat"]),
        ([1.0] * 10 + [2.1], ["heartbeat", "slow"]),
        ([1.0] * 4 + [9.0], ["heartbeat"]),
        ([1.0] * 10 + [5.0] * 30, ["heartbeat"] + ["slow"] * 10),
        ([1.0] * 201, ["heartbeat"] * 3),
    ],
    ids=["nearly twice", "more than twice", "too few to say", "the new usual", "one in a hundred"],
)
def test_a_sweep_is_told_when_it_took_twice_the_usual_and_once_in_a_hundred(
    wire: Wire, sweeps: Clocked, seconds: list[float], reasons: list[str]
) -> None:
    for each in seconds:
        sweeps.sweep(each)
    sweeps.own.close()
    assert kept(wire) == reasons


def test_a_sweep_is_told_when_it_failed_or_somebody_says_so(wire: Wire, sweeps: Clocked) -> None:
    sweeps.sweep()
    sweeps.sweep()
    sweeps.sweep(failure="auth")
    sweeps.sweep(failure="auth", kept="episode")
    with sweeps.traced() as trace:
        trace.keep("episode")
    sweeps.own.close()
    assert kept(wire) == ["heartbeat", "failed", "failed", "episode"]
    assert sweeps.count("self_traces", account="acme", reason="failed") == 2
    assert sweeps.count("self_traces", account="acme", reason="episode") == 1
    assert sweeps.count("self_traces", account="acme", reason="slow") == 0


def test_a_sweep_that_breaks_is_told_by_the_type_of_what_broke_it(wire: Wire, sweeps: Clocked) -> None:
    with pytest.raises(ZeroDivisionError), sweeps.traced(), part("step"):
        print(1 / 0)
    sweeps.own.close()
    ((root, step),) = traces(wire)
    assert root.attributes["error.type"] == step.attributes["error.type"] == "ZeroDivisionError"


def test_where_no_sweep_is_traced_there_is_nothing_of_the_sdk() -> None:
    async def on(stage: Stage) -> None:
        await stage.run(60.0)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]

    with simulated(3) as simulator:
        played(on, simulator)


# -- what is lost


def _refuses() -> object:
    raise ConnectionError("no collector")


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (lambda: True, 0),
        (lambda: SimpleNamespace(accepted=True), 0),
        (lambda: SimpleNamespace(accepted=False), 4),
        (lambda: None, 4),
        (_refuses, 4),
    ],
    ids=["true", "accepted", "not accepted", "nothing", "raises"],
)
def test_what_the_transport_does_not_take_is_lost_and_counted(answer: Callable[[], object], lost: int) -> None:
    sweeps = Clocked(Wire(answer))
    sweeps.sweep(parts=3)
    sweeps.own.close()
    assert sweeps.count("self_trace_spans_lost") == lost


def test_what_does_not_fit_into_the_queue_is_lost_as_whole_traces_and_counted() -> None:
    answers = threading.Event()
    wire = Wire(lambda: answers.wait(30.0))
    sweeps = Clocked(wire)
    for _ in range(50):
        sweeps.sweep(parts=99, failure="auth")
    assert 0 < (sweeps.count("self_trace_spans_lost") or 0) <= 50 * 100 - QUEUE // 100 * 100
    answers.set()
    sweeps.own.close(30.0)
    assert {len(trace) for trace in traces(wire)} == {100}
    assert len(traces(wire)) * 100 + (sweeps.count("self_trace_spans_lost") or 0) == 50 * 100


def test_the_end_waits_no_longer_than_it_is_told_to() -> None:
    answers = threading.Event()
    sweeps = Clocked(Wire(answers.wait))
    sweeps.sweep()
    sweeps.own.close(0.01)
    answers.set()
