"""The schedule of detail polling: the requests of a turn, the ages of parts, and what the budget leaves out."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Protocol

from exporter.api.assumptions import Assumption, Judgement, Readings
from exporter.api.decoding import Reject
from exporter.api.models import RequestStats
from exporter.collect.account_state import AccountState
from exporter.fleet import error_hints, polling
from exporter.fleet.apply import withdrawn
from exporter.fleet.error_hints import ErrorCount
from exporter.fleet.pauses import Pause
from exporter.fleet.polling import DetailRequest, Extra, Policy
from exporter.fleet.workload_state import WorkloadState, consumer_only
from exporter.log import log
from exporter.telemetry.report import AGES, PollerState

TURN_SECONDS = 5.0
"""Seconds of the budget that one turn spends."""
MIN_REQUESTS = 8
"""Requests of one turn at least, however small the budget."""
RETRY_SECONDS, MAX_RETRY_SECONDS = 60.0, 300.0
"""Seconds until a request is repeated after a transient failure; at most, if it gets no response in time repeatedly."""
WORKLOADS_AT_ONCE = 100
"""Workloads processed before yielding to the event loop."""
REPLAN_SECONDS = 600.0
"""Seconds after which the requests of an unchanged workload are computed again."""


class PollObserver(Protocol):
    """Counts the polls."""

    def polled(self, part: str, failure: str, rejects: Iterable[Reject]) -> None: ...
    def poller_state(self, state: PollerState) -> None: ...
    def judged(self, judgement: Judgement, decided: Iterable[Assumption]) -> None: ...


class PolledWorkload:
    """The requests of one workload, and for each part when it was polled and read (steady clock).

    `rate` is what the requests cost, in API requests per second.

    `complete` is when a part was last read completely; if never, when it first failed for a transient reason. `read` is
    when any of it was read: pods may be read without those of the serving proton. `errors` are those that the list
    reported, and `hinted` is whether they have become many since the statistics were last read. `extras`: see
    `exporter.fleet.polling.extras`.
    """

    __slots__ = (
        "complete",
        "errors",
        "extras",
        "failing",
        "hinted",
        "polled",
        "rate",
        "read",
        "requests",
        "state",
        "until",
    )

    def __init__(self, now: float) -> None:
        self.state: WorkloadState | None = None
        self.requests: tuple[DetailRequest, ...] = ()
        self.rate = 0.0
        self.extras: Mapping[Extra, float] = {}
        self.until = now
        self.polled: dict[str, float] = {}
        self.complete: dict[str, float] = {}
        self.read: dict[str, float] = {}
        self.errors: ErrorCount | None = None
        self.hinted = False
        self.failing: dict[str, tuple[str, int]] = {}
        """Part -> reason of its last failure, and how many times in a row it failed so."""

    def retry_after(self, part: str, reason: str) -> float:
        """Record that a poll failed; returns the seconds until the next, which grow while it fails for one reason."""
        before, times = self.failing.get(part, ("", 0))
        times = times + 1 if reason == before else 1
        self.failing[part] = reason, times
        return RETRY_SECONDS * 2.0 ** min(times - 1, 8)

    def hurry(self, *parts: str) -> None:
        """Make parts that are polled due at once."""
        for part in parts:
            if part in self.polled:
                self.polled[part] = -math.inf

    def compare_errors(self, stats: RequestStats | None, now: float, readings: Readings) -> None:
        """Make the statistics and the pods due at once if the list hints at many errors."""
        self.errors, hint = error_hints.compared(self.errors, stats, now, readings)
        if hint:
            self.hinted = True
            self.hurry("stats_5m", "pods")

    def forget(self, part: str) -> None:
        """Forget when a part was polled and read."""
        self.polled.pop(part, None)
        self.complete.pop(part, None)
        self.read.pop(part, None)


class _Totals:
    """What one turn's pass over the fleet adds up, for metrics and for the decision what the budget allows."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.queue = 0
        self.extras: dict[Extra, float] = dict.fromkeys(polling.EXTRAS, 0.0)
        self.stale: dict[str, int] = dict.fromkeys(polling.PART_NAMES, 0)
        self.ages: dict[str, tuple[list[int], float]] = {
            name: ([0] * (len(AGES) + 1), 0.0) for name in polling.PART_NAMES
        }

    def add_age(self, part: str, age: float) -> None:
        counts, total = self.ages[part]
        counts[bisect_left(AGES, age)] += 1
        self.ages[part] = counts, total + age


class PollSchedule:
    """`turn` returns the requests to send now. `rate`: requests per second available for details.

    Parts that are too old, or no longer polled, are withdrawn from `state`. `dropped`: what is left out at present
    because the budget does not allow it.
    """

    def __init__(
        self,
        state: AccountState,
        policy: Policy,
        observer: PollObserver,
        *,
        rate: float,
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._state, self._policy, self._observer = state, policy, observer
        self._wall, self._steady = wall, steady
        self._account: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        """Part -> when requests for it may be sent again, after the API refused some."""
        self._started = False
        self._load = 1.0
        self.rate = rate
        self.dropped: frozenset[Extra] = frozenset()
        self.workloads: dict[str, PolledWorkload] = {}

    def inherit(self, other: PollSchedule) -> None:
        """Take over the ages from the schedule of the previous settings."""
        self.workloads, self._account, self.dropped = other.workloads, other._account, other.dropped

    # -- a turn

    async def turn(self) -> list[DetailRequest]:
        """The requests that are due and fit into a turn's share of the budget, most important first."""
        now, wall = self._steady(), self._wall()
        budget = max(MIN_REQUESTS, int(self.rate * TURN_SECONDS))
        workloads = self._state.workloads
        for gone in self.workloads.keys() - workloads.keys():
            del self.workloads[gone]
        totals = _Totals()
        of_account = list(self._of_account(now))
        totals.queue += len(of_account)
        selected: list[DetailRequest] = []
        ids = list(workloads)
        for start in range(0, len(ids), WORKLOADS_AT_ONCE):
            states = [state for i in ids[start : start + WORKLOADS_AT_ONCE] if (state := workloads.get(i)) is not None]
            due = [each for state in states for each in self._due(state, totals, now, wall)]
            totals.queue += len(due)
            unpaused = ((request, polled) for request, polled in due if not self.is_paused(request.part, now))
            selected.extend(polling.plan(unpaused, now, budget))
            if len(selected) > 2 * budget:
                selected = self._best(selected, now, budget)
            await asyncio.sleep(0)  # a large fleet takes long: let scrapes and sweeps continue
        requests = of_account + self._best(selected, now, budget)
        self._finish(totals)
        self._started = bool(ids)
        return requests

    def _of_account(self, now: float) -> Iterator[DetailRequest]:
        for part, every in polling.ACCOUNT_PARTS.items():
            if now - self._account.get(part, -math.inf) >= every:
                yield DetailRequest("", part, 1, every)

    def _due(
        self, state: WorkloadState, totals: _Totals, now: float, wall: float
    ) -> Iterator[tuple[DetailRequest, float]]:
        """The requests of a workload that are due, and when they were last sent. Withdraws parts that are too old."""
        polled = self._planned(state, now, wall)
        for extra, cost in polled.extras.items():
            totals.extras[extra] += cost
        totals.rate += polled.rate
        too_old = []
        for request in polled.requests:
            last = polled.polled[request.part]
            if now - last >= request.every:
                yield request, last
            if (at := polled.complete.get(request.part)) is not None:
                age = now - at
                totals.add_age(request.part, age)
                if age > polling.MIN_USED_SECONDS and age > (lasts := polling.lasts(request, self._load)):
                    totals.stale[request.part] += 1
                    if now - polled.read.get(request.part, at) > lasts:
                        too_old.append(request.part)
        if too_old:
            self._withdraw(state, polled, too_old)

    def _best(self, requests: Iterable[DetailRequest], now: float, budget: int) -> list[DetailRequest]:
        def last(request: DetailRequest) -> float:
            polled = self.workloads.get(request.workload)
            return -math.inf if polled is None else polled.polled[request.part]

        return polling.plan([(request, last(request)) for request in requests], now, budget)

    def _planned(self, state: WorkloadState, now: float, wall: float) -> PolledWorkload:
        """A workload's record, its requests computed again if it changed or after `REPLAN_SECONDS`."""
        polled = self.workloads.get(state.workload.id)
        new = polled is None and self._started
        if polled is None:
            polled = self.workloads[state.workload.id] = PolledWorkload(now)
        if polled.state is state and now < polled.until:
            return polled
        before = polled.state
        polled.requests = polling.requests(state, self._policy, wall, self.dropped)
        polled.rate = polling.load(polled.requests, 1.0)
        polled.extras = polling.extras(state, self._policy)
        polled.state, polled.until = state, now + REPLAN_SECONDS
        for request in polled.requests:
            # A part that was never polled is as overdue as one that missed three of its turns, of important workloads
            # too, whose shorter interval may turn out to be too expensive.
            every = request.every if request.urgent else max(request.every, self._policy.interval)
            polled.polled.setdefault(request.part, now - 4 * every)
        # A workload that is new, or changed, is polled before those that are merely due.
        if new or (before is not None and _changed(before, state)):
            polled.hurry("pods", "events")
        if before is None or before.workload.request_stats is not state.workload.request_stats:
            polled.compare_errors(state.workload.request_stats, now, state.readings)
        unwanted = _known(state) - {request.part for request in polled.requests}
        if unwanted:
            for part in unwanted:
                polled.forget(part)
            polled.state = withdrawn(state, (), unwanted)
            self._state.replace(polled.state)
        return polled

    def _withdraw(self, state: WorkloadState, polled: PolledWorkload, too_old: list[str]) -> None:
        latest = self._state.workloads.get(state.workload.id)
        if latest is not None and any(_is_shown(latest, part) for part in too_old):
            polled.state = withdrawn(latest, too_old)
            self._state.replace(polled.state)

    def _finish(self, totals: _Totals) -> None:
        """Decide what the budget allows from now on, and report the turn."""
        self._load = max(1e-9, totals.rate / self.rate)
        polled_extras = sum(cost for extra, cost in totals.extras.items() if extra not in self.dropped)
        dropped = polling.affordable(max(0.0, totals.rate - polled_extras), totals.extras, self.rate, self.dropped)
        if dropped != self.dropped:
            self.dropped = dropped
            for polled in self.workloads.values():
                polled.until = -math.inf
            left_out = ", ".join(f"{extra} of {which} workloads" for extra, which in sorted(dropped)) or "nothing"
            log.info("requests_per_second is too low for all details", left_out=left_out)
        counts = dict.fromkeys(polling.EXTRAS, 0)
        for polled in self.workloads.values() if dropped else ():
            for extra in dropped & polled.extras.keys():
                counts[extra] += 1
        self._observer.poller_state(PollerState(totals.queue, self._load, totals.stale, totals.ages, counts))

    # -- results

    def ages(self, workload: str, now: float) -> dict[str, float]:
        """Seconds since each part of the details of a workload was last read completely."""
        polled = self.workloads.get(workload)
        return {} if polled is None else {part: now - at for part, at in polled.complete.items() if part in polled.read}

    def is_paused(self, part: str, now: float) -> bool:
        """Whether requests for a part wait for the end of a pause."""
        return now < self._paused.get(part, -math.inf)

    def pause(self, request: DetailRequest, pause: Pause, *, sent: bool) -> float:
        """Record that a request was refused by the API, or not `sent`; returns the seconds until it is repeated.

        Unless the pause applies to this workload alone, the same part of other workloads waits for its end too.
        """
        again = min(request.every, RETRY_SECONDS)
        if pause.scope == "object":
            return max(again, pause.seconds)
        self._paused[request.part] = self._steady() + pause.seconds
        # What was refused comes later than what was not sent: if only this workload is refused, the others must be
        # polled before the next pause.
        return pause.seconds + (again if sent else 0.0)

    def unpause(self) -> None:
        """Plan requests again that wait for the end of a pause; the client still refuses those that are paused."""
        self._paused.clear()

    def polled_account(self, request: DetailRequest, again: float | None = None) -> None:
        """Record that a part of the account was polled now. It is due after `again` seconds; None: its interval."""
        now = self._steady()
        self._account[request.part] = now if again is None else now - request.every + again

    def interval(self, state: WorkloadState, request: DetailRequest) -> float:
        """The interval of a part in the workload's present state, in seconds."""
        requests = polling.requests(state, self._policy, self._wall(), self.dropped)
        return next((each.every for each in requests if each.part == request.part), request.every)

    def quantiles(self, state: WorkloadState, request: DetailRequest) -> tuple[float, ...]:
        """The quantiles of the response time to request."""
        return polling.quantiles(request.part, state, self._policy, self.dropped)

    def early(self, state: WorkloadState) -> bool:
        """Whether statistics are requested up to now: the workload responds with many errors, or may do so."""
        polled = self.workloads.get(state.workload.id)
        return polling.server_errors(state)[0] or (polled is not None and polled.hinted)


def _changed(before: WorkloadState, now: WorkloadState) -> bool:
    """Whether a workload has changed in what its details depend on."""
    a, b = before.workload, now.workload
    if a is b:
        return False
    return (a.status, a.proton_id, a.artifact_id, a.replacement, a.runtime) != (
        b.status,
        b.proton_id,
        b.artifact_id,
        b.replacement,
        b.runtime,
    )


def _known(state: WorkloadState) -> Set[str]:
    """The parts of which there is data, or of which requests fail. What a consumer may not read stays refused."""
    details = state.details
    return details.fresh.keys() | details.failed.keys() | (set() if consumer_only(state) else details.refused)


def _is_shown(state: WorkloadState, part: str) -> bool:
    """Whether a part is not withdrawn yet; pods may be shown although they are not fresh."""
    details = state.details
    stale = part in details.refused or details.fresh.get(part) is False
    return not stale or (part == "pods" and details.pods is not None)
