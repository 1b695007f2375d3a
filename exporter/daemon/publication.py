"""Publishing: renders the page of /metrics from the current snapshots and hands it to the web server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Sized

from exporter.clock import Clock
from exporter.daemon.accounts import Accounts
from exporter.daemon.state_writer import StateWriter
from exporter.log import log
from exporter.metrics.exposition import Body, Exposition, account_bodies
from exporter.metrics.registry import served, served_accounts
from exporter.otlp.metric_encoding import ServedPage
from exporter.settings.metrics import MetricsSettings
from exporter.telemetry.report import Report
from exporter.telemetry.sweep_trace import part
from exporter.web.metrics_page import Published, Publisher

REST = 9.0
"""Of several accounts, pages are made during a tenth of the time at most: after one, none is made for so many times its
duration.
"""
MAX_REST_SECONDS = 5.0


def exposition(settings: MetricsSettings) -> Exposition:
    """An empty exposition of the families that the settings select."""
    return Exposition(served(settings.profile, tags=bool(settings.tags)), settings.series_limit)


class Publication:
    """`publish` renders the page and passes it to `serve`. `connections`: those of the web server."""

    def __init__(
        self,
        settings: MetricsSettings,
        *,
        accounts: Accounts,
        state: StateWriter,
        report: Report,
        clock: Clock,
        serve: Callable[[Published], None],
    ) -> None:
        self._accounts, self._state, self._report, self._clock, self._serve = accounts, state, report, clock, serve
        self.connections: Sized = ()
        self.use(settings, exposition(settings))
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        """The publication that has not begun; all callers that wait share it."""
        self._current: asyncio.Task[None] | None = None
        self._heartbeat = self._rested_at = clock.steady()
        self.published = False
        """Whether a page was published since the start."""
        self.page: ServedPage | None = None
        """What is served, for `exporter.otlp.metric_push`; None before the first page."""
        self.workloads_left_out = 0
        """Workloads missing on the page because of `metrics.series_limit`."""
        self._complete: frozenset[str] = frozenset()
        """Accounts of which the served page contains a complete sweep."""

    def use(self, settings: MetricsSettings, exposition: Exposition) -> None:
        """Render with an exposition made for these settings from now on."""
        self._settings, self._exposition, self._publisher = settings, exposition, Publisher()
        self._account_families = served_accounts(settings.profile)

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the page was last rendered."""
        return self._clock.steady() - self._heartbeat

    @property
    def not_ready(self) -> str:
        """The accounts of which the served page contains no complete sweep yet, with reasons; empty: ready."""
        reasons = {name: monitor.not_ready for name, monitor in self._accounts.monitors.items()}
        for name in reasons.keys() - self._complete:
            reasons[name] = reasons[name] or f"account {name}: swept, but its workloads are not on the page yet"
        return "; ".join(filter(None, reasons.values()))

    async def publish(self) -> None:
        """Serve a page of snapshots that are at least as new as this call. Callers that wait for a page in progress
        share the one after it, and its failure; if one is cancelled, the others get their page.
        """
        if self._next is None:  # in the context of this caller: in the trace of its sweep
            self._next = asyncio.create_task(self._publish())
        await asyncio.shield(self._next)

    async def _publish(self) -> None:
        async with self._lock:
            rest = self._rested_at - self._clock.steady()
            if rest > 0 and len(self._accounts.monitors) > 1:  # the sweeps of many accounts end all the time
                await self._clock.pause(rest)
            self._current, self._next = self._next, None  # referenced until it is done
            began = self._clock.steady()
            # A reload may replace these meanwhile: one page is rendered by the same ones from start to end.
            exposition, families, publisher = self._exposition, self._account_families, self._publisher
            shown, monitors = self._accounts.visible(), self._accounts.monitors
            accounts = [(name, monitor.facts) for name, monitor in monitors.items()]
            complete = frozenset(name for name, monitor in monitors.items() if not monitor.not_ready)
            await self._state.commit()  # before it is shown: a restart must not count again what Prometheus has counted
            rendering = self._clock.steady()
            with part("render"):
                for _ in exposition.steps(shown):
                    await asyncio.sleep(0)  # rendering a large fleet must not delay requests
                bodies = [*exposition.bodies(), *account_bodies(families, accounts)]
            self._report_left_out(exposition.left_out)
            self._heartbeat, self.published = self._clock.steady(), True
            self._report.set("heartbeat_timestamp_seconds", self._clock.wall())
            self._report.set("series", exposition.series)
            self._report.set("http_connections", len(self.connections))
            published, own = await asyncio.to_thread(self._built, publisher, bodies)
            self._serve(published)
            self.page = ServedPage(bodies, own, shown, accounts, self._report.started)
            self._complete = complete
            for (form, encoding), size in published.sizes.items():
                self._report.set("exposition_bytes", size, form, encoding)
            ended = self._clock.steady()
            self._report.observe("publish_duration_seconds", ended - began)
            self._rested_at = ended + min(REST * (ended - rendering), MAX_REST_SECONDS)

    def _built(self, publisher: Publisher, bodies: Sequence[Body]) -> tuple[Published, bytes]:
        """The page, and its own metrics in OpenMetrics, which take twenty milliseconds and read files of the system."""
        text, openmetrics = self._report.both()
        return publisher.publish(bodies, text, openmetrics), openmetrics

    def _report_left_out(self, count: int) -> None:
        if count and not self.workloads_left_out:
            limit = self._settings.series_limit
            log.warning("metrics.series_limit reached; workloads are left out", workloads=count, series_limit=limit)
        self.workloads_left_out = count
        self._report.set("series_left_out_workloads", count)
