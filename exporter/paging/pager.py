"""Direct paging: evaluates alerts, keeps the alarms, and notifies each receiver.

There is no queue. The state contains what each receiver was notified of; what it still needs is computed at each turn
(`exporter.alerting.delivery_state.due`), so a restart or an unreachable receiver only delays notifications.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set

from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.alerting.silences import Silence, silenced
from exporter.alerting.subjects import AccountFleet, ExporterStatus
from exporter.clock import Clock
from exporter.log import log
from exporter.paging.delivery import Delivery, Enrich
from exporter.paging.evaluator import AccountEvidence, Evaluator, Evidence, Record
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.telemetry.report import Report

INTERVAL_SECONDS = 15.0
"""Maximum seconds between two evaluations."""
CLOSE_SECONDS = 2.0
"""Seconds for notifications in progress on close."""


class Pager:
    """`evaluate` evaluates alerts, `notify` notifies the receivers; `start` runs both periodically.

    `evidence`: what a page shows of a workload, `account_evidence` of an account; `enrich` adds data that must be
    requested first. `fleets` and `exporter` return the current state; `closers` are awaited on close; `record` receives
    alarms that start to fire or end. `before`: the previous pager, which is closed, and whose delivery health is taken
    over.
    """

    def __init__(
        self,
        *,
        state: PagingState,
        report: Report,
        options: Options,
        receivers: Sequence[Receiver],
        evidence: Evidence,
        fleets: Callable[[], Sequence[AccountFleet]],
        exporter: Callable[[], ExporterStatus],
        clock: Clock,
        closers: Sequence[Callable[[], Awaitable[None]]] = (),
        interval: float = INTERVAL_SECONDS,
        enrich: Enrich | None = None,
        before: Pager | None = None,
        account_evidence: AccountEvidence = lambda *_: (),
        record: Record = lambda _alarm, _now: None,
    ) -> None:
        self._report, self._fleets, self._exporter, self._clock = report, fleets, exporter, clock
        self._closers, self._interval = closers, interval
        self.state = state
        self._evaluator = Evaluator(self.state, report, options, evidence, account_evidence, record)
        previous = {each.receiver.name: each.health for each in before.deliveries} if before is not None else {}
        self.deliveries: Sequence[Delivery] = [
            Delivery(
                receiver,
                state=self.state,
                report=report,
                severity_label=options.severity_label,
                clock=clock,
                enrich=enrich,
                health=previous.get(receiver.name),
            )
            for receiver in receivers
        ]
        self._running: asyncio.Task[None] | None = None
        self._alerts: Sequence[Notification] = ()

    def start(self) -> None:
        """Page from now on."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; pending notifications are sent after the next start."""
        if self._running is not None:
            self._running.cancel()
            self._running = None  # or its task, with this pager, would be garbage that only a full collection finds
        for task in await self.settle():
            task.cancel()
        await self.state.save(last=True)
        # A receiver that was removed must not stay in the metrics as failing.
        for gauge in ("alerts_firing", "notifications_pending", "notification_failing_seconds", "silences"):
            self._report.clear(gauge)
        for result in await asyncio.gather(*(close() for close in self._closers), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a connection could not be closed", exc_info=result)

    async def settle(self) -> Set[asyncio.Task[None]]:
        """Wait for notifications in progress, at most `CLOSE_SECONDS`; returns those that are not over."""
        sending = [each.task for each in self.deliveries if each.task is not None and not each.task.done()]
        return (await asyncio.wait(sending, timeout=CLOSE_SECONDS))[1] if sending else frozenset()

    async def _run(self) -> None:
        while True:
            began = self._clock.steady()
            try:
                await self.evaluate()
                await self.notify()
            except Exception:  # the alarms are kept, and the next evaluation may succeed
                log.exception("a turn of the pager failed; it continues")
            await self._clock.pause(max(0.0, self._interval - (self._clock.steady() - began)))

    async def evaluate(self) -> None:
        """Evaluate the alerts, and save the alarms. Does nothing while the state cannot be loaded."""
        now = self._clock.wall()
        if not await self.state.load(self._clock.steady()):
            self._report.count("paging_state_failures")
            for delivery in self.deliveries:
                delivery.health.fail(self._clock.steady())
            return
        self.state.follow_clock(now, self._clock.steady())
        await self.state.share_silences()
        evaluation = await self._evaluator.evaluate(self._fleets, self._exporter, now)
        self._alerts = evaluation.alerts
        for delivery in self.deliveries:
            delivery.update(evaluation)

    async def notify(self) -> None:
        """Notify every receiver that is due. A slow receiver does not delay the others."""
        for delivery in self.deliveries:
            delivery.start()
        tasks = [each.task for each in self.deliveries if each.task is not None]
        done = (await asyncio.wait(tasks, timeout=self._interval))[0] if tasks else ()
        for delivery in self.deliveries:
            self._report.set("notification_failing_seconds", delivery.failing_seconds or 0.0, delivery.receiver.name)
        for error in [error for task in done if not task.cancelled() and (error := task.exception()) is not None]:
            log.error("a receiver could not be notified", exc_info=error)

    def retry(self, receivers: Set[str]) -> None:
        """Notify these receivers at once, whatever they refused before."""
        for delivery in self.deliveries:
            if delivery.receiver.name in receivers:
                delivery.retry()

    @property
    def failing(self) -> Mapping[str, float]:
        """Seconds since delivery started failing, by receiver."""
        return {
            each.receiver.name: seconds for each in self.deliveries if (seconds := each.failing_seconds) is not None
        }

    @property
    def silences(self) -> Mapping[str, Silence]:
        """The silences in force, by id."""
        return self.state.silences

    async def silence(self, silence: Silence) -> str:
        """Put a silence in force; returns its id."""
        return await self.state.add_silence(silence)

    def matching(self, silence: Silence, now: float) -> int:
        """Number of alerts that fired at the last evaluation and that a silence matches."""
        return sum(silenced(each, [silence], now) for each in self._alerts if each.ended is None)

    async def end_silence(self, name: str) -> bool:
        """End a silence; returns whether there was one with this id."""
        return await self.state.end_silence(name)
