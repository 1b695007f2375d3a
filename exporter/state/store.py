"""The state on disk, in a database with one writer.

One row per workload (its ledger) and one per account (its tally), as JSON. A commit is one transaction: totals, the
cursors they were counted with, and the traces made from them are written together or not at all. Traces wait in the
outbox, first in, first out, with the verbs batch, remove and trim.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec

from exporter.alerting.alarms import Alarm
from exporter.alerting.delivery_state import Notified
from exporter.alerting.notification import Notification
from exporter.alerting.silences import Silence
from exporter.fleet.ledger import Ledger, Tally
from exporter.state.database import IN_MEMORY, Database, Fenced, Lease, Session, StateError, text
from exporter.state.sqlite import Sqlite

T = TypeVar("T")
REMEMBERED = 30 * 86400.0
"""Seconds for which the id of a trace is kept, so that it is not added again."""
_NOTIFIED = "told"
"""Kind of the rows of `StoredPaging.notified`. Existing files contain it."""
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, TypeError)
"""Raised for a value that cannot be decoded; TypeError, if a column has a value of another type."""
_ledger = msgspec.json.Decoder(Ledger)
_tally = msgspec.json.Decoder(Tally)


class StoredAccount(NamedTuple):
    """The stored state of an account. `unreadable`: number of rows left out because they cannot be decoded."""

    ledgers: Mapping[str, Ledger] = {}
    tally: Tally = Tally()
    unreadable: int = 0


Queue = Literal["outbox", "log_outbox"]
"""The table of what waits for a collector: traces, or log records."""


class EncodedTrace(NamedTuple):
    """A trace id, number of spans, serialised request, and time of encoding in seconds since the epoch.

    In the queue of log records: an id of several of them, their number, and so on.
    """

    trace: bytes
    spans: int
    body: bytes
    at: float
    queue: Queue = "outbox"


class QueuedTrace(NamedTuple):
    """A trace in the outbox; `seq` increases from the oldest to the newest.

    Of transactions of several replicas, one with a lower `seq` may commit later.
    """

    seq: int
    trace: bytes
    spans: int
    body: bytes


class StoredPaging(NamedTuple):
    """State of direct paging: alarms by key, notified state by receiver and incident, silences by id.

    An alarm and what was notified of it belong to its account; alarms of the exporter itself, and silences, to the
    account without a name.
    """

    alarms: Mapping[str, Alarm] = {}
    notified: Mapping[str, Mapping[str, Notified]] = {}
    silences: Mapping[str, Silence] = {}

    def rows(self) -> dict[tuple[str, str, str], object]:
        """All values by account, kind and id, as stored."""
        rows: dict[tuple[str, str, str], object] = {
            (account_of(alarm), "alarm", key): alarm for key, alarm in self.alarms.items()
        }
        for receiver, incidents in self.notified.items():
            rows |= {(account_of(each), _NOTIFIED, f"{receiver}\x1f{key}"): each for key, each in incidents.items()}
        return rows | {("", "silence", name): silence for name, silence in self.silences.items()}

    def of(self, account: str) -> StoredPaging:
        """The alarms of an account, and what was notified of them."""
        return self._only(lambda each: account_of(each) == account)

    def without(self, account: str) -> StoredPaging:
        """Everything but `of` an account."""
        return self._only(lambda each: account_of(each) != account)._replace(silences=self.silences)

    def _only(self, wanted: Callable[[Alarm | Notified], bool]) -> StoredPaging:
        return StoredPaging(
            {key: each for key, each in self.alarms.items() if wanted(each)},
            {
                receiver: {key: each for key, each in incidents.items() if wanted(each)}
                for receiver, incidents in self.notified.items()
            },
        )


def account_of(labelled: Alarm | Notified | Notification) -> str:
    """The account that something belongs to; empty: the exporter itself."""
    return labelled.labels.get("account", "")


class Outbox(NamedTuple):
    """Size of the outbox. `oldest`: encoding time of the oldest trace, in seconds since the epoch; None if empty."""

    traces: int = 0
    size: int = 0
    oldest: float | None = None


class Store:
    """The state in a database, or in the file of this path, created if missing; None keeps the state in memory.

    `set_aside` and exceptions of files: see `Sqlite`.

    All methods wait for the disk or the database; `run` calls one from the event loop.
    """

    def __init__(self, place: Path | Database | None, *, set_aside: bool = False) -> None:
        self.path = place if isinstance(place, Path) else None
        self._database: Database
        if place is None or isinstance(place, Path):
            self._database = Sqlite(place, set_aside=set_aside)
        else:
            self._database = place
        self.lease: Lease | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    def under(self, lease: Lease | None) -> Store:
        """The same store, whose transactions raise `Fenced` once another replica has taken the lease; None: never."""
        fenced = copy.copy(self)
        fenced.lease = lease
        return fenced

    def check_lease(self) -> None:
        """Raises `Fenced` if another replica has taken the lease, and `StateError`."""
        with self._transaction():
            pass

    @property
    def aside(self) -> Path | None:
        """The new name of a file that could not be used; None: there was none."""
        return self._database.aside

    @property
    def lost(self) -> int:
        """Number of transactions that were lost because the write-ahead log was damaged."""
        return self._database.lost

    async def run(self, operation: Callable[[], T]) -> T:
        """The result of an operation of this store, in its own thread: a disk that hangs blocks no other work.

        Raises what it raises, and `StateError` once the store is closed.
        """
        try:
            thread = None if self._database.place == IN_MEMORY else self._thread
            running = asyncio.get_running_loop().run_in_executor(thread, operation)
        except RuntimeError as error:
            raise StateError(f"the state {self._database.place} is closed") from error
        return await running

    def load(self, account: str) -> StoredAccount:
        """Load the state of an account. An unreadable row loses only the totals of its workload.

        Raises `StateError`.
        """
        ledgers: dict[str, Ledger] = {}
        unreadable = 0
        with self._reading() as db:
            rows = db.execute("SELECT id, ledger FROM workload WHERE account = ?", (account,)).fetchall()
            stored = db.execute("SELECT tally FROM account WHERE account = ?", (account,)).fetchone()
        for workload, row in rows:
            try:
                ledgers[text(workload)] = _ledger.decode(row)
            except _UNREADABLE:
                unreadable += 1
        tally = Tally()
        if stored is not None:
            try:
                tally = _tally.decode(stored[0])
            except _UNREADABLE:
                unreadable += 1
        return StoredAccount(ledgers, tally, unreadable)

    def commit(
        self,
        account: str,
        ledgers: Mapping[str, Ledger | None],
        tally: Tally | None = None,
        traces: Sequence[EncodedTrace] = (),
        max_bytes: int | None = None,
    ) -> int:
        """Write ledgers (None: delete the workload), tally and traces in one transaction.

        A trace that is already in its queue is ignored. If there are new ones, the oldest traces are dropped to stay
        within `max_bytes`; returns the number of dropped spans. Raises `StateError` if the write fails, such as on a
        full disk; it may be retried.
        """
        written = [(account, i, msgspec.json.encode(each)) for i, each in ledgers.items() if each is not None]
        with self._transaction() as db:
            db.executemany("DELETE FROM workload WHERE account = ? AND id = ?", [(account, i) for i in ledgers])
            db.executemany("INSERT INTO workload (account, id, ledger) VALUES (?, ?, ?)", written)
            if tally is not None:
                db.execute("DELETE FROM account WHERE account = ?", (account,))
                db.execute("INSERT INTO account (account, tally) VALUES (?, ?)", (account, msgspec.json.encode(tally)))
            for each in traces:
                if db.execute("SELECT 1 FROM emitted WHERE trace = ?", (each.trace,)).fetchone() is None:
                    db.execute("INSERT INTO emitted (trace, at) VALUES (?, ?)", (each.trace, each.at))
                    db.execute(
                        f"INSERT INTO {each.queue} (trace, account, spans, size, created, body)"  # noqa: S608 — a `Queue`
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (each.trace, account, each.spans, len(each.body), each.at, each.body),
                    )
            capped = _drop_beyond(db, "outbox", max_bytes) if traces and max_bytes is not None else 0
        with self._lock:
            self._database.reserve()
        return capped

    # -- paging

    def load_paging(self, account: str | None = None) -> StoredPaging:
        """Load the state of direct paging, of all accounts or of one. Unreadable rows are left out: their alerts fire
        again.

        Raises `StateError`.
        """
        select = "SELECT kind, id, value FROM paging"
        with self._reading() as db:
            if account is None:
                rows = db.execute(select).fetchall()
            else:
                rows = db.execute(f"{select} WHERE account = ?", (account,)).fetchall()
        kept = StoredPaging({}, {}, {})
        for kind, stored_name, value in rows:
            with contextlib.suppress(*_UNREADABLE):
                name = text(stored_name)
                if kind == "alarm":
                    kept = kept._replace(alarms={**kept.alarms, name: msgspec.json.decode(value, type=Alarm)})
                elif kind == "silence":
                    kept = kept._replace(silences={**kept.silences, name: msgspec.json.decode(value, type=Silence)})
                elif kind == _NOTIFIED:
                    receiver, _, key = name.partition("\x1f")
                    notified = {**kept.notified.get(receiver, {}), key: msgspec.json.decode(value, type=Notified)}
                    kept = kept._replace(notified={**kept.notified, receiver: notified})
        return kept

    def save_paging(self, now: StoredPaging, before: StoredPaging) -> None:
        """Write what differs from `before`, in one transaction. Raises `StateError`; it may be retried."""
        new, old = now.rows(), before.rows()
        changed = [(*row, msgspec.json.encode(value)) for row, value in new.items() if old.get(row) != value]
        replaced = [*(old.keys() - new.keys()), *(row[:3] for row in changed)]
        with self._transaction() as db:
            db.executemany("DELETE FROM paging WHERE account = ? AND kind = ? AND id = ?", replaced)
            db.executemany("INSERT INTO paging (account, kind, id, value) VALUES (?, ?, ?, ?)", changed)

    # -- the outbox

    def batch(self, after: int, traces: int, spans: int, size: int, queue: Queue = "outbox") -> list[QueuedTrace]:
        """The oldest traces with a `seq` above `after`, within these limits, but at least one if there is one.

        Raises `StateError`.
        """
        with self._reading() as db:
            last = after
            waiting = db.execute(
                f"SELECT seq, spans, size FROM {queue} WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 — as above
                (after, traces),
            )
            for seq, of_spans, of_bytes in waiting:
                spans, size = spans - of_spans, size - of_bytes
                if last > after and (spans < 0 or size < 0):
                    break
                last = seq
            rows = db.execute(
                f"SELECT seq, trace, spans, body FROM {queue} WHERE seq > ? AND seq <= ? ORDER BY seq",  # noqa: S608
                (after, last),
            )
            return [QueuedTrace(*row) for row in rows]

    def remove(self, seqs: Collection[int], queue: Queue = "outbox") -> None:
        """Remove the traces with these `seq`. Raises `StateError`; it may be retried."""
        with self._transaction() as db:
            db.executemany(f"DELETE FROM {queue} WHERE seq = ?", [(seq,) for seq in seqs])  # noqa: S608 — as above

    def outbox(self, after: int = 0, queue: Queue = "outbox") -> Outbox:
        """The size of a queue, of traces with a `seq` above `after`. Raises `StateError`."""
        size = f"SELECT count(*), coalesce(sum(size), 0), min(created) FROM {queue} WHERE seq > ?"  # noqa: S608 — as above
        with self._reading() as db:
            return Outbox(*db.execute(size, (after,)).fetchone())

    def trim(self, max_bytes: int, max_age: float, now: float, queue: Queue = "outbox") -> dict[str, int]:
        """Drop whole traces, the oldest first, beyond `max_age` seconds and `max_bytes`.

        Returns the numbers of spans dropped by ``age`` and by size (``cap``). Raises `StateError`.
        """
        old = f"FROM {queue} WHERE created < ?"
        with self._transaction() as db:
            (aged,) = db.execute(f"{_SPANS} {old}", (now - max_age,)).fetchone()
            db.execute(f"DELETE {old}", (now - max_age,))
            return {"age": aged, "cap": _drop_beyond(db, queue, max_bytes)}

    def move_times(self, step: float, recent: tuple[float, float], queue: Queue = "outbox") -> None:
        """Add `step` seconds to all times of a queue but those in the period `recent`, which are by the present clock.

        With the times of traces, also to those of all ids. Raises `StateError`.
        """
        moved = f"UPDATE {queue} SET created = created + ? WHERE created NOT BETWEEN ? AND ?"  # noqa: S608 — as above
        with self._transaction() as db:
            db.execute(moved, (step, *recent))
            if queue == "outbox":
                db.execute("UPDATE emitted SET at = at + ? WHERE at NOT BETWEEN ? AND ?", (step, *recent))

    def forget(self, now: float) -> None:
        """Remove trace ids older than `REMEMBERED`. Raises `StateError`."""
        with self._transaction() as db:
            db.execute("DELETE FROM emitted WHERE at < ?", (now - REMEMBERED,))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._lock, self._database.reading() as db:
            yield db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Session]:
        with self._lock, self._database.transaction() as db:
            if self.lease is not None and db.execute(_HELD, self.lease).fetchone() is None:
                account = f"account {self.lease.account}" if self.lease.account else "what all replicas share"
                raise Fenced(f"another replica has taken {account}; nothing was written to {self._database.place}")
            yield db

    @property
    def size(self) -> int:
        """Bytes on disk."""
        with self._lock:
            return self._database.size

    def close(self) -> None:
        """End the use of the database."""
        self._thread.shutdown(wait=False)
        with self._lock:
            self._database.close()


_HELD = "SELECT 1 FROM lease WHERE account = ? AND holder = ? AND epoch = ? FOR SHARE"
"""Who takes the lease has to wait until the transaction ends."""
_SPANS = "SELECT coalesce(sum(spans), 0)"


def _drop_beyond(db: Session, queue: Queue, max_bytes: int) -> int:
    """Drop the oldest traces until at most `max_bytes` remain; return the number of dropped spans."""
    (size,) = db.execute(f"SELECT coalesce(sum(size), 0) FROM {queue}").fetchone()  # noqa: S608 — as above
    if size <= max_bytes:
        return 0
    from_here = f"SELECT seq, sum(size) OVER (ORDER BY seq DESC) AS size_from_here FROM {queue}"  # noqa: S608 — as above
    beyond = f"SELECT coalesce(max(seq), 0) FROM ({from_here}) AS sizes WHERE size_from_here > ?"  # noqa: S608 — as above
    (last,) = db.execute(beyond, (max_bytes,)).fetchone()
    (dropped,) = db.execute(f"{_SPANS} FROM {queue} WHERE seq <= ?", (last,)).fetchone()
    db.execute(f"DELETE FROM {queue} WHERE seq <= ?", (last,))  # noqa: S608 — as above
    return int(dropped)
