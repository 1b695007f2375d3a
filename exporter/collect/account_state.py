"""What is known of one account, in the only place that changes it: sweeps, polled details, episodes that are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from exporter.api.assumptions import ASSUMPTIONS, Assumption, Indication, Judgement
from exporter.api.clock_skew import Skew
from exporter.api.details import of_other_uses, offered
from exporter.api.models import Bundle, Workload
from exporter.fleet import trend
from exporter.fleet.clock_steps import moved
from exporter.fleet.counting import hidden
from exporter.fleet.history import HistoryEntry, with_entry
from exporter.fleet.ledger import Entry, Ledger, Tally
from exporter.fleet.objectives import Objective, ObjectiveRow, objective_of
from exporter.fleet.reconcile import Observed, Snapshot, Sweep, ledgers, observed, step
from exporter.fleet.tag_labels import Admission, TagSelection, admitted, census, oldest, tag_labels
from exporter.fleet.workload_state import NO_PRICES, Account, Costs, WorkloadState
from exporter.log import log
from exporter.metrics.account_families import Use, use
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import EpisodeTrace, settled
from exporter.tracing.log_records import Logging, WorkloadLog, log_of

MAX_PENDING_TRACES = 2000
"""Approximate number of traces that wait to be written. With so many, episodes that are over wait for a later sweep."""

MAX_CLOCK_DRIFT = 5.0
"""Seconds by which the wall clock may move against the monotonic clock before times are moved with it."""
STEP_WORKLOADS = 200
"""Workloads to which one step of a sweep is applied: about 5 ms."""
T = TypeVar("T")


def parts_of(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in parts of `STEP_WORKLOADS`."""
    return (items[at : at + STEP_WORKLOADS] for at in range(0, len(items), STEP_WORKLOADS))


class Pending(NamedTuple):
    """What changed since it was last written. Ledger None: the workload is forgotten; tally None: no change."""

    ledgers: Mapping[str, Ledger | None]
    tally: Tally | None = None
    traces: tuple[EpisodeTrace, ...] = ()
    logs: tuple[WorkloadLog, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ledgers or self.traces) or self.tally is not None


class AccountState:
    """The snapshot of one account, its account-wide details, and which of it is not written yet.

    `skew`: the estimated offset of the API's clock. `use`: resource totals of the last complete sweep. `admission`:
    which names and values of the selected tags become labels. `is_whole`: whether the last list had only workloads that
    are monitored here. `judgement`: what is known about the assumptions. For it are `changes`: workloads of which the
    last sweep showed another status, before and after; and `answered`: vanished workloads that were requested since.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._set_snapshot(snapshot)
        self._account = Account(snapshot.account)
        self._catalogue: Mapping[str, Bundle] | None = None
        self._other_uses: frozenset[str] = frozenset()
        self._costs = NO_PRICES
        self._written_ledgers = dict(ledgers(snapshot))
        self._written_tally = snapshot.tally
        self._traces: list[EpisodeTrace] = []
        self.skew = Skew()
        self.use: Use | None = None
        self.judgement = Judgement()
        self.is_whole = False
        self.changes: tuple[tuple[WorkloadState, WorkloadState], ...] = ()
        self.answered: list[WorkloadState] = []
        self._tags, self.admission = TagSelection(), Admission()
        self._drift: float | None = None
        self._applying = False
        self._objectives: tuple[ObjectiveRow, ...] = ()
        self._chosen: dict[str, tuple[Workload, Objective | None]] = {}
        """The objectives of workloads as last listed: only changed ones are compared with all rows again."""

    def copy(self) -> AccountState:
        """An independent copy."""
        new = AccountState(self._snapshot)
        new._other_uses, new._costs = self._other_uses, self._costs
        new._account, new._catalogue, new.use, new.skew = self._account, self._catalogue, self.use, self.skew
        new._written_ledgers, new._written_tally = dict(self._written_ledgers), self._written_tally
        new._traces = [*self._traces]
        new.judgement, new.is_whole = self.judgement, self.is_whole
        new._drift, new._tags, new.admission = self._drift, self._tags, self.admission
        new._objectives, new._chosen = self._objectives, dict(self._chosen)
        return new

    def _set_snapshot(self, snapshot: Snapshot) -> None:
        """Own the workloads of a snapshot: they are changed in place, because a copy of a large fleet for each response
        would cost more than the responses.
        """
        self._workloads, self._missing, self._gone = (
            dict(states) for states in (snapshot.workloads, snapshot.missing, snapshot.gone)
        )
        self._snapshot = snapshot._replace(workloads=self._workloads, missing=self._missing, gone=self._gone)

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot."""
        return self._snapshot

    @property
    def workloads(self) -> Mapping[str, WorkloadState]:
        """The listed workloads, by id."""
        return self._workloads

    @property
    def account(self) -> Account:
        """Account-wide details."""
        return self._account

    # -- changes

    def follow_clock(self, wall: float, steady: float) -> None:
        """Move all times if the wall clock was set, by whole seconds: durations stay as they are, also in the ledgers.

        `wall` and `steady` are read at the same time. While a sweep is applied, nothing is moved.
        """
        if self._drift is None:
            self._drift = wall - steady
        step = float(round(wall - steady - self._drift))
        if abs(step) <= MAX_CLOCK_DRIFT or self._applying:
            return
        self._drift += step
        self.skew = self.skew.moved(step)
        self._set_snapshot(moved(self._snapshot, step))
        self._written_ledgers = moved(self._written_ledgers, step)  # what moved has not happened again

    def apply_sweep(self, sweep: Sweep, now: float) -> None:
        """Apply a sweep that ended at `now`, complete or not."""
        for _ in self.sweep_steps(sweep, now):
            pass

    def sweep_steps(self, sweep: Sweep, now: float) -> Iterator[None]:
        """`apply_sweep` in small steps, between which details of workloads may be replaced."""
        if sweep.failure:
            self._snapshot = step(self._snapshot, sweep, now)
            return
        ahead, self.is_whole = self.skew.counts, not sweep.unchosen
        done = dict[str, Observed]()
        self._applying = True
        try:
            for some in parts_of(sweep.workloads):
                done.update(observed(self._snapshot, sweep, some, now, ahead))
                yield
            self._set_snapshot(step(self._snapshot, sweep, now, ahead, done))
            self.changes = tuple(
                (before, after)
                for before, after, _ in done.values()
                if before is not None and before is not after and before.workload.status != after.workload.status
            )
        finally:
            self._applying = False
        yield
        yield from self._admission_steps()
        self._chosen = {i: chosen for i, chosen in self._chosen.items() if i in self._workloads}
        used = Use(0, 0, 0)
        for ids in parts_of(tuple(self._workloads)):
            self._set_account_values(ids)
            more = use(self._workloads[i] for i in ids)
            bundles = used.bundles | more.bundles
            used = Use(used.active + more.active, used.replicas + more.replicas, used.live + more.live, bundles)
            yield
        self.use = self._with_forecast(used, now)

    def _with_forecast(self, used: Use, now: float) -> Use:
        """Note the number of active workloads; returns the use with when it reaches the account's limit."""
        active, history = used.active, self._costs.min_history
        points = trend.followed(self._snapshot.tally.active, now, active)
        if points is not self._snapshot.tally.active:
            tally = msgspec.structs.replace(self._snapshot.tally, active=points)
            self._snapshot = self._snapshot._replace(tally=tally)
        full = trend.full_at(points, now, active, self._account.workloads_limit, history)
        return used._replace(full=full, forecast_from=trend.known_from(points, history))

    def select_tags(self, selection: TagSelection) -> None:
        """Make labels of these tags from now on."""
        if selection != self._tags:
            self._tags = selection
            for _ in self._admission_steps():
                pass
            self._set_account_values(tuple(self._workloads))

    def _admission_steps(self) -> Iterator[None]:
        """Decide which names and values of tags become labels."""
        found = dict[str, set[str]]()
        for ids in parts_of(tuple(self._workloads) if self._tags.names else ()):
            for name, value, _ in census((self._workloads[i].workload for i in ids), self._tags):
                found.setdefault(name, set()).add(value)
            yield
        everything = (state.workload for state in self._workloads.values())
        self.admission = admitted(found, self.admission, self._tags, lambda: oldest(everything, self._tags))

    def revert(self, before: Snapshot, sweep: Sweep, now: float) -> None:
        """Return to the snapshot before a sweep that failed at `now`, after part of it may have been applied."""
        self._set_snapshot(step(before, sweep, now))

    def replace(self, state: WorkloadState, entry: Entry | None = None) -> None:
        """Replace the state of a workload if it is still listed, and add `entry` to the account's counters."""
        if state.workload.id in self._workloads:
            self._workloads[state.workload.id] = state
        if entry is not None and (tally := self._snapshot.tally.after(entry)) is not self._snapshot.tally:
            self._snapshot = self._snapshot._replace(tally=tally)

    def replace_account(self, account: Account) -> None:
        """Replace the account-wide details."""
        self._account = account
        if account.bundles is not None:
            self._catalogue = offered(account.bundles)
            self._other_uses = of_other_uses(account.bundles)
        self._set_account_values(tuple(self._workloads))

    def judge(self, evidence: Iterable[Indication]) -> tuple[Assumption, ...]:
        """Use more evidence about the API; returns the assumptions about which it decides something new.

        Evidence that cannot be found, by a bug of the exporter, is logged: the response itself must count all the same.
        """
        before = self.judgement
        try:
            after = before.after(evidence)
        except Exception:  # a bug there must not lose the response
            log.exception("assumptions could not be judged")
            return ()
        if after is before:
            return ()
        self.judgement = after
        decided = tuple(row for row in ASSUMPTIONS if after.decision(row).reading != before.decision(row).reading)
        if decided and (readings := after.readings) != self._account.readings:
            self.replace_account(self._account._replace(readings=readings))
        return decided

    def use_costs(self, costs: Costs) -> None:
        """Use other prices from now on."""
        self._costs = costs
        self._set_account_values(tuple(self._workloads))

    def use_objectives(self, rows: tuple[ObjectiveRow, ...]) -> None:
        """Use these objectives from now on."""
        if rows != self._objectives:
            self._objectives, self._chosen = rows, {}
            self._set_account_values(tuple(self._workloads))

    def _set_account_values(self, ids: Iterable[str]) -> None:
        """Give workloads the bundle catalogue, the limit of replicas, prices, labels from tags, and objectives."""
        catalogue, limit, costs = self._catalogue, self._account.replicas_limit, self._costs
        readings = self._account.readings
        limit = None if "replica_limit_other" in readings else limit
        for i in ids:
            state = self._workloads[i]
            tags = tag_labels(state.workload, self._tags, self.admission)
            objective = self._objective(state) if self._objectives else None
            same = state.catalogue is catalogue and state.replicas_limit == limit and state.costs is costs
            same = same and state.readings is readings
            if not same or state.tag_labels != tags or state.objective != objective:
                self._workloads[i] = state._replace(
                    catalogue=catalogue,
                    other_uses=self._other_uses,
                    replicas_limit=limit,
                    costs=costs,
                    readings=readings,
                    tag_labels=tags,
                    objective=objective,
                )

    def _objective(self, state: WorkloadState) -> Objective | None:
        workload = state.workload
        chosen = self._chosen.get(workload.id)
        if chosen is None or chosen[0] is not workload:
            chosen = self._chosen[workload.id] = (workload, objective_of(self._objectives, state.account, workload))
        return chosen[1]

    def set_gone_reason(self, workload_id: str, reason: str) -> None:
        """Record the result of requesting a vanished workload by its id: ``not_found``, ``forbidden``, ``found``, or
        empty. Moves it behind the other vanished workloads.
        """
        state = self._gone.pop(workload_id, None)
        if state is not None:
            # Kept in the ledger, so that after a restart it does not count as deleted.
            ledger = hidden(state.ledger) if reason in ("forbidden", "found") else state.ledger
            self._gone[workload_id] = answered = state._replace(gone_because=reason, ledger=ledger)
            self.answered.append(answered)

    def add_history(self, workload_id: str, entry: HistoryEntry, now: float) -> None:
        """Add an entry to the history of a workload that is known, listed or not."""
        for states in (self._workloads, self._missing, self._gone):
            if (state := states.get(workload_id)) is not None:
                history = with_entry(state.ledger.history, entry, now)
                states[workload_id] = state._replace(ledger=msgspec.structs.replace(state.ledger, history=history))

    def observe_clock(self, date: float, middle: float, seconds: float) -> None:
        """Use a response's Date header, the middle of its request by the local clock (seconds since the epoch), and the
        duration of the request.
        """
        self.skew = self.skew.with_response(date, middle, seconds)

    def settle(
        self, tracing: Callable[[WorkloadState], Tracing | None], postponed: Callable[[WorkloadState], bool]
    ) -> list[EpisodeTrace]:
        """Build the traces of episodes that are over, after a complete sweep; returns them.

        `tracing`: how a workload's traces are built; `postponed`: whether a vanished workload is not settled yet.
        """
        now, previous = self._snapshot.succeeded, self._snapshot.previous
        assert now is not None
        built: list[EpisodeTrace] = []
        for states in (self._workloads, self._missing, self._gone):
            for i, state in states.items():
                if len(self._traces) >= MAX_PENDING_TRACES:
                    return built
                if not state.ledger.tracker.changes_with_time or (states is self._gone and postponed(state)):
                    continue
                states[i], traces = settled(state, now, previous, tracing(state), self.skew.counts)
                built += traces
                self._traces += [each for each in traces if each.trace is not None]
        return built

    # -- what is to be written

    def pending(self, logging: Logging | None = None) -> Pending:
        """What is to be written, in one transaction; with what happened to workloads if `logging` says so."""
        if self._snapshot.succeeded is None:
            return Pending({})
        now = dict(ledgers(self._snapshot))
        changed: dict[str, Ledger | None] = {
            i: each for i, each in now.items() if self._written_ledgers.get(i) is not each
        }
        changed |= dict.fromkeys(self._written_ledgers.keys() - now.keys())
        tally = None if self._snapshot.tally is self._written_tally else self._snapshot.tally
        logs = tuple(self._logs(changed, self._snapshot.succeeded, logging)) if logging is not None else ()
        return Pending(changed, tally, tuple(self._traces), logs)

    def _logs(self, changed: Mapping[str, Ledger | None], now: float, logging: Logging) -> Iterator[WorkloadLog]:
        for i, ledger in changed.items():
            state = self._workloads.get(i) or self._missing.get(i) or self._gone.get(i)
            if ledger is not None and state is not None:
                log = log_of(self._written_ledgers.get(i), state._replace(ledger=ledger), now, logging)
                if log is not None:
                    yield log

    def written(self, pending: Pending) -> None:
        """Record that `pending` was written."""
        for i, each in pending.ledgers.items():
            if each is None:
                self._written_ledgers.pop(i, None)
            else:
                self._written_ledgers[i] = each
        self._written_tally = pending.tally if pending.tally is not None else self._written_tally
        written = {id(each) for each in pending.traces}
        self._traces = [each for each in self._traces if id(each) not in written]

    def add_traces(self, traces: list[EpisodeTrace]) -> None:
        """Add traces to be written."""
        self._traces += traces
