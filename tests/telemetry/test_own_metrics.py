"""Metrics of episodes with their exemplars, and of pauses."""

import logging

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX
from exporter.telemetry.report import Report
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.tracing.trace import Trace

TRACE = Trace(b"\xab" * 16, {}, ())
COUNTER, BUCKET = "datarobot_exporter_episodes_total", "datarobot_exporter_episode_duration_seconds_bucket"


def report_of(*episodes: EpisodeTrace) -> Report:
    """A report of one account with these ended episodes."""
    report = Report(1.0)
    account = report.account("eu", 30.0, 10.0)
    for each in episodes:
        account.episode_ended(each)
    return report


def test_the_counter_and_the_bucket_have_the_exemplar() -> None:
    page = report_of(EpisodeTrace("start", "success", 42.0, TRACE)).openmetrics().decode() + "# EOF\n"
    found = {
        (family.type, sample.name, sample.labels.get("le")): (sample.exemplar.labels, sample.exemplar.value)
        for family in openmetrics_families(page)  # type: ignore[no-untyped-call]  # the library has no types
        for sample in family.samples
        if sample.exemplar
    }
    trace = {"trace_id": "ab" * 16}
    assert found == {("counter", COUNTER, None): (trace, 1.0), ("histogram", BUCKET, "60.0"): (trace, 42.0)}


def test_the_text_format_has_the_same_values_without_exemplars() -> None:
    page = report_of(EpisodeTrace("start", "success", 42.0, TRACE)).text().decode()
    assert "trace_id" not in page
    values = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.labels.get("kind") == "start"
    }
    assert values[COUNTER, "success"] == 1.0
    assert values["datarobot_exporter_episode_duration_seconds_sum", None] == 42.0


def test_a_gauge_without_labels_has_no_sample_until_its_value_is_known() -> None:
    report = Report(1.0)
    gauges = {PREFIX + row.name for row in OWN_METRICS if row.kind == "gauge" and not row.labels}
    known = {PREFIX + "start_timestamp_seconds"}
    assert gauges & {line.split()[0] for line in report.text().decode().splitlines()} == known
    report.set("lease_remaining_seconds", 0.0)
    for page in (report.text(), report.openmetrics()):
        assert gauges & {line.split()[0] for line in page.decode().splitlines()} == {
            *known,
            PREFIX + "lease_remaining_seconds",
        }
    for _ in range(2):
        report.clear("lease_remaining_seconds")
        assert gauges & {line.split()[0] for line in report.text().decode().splitlines()} == known
    report.set("lease_remaining_seconds", 5.0)
    assert PREFIX + "lease_remaining_seconds 5.0" in report.text().decode().splitlines()


def test_both_formats_of_samples_collected_once_are_those_of_each_alone() -> None:
    report = report_of(EpisodeTrace("start", "success", 42.0, TRACE))

    def own(page: bytes) -> list[str]:
        return [line for line in page.decode().splitlines() if PREFIX in line]

    assert [own(page) for page in report.both()] == [own(report.text()), own(report.openmetrics())]


@pytest.mark.parametrize(
    ("episode", "count"),
    [
        (EpisodeTrace("stop", "success", 5.0), 1.0),  # counted without a trace
        (EpisodeTrace("stop", "checkpoint", 0.0, TRACE), 0.0),  # not finished
        (EpisodeTrace("stop", "late", 0.0, TRACE), 0.0),  # already counted
        (EpisodeTrace("stop", "recalled", 5.0, TRACE), 0.0),  # ended before this exporter started
    ],
    ids=lambda value: getattr(value, "outcome", ""),
)
def test_a_finished_episode_is_counted_once_with_its_trace_if_any(episode: EpisodeTrace, count: float) -> None:
    report = report_of(episode)
    assert report.registry.get_sample_value(COUNTER, {"account": "eu", "kind": "stop", "outcome": "success"}) == count
    assert b"trace_id" not in report.openmetrics()


def test_a_pause_shows_its_end_and_is_logged_once_until_requests_succeed_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report, clock = Report(1.0), iter([1000.0, 1006.0, 1030.0])
    account = report.account("eu", 30.0, 10.0, lambda: next(clock))
    gauge = "datarobot_exporter_api_paused_until_timestamp_seconds"
    assert f"{gauge}{{" not in report.text().decode()
    with caplog.at_level(logging.INFO, "exporter"):
        account.resumed("/quotas")  # was not paused
        for seconds, end in [(5.0, 1005.0), (10.0, 1016.0)]:
            account.paused("/quotas", seconds)
            assert report.registry.get_sample_value(gauge, {"account": "eu", "endpoint": "/quotas"}) == end
        account.resumed("/quotas")
        account.paused("/quotas", 5.0)
    assert [(record.levelname, record.message, record.__dict__["fields"]) for record in caplog.records] == [
        ("WARNING", "API refuses requests, paused", {"account": "eu", "endpoint": "/quotas", "seconds": 5.0}),
        ("INFO", "API accepts requests again", {"account": "eu", "endpoint": "/quotas"}),
        ("WARNING", "API refuses requests, paused", {"account": "eu", "endpoint": "/quotas", "seconds": 5.0}),
    ]
    report.forget("eu")
    assert f"{gauge}{{" not in report.text().decode()


def test_values_of_tags_that_are_left_out_are_served_while_they_are_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = Report(1.0)
    account = report.account("eu", 30.0, 10.0)
    gauge, labels = "datarobot_exporter_tag_values_left_out", {"account": "eu", "tag": "team", "reason": "limit"}
    for left_out, value in ({("team", "limit"): 3}, 3.0), ({}, None), ({("team", "limit"): 2}, 2.0):
        account.tags_left_out(left_out)
        assert report.registry.get_sample_value(gauge, labels) == value
    assert [record.__dict__["fields"] for record in caplog.records] == [
        {"account": "eu", "tag": "team", "reason": "limit", "values": 3}
    ]
    account.retire()  # its successor reports now
    account.tags_left_out({})
    assert report.registry.get_sample_value(gauge, labels) == 2.0
