"""The daemon: composition, start and shutdown.

The page is published after each sweep and on a timer. The timer is independent of the sweeps, so a sweep that hangs
neither keeps deleted workloads on the page nor stops the heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from exporter import __version__, signals
from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.daemon import views
from exporter.daemon.accounts import Accounts
from exporter.daemon.event_loop import measure_lag
from exporter.daemon.memory import GarbageCollection
from exporter.daemon.paging import Paging
from exporter.daemon.prepared import Prepared, all_of
from exporter.daemon.publication import Publication, exposition
from exporter.daemon.reload import Reloader
from exporter.daemon.schedule import SweepSchedule
from exporter.daemon.state_writer import StateWriter
from exporter.daemon.tasks import BackgroundTasks
from exporter.daemon.trace_export import TraceExport
from exporter.log import log
from exporter.redaction import Secrets
from exporter.settings.model import Settings
from exporter.state.store import Store
from exporter.telemetry.logs import set_up
from exporter.telemetry.report import Report
from exporter.web.application import Application
from exporter.web.server import Server
from exporter.web.status_page import StatusPage
from exporter.web.web_config import WebSecurity, read_web_config

CLOSE_SECONDS = 3.0
"""Seconds in which everything stops together; what does not is cancelled."""
REFRESH_SECONDS = 5.0
"""Seconds between two publications if no sweep ends."""


class Daemon:
    """All accounts, the page and the server.

    `load` reads the settings again for a reload. `note` is shown at the top of the status page.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        *,
        clock: Clock | None = None,
        store: Store | None = None,
        note: str = "",
    ) -> None:
        self.settings = settings
        self.store = store or Store(None)
        self.clock = clock = clock or Clock()
        self._started = clock.wall()
        self._running = False
        self._security: WebSecurity | None = None
        self._secrets = secrets = Secrets(settings.secrets())
        self.report = report = Report(clock.wall())
        self.tasks = BackgroundTasks()
        self._garbage = GarbageCollection(clock.steady)
        self.schedule = SweepSchedule(sweep=self.sweep, report=report, clock=clock)
        self.accounts = Accounts(
            store=self.store, report=report, secrets=secrets, clock=clock, schedule=self.schedule, tasks=self.tasks
        )
        self.state = StateWriter(
            store=self.store,
            accounts=self.accounts,
            report=report,
            clock=clock,
            max_trace_bytes=settings.traces.max_bytes,
        )
        self.traces = TraceExport(
            store=self.store,
            report=report,
            secrets=secrets,
            clock=clock,
            tasks=self.tasks,
            address=settings.web.listen_address[0],
        )
        self.paging = Paging(
            store=self.store,
            report=report,
            secrets=secrets,
            clock=clock,
            accounts=self.accounts,
            own_state=self.own_state,
        )
        lists = views.Lists(lambda: self.settings, lambda: self.accounts.monitors)
        self.application = Application(
            metrics_path=settings.web.telemetry_path,
            reload=self.reload,
            heartbeat_age=lambda: self.publication.heartbeat_age,
            not_ready=lambda: self.publication.not_ready,
            status_page=StatusPage(
                lambda: views.status(
                    self.settings, self.accounts.monitors, started=self._started, now=clock.wall(), note=note
                )
            ),
            targets=lists.targets,
            silences=lambda method, parameters: self.paging.silences(
                method, parameters, self.settings.alerts.options.label_names
            ),
            config=lambda: self.settings.dump() if self.settings.web.debug_config else None,
            episodes=lists.episodes,
            count=lambda path, code: report.count("http_requests", path, code),
            refused=lambda reason: report.count("http_requests_refused", reason),
            closed=lambda reason: report.count("http_connections_closed", reason),
        )
        self.publication = Publication(
            settings.metrics,
            accounts=self.accounts,
            state=self.state,
            report=report,
            clock=clock,
            serve=self.application.publish,
        )
        self._reloader = Reloader(
            load=load,
            prepare=self.prepare,
            apply=self._apply,
            publish=self._refresh_page,
            secrets=secrets,
            report=report,
            clock=clock,
        )

    # -- settings

    def prepare(self, new: Prepared) -> None:
        """Build everything new settings name, without affecting what is in force.

        Raises `BadSettings` with all problems, and any other exception of a step.
        """
        settings = new.settings
        traces_changed = not self._running or settings.traces != self.settings.traces
        steps: list[Callable[[], object]] = [
            partial(self.accounts.prepare, new, self.settings),
            partial(self.traces.prepare, new, changed=traces_changed),
            partial(self.paging.prepare, new),
        ]
        if settings.web.config_file is not None:
            steps.append(partial(read_web_config, settings.web.config_file))
        all_of(steps)
        if settings.metrics != self.settings.metrics:
            new.exposition = exposition(settings.metrics)

    def _apply(self, new: Prepared) -> None:
        """Put in force what was built, in one step of the event loop: nothing here waits, reads a file or can fail."""
        settings, old = new.settings, self.settings
        for name in ("listen_address", "config_file", "telemetry_path"):
            if getattr(settings.web, name) != getattr(old.web, name):
                log.warning("takes effect at the next start", setting=f"web.{name}")
        if new.exposition is not None:
            self.publication.use(settings.metrics, new.exposition)
        if settings.log != old.log:
            self.log_to(settings)
        if settings.traces != old.traces:
            self.traces.replace(new)
        self.replace_accounts(new)
        if any(getattr(settings, section) != getattr(old, section) for section in ("paging", "alerts", "sweep")):
            self.tasks.start(self.paging.replace(settings, new.take_notifiers(), new.paging_state))

    def replace_accounts(self, new: Prepared) -> None:
        """Monitor the accounts of new settings from now on; these are then the settings in force."""
        self.accounts.replace(new, self.traces.self_traces)
        self.settings = settings = new.settings
        self.state.max_trace_bytes = settings.traces.max_bytes
        shard, shards = settings.select.shard_numbers
        self.report.set("shard_ordinal", shard)
        self.report.set("shards", shards)
        self.report.set("series_limit", settings.metrics.series_limit)

    async def reload(self) -> list[str]:
        """Read the settings again, all or nothing; returns the problems, with which the old ones stay in force."""
        return await self._reloader.reload()

    async def check(self) -> None:
        """Build everything the settings name, as a start and a reload do, and use none of it. Raises `BadSettings`."""
        new = Prepared(self.settings)
        try:
            self.prepare(new)
        finally:
            await new.aclose()

    def log_to(self, settings: Settings, *, background: bool = True) -> None:
        """Log as the settings say, and count the lines. `background`: lines that are not read in time are dropped."""
        set_up(
            settings.log.level,
            settings.log.format,
            lambda level: self.report.count("log_messages", level),
            clean=self._secrets.text,
            dropped=(lambda: self.report.count("log_lines_dropped")) if background else None,
        )

    # -- work

    async def sweep(self, account: str) -> None:
        """Sweep one account and publish the result."""
        monitor = self.accounts.monitors[account]
        with monitor.traced():
            await monitor.sweep()
            await self.publish()

    async def publish(self) -> None:
        """Publish the current snapshots."""
        await self.publication.publish()
        self._garbage.freeze(ready=not self.publication.not_ready)

    def own_state(self, delivery_failing_seconds: float) -> ExporterStatus:
        """The exporter's own state for the evaluation of alerts."""
        return ExporterStatus(
            left_out=self.publication.workloads_left_out,
            unwritten=self.state.seconds_since_failure,
            settings_good=self._reloader.successful,
            undelivered=delivery_failing_seconds,
            published=self.publication.published,
        )

    async def _refresh(self) -> None:
        while True:
            self.schedule.follow_clock()
            if self._security is not None:
                self.tasks.start(self._security.refresh())
            await self._refresh_page()
            await asyncio.sleep(REFRESH_SECONDS)  # the timer of publications

    async def _refresh_page(self) -> None:
        try:
            await self.publish()
        except Exception:  # anything: the previous page is better than none, and the next may succeed
            log.exception("the page could not be published; still serving the previous one")

    # -- start and shutdown

    async def run(self) -> None:
        """Sweep and serve until SIGTERM or Ctrl-C.

        Raises OSError if an address cannot be listened on, `BadSettings` for an invalid web config or certificate.
        """
        new = Prepared(self.settings)
        try:
            self.prepare(new)
            server = self._server()
        except BaseException:
            await new.aclose()
            raise
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        with signals.handled(
            stop=lambda: loop.call_soon_threadsafe(stopped.set),
            reload=lambda: loop.call_soon_threadsafe(self._reload_in_background),
        ):
            await self._start(new)
            serving = asyncio.create_task(server.run_until_stopped())
            timers = [
                asyncio.create_task(self._refresh()),
                asyncio.create_task(measure_lag(self.report, self.clock.steady)),
            ]
            await asyncio.wait({serving, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            for timer in timers:
                timer.cancel()
            server.stop()
            await self._stop(serving)
            if not stopped.is_set():
                serving.result()  # the server ended by itself: with an exception

    def _reload_in_background(self) -> None:
        self.tasks.start(self.reload())

    async def _start(self, new: Prepared) -> None:
        """Start everything but the web server."""
        if self.store.lost:
            self.report.count("state_lost", "transactions", by=self.store.lost)
            log.warning("the last changes of the state are lost: its log was damaged", transactions=self.store.lost)
        async with self._reloader.lock:  # a reload requested by now waits until everything is started
            self._running = True
            self.traces.replace(new)
            self.replace_accounts(new)
            self.accounts.start_polling()
            await self.paging.replace(new.settings, new.take_notifiers(), new.paging_state)
            await new.aclose()
        self.schedule.start()
        web = self.settings.web
        log.info(
            "serving",
            version=__version__,
            metrics=", ".join(address + web.telemetry_path for address in web.listen_address),
            accounts=", ".join(account.name for account in self.settings.accounts),
        )

    async def _stop(self, serving: asyncio.Task[None]) -> None:
        """Stop everything at once, within `CLOSE_SECONDS` together, whatever hangs."""
        self._reloader.stopping = True
        self.schedule.stop()
        closing = [
            serving,
            *map(asyncio.create_task, (self._close_accounts(), self.paging.aclose(), self.traces.aclose())),
        ]
        done, late = await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for task in late:
            task.cancel()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("stopping failed in part", exc_info=error)
        await asyncio.to_thread(self.store.close)

    async def _close_accounts(self) -> None:
        await self.accounts.aclose()
        await self.state.commit()

    def _server(self) -> Server:
        """The web server, not yet listening. Raises as `run`."""
        web = self.settings.web
        security = self._security = None if web.config_file is None else WebSecurity(web.config_file)
        if security is not None:
            self.application.passwords = security.passwords
        server = Server(self.application, web.listen_address, lambda: None if security is None else security.tls)
        self.publication.connections = server.connections
        return server
