"""The poller of one account: sends the requests of `PollSchedule` and applies their results to the account's state.

While the workload list is being read, the poller slows to a trickle so that status changes are noticed quickly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from exporter.api.assumptions import Indication
from exporter.api.decoding import NotDecodable, Reject
from exporter.collect.account_state import AccountState, parts_of
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_FETCHERS, FETCHERS, TRANSIENT_REASONS, Poll, failure_reason
from exporter.collect.poll_schedule import (
    MAX_RETRY_SECONDS,
    RETRY_SECONDS,
    TURN_SECONDS,
    PolledWorkload,
    PollObserver,
    PollSchedule,
)
from exporter.fleet import evidence
from exporter.fleet.apply import failed, received, refused
from exporter.fleet.evidence import FleetTotals
from exporter.fleet.polling import DetailRequest, Policy
from exporter.fleet.workload_state import WorkloadState, unreadable
from exporter.log import log

MIN_SHARE = 0.2
"""Share of the budget that details have at least, however many pages the list has."""
TRICKLE = 8.0
"""Budgeted requests per request for details while the list is being read."""


class Poller:
    """`turn` runs one turn, `run` loops. `rate` is the account's budget in requests per second, `slow` the threshold
    of slow requests in seconds.
    """

    def __init__(
        self,
        state: AccountState,
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
        self._state, self._client, self._observer = state, client, observer
        self._budget, self._workers, self._slow = rate, max(1, concurrency - 1), slow
        self._wall, self._steady = wall, steady
        self._schedule = PollSchedule(state, policy, observer, rate=rate, wall=wall, steady=steady)
        self._unthrottled = asyncio.Event()
        self._unthrottled.set()
        self._trickle = asyncio.Lock()
        self._woken = asyncio.Event()

    def inherit(self, other: Poller) -> None:
        """Take over the ages from the previous poller after a reload."""
        self._schedule.inherit(other._schedule)

    def ages(self, workload: str) -> dict[str, float]:
        """Seconds since each part of the details of a workload was last read completely."""
        return self._schedule.ages(workload, self._steady())

    def unpause(self) -> None:
        """Plan requests that are paused again: the token is accepted again."""
        self._schedule.unpause()

    def throttle(self) -> None:
        """Send few requests: the workload list is being read."""
        self._unthrottled.clear()

    def release(self, pages_per_second: float) -> None:
        """Send requests again; the list takes this many requests per second of the budget."""
        self._schedule.rate = max(self._budget - pages_per_second, MIN_SHARE * self._budget)
        self._unthrottled.set()
        self._woken.set()

    async def run(self) -> None:
        """Run turn after turn; if nothing is due, wait for the end of the next sweep or a few seconds."""
        while True:
            self._woken.clear()
            began = self._steady()
            sent = 0
            try:
                sent = await self.turn()
            except Exception:  # the sweeps continue, and the next turn may succeed
                log.exception("a turn of the poller failed")
            if not sent or self._steady() - began < 1.0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TURN_SECONDS if not sent else 1.0):
                        await self._woken.wait()

    async def turn(self) -> int:
        """Plan and send requests; returns for how many of them a request was sent."""
        requests = await self._schedule.turn()
        waiting = iter(requests)
        return sum(await asyncio.gather(*(self._work(waiting) for _ in range(min(self._workers, len(requests))))))

    async def _work(self, waiting: Iterator[DetailRequest]) -> int:
        sent = 0
        for request in waiting:
            if self._schedule.is_paused(request.part, self._steady()):
                continue  # paused since the turn was planned
            await self._permission()
            now = self._wall()  # before the state, which is moved if the clock was set
            if not request.workload:
                sent += await self._poll_account(request)
            elif (state := self._state.workloads.get(request.workload)) is not None:
                sent += await self._poll(request, state, now)
        return sent

    async def _permission(self) -> None:
        """Wait while the list is being read, but let a request through at times."""
        if self._unthrottled.is_set():
            return
        async with self._trickle:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRICKLE / self._budget):
                    await self._unthrottled.wait()

    async def _poll(self, request: DetailRequest, state: WorkloadState, wall: float) -> bool:
        """Returns whether a request was sent, as far as is known."""
        failure = ""
        rejects: tuple[Reject, ...] = ()
        again, sent, paused = request.every, True, False
        try:
            quantiles, early = self._schedule.quantiles(state, request), self._schedule.early(state)
            poll = Poll(self._client, state, wall, quantiles, self._slow, early)
            value, rejects = await FETCHERS[request.part](poll)
        except (ApiError, NotDecodable) as error:
            failure = failure_reason(error)
            again, sent = self._after(request, error)
            paused = isinstance(error, ApiError) and error.pause is not None
        except Exception:  # a bug that concerns one workload must not stop the others
            failure = "internal"
            log.exception("a poll failed within the exporter", part=request.part, workload_id=request.workload)
        now = self._steady()
        polled = self._schedule.workloads.get(request.workload)
        wall = self._wall()
        latest = self._state.workloads.get(request.workload)
        if polled is None or latest is None:
            self._observer.polled(request.part, failure, rejects)
            return sent
        if not failure:
            polled.failing.pop(request.part, None)
        elif not paused:
            again = self._again(request, polled, failure, again)
        if not failure and value is None and request.part != "replacement":
            again = min(again, RETRY_SECONDS / 2)  # a response that has no data yet
        polled.polled[request.part] = now - request.every + again
        if failure:
            self._fail(request, polled, latest, failure, now)
        elif value is not None or request.part == "replacement":
            failure = self._apply(request, polled, latest, value, now, wall)
        self._observer.polled(request.part, failure, rejects)
        return sent

    def _after(self, request: DetailRequest, error: ApiError | NotDecodable) -> tuple[float, bool]:
        """Seconds until a failed request is repeated, and whether it was sent."""
        if not isinstance(error, ApiError):
            return request.every, True
        again = min(request.every, RETRY_SECONDS) if error.transient else request.every
        if error.pause is None:
            return again, True
        sent = error.status != 0  # the client itself refuses what is paused, without a status
        return self._schedule.pause(request, error.pause, sent=sent), sent

    @staticmethod
    def _again(request: DetailRequest, polled: PolledWorkload, failure: str, again: float) -> float:
        """Seconds until a request that failed is repeated; `again`: what its response says."""
        growing = polled.retry_after(request.part, failure)
        if failure == "timeout":  # each such poll holds a connection for as long as it waits
            return min(growing, MAX_RETRY_SECONDS)
        if failure not in TRANSIENT_REASONS and request.part in polled.read:
            # It may soon be as before. In an interval of many minutes, it would count as lasting.
            return min(growing, request.every)
        return again

    def _fail(
        self, request: DetailRequest, polled: PolledWorkload, latest: WorkloadState, failure: str, now: float
    ) -> None:
        """Record that a request failed, and the reason."""
        forbidden = failure == "forbidden"
        self._state.replace(refused(latest, request.part) if forbidden else failed(latest, request.part, failure))
        self._judge(evidence.of_failure(request.workload, request.part, failure))
        if failure in TRANSIENT_REASONS:
            polled.complete.setdefault(request.part, now)
        elif forbidden and request.part not in polled.read:
            polled.complete.pop(request.part, None)  # it has only failed so far: a refused part is not stale

    def _apply(
        self, request: DetailRequest, polled: PolledWorkload, latest: WorkloadState, value: Any, now: float, wall: float
    ) -> str:
        """Apply a response; returns why it lacks the pods of the serving proton, or nothing."""
        after, entry = received(latest, request.part, value, wall)
        if after is not latest:
            self._state.replace(after, entry)
        self._judge(evidence.of_part(latest, after, request.part, value, wall))
        polled.read[request.part] = now
        if request.part == "stats_5m":
            polled.hinted = False
        failure = unreadable(after) if request.part == "pods" else ""
        if not failure:
            polled.complete[request.part] = now
            return ""
        polled.complete.setdefault(request.part, now)
        if failure in TRANSIENT_REASONS:
            # Without these pods the workload may count as steady from now on, and would be due much later.
            every = self._schedule.interval(after, request)
            polled.polled[request.part] = now - every + min(every, RETRY_SECONDS)
        return failure

    async def _poll_account(self, request: DetailRequest) -> bool:
        """Returns whether a request was sent, as far as is known."""
        sent = True
        failure = ""
        rejects: tuple[Reject, ...] = ()
        self._schedule.polled_account(request)
        try:
            fields, rejects = await ACCOUNT_FETCHERS[request.part](self._client)
            self._state.replace_account(self._state.account._replace(**fields))
            if request.part == "totals":
                await self._judge_totals()
        except (ApiError, NotDecodable) as error:
            failure = failure_reason(error)
            again, sent = self._after(request, error)
            self._schedule.polled_account(request, again)
        except Exception:  # a bug that concerns the account must not stop its workloads
            failure = "internal"
            log.exception("a poll failed within the exporter", part=request.part)
        self._observer.polled(request.part, failure, rejects)
        return sent

    async def _judge_totals(self) -> None:
        """Compare what the API reports about the account with the workloads of the last sweep."""
        if not self._state.is_whole:
            return  # the list has others, which are not monitored here
        found = FleetTotals()
        for states in parts_of(tuple(self._state.workloads.values())):
            found = found.plus(evidence.totals(states, self._state.account.replicas_limit))
            await asyncio.sleep(0)  # a large fleet must not delay requests
        self._judge(evidence.of_account(self._state.account, found, self._wall()))

    def _judge(self, found: Iterable[Indication]) -> None:
        if decided := self._state.judge(found):
            self._observer.judged(self._state.judgement, decided)
