"""The exporter's own metrics, kept by prometheus_client: sweeps, API requests, the served page, and the process.

Each family is one row of `OWN_METRICS`; `Report` holds them, `AccountReport` counts for one account's client and
sweeps.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeHistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter import __revision__, __version__
from exporter.api.decoding import Reject
from exporter.failures import REASONS
from exporter.fleet import polling
from exporter.fleet.episodes import EPISODE_KINDS, EPISODE_OUTCOMES
from exporter.fleet.reconcile import Snapshot, Sweep, unknown_values
from exporter.log import log
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.web.connections import CLOSED, REFUSED

PREFIX = "datarobot_exporter_"
LANE = "status"
_PARTS = ("status", "importance", "type", "replacement.status")
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SWEEP_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


AGES = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 21600.0)


class PollerState(NamedTuple):
    """State of the poller after a turn. `ages`: part -> counts by bucket of `AGES` and one above, and the sum, in
    seconds.

    `dropped`: (extra, importance) -> number of workloads polled without it.
    """

    queue: int
    load: float
    stale: Mapping[str, int]
    ages: Mapping[str, tuple[list[int], float]]
    dropped: Mapping[polling.Extra, int]


class OwnMetric(NamedTuple):
    """One family of our own. `name` lacks the prefix, and ``_total`` of a counter."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "gaugehistogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = _BUCKETS


_LANE = ("account", "lane")
OWN_METRICS: tuple[OwnMetric, ...] = (
    OwnMetric(
        "build_info", "gauge", ("version", "revision", "python"), "Build information of this exporter; always 1."
    ),
    OwnMetric("start_timestamp_seconds", "gauge", (), "Start time of this exporter, in seconds since the epoch."),
    OwnMetric("api_up", "gauge", ("account",), "1 if the last sweep of the workload list was complete, else 0."),
    OwnMetric(
        "sweep_last_attempt_timestamp_seconds",
        "gauge",
        _LANE,
        "Time the last sweep ended, complete or not, in seconds since the epoch.",
    ),
    OwnMetric(
        "sweep_last_success_timestamp_seconds",
        "gauge",
        _LANE,
        "Time the last complete sweep ended, in seconds since the epoch.",
    ),
    OwnMetric(
        "sweep_begin_timestamp_seconds",
        "gauge",
        _LANE,
        "Time this process started to sweep the account, in seconds since the epoch. Data age counts from here "
        "until the first complete sweep.",
    ),
    OwnMetric(
        "sweep_interval_seconds", "gauge", _LANE, "Configured time between the starts of two sweeps, in seconds."
    ),
    OwnMetric(
        "sweep_complete", "gauge", _LANE, "1 if the served data comes from the last sweep, 0 if from an earlier one."
    ),
    OwnMetric("sweeps", "counter", _LANE, "Finished sweeps, complete or not."),
    OwnMetric("sweep_failures", "counter", (*_LANE, "reason"), "Incomplete sweeps by reason."),
    OwnMetric(
        "sweep_overruns", "counter", _LANE, "Sweeps not started on time because the previous one was still running."
    ),
    OwnMetric("sweep_duration_seconds", "histogram", _LANE, "Sweep duration, in seconds.", _SWEEP_BUCKETS),
    OwnMetric("objects", "gauge", ("account", "kind"), "Objects in the last complete sweep, by kind."),
    OwnMetric("vanished_workloads", "counter", ("account",), "Workloads absent from two complete sweeps in a row."),
    OwnMetric("api_requests", "counter", ("account", "endpoint", "code"), "API requests by route and status code."),
    OwnMetric("api_request_failures", "counter", ("account", "endpoint", "reason"), "Failed API requests by reason."),
    OwnMetric("api_retries", "counter", ("account", "endpoint", "reason"), "Retried API requests by reason."),
    OwnMetric(
        "api_request_duration_seconds",
        "histogram",
        ("account", "endpoint"),
        "Time from sending an API request to the last byte of its response, in seconds.",
    ),
    OwnMetric(
        "api_received_bytes", "counter", ("account", "endpoint"), "Size of API responses after decompression, in bytes."
    ),
    OwnMetric(
        "api_wait_seconds", "counter", ("account", "reason"), "Time API requests were delayed, by reason, in seconds."
    ),
    OwnMetric(
        "api_paused_until_timestamp_seconds",
        "gauge",
        ("account", "endpoint"),
        "Time requests to an endpoint resume after the API refused some (429, or 503 with Retry-After), in seconds "
        "since the epoch; in the past once resumed. Endpoint * means all requests of the account, details "
        "means all except the workload list.",
    ),
    OwnMetric("api_budget_requests_per_second", "gauge", ("account",), "Configured limit of API requests per second."),
    OwnMetric(
        "api_clock_offset_seconds",
        "gauge",
        ("account",),
        "Offset of the API's clock from the local clock, from the Date headers of recent responses, in seconds; "
        "positive if the API is ahead.",
    ),
    OwnMetric("api_capability", "gauge", ("account", "endpoint"), "1 if the server supports the route, else 0."),
    OwnMetric(
        "api_rejects",
        "counter",
        ("account", "path", "reason"),
        "Items and fields of API responses that could not be decoded, by path and reason.",
    ),
    OwnMetric(
        "api_unknown_values", "counter", ("account", "field"), "Unknown enumeration values in API responses, by field."
    ),
    OwnMetric("detail_looks", "counter", ("account", "part"), "Polls of workload details, by part, successful or not."),
    OwnMetric(
        "detail_look_failures",
        "counter",
        ("account", "part", "reason"),
        "Failed polls of workload details, by part and reason.",
    ),
    OwnMetric("detail_queue", "gauge", ("account",), "Polls of workload details that are due and queued."),
    OwnMetric(
        "detail_load_ratio",
        "gauge",
        ("account",),
        "Requests needed to poll all details at their intervals, divided by the available request budget. Above 1, "
        "all details are polled less often.",
    ),
    OwnMetric(
        "detail_age_seconds",
        "gaugehistogram",
        ("account", "part"),
        "Age of workload details across the fleet, by part, in seconds.",
    ),
    OwnMetric(
        "detail_stale", "gauge", ("account", "part"), "Workloads with a part of their details too old and withdrawn."
    ),
    OwnMetric(
        "detail_dropped_workloads",
        "gauge",
        ("account", "extra", "importance"),
        "Workloads polled without extra quantiles or long windows because the request budget is too small.",
    ),
    OwnMetric("episodes", "counter", ("account", "kind", "outcome"), "Finished episodes by kind and outcome."),
    OwnMetric(
        "episode_duration_seconds",
        "histogram",
        ("account", "kind"),
        "Episode duration, in seconds. In OpenMetrics, the exemplar is the trace of the latest episode.",
        (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0),
    ),
    OwnMetric("deselected_workloads", "gauge", ("account",), "Listed workloads excluded by the settings."),
    OwnMetric("other_shards_workloads", "gauge", ("account",), "Listed workloads that belong to other shards."),
    OwnMetric("shard_ordinal", "gauge", (), "Ordinal of this shard, starting at 0."),
    OwnMetric("shards", "gauge", (), "Number of shards."),
    OwnMetric("series_limit", "gauge", (), "Limit of workload series per account; 0 if unlimited."),
    OwnMetric("series_left_out_workloads", "gauge", (), "Workloads omitted because of the series limit."),
    OwnMetric("state_commits", "counter", (), "Successful writes of the state."),
    OwnMetric("state_commit_failures", "counter", (), "Failed writes of the state."),
    OwnMetric(
        "state_last_commit_timestamp_seconds",
        "gauge",
        (),
        "Time of the last successful write of the state, in seconds since the epoch.",
    ),
    OwnMetric("state_size_bytes", "gauge", (), "Size of the state on disk, in bytes."),
    OwnMetric("self_traces", "counter", ("account", "reason"), "Sweep traces kept, by reason."),
    OwnMetric(
        "self_trace_spans_lost",
        "counter",
        (),
        "Spans of sweep traces lost because delivery failed.",
    ),
    OwnMetric("trace_spans_sent", "counter", (), "Spans of workload traces accepted by the collector."),
    OwnMetric("trace_spans_dropped", "counter", ("reason",), "Dropped spans of workload traces, by reason."),
    OwnMetric("trace_export_failures", "counter", ("reason",), "Failed export requests to the collector, by reason."),
    OwnMetric("trace_outbox_traces", "gauge", (), "Traces in the outbox."),
    OwnMetric("trace_outbox_bytes", "gauge", (), "Size of the traces in the outbox, in bytes."),
    OwnMetric(
        "trace_outbox_oldest_seconds", "gauge", (), "Age of the oldest trace in the outbox, in seconds; 0 if empty."
    ),
    OwnMetric(
        "trace_endpoint_up",
        "gauge",
        ("protocol",),
        "1 if the collector accepted the last request, else 0. An empty request is sent at least every five minutes.",
    ),
    OwnMetric("alerts_firing", "gauge", ("alertname", "severity"), "Firing alerts of direct paging."),
    OwnMetric(
        "notifications",
        "counter",
        ("receiver", "fate"),
        "Delivery attempts of notifications, by receiver and result: delivered, to be retried, or failed.",
    ),
    OwnMetric(
        "notification_failures",
        "counter",
        ("receiver", "reason"),
        "Failed delivery attempts of notifications, by receiver and reason.",
    ),
    OwnMetric(
        "notification_failing_seconds",
        "gauge",
        ("receiver",),
        "Seconds since delivery to the receiver started failing; 0 if healthy.",
    ),
    OwnMetric("notifications_pending", "gauge", ("receiver",), "Notifications not yet delivered, by receiver."),
    OwnMetric("silences", "gauge", (), "Active silences of direct paging."),
    OwnMetric(
        "heartbeat_timestamp_seconds",
        "gauge",
        (),
        "Time the served metrics were last updated, in seconds since the epoch.",
    ),
    OwnMetric("series", "gauge", (), "Workload series served."),
    OwnMetric("exposition_bytes", "gauge", ("format", "encoding"), "Size of the served metrics, in bytes."),
    OwnMetric("publish_duration_seconds", "histogram", (), "Time to update the served metrics, in seconds."),
    OwnMetric(
        "event_loop_lag_seconds",
        "histogram",
        (),
        "Delay of the event loop, in seconds; a scrape may wait this long.",
        (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    ),
    OwnMetric("http_requests", "counter", ("path", "code"), "HTTP requests to this exporter."),
    OwnMetric(
        "http_requests_refused",
        "counter",
        ("reason",),
        "HTTP requests to this exporter rejected with 503 (busy) or 429 (password_checks) because too many were in "
        "progress.",
    ),
    OwnMetric("http_connections", "gauge", (), "Open HTTP connections to this exporter."),
    OwnMetric(
        "http_connections_closed",
        "counter",
        ("reason",),
        "HTTP connections closed by this exporter: to make room for new ones (idle, unread or busy), or because of "
        "a slow client or an oversized request.",
    ),
    OwnMetric("log_messages", "counter", ("level",), "Log lines by level."),
    OwnMetric("config_last_reload_successful", "gauge", (), "1 if the last reload of the settings succeeded, else 0."),
    OwnMetric(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "Time of the last successful reload of the settings, in seconds since the epoch.",
    ),
)


Ages = Mapping[str, tuple[list[int], float]]


class _AgeCollector(Collector):
    """The ages as a histogram of now: its counts go up and down."""

    def __init__(self, ages: Mapping[str, Ages]) -> None:
        self._ages = ages

    def collect(self) -> Iterable[Metric]:
        row = next(row for row in OWN_METRICS if row.kind == "gaugehistogram")
        family = GaugeHistogramMetricFamily(PREFIX + row.name, row.help, labels=row.labels)
        for account, parts in self._ages.items():
            for part, (counts, total) in parts.items():
                below = list(itertools.accumulate(counts))
                bounds = [*map(str, AGES), "+Inf"]
                family.add_metric((account, part), list(zip(bounds, below, strict=True)), total)
        yield family


class Report:
    """All of our own families. Reasons and levels are there from the start, at 0."""

    def __init__(self, started: float) -> None:
        # Kept by the library for the whole process: a creation time per counter would double our own series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self.ages: dict[str, Ages] = {}
        self._begun: dict[str, float] = {}
        self.registry.register(_AgeCollector(self.ages))
        for row in OWN_METRICS:
            name = PREFIX + row.name
            if row.kind == "counter":
                self._counters[row.name] = Counter(name, row.help, row.labels, registry=self.registry)
            elif row.kind == "gauge":
                self._gauges[row.name] = Gauge(name, row.help, row.labels, registry=self.registry)
            elif row.kind == "histogram":
                self._histograms[row.name] = Histogram(
                    name, row.help, row.labels, buckets=row.buckets, registry=self.registry
                )
        self.set("build_info", 1, __version__, __revision__, platform.python_version())
        self.set("start_timestamp_seconds", started)
        for level in ("debug", "info", "warn", "error"):
            self.count("log_messages", level, by=0)
        for refused in REFUSED:
            self.count("http_requests_refused", refused, by=0)
        for closed in CLOSED:
            self.count("http_connections_closed", closed, by=0)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge of `OWN_METRICS`."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def count(self, name: str, *labels: str, by: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Add to a counter of `OWN_METRICS`."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by, exemplar)

    def observe(self, name: str, value: float, *labels: str, exemplar: dict[str, str] | None = None) -> None:
        """Add one value to a histogram of `OWN_METRICS`."""
        histogram = self._histograms[name]
        (histogram.labels(*labels) if labels else histogram).observe(value, exemplar)

    def account(self, name: str, interval: float, rate: float, wall: Callable[[], float] = time.time) -> AccountReport:
        """Create the metrics of one account, with counters at 0. `wall` returns seconds since the epoch."""
        self.set("sweep_interval_seconds", interval, name, LANE)
        self.set("api_budget_requests_per_second", rate, name)
        for reason in REASONS:
            self.count("sweep_failures", name, LANE, reason, by=0)
        for field in _PARTS:
            self.count("api_unknown_values", name, field, by=0)
        for counter in ("sweeps", "sweep_overruns"):
            self.count(counter, name, LANE, by=0)
        self.count("vanished_workloads", name, by=0)
        for kind in EPISODE_KINDS:
            for outcome in EPISODE_OUTCOMES:
                self.count("episodes", name, kind, outcome, by=0)
            self._histograms["episode_duration_seconds"].labels(name, kind)  # Prometheus counts from the second sample
        for part in polling.PART_NAMES:
            self.count("detail_looks", name, part, by=0)
        return AccountReport(self, name, interval, wall)

    def forget(self, account: str) -> None:
        """Drop the gauges of an account that is no longer swept; its counters stay."""
        for row in OWN_METRICS:
            if row.kind == "gauge" and row.labels[:1] == ("account",):
                self._gauges[row.name].remove_by_labels({"account": account})
        self.ages.pop(account, None)
        self._begun.pop(account, None)

    def began(self, account: str, at: float) -> None:
        """Set the time of an account's first sweep, in seconds since the epoch; a reload does not reset it."""
        self.set("sweep_begin_timestamp_seconds", self._begun.setdefault(account, at), account, LANE)

    def clear(self, name: str) -> None:
        """Drop all samples of a gauge that has labels."""
        self._gauges[name].clear()

    def text(self) -> bytes:
        """The families in text format 0.0.4."""
        return generate_latest(self.registry)

    def openmetrics(self) -> bytes:
        """The families in OpenMetrics, without the closing ``# EOF``."""
        page: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]
        return page.removesuffix(b"# EOF\n")


class AccountReport:
    """What one account's client (`exporter.collect.client.Observer`) and sweeps count."""

    def __init__(
        self, report: Report, account: str, interval: float = 30.0, wall: Callable[[], float] = time.time
    ) -> None:
        self._report, self._account, self.interval, self._wall = report, account, interval, wall
        self._log = log.bind(account=account)
        self._paused: set[str] = set()

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request that ended with `code`, or with ``error`` when there was no answer."""
        self._report.count("api_requests", self._account, endpoint, code)
        self._report.observe("api_request_duration_seconds", seconds, self._account, endpoint)

    def failure(self, endpoint: str, reason: str) -> None:
        """Count one GET that failed after its retries."""
        self._report.count("api_request_failures", self._account, endpoint, reason)

    def received(self, endpoint: str, size: int) -> None:
        """Count the bytes of one answer."""
        self._report.count("api_received_bytes", self._account, endpoint, by=size)

    def retry(self, endpoint: str, reason: str) -> None:
        """Count one request that is tried again."""
        self._report.count("api_retries", self._account, endpoint, reason)

    def wait(self, reason: str, seconds: float) -> None:
        """Count the time a request was held back."""
        self._report.count("api_wait_seconds", self._account, reason, by=seconds)

    def began(self, at: float) -> None:
        """Set the time of the account's first sweep, in seconds since the epoch."""
        self._report.began(self._account, at)

    def paused(self, endpoint: str, seconds: float) -> None:
        """Show until when an endpoint is paused; log it unless it has been paused since it last succeeded."""
        self._report.set("api_paused_until_timestamp_seconds", self._wall() + seconds, self._account, endpoint)
        if endpoint not in self._paused:
            self._paused.add(endpoint)
            self._log.warning("API refuses requests, paused", endpoint=endpoint, seconds=round(seconds, 3))

    def resumed(self, endpoint: str) -> None:
        """Log that requests to an endpoint succeed again after a pause."""
        if endpoint in self._paused:
            self._paused.remove(endpoint)
            self._log.info("API accepts requests again", endpoint=endpoint)

    def capabilities(self, routes: Iterable[tuple[str, bool]]) -> None:
        """Set which routes the server supports."""
        for endpoint, offered in routes:
            self._report.set("api_capability", float(offered), self._account, endpoint)

    def api_clock(self, ahead: float | None) -> None:
        """Set the offset of the API's clock in seconds, if known."""
        if ahead is not None:
            self._report.set("api_clock_offset_seconds", ahead, self._account)

    def chosen(self, deselected: int, elsewhere: int) -> None:
        """Set the number of listed workloads excluded by the settings, and of those in other shards."""
        self._report.set("deselected_workloads", deselected, self._account)
        self._report.set("other_shards_workloads", elsewhere, self._account)

    def looked(self, part: str, failure: str, rejects: Iterable[Reject]) -> None:
        """Count one poll of a part; `failure` is the reason, or empty."""
        self._report.count("detail_looks", self._account, part)
        if failure:
            self._report.count("detail_look_failures", self._account, part, failure)
        for reject in rejects:
            self._report.count("api_rejects", self._account, f"{part} {reject.path}", reject.reason)

    def made(self, made: EpisodeTrace) -> None:
        """Count an episode that is over; its trace, if there is one, is the exemplar."""
        if made.outcome not in EPISODE_OUTCOMES:
            return
        exemplar = {"trace_id": made.trace.id.hex()} if made.trace is not None else None
        labels = self._account, made.kind
        self._report.count("episodes", *labels, made.outcome, exemplar=exemplar)
        self._report.observe("episode_duration_seconds", made.seconds, *labels, exemplar=exemplar)

    def turned(self, state: PollerState) -> None:
        """Set the metrics of the poller after a turn."""
        report, account = self._report, self._account
        report.set("detail_queue", state.queue, account)
        report.set("detail_load_ratio", state.load, account)
        for part, count in state.stale.items():
            report.set("detail_stale", count, account, part)
        for (extra, importance), count in state.dropped.items():
            report.set("detail_dropped_workloads", count, account, extra, importance)
        report.ages[account] = state.ages

    def swept(self, sweep: Sweep, known: Snapshot, vanished: int, seconds: float) -> None:
        """Record a finished sweep, the snapshot after it, and the number of newly vanished workloads.

        Only a successful sweep updates the time of success.
        """
        report, account = self._report, self._account
        report.count("sweeps", account, LANE)
        report.observe("sweep_duration_seconds", seconds, account, LANE)
        if sweep.failure:
            report.count("sweep_failures", account, LANE, sweep.failure)
        for reject in sweep.rejects:
            report.count("api_rejects", account, reject.path, reject.reason)
        for field, values in unknown_values(sweep.workloads).items():
            report.count("api_unknown_values", account, field, by=values.total())
        report.set("api_up", float(not sweep.failure), account)
        report.set("sweep_complete", float(not sweep.failure), account, LANE)
        report.count("vanished_workloads", account, by=vanished)
        if known.attempted is not None:
            report.set("sweep_last_attempt_timestamp_seconds", known.attempted, account, LANE)
        if known.succeeded is not None:
            report.set("sweep_last_success_timestamp_seconds", known.succeeded, account, LANE)
            report.set("objects", len(known.workloads), account, "workload")
