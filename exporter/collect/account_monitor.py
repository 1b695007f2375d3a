"""Monitors one account: sweeps it, updates its state and metrics, and runs its poller."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import NamedTuple

from exporter.alerting.subjects import AccountFleet, SweepStatus
from exporter.clock import Clock
from exporter.collect.account_state import AccountState, Pending
from exporter.collect.backfill import backfill
from exporter.collect.client import ApiResponse, Client
from exporter.collect.follow_up import FollowUp
from exporter.collect.lists import PAGE
from exporter.collect.logged_once import LoggedOnce
from exporter.collect.poller import Poller
from exporter.collect.sweep import select, sweep
from exporter.fleet import evidence
from exporter.fleet.objectives import ObjectiveRow
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import Snapshot, Sweep, unknown_values, visible
from exporter.fleet.selection import Selection
from exporter.fleet.tag_labels import TagSelection
from exporter.fleet.workload_state import NO_PRICES, Account, Costs, WorkloadState
from exporter.log import log
from exporter.metrics.account_families import AccountFacts, unused_prices
from exporter.telemetry.report import AccountReport
from exporter.telemetry.sweep_trace import CURRENT, part
from exporter.tracing.builder import Tracing
from exporter.tracing.log_records import Logging


class Plan(NamedTuple):
    """How an account is monitored. `details` None: only the list is read; `tracing` None: no traces;
    `logging` None: no log records.

    `stale_after`: age in seconds at which its workloads are no longer shown. `slow`: threshold of slow requests to
    workloads, in seconds. `rate`: requests to the API per second, `concurrency` at once. `tags`: those that become
    labels.
    """

    stale_after: float
    selection: Selection = Selection()
    details: Policy | None = None
    slow: float = 2.0
    rate: float = 10.0
    concurrency: int = 4
    tracing: Tracing | None = None
    logging: Logging | None = None
    tags: TagSelection = TagSelection()
    costs: Costs = NO_PRICES
    objectives: tuple[ObjectiveRow, ...] = ()


Traced = Callable[[], AbstractContextManager[object]]
"""Makes the context within which a sweep is traced."""


class AccountMonitor:
    """Updates the state of one account. `sweep` never raises for API failures.

    Callers run a sweep within `traced`, which by default records nothing. `message` describes the failure of the last
    sweep; empty: it was complete.
    """

    def __init__(
        self,
        state: AccountState,
        client: Client,
        report: AccountReport,
        plan: Plan,
        clock: Clock,
        traced: Traced = nullcontext,
    ) -> None:
        self.state, self.client, self.traced = state, client, traced
        state.use_costs(plan.costs)
        self.message = ""
        self.poller: Poller | None = None
        self.backfilling: asyncio.Task[None] | None = None
        self._report, self._plan, self._machine = report, plan, clock
        self._clock = clock._replace(wall=self._wall)
        self._log = log.bind(account=state.snapshot.account)
        self._follow_up = FollowUp(client, confirms=plan.details is not None)
        self._started = clock.steady()
        self._succeeded: float | None = None
        self._logged_once = LoggedOnce()
        self._sweeping = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        report.began(clock.wall())
        state.select_tags(plan.tags)
        state.use_objectives(plan.objectives)
        if plan.details is not None:
            self.poller = Poller(
                state,
                client,
                plan.details,
                report,
                rate=plan.rate,
                concurrency=plan.concurrency,
                slow=plan.slow,
                wall=self._wall,
                steady=clock.steady,
            )

    def resumed(
        self, client: Client, report: AccountReport, plan: Plan, traced: Traced = nullcontext
    ) -> AccountMonitor:
        """A monitor of the same account with new settings, from the current state and its age."""
        client.inherit(self.client)
        new = AccountMonitor(self.state.copy(), client, report, plan, self._machine, traced)
        new.message, new._logged_once = self.message, self._logged_once
        new._started, new._succeeded = self._started, self._succeeded
        if new.poller is not None and self.poller is not None:
            new.poller.inherit(self.poller)
        return new

    def _wall(self) -> float:
        """The time by the local clock. If that was set, the state is moved first: its times are compared with this."""
        wall = self._machine.wall()
        self.state.follow_clock(wall, self._machine.steady())
        return wall

    def start(self) -> None:
        """Start the poller, and show the verdicts about assumptions."""
        self._report.judged(self.state.judgement)
        if self.poller is not None and self._polling is None:
            self._polling = asyncio.create_task(self.poller.run())

    def stop(self) -> None:
        """Stop the poller."""
        for task in (self._polling, self.backfilling):
            if task is not None:
                task.cancel()

    def retire(self) -> None:
        """Report nothing that holds now: another monitor replaces this one, or the account is no longer swept."""
        self._report.retire()

    async def close(self) -> None:
        """Close the client once the sweep in progress, if any, has ended, and requests for details are cancelled."""
        self.stop()
        cancelled = [task for task in (self._polling, self.backfilling) if task is not None]
        if cancelled:
            await asyncio.wait(cancelled)
        async with self._sweeping:
            await self.client.aclose()

    # -- what is known

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot."""
        return self.state.snapshot

    @property
    def workloads(self) -> Mapping[str, WorkloadState]:
        """The listed workloads, by id."""
        return self.state.workloads

    @property
    def facts(self) -> AccountFacts:
        """Data of the account for its families; withdrawn together with the workloads."""
        snapshot = self.snapshot
        if self.fresh:
            return AccountFacts(self.state.account, self.state.use, snapshot.tally, self._plan.costs)
        return AccountFacts(Account(snapshot.account), None, snapshot.tally)

    @property
    def fresh(self) -> bool:
        """Whether the workloads are recent enough to be shown."""
        return self._succeeded is not None and self._age() <= self._plan.stale_after

    @property
    def fleet(self) -> AccountFleet:
        """The account for the evaluation of alerts."""
        self._wall()
        snapshot = self.snapshot
        workloads = self.visible() if self.fresh else (*snapshot.workloads.values(), *snapshot.gone.values())
        age = self._clock.steady() - (self._started if self._succeeded is None else self._succeeded)
        sweeping, missing = SweepStatus(snapshot.failure, age, self._report.interval), tuple(snapshot.missing.values())
        return AccountFleet(self.facts, tuple(workloads), sweeping, self.fresh, missing, snapshot.attempted is not None)

    def visible(self) -> Iterable[WorkloadState]:
        """The workloads to show now."""
        self._wall()
        if self._succeeded is None:
            return ()
        return visible(self.snapshot, self._age(), self._plan.stale_after)

    @property
    def tracing(self) -> Tracing | None:
        """How traces of the account's workloads are built; None: there are none."""
        return self._plan.tracing

    @property
    def not_ready(self) -> str:
        """The reason why the account is not ready; empty once a sweep was complete."""
        snapshot = self.snapshot
        if snapshot.succeeded is not None:
            return ""
        if snapshot.attempted is None:
            return f"account {snapshot.account}: the first sweep has not ended yet"
        return f"account {snapshot.account}: no complete sweep yet; {self.message or snapshot.failure}"

    def _age(self) -> float:
        return self._clock.steady() - (self._succeeded or 0.0)

    def pending(self) -> Pending:
        """What is to be written."""
        return self.state.pending(self._plan.logging)

    # -- the sweep

    async def sweep(self) -> None:
        """Make one sweep; the poller sends fewer requests meanwhile."""
        async with self._sweeping:
            if self.poller is not None:
                self.poller.throttle()
            try:
                await self._sweep()
            finally:
                if self.poller is not None:
                    self.poller.release(math.ceil(len(self.workloads) / PAGE) / self._report.interval)

    async def _sweep(self) -> None:
        began, before = self._clock.steady(), self.snapshot
        try:
            result = await self._read()
        except Exception as error:  # noqa: BLE001 — logged; a bug of the exporter makes the sweep a failed one
            self._log.exception("a sweep failed within the exporter")
            message = f"the exporter failed to read the list: {type(error).__name__}; see its log"
            result = Sweep((), (), "internal", message)
            self.state.revert(before, result, self._clock.wall())
        ended = self._clock.steady()
        if not result.failure:
            self._succeeded = ended
        if (trace := CURRENT.get()) is not None:
            trace.failure, trace.workloads = result.failure, None if result.failure else len(result.workloads)
        self.message = result.message
        self._report.sweep_ended(result, self.snapshot, self.snapshot.vanished - before.vanished, ended - began)
        self._report.capabilities(self.client.capabilities.items())
        self._report.api_clock(self.state.skew.offset)
        self._log_sweep(result, ended - began, ended)
        if result.failure:
            return
        self._logged_once.unused_prices(self._log, unused_prices(self.facts))
        if before.failure == "auth" and self.poller is not None:
            self.poller.unpause()
        if before.baseline and self._plan.tracing is not None and self._plan.tracing.backfill:
            work = backfill(self.state, self.client, self._clock, self._plan.tracing.backfill)
            self.backfilling = asyncio.create_task(work)
        try:
            await self._follow_up.confirm_gone(self.state)
        except Exception:  # noqa: BLE001 — logged; they are requested again after the next sweep
            self._log.exception("vanished workloads could not be requested")

    async def _read(self) -> Sweep:
        """Read the list, and apply it."""
        result = await sweep(self.client, self._observe_clock)
        if result.failure:
            self.state.apply_sweep(result, self._clock.wall())
            return result
        completed = await self._follow_up.completed(result, self.snapshot)
        completed, not_selected, other_shards = select(completed, self._plan.selection, self.workloads.keys())
        self._report.selected(not_selected, other_shards)
        with part("step"):
            for _ in self.state.sweep_steps(completed, self._clock.wall()):
                await asyncio.sleep(0)  # a large fleet must not delay requests
        self._report.tags_left_out(self.state.admission.left_out)
        self._settle()
        self._judge()
        await asyncio.sleep(0)  # requests may have waited
        for field, values in unknown_values(result.workloads).items():
            self._logged_once.unknown_values(self._log, field, values)
        return result

    def _observe_clock(self, response: ApiResponse) -> None:
        if response.date is not None:
            self.state.observe_clock(response.date, self._clock.wall() - response.seconds / 2, response.seconds)

    def _judge(self) -> None:
        """Judge the assumptions that a sweep can decide."""
        now, answered = self._wall(), [*self.state.answered]
        self.state.answered.clear()
        found = chain(
            *(evidence.of_change(before, after, now) for before, after in self.state.changes),
            *map(evidence.of_gone, answered),
            evidence.of_routes(self.client.other_forms, now),
        )
        if decided := self.state.judge(found):
            self._report.judged(self.state.judgement, decided)

    def _settle(self) -> None:
        """Build traces of the episodes that are over."""
        traces = self.state.settle(self._tracing_of, self._follow_up.is_unconfirmed)
        if traces and (trace := CURRENT.get()) is not None:
            trace.keep("episode")
        for each in traces:
            self._report.episode_ended(each)

    def _tracing_of(self, state: WorkloadState) -> Tracing | None:
        """How traces of one workload are built."""
        tracing = self._plan.tracing
        if tracing is not None and not state.workload.importance:
            tracing = tracing._replace(importance=frozenset())  # known only from the state file: it may be of any
        if tracing is not None and state.vanished is not None:
            tracing = tracing._replace(checkpoint_after=0.0)  # whether the episode continues is unknown
        return tracing

    def _log_sweep(self, result: Sweep, seconds: float, ended: float) -> None:
        fields: dict[str, object] = {
            "workloads": len(self.workloads),
            "rejects": len(result.rejects),
            "seconds": round(seconds, 3),
        }
        if result.failure:
            fields |= {"reason": result.failure, "words": result.message, "serving": self._serving(ended)}
        is_news = self._logged_once.is_news((len(self.workloads), len(result.rejects), result.failure), ended)
        if result.failure:
            self._log.warning("sweep failed", **fields)
        else:
            self._log.log(logging.INFO if is_news else logging.DEBUG, "sweep complete", **fields)

    def _serving(self, now: float) -> str:
        """What is still shown after a failed sweep."""
        if self._succeeded is None:
            return "no workloads: no sweep was complete yet"
        age = now - self._succeeded
        if age > self._plan.stale_after:
            return f"no workloads: the last complete sweep was {age:.0f} s ago"
        return f"the workloads of {age:.0f} s ago"
