"""The daemon: APScheduler starts the sweeps, uvicorn serves, and the page is updated after each sweep and on a timer.

The timer is independent of the sweeps, so a sweep that hangs neither keeps deleted workloads on the page nor stops the
heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter import __version__
from exporter.alerting.alarms import Exporter, Subscription
from exporter.alerting.routing import chosen, quiet
from exporter.alerting.silences import BadSilence, new_silence
from exporter.api import models
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Pending, Plan
from exporter.collect.client import Client
from exporter.collect.log_tail import LogTails
from exporter.daemon.prepared import Prepared, all_of, check_ca_file, trigger
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import restored
from exporter.fleet.selection import Selection
from exporter.metrics.exposition import Exposition, account_bodies, bounded
from exporter.metrics.registry import served, served_accounts
from exporter.otlp.sender import Sender
from exporter.otlp.transport import encode, transport
from exporter.paging.notify import Notifier, notifiers
from exporter.paging.notify.pagerduty import PagerDuty
from exporter.paging.pager import EVERY, Pager, Receiver
from exporter.redaction import Secrets
from exporter.settings import AccountSettings, AnyReceiver, Settings, TraceSettings, seconds, tag_values
from exporter.settings.validation import BadSettings
from exporter.state.store import Frozen, StateError, Store
from exporter.telemetry.logs import set_up
from exporter.telemetry.own_metrics import LANE, AccountReport, Report
from exporter.telemetry.sweep_trace import part
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import in_progress
from exporter.tracing.trace import Trace
from exporter.web.metrics_page import Publisher
from exporter.web.server import Application, Server, Silenced
from exporter.web.status_page import AccountStatus, Status, StatusPage
from exporter.web.web_config import WebSecurity, read_web_config

if TYPE_CHECKING:
    from exporter.otlp.self_traces import SelfTraces

log = logging.getLogger("exporter")

REFRESH = 5.0
"""Seconds between two refreshes of the page if no sweep ends."""
COLLECT = 3600.0
"""Seconds between two complete garbage collections."""
CLOCK_JUMP = 5.0
_LAST = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()
LAG_EVERY = 0.1


def plan(account: AccountSettings, settings: Settings) -> Plan:
    """How an account is monitored under these settings."""
    detail, select = settings.detail, settings.select
    shard, shards = select.shard_numbers
    return Plan(
        stale_after=settings.sweep.stale_after,
        selection=Selection(
            tags=tag_values(select.tags),
            importance=select.importance,
            name=select.name,
            creators=select.creators,
            shard=shard,
            shards=shards,
        ),
        details=Policy(
            status_interval=settings.sweep.interval,
            interval=detail.interval,
            quantiles=detail.quantiles,
            parts=frozenset(detail.parts),
        )
        if detail.enabled
        else None,
        slow=detail.slow_requests,
        rate=account.requests_per_second,
        concurrency=account.concurrency,
        tracing=tracing(account, settings.traces) if settings.traces.endpoint else None,
    )


def tracing(account: AccountSettings, traces: TraceSettings) -> Tracing:
    """Which traces are made of an account's workloads, and with which ids."""
    return Tracing(
        host=account.origin,
        service_name=traces.service_name,
        attributes=traces.resource,
        kinds=frozenset(traces.kinds),
        importance=traces.importance,
        ratio=traces.sample_ratio,
        min_duration=traces.min_duration,
        crashes=traces.crashes,
        checkpoint_after=traces.checkpoint_after,
        backfill=traces.backfill,
    )


def _receiver(told: AnyReceiver, way: Notifier, severity_label: str) -> Receiver:
    """A receiver of the settings as the pager takes it."""
    wants = told.wants(severity_label)
    change = way.change if isinstance(way, PagerDuty) and told.kind == "pagerduty" and told.changes else None
    return Receiver(
        name=way.name,
        send=way.send,
        subscription=Subscription(
            wants=lambda each: chosen(wants, each), quiet=lambda each, now: quiet(wants, each, now), ends=wants.resolved
        ),
        standing=told.kind == "alertmanager",
        repeat=told.repeat_interval,
        change=change,
        hears=lambda each: chosen(wants._replace(severities=frozenset({"none"}), alerts=frozenset()), each),
    )


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h of glibc


def keep_memory_whole() -> None:
    """Return memory of replaced page fragments to the system: saves 8 % with a fleet of 10,000.

    Fragments are replaced all the time and would leave holes in a single heap. Does nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 16384)
        libc.mallopt(_M_ARENA_MAX, 1)


class _Tasks(set[asyncio.Task[object]]):
    """Background tasks, kept until they are done. Logs their exceptions."""

    def add(self, task: asyncio.Task[object]) -> None:
        super().add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what was begun beside the sweeps has failed", exc_info=error)


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
        self._note = note
        self._secrets = Secrets(settings.secrets())
        self._load, self._clock = load, clock or Clock()
        self._store = store or Store(None)
        self._live = self._stopping = False
        self._committing = True
        self._unwritten_at: float | None = None
        self._settings_good = True
        self.settings = settings
        self.report = Report(self._clock.wall())
        self.monitors: dict[str, AccountMonitor] = {}
        self.sender: Sender | None = None
        self.pager: Pager | None = None
        self._sending_lock, self._paging_lock, self._reloading = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._self_traces: SelfTraces | None = None
        self._exposition = Exposition(served(settings.metrics.profile), settings.metrics.series_limit)
        self._publisher = Publisher()
        self._publishing = asyncio.Lock()
        self._beat, self._published = self._clock.steady(), False
        self._served: frozenset[str] = frozenset()
        """Accounts for which the served page shows a complete sweep."""
        self._drift = self._clock.wall() - self._clock.steady()
        self._started = self._clock.wall()
        self._collected: float | None = None
        self._left_out = 0
        self._frozen: dict[str, dict[bytes, Frozen | None]] = {}
        self._of_accounts = served_accounts(settings.metrics.profile)
        self._tasks = _Tasks()
        self._security: WebSecurity | None = None
        self._connections: Sized = ()
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._overran, EVENT_JOB_MAX_INSTANCES)
        self.application = Application(
            metrics_path=settings.web.telemetry_path,
            reload=self.reload,
            heartbeat_age=lambda: self._clock.steady() - self._beat,
            not_ready=self._not_ready,
            front=StatusPage(self._status),
            targets=self._targets,
            silences=self._silences,
            config=lambda: self.settings.dump() if self.settings.web.debug_config else None,
            episodes=lambda: self._episodes() if self.settings.web.debug_config else None,
            count=lambda path, code: self.report.count("http_requests", path, code),
            refused=lambda reason: self.report.count("http_requests_refused", reason),
            closed=lambda reason: self.report.count("http_connections_closed", reason),
        )
        self._reloaded(True)

    # -- accounts

    def _prepare_accounts(self, new: Prepared) -> None:
        """Build the clients of the accounts that are new or changed, and load the state of new ones."""
        kept = self._kept(new.settings)
        accounts = new.settings.accounts
        all_of(partial(check_ca_file, account) for account in accounts)
        for account in accounts:
            if account.name in kept:
                continue
            new.clients[account.name] = self._client(account, new.settings)
            if account.name not in self.monitors:
                new.states[account.name] = self._store.load(account.name)

    def _kept(self, settings: Settings) -> set[str]:
        """The accounts whose watching these settings do not change."""
        before = {account.name: account for account in self.settings.accounts} if self.monitors else {}
        parts = ("sweep", "detail", "select", "traces")
        if any(getattr(settings, part) != getattr(self.settings, part) for part in parts):
            return set()
        return {account.name for account in settings.accounts if before.get(account.name) == account}

    def _client(self, account: AccountSettings, settings: Settings) -> tuple[Client, AccountReport]:
        """A client, and what it reports to: nothing before its first request."""
        report = AccountReport(self.report, account.name, settings.sweep.interval, self._clock.wall)
        client = Client(
            account.endpoint,
            account.token_source(),
            report,
            rate=account.requests_per_second,
            concurrency=account.concurrency,
            timeout=account.timeout,
            ca_file=str(account.ca_file) if account.ca_file else None,
            secrets=self._secrets,
            user_agent=f"workload-exporter/{__version__}",
            steady=self._clock.steady,
            pause=self._clock.pause,
        )
        return client, report

    def _watch(self, account: AccountSettings, new: Prepared) -> AccountMonitor:
        """The watch of an account by a client that was built for it."""
        settings = new.settings
        self.report.account(account.name, settings.sweep.interval, account.requests_per_second)
        client, report = new.clients.pop(account.name)
        before = self.monitors.get(account.name)
        traced = self._self_traces.account(account.name, account.endpoint) if self._self_traces else nullcontext
        if before is not None:
            return before.resumed(client, report, plan(account, settings), traced)
        state = new.states[account.name]
        if state.unreadable:
            fields = {"account": account.name, "rows": state.unreadable}
            log.warning("rows of the state cannot be read; their totals begin anew", extra={"fields": fields})
        known = restored(account.name, state.ledgers, state.tally)
        return AccountMonitor(known, client, report, plan(account, settings), self._clock, traced)

    def adopt(self, settings: Settings) -> None:
        """Watch the accounts of `settings` from now on. Raises `BadSettings`."""
        new = Prepared(settings)
        self._prepare_accounts(new)
        self._watch_accounts(new)

    def _watch_accounts(self, new: Prepared) -> None:
        """Watch the accounts of new settings from now on; what is known of an account that stays is kept."""
        settings = new.settings
        monitors: dict[str, AccountMonitor] = {}
        for account in settings.accounts:
            if account.name in new.clients:
                monitors[account.name] = self._watch(account, new)
                self._schedule(account.name, new.schedule)
            else:
                monitors[account.name] = self.monitors[account.name]
        replaced = [monitor for name, monitor in self.monitors.items() if monitors.get(name) is not monitor]
        for name in self.monitors.keys() - monitors.keys():
            self._scheduler.remove_job(name)
            self.report.forget(name)
        self.monitors, self.settings = monitors, settings
        for monitor in monitors.values():
            if self._live:
                monitor.start()
        shard, shards = settings.select.shard_numbers
        self.report.set("shard_ordinal", shard)
        self.report.set("shards", shards)
        self.report.set("series_limit", settings.metrics.series_limit)
        for monitor in replaced:
            self._tasks.add(asyncio.create_task(monitor.close()))

    def _schedule(self, name: str, every: IntervalTrigger) -> None:
        self._scheduler.add_job(
            self._scheduled,
            every,
            args=(name,),
            id=name,
            next_run_time=datetime.fromtimestamp(self._clock.wall(), UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            replace_existing=True,
        )

    @property
    def schedule(self) -> dict[str, float]:
        """When the next sweep of each account is due, in seconds since the epoch."""
        return {job.id: job.next_run_time.timestamp() for job in self._scheduler.get_jobs()}

    def _overran(self, event: JobExecutionEvent) -> None:
        self.report.count("sweep_overruns", event.job_id, LANE)

    async def _scheduled(self, name: str) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # nothing but the end of the process cancels a sweep
            await self.sweep(name)

    async def sweep(self, name: str) -> None:
        """Sweep one account and bring the page up to date."""
        monitor = self.monitors[name]
        with monitor.traced():
            await monitor.sweep()
            await self.publish()

    # -- traces

    def send_to(self, traces: TraceSettings) -> None:
        """Send traces as these settings say from now on. Raises `BadSettings` for certificates that cannot be used."""
        new = Prepared(self.settings.model_copy(update={"traces": traces}))
        self._prepare_traces(new, True)
        self._send(new)

    def _prepare_traces(self, new: Prepared, changed: bool) -> None:
        """Build the way to the collector and, where it is `changed`, what makes traces of sweeps."""
        if new.settings.traces.endpoint:
            new.transport = transport(new.settings.traces, self._secrets)
            new.self_traces = self._traces_of_ours(new.settings.traces) if changed else None

    def _send(self, new: Prepared) -> None:
        """Send traces by what was built from now on; what is under way ends first."""
        way, traces = new.transport, new.settings.traces
        sender = Sender(self._store, way, self.report, traces, self._clock) if way is not None else None
        old, self.sender = self.sender, sender
        ended, self._self_traces = self._self_traces, new.self_traces
        new.self_traces = None

        async def replace() -> None:
            async with self._sending_lock:  # one after the other: two must not send the same
                if ended is not None:
                    await asyncio.to_thread(ended.close)
                if old is not None:
                    await old.close()
                if sender is not None and self.sender is sender:
                    sender.start()

        self._tasks.add(asyncio.create_task(replace()))

    def _traces_of_ours(self, traces: TraceSettings) -> SelfTraces | None:
        if not traces.self_traces:
            return None
        from exporter.otlp.self_traces import SelfTraces  # here: the SDK, for those who use it

        instance = f"{socket.gethostname()}{self.settings.web.listen_address[0].removeprefix('127.0.0.1')}"
        attributes = {name: str(value) for name, value in traces.resource.items()}
        clock = self._clock
        return SelfTraces(
            transport(traces, self._secrets),
            self.report,
            instance=instance,
            attributes=attributes,
            wall=clock.wall,
            steady=clock.steady,
        )

    # -- paging

    async def page_by(self, settings: Settings) -> None:
        """Page as these settings say from now on. Raises `BadSettings` for certificates that cannot be used."""
        new = Prepared(settings)
        try:
            self._prepare_paging(new)
            await self._page(settings, new.taken_ways())
        finally:
            await new.aclose()

    def _prepare_paging(self, new: Prepared) -> None:
        """Build the connections to all receivers, used or not: what is wrong with them is reported either way."""
        label = new.settings.alerts.options.severity_label

        def build(receiver: AnyReceiver) -> None:
            new.ways += [(receiver, way) for way in notifiers(receiver, label, self._secrets)]

        all_of(partial(build, receiver) for receiver in new.settings.paging.receivers)

    async def _page(self, settings: Settings, ways: Sequence[tuple[AnyReceiver, Notifier]]) -> None:
        """Page by these connections from now on; the pager before ends first."""
        told, options = settings.paging, settings.alerts.options
        async with self._paging_lock:  # two reloads at once must not leave two pagers
            before, self.pager = self.pager, None
            if before is not None:
                await before.close()
            if not ways:
                return
            receivers = [_receiver(receiver, way, options.severity_label) for receiver, way in ways]
            self.pager = Pager(
                self._store,
                self.report,
                options,
                receivers,
                lambda state, now: evidence(diagnosis(state, now, options)),
                lambda: [monitor.fleet for monitor in self.monitors.values()],
                self._own_state,
                self._clock,
                [way.aclose for _, way in ways],
                min(EVERY, max(0.5, settings.sweep.interval / 2)),
                LogTails(self._clients, told.log_lines).added if told.log_lines else None,
                before,
            )
            self.pager.start()

    def _clients(self) -> Mapping[str, Client]:
        return {name: monitor.client for name, monitor in self.monitors.items()}

    def _own_state(self) -> Exporter:
        """What the exporter knows of itself."""
        failing = self.pager.failing.values() if self.pager is not None else ()
        unwritten = None if self._unwritten_at is None else self._clock.steady() - self._unwritten_at
        unheard = max(failing, default=0.0)
        return Exporter(self._left_out, unwritten, self._settings_good, unheard, self._published)

    # -- the page

    async def publish(self) -> None:
        """Bring the page up to date with what is known now."""
        async with self._publishing:
            began = self._clock.steady()
            # A reload meanwhile may replace these: one page is made by the same from begin to end.
            exposition, of_accounts, publisher = self._exposition, self._of_accounts, self._publisher
            shown = [state for monitor in self.monitors.values() for state in monitor.visible()]
            accounts = [(name, monitor.facts) for name, monitor in self.monitors.items()]
            swept = frozenset(name for name, monitor in self.monitors.items() if not monitor.not_ready)
            await self.commit()  # before it is shown: what Prometheus has counted, a restart must not count again
            with part("render"):
                for _ in exposition.steps(shown):
                    await asyncio.sleep(0)
                bodies = [*exposition.bodies(), *account_bodies(of_accounts, accounts)]
            self._tell_left_out(exposition.left_out)
            self._beat, self._published = self._clock.steady(), True
            self.report.set("heartbeat_timestamp_seconds", self._clock.wall())
            self.report.set("series", exposition.series)
            self.report.set("http_connections", len(self._connections))
            tails = self.report.text(), self.report.openmetrics()
            published = await asyncio.to_thread(publisher.publish, bodies, *tails)
            self.application.publish(published)
            self._served = swept
            for (form, encoding), size in published.sizes.items():
                self.report.set("exposition_bytes", size, form, encoding)
            self.report.observe("publish_duration_seconds", self._clock.steady() - began)
        self._tidy()

    def _tidy(self) -> None:
        """Freeze the known objects so that later garbage collections skip them.

        Scanning them pauses the process for a quarter of a second with a large fleet and finds next to nothing. One
        full collection an hour catches the rest.
        """
        now = self._clock.steady()
        if self._collected is None and self._not_ready():
            return
        if self._collected is None or now - self._collected > COLLECT:
            self._collected = now
            gc.unfreeze()
            gc.collect()
        gc.freeze()

    async def commit(self) -> None:
        """Write what is to be kept; a state that cannot be written stops nothing else, and is tried again."""
        for name, monitor in list(self.monitors.items()):
            pending = monitor.pending()
            if not pending:
                continue
            try:
                with part("commit"):
                    await asyncio.to_thread(self._write, name, pending)
            except StateError as error:
                self.report.count("state_commit_failures")
                self._unwritten_at = self._clock.steady()
                if self._committing:
                    log.error("the state is not kept; all else goes on", extra={"fields": {"words": str(error)}})  # noqa: TRY400 — told in words
                self._committing = False
                return
            monitor.kept(pending)
            self._committing = True
            self.report.count("state_commits")
            self.report.set("state_last_commit_timestamp_seconds", self._clock.wall())
            self.report.set("state_size_bytes", self._store.size)

    def _write(self, account: str, pending: Pending) -> None:
        # Kept until they are written: a disk that is full for hours must not have the same encoded again and again.
        before, frozen = self._frozen.get(account, {}), dict[bytes, Frozen | None]()
        for each in pending.made:
            if each.trace is not None and each.key not in frozen:
                frozen[each.key] = before[each.key] if each.key in before else self._froze(each.key, each.trace)
        self._frozen[account] = frozen
        traces, most = [each for each in frozen.values() if each], self.settings.traces.max_bytes
        capped = self._store.commit(account, pending.ledgers, pending.tally, traces, most)
        if capped:
            self.report.count("trace_spans_dropped", "cap", by=capped)
            log.warning(
                "the oldest traces are dropped: traces.max_bytes is reached", extra={"fields": {"spans": capped}}
            )
        self._frozen.pop(account, None)

    def _froze(self, key: bytes, trace: Trace) -> Frozen | None:
        """The encoded trace; None, logged and counted, if it cannot be encoded as OTLP."""
        try:
            return Frozen(key, len(trace.spans), encode(trace), self._clock.wall())
        except ValueError as error:
            fields = {"trace_id": trace.id.hex(), "words": str(error)}
            log.warning("a trace is dropped: it cannot be encoded", extra={"fields": fields})
            self.report.count("trace_spans_dropped", "unencodable", by=len(trace.spans))
            return None

    def _tell_left_out(self, count: int) -> None:
        if count and not self._left_out:
            fields = {"workloads": count, "series_limit": self.settings.metrics.series_limit}
            log.warning("workloads are left out: metrics.series_limit is reached", extra={"fields": fields})
        self._left_out = count
        self.report.set("series_left_out_workloads", count)

    def tick(self) -> None:
        """Notice a clock that was set: the schedule is kept by the wall clock and would wait for it, or storm."""
        drift = self._clock.wall() - self._clock.steady()
        jump, self._drift = drift - self._drift, drift
        if abs(jump) > CLOCK_JUMP:
            log.warning("the clock was set; sweeping now", extra={"fields": {"seconds": round(jump, 1)}})
            every = trigger(self.settings)
            for account in self.settings.accounts:
                self._schedule(account.name, every)

    async def _refresh(self) -> None:
        while True:
            self.tick()
            if self._security is not None:
                self._security.refresh()
            await self._refresh_page()
            await asyncio.sleep(REFRESH)  # the pace of the page

    async def _refresh_page(self) -> None:
        try:
            await self.publish()
        except Exception:  # whatever it is, the page before is better than none, and the next may be good
            log.exception("the page could not be brought up to date; serving the one before")

    async def _feel(self) -> None:
        """Measure how late the event loop is."""
        while True:
            began = self._clock.steady()
            await asyncio.sleep(LAG_EVERY)  # measured: how late the loop wakes us
            self.report.observe("event_loop_lag_seconds", max(0.0, self._clock.steady() - began - LAG_EVERY))

    def _not_ready(self) -> str:
        """Why the page does not show a complete sweep of every account yet; empty once it does."""
        reasons = {name: monitor.not_ready for name, monitor in self.monitors.items()}
        for name in reasons.keys() - self._served:
            reasons[name] = reasons[name] or f"account {name}: swept, but its workloads are not on the page yet"
        return "; ".join(filter(None, reasons.values()))

    def _targets(self) -> list[dict[str, object]]:
        """The invoke endpoints of the workloads that are up, as Prometheus's HTTP service discovery takes them."""
        bases = {account.name: account.endpoint for account in self.settings.accounts}
        return [
            {
                "targets": [f"{bases[state.account]}/endpoints/workloads/{quote(state.workload.id, safe='')}/"],
                "labels": {
                    "__meta_datarobot_account": bounded(state.account),
                    "__meta_datarobot_workload": bounded(state.workload.name or ""),
                    "__meta_datarobot_workload_id": bounded(state.workload.id),
                    "__meta_datarobot_importance": models.folded(state.workload.importance),
                    "__meta_datarobot_status": models.folded(state.workload.status),
                    "__meta_datarobot_type": models.folded(state.workload.type),
                },
            }
            for name, monitor in self.monitors.items()
            for state in monitor.visible()
            if name in bases and state.vanished is None and models.status_group(state.workload.status) == "up"
        ]

    def _episodes(self) -> list[dict[str, object]]:
        """The episodes under way, the oldest first; `trace_id` None: not known yet."""
        origins = {account.name: account.origin for account in self.settings.accounts}
        found: list[dict[str, object]] = [
            {
                "account": name,
                "workload": state.workload.name or "",
                **each,
                "since": datetime.fromtimestamp(float(each["since"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "trace_id": each["trace_id"] or None,
            }
            for name, monitor in self.monitors.items()
            for state in monitor.workloads.values()
            for each in in_progress(state, monitor.tracing or Tracing(origins[name]))
        ]
        return sorted(found, key=lambda each: str(each["since"]))

    def _silences(self, method: str, asked: Mapping[str, str]) -> Silenced:
        """What is silenced, after a new silence (``for``, ``author``, labels) or the end of one (``id``)."""
        pager = self.pager
        if pager is None:
            return 404, "the exporter does not page by itself; see paging.who\n"
        if method == "DELETE":
            if not pager.speak(asked.get("id", "")):
                return 404, "there is no silence of this id\n"
        elif method == "POST":
            wrong = self._silence(pager, asked)
            if wrong:
                return 400, f"{wrong}\n"
        return [
            {
                "id": name,
                "matchers": dict(each.matchers),
                "ends": datetime.fromtimestamp(min(each.ends, _LAST), UTC).isoformat(timespec="seconds"),
                "author": each.author,
                "comment": each.comment,
            }
            for name, each in sorted(pager.silences.items(), key=lambda item: item[1].ends)
        ]

    def _silence(self, pager: Pager, asked: Mapping[str, str]) -> str:
        """Create a silence; return the error (empty: none)."""
        try:
            length = seconds(asked.get("for", ""))
        except ValueError:
            length = 0.0
        known = self.settings.alerts.options.label_names
        number = length if isinstance(length, int | float) else 0.0
        try:
            pager.silence(new_silence(asked, number, known, len(pager.silences), self._clock.wall()))
        except BadSilence as error:
            return str(error)
        return ""

    def _status(self) -> Status:
        settings = self.settings
        accounts = tuple(
            AccountStatus(
                account.name,
                account.endpoint.removesuffix("/api/v2"),
                monitor.facts,
                tuple(monitor.visible()),
                monitor.known.succeeded,
                (monitor.message or monitor.known.failure) if monitor.known.failure else "",
                settings.sweep.interval,
                settings.sweep.stale_after,
            )
            for account in settings.accounts
            if (monitor := self.monitors.get(account.name)) is not None
        )
        told = ("/debug/config", "/debug/episodes") if settings.web.debug_config else ()
        links = (settings.web.telemetry_path, "/sd", "/-/healthy", "/-/ready", *told)
        return Status(
            __version__, accounts, self._started, self._clock.wall(), settings.alerts.options, links, self._note
        )

    # -- settings

    async def reload(self) -> list[str]:
        """Read the settings again, all or nothing; return the problems, in which case the old ones stay in force."""
        async with self._reloading:
            problems = await self._read_again()
            self._reloaded(not problems)
            await self._refresh_page()
        return problems

    async def _read_again(self) -> list[str]:
        new: Prepared | None = None
        try:
            new = Prepared(await asyncio.to_thread(self._load))
            self._secrets.follow(new.settings.secrets())
            await asyncio.to_thread(self._prepare, new)
            if self._stopping:  # tasks started now would not be stopped
                return ["reload: not done; the exporter is stopping"]
            self._put_in_force(new)
        except BadSettings as error:
            problems = [str(problem) for problem in error.problems]
            for problem in problems:
                log.error("bad settings; the old ones stay in force", extra={"fields": {"problem": problem}})  # noqa: TRY400 — told in words
            return problems
        except StateError as error:
            log.error("the reload failed; the old settings stay in force", extra={"fields": {"problem": str(error)}})  # noqa: TRY400 — told in words
            return [f"state.path: {error}"]
        except Exception as error:  # whatever it is, the old settings are better than half of the new ones
            log.exception("the reload failed; the old settings stay in force")
            return [f"reload: failed with {type(error).__name__}; the log of the exporter has the details"]
        finally:
            if new is not None:
                await new.aclose()
        log.info("settings reloaded", extra={"fields": {"accounts": len(new.settings.accounts)}})
        return []

    async def check(self) -> None:
        """Build all that the settings name, as a start and a reload do, and use none of it. Raises `BadSettings`."""
        new = Prepared(self.settings)
        try:
            self._prepare(new)
        finally:
            await new.aclose()

    def _prepare(self, new: Prepared) -> None:
        """Build everything new settings name, without affecting what is in force.

        Raises `BadSettings` with all problems, and any other exception of a step.
        """
        settings = new.settings
        steps: list[Callable[[], object]] = [
            partial(self._prepare_accounts, new),
            partial(self._prepare_traces, new, not self._live or settings.traces != self.settings.traces),
            partial(self._prepare_paging, new),
        ]
        if settings.web.config_file is not None:
            steps.append(partial(read_web_config, settings.web.config_file))
        all_of(steps)
        if settings.metrics != self.settings.metrics:
            new.exposition = Exposition(served(settings.metrics.profile), settings.metrics.series_limit)

    def _put_in_force(self, new: Prepared) -> None:
        """Replace what is in force by what was built, in one go: no step here waits, reads a file or can fail."""
        settings, old = new.settings, self.settings
        for name in ("listen_address", "config_file", "telemetry_path"):
            if getattr(settings.web, name) != getattr(old.web, name):
                log.warning("takes effect at the next start", extra={"fields": {"setting": f"web.{name}"}})
        if new.exposition is not None:
            self._exposition, self._publisher = new.exposition, Publisher()
            self._of_accounts = served_accounts(settings.metrics.profile)
        if settings.log != old.log:
            self.log_to(settings)
        if settings.traces != old.traces:
            self._send(new)
        self._watch_accounts(new)
        if any(getattr(settings, part) != getattr(old, part) for part in ("paging", "alerts", "sweep")):
            self._tasks.add(asyncio.create_task(self._page(settings, new.taken_ways())))

    def _reloaded(self, good: bool) -> None:
        self._settings_good = good
        self.report.set("config_last_reload_successful", float(good))
        if good:
            self.report.set("config_last_reload_success_timestamp_seconds", self._clock.wall())

    def log_to(self, settings: Settings) -> None:
        """Log as the settings say, and count the lines."""
        count, clean = (lambda level: self.report.count("log_messages", level)), self._secrets.text
        set_up(settings.log.level, settings.log.format, count, clean=clean)

    # -- life

    async def run(self) -> None:
        """Sweep and serve until SIGTERM or Ctrl-C.

        Raises OSError when an address cannot be listened on, `BadSettings` for a bad web config or certificate.
        """
        web, new = self.settings.web, Prepared(self.settings)
        try:
            self._prepare(new)
            if web.config_file is not None:
                self._security = WebSecurity(web.config_file)
                self.application.passwords = self._security.passwords
            http = Server(self.application, web.listen_address, self._security.tls if self._security else None)
            self._connections = http.connections
        except BaseException:
            await new.aclose()
            raise
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, http.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.add(asyncio.create_task(self.reload())))
        async with self._reloading:  # a reload that is asked for already waits until all has begun
            self._live = True
            self._send(new)
            self._watch_accounts(new)
            await self._page(new.settings, new.taken_ways())
            await new.aclose()
        self._scheduler.start()
        refresh, feel = asyncio.create_task(self._refresh()), asyncio.create_task(self._feel())
        log.info(
            "serving",
            extra={
                "fields": {
                    "version": __version__,
                    "metrics": ", ".join(a + web.telemetry_path for a in web.listen_address),
                    "accounts": ", ".join(account.name for account in self.settings.accounts),
                }
            },
        )
        try:
            await http.run_until_stopped()
        finally:
            log.info("stopping")
            self._stopping = True
            refresh.cancel()
            feel.cancel()
            self._scheduler.shutdown(wait=False)
            for monitor in self.monitors.values():
                monitor.stop()
                await monitor.client.aclose()
            if self.pager is not None:
                await self.pager.close()
            await self.commit()
            if self._self_traces is not None:
                await asyncio.to_thread(self._self_traces.close, 1.0)
            async with self._sending_lock:
                if self.sender is not None:
                    await self.sender.close()
            self._store.close()

    async def once(self) -> tuple[bytes, str]:
        """One sweep of every account: the page, and why it was not complete (empty: it was)."""
        detail = self.settings.detail.model_copy(update={"enabled": False})
        bare = self.settings.model_copy(update={"detail": detail, "traces": TraceSettings.model_validate({})})
        new = Prepared(bare)
        self._prepare_accounts(new)
        for account in self.settings.accounts:
            self.monitors[account.name] = self._watch(account, new)
        try:
            await asyncio.gather(*(monitor.sweep() for monitor in self.monitors.values()))
        finally:
            for monitor in self.monitors.values():
                await monitor.client.aclose()
        self._exposition.update([state for monitor in self.monitors.values() for state in monitor.visible()])
        failures = "; ".join(
            f"account {name}: {monitor.known.failure}: {monitor.message}"
            for name, monitor in self.monitors.items()
            if monitor.known.failure
        )
        return self._exposition.text() + self.report.text(), failures
