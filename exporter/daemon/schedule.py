"""The schedule of sweeps: one APScheduler job per account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter.clock import Clock
from exporter.log import log
from exporter.telemetry.report import LANE, Report

MAX_CLOCK_DRIFT = 5.0
"""Seconds by which the wall clock may move against the monotonic clock before the sweeps are scheduled again."""


class SweepSchedule:
    """Calls `sweep` with each account's name at its interval, never twice at once for one account."""

    def __init__(self, *, sweep: Callable[[str], Awaitable[None]], report: Report, clock: Clock) -> None:
        self._sweep, self._report, self._clock = sweep, report, clock
        self._drift = self._clock.wall() - self._clock.steady()
        self._triggers: dict[str, IntervalTrigger] = {}
        self._sweeps: set[asyncio.Task[object]] = set()
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._overran, EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Start the first sweep of each account now."""
        self._scheduler.start()

    def stop(self) -> None:
        """Start no more sweeps, and cancel those in progress."""
        self._scheduler.shutdown(wait=False)
        for sweep in self._sweeps:
            sweep.cancel()

    def add(self, account: str, trigger: IntervalTrigger) -> None:
        """Sweep an account now and then at the trigger's interval; replaces its previous schedule."""
        self._triggers[account] = trigger
        self._scheduler.add_job(
            self._run,
            trigger,
            args=(account,),
            id=account,
            next_run_time=datetime.fromtimestamp(self._clock.wall(), UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            replace_existing=True,
        )

    def remove(self, account: str) -> None:
        """Sweep an account no more."""
        del self._triggers[account]
        self._scheduler.remove_job(account)

    @property
    def next_sweeps(self) -> dict[str, float]:
        """When the next sweep of each account is due, in seconds since the epoch."""
        return {job.id: job.next_run_time.timestamp() for job in self._scheduler.get_jobs()}

    def follow_clock(self) -> None:
        """Schedule all sweeps again if the wall clock was set.

        APScheduler uses the wall clock: after a step it would wait for the old time, or start all missed sweeps.
        """
        drift = self._clock.wall() - self._clock.steady()
        step, self._drift = drift - self._drift, drift
        if abs(step) > MAX_CLOCK_DRIFT:
            log.warning("the system clock was set; sweeping now", seconds=round(step, 1))
            for account, trigger in list(self._triggers.items()):
                self.add(account, trigger)

    def _overran(self, event: JobExecutionEvent) -> None:
        self._report.count("sweep_overruns", event.job_id, LANE)

    async def _run(self, account: str) -> None:
        sweep = asyncio.current_task()
        assert sweep is not None
        self._sweeps.add(sweep)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # only the end of the process cancels a sweep
                await self._sweep(account)
        finally:
            self._sweeps.discard(sweep)
