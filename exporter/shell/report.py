"""Our own counters, kept by prometheus_client: requests, sweeps, rejects, and the process."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client import generate_latest as _generate

from exporter import __version__
from exporter.core.step import Knowledge, Sweep
from exporter.shell.client import REASONS

PREFIX = "datarobot_exporter_"


class Report:
    """The exporter's own families. Every reason is there from the start, at 0."""

    def __init__(self, account: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._account = account

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, text, ("account", *labels), registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(PREFIX + name, text, ("account", *labels), registry=self.registry)

        Gauge(
            PREFIX + "build_info", "Version of this exporter; always 1.", ("version", "python"), registry=self.registry
        ).labels(__version__, platform.python_version()).set(1)
        self._requests = counter(
            "api_requests_total", "Requests to the API by route and status code.", "endpoint", "code"
        )
        self._retries = counter("api_retries_total", "Requests tried again, by why.", "endpoint", "reason")
        self._waits = counter("api_wait_seconds_total", "Seconds requests waited, by what for.", "reason")
        self._seconds = Histogram(
            PREFIX + "api_request_duration_seconds",
            "Time from request to last byte of the answer.",
            ("account", "endpoint"),
            registry=self.registry,
        )
        self._rejects = counter(
            "api_rejects_total", "Items or fields of answers left out, by place and why.", "path", "reason"
        )
        self._sweeps = counter("sweeps_total", "Sweeps ended, complete or not.")
        self._failures = counter("sweep_failures_total", "Sweeps that were not complete, by why.", "reason")
        self._vanished = gauge("vanished_workloads", "Workloads absent from two complete sweeps in a row, since start.")
        self._up = gauge("api_up", "1 when the last sweep was complete, else 0.")
        self._attempt = gauge("sweep_last_attempt_timestamp_seconds", "When the last sweep ended, complete or not.")
        self._success = gauge("sweep_last_success_timestamp_seconds", "When the last complete sweep ended.")
        self._interval = gauge("sweep_interval_seconds", "Time between the starts of two sweeps.")
        self._duration = gauge("sweep_last_duration_seconds", "How long the last sweep took.")
        for reason in REASONS:
            self._failures.labels(account, reason)

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request that ended with `code`, or with ``error`` when there was no answer."""
        self._requests.labels(self._account, endpoint, code).inc()
        self._seconds.labels(self._account, endpoint).observe(seconds)

    def retry(self, endpoint: str, reason: str) -> None:
        """Count one request that is tried again."""
        self._retries.labels(self._account, endpoint, reason).inc()

    def wait(self, reason: str, seconds: float) -> None:
        """Count the time a request was held back."""
        self._waits.labels(self._account, reason).inc(seconds)

    def swept(self, sweep: Sweep, known: Knowledge, seconds: float, interval: float) -> None:
        """Tell of a sweep that ended and of what is known after it. The time of success moves on success only."""
        self._sweeps.labels(self._account).inc()
        if sweep.failure:
            self._failures.labels(self._account, sweep.failure).inc()
        for reject in sweep.rejects:
            self._rejects.labels(self._account, reject.path, reject.reason).inc()
        self._up.labels(self._account).set(0 if sweep.failure else 1)
        self._vanished.labels(self._account).set(known.vanished)
        self._duration.labels(self._account).set(seconds)
        self._interval.labels(self._account).set(interval)
        if known.attempted is not None:
            self._attempt.labels(self._account).set(known.attempted)
        if known.succeeded is not None:
            self._success.labels(self._account).set(known.succeeded)

    def text(self) -> bytes:
        """The families in text format 0.0.4."""
        return _generate(self.registry)
