"""Monitors one account: sweep, reconcile, metrics, one log line, and its poller."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import msgspec

from exporter.alerting.alarms import Fleet, Sweeping
from exporter.api.clock_skew import Skew
from exporter.api.decoding import NotDecodable, One
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Proton
from exporter.clock import Clock
from exporter.collect.client import Answer, ApiError, Client
from exporter.collect.fetchers import by_id, gone_because, history
from exporter.collect.poller import Poller
from exporter.collect.sweep import PAGE, sweep
from exporter.fleet.counting import deleted, hidden
from exporter.fleet.episodes import EpisodeTracker
from exporter.fleet.ledger import Entry, Ledger, Tally
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import Snapshot, Sweep, ledgers, resolved, step, unclear, unknown_values, visible
from exporter.fleet.selection import Selection, in_shard, selected
from exporter.fleet.transitions import recalled
from exporter.fleet.workload_state import Account, WorkloadState
from exporter.log import log
from exporter.metrics.account_families import AccountFacts, Use, use
from exporter.telemetry.own_metrics import AccountReport
from exporter.telemetry.sweep_trace import CURRENT, part
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import EpisodeTrace, settled

UNKNOWN_TOLD = 100


class Plan(NamedTuple):
    """What the settings say of an account's watching. `details` None: the list only; `tracing` None: no traces."""

    stale_after: float
    selection: Selection = Selection()
    details: Policy | None = None
    slow: float = 2.0
    rate: float = 10.0
    concurrency: int = 4
    tracing: Tracing | None = None


ASKED_GONE = 10
"""Number of vanished workloads requested by id after one sweep, about."""
RECALLED = 200
"""Traces at most of what was over before the first sweep."""
HISTORY_ATTEMPTS = 3
UNWRITTEN = 2000
"""Traces that wait to be written, about: while there are so many, what has settled waits for a later sweep."""


class Pending(NamedTuple):
    """What differs from what was written last. None as a ledger: the workload is forgotten; as the tally: no change."""

    ledgers: Mapping[str, Ledger | None]
    tally: Tally | None = None
    made: tuple[EpisodeTrace, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ledgers or self.made) or self.tally is not None


Traced = Callable[[], AbstractContextManager[object]]
"""Makes the context within which a sweep is traced."""


class AccountMonitor:
    """Holds the snapshot of one account. `sweep` updates it and never raises for API failures.

    Callers run a sweep within `traced`, which by default records nothing.
    """

    def __init__(
        self,
        known: Snapshot,
        client: Client,
        report: AccountReport,
        plan: Plan,
        clock: Clock,
        traced: Traced = nullcontext,
    ) -> None:
        self.known, self.client, self.traced = known, client, traced
        self.message = ""
        self._log = log.bind(account=known.account)
        self.skew = Skew()
        self._report, self._plan, self._clock = report, plan, clock
        self._account = Account(known.account)
        self._catalogue: frozenset[str] | None = None
        self._use: Use | None = None
        self._began = clock.steady()
        report.began(clock.wall())
        self._succeeded: float | None = None
        self._fetched: dict[str, int] = {}
        self._unknown: set[tuple[str, str]] = set()
        self._sweeping = asyncio.Lock()
        self._kept: dict[str, Ledger] = dict(ledgers(known))
        self._kept_tally = known.tally
        self._made: list[EpisodeTrace] = []
        self.poller: Poller | None = None
        self._running: asyncio.Task[None] | None = None
        self._recalling: asyncio.Task[None] | None = None
        if plan.details is not None:
            self.poller = Poller(
                self,
                client,
                plan.details,
                report,
                rate=plan.rate,
                concurrency=plan.concurrency,
                slow=plan.slow,
                wall=clock.wall,
                steady=clock.steady,
            )

    def resumed(
        self, client: Client, report: AccountReport, plan: Plan, traced: Traced = nullcontext
    ) -> AccountMonitor:
        """A monitor of the same account with new settings; the snapshot and its age are kept."""
        again = AccountMonitor(self.known, client, report, plan, self._clock, traced)
        again._began, again._succeeded = self._began, self._succeeded
        again._unknown, again.message = self._unknown, self.message
        again.skew = self.skew
        again._account, again._catalogue, again._use = self._account, self._catalogue, self._use
        again._kept, again._kept_tally, again._made = self._kept, self._kept_tally, self._made
        if again.poller is not None and self.poller is not None:
            again.poller.inherit(self.poller)
        return again

    def start(self) -> None:
        """Start the poller."""
        if self.poller is not None and self._running is None:
            self._running = asyncio.create_task(self.poller.run())

    async def sweep(self) -> None:
        """Make one sweep."""
        async with self._sweeping:
            if self.poller is not None:
                self.poller.hold()
            try:
                await self._sweep()
            finally:
                if self.poller is not None:
                    self.poller.release(math.ceil(len(self.known.workloads) / PAGE) / self._report.interval)

    def stop(self) -> None:
        """Stop the poller."""
        for task in (self._running, self._recalling):
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """Close the client once the sweep under way, if any, has ended."""
        self.stop()
        async with self._sweeping:
            await self.client.aclose()

    # -- what the detail lane reads and changes

    @property
    def workloads(self) -> Mapping[str, WorkloadState]:
        """The workloads that are listed."""
        return self.known.workloads

    def replaced(self, state: WorkloadState, entry: Entry | None = None) -> None:
        """Replace the state of a workload."""
        # In place: a copy of a large fleet for each of many answers a second would cost more than the answers.
        there = self.known.workloads
        if state.workload.id in there and isinstance(there, dict):
            there[state.workload.id] = state
        if entry is not None and (tally := self.known.tally.after(entry)) is not self.known.tally:
            self.known = self.known._replace(tally=tally)

    @property
    def account(self) -> Account:
        """What is known of the account beside its workloads."""
        return self._account

    @account.setter
    def account(self, told: Account) -> None:
        self._account = told
        if told.bundles is not None:
            self._catalogue = frozenset(bundle.id for bundle in told.bundles)
            self._offer()

    def _offer(self) -> None:
        """Give every workload the bundle catalogue."""
        for state in list(self.known.workloads.values()):
            if state.catalogue is not self._catalogue:
                self.replaced(state._replace(catalogue=self._catalogue))

    @property
    def facts(self) -> AccountFacts:
        """Data of the account for its families; withdrawn together with the workloads."""
        account = self._account if self.fresh else Account(self.known.account)
        return AccountFacts(account, self._use if self.fresh else None, self.known.tally)

    @property
    def fresh(self) -> bool:
        """Whether what is known of the workloads is recent enough to be shown."""
        return self._succeeded is not None and self._age() <= self._plan.stale_after

    @property
    def fleet(self) -> Fleet:
        """The account for the evaluation of alerts."""
        known = self.known
        there = self.visible() if self.fresh else (*known.workloads.values(), *known.gone.values())
        age = self._clock.steady() - (self._began if self._succeeded is None else self._succeeded)
        sweeping, missing = Sweeping(known.failure, age, self._report.interval), tuple(known.missing.values())
        return Fleet(self.facts, tuple(there), sweeping, self.fresh, missing, known.attempted is not None)

    # -- what is to be kept

    def pending(self) -> Pending:
        """What is to be written, all of it at once."""
        if self.known.succeeded is None:
            return Pending({})
        now = dict(ledgers(self.known))
        changed: dict[str, Ledger | None] = {i: each for i, each in now.items() if self._kept.get(i) is not each}
        changed |= dict.fromkeys(self._kept.keys() - now.keys())
        tally = None if self.known.tally is self._kept_tally else self.known.tally
        return Pending(changed, tally, tuple(self._made))

    def kept(self, written: Pending) -> None:
        """Remember what was written."""
        for i, each in written.ledgers.items():
            if each is None:
                self._kept.pop(i, None)
            else:
                self._kept[i] = each
        self._kept_tally = written.tally if written.tally is not None else self._kept_tally
        gone = {id(each) for each in written.made}
        self._made = [each for each in self._made if id(each) not in gone]

    # -- the sweep

    async def _sweep(self) -> None:
        began, before = self._clock.steady(), self.known
        try:
            result = await self._swept()
        except Exception as error:  # noqa: BLE001 — logged: a sweep that did not come to its end is no good one
            self._log.exception("a sweep failed within the exporter")
            words = f"the exporter failed to read the list: {type(error).__name__}; its log shows where"
            result = Sweep((), (), "internal", words)
            self.known = step(before, result, self._clock.wall())
        ended = self._clock.steady()
        if not result.failure:
            self._succeeded = ended
        if (trace := CURRENT.get()) is not None:
            trace.failure, trace.workloads = result.failure, None if result.failure else len(result.workloads)
        self.message = result.message
        self._report.swept(result, self.known, self.known.vanished - before.vanished, ended - began)
        self._report.capabilities(self.client.capabilities.items())
        self._report.api_clock(self.skew.offset)
        self._log_sweep(result, ended - began, ended)
        if before.baseline and not result.failure and self._plan.tracing is not None and self._plan.tracing.backfill:
            self._recalling = asyncio.create_task(self._recall(self._plan.tracing.backfill))
        if not result.failure:
            try:
                await self._ask_about_the_gone()
            except Exception:  # noqa: BLE001 — logged: they are asked about after the next sweep, too
                self._log.exception("the API could not be asked about workloads that have vanished")

    async def _swept(self) -> Sweep:
        """Read the list, and take what it shows."""
        result = await sweep(self.client, self._heard)
        if result.failure:
            self.known = step(self.known, result, self._clock.wall())
            return result
        ours = self._ours(await self._resolved(result))
        with part("step"):
            self.known = step(self.known, ours, self._clock.wall())
        self._offer()
        self._use = use(self.known.workloads.values())
        self._settle()
        for field, values in unknown_values(result.workloads).items():
            for value in values:
                self._tell_once(field, value)
        return result

    async def _resolved(self, result: Sweep) -> Sweep:
        """The sweep completed by requests for some workloads that the list does not show, by their own routes."""
        wanted = unclear(self.known, result)
        self._fetched = {i: turn for i, turn in self._fetched.items() if i in wanted}
        found: dict[str, One[Workload]] = {}
        absent: list[str] = []
        for i in sorted(wanted, key=lambda each: self._fetched.get(each, 0))[:ASKED_GONE]:
            self._fetched[i] = max(self._fetched.values(), default=0) + 1  # next time it is the turn of others
            read, why = await by_id(self.client, i)
            if read is not None:
                found[i] = read
            elif why == "not_found":
                absent.append(i)
        return resolved(result, found, absent) if found or absent else result

    def _log_sweep(self, result: Sweep, seconds: float, ended: float) -> None:
        fields: dict[str, object] = {
            "workloads": len(self.known.workloads),
            "rejects": len(result.rejects),
            "seconds": round(seconds, 3),
        }
        if result.failure:
            fields |= {"reason": result.failure, "words": result.message, "serving": self._serving(ended)}
        self._log.log(
            logging.WARNING if result.failure else logging.INFO,
            "sweep failed" if result.failure else "sweep complete",
            **fields,
        )

    async def _recall(self, back: float) -> None:
        """Request the history of each workload once, and make traces of episodes from before the first sweep."""
        left = RECALLED
        for i in sorted(self.known.workloads):
            if not left:
                break
            reported = await self._history(i)
            if reported is None:
                continue
            records, protons = reported
            state = self.known.workloads.get(i)
            if state is None:
                continue
            # What has ended since then was seen to, and has or will have a trace of its own.
            first, tracker = state.ledger.first + self.skew.counts, state.ledger.tracker
            told = recalled(EpisodeTracker(), records, protons, self._clock.wall(), back).over
            over = tuple(each for each in told if each.ended and (each.ended.reported or 0.0) < first)[:left]
            left -= len(over)
            tracker = msgspec.structs.replace(tracker, over=(*tracker.over, *over))
            self.replaced(state._replace(ledger=msgspec.structs.replace(state.ledger, tracker=tracker)))

    async def _history(self, workload: str) -> tuple[tuple[Replacement, ...], tuple[Proton, ...]] | None:
        """The last replacements and the protons of a workload; None where the API does not report them.

        After a refusal it is requested again at the end of the pause: histories are requested once in the life of a
        state, and those of all workloads that are next would fail for the same pause.
        """
        for _ in range(HISTORY_ATTEMPTS):
            try:
                return await history(self.client, workload)
            except (ApiError, NotDecodable) as error:
                if not isinstance(error, ApiError) or error.pause is None:
                    return None
                await self._clock.pause(error.pause.seconds)
        return None

    def _heard(self, answer: Answer) -> None:
        if answer.date is not None:
            self.skew = self.skew.heard(answer.date, self._clock.wall() - answer.seconds / 2)

    def _ours(self, result: Sweep) -> Sweep:
        """The sweep with the workloads that the settings choose.

        What is ours stays ours while some of it cannot be read: it may be what it was chosen by.
        """
        rules, listed = self._plan.selection, result.workloads
        if rules == Selection():
            self._report.chosen(0, 0)
            return result
        unread = {reject.item_id for reject in result.rejects} & self.known.workloads.keys()
        wanted = [workload for workload in listed if workload.id in unread or selected(workload, rules)]
        ours = tuple(workload for workload in wanted if in_shard(workload.id, rules.shard, rules.shards))
        self._report.chosen(len(listed) - len(wanted), len(wanted) - len(ours))
        left = {each.id for each in listed} - {each.id for each in ours}
        return result._replace(workloads=ours, unchosen=frozenset(left))

    async def _ask_about_the_gone(self) -> None:
        """Request vanished workloads by id: deleted, or no longer shared with the token's user."""
        for i in [i for i, state in self.known.gone.items() if self._doubted(state)][:ASKED_GONE]:
            why = await gone_because(self.client, i)
            state = self.known.gone.get(i)
            if state is not None and isinstance(self.known.gone, dict):
                # What it means is kept in the ledger: a restart must not make a deletion of it.
                ledger = hidden(state.ledger) if why in ("forbidden", "found") else state.ledger
                del self.known.gone[i]  # it goes to the end: next time it is the turn of others
                self.known.gone[i] = state._replace(gone_because=why, ledger=ledger)

    def _doubted(self, state: WorkloadState) -> bool:
        """Whether a vanished workload counts as deleted although the API has not confirmed it."""
        return self._plan.details is not None and state.gone_because != "not_found" and deleted(state.ledger)

    def _settle(self) -> None:
        """Make traces of the episodes that are over."""
        now, previous = self.known.succeeded, self.known.previous
        assert now is not None
        for there in (self.known.workloads, self.known.missing, self.known.gone):
            for i, state in list(there.items()):
                if len(self._made) >= UNWRITTEN:
                    return
                if not state.ledger.tracker.changes_with_time or not isinstance(there, dict):
                    continue
                if there is self.known.gone and self._doubted(state):
                    continue
                there[i], made = settled(state, now, previous, self._tracing_of(state), self.skew.counts)
                if made and (trace := CURRENT.get()) is not None:
                    trace.keep("episode")
                for each in made:
                    self._report.made(each)
                    if each.trace is not None:
                        self._made.append(each)

    def _tracing_of(self, state: WorkloadState) -> Tracing | None:
        """How traces of one workload are made."""
        tracing = self._plan.tracing
        if tracing is not None and not state.workload.importance:
            tracing = tracing._replace(importance=frozenset())  # known from the state alone: it may be of any
        if tracing is not None and state.vanished is not None:
            tracing = tracing._replace(checkpoint_after=0.0)  # nobody sees whether it still lasts
        return tracing

    def _age(self) -> float:
        return self._clock.steady() - (self._succeeded or 0.0)

    def visible(self) -> Iterable[WorkloadState]:
        """The workloads to show now."""
        if self._succeeded is None:
            return ()
        return visible(self.known, self._age(), self._plan.stale_after)

    @property
    def tracing(self) -> Tracing | None:
        """How traces of the account's workloads are made; None: they are not."""
        return self._plan.tracing

    @property
    def not_ready(self) -> str:
        """Why the account is not ready; empty once a sweep was complete."""
        if self.known.succeeded is not None:
            return ""
        if self.known.attempted is None:
            return f"account {self.known.account}: the first sweep has not ended yet"
        return f"account {self.known.account}: no complete sweep yet; {self.message or self.known.failure}"

    def _serving(self, now: float) -> str:
        if self._succeeded is None:
            return "no workloads: none were ever swept"
        age = now - self._succeeded
        if age > self._plan.stale_after:
            return f"no workloads: the last complete sweep was {age:.0f} s ago"
        return f"the workloads of {age:.0f} s ago"

    def _tell_once(self, field: str, value: str) -> None:
        told = (field, value[:64])
        if told not in self._unknown and len(self._unknown) < UNKNOWN_TOLD:
            self._unknown.add(told)
            self._log.warning("unknown value, shown as other", field=field, value=told[1])
