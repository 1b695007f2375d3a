"""Pushes what /metrics serves to a collector, at an interval.

What a collector does not accept in time is not kept: the next push has newer values. Totals lose nothing by that, and
neither do deltas, which are counted since the last accepted ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from exporter.clock import Clock
from exporter.log import log
from exporter.otlp.metric_encoding import EMPTY, Encoder, Request, ServedPage, requests, resource
from exporter.otlp.sender import BACKOFF, CLOSE_SECONDS, MAX_PAUSE_SECONDS, REFUSED_PAUSE
from exporter.otlp.transport import Transport
from exporter.otlp.verdict import REASONS, Verdict
from exporter.settings.collector import Attributes
from exporter.settings.metrics import MetricPushSettings
from exporter.telemetry.report import Report

FIRST_PAGE_SECONDS = 1.0
"""Between two checks whether there is a first page."""
DROPPED = ("rejected", "poison")


class MetricPush:
    """Pushes `page()` with `transport`. `turn` is one step, `start` loops until `close`.

    One request is sent at a time, and encoded in a thread: neither a scrape nor a sweep waits for it. `attributes` are
    those of the resource. With the `encoder` of the push that this one replaces, deltas continue with what a collector
    has already accepted.
    """

    def __init__(
        self,
        page: Callable[[], ServedPage | None],
        transport: Transport,
        report: Report,
        settings: MetricPushSettings,
        attributes: Attributes,
        clock: Clock | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._page, self._transport, self._report, self._settings = page, transport, report, settings
        self._clock = clock or Clock()
        self._resource = resource(attributes)
        self.encoder = encoder or Encoder(settings.temporality)
        self._waiting: deque[Request] = deque()
        self._turning = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._due = self._paused_until = self._clock.steady()
        self._failures, self._logged_reason, self._proven = 0, "", False
        report.count("metric_points_sent", by=0)
        for reason in DROPPED:
            report.count("metric_points_dropped", reason, by=0)
        for reason in REASONS:
            report.count("metric_export_failures", reason, by=0)

    def start(self) -> None:
        """Push from now on."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._clock.pause(await self.turn())

    async def close(self, budget: float = CLOSE_SECONDS) -> None:
        """Stop after a last push of at most `budget` seconds. Without `start` nothing is sent."""
        if self._running is None:
            return
        try:
            async with asyncio.timeout(budget):
                self._due = self._clock.steady()
                await self.turn()
        except TimeoutError:
            pass
        finally:
            self._transport.close()  # in any case: its thread would keep the process alive
            self._running.cancel()
        self._running = None
        self._report.clear("metric_endpoint_up")

    async def turn(self) -> float:
        """Push if it is due, or continue the last push; returns the seconds until the next turn."""
        async with self._turning:
            try:
                return await self._turn()
            except Exception:  # the next push may succeed
                log.exception("pushing metrics failed")
                self._waiting.clear()
                return self._settings.interval

    async def _turn(self) -> float:
        now = self._clock.steady()
        if now < self._paused_until:
            return self._paused_until - now
        if now >= self._due:
            page = self._page()
            if page is None:
                return FIRST_PAGE_SECONDS
            self._due += self._settings.interval * (1 + (now - self._due) // self._settings.interval)
            at = int(self._clock.wall() * 1e9)
            self._waiting = deque(await asyncio.to_thread(lambda: [*requests(self.encoder.chunks(page, at))]))
        while self._waiting:
            if pause := self._applied(await self._send(self._waiting[0]), self._waiting[0]):
                self._paused_until = self._clock.steady() + pause
                return pause
            if not self._waiting:
                self._report.set("metric_last_push_timestamp_seconds", self._clock.wall())
        return max(0.0, self._due - self._clock.steady())

    async def _send(self, request: Request) -> Verdict:
        verdict = await asyncio.to_thread(lambda: self._transport.send(request.body(self._resource)))
        if verdict.result == "invalid" and not self._proven:
            proof = await asyncio.to_thread(self._transport.send, EMPTY)
            if proof.result == "invalid":  # a proxy that rejects everything would cost many requests
                return proof._replace(result="refused", summary=f"{proof.summary}, even to an empty request")
            if not proof.accepted:
                return proof
            self._proven = True
        return verdict

    def _applied(self, verdict: Verdict, request: Request) -> float:
        """Remove, split or keep the first request as the verdict requires; the seconds before the next one."""
        self._report.set("metric_endpoint_up", verdict.accepted, self._settings.protocol)
        if verdict.accepted:
            self._accepted(verdict, request)
            return 0.0
        self._report.count("metric_export_failures", verdict.reason)
        if verdict.result == "invalid":
            self._waiting.popleft()
            if len(request.chunks) > 1:
                self._waiting.extendleft(reversed(request.halves()))
            else:
                self._log_failure(verdict)
                self._report.count("metric_points_dropped", "poison", by=request.points)
            return 0.0
        self._log_failure(verdict)
        if verdict.result == "refused":
            return REFUSED_PAUSE
        self._failures += 1
        if verdict.after is not None:
            return min(max(verdict.after, BACKOFF.first), MAX_PAUSE_SECONDS)
        return BACKOFF.seconds(self._failures)

    def _accepted(self, verdict: Verdict, request: Request) -> None:
        self._waiting.popleft()
        self.encoder.accepted(request)
        rejected = max(0, min(verdict.rejected, request.points))
        self._report.count("metric_points_sent", by=request.points - rejected)
        self._report.count("metric_points_dropped", "rejected", by=rejected)
        if rejected:
            self._log_failure(verdict._replace(reason="rejected"))
            return
        if self._logged_reason not in ("", "rejected"):
            log.info("the collector accepts metrics again")
            self._logged_reason = ""
        self._failures, self._proven = 0, True

    def _log_failure(self, verdict: Verdict) -> None:
        """Log a failure, unless the previous one had the same reason."""
        if self._logged_reason != verdict.reason:
            level = logging.ERROR if verdict.result == "refused" else logging.WARNING
            log.log(level, "the collector does not accept metrics", words=verdict.message)
            self._logged_reason = verdict.reason
