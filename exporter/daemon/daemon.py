"""The daemon: its composition, and what its settings change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from exporter.alerting.subjects import ExporterStatus, worst
from exporter.clock import Clock
from exporter.daemon import views
from exporter.daemon.accounts import Accounts
from exporter.daemon.event_export import EventExport
from exporter.daemon.leases import Leases
from exporter.daemon.lifetime import run
from exporter.daemon.memory import GarbageCollection
from exporter.daemon.metric_export import MetricExport
from exporter.daemon.paging import Paging
from exporter.daemon.prepared import Prepared, all_of
from exporter.daemon.publication import Publication, exposition
from exporter.daemon.reload import Reloader
from exporter.daemon.schedule import SweepSchedule
from exporter.daemon.state_writer import StateWriter
from exporter.daemon.tasks import BackgroundTasks
from exporter.daemon.trace_export import TraceExport
from exporter.daemon.watched_files import WatchedFiles
from exporter.log import log
from exporter.redaction import Secrets
from exporter.settings.file_contents import changed, contents
from exporter.settings.model import Settings
from exporter.state.leases import LeaseTable
from exporter.state.opened import check_url
from exporter.state.rights import Rights
from exporter.state.store import Store
from exporter.telemetry.logs import set_up
from exporter.telemetry.report import Report
from exporter.web.application import Application
from exporter.web.web_config import read_web_config


class Daemon:
    """All accounts, the page and the server.

    `load` reads the settings again for a reload, from `settings_files`; it is also called if these change. `note` is
    shown at the top of the status page. `leases`: those of this replica, if there may be others.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        *,
        clock: Clock | None = None,
        store: Store | None = None,
        note: str = "",
        settings_files: Sequence[Path] = (),
        leases: LeaseTable | None = None,
    ) -> None:
        self.settings = settings
        self.store = store or Store(None)
        self.clock = clock = clock or Clock()
        self.running = False
        self._secrets = secrets = Secrets(settings.secrets())
        self.report = report = Report(clock.wall())
        self.tasks = BackgroundTasks()
        self.garbage = GarbageCollection(clock.steady)
        self.schedule = SweepSchedule(sweep=self.sweep, report=report, clock=clock)
        self.rights = rights = Rights(leased=leases is not None, steady=clock.steady)
        self.accounts = Accounts(
            store=self.store,
            report=report,
            secrets=secrets,
            clock=clock,
            schedule=self.schedule,
            tasks=self.tasks,
            rights=rights,
            renew=lambda: self.files.read_secrets(),
        )
        self.state = StateWriter(
            store=self.store,
            accounts=self.accounts,
            rights=rights,
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
            rights=rights,
        )
        self.paging = Paging(
            store=self.store,
            report=report,
            secrets=secrets,
            clock=clock,
            accounts=self.accounts,
            own_state=self.own_state,
            rights=rights,
        )
        lists = views.Lists(lambda: self.settings, lambda: self.accounts.monitors)
        pages = views.Pages(
            lambda: self.settings,
            lambda: self.accounts.monitors,
            lambda: self.leases.holders if self.leases is not None else None,
            lambda: self.paging.pager.silences if self.paging.pager is not None else None,
            clock.wall,
            note,
        )
        self.application = Application(
            metrics_path=settings.web.telemetry_path,
            reload=self.reload,
            heartbeat_age=lambda: self.publication.heartbeat_age,
            not_ready=lambda: (self.leases.not_ready if self.leases else "") or self.publication.not_ready,
            status_page=pages.status,
            workloads_csv=pages.status.csv,
            workloads_json=pages.status.json,
            workload_page=pages.workload,
            workload_json=pages.workload.json,
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
        self.application.hosts = settings.web.hosts
        self.publication = Publication(
            settings.metrics,
            accounts=self.accounts,
            state=self.state,
            report=report,
            clock=clock,
            serve=self.application.publish,
        )
        self.event_export = EventExport(
            store=self.store, report=report, secrets=secrets, clock=clock, tasks=self.tasks, rights=rights
        )
        self.metric_export = MetricExport(
            page=lambda: self.publication.page,
            report=report,
            secrets=secrets,
            clock=clock,
            tasks=self.tasks,
            instance=self.traces.instance,
        )
        self.reloader = Reloader(
            load=load,
            prepare=self.prepare,
            apply=self._apply,
            publish=self.refresh_page,
            secrets=secrets,
            report=report,
            clock=clock,
        )
        self.leases: Leases | None = None
        if leases is not None:
            self.leases = Leases(
                leases,
                rights,
                accounts=self.accounts,
                paging=self.paging,
                state=self.state,
                settings=lambda: self.settings,
                status=self._status,
                lock=self.reloader.lock,
                report=report,
                clock=clock,
            )
        self.files = WatchedFiles(
            settings_files,
            reload=self.reload,
            rebuild=lambda: self.reloader.rebuild(lambda: self.settings),
            renewed=self.paging.retry,
            refused=lambda: self.reloader.refused,
        )

    # -- settings

    def prepare(self, new: Prepared) -> None:
        """Build everything new settings name, without affecting what is in force.

        Raises `BadSettings` with all problems, and any other exception of a step.
        """
        settings = new.settings
        files = (*self.files.settings_files, *settings.all_pem_files)
        new.contents = contents(files)
        new.changed_files = changed(self.files.in_force, new.contents)
        traces_changed = not self.running or self._traces_changed(new)
        steps: list[Callable[[], object]] = [
            partial(self.accounts.prepare, new, self.settings),
            partial(self.traces.prepare, new, changed=traces_changed),
            partial(self.metric_export.prepare, new),
            partial(self.event_export.prepare, new),
            partial(self.paging.prepare, new),
            partial(check_url, settings.state),
        ]
        if settings.web.config_file is not None:
            steps.append(partial(read_web_config, settings.web.config_file))
        all_of(steps)
        if settings.metrics.page != self.settings.metrics.page:
            new.exposition = exposition(settings.metrics)

    def _traces_changed(self, new: Prepared) -> bool:
        return new.settings.traces != self.settings.traces or new.uses_changed_file(new.settings.traces)

    def _apply(self, new: Prepared) -> None:
        """Put in force what was built, in one step of the event loop: nothing here waits, reads a file or can fail."""
        settings, old, traces_changed = new.settings, self.settings, self._traces_changed(new)
        self.files.in_force = new.contents
        for name in ("listen_address", "config_file", "telemetry_path"):
            if getattr(settings.web, name) != getattr(old.web, name):
                log.warning("takes effect at the next start", setting=f"web.{name}")
        if settings.state != old.state:
            log.warning("takes effect at the next start", setting="state")
        self.application.hosts = settings.web.hosts
        if new.exposition is not None:
            self.publication.use(settings.metrics, new.exposition)
        if settings.log != old.log:
            self.log_to(settings)
        if traces_changed:
            self.traces.replace(new)
        if settings.metrics.otlp != old.metrics.otlp or new.uses_changed_file(settings.metrics.otlp):
            self.metric_export.replace(new)
        if settings.events != old.events or new.uses_changed_file(settings.events.otlp):
            self.event_export.replace(new)
        self.replace_accounts(new)
        sections = ("paging", "alerts", "sweep")
        pages_otherwise = any(getattr(settings, section) != getattr(old, section) for section in sections)
        if pages_otherwise or new.uses_changed_file(*settings.paging.receivers):
            self.tasks.start(self.paging.replace(settings, new.take_notifiers()))

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
        problems = await self.reloader.reload()
        self.garbage.expect_garbage()
        return problems

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
        monitor = self.accounts.monitors.get(account)
        if monitor is None:  # removed since the sweep was started
            return
        with monitor.traced():
            await monitor.sweep()
            await self.publish()

    async def publish(self) -> None:
        """Publish the current snapshots."""
        await self.publication.publish()
        self.garbage.collect(self.accounts.workloads)

    def own_state(self) -> ExporterStatus:
        """The state of the exporter for the evaluation of alerts; of several replicas, what is wrong with any."""
        others = self.leases.others.values() if self.leases is not None else ()
        return worst([self._status(), *(each.status for each in others if each.status is not None)])

    def _status(self) -> ExporterStatus:
        return ExporterStatus(
            left_out=self.publication.workloads_left_out,
            unwritten=self.state.seconds_since_failure,
            settings_good=self.reloader.successful,
            undelivered=self.paging.failing_seconds,
            published=self.publication.published,
        )

    async def watch_files(self) -> None:
        """Apply files that have changed."""
        try:
            await self.files.refresh()
        except Exception:  # anything: the files in use stay in use
            log.exception("files could not be checked for changes")

    async def refresh_page(self) -> None:
        try:
            await self.publish()
        except Exception:  # anything: the previous page is better than none, and the next may succeed
            log.exception("the page could not be published; still serving the previous one")

    async def run(self, bound: Callable[[], None] = lambda: None) -> None:
        """Sweep and serve until SIGTERM or Ctrl-C. `bound` is called when all addresses are bound.

        Raises OSError if an address cannot be listened on, `BadSettings` for an invalid web config or certificate.
        """
        await run(self, bound)
