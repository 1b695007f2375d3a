"""Values of the exporter's own metrics, kept by prometheus_client, and their exposition.

`Report` has all families of `OWN_METRICS`, and metrics of the process; `AccountReport` updates those of one account.
"""

from __future__ import annotations

import collections
import itertools
import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

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
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter import __revision__, __version__
from exporter.api.assumptions import ASSUMPTIONS, Assumption, Judgement, Verdict, effect
from exporter.api.decoding import Reject
from exporter.failures import REASONS
from exporter.fleet import polling
from exporter.fleet.episodes import EPISODE_KINDS, EPISODE_OUTCOMES
from exporter.fleet.reconcile import Snapshot, Sweep, unknown_values
from exporter.log import log
from exporter.metrics.family import unit_in
from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.web.connections import CLOSED, REFUSED

LANE = "status"
"""Label value of all sweep metrics."""
AGES = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 21600.0)
"""Bounds of the histogram of ages, in seconds."""
_ENUMERATIONS = ("status", "importance", "type", "replacement.status")
"""Fields whose unknown values are counted."""


class PollerState(NamedTuple):
    """State of the poller after a turn. `ages`: part → counts by bucket of `AGES` and one above, and the sum, in
    seconds.

    `dropped`: (extra, importance) → number of workloads polled without it.
    """

    queue: int
    load: float
    stale: Mapping[str, int]
    ages: Mapping[str, tuple[list[int], float]]
    dropped: Mapping[polling.Extra, int]


Ages = Mapping[str, tuple[list[int], float]]


class _AgeCollector(Collector):
    """The current ages of details, as a gauge histogram."""

    def __init__(self, ages: Mapping[str, Ages]) -> None:
        self._ages = ages

    def collect(self) -> Iterable[Metric]:
        row = next(row for row in OWN_METRICS if row.kind == "gaugehistogram")
        family = GaugeHistogramMetricFamily(PREFIX + row.name, row.help, labels=row.labels, unit="seconds")
        for account, parts in list(self._ages.items()):  # in a thread, meanwhile others may be added
            for part, (counts, total) in parts.items():
                below = list(itertools.accumulate(counts))
                bounds = [*map(str, AGES), "+Inf"]
                family.add_metric((account, part), list(zip(bounds, below, strict=True)), total)
        yield family


class Report:
    """All own families. Counters with known label values start at 0; a gauge has no sample until it is set.

    `started`: start of this process, in seconds since the epoch.
    """

    def __init__(self, started: float) -> None:
        # For the whole process: a creation time per counter would double the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types
        self.started = started
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._known: dict[str, bool] = {}
        """Gauges without labels, and whether they have a sample."""
        self.ages: dict[str, Ages] = {}
        self._started: dict[str, float] = {}
        self.registry.register(_AgeCollector(self.ages))
        for row in OWN_METRICS:
            name = PREFIX + row.name
            if row.kind == "counter":
                self._counters[row.name] = Counter(
                    name, row.help, row.labels, unit=unit_in(name), registry=self.registry
                )
            elif row.kind == "gauge":
                # Without labels it would be served as 0 at once, as if that were known.
                registry = self.registry if row.labels else None
                self._gauges[row.name] = Gauge(name, row.help, row.labels, unit=unit_in(name), registry=registry)
                if not row.labels:
                    self._known[row.name] = False
            elif row.kind == "histogram":
                self._histograms[row.name] = Histogram(
                    name, row.help, row.labels, unit=unit_in(name), buckets=row.buckets, registry=self.registry
                )
        self.set("build_info", 1, __version__, __revision__, platform.python_version())
        self.set("start_timestamp_seconds", started)
        for level in ("debug", "info", "warn", "error"):
            self.count("log_messages", level, by=0)
        for kind in ("rows", "transactions"):
            self.count("state_lost", kind, by=0)
        for refused in REFUSED:
            self.count("http_requests_refused", refused, by=0)
        for closed in CLOSED:
            self.count("http_connections_closed", closed, by=0)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge of `OWN_METRICS`."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)
        if self._known.get(name) is False:
            self._known[name] = True
            self.registry.register(gauge)

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
        for field in _ENUMERATIONS:
            self.count("api_unknown_values", name, field, by=0)
        for counter in ("sweeps", "sweep_overruns"):
            self.count(counter, name, LANE, by=0)
        self.count("vanished_workloads", name, by=0)
        for kind in EPISODE_KINDS:
            for outcome in EPISODE_OUTCOMES:
                self.count("episodes", name, kind, outcome, by=0)
            self._histograms["episode_duration_seconds"].labels(name, kind)  # so that rate() includes the first one
        for part in polling.PART_NAMES:
            self.count("detail_looks", name, part, by=0)
        return AccountReport(self, name, interval, wall)

    def forget(self, account: str) -> None:
        """Remove the gauges of an account that is no longer swept; its counters stay."""
        for row in OWN_METRICS:
            if row.kind == "gauge" and row.labels[:1] == ("account",):
                self.clear_account(row.name, account)
        self.ages.pop(account, None)
        self._started.pop(account, None)

    def began(self, account: str, at: float) -> None:
        """Set the time of an account's first sweep, in seconds since the epoch; a reload does not reset it."""
        self.set("sweep_begin_timestamp_seconds", self._started.setdefault(account, at), account, LANE)

    def clear(self, name: str) -> None:
        """Remove all samples of a gauge, until it is set again."""
        if name not in self._known:
            self._gauges[name].clear()
        elif self._known[name]:
            self._known[name] = False
            self.registry.unregister(self._gauges[name])

    def clear_account(self, name: str, account: str) -> None:
        """Remove the samples of one account from a gauge."""
        self._gauges[name].remove_by_labels({"account": account})

    def text(self) -> bytes:
        """The families in text format 0.0.4."""
        return generate_latest(self.registry)

    def openmetrics(self) -> bytes:
        """The families in OpenMetrics, without the closing ``# EOF``."""
        return _openmetrics(self.registry)

    def both(self) -> tuple[bytes, bytes]:
        """The same samples in both formats. To collect them takes half as long as to print them."""
        samples = _Samples(list(self.registry.collect()))
        return generate_latest(samples), _openmetrics(samples)


class _Samples(Collector):
    """Samples that were collected before, in place of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _openmetrics(samples: Collector) -> bytes:
    # All names are valid in every escaping scheme; this one does not process each letter.
    page: bytes = generate_openmetrics(samples, ALLOWUTF8)  # type: ignore[no-untyped-call]  # the library has no types
    return page.removesuffix(b"# EOF\n")


_JUDGED: Mapping[Verdict, tuple[int, str]] = {
    "confirmed": (logging.INFO, "the API confirms an assumption"),
    "contradicted": (logging.WARNING, "the API contradicts an assumption"),
}


class AccountReport:
    """The metrics of one account, updated by its client (`exporter.collect.client.Observer`), sweeps and poller."""

    def __init__(
        self, report: Report, account: str, interval: float = 30.0, wall: Callable[[], float] = time.time
    ) -> None:
        self._report, self._account, self.interval, self._wall = report, account, interval, wall
        self._log = log.bind(account=account)
        self._paused: set[str] = set()
        self._logged_tags: set[tuple[str, str]] = set()
        self._logged_readings: set[tuple[str, str]] = set()
        self._retired = False
        self._polling: PollerState | None = None

    def retire(self) -> None:
        """Set no gauges any more; what is counted is still counted."""
        self._retired = True

    def _set(self, name: str, value: float, *labels: str) -> None:
        if not self._retired:
            self._report.set(name, value, *labels)

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request; `code` is its status code, or ``error`` without a response."""
        self._report.count("api_requests", self._account, endpoint, code)
        self._report.observe("api_request_duration_seconds", seconds, self._account, endpoint)

    def failure(self, endpoint: str, reason: str) -> None:
        """Count one request that failed after its retries."""
        self._report.count("api_request_failures", self._account, endpoint, reason)

    def received(self, endpoint: str, size: int) -> None:
        """Count the bytes of one response."""
        self._report.count("api_received_bytes", self._account, endpoint, by=size)

    def retry(self, endpoint: str, reason: str) -> None:
        """Count one retried request."""
        self._report.count("api_retries", self._account, endpoint, reason)

    def wait(self, reason: str, seconds: float) -> None:
        """Count the time for which a request was delayed."""
        self._report.count("api_wait_seconds", self._account, reason, by=seconds)

    def began(self, at: float) -> None:
        """Set the time of the account's first sweep, in seconds since the epoch."""
        if not self._retired:
            self._report.began(self._account, at)

    def paused(self, endpoint: str, seconds: float) -> None:
        """Set the end of the pause of an endpoint; log the first pause since its last success."""
        self._set("api_paused_until_timestamp_seconds", self._wall() + seconds, self._account, endpoint)
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
            self._set("api_capability", float(offered), self._account, endpoint)

    def api_clock(self, ahead: float | None) -> None:
        """Set the offset of the API's clock in seconds, if known."""
        if ahead is not None:
            self._set("api_clock_offset_seconds", ahead, self._account)

    def selected(self, deselected: int, elsewhere: int) -> None:
        """Set the number of listed workloads excluded by the settings, and of workloads in other shards."""
        self._set("deselected_workloads", deselected, self._account)
        self._set("other_shards_workloads", elsewhere, self._account)

    def tags_left_out(self, left_out: Mapping[tuple[str, str], int]) -> None:
        """Set how many values of tags are left out, by tag and reason, and log each tag and reason once."""
        if not self._retired:
            self._report.clear_account("tag_values_left_out", self._account)
        for (tag, reason), number in left_out.items():
            self._set("tag_values_left_out", number, self._account, tag, reason)
            if (tag, reason) not in self._logged_tags:
                self._logged_tags.add((tag, reason))
                self._log.warning("values of a tag are left out of the labels", tag=tag, reason=reason, values=number)

    def judged(self, judgement: Judgement, decided: Iterable[Assumption] = ()) -> None:
        """Set the verdicts about the assumptions; log those of `decided`, each reading of one once."""
        if not self._retired:
            self._report.clear_account("assumption", self._account)
        for row in ASSUMPTIONS:
            self._set("assumption", 1, self._account, row.id, judgement.verdict(row))
        for row in decided:
            decision, verdict = judgement.decision(row), judgement.verdict(row)
            if (row.id, decision.reading) not in self._logged_readings:
                self._logged_readings.add((row.id, decision.reading))
                level, message = _JUDGED[verdict]
                self._log.log(
                    level,
                    message,
                    assumption=row.id,
                    reading=decision.reading,
                    evidence=decision.text,
                    effect=effect(row, decision.reading),
                )

    def polled(self, part: str, failure: str, rejects: Iterable[Reject]) -> None:
        """Count one poll of a part; `failure` is the reason, or empty."""
        self._report.count("detail_looks", self._account, part)
        if failure:
            self._report.count("detail_look_failures", self._account, part, failure)
        self._rejected(rejects, f"{part} ")

    def _rejected(self, rejects: Iterable[Reject], part: str = "") -> None:
        for (path, reason), number in collections.Counter((reject.path, reject.reason) for reject in rejects).items():
            self._report.count("api_rejects", self._account, f"{part}{path}", reason, by=number)

    def episode_ended(self, episode: EpisodeTrace) -> None:
        """Count a finished episode; its trace, if there is one, is the exemplar."""
        if episode.outcome not in EPISODE_OUTCOMES:
            return
        exemplar = {"trace_id": episode.trace.id.hex()} if episode.trace is not None else None
        labels = self._account, episode.kind
        self._report.count("episodes", *labels, episode.outcome, exemplar=exemplar)
        self._report.observe("episode_duration_seconds", episode.seconds, *labels, exemplar=exemplar)

    def poller_state(self, state: PollerState) -> None:
        """Set the metrics of the poller after a turn."""
        report, account = self._report, self._account
        self._set("detail_queue", state.queue, account)
        self._set("detail_load_ratio", state.load, account)
        before = self._polling
        # Most turns change none of these many gauges.
        for part, count in state.stale.items() - (before.stale.items() if before else ()):
            self._set("detail_stale", count, account, part)
        for (extra, importance), count in state.dropped.items() - (before.dropped.items() if before else ()):
            self._set("detail_dropped_workloads", count, account, extra, importance)
        self._polling = state
        if not self._retired:
            report.ages[account] = state.ages

    def sweep_ended(self, sweep: Sweep, snapshot: Snapshot, vanished: int, seconds: float) -> None:
        """Record a finished sweep, the snapshot after it, and the number of newly vanished workloads.

        Only a successful sweep updates the time of success.
        """
        report, account = self._report, self._account
        report.count("sweeps", account, LANE)
        report.observe("sweep_duration_seconds", seconds, account, LANE)
        if sweep.failure:
            report.count("sweep_failures", account, LANE, sweep.failure)
        self._rejected(sweep.rejects)
        for field, values in unknown_values(sweep.workloads).items():
            report.count("api_unknown_values", account, field, by=values.total())
        self._set("api_up", float(not sweep.failure), account)
        self._set("sweep_complete", float(not sweep.failure), account, LANE)
        report.count("vanished_workloads", account, by=vanished)
        if snapshot.attempted is not None:
            self._set("sweep_last_attempt_timestamp_seconds", snapshot.attempted, account, LANE)
        if snapshot.succeeded is not None:
            self._set("sweep_last_success_timestamp_seconds", snapshot.succeeded, account, LANE)
            self._set("objects", len(snapshot.workloads), account, "workload")
