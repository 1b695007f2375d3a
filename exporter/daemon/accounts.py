"""The monitored accounts: builds their clients and monitors, and replaces them on a reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.alerting.subjects import AccountFleet
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.daemon.prepared import Prepared, all_of, check_ca_file, trigger
from exporter.daemon.schedule import SweepSchedule
from exporter.daemon.tasks import BackgroundTasks
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import restored
from exporter.fleet.selection import Selection
from exporter.fleet.workload_state import WorkloadState
from exporter.log import log
from exporter.redaction import Secrets
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings
from exporter.settings.traces import TraceSettings
from exporter.settings.values import tag_values
from exporter.state.rights import Rights
from exporter.state.store import Store, StoredAccount
from exporter.telemetry.report import AccountReport, Report
from exporter.threads import in_own_thread
from exporter.tracing.builder import Tracing
from exporter.tracing.log_records import Logging

if TYPE_CHECKING:
    from exporter.otlp.self_traces import SelfTraces


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
            error_budget=settings.alerts.options.thresholds["error_budget"],
        )
        if detail.enabled
        else None,
        slow=detail.slow_requests,
        rate=account.requests_per_second,
        concurrency=account.concurrency,
        tracing=tracing(account, settings.traces) if settings.traces.endpoint else None,
        logging=logging(account, settings),
        tags=settings.metrics.tag_selection,
        costs=settings.costs.policy,
        objectives=tuple(row.row for row in settings.objectives),
    )


def logging(account: AccountSettings, settings: Settings) -> Logging | None:
    """What becomes log records of an account's workloads; None: nothing."""
    events = settings.events.otlp
    if not events.endpoint:
        return None
    return Logging(tracing(account, settings.traces), frozenset(events.kinds), bool(settings.traces.endpoint))


def tracing(account: AccountSettings, traces: TraceSettings) -> Tracing:
    """Which traces are built from an account's workloads, and with which ids."""
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


class Accounts:
    """An `AccountMonitor` for each account of the settings in force."""

    def __init__(
        self,
        *,
        store: Store,
        report: Report,
        secrets: Secrets,
        clock: Clock,
        schedule: SweepSchedule,
        tasks: BackgroundTasks,
        rights: Rights,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`renew` reads the tokens from their files again. With leases, only `gain` adds accounts."""
        self._rights = rights
        self._store, self._report, self._secrets, self._clock = store, report, secrets, clock
        self._renew = renew
        self._schedule, self._tasks = schedule, tasks
        self._polling = False
        self._self_traces: SelfTraces | None = None
        self.monitors: Mapping[str, AccountMonitor] = {}
        self.removed: Mapping[str, AccountMonitor] = {}
        """Monitors that the last reload removed: their state is still written, and used if they are added again."""

    def prepare(self, new: Prepared, in_force: Settings) -> None:
        """Build the clients of accounts that are new or changed, and load the state of new ones. Raises `BadSettings`,
        and `StateError` if a state cannot be read.
        """
        unchanged = self._unchanged(new, in_force)
        accounts = new.settings.accounts
        all_of(partial(check_ca_file, account) for account in accounts)
        for account in accounts:
            if account.name in unchanged or (self._rights.leased and account.name not in self.monitors):
                continue
            new.clients[account.name] = self._client(account, new.settings)
            if account.name not in self.monitors:
                new.states[account.name] = self._store.load(account.name)

    def _unchanged(self, new: Prepared, in_force: Settings) -> set[str]:
        """The monitored accounts to which new settings and certificates change nothing."""
        settings = new.settings
        sections = ("sweep", "detail", "select", "traces", "events", "costs", "objectives")
        if any(getattr(settings, section) != getattr(in_force, section) for section in sections):
            return set()
        if settings.metrics.tag_selection != in_force.metrics.tag_selection:
            return set()
        if new.uses_changed_file(settings.traces):
            return set()
        before = {account.name: account for account in in_force.accounts if account.name in self.monitors}
        return {
            account.name
            for account in settings.accounts
            if before.get(account.name) == account and not new.uses_changed_file(account)
        }

    def _client(self, account: AccountSettings, settings: Settings) -> tuple[Client, AccountReport]:
        """A client and its observer, which has no samples before the first request."""
        report = AccountReport(self._report, account.name, settings.sweep.interval, self._clock.wall)
        client = Client(
            account.endpoint,
            account.token_source(),
            report,
            renew=self._renew,
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

    def replace(self, new: Prepared, self_traces: SelfTraces | None) -> None:
        """Monitor the accounts of new settings from now on. An account that stays keeps its snapshot.

        Neither waits nor fails.
        """
        self._self_traces = self_traces
        monitors: dict[str, AccountMonitor] = {}
        for account in new.settings.accounts:
            if account.name in new.clients:
                built, stored = new.clients.pop(account.name), new.states.get(account.name)
                monitors[account.name] = self._monitor(account, new.settings, built, stored, self_traces)
                self._schedule.add(account.name, new.schedule)
            elif account.name in self.monitors:
                monitors[account.name] = self.monitors[account.name]
        replaced = [monitor for name, monitor in self.monitors.items() if monitors.get(name) is not monitor]
        for monitor in replaced:
            monitor.retire()
        self.removed = {name: monitor for name, monitor in self.monitors.items() if name not in monitors}
        for name in self.removed:
            self._schedule.remove(name)
            self._report.forget(name)
        self.monitors = monitors
        if self._polling:
            self.start_polling()
        for monitor in replaced:
            self._tasks.start(monitor.close())

    async def gain(self, account: AccountSettings, settings: Settings) -> None:
        """Monitor one more account of the settings in force from now on. Raises `StateError`, and what a client raises
        for files that cannot be used.
        """
        if account.name in self.removed:
            stored = None
        else:
            stored = await self._store.run(partial(self._store.load, account.name))
        built = await in_own_thread(partial(self._client, account, settings))
        monitor = self._monitor(account, settings, built, stored, self._self_traces)
        self.removed = {name: each for name, each in self.removed.items() if name != account.name}
        self.monitors = {**self.monitors, account.name: monitor}
        self._schedule.add(account.name, trigger(settings))
        if self._polling:
            monitor.start()

    def lose(self, account: str) -> None:
        """Monitor an account no more; nothing of it is written any more."""
        self.removed = {name: each for name, each in self.removed.items() if name != account}
        monitor = self.monitors.get(account)
        if monitor is None:
            return
        self.monitors = {name: each for name, each in self.monitors.items() if name != account}
        monitor.retire()
        self._schedule.remove(account)
        self._report.forget(account)
        self._tasks.start(monitor.close())

    def unwritten(self, account: str) -> bool:
        """Whether something of an account must still be written."""
        monitor = self.monitors.get(account) or self.removed.get(account)
        return monitor is not None and bool(monitor.pending())

    def _monitor(
        self,
        account: AccountSettings,
        settings: Settings,
        built: tuple[Client, AccountReport],
        stored: StoredAccount | None,
        self_traces: SelfTraces | None,
    ) -> AccountMonitor:
        """The monitor of an account, with the client that was built for it, and the state that was stored, unless it
        was monitored before.
        """
        client, report = built
        self._report.account(account.name, settings.sweep.interval, account.requests_per_second)
        before = self.monitors.get(account.name) or self.removed.get(account.name)
        traced = self_traces.account(account.name, account.endpoint) if self_traces is not None else nullcontext
        if before is not None:
            return before.resumed(client, report, plan(account, settings), traced)
        assert stored is not None
        if stored.unreadable:
            self._report.count("state_lost", "rows", by=stored.unreadable)
            log.warning(
                "rows of the state cannot be read; their counters start at zero",
                account=account.name,
                rows=stored.unreadable,
            )
        known = restored(account.name, stored.ledgers, stored.tally)
        return AccountMonitor(AccountState(known), client, report, plan(account, settings), self._clock, traced)

    def start_polling(self) -> None:
        """Start the pollers of details, and from now on those of monitors that a reload adds."""
        self._polling = True
        for monitor in self.monitors.values():
            monitor.start()

    def visible(self) -> list[WorkloadState]:
        """The workloads of all accounts that are shown now."""
        return [state for monitor in self.monitors.values() for state in monitor.visible()]

    @property
    def workloads(self) -> int:
        """Number of listed workloads of all accounts."""
        return sum(len(monitor.workloads) for monitor in self.monitors.values())

    @property
    def fleets(self) -> list[AccountFleet]:
        """All accounts for the evaluation of alerts."""
        return [monitor.fleet for monitor in self.monitors.values()]

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients in use, by account."""
        return {name: monitor.client for name, monitor in self.monitors.items()}

    def ahead(self, account: str) -> float:
        """Seconds that the API's clock is ahead of the local one, as far as known."""
        monitor = self.monitors.get(account)
        return monitor.state.skew.counts if monitor is not None else 0.0

    async def aclose(self) -> None:
        """Stop the pollers, and close all connections."""
        for monitor in self.monitors.values():
            monitor.stop()
            await monitor.client.aclose()
