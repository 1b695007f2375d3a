"""Pushing metrics to a collector: when, and what is sent again, split or dropped after each response."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from exporter.otlp.metric_encoding import EMPTY, ServedPage
from exporter.otlp.metric_push import MetricPush
from exporter.otlp.transport import transport
from exporter.otlp.verdict import METRICS, REASONS, Verdict
from exporter.settings.metrics import MetricPushSettings
from exporter.telemetry.report import Report
from tests.daemon.test_daemon import Time
from tests.otlp.test_sender import Scripted
from tests.receivers import Answer, GrpcReceiver, HttpReceiver

GOOD = Verdict("accepted", "")
NAMES = ("a", "b", "c")
PAGE = "".join(f"# HELP {name} Help.\n# TYPE {name} gauge\n{name} 1.0\n" for name in NAMES)


def names(body: bytes) -> list[str]:
    return [
        metric.name for part in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in part.scope_metrics for metric in scope.metrics
    ]  # fmt: skip


class Stage:
    """A push every 60 s, and a clock that only its pauses advance. `answer`: the verdict for the metrics of a body."""

    def __init__(self, answer: Callable[[list[str]], Verdict], page: str | None = PAGE, **settings: Any) -> None:
        self.time, self.report, self.page = Time(), Report(0.0), page
        self.transport = Scripted(lambda body: answer(names(body)))
        given = MetricPushSettings.model_validate({"endpoint": "http://c.test"} | settings)
        self.push = MetricPush(self._page, self.transport, self.report, given, {"service.name": "x"}, self.time.clock)

    def _page(self) -> ServedPage | None:
        return None if self.page is None else ServedPage((), self.page.encode(), (), (), 0.0)

    def turns(self, count: int) -> list[float]:
        """The pauses after each turn."""
        pauses = list[float]()
        for _ in range(count):
            pauses.append(asyncio.run(self.push.turn()))
            self.time.pass_(pauses[-1])
        return pauses

    @property
    def sent(self) -> list[str]:
        """The metrics of each request; empty for one without metrics."""
        return ["".join(names(body)) for body in self.transport.bodies]

    def value(self, name: str, label: str = "") -> float | None:
        labels = {"reason": label} if label else {}
        return self.report.registry.get_sample_value(f"datarobot_exporter_{name}", labels)


def test_all_metrics_are_pushed_at_the_interval() -> None:
    stage = Stage(lambda _: GOOD)
    assert stage.turns(3) == [60.0, 60.0, 60.0]
    assert stage.sent == ["abc"] * 3
    assert stage.value("metric_points_sent_total") == 9.0
    assert stage.value("metric_last_push_timestamp_seconds") is not None


def test_nothing_is_pushed_before_the_first_page() -> None:
    stage = Stage(lambda _: GOOD, page=None)
    assert stage.turns(1) == [1.0]
    stage.page = PAGE
    stage.turns(1)
    assert stage.sent == ["abc"]


def test_pushes_that_were_missed_are_not_made_up_for() -> None:
    stage = Stage(lambda _: GOOD)
    stage.turns(1)
    stage.time.pass_(70.0)
    assert stage.turns(1) == [50.0]
    assert stage.sent == ["abc"] * 2


def test_a_failed_request_is_sent_again_after_a_pause_until_newer_values_are_due() -> None:
    verdicts = [Verdict("retry", "", "connect"), Verdict("retry", "", "throttled", after=30.0)]
    stage = Stage(lambda _: verdicts.pop(0) if verdicts else GOOD)
    first, second, third = stage.turns(3)
    assert 0.5 <= first <= 1.0
    assert (second, 28.0 < third < 30.0) == (30.0, True)
    assert stage.sent == ["abc"] * 3
    assert stage.value("metric_export_failures_total", "connect") == 1.0


def test_values_that_are_not_accepted_in_time_are_replaced_by_newer_ones() -> None:
    verdicts = [Verdict("retry", "", "throttled", after=90.0)]
    stage = Stage(lambda _: verdicts.pop() if verdicts else GOOD)
    stage.turns(1)
    stage.page = PAGE.replace("HELP c", "HELP z").replace("TYPE c", "TYPE z").replace("\nc ", "\nz ")
    stage.turns(1)
    assert stage.sent == ["abc", "abzc"]  # c has ended


def test_a_rejected_request_is_split_until_what_is_rejected_is_alone() -> None:
    def answer(metrics: list[str]) -> Verdict:
        return Verdict("invalid", "", "bad_request") if "b" in metrics else GOOD

    stage = Stage(answer)
    assert stage.turns(1) == [60.0]
    assert stage.sent == ["abc", "", "a", "bc", "b", "c"]  # the empty request shows that the cause is not a proxy
    assert stage.value("metric_points_dropped_total", "poison") == 1.0
    assert stage.value("metric_points_sent_total") == 2.0


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        (Verdict("invalid", "", "bad_request"), 300.0),  # every request is rejected, whatever it contains
        (Verdict("refused", "", "auth"), 300.0),
        (Verdict("retry", "", "throttled", after=20.0), 20.0),
    ],
)
def test_a_collector_that_rejects_an_empty_request_too_is_not_sent_parts(empty: Verdict, expected: float) -> None:
    stage = Stage(lambda metrics: Verdict("invalid", "", "bad_request") if metrics else empty)
    assert stage.turns(1) == [expected]
    assert stage.sent == ["abc", ""]


def test_points_that_the_collector_rejects_in_part_are_counted() -> None:
    stage = Stage(lambda _: GOOD._replace(rejected=2))
    stage.turns(1)
    assert (stage.value("metric_points_sent_total"), stage.value("metric_points_dropped_total", "rejected")) == (1, 2)


def test_an_error_of_our_own_ends_one_push_and_no_more() -> None:
    stage = Stage(lambda _: GOOD, page="# HELP a Help.\na{ 1.0\n")  # no type
    assert stage.turns(1) == [60.0]
    stage.page = PAGE
    stage.turns(1)
    assert stage.sent == ["abc"]


def test_closing_pushes_once_more() -> None:
    stage, sent = Stage(lambda _: GOOD), asyncio.Event()

    async def life() -> None:
        await stage.push.close()
        assert stage.sent == []  # was not started
        loop = asyncio.get_running_loop()

        def answer(_: bytes) -> Verdict:
            loop.call_soon_threadsafe(sent.set)
            return GOOD

        stage.transport.answer = answer
        stage.push.start()
        await sent.wait()
        sent.clear()
        await stage.push.close()

    asyncio.run(life())
    assert sent.is_set()


def test_closing_waits_no_longer_than_the_budget() -> None:
    receiver = HttpReceiver(Answer(), Answer(how="hang"))
    settings = MetricPushSettings.model_validate({"endpoint": receiver.url, "timeout": 60.0})

    async def life() -> None:
        page = ServedPage((), PAGE.encode(), (), (), 0.0)
        push = MetricPush(lambda: page, transport(settings, signal=METRICS), Report(0.0), settings, {})
        await push.turn()
        push.start()
        await push.close(0.1)

    with receiver:
        asyncio.run(life())
    assert len(receiver.accepted) == 1


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("make", [HttpReceiver, GrpcReceiver])
def test_a_request_arrives_at_the_service_for_metrics(make: Any, compression: str) -> None:
    protocol = "grpc" if make is GrpcReceiver else "http/protobuf"
    said = ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
    partly = ExportMetricsServiceResponse(partial_success=said).SerializeToString()
    receiver = make(Answer(200, partly) if make is HttpReceiver else partly)
    with receiver:
        settings = MetricPushSettings.model_validate(
            {"endpoint": receiver.url, "protocol": protocol, "compression": compression, "headers": {"k": "v"}}
        )
        verdict = transport(settings, signal=METRICS).send(b"")
    (received,) = receiver.received
    assert (verdict.rejected, verdict.message.endswith(": 3 data points rejected: too old")) == (3, True)
    assert received.headers["k"] == "v"
    assert received.headers.get("", "/v1/metrics") == "/v1/metrics"


def test_hints_name_the_section_of_the_settings() -> None:
    with HttpReceiver(Answer(401), Answer(503)) as receiver:
        settings = MetricPushSettings.model_validate({"endpoint": receiver.url})
        verdicts = [transport(settings, signal=METRICS).send(EMPTY) for _ in range(2)]
    refused, retry = (verdict.message for verdict in verdicts)
    assert refused.endswith("current values are sent in five minutes; check metrics.otlp.headers")
    assert retry.endswith("; current values are sent later")


def test_a_request_is_compressed_to_a_whole_gzip_member() -> None:
    from exporter.otlp.transport import gzipped

    assert gzip.decompress(gzipped(b"abc" * 1000)) == b"abc" * 1000


def test_the_failures_of_pushes_are_counted_from_zero() -> None:
    stage = Stage(lambda _: GOOD)
    assert [stage.value("metric_export_failures_total", reason) for reason in REASONS] == [0.0] * len(REASONS)
