"""Requests to a collector, and the verdict for each response."""

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
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from exporter import __version__
from exporter.otlp.encoding import EMPTY, encode
from exporter.otlp.transport import Transport, transport
from exporter.otlp.verdict import REASONS, Verdict
from exporter.redaction import Secrets, Source
from exporter.settings.problems import BadSettings
from exporter.settings.traces import TraceSettings
from tests.e2e.servers import free_port
from tests.otlp.test_encoding import ROOT, TRACE
from tests.receivers import DRIP, HALF, HANG, Answer, GrpcReceiver, HttpReceiver, partly
from tests.web.test_web_config import certificate


def transport_to(url: str, **settings: Any) -> Transport:
    return transport(TraceSettings.model_validate({"endpoint": url, "timeout": 5.0} | settings))


def sent(receiver: HttpReceiver | GrpcReceiver, body: bytes = b"", **settings: Any) -> Verdict:
    protocol = "grpc" if isinstance(receiver, GrpcReceiver) else "http/protobuf"
    with receiver:
        return transport_to(receiver.url, **({"protocol": protocol} | settings)).send(body)


def test_without_grpcio_the_error_names_the_setting_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "grpc", None)
    with pytest.raises(BadSettings, match=r"^traces.protocol: .*pip install 'datarobot-workload-exporter\[grpc\]'$"):
        transport_to("http://collector:4317", protocol="grpc")
    transport_to("http://collector:4318", protocol="http/protobuf").close()


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("make", [HttpReceiver, GrpcReceiver])
def test_the_body_arrives_unchanged_with_the_configured_headers(make: Any, compression: str) -> None:
    receiver = make()
    verdict = sent(receiver, encode(TRACE), compression=compression, headers={"X-Api-Key": "s3cret"})
    assert (verdict.result, verdict.rejected, verdict.reason) == ("accepted", 0, "")
    assert verdict.message.endswith(": accepted")
    (received,) = receiver.received
    assert received.body == encode(TRACE)
    assert received.headers["x-api-key"] == "s3cret"
    assert f"workload-exporter/{__version__}" in received.headers["user-agent"]
    assert "s3cret" not in verdict.message


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
    (Answer(200, partly(0, "a warning")), "accepted", "", "accepted with a warning: a warning"),
    (Answer(200, b"{}", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (Answer(200, b"[", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (Answer(200, b"\xff", {"content-type": "application/json"}), "accepted", "", "accepted"),
    (
        Answer(200, b"<h1>Log in</h1>", {"content-type": "Text/HTML; charset=utf-8"}),
        "refused",
        "refused",
        "200 with an HTML page: Log in; traces are kept",
    ),
    (
        Answer(302, b"", {"location": "https://u:p@c.test/v1?k=s"}),
        "refused",
        "redirect",
        "redirects to https://c.test/v1 are not followed",
    ),
    (Answer(307), "refused", "redirect", "redirects to an unknown location are not followed"),
    (Answer(400, b'{"message": "bad span"}'), "invalid", "bad_request", "400: bad span; smaller batches"),
    (Answer(400, STATUS, {"content-type": "application/x-protobuf"}), "invalid", "bad_request", "400: odd!;"),
    (Answer(400, b"\xff", {"content-type": "application/x-protobuf"}), "invalid", "bad_request", "400: (no message);"),
    (
        Answer(401, b"who?"),
        "refused",
        "auth",
        "401: who?; traces are kept and sent again every five minutes; check",
    ),
    (Answer(403), "refused", "forbidden", "403"),
    (Answer(404), "refused", "not_found", "check traces.endpoint and traces.path"),
    (Answer(405), "refused", "refused", "405"),
    (Answer(413), "invalid", "too_large", "413"),
    (Answer(422), "invalid", "bad_request", "422"),
    (Answer(429), "retry", "throttled", "429"),
    (Answer(500, b"x" * 10**6), "retry", "server_error", "500: xxx"),
    (Answer(501), "retry", "server_error", "501"),
    (Answer(502), "retry", "server_error", "502"),
    (Answer(503), "retry", "server_error", "503: (no message); traces are kept and sent again"),
    (HALF, "retry", "connect", "failed: connection failed or closed"),
    (HALF._replace(status=400), "retry", "connect", "failed: connection failed or closed"),
]


@pytest.mark.parametrize(("answer", "result", "reason", "text"), HTTP)
def test_each_http_response_has_its_verdict(answer: Answer, result: str, reason: str, text: str) -> None:
    receiver = HttpReceiver(answer)
    verdict = sent(receiver)
    assert (verdict.result, verdict.reason, verdict.after) == (result, reason, None)
    assert text in verdict.message
    assert verdict.message.startswith(f"POST {receiver.url}/v1/traces")
    assert reason in ("", *REASONS)
    assert len(receiver.received) == 1


JSON = b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}, "more": 1}'


@pytest.mark.parametrize(
    "answer", [Answer(200, partly(3, "too old")), Answer(200, JSON, {"content-type": "application/json"})]
)
def test_rejected_spans_are_counted_with_the_message(answer: Answer) -> None:
    verdict = sent(HttpReceiver(answer))
    assert (verdict.result, verdict.rejected) == ("accepted", 3)
    assert "3 spans rejected: too old" in verdict.message


OWN, OTHER = "0wn/Key+of=traces", "t0ken-of-an-account"
ECHO = f"{OWN} {OTHER}"
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
def test_no_verdict_contains_a_secret_that_the_collector_repeats(receiver: Any) -> None:
    secrets = Secrets([Source(lambda: OTHER)])
    with receiver() as collector:
        protocol = "grpc" if isinstance(collector, GrpcReceiver) else "http/protobuf"
        settings = {"endpoint": collector.url, "protocol": protocol, "timeout": 5.0, "headers": {"x-api-key": OWN}}
        message = transport(TraceSettings.model_validate(settings), secrets).send(EMPTY).message
    assert "***" in message
    assert not [each for each in (OWN[:8], OTHER, quote(OWN, safe=""), ESCAPED) if each in message]


def test_an_invalid_header_is_not_shown() -> None:
    with HttpReceiver() as receiver:
        message = transport_to(receiver.url, headers={"x-team": " production"}).send(EMPTY).message
    assert (": Illegal header value b'***'" in message, "production" in message) == (True, False), message


@pytest.mark.parametrize(("status", "header", "after"), [(429, "30", 30.0), (503, "7", 7.0), (503, "soon", None)])
def test_the_requested_pause_is_taken_from_the_response(status: int, header: str, after: float | None) -> None:
    assert sent(HttpReceiver(Answer(status, b"", {"retry-after": header}))).after == after


@pytest.mark.parametrize("answer", [HANG, DRIP])
def test_a_server_that_hangs_or_drips_costs_one_timeout(answer: Answer) -> None:
    began = time.monotonic()
    verdict = sent(HttpReceiver(answer), timeout=0.3)
    assert (verdict.result, verdict.reason) == ("retry", "timeout")
    assert "timed out after 0.3 s" in verdict.message
    assert 0.3 <= time.monotonic() - began < 10


@pytest.mark.parametrize(("make", "hang"), [(HttpReceiver, HANG), (GrpcReceiver, None)])
def test_closing_the_transport_interrupts_a_request(make: Any, hang: Any) -> None:
    protocol = "grpc" if make is GrpcReceiver else "http/protobuf"
    verdicts: list[Verdict] = []
    with make(hang) as receiver:
        sending = transport_to(receiver.url, protocol=protocol, timeout=60.0)
        thread = threading.Thread(target=lambda: verdicts.append(sending.send(EMPTY)))
        thread.start()
        deadline = time.monotonic() + 30
        while not receiver.received and time.monotonic() < deadline:
            time.sleep(0.005)  # the other thread makes the progress
        sending.close()
        thread.join(10)
    assert [verdict.result for verdict in verdicts] == ["retry"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (lambda url: f"http://127.0.0.1:{free_port()}", "connect"),
        (lambda url: "http://nowhere.invalid:4318", "dns"),
        (lambda url: url.replace("http", "https"), "tls"),
    ],
)
def test_an_unreachable_collector_is_retried_and_has_its_reason(url: Any, reason: str, protocol: str) -> None:
    with HttpReceiver() as receiver:
        verdict = transport_to(url(receiver.url), protocol=protocol).send(EMPTY)
    assert (verdict.result, verdict.reason) == ("retry", reason), verdict.message
    assert "traces are kept and sent again" in verdict.message


def test_the_port_of_the_other_protocol_is_recognised() -> None:
    with GrpcReceiver() as receiver:
        verdict = transport_to(receiver.url).send(EMPTY)
    assert (verdict.result, "set traces.protocol: grpc" in verdict.message) == ("retry", True), verdict.message
    with HttpReceiver() as http:
        verdict = transport_to(http.url, protocol="grpc").send(EMPTY)
    assert (verdict.result, "set traces.protocol: http/protobuf" in verdict.message) == ("retry", True), verdict.message


GRPC = [
    (Code.UNAVAILABLE, "down", "retry", "connect"),
    (Code.RESOURCE_EXHAUSTED, "slow down", "retry", "throttled"),
    (Code.RESOURCE_EXHAUSTED, "received message larger than max (9 vs. 4)", "invalid", "too_large"),
    (Code.DEADLINE_EXCEEDED, "late", "retry", "timeout"),
    (Code.ABORTED, "", "retry", "server_error"),
    (Code.CANCELLED, "", "retry", "server_error"),
    (Code.OUT_OF_RANGE, "", "retry", "server_error"),
    (Code.DATA_LOSS, "", "retry", "server_error"),
    (Code.INTERNAL, "", "retry", "server_error"),
    (Code.UNKNOWN, "", "retry", "server_error"),
    (Code.INVALID_ARGUMENT, "bad span", "invalid", "bad_request"),
    (Code.UNAUTHENTICATED, "who?", "refused", "auth"),
    (Code.PERMISSION_DENIED, "", "refused", "forbidden"),
    (Code.UNIMPLEMENTED, "", "refused", "not_found"),
    (Code.FAILED_PRECONDITION, "", "refused", "refused"),
]


@pytest.mark.parametrize(("code", "details", "result", "reason"), GRPC)
def test_each_grpc_code_has_its_verdict(code: grpc.StatusCode, details: str, result: str, reason: str) -> None:
    receiver = GrpcReceiver((code, details, ()))
    verdict = sent(receiver)
    assert (verdict.result, verdict.reason, verdict.after) == (result, reason, None)
    assert f"Export to {receiver.url} returned {code.name}: " in verdict.message
    assert (details or "(no message)") in verdict.message
    assert reason in REASONS


def test_grpc_partial_success_retry_delay_and_timeout() -> None:
    assert sent(GrpcReceiver(partly(2, "too old"))).rejected == 2
    # google.rpc.Status with a google.rpc.RetryInfo of 7 seconds
    kind = b"type.googleapis.com/google.rpc.RetryInfo"
    info = bytes([10, len(kind)]) + kind + bytes([18, 4, 10, 2, 8, 7])
    status = bytes([8, 8, 26, len(info)]) + info
    throttled = (Code.RESOURCE_EXHAUSTED, "slow down", [("grpc-status-details-bin", status)])
    assert sent(GrpcReceiver(throttled)).after == 7.0
    assert sent(GrpcReceiver((Code.UNAVAILABLE, "x", [("grpc-status-details-bin", b"\xff")]))).after is None
    verdict = sent(GrpcReceiver(None), timeout=0.3)
    assert (verdict.result, verdict.reason) == ("retry", "timeout")


@pytest.mark.parametrize(("make", "protocol"), [(HttpReceiver, "http/protobuf"), (GrpcReceiver, "grpc")])
def test_mutual_tls(tmp_path: Path, make: Any, protocol: str) -> None:
    certificate(tmp_path)
    certificate(tmp_path, "client")
    ours = {"client_certificate": str(tmp_path / "client.pem"), "client_key": str(tmp_path / "client.key")}
    trusted = {"certificate": str(tmp_path / "server.pem")}
    with make(tls=tmp_path) as receiver:
        verdict = transport_to(receiver.url, protocol=protocol, **ours, **trusted).send(encode(TRACE))
        assert verdict.result == "accepted", verdict.message
        for incomplete in (ours, trusted):
            verdict = transport_to(receiver.url, protocol=protocol, **incomplete).send(encode(TRACE))
            assert verdict.result == "retry", verdict.message
        assert [each.body for each in receiver.received] == [encode(TRACE)]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_unusable_certificate_is_a_problem_of_the_settings(tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    for name in ("certificate", "client_certificate"):
        settings = {"endpoint": "https://c.test", "protocol": protocol, name: str(file)}
        with pytest.raises(BadSettings, match=f"traces.{name}: cannot be used: .*; give PEM files"):
            transport(TraceSettings.model_validate(settings))


# -- independent receivers


def has_id(expected: bytes, span: Any) -> bool:
    return bool(span.span_id == expected)


def test_an_independent_http_receiver_decodes_every_span() -> None:
    async def received() -> list[Any]:
        port = free_port()
        plain = transport_to(f"http://127.0.0.1:{port}", compression="none")  # it does not decompress
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as tap:
            waits = [tap.await_trace(partial(has_id, span.id), 10) for span in TRACE.spans]
            *spans, verdict = await asyncio.gather(*waits, asyncio.to_thread(plain.send, encode(TRACE)))
        assert isinstance(verdict, Verdict)
        assert verdict.result == "accepted", verdict.message
        return spans

    root, child = asyncio.run(received())
    assert (root.trace_id, root.span_id, root.name, root.flags) == (TRACE.id, ROOT.id, ROOT.name, 0x101)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (ROOT.start, ROOT.end)
    assert {each.key for each in root.attributes} == set(ROOT.attributes)
    assert [event.name for event in root.events] == ["datarobot.workload.event"]
    assert [link.trace_id for link in root.links] == [b"p" * 16]
    assert (root.status.code, root.status.message) == (2, "ImagePullBackOff")
    assert (child.parent_span_id, child.status.code) == (ROOT.id, 0)


def test_an_independent_grpc_collector_accepts_several_traces_in_one_request() -> None:
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
        sending = transport_to(f"http://{address}", protocol="grpc")
        deadline = time.monotonic() + 20
        while sending.send(EMPTY).result != "accepted" and time.monotonic() < deadline:
            time.sleep(0.05)  # the process makes the progress
        verdict = sending.send(encode(TRACE) + encode(TRACE._replace(id=b"o" * 16)))
        assert verdict.result == "accepted", verdict.message
        child.terminate()
        log, _ = child.communicate(timeout=20)
    for trace in (TRACE.id, b"o" * 16):
        assert log.count(trace.hex()) >= 2, log
    assert "workload-1" in log
    assert "ImagePullBackOff" in log
