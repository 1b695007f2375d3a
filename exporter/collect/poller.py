"""The poller of one account: plans with `exporter.fleet.polling`, fetches with `exporter.collect.fetchers`, tracks
ages.

A turn takes requests that are due and fit into a few seconds of the budget. While the workload list is being read, the
poller slows to a trickle so that state changes are noticed quickly.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from exporter.api.decoding import NotDecodable, Reject
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_FETCHERS, FETCHERS, PASSING, Question, problem
from exporter.fleet import polling
from exporter.fleet.apply import failed, refused, told, withdrawn
from exporter.fleet.ledger import Entry
from exporter.fleet.pauses import Pause
from exporter.fleet.polling import DetailRequest, Extra, Policy
from exporter.fleet.workload_state import Account, WorkloadState, unreadable
from exporter.log import log
from exporter.telemetry.own_metrics import AGES, PollerState

TURN = 5.0
"""Seconds of the budget that one turn spends."""
AT_ONCE = 100
"""Workloads processed before yielding to the event loop."""
AGAIN = 60.0
"""Seconds until a request is repeated after a transient failure."""
FORGET = 600.0
"""Seconds after which the requests of an unchanged workload are computed again."""


class Fleet(Protocol):
    """The workloads whose details are polled; receives their updated state."""

    account: Account

    @property
    def workloads(self) -> Mapping[str, WorkloadState]: ...

    def replaced(self, state: WorkloadState, entry: Entry | None = None) -> None: ...


class PollObserver(Protocol):
    """Counts the polls."""

    def looked(self, part: str, failure: str, rejects: Iterable[Reject]) -> None: ...
    def turned(self, state: PollerState) -> None: ...


class _Asked:
    """The requests of one workload, with the last poll and the last success of each part (steady clock).

    `told` is when a part was last read completely; if never, when it first failed for a transient reason. `shown` is
    when any of it was read: pods may be read without those of the serving proton.
    """

    __slots__ = ("looked", "requests", "shown", "state", "told", "until")

    def __init__(self, now: float) -> None:
        self.state: WorkloadState | None = None
        self.requests: tuple[DetailRequest, ...] = ()
        self.until = now
        self.looked: dict[str, float] = {}
        self.told: dict[str, float] = {}
        self.shown: dict[str, float] = {}


class Poller:
    """`turn` runs one turn, `run` loops. `rate` is the account's budget, `share` the poller's part of it."""

    def __init__(
        self,
        fleet: Fleet,
        client: Client,
        policy: Policy,
        observer: PollObserver,
        *,
        rate: float,
        concurrency: int,
        slow: float,
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._fleet, self._client, self._policy, self._observer = fleet, client, policy, observer
        self._budget, self._workers, self._slow = rate, max(1, concurrency - 1), slow
        self._wall, self._steady = wall, steady
        self._asked: dict[str, _Asked] = {}
        self._account: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        """Part -> when requests for it may be sent again, after the API refused some."""
        self._dropped: frozenset[Extra] = frozenset()
        self._begun = False
        self._load = 1.0
        self._free = asyncio.Event()
        self._free.set()
        self._trickle = asyncio.Lock()
        self._woken = asyncio.Event()
        self.rate = rate

    def inherit(self, other: Poller) -> None:
        """Take over the ages from the previous poller after a reload."""
        self._asked, self._account, self._dropped = other._asked, other._account, other._dropped

    def hold(self) -> None:
        """Hold back: the workload list is being read."""
        self._free.clear()

    def release(self, pages_per_second: float) -> None:
        """Resume; the list takes this many requests per second of the budget."""
        self.rate = max(self._budget - pages_per_second, 0.2 * self._budget)
        self._free.set()
        self._woken.set()

    async def run(self) -> None:
        """Turn after turn; waits for the next sweep, or a few seconds, where nothing is due."""
        while True:
            self._woken.clear()
            began = self._steady()
            done = 0
            try:
                done = await self.turn()
            except Exception:  # whatever it is, the status lane goes on, and the next turn may be good
                log.exception("a turn of the detail lane failed")
            if not done or self._steady() - began < 1.0:
                with_timeout = asyncio.timeout(TURN if not done else 1.0)
                try:
                    async with with_timeout:
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def turn(self) -> int:
        """Plan and send requests; returns for how many of them a request was sent."""
        requests = await self._plan()
        waiting = iter(requests)
        return sum(await asyncio.gather(*(self._work(waiting) for _ in range(min(self._workers, len(requests))))))

    # -- the plan

    async def _plan(self) -> list[DetailRequest]:
        now, wall = self._steady(), self._wall()
        budget = max(8, int(self.rate * TURN))
        workloads = self._fleet.workloads
        for gone in self._asked.keys() - workloads.keys():
            del self._asked[gone]
        extras = dict.fromkeys(polling.EXTRAS, 0.0)
        wanted, queue = 0.0, 0
        stale: dict[str, int] = dict.fromkeys(polling.NAMES, 0)
        ages: dict[str, tuple[list[int], float]] = {name: ([0] * (len(AGES) + 1), 0.0) for name in polling.NAMES}
        of_the_account = list(self._of_the_account(now))
        queue += len(of_the_account)
        chosen: list[DetailRequest] = []
        ids = list(workloads)
        for start in range(0, len(ids), AT_ONCE):
            due: list[tuple[DetailRequest, float]] = []
            there = [state for i in ids[start : start + AT_ONCE] if (state := workloads.get(i)) is not None]
            for extra, cost in polling.extra_costs(there, self._policy).items():
                extras[extra] += cost
            for state in there:
                asked = self._about(state, now, wall)
                old = []
                for request in asked.requests:
                    wanted += request.cost / request.every
                    looked = asked.looked[request.part]
                    if now - looked >= request.every:
                        due.append((request, looked))
                    if (at := asked.told.get(request.part)) is not None:
                        _age(ages, request.part, now - at)
                        lasts = polling.lasts(request, self._load)
                        stale[request.part] += now - at > lasts
                        if now - asked.shown.get(request.part, at) > lasts:
                            old.append(request.part)
                self._withdraw(state, asked, old)
            queue += len(due)
            chosen.extend(polling.plan(self._unpaused(due, now), now, budget))
            if len(chosen) > 2 * budget:
                chosen = self._best(chosen, now, budget)
            await asyncio.sleep(0)
        requests = of_the_account + self._best(chosen, now, budget)
        self._settle(wanted, extras, queue, stale, ages)
        self._begun = bool(ids)
        return requests

    def _of_the_account(self, now: float) -> Iterator[DetailRequest]:
        for part, every in polling.ACCOUNT_PARTS.items():
            if now - self._account.get(part, -math.inf) >= every:
                yield DetailRequest("", part, 1, every)

    def _unpaused(
        self, due: Iterable[tuple[DetailRequest, float]], now: float
    ) -> Iterator[tuple[DetailRequest, float]]:
        return ((request, looked) for request, looked in due if now >= self._paused.get(request.part, now))

    def _best(self, requests: Iterable[DetailRequest], now: float, budget: int) -> list[DetailRequest]:
        def looked(request: DetailRequest) -> float:
            return self._asked[request.workload].looked[request.part] if request.workload in self._asked else -math.inf

        return polling.plan([(request, looked(request)) for request in requests], now, budget)

    def _about(self, state: WorkloadState, now: float, wall: float) -> _Asked:
        asked = self._asked.get(state.workload.id)
        new = asked is None and self._begun
        if asked is None:
            asked = self._asked[state.workload.id] = _Asked(now)
        if asked.state is state and now < asked.until:
            return asked
        before = asked.state
        asked.requests = polling.requests(state, self._policy, wall, self._dropped)
        asked.state, asked.until = state, now + FORGET
        for request in asked.requests:
            # One never looked at is as overdue as if it had missed three of its turns.
            asked.looked.setdefault(request.part, now - 4 * request.every)
        # One that came later than the fleet, or has changed, is asked about before all that is merely due.
        if new or (before is not None and _moved(before, state)):
            for part in ("pods", "events"):
                if part in asked.looked:
                    asked.looked[part] = -math.inf
        unwanted = state.details.fresh.keys() - {request.part for request in asked.requests}
        if unwanted:
            for part in unwanted:
                asked.looked.pop(part, None)
                asked.told.pop(part, None)
                asked.shown.pop(part, None)
            after = withdrawn(state, (), unwanted)
            asked.state = after
            self._fleet.replaced(after)
        return asked

    def _withdraw(self, state: WorkloadState, asked: _Asked, old: list[str]) -> None:
        now = self._fleet.workloads.get(state.workload.id)
        if now is not None and any(_stands(now, part) for part in old):
            asked.state = withdrawn(now, old)
            self._fleet.replaced(asked.state)

    def _settle(
        self,
        wanted: float,
        extras: Mapping[Extra, float],
        queue: int,
        stale: Mapping[str, int],
        ages: Mapping[str, tuple[list[int], float]],
    ) -> None:
        self._load = max(1e-9, wanted / self.rate)
        kept = sum(cost for extra, cost in extras.items() if extra not in self._dropped)
        dropped = polling.affordable(max(0.0, wanted - kept), extras, self.rate, self._dropped)
        if dropped != self._dropped:
            self._dropped = dropped
            for asked in self._asked.values():
                asked.until = -math.inf
            words = ", ".join(f"{extra} of {which} workloads" for extra, which in sorted(dropped)) or "nothing"
            log.info("the budget carries not all details", **{"left out": words})
        fleet = self._fleet.workloads.values()
        counts = dict.fromkeys(polling.EXTRAS, 0)
        for state in fleet if dropped else ():
            for extra in dropped:
                counts[extra] += polling.importance(state) == extra[1]
        self._observer.turned(PollerState(queue, self._load, stale, ages, counts))

    # -- the work

    async def _work(self, waiting: Iterator[DetailRequest]) -> int:
        sent = 0
        for request in waiting:
            if self._steady() < self._paused.get(request.part, -math.inf):
                continue  # since the plan was made
            await self._permission()
            if not request.workload:
                sent += await self._ask_account(request)
            elif (state := self._fleet.workloads.get(request.workload)) is not None:
                sent += await self._ask(request, state)
        return sent

    async def _permission(self) -> None:
        if self._free.is_set():
            return
        async with self._trickle:
            try:
                async with asyncio.timeout(8 / self._budget):
                    await self._free.wait()
            except TimeoutError:
                pass

    def _postponed(self, request: DetailRequest, pause: Pause) -> float:
        """Seconds until a request that a pause prevented is repeated.

        Unless the pause is for this workload alone, the same part of other workloads waits for its end too.
        """
        again = min(request.every, AGAIN)
        if pause.scope == "object":
            return max(again, pause.seconds)
        self._paused[request.part] = self._steady() + pause.seconds
        # Later than the others: if this workload alone is refused, they must have their turn before the next pause.
        return pause.seconds + again

    async def _ask(self, request: DetailRequest, state: WorkloadState) -> bool:
        """Returns whether a request was sent, as far as is known."""
        quantiles = polling.quantiles(request.part, state, self._policy, self._dropped)
        failure = ""
        rejects: tuple[Reject, ...] = ()
        again, sent = request.every, True
        try:
            question = Question(self._client, state, self._wall(), quantiles, self._slow)
            value, rejects = await FETCHERS[request.part](question)
        except (ApiError, NotDecodable) as error:
            failure = problem(error)
            if isinstance(error, ApiError):
                sent = _sent(error)
                again = min(again, AGAIN) if error.transient else again
                again = self._postponed(request, error.pause) if error.pause is not None else again
        except Exception:  # a fault of ours about one workload must not cost the others their turn
            failure = "internal"
            log.exception("a look failed", part=request.part, workload_id=request.workload)
        now = self._steady()
        asked = self._asked.get(request.workload)
        latest = self._fleet.workloads.get(request.workload)
        if asked is None or latest is None:
            self._observer.looked(request.part, failure, rejects)
            return sent
        if not failure and value is None and request.part != "replacement":
            again = min(again, AGAIN / 2)  # an answer that says nothing yet
        asked.looked[request.part] = now - request.every + again
        if failure:
            self._miss(request, asked, latest, failure, now)
        elif value is not None or request.part == "replacement":
            failure = self._take(request, asked, latest, value, now)
        self._observer.looked(request.part, failure, rejects)
        return sent

    def _miss(self, request: DetailRequest, asked: _Asked, latest: WorkloadState, failure: str, now: float) -> None:
        """Record that a request failed, and why."""
        refuses = failure == "forbidden"
        self._fleet.replaced(refused(latest, request.part) if refuses else failed(latest, request.part, failure))
        if failure in PASSING:
            asked.told.setdefault(request.part, now)
        elif refuses and request.part not in asked.shown:
            asked.told.pop(request.part, None)  # it only failed so far: what is refused is not stale

    def _take(self, request: DetailRequest, asked: _Asked, latest: WorkloadState, value: Any, now: float) -> str:
        """Take an answer; returns why it lacks what matters most, the pods of the proton that serves, or nothing."""
        after, entry = told(latest, request.part, value, self._wall())
        if after is not latest:
            self._fleet.replaced(after, entry)
        asked.shown[request.part] = now
        failure = unreadable(after) if request.part == "pods" else ""
        if not failure:
            asked.told[request.part] = now
            return ""
        asked.told.setdefault(request.part, now)
        if failure in PASSING:
            # With what is known no more the workload may count as steady from now on, and be due much later.
            requests = polling.requests(after, self._policy, self._wall(), self._dropped)
            every = next((each.every for each in requests if each.part == request.part), request.every)
            asked.looked[request.part] = now - every + min(every, AGAIN)
        return failure

    async def _ask_account(self, request: DetailRequest) -> bool:
        """Returns whether a request was sent, as far as is known."""
        sent = True
        failure = ""
        rejects: tuple[Reject, ...] = ()
        self._account[request.part] = self._steady()
        try:
            fields, rejects = await ACCOUNT_FETCHERS[request.part](self._client)
            self._fleet.account = self._fleet.account._replace(**fields)
        except (ApiError, NotDecodable) as error:
            failure = problem(error)
            if isinstance(error, ApiError):
                sent = _sent(error)
                again = AGAIN if error.transient else request.every
                again = self._postponed(request, error.pause) if error.pause is not None else again
                self._account[request.part] = self._steady() - request.every + again
        except Exception:  # a fault of ours about the account must not cost the workloads their turn
            failure = "internal"
            log.exception("a look failed", part=request.part)
        self._observer.looked(request.part, failure, rejects)
        return sent


def _sent(error: ApiError) -> bool:
    """Whether the request that failed was sent: the client itself refuses what is paused."""
    return error.pause is None or error.status != 0


def _moved(before: WorkloadState, now: WorkloadState) -> bool:
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


def _stands(state: WorkloadState, part: str) -> bool:
    """Whether a part is not withdrawn yet; pods may stand though they are not fresh."""
    details = state.details
    stale = part in details.refused or details.fresh.get(part) is False
    return not stale or (part == "pods" and details.pods is not None)


def _age(ages: dict[str, tuple[list[int], float]], part: str, age: float) -> None:
    counts, total = ages[part]
    counts[bisect_left(AGES, age)] += 1
    ages[part] = counts, total + age
