"""Traces of the exporter's own sweeps: their spans, which are kept, what is lost."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter import __version__
from exporter.collect.client import Client
from exporter.collect.sweep import sweep
from exporter.fleet.polling import Policy
from exporter.otlp.self_traces import QUEUE, SelfTraces
from exporter.otlp.verdict import Verdict
from exporter.simulator import SimulatedApi, Simulator
from exporter.simulator.stories import STORIES
from exporter.telemetry.report import Report
from exporter.telemetry.sweep_trace import SweepTrace, part
from tests.collect.test_client import World, always
from tests.daemon.test_daemon import Scene, play
from tests.stage import START, Stage, played, simulated

ENDPOINT = "https://dr.test:8443/api/v2"


class Wire:
    """A transport that records the bodies; `accepts` decides, and may raise."""

    def __init__(self, accepts: Callable[[], bool] = lambda: True) -> None:
        self.bodies: list[bytes] = []
        self._accepts = accepts

    def send(self, body: bytes) -> Verdict:
        self.bodies.append(body)
        return Verdict("accepted" if self._accepts() else "retry", "summary")


class SentSpan(NamedTuple):
    """A span as it was sent; `start` in seconds since the start of its trace, `seconds` is its duration."""

    name: str
    start: float
    seconds: float
    attributes: Mapping[str, str | int]
    error: bool
    client: bool


def resources(wire: Wire) -> list[Mapping[str, str | int]]:
    return [_plain(each.resource.attributes) for body in wire.bodies for each in _request(body).resource_spans]


def traces(wire: Wire) -> list[list[SentSpan]]:
    """Every sent trace, its root first; checks that all others are children of the root."""
    spans: dict[bytes, list[Span]] = {}
    for body in wire.bodies:
        for resource in _request(body).resource_spans:
            for span in resource.scope_spans[0].spans:
                spans.setdefault(span.trace_id, []).append(span)
    found = []
    for trace in spans.values():
        (root,) = (span for span in trace if not span.parent_span_id)
        rest = [span for span in trace if span is not root]
        assert {span.parent_span_id for span in rest} <= {root.span_id}
        found.append([_sent(span, root.start_time_unix_nano) for span in (root, *rest)])
    return found


def _request(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return request


def _plain(attributes: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


def _sent(span: Span, began: int) -> SentSpan:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return SentSpan(
        span.name,
        round((start - began) / 1e9, 3),
        round((end - start) / 1e9, 3),
        _plain(span.attributes),
        span.status.code == Status.STATUS_CODE_ERROR,
        span.kind == Span.SPAN_KIND_CLIENT,
    )


def kept(wire: Wire) -> list[str]:
    """The reason for which each sent trace was kept."""
    return [str(trace[0].attributes["datarobot.sweep.kept"]) for trace in traces(wire)]


def swept(
    simulator: SimulatedApi, until: float = 0.1, *, does: Callable[[Stage], None] = lambda _: None, **stage: Any
) -> Wire:
    """The traces of the sweeps of a simulated fleet until a time."""
    wire = Wire()

    async def on(stage: Stage) -> None:
        own = SelfTraces(wire, stage.report, instance="here:1", wall=lambda: stage.wall, steady=lambda: stage.now)
        stage.monitor.traced = own.account("acme", ENDPOINT)
        does(stage)
        await stage.run(until)
        own.close()

    played(on, simulator, **stage)
    return wire


class TimedSweeps:
    """Sweeps of given durations, without an API."""

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
def sweeps(wire: Wire) -> Iterator[TimedSweeps]:
    made = TimedSweeps(wire)
    yield made
    made.own.close()


# -- spans


def test_a_sweep_is_one_trace_of_its_requests_and_their_processing() -> None:
    page: dict[str, str | int] = {
        "http.request.method": "GET", "url.template": "/workloads", "server.address": "dr.test",
        "http.response.status_code": 200,
    }  # fmt: skip
    (trace,) = traces(swept(simulated(250), latency=0.25))
    assert trace == [
        SentSpan("sweep", 0.0, 0.75, {
            "datarobot.account": "acme", "datarobot.sweep.kept": "heartbeat", "datarobot.sweep.workloads": 250,
        }, error=False, client=False),
        SentSpan("GET /workloads", 0.0, 0.25, page, error=False, client=True),
        SentSpan("decode", 0.25, 0.0, {}, error=False, client=False),
        SentSpan("GET /workloads", 0.25, 0.25, page, error=False, client=True),
        SentSpan("decode", 0.5, 0.0, {}, error=False, client=False),
        SentSpan("GET /workloads", 0.5, 0.25, page, error=False, client=True),
        SentSpan("decode", 0.75, 0.0, {}, error=False, client=False),
        SentSpan("step", 0.75, 0.0, {}, error=False, client=False),
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
def test_each_attempt_has_its_status_and_number_and_is_an_error_if_it_failed(
    odd: str, failure: str, attempts: list[str]
) -> None:
    def does(stage: Stage) -> None:
        stage.simulator.odd = {odd}

    ((root, *rest),) = traces(swept(simulated(1), 0.001, does=does))  # one sweep: it lasts longer
    assert (root.attributes.get("error.type", ""), root.error) == (failure, bool(failure))
    found = []
    for span in rest:
        if span.client:
            of = span.attributes
            again = f" again {of['http.request.resend_count']}" if "http.request.resend_count" in of else ""
            found.append(f"{of['http.response.status_code']} {of.get('error.type')}{again}")
            assert span.error is ("error.type" in of)
    assert found == attempts


def test_a_request_without_response_has_a_reason_instead_of_a_status() -> None:
    ((root, attempt, *_),) = traces(swept(simulated(1), latency=40.0))
    assert root.attributes["error.type"] == "timeout"
    assert (attempt.seconds, attempt.error) == (30.0, True)
    assert attempt.attributes == {
        "http.request.method": "GET", "url.template": "/workloads", "server.address": "dr.test",
        "error.type": "timeout",
    }  # fmt: skip


def test_a_malformed_response_is_an_error_of_its_decoding() -> None:
    def does(stage: Stage) -> None:
        stage.simulator.odd = {"truncated"}

    ((_, _, decode, *_),) = traces(swept(simulated(1), does=does))
    assert (decode.name, decode.error, decode.attributes) == ("decode", True, {"error.type": "NotDecodable"})


def test_the_steps_of_the_daemon_after_a_sweep_are_part_of_its_trace() -> None:
    wire = Wire()

    async def work(scene: Scene) -> None:
        clock = scene.time.clock
        own = SelfTraces(wire, scene.daemon.report, instance="here:1", wall=clock.wall, steady=clock.steady)
        scene.daemon.accounts.monitors["eu"].traced = own.account("eu", scene.simulator.url)
        await scene.daemon.sweep("eu")
        await scene.daemon.publish()  # as by the timer: part of no sweep
        own.close()

    with Simulator(workloads=3) as simulator:
        play(simulator, work)
    (trace,) = traces(wire)
    assert [span.name for span in trace] == ["sweep", "GET /workloads", "decode", "step", "commit", "render"]


def test_the_resource_is_this_exporter_with_attributes_of_the_settings(wire: Wire) -> None:
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


# -- secrets


@pytest.mark.long
def test_traces_contain_no_secrets_queries_or_ids() -> None:
    """Every fifth request fails with a message, and workloads vanish and are requested by their ids."""
    parts: set[str] = set()

    def does(stage: Stage) -> None:
        stage.simulator.token = "canary-token"
        answer = stage.simulator.respond

        def noisy(method: str, path: str, query: str, headers: dict[str, str]) -> Any:
            parts.update(path.split("/"), [query])
            response = answer(method, path, query, headers)
            words = f'{{"detail": "{path}?{query} {headers["authorization"]} canary-words"}}'
            return response._replace(status=500, body=words.encode()) if len(stage.sent) % 5 == 0 else response

        stage.simulator.respond = noisy  # type: ignore[method-assign]  # the simulator's own entry

    wire = swept(simulated(len(STORIES)), 1500.0, does=does)
    assert len(traces(wire)) > 10
    assert any(span.name == "GET /workloads/{id}" for trace in traces(wire) for span in trace)
    sent = b"".join(wire.bodies)
    for secret in ("canary", "Bearer", "limit=", "offset=", "orderBy", "serviceStats", "api/v2", "healthy"):
        assert secret.encode() not in sent, secret
    ids = {each for each in parts if len(each) == 24}
    assert ids
    assert not [i for i in ids if i.encode() in sent]


def test_requests_of_the_poller_are_part_of_no_sweep() -> None:
    stages: list[Stage] = []
    wire = swept(simulated(3), 600.0, does=stages.append, policy=Policy())
    assert [sent for sent in stages[0].sent if sent.path.endswith("/events")]
    routes = {span.attributes["url.template"] for trace in traces(wire) for span in trace if span.client}
    assert routes <= {"/workloads", "/workloads/{id}"}


def test_datarobot_gets_no_trace_headers(sweeps: TimedSweeps) -> None:
    async def work(client: Client) -> None:
        with sweeps.traced():
            await sweep(client)

    world = World(always(200, json={"data": []}))
    world.run(work)
    assert [set(request.headers) for _, request in world.sent] == [
        {"host", "accept", "accept-encoding", "user-agent", "authorization"}
    ]


# -- which sweeps are kept


@pytest.mark.parametrize(
    ("seconds", "reasons"),
    [
        ([1.0] * 10 + [1.9], ["heartbeat"]),
        ([1.0] * 10 + [2.1], ["heartbeat", "slow"]),
        ([1.0] * 4 + [9.0], ["heartbeat"]),
        ([1.0] * 10 + [5.0] * 30, ["heartbeat"] + ["slow"] * 10),
        ([1.0] * 201, ["heartbeat"] * 3),
    ],
    ids=["nearly twice", "more than twice", "too few", "the new usual time", "one in a hundred"],
)
def test_slow_sweeps_and_every_hundredth_are_kept(
    wire: Wire, sweeps: TimedSweeps, seconds: list[float], reasons: list[str]
) -> None:
    for each in seconds:
        sweeps.sweep(each)
    sweeps.own.close()
    assert kept(wire) == reasons


def test_failed_sweeps_and_requested_ones_are_kept(wire: Wire, sweeps: TimedSweeps) -> None:
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


def test_an_exception_in_a_sweep_is_recorded_by_its_type(wire: Wire, sweeps: TimedSweeps) -> None:
    with pytest.raises(ZeroDivisionError), sweeps.traced(), part("step"):
        print(1 / 0)
    sweeps.own.close()
    ((root, step),) = traces(wire)
    assert root.attributes["error.type"] == step.attributes["error.type"] == "ZeroDivisionError"


def test_without_traced_sweeps_the_sdk_is_not_started() -> None:
    async def on(stage: Stage) -> None:
        await stage.run(60.0)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]

    simulator = simulated(3)
    played(on, simulator)


# -- lost spans


def _fails() -> bool:
    raise ConnectionError("no collector")


@pytest.mark.parametrize(
    ("accepts", "lost"),
    [(lambda: True, 0), (lambda: False, 4), (_fails, 4)],
    ids=["accepted", "not accepted", "raises"],
)
def test_spans_that_are_not_accepted_are_lost_and_counted(accepts: Callable[[], bool], lost: int) -> None:
    sweeps = TimedSweeps(Wire(accepts))
    sweeps.sweep(parts=3)
    sweeps.own.close()
    assert sweeps.count("self_trace_spans_lost") == lost


def test_beyond_the_queue_whole_traces_are_lost_and_counted() -> None:
    answers = threading.Event()
    wire = Wire(lambda: answers.wait(30.0))
    sweeps = TimedSweeps(wire)
    for _ in range(50):
        sweeps.sweep(parts=99, failure="auth")
    assert 0 < (sweeps.count("self_trace_spans_lost") or 0) <= 50 * 100 - QUEUE // 100 * 100
    answers.set()
    sweeps.own.close(30.0)
    assert {len(trace) for trace in traces(wire)} == {100}
    assert len(traces(wire)) * 100 + (sweeps.count("self_trace_spans_lost") or 0) == 50 * 100


def test_closing_waits_no_longer_than_its_timeout() -> None:
    answers = threading.Event()
    sweeps = TimedSweeps(Wire(answers.wait))
    sweeps.sweep()
    sweeps.own.close(0.01)
    answers.set()
