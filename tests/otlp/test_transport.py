"""Traces over the wire: what a trace is as bytes, and what each answer of a collector means."""

import asyncio
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
import rotel
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from exporter import __version__
from exporter.otlp.transport import EMPTY, REASONS, Transport, Verdict, encode, transport
from exporter.redaction import Secrets, Source
from exporter.settings.problems import BadSettings
from exporter.settings.traces import TraceSettings
from exporter.tracing.trace import Link, Span, SpanEvent, Trace
from tests.e2e.servers import free_port
from tests.receivers import DRIP, HALF, HANG, Answer, GrpcReceiver, HttpReceiver, partly
from tests.web.test_web_config import certificate

SECOND = 10**9
ROOT = Span(
    b"r" * 8,
    b"",
    "workload start",
    1 * SECOND,
    9 * SECOND,
    {"b": True, "i": 3, "f": 0.5, "s": "ü", "t": ("x", "y"), "huge": 2**63},
    events=(SpanEvent("datarobot.workload.event", 2 * SECOND, {"type": "started"}),),
    links=(Link(b"p" * 16, b"q" * 8, {"datarobot.link.type": "previous"}),),
    error="ImagePullBackOff",
)
CHILD = Span(b"c" * 8, b"r" * 8, "provisioning", 1 * SECOND, 2 * SECOND)
TRACE = Trace(b"t" * 16, {"service.name": "workload-1"}, (ROOT, CHILD))


# -- bytes


def test_a_trace_is_one_request_with_all_that_it_says() -> None:
    told = MessageToDict(ExportTraceServiceRequest.FromString(encode(TRACE)), preserving_proto_field_name=True)
    (resource,) = told["resource_spans"]
    assert resource["resource"] == {"attributes": [{"key": "service.name", "value": {"string_value": "workload-1"}}]}
    (scope,) = resource["scope_spans"]
    assert scope["scope"] == {"name": "datarobot_exporter.lifecycle", "version": __version__}
    root, child = scope["spans"]
    assert root == {
        "trace_id": "dHR0dHR0dHR0dHR0dHR0dA==",
        "span_id": "cnJycnJycnI=",
        "flags": 0x101,
        "name": "workload start",
        "kind": "SPAN_KIND_INTERNAL",
        "start_time_unix_nano": "1000000000",
        "end_time_unix_nano": "9000000000",
        "attributes": [
            {"key": "b", "value": {"bool_value": True}},
            {"key": "f", "value": {"double_value": 0.5}},
            {"key": "huge", "value": {"string_value": "9223372036854775808"}},
            {"key": "i", "value": {"int_value": "3"}},
            {"key": "s", "value": {"string_value": "ü"}},
            {"key": "t", "value": {"array_value": {"values": [{"string_value": "x"}, {"string_value": "y"}]}}},
        ],
        "events": [
            {
                "name": "datarobot.workload.event",
                "time_unix_nano": "2000000000",
                "attributes": [{"key": "type", "value": {"string_value": "started"}}],
            }
        ],
        "links": [
            {
                "trace_id": "cHBwcHBwcHBwcHBwcHBwcA==",
                "span_id": "cXFxcXFxcXE=",
                "attributes": [{"key": "datarobot.link.type", "value": {"string_value": "previous"}}],
            }
        ],
        "status": {"code": "STATUS_CODE_ERROR", "message": "ImagePullBackOff"},
    }
    assert child["parent_span_id"] == root["span_id"]
    assert "status" not in child


def test_the_same_trace_is_the_same_bytes_in_whatever_order_its_attributes_were_told() -> None:
    turned = dict(reversed(list(ROOT.attributes.items())))
    assert encode(TRACE._replace(spans=(ROOT._replace(attributes=turned), CHILD))) == encode(TRACE)


def test_bodies_one_after_another_are_one_request_and_none_is_an_empty_one() -> None:
    other = TRACE._replace(id=b"o" * 16)
    both = ExportTraceServiceRequest.FromString(encode(TRACE) + encode(other))
    assert [each.scope_spans[0].spans[0].trace_id for each in both.resource_spans] == [TRACE.id, other.id]
    assert ExportTraceServiceRequest.FromString(EMPTY) == ExportTraceServiceRequest()


# -- transports


def way(url: str, **settings: Any) -> Transport:
    return transport(TraceSettings.model_validate({"endpoint": url, "timeout": 5.0} | settings))


def sent(receiver: HttpReceiver | GrpcReceiver, body: bytes = b"", **settings: Any) -> Verdict:
    protocol = "grpc" if isinstance(receiver, GrpcReceiver) else "http/protobuf"
    with receiver:
        return way(receiver.url, **({"protocol": protocol} | settings)).send(body)


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("make", [HttpReceiver, GrpcReceiver])
def test_the_bytes_arrive_as_they_are_with_the_headers_of_the_settings(make: Any, compression: str) -> None:
    receiver = make()
    verdict = sent(receiver, encode(TRACE), compression=compression, headers={"X-Api-Key": "s3cret"})
    assert (verdict.fate, verdict.rejected, verdict.reason) == ("accepted", 0, "")
    assert verdict.words.endswith(": accepted")
    (received,) = receiver.received
    assert received.body == encode(TRACE)
    assert received.headers["x-api-key"] == "s3cret"
    assert f"workload-exporter/{__version__}" in received.headers["user-agent"]
    assert "s3cret" not in verdict.words


@pytest.mark.parametrize(("settings", "path"), [({}, "/v1/traces"), ({"path": ""}, "/"), ({"path": "/otlp"}, "/otlp")])
def test_the_path_is_added_to_the_endpoint(settings: dict[str, Any], path: str) -> None:
    receiver = HttpReceiver()
    sent(receiver, **settings)
    (received,) = receiver.received
    assert received.headers[""] == path
    assert received.headers["content-type"] == "application/x-protobuf"


Code = grpc.StatusCode
STATUS = bytes([8, 3, 18, 4]) + b"odd!"  # google.rpc.Status: code 3, message "odd!"
HTTP = [
    (Answer(200), "accepted", "", "accepted"),
    (Answer(202, b"thanks"), "accepted", "", "accepted"),
    (Answer(200, b"{}", {"content-encoding": "gzip"}), "accepted", "", "accepted"),
    (Answer(200, partly(0, "a warning")), "accepted", "", "all accepted: a warning"),
    (Answer(200, b"{}", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (Answer(200, b"[", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (Answer(200, b"\xff", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (
        Answer(200, b"<h1>Log in</h1>", {"content-type": "Text/HTML; charset=utf-8"}),
        "refused",
        "refused",
        "200, but with a page for people: Log in; the traces are kept",
    ),
    (Answer(302, b"", {"location": "https://u:p@c.test/v1?k=s"}), "refused", "redirect", "to https://c.test/v1, which"),
    (Answer(307), "refused", "redirect", "a redirect to nowhere, which is not followed"),
    (Answer(400, b'{"message": "bad span"}'), "bad", "bad_request", "400: bad span; smaller batches"),
    (Answer(400, STATUS, {"content-type": "application/x-protobuf"}), "bad", "bad_request", "400: odd!;"),
    (Answer(400, b"\xff", {"content-type": "application/x-protobuf"}), "bad", "bad_request", "400: (no words);"),
    (
        Answer(401, b"who?"),
        "refused",
        "auth",
        "401: who?; the traces are kept and sent again every five minutes; check",
    ),
    (Answer(403), "refused", "forbidden", "403"),
    (Answer(404), "refused", "not_found", "check traces.endpoint and traces.path"),
    (Answer(405), "refused", "refused", "405"),
    (Answer(413), "bad", "too_large", "413"),
    (Answer(422), "bad", "bad_request", "422"),
    (Answer(429), "again", "throttled", "429"),
    (Answer(500, b"x" * 10**6), "again", "server_error", "500: xxx"),
    (Answer(501), "again", "server_error", "501"),
    (Answer(502), "again", "server_error", "502"),
    (Answer(503), "again", "server_error", "503: (no words); the traces are kept and sent again"),
    (HALF, "again", "connect", "failed: no connection, or it was cut"),
    (HALF._replace(status=400), "again", "connect", "failed: no connection, or it was cut"),
]


@pytest.mark.parametrize(("answer", "fate", "reason", "words"), HTTP)
def test_each_answer_over_http_has_its_verdict(answer: Answer, fate: str, reason: str, words: str) -> None:
    receiver = HttpReceiver(answer)
    verdict = sent(receiver)
    assert (verdict.fate, verdict.reason, verdict.after) == (fate, reason, None)
    assert words in verdict.words
    assert verdict.words.startswith(f"POST {receiver.url}/v1/traces")
    assert reason in ("", *REASONS)
    assert len(receiver.received) == 1


JSON = b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}, "more": 1}'


@pytest.mark.parametrize(
    "answer", [Answer(200, partly(3, "too old")), Answer(200, JSON, {"content-type": "application/json"})]
)
def test_spans_that_were_rejected_are_counted_and_the_words_kept(answer: Answer) -> None:
    verdict = sent(HttpReceiver(answer))
    assert (verdict.fate, verdict.rejected) == ("accepted", 3)
    assert "3 spans were rejected and are lost: too old" in verdict.words


OWN_METRICS, OTHER = "0wn/Key+of=traces", "t0ken-of-an-account"
ECHO = f"{OWN_METRICS} {OTHER}"
ESCAPED = ECHO.replace("/", "\\/").replace("=", "\\u003d")
PROTOBUF, HTML, JSON_BODY = (
    {"content-type": f"{kind}"} for kind in ("application/x-protobuf", "text/html", "application/json")
)


@pytest.mark.parametrize(
    "receiver",
    [
        lambda: HttpReceiver(Answer(401, f'{{"message": "bad key {ESCAPED}"}}'.encode())),
        lambda: HttpReceiver(Answer(503, f"<pre>x-api-key: {ECHO.replace('/', '&#x2F;')}</pre>".encode())),
        lambda: HttpReceiver(Answer(200, f"<pre>x-api-key: {ECHO}</pre>".encode(), HTML)),
        lambda: HttpReceiver(Answer(302, b"", {"location": f"https://login.test/{quote(ECHO, safe='')}/x"})),
        lambda: HttpReceiver(Answer(400, bytes([18, len(ECHO)]) + ECHO.encode(), PROTOBUF)),
        lambda: HttpReceiver(Answer(200, partly(1, ECHO))),
        lambda: HttpReceiver(Answer(200, f'{{"partialSuccess": {{"errorMessage": "{ESCAPED}"}}}}'.encode(), JSON_BODY)),
        lambda: HttpReceiver(Answer(500, b"x" * 190 + ECHO.encode())),
        lambda: GrpcReceiver((Code.UNAUTHENTICATED, f"bad key {ECHO}", ())),
        lambda: GrpcReceiver((Code.UNAVAILABLE, f"down: {ECHO}", ())),
        lambda: GrpcReceiver(partly(0, ECHO)),
    ],
)
def test_no_verdict_shows_a_secret_though_the_collector_repeats_them(receiver: Any) -> None:
    secrets = Secrets([Source(lambda: OTHER)])
    with receiver() as collector:
        protocol = "grpc" if isinstance(collector, GrpcReceiver) else "http/protobuf"
        told = {"endpoint": collector.url, "protocol": protocol, "timeout": 5.0, "headers": {"x-api-key": OWN_METRICS}}
        words = transport(TraceSettings.model_validate(told), secrets).send(EMPTY).words
    assert "***" in words
    assert not [each for each in (OWN_METRICS[:8], OTHER, quote(OWN_METRICS, safe=""), ESCAPED) if each in words]


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    with HttpReceiver() as receiver:
        words = way(receiver.url, headers={"x-team": " production"}).send(EMPTY).words
    assert (": Illegal header value b'***'" in words, "production" in words) == (True, False), words


@pytest.mark.parametrize(("status", "header", "after"), [(429, "30", 30.0), (503, "7", 7.0), (503, "soon", None)])
def test_the_time_to_wait_is_taken_from_the_answer(status: int, header: str, after: float | None) -> None:
    assert sent(HttpReceiver(Answer(status, b"", {"retry-after": header}))).after == after


@pytest.mark.parametrize("answer", [HANG, DRIP])
def test_a_server_that_hangs_or_drips_costs_the_timeout_once(answer: Answer) -> None:
    began = time.monotonic()
    verdict = sent(HttpReceiver(answer), timeout=0.3)
    assert (verdict.fate, verdict.reason) == ("again", "timeout")
    assert "was not answered within 0.3 s" in verdict.words
    assert 0.3 <= time.monotonic() - began < 10


@pytest.mark.parametrize(("make", "hang"), [(HttpReceiver, HANG), (GrpcReceiver, None)])
def test_a_request_under_way_ends_when_the_transport_is_closed(make: Any, hang: Any) -> None:
    protocol = "grpc" if make is GrpcReceiver else "http/protobuf"
    verdicts: list[Verdict] = []
    with make(hang) as receiver:
        sending = way(receiver.url, protocol=protocol, timeout=60.0)
        thread = threading.Thread(target=lambda: verdicts.append(sending.send(EMPTY)))
        thread.start()
        deadline = time.monotonic() + 30
        while not receiver.received and time.monotonic() < deadline:
            time.sleep(0.005)  # the other thread makes the progress
        sending.close()
        thread.join(10)
    assert [verdict.fate for verdict in verdicts] == ["again"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (lambda there: f"http://127.0.0.1:{free_port()}", "connect"),
        (lambda there: "http://nowhere.invalid:4318", "dns"),
        (lambda there: there.replace("http", "https"), "tls"),
    ],
)
def test_a_collector_that_cannot_be_reached_is_tried_again_and_told_by_its_reason(
    url: Any, reason: str, protocol: str
) -> None:
    with HttpReceiver() as receiver:
        verdict = way(url(receiver.url), protocol=protocol).send(EMPTY)
    assert (verdict.fate, verdict.reason) == ("again", reason), verdict.words
    assert "the traces are kept and sent again" in verdict.words


def test_the_port_of_the_other_protocol_is_told_plainly() -> None:
    with GrpcReceiver() as receiver:
        verdict = way(receiver.url).send(EMPTY)
    assert (verdict.fate, "set traces.protocol: grpc" in verdict.words) == ("again", True), verdict.words
    with HttpReceiver() as http:
        verdict = way(http.url, protocol="grpc").send(EMPTY)
    assert (verdict.fate, "set traces.protocol: http/protobuf" in verdict.words) == ("again", True), verdict.words


GRPC = [
    (Code.UNAVAILABLE, "down", "again", "connect"),
    (Code.RESOURCE_EXHAUSTED, "slow down", "again", "throttled"),
    (Code.RESOURCE_EXHAUSTED, "received message larger than max (9 vs. 4)", "bad", "too_large"),
    (Code.DEADLINE_EXCEEDED, "late", "again", "timeout"),
    (Code.ABORTED, "", "again", "server_error"),
    (Code.CANCELLED, "", "again", "server_error"),
    (Code.OUT_OF_RANGE, "", "again", "server_error"),
    (Code.DATA_LOSS, "", "again", "server_error"),
    (Code.INTERNAL, "", "again", "server_error"),
    (Code.UNKNOWN, "", "again", "server_error"),
    (Code.INVALID_ARGUMENT, "bad span", "bad", "bad_request"),
    (Code.UNAUTHENTICATED, "who?", "refused", "auth"),
    (Code.PERMISSION_DENIED, "", "refused", "forbidden"),
    (Code.UNIMPLEMENTED, "", "refused", "not_found"),
    (Code.FAILED_PRECONDITION, "", "refused", "refused"),
]


@pytest.mark.parametrize(("code", "said", "fate", "reason"), GRPC)
def test_each_code_of_grpc_has_its_verdict(code: grpc.StatusCode, said: str, fate: str, reason: str) -> None:
    receiver = GrpcReceiver((code, said, ()))
    verdict = sent(receiver)
    assert (verdict.fate, verdict.reason, verdict.after) == (fate, reason, None)
    assert f"Export to {receiver.url} answered {code.name}: " in verdict.words
    assert (said or "(no words)") in verdict.words
    assert reason in REASONS


def test_over_grpc_a_partial_success_a_wait_and_a_hang_mean_the_same() -> None:
    assert sent(GrpcReceiver(partly(2, "too old"))).rejected == 2
    # google.rpc.Status with a google.rpc.RetryInfo of 7 seconds
    kind = b"type.googleapis.com/google.rpc.RetryInfo"
    info = bytes([10, len(kind)]) + kind + bytes([18, 4, 10, 2, 8, 7])
    status = bytes([8, 8, 26, len(info)]) + info
    told = (Code.RESOURCE_EXHAUSTED, "slow down", [("grpc-status-details-bin", status)])
    assert sent(GrpcReceiver(told)).after == 7.0
    assert sent(GrpcReceiver((Code.UNAVAILABLE, "x", [("grpc-status-details-bin", b"\xff")]))).after is None
    verdict = sent(GrpcReceiver(None), timeout=0.3)
    assert (verdict.fate, verdict.reason) == ("again", "timeout")


@pytest.mark.parametrize(("make", "protocol"), [(HttpReceiver, "http/protobuf"), (GrpcReceiver, "grpc")])
def test_both_sides_show_their_certificates(tmp_path: Path, make: Any, protocol: str) -> None:
    certificate(tmp_path)
    certificate(tmp_path, "client")
    ours = {"client_certificate": str(tmp_path / "client.pem"), "client_key": str(tmp_path / "client.key")}
    trusted = {"certificate": str(tmp_path / "server.pem")}
    with make(tls=tmp_path) as receiver:
        verdict = way(receiver.url, protocol=protocol, **ours, **trusted).send(encode(TRACE))
        assert verdict.fate == "accepted", verdict.words
        for less in (ours, trusted):
            verdict = way(receiver.url, protocol=protocol, **less).send(encode(TRACE))
            assert verdict.fate == "again", verdict.words
        assert [each.body for each in receiver.received] == [encode(TRACE)]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_certificate_that_cannot_be_used_is_a_problem_of_the_settings(tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    for name in ("certificate", "client_certificate"):
        settings = {"endpoint": "https://c.test", "protocol": protocol, name: str(file)}
        with pytest.raises(BadSettings, match=f"traces.{name}: cannot be used: .*; give PEM files"):
            transport(TraceSettings.model_validate(settings))


# -- receivers that nobody here wrote


def has_id(wanted: bytes, span: Any) -> bool:
    return bool(span.span_id == wanted)


def test_a_decoder_over_http_sees_every_span_with_what_it_says() -> None:
    async def state() -> list[Any]:
        port = free_port()
        plain = way(f"http://127.0.0.1:{port}", compression="none")  # it does not unpack
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as tap:
            waits = [tap.await_trace(partial(has_id, span.id), 10) for span in TRACE.spans]
            *spans, verdict = await asyncio.gather(*waits, asyncio.to_thread(plain.send, encode(TRACE)))
        assert isinstance(verdict, Verdict)
        assert verdict.fate == "accepted", verdict.words
        return spans

    root, child = asyncio.run(state())
    assert (root.trace_id, root.span_id, root.name, root.flags) == (TRACE.id, ROOT.id, ROOT.name, 0x101)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (ROOT.start, ROOT.end)
    assert {each.key for each in root.attributes} == set(ROOT.attributes)
    assert [event.name for event in root.events] == ["datarobot.workload.event"]
    assert [link.trace_id for link in root.links] == [b"p" * 16]
    assert (root.status.code, root.status.message) == (2, "ImagePullBackOff")
    assert (child.parent_span_id, child.status.code) == (ROOT.id, 0)


def test_a_collector_over_grpc_takes_several_traces_in_one_request() -> None:
    address = f"127.0.0.1:{free_port()}"
    child = subprocess.Popen(
        [
            *(Path(rotel.__file__).with_name("rotel-agent"), "start", "--exporter", "blackhole"),
            *("--otlp-grpc-endpoint", address, "--otlp-http-endpoint", f"127.0.0.1:{free_port()}"),
            *("--debug-log", "traces", "--debug-log-verbosity", "detailed"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        sending = way(f"http://{address}", protocol="grpc")
        deadline = time.monotonic() + 20
        while sending.send(EMPTY).fate != "accepted" and time.monotonic() < deadline:
            time.sleep(0.05)  # the process makes the progress
        verdict = sending.send(encode(TRACE) + encode(TRACE._replace(id=b"o" * 16)))
        assert verdict.fate == "accepted", verdict.words
        child.terminate()
        log, _ = child.communicate(timeout=20)
    for trace in (TRACE.id, b"o" * 16):
        assert log.count(trace.hex()) >= 2, log
    assert "workload-1" in log
    assert "ImagePullBackOff" in log
