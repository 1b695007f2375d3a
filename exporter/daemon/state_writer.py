"""Writes what must survive a restart to the state: ledgers, counters and traces that wait for the collector."""

from __future__ import annotations

import asyncio
from functools import partial

from exporter.clock import Clock
from exporter.collect.account_state import Pending
from exporter.daemon.accounts import Accounts
from exporter.log import log
from exporter.otlp.encoding import encode
from exporter.otlp.log_encoding import encode_log
from exporter.state.database import Fenced, Lease, StateError
from exporter.state.rights import Rights
from exporter.state.store import EncodedTrace, Store
from exporter.telemetry.report import Report
from exporter.telemetry.sweep_trace import part
from exporter.tracing.log_records import EventRecord, WorkloadLog
from exporter.tracing.trace import Trace

COMMIT_SECONDS = 5.0
"""Seconds to wait for the disk or the database; then everything goes on without it, and the commit ends when it can."""


class StateWriter:
    """`commit` writes the pending changes of all accounts. `max_trace_bytes`: size limit of the outbox."""

    def __init__(
        self, *, store: Store, accounts: Accounts, rights: Rights, report: Report, clock: Clock, max_trace_bytes: int
    ) -> None:
        self._store, self._accounts, self._report, self._clock = store, accounts, report, clock
        self._rights = rights
        self.max_trace_bytes = max_trace_bytes
        self._failing = False
        self._failed_at: float | None = None
        self._faulty: set[str] = set()
        self._writing: asyncio.Task[None] | None = None
        self._encoded: dict[str, dict[bytes, EncodedTrace | None]] = {}
        """By account and key, traces encoded for a commit that failed."""

    @property
    def seconds_since_failure(self) -> float | None:
        """Seconds since a commit last failed; None: none has failed since the start."""
        return None if self._failed_at is None else self._clock.steady() - self._failed_at

    async def commit(self) -> None:
        """Write the pending changes. A failure is logged and counted, and the changes are written by a later commit.

        Waits at most `COMMIT_SECONDS` for a disk or a database that does not respond, and only once. One commit is
        written at a time; callers that wait for one share the next.
        """
        before = self._writing
        if before is not None and not await self._ended(before):
            return
        if self._writing is before:
            self._writing = asyncio.create_task(self._commit())
        writing = self._writing
        assert writing is not None
        if await self._ended(writing):
            writing.result()

    async def _ended(self, writing: asyncio.Task[None]) -> bool:
        """Whether a commit has ended, after waiting for it."""
        hangs = self._failing and not writing.done()
        await asyncio.wait({writing}, timeout=0 if hangs else COMMIT_SECONDS)
        if not writing.done():
            self._fail(f"the disk or the database has not responded for {COMMIT_SECONDS:g} s")
        return writing.done()

    def _fail(self, problem: str) -> None:
        self._count_failure()
        if not self._failing:
            log.error("the state cannot be written; retrying", words=problem)
        self._failing = True

    def _count_failure(self) -> None:
        self._report.count("state_commit_failures")
        self._failed_at = self._clock.steady()

    async def _commit(self) -> None:
        accounts = [*self._accounts.removed.items(), *self._accounts.monitors.items()]
        for lost in self._encoded.keys() - dict(accounts).keys():
            del self._encoded[lost]
        for name, monitor in accounts:
            lease: Lease | None = None
            try:
                pending = monitor.pending()
                if not pending:
                    continue
                lease = self._rights.lease(name)
                with part("commit"):
                    size = await self._store.run(partial(self._write, self._store.under(lease), name, pending))
            except Fenced:  # what was not written is now the matter of the other replica
                self._rights.forfeit(lease)
                self._encoded.pop(name, None)
                continue
            except StateError as error:
                self._fail(str(error))
                return
            except Exception:  # a fault of the exporter: the changes of other accounts are written
                self._count_failure()
                if name not in self._faulty:
                    log.exception("the changes of an account cannot be written; retrying", account=name)
                self._faulty.add(name)
                continue
            monitor.state.written(pending)
            self._faulty.discard(name)
            self._failing = False
            self._report.count("state_commits")
            self._report.set("state_last_commit_timestamp_seconds", self._clock.wall())
            self._report.set("state_size_bytes", size)

    def _write(self, store: Store, account: str, pending: Pending) -> int:
        """Returns the size of the state in bytes."""
        # Encoded traces are reused until they are written: with a full disk they would be encoded again at each commit.
        before, encoded = self._encoded.get(account, {}), dict[bytes, EncodedTrace | None]()
        for each in pending.traces:
            if each.trace is not None and each.key not in encoded:
                encoded[each.key] = before[each.key] if each.key in before else self._encode(each.key, each.trace)
        self._encoded[account] = encoded
        traces = [each for each in encoded.values() if each]
        traces += filter(None, (self._encode_log(each, record) for each in pending.logs for record in each.records))
        dropped = store.commit(account, pending.ledgers, pending.tally, traces, self.max_trace_bytes)
        if dropped:
            self._report.count("trace_spans_dropped", "cap", by=dropped)
            log.warning("traces.max_bytes reached; the oldest traces are dropped", spans=dropped)
        self._encoded.pop(account, None)
        return store.size

    def _encode(self, key: bytes, trace: Trace) -> EncodedTrace | None:
        """The encoded trace; None, logged and counted, if it cannot be encoded as OTLP."""
        try:
            return EncodedTrace(key, len(trace.spans), encode(trace), self._clock.wall())
        except ValueError as error:
            log.warning("a trace is dropped: it cannot be encoded", trace_id=trace.id.hex(), words=str(error))
            self._report.count("trace_spans_dropped", "unencodable", by=len(trace.spans))
            return None

    def _encode_log(self, log_of_workload: WorkloadLog, record: EventRecord) -> EncodedTrace | None:
        """The encoded record; None, logged and counted, if it cannot be encoded, such as one of the year 9999."""
        try:
            body = encode_log(log_of_workload.resource, record)
        except ValueError as error:
            log.warning("a log record is dropped: it cannot be encoded", name=record.name, words=str(error))
            self._report.count("event_records_dropped", "unencodable")
            return None
        return EncodedTrace(record.uid, 1, body, self._clock.wall(), "log_outbox")
