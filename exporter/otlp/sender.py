"""The outbox emptied towards a collector: oldest first, one request at a time, and nothing is lost but what must be.

Lost are spans that the collector rejects, a trace that it cannot take, and what outlives the caps of the settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from exporter.backoff import Backoff
from exporter.clock import Clock
from exporter.log import log
from exporter.otlp.transport import EMPTY, REASONS, Transport, Verdict
from exporter.settings.traces import TraceSettings
from exporter.state.store import StateError, Store, Waiting
from exporter.telemetry.own_metrics import Report

TRACES, SPANS, SIZE = 512, 512, 1_000_000
"""Most traces, spans and bytes of one request; a trace that is larger goes alone."""
IDLE = 5.0
"""Seconds between two checks of the outbox."""
BACKOFF = Backoff(first=1.0, longest=300.0, least=0.5)
MAX_PAUSE_SECONDS = 3600.0
"""Maximum pause that a collector may request."""
REFUSED = 300.0
"""Seconds before the next attempt if the problem needs a person."""
PROVE = 300.0
"""Seconds without a request after which an empty one proves that the collector is there, before it is needed."""
TRIM, FORGET = 60.0, 3600.0
"""Seconds between two checks of size limits and of ids to forget."""
LAST = 3.0
DROPPED = ("rejected", "poison", "age", "cap", "unencodable")
FAILURES = (*REASONS, "state")

T = TypeVar("T")


class Sender:
    """Sends the traces in `store` with `transport`. `turn` is one step, `start` loops until `close`.

    A trace is removed right after its successful request: a kill in between sends it twice, with the same bytes and
    ids. A sent trace that cannot be removed, such as on a full disk, is not sent again by this process.
    """

    def __init__(
        self, store: Store, transport: Transport, report: Report, traces: TraceSettings, clock: Clock | None = None
    ) -> None:
        self._store, self._transport, self._report, self._settings = store, transport, report, traces
        self._clock = clock or Clock()
        self._turning = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._sent_to = self._removed_to = 0
        self._most = TRACES
        self._proven = False
        self._failures = 0
        self._told, self._state_told = "", False
        now = self._clock.steady()
        self._held_until = self._prove_at = self._trim_at = self._forget_at = now
        self._backing_off = False
        for reason in DROPPED:
            report.count("trace_spans_dropped", reason, by=0)
        for reason in FAILURES:
            report.count("trace_export_failures", reason, by=0)

    def start(self) -> None:
        """Send from now on."""
        if self._running is None:
            self._report.set("trace_endpoint_up", 0, self._settings.protocol)
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._clock.pause(await self.turn())

    async def close(self, budget: float = LAST) -> None:
        """Stop after a last attempt of at most `budget` seconds; unsent traces stay in the store.

        A local pause is cut short for it, one requested by the collector is kept. Without `start` nothing is sent.
        """
        if self._running is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(budget):
                if self._backing_off:
                    self._held_until = self._clock.steady()
                while await self.turn(proving=False) == 0:
                    pass
        self._transport.close()
        self._running.cancel()
        self._running = None
        for gauge in ("trace_outbox_traces", "trace_outbox_bytes", "trace_outbox_oldest_seconds"):
            self._report.set(gauge, 0)
        self._report.clear("trace_endpoint_up")

    async def turn(self, proving: bool = True) -> float:
        """Send one batch if one is waiting and due; returns the seconds until the next check.

        `proving`: if none is waiting, send an empty request now and then.
        """
        async with self._turning:
            try:
                return await self._turn(proving)
            except Exception:  # whatever it is, the traces are still there, and the next turn may be good
                log.exception("traces could not be sent; they are kept")
                return IDLE

    async def _turn(self, proving: bool) -> float:
        await self._tidy()
        now = self._clock.steady()
        if now < self._held_until:
            return min(IDLE, self._held_until - now)
        rows = await self._asked(lambda: self._store.batch(self._sent_to, self._most, SPANS, SIZE))
        if rows is None or not (rows or (proving and now >= self._prove_at)):
            return IDLE
        verdict = await self._send(b"".join(row.body for row in rows))
        if verdict.fate == "bad" and len(rows) == 1 and not self._proven:
            verdict = await self._doubted(verdict)
        pause = await self._heeded(verdict, rows)
        self._backing_off = verdict.fate == "again" and verdict.after is None
        self._held_until = self._clock.steady() + pause
        return min(IDLE, pause) if rows else IDLE

    # -- the collector

    async def _send(self, body: bytes) -> Verdict:
        verdict = await asyncio.to_thread(self._transport.send, body)
        self._prove_at = self._clock.steady() + PROVE
        if verdict.fate != "accepted":
            self._report.count("trace_export_failures", verdict.reason)
        return verdict

    async def _doubted(self, verdict: Verdict) -> Verdict:
        """What is wrong when one trace alone is not wanted: the trace, if an empty request is; else something else.

        A proxy that answers 400 to everything would otherwise cost every trace, one after the other.
        """
        proof = await self._send(EMPTY)
        if proof.fate == "bad":
            return proof._replace(fate="refused", what=f"{proof.what}, even to an empty request")
        return verdict if proof.fate == "accepted" else proof

    async def _heeded(self, verdict: Verdict, rows: Sequence[Waiting]) -> float:
        """Do with the traces what the verdict says; return the seconds before the next request."""
        spans = sum(row.spans for row in rows)
        match verdict.fate:
            case "accepted":
                await self._accepted(verdict, rows, spans)
                return 0.0
            case "bad" if len(rows) > 1:
                self._most = len(rows) // 2
                return 0.0
            case "bad" if rows:
                trace = rows[0].trace.hex()
                log.warning("a trace is dropped: the collector cannot take it", trace_id=trace, words=verdict.words)
                self._report.count("trace_spans_dropped", "poison", by=spans)
                self._proven = False
                await self._done(rows)
                return 0.0
            case "bad":  # an empty request: some do not like it, and take traces
                if not self._proven:
                    self._tell(verdict)
                return 0.0
        self._failures += verdict.fate == "again"
        self._prove_at = self._clock.steady()
        self._report.set("trace_endpoint_up", 0, self._settings.protocol)
        self._tell(verdict)
        if verdict.fate == "refused":
            return REFUSED
        if verdict.after is not None:
            return min(max(verdict.after, BACKOFF.first), MAX_PAUSE_SECONDS)
        return BACKOFF.seconds(self._failures)

    def _tell(self, verdict: Verdict) -> None:
        """Say what is wrong, once for each reason."""
        if self._told != verdict.reason:
            level = logging.ERROR if verdict.fate == "refused" else logging.WARNING
            log.log(level, "the collector does not accept traces", words=verdict.words)
            self._told = verdict.reason

    async def _accepted(self, verdict: Verdict, rows: Sequence[Waiting], spans: int) -> None:
        rejected = max(0, min(verdict.rejected, spans))
        self._report.set("trace_endpoint_up", 1, self._settings.protocol)
        self._report.count("trace_spans_sent", by=spans - rejected)
        self._report.count("trace_spans_dropped", "rejected", by=rejected)
        if rejected:
            log.warning("the collector rejected spans", words=verdict.words)
        if self._told:
            log.info("the collector accepts traces again")
        self._told, self._failures, self._proven = "", 0, True
        self._most = min(TRACES, self._most + 1)  # one by one: what was too much may be so again
        await self._done(rows)

    # -- the outbox

    async def _done(self, rows: Sequence[Waiting]) -> None:
        if rows:
            self._sent_to = rows[-1].seq
            await self._take_out()

    async def _take_out(self) -> None:
        upto = self._sent_to
        if upto > self._removed_to and await self._asked(lambda: self._store.remove(upto)) is not None:
            self._removed_to, self._state_told = upto, False

    async def _tidy(self) -> None:
        """Remove sent traces, drop those over the limits, and update the metrics."""
        await self._take_out()
        if self._clock.steady() >= self._trim_at:
            self._trim_at = self._clock.steady() + TRIM
            limits = self._settings.max_bytes, self._settings.max_age
            dropped = await self._asked(lambda: self._store.trim(*limits, self._clock.wall())) or {}
            for reason, spans in dropped.items():
                self._report.count("trace_spans_dropped", reason, by=spans)
            if any(dropped.values()):
                log.warning("the oldest traces are dropped: they could not be sent in time", **dropped)
        if self._clock.steady() >= self._forget_at:
            self._forget_at = self._clock.steady() + FORGET
            await self._asked(lambda: self._store.forget(self._clock.wall()))
        waiting = await self._asked(lambda: self._store.outbox(self._sent_to))
        if waiting is not None:
            age = 0.0 if waiting.oldest is None else max(0.0, self._clock.wall() - waiting.oldest)
            self._report.set("trace_outbox_traces", waiting.traces)
            self._report.set("trace_outbox_bytes", waiting.size)
            self._report.set("trace_outbox_oldest_seconds", age)

    async def _asked(self, what: Callable[[], T]) -> T | None:
        """Run an operation of the store; None, logged and counted once, if it fails."""
        try:
            return await asyncio.to_thread(what)
        except StateError as error:
            self._report.count("trace_export_failures", "state")
            if not self._state_told:
                log.error("the outbox cannot be used; it is tried again", words=str(error))
            self._state_told = True
            return None
