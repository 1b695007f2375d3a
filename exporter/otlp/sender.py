"""Sends what is in an outbox, traces or log records, to a collector: oldest first, one request at a time.

Only what the collector rejects is lost, and what is beyond the limits of size and age. What the comments say of traces
and their spans is true of batches of log records and their records.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from exporter.backoff import Backoff
from exporter.clock import Clock
from exporter.log import log
from exporter.otlp.encoding import EMPTY
from exporter.otlp.transport import Transport
from exporter.otlp.verdict import REASONS, Verdict
from exporter.state.database import Fenced, StateError
from exporter.state.rights import Rights
from exporter.state.store import Queue, QueuedTrace, Store
from exporter.telemetry.report import Report

MAX_TRACES, MAX_SPANS, MAX_BYTES = 512, 512, 1_000_000
"""Limits of one request; a larger trace is sent alone."""
CHECK_SECONDS = 5.0
"""Between two checks of the outbox."""
BACKOFF = Backoff(first=1.0, longest=300.0, least=0.5)
MAX_PAUSE_SECONDS = 3600.0
"""Longest pause that a collector may request, in seconds."""
REFUSED_PAUSE = 300.0
"""Seconds before the next attempt if the configuration must be fixed."""
PROBE_SECONDS = 300.0
"""Time without a request after which an empty one checks that the collector is available."""
TRIM_SECONDS, FORGET_SECONDS = 60.0, 3600.0
"""Between two checks of the limits, and between two removals of old ids."""
CLOSE_SECONDS = 2.0
"""For a last attempt at shutdown."""
MAX_CLOCK_DRIFT = 5.0
"""Seconds by which the wall clock may move against the monotonic clock before it counts as set."""
DROPPED = ("rejected", "poison", "age", "cap", "unencodable")
FAILURES = (*REASONS, "state")


class OutboxSettings(Protocol):
    """The settings of an outbox, of `exporter.settings.traces` or `exporter.settings.events`."""

    @property
    def protocol(self) -> str: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def max_age(self) -> float: ...


class Contents(NamedTuple):
    """What an outbox contains: its table, its name in the log, and the names of its metrics."""

    queue: Queue
    name: str
    sent: str
    dropped: str
    failures: str
    waiting: str
    size: str
    oldest: str
    up: str


TRACES = Contents(
    "outbox", "traces", "trace_spans_sent", "trace_spans_dropped", "trace_export_failures",
    "trace_outbox_traces", "trace_outbox_bytes", "trace_outbox_oldest_seconds", "trace_endpoint_up",
)  # fmt: skip
LOG_RECORDS = Contents(
    "log_outbox", "log records", "event_records_sent", "event_records_dropped", "event_export_failures",
    "event_outbox_records", "event_outbox_bytes", "event_outbox_oldest_seconds", "event_endpoint_up",
)  # fmt: skip

T = TypeVar("T")


class Sender:
    """Sends the traces in `store` with `transport`. `turn` is one step, `start` loops until `close`.

    A trace is removed right after its successful request: a kill in between sends it twice, with the same bytes and
    ids. A sent trace that cannot be removed, such as on a full disk, is not sent again by this process. Of several
    replicas, the one that holds what all share sends the traces of all.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        report: Report,
        settings: OutboxSettings,
        clock: Clock | None = None,
        rights: Rights | None = None,
        contents: Contents = TRACES,
    ) -> None:
        self._contents = contents
        self._store, self._transport, self._report, self._settings = store, transport, report, settings
        self._rights = rights or Rights()
        self._clock = clock or Clock()
        self._turning = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._sent: list[int] = []
        """Of traces that were sent and are still in the outbox, the `seq`."""
        self._max_traces = MAX_TRACES
        self._proven = False
        self._failures = 0
        self._logged_reason, self._store_failing = "", False
        now = self._clock.steady()
        self._paused_until = self._probe_at = self._trim_at = self._forget_at = now
        self._backing_off = False
        self._drift = self._clock.wall() - now
        for reason in DROPPED:
            report.count(contents.dropped, reason, by=0)
        for reason in FAILURES:
            report.count(contents.failures, reason, by=0)

    def start(self) -> None:
        """Send from now on."""
        if self._running is None:
            self._report.set(self._contents.up, 0, self._settings.protocol)
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._clock.pause(await self.turn())

    async def close(self, budget: float = CLOSE_SECONDS) -> None:
        """Stop after a last attempt of at most `budget` seconds; unsent traces stay in the store.

        A local pause is cut short for it, one requested by the collector is kept. Without `start` nothing is sent.
        """
        if self._running is None:
            return
        try:
            async with asyncio.timeout(budget):
                if self._backing_off:
                    self._paused_until = self._clock.steady()
                while await self.turn(proving=False) == 0:
                    pass
        except TimeoutError:
            pass
        finally:
            self._transport.close()  # in any case: its thread would keep the process alive
            self._running.cancel()
        self._running = None
        self._rest()

    def _rest(self) -> None:
        """Nothing is sent for now: the metrics say nothing about the collector and the outbox."""
        self._drift = self._clock.wall() - self._clock.steady()
        for gauge in self._contents[-4:]:
            self._report.clear(gauge)

    async def turn(self, proving: bool = True) -> float:
        """Send one batch if one is waiting and due; returns the seconds until the next check.

        `proving`: if none is waiting, send an empty request now and then.
        """
        async with self._turning:
            try:
                self._store = self._store.under(self._rights.lease(""))
            except Fenced:
                self._rest()
                return CHECK_SECONDS
            if not self._rights.certain:  # another replica may send the same traces
                return CHECK_SECONDS
            try:
                return await self._turn(proving)
            except Exception:  # the traces are still in the outbox, and the next turn may succeed
                log.exception(self._message("sending {} failed; they are kept"))
                return CHECK_SECONDS

    async def _turn(self, proving: bool) -> float:
        await self._tidy()
        now = self._clock.steady()
        if now < self._paused_until:
            return min(CHECK_SECONDS, self._paused_until - now)
        rows = await self._stored(
            lambda: self._store.batch(self._sent_to, self._max_traces, MAX_SPANS, MAX_BYTES, self._contents.queue)
        )
        if rows is None or not (rows or (proving and now >= self._probe_at)):
            return CHECK_SECONDS
        verdict = await self._send(b"".join(row.body for row in rows))
        if verdict.result == "invalid" and len(rows) == 1 and not self._proven:
            verdict = await self._verified(verdict)
        pause = await self._apply(verdict, rows)
        self._backing_off = verdict.result == "retry" and verdict.after is None
        self._paused_until = self._clock.steady() + pause
        return min(CHECK_SECONDS, pause) if rows else CHECK_SECONDS

    # -- the collector

    async def _send(self, body: bytes) -> Verdict:
        verdict = await asyncio.to_thread(self._transport.send, body)
        self._probe_at = self._clock.steady() + PROBE_SECONDS
        if not verdict.accepted:
            self._report.count(self._contents.failures, verdict.reason)
        return verdict

    async def _verified(self, verdict: Verdict) -> Verdict:
        """The rejection of a single trace, verified by an empty request: if that is rejected, too, the cause is not the
        trace.

        Otherwise a proxy that answers 400 to all requests would cost every trace, one after the other.
        """
        proof = await self._send(EMPTY)
        if proof.result == "invalid":
            return proof._replace(result="refused", summary=f"{proof.summary}, even to an empty request")
        return verdict if proof.accepted else proof

    async def _apply(self, verdict: Verdict, rows: Sequence[QueuedTrace]) -> float:
        """Drop, split or keep the traces as the verdict requires; return the seconds before the next request."""
        spans = sum(row.spans for row in rows)
        match verdict.result:
            case "accepted":
                await self._accepted(verdict, rows, spans)
                return 0.0
            case "invalid" if len(rows) > 1:
                self._max_traces = len(rows) // 2
                return 0.0
            case "invalid" if rows:
                trace = rows[0].trace.hex()
                message = f"{self._contents.name[:-1]} dropped: rejected by the collector"
                log.warning(message, trace_id=trace, words=verdict.message)
                self._report.count(self._contents.dropped, "poison", by=spans)
                self._proven = False
                await self._done(rows)
                return 0.0
            case "invalid":  # an empty request: some collectors reject it but accept traces
                if not self._proven:
                    self._log_failure(verdict)
                return 0.0
        self._failures += verdict.result == "retry"
        self._probe_at = self._clock.steady()
        self._report.set(self._contents.up, 0, self._settings.protocol)
        self._log_failure(verdict)
        if verdict.result == "refused":
            return REFUSED_PAUSE
        if verdict.after is not None:
            return min(max(verdict.after, BACKOFF.first), MAX_PAUSE_SECONDS)
        return BACKOFF.seconds(self._failures)

    def _message(self, text: str) -> str:
        return text.format(self._contents.name)

    def _log_failure(self, verdict: Verdict) -> None:
        """Log a failure, unless the previous one had the same reason."""
        if self._logged_reason != verdict.reason:
            level = logging.ERROR if verdict.result == "refused" else logging.WARNING
            log.log(level, self._message("the collector does not accept {}"), words=verdict.message)
            self._logged_reason = verdict.reason

    async def _accepted(self, verdict: Verdict, rows: Sequence[QueuedTrace], spans: int) -> None:
        rejected = max(0, min(verdict.rejected, spans))
        self._report.set(self._contents.up, 1, self._settings.protocol)
        self._report.count(self._contents.sent, by=spans - rejected)
        self._report.count(self._contents.dropped, "rejected", by=rejected)
        if rejected:
            message = f"the collector rejected {verdict.signal.items}"
            log.warning(message, words=verdict.message)
        if self._logged_reason:
            log.info(self._message("the collector accepts {} again"))
        self._logged_reason, self._failures, self._proven = "", 0, True
        self._max_traces = min(
            MAX_TRACES, self._max_traces + 1
        )  # slowly: the collector may reject larger batches again
        await self._done(rows)

    # -- the outbox

    @property
    def _sent_to(self) -> int:
        """The `seq` after which traces were not sent. Once all that were sent are removed, it is 0: what another
        replica committed meanwhile may have a lower one.
        """
        return self._sent[-1] if self._sent else 0

    async def _done(self, rows: Sequence[QueuedTrace]) -> None:
        self._sent += [row.seq for row in rows]
        await self._remove_sent()

    async def _remove_sent(self) -> None:
        sent = self._sent
        if not sent:
            return

        def remove() -> bool:
            self._store.remove(sent, self._contents.queue)
            return True

        if await self._stored(remove):
            self._sent, self._store_failing = [], False

    async def _follow_clock(self) -> None:
        """Move the times of all traces if the wall clock was set: their ages stay as they are."""
        wall = self._clock.wall()
        step = wall - self._clock.steady() - self._drift
        if abs(step) <= MAX_CLOCK_DRIFT:
            self._drift += step
            return
        recent = wall - 2 * CHECK_SECONDS, wall

        def move() -> bool:
            self._store.move_times(step, recent, self._contents.queue)
            return True

        if await self._stored(move):
            self._drift += step

    async def _tidy(self) -> None:
        """Remove sent traces, drop those over the limits, and update the metrics."""
        await self._follow_clock()
        await self._remove_sent()
        if self._clock.steady() >= self._trim_at:
            self._trim_at = self._clock.steady() + TRIM_SECONDS
            limits = self._settings.max_bytes, self._settings.max_age
            dropped = (
                await self._stored(lambda: self._store.trim(*limits, self._clock.wall(), self._contents.queue)) or {}
            )
            for reason, spans in dropped.items():
                self._report.count(self._contents.dropped, reason, by=spans)
            if any(dropped.values()):
                log.warning(self._message("oldest {} dropped: not delivered in time"), **dropped)
        if self._clock.steady() >= self._forget_at:
            self._forget_at = self._clock.steady() + FORGET_SECONDS
            await self._stored(lambda: self._store.forget(self._clock.wall()))
        waiting = await self._stored(lambda: self._store.outbox(self._sent_to, self._contents.queue))
        if waiting is not None:
            age = 0.0 if waiting.oldest is None else max(0.0, self._clock.wall() - waiting.oldest)
            self._report.set(self._contents.waiting, waiting.traces)
            self._report.set(self._contents.size, waiting.size)
            self._report.set(self._contents.oldest, age)

    async def _stored(self, operation: Callable[[], T]) -> T | None:
        """Run an operation of the store; None, logged and counted once, if it fails."""
        try:
            return await self._store.run(operation)
        except StateError as error:
            self._report.count(self._contents.failures, "state")
            if not self._store_failing:
                log.error("the outbox cannot be used; retrying", words=str(error))
            self._store_failing = True
            return None
