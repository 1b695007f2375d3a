"""The detail lane of one account: plans by `exporter.fleet.polling`, asks by `exporter.collect.fetchers`, keeps ages.

A turn takes what is due and fits into a few seconds of the budget. While the workload list is being read the lane
holds back, so that a change of state is seen as soon as ever; it keeps a trickle, so that nothing stops for good.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from exporter.api.decoding import NotDecodable, Reject
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_LOOKS, LOOKS, PASSING, Question, problem
from exporter.fleet import polling
from exporter.fleet.apply import failed, refused, told, withdrawn
from exporter.fleet.ledger import Entry
from exporter.fleet.pauses import Pause
from exporter.fleet.polling import Ask, Extra, Policy
from exporter.fleet.state import Account, Seen, unreadable
from exporter.telemetry.own_metrics import AGES, PollerState

log = logging.getLogger("exporter")

TURN = 5.0
"""Seconds of the budget that one turn spends."""
AT_ONCE = 100
"""Workloads looked through before the event loop gets its turn."""
AGAIN = 60.0
"""Seconds until an ask is repeated that failed for a reason that may pass."""
FORGET = 600.0
"""Seconds until the asks of a workload that did not change are worked out again."""


class Fleet(Protocol):
    """Whose details the lane brings: it reads the workloads, and gives back the same ones changed."""

    account: Account

    @property
    def workloads(self) -> Mapping[str, Seen]: ...

    def replaced(self, seen: Seen, entry: Entry | None = None) -> None: ...


class Teller(Protocol):
    """Who counts what the lane does."""

    def looked(self, part: str, failure: str, rejects: Iterable[Reject]) -> None: ...
    def turned(self, state: PollerState) -> None: ...


class _Asked:
    """What is asked about one workload, when each part was last looked at and last told (steady clock).

    `told` is when a part was last told in full; if it never was, when it first failed for a reason that may pass.
    `shown` is when any of it was: pods may be told without those of the proton that serves.
    """

    __slots__ = ("asks", "looked", "seen", "shown", "told", "until")

    def __init__(self, now: float) -> None:
        self.seen: Seen | None = None
        self.asks: tuple[Ask, ...] = ()
        self.until = now
        self.looked: dict[str, float] = {}
        self.told: dict[str, float] = {}
        self.shown: dict[str, float] = {}


class Lane:
    """`turn` is one turn, `run` goes on for ever. `rate` is the account's budget, `share` the part that is ours."""

    def __init__(
        self,
        fleet: Fleet,
        client: Client,
        policy: Policy,
        teller: Teller,
        *,
        rate: float,
        concurrency: int,
        slow: float,
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._fleet, self._client, self._policy, self._teller = fleet, client, policy, teller
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

    def inherit(self, other: Lane) -> None:
        """Take over the ages from the lane before a reload of the settings."""
        self._asked, self._account, self._dropped = other._asked, other._account, other._dropped

    def hold(self) -> None:
        """Hold back: the workload list is being read."""
        self._free.clear()

    def release(self, pages_per_second: float) -> None:
        """Go on; the list takes so many requests a second of the budget."""
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
        """Plan, and carry it out; returns for how many asks a request was sent."""
        asks = await self._plan()
        waiting = iter(asks)
        return sum(await asyncio.gather(*(self._work(waiting) for _ in range(min(self._workers, len(asks))))))

    # -- the plan

    async def _plan(self) -> list[Ask]:
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
        chosen: list[Ask] = []
        ids = list(workloads)
        for start in range(0, len(ids), AT_ONCE):
            due: list[tuple[Ask, float]] = []
            there = [seen for i in ids[start : start + AT_ONCE] if (seen := workloads.get(i)) is not None]
            for extra, cost in polling.extra_costs(there, self._policy).items():
                extras[extra] += cost
            for seen in there:
                asked = self._about(seen, now, wall)
                old = []
                for ask in asked.asks:
                    wanted += ask.cost / ask.every
                    looked = asked.looked[ask.part]
                    if now - looked >= ask.every:
                        due.append((ask, looked))
                    if (at := asked.told.get(ask.part)) is not None:
                        _age(ages, ask.part, now - at)
                        lasts = polling.lasts(ask, self._load)
                        stale[ask.part] += now - at > lasts
                        if now - asked.shown.get(ask.part, at) > lasts:
                            old.append(ask.part)
                self._withdraw(seen, asked, old)
            queue += len(due)
            chosen.extend(polling.plan(self._unpaused(due, now), now, budget))
            if len(chosen) > 2 * budget:
                chosen = self._best(chosen, now, budget)
            await asyncio.sleep(0)
        asks = of_the_account + self._best(chosen, now, budget)
        self._settle(wanted, extras, queue, stale, ages)
        self._begun = bool(ids)
        return asks

    def _of_the_account(self, now: float) -> Iterator[Ask]:
        for part, every in polling.ACCOUNT_PARTS.items():
            if now - self._account.get(part, -math.inf) >= every:
                yield Ask("", part, 1, every)

    def _unpaused(self, due: Iterable[tuple[Ask, float]], now: float) -> Iterator[tuple[Ask, float]]:
        return ((ask, looked) for ask, looked in due if now >= self._paused.get(ask.part, now))

    def _best(self, asks: Iterable[Ask], now: float, budget: int) -> list[Ask]:
        def looked(ask: Ask) -> float:
            return self._asked[ask.workload].looked[ask.part] if ask.workload in self._asked else -math.inf

        return polling.plan([(ask, looked(ask)) for ask in asks], now, budget)

    def _about(self, seen: Seen, now: float, wall: float) -> _Asked:
        asked = self._asked.get(seen.workload.id)
        new = asked is None and self._begun
        if asked is None:
            asked = self._asked[seen.workload.id] = _Asked(now)
        if asked.seen is seen and now < asked.until:
            return asked
        before = asked.seen
        asked.asks = polling.asks(seen, self._policy, wall, self._dropped)
        asked.seen, asked.until = seen, now + FORGET
        for ask in asked.asks:
            # One never looked at is as overdue as if it had missed three of its turns.
            asked.looked.setdefault(ask.part, now - 4 * ask.every)
        # One that came later than the fleet, or has changed, is asked about before all that is merely due.
        if new or (before is not None and _moved(before, seen)):
            for part in ("pods", "events"):
                if part in asked.looked:
                    asked.looked[part] = -math.inf
        unwanted = seen.details.fresh.keys() - {ask.part for ask in asked.asks}
        if unwanted:
            for part in unwanted:
                asked.looked.pop(part, None)
                asked.told.pop(part, None)
                asked.shown.pop(part, None)
            after = withdrawn(seen, (), unwanted)
            asked.seen = after
            self._fleet.replaced(after)
        return asked

    def _withdraw(self, seen: Seen, asked: _Asked, old: list[str]) -> None:
        now = self._fleet.workloads.get(seen.workload.id)
        if now is not None and any(_stands(now, part) for part in old):
            asked.seen = withdrawn(now, old)
            self._fleet.replaced(asked.seen)

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
            log.info("the budget carries not all details", extra={"fields": {"left out": words}})
        fleet = self._fleet.workloads.values()
        counts = dict.fromkeys(polling.EXTRAS, 0)
        for seen in fleet if dropped else ():
            for extra in dropped:
                counts[extra] += polling.importance(seen) == extra[1]
        self._teller.turned(PollerState(queue, self._load, stale, ages, counts))

    # -- the work

    async def _work(self, waiting: Iterator[Ask]) -> int:
        sent = 0
        for ask in waiting:
            if self._steady() < self._paused.get(ask.part, -math.inf):
                continue  # since the plan was made
            await self._permission()
            if not ask.workload:
                sent += await self._ask_account(ask)
            elif (seen := self._fleet.workloads.get(ask.workload)) is not None:
                sent += await self._ask(ask, seen)
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

    def _postponed(self, ask: Ask, pause: Pause) -> float:
        """Seconds until an ask is repeated that a pause of requests stopped.

        Unless the pause is of this workload alone, the same part of the other workloads waits for its end too.
        """
        again = min(ask.every, AGAIN)
        if pause.scope == "object":
            return max(again, pause.seconds)
        self._paused[ask.part] = self._steady() + pause.seconds
        # Later than the others: if this workload alone is refused, they must have their turn before the next pause.
        return pause.seconds + again

    async def _ask(self, ask: Ask, seen: Seen) -> bool:
        """Returns whether a request was sent, as far as is known."""
        quantiles = polling.quantiles(ask.part, seen, self._policy, self._dropped)
        failure = ""
        rejects: tuple[Reject, ...] = ()
        again, sent = ask.every, True
        try:
            question = Question(self._client, seen, self._wall(), quantiles, self._slow)
            value, rejects = await LOOKS[ask.part](question)
        except (ApiError, NotDecodable) as error:
            failure = problem(error)
            if isinstance(error, ApiError):
                sent = _sent(error)
                again = min(again, AGAIN) if error.transient else again
                again = self._postponed(ask, error.pause) if error.pause is not None else again
        except Exception:  # a fault of ours about one workload must not cost the others their turn
            failure = "internal"
            log.exception("a look failed", extra={"fields": {"part": ask.part, "workload_id": ask.workload}})
        now = self._steady()
        asked = self._asked.get(ask.workload)
        latest = self._fleet.workloads.get(ask.workload)
        if asked is None or latest is None:
            self._teller.looked(ask.part, failure, rejects)
            return sent
        if not failure and value is None and ask.part != "replacement":
            again = min(again, AGAIN / 2)  # an answer that says nothing yet
        asked.looked[ask.part] = now - ask.every + again
        if failure:
            self._miss(ask, asked, latest, failure, now)
        elif value is not None or ask.part == "replacement":
            failure = self._take(ask, asked, latest, value, now)
        self._teller.looked(ask.part, failure, rejects)
        return sent

    def _miss(self, ask: Ask, asked: _Asked, latest: Seen, failure: str, now: float) -> None:
        """Record that a request failed, and why."""
        refuses = failure == "forbidden"
        self._fleet.replaced(refused(latest, ask.part) if refuses else failed(latest, ask.part, failure))
        if failure in PASSING:
            asked.told.setdefault(ask.part, now)
        elif refuses and ask.part not in asked.shown:
            asked.told.pop(ask.part, None)  # it only failed so far: what is refused is not stale

    def _take(self, ask: Ask, asked: _Asked, latest: Seen, value: Any, now: float) -> str:
        """Take an answer; returns why it lacks what matters most, the pods of the proton that serves, or nothing."""
        after, entry = told(latest, ask.part, value, self._wall())
        if after is not latest:
            self._fleet.replaced(after, entry)
        asked.shown[ask.part] = now
        failure = unreadable(after) if ask.part == "pods" else ""
        if not failure:
            asked.told[ask.part] = now
            return ""
        asked.told.setdefault(ask.part, now)
        if failure in PASSING:
            # With what is known no more the workload may count as steady from now on, and be due much later.
            asks = polling.asks(after, self._policy, self._wall(), self._dropped)
            every = next((each.every for each in asks if each.part == ask.part), ask.every)
            asked.looked[ask.part] = now - every + min(every, AGAIN)
        return failure

    async def _ask_account(self, ask: Ask) -> bool:
        """Returns whether a request was sent, as far as is known."""
        sent = True
        failure = ""
        rejects: tuple[Reject, ...] = ()
        self._account[ask.part] = self._steady()
        try:
            fields, rejects = await ACCOUNT_LOOKS[ask.part](self._client)
            self._fleet.account = self._fleet.account._replace(**fields)
        except (ApiError, NotDecodable) as error:
            failure = problem(error)
            if isinstance(error, ApiError):
                sent = _sent(error)
                again = AGAIN if error.transient else ask.every
                again = self._postponed(ask, error.pause) if error.pause is not None else again
                self._account[ask.part] = self._steady() - ask.every + again
        except Exception:  # a fault of ours about the account must not cost the workloads their turn
            failure = "internal"
            log.exception("a look failed", extra={"fields": {"part": ask.part}})
        self._teller.looked(ask.part, failure, rejects)
        return sent


def _sent(error: ApiError) -> bool:
    """Whether the request that failed was sent: the client itself refuses what is paused."""
    return error.pause is None or error.status != 0


def _moved(before: Seen, now: Seen) -> bool:
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


def _stands(seen: Seen, part: str) -> bool:
    """Whether a part is not withdrawn yet; pods may stand though they are not fresh."""
    details = seen.details
    stale = part in details.refused or details.fresh.get(part) is False
    return not stale or (part == "pods" and details.pods is not None)


def _age(ages: dict[str, tuple[list[int], float]], part: str, age: float) -> None:
    counts, total = ages[part]
    counts[next((place for place, bound in enumerate(AGES) if age <= bound), len(AGES))] += 1
    ages[part] = counts, total + age
