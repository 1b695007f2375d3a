"""The state on disk: one SQLite file with one writer.

One row per workload (its ledger) and one per account (its tally), as JSON. A commit is one transaction: totals, the
cursors they were counted with, and the traces made from them are written together or not at all. Traces wait in the
outbox, first in, first out, with the verbs batch, remove and trim.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from exporter.alerting.alarms import Alarm
from exporter.alerting.delivery_state import Notified
from exporter.alerting.silences import Silence
from exporter.errors import ExporterError
from exporter.fleet.ledger import Ledger, Tally

VERSION = 4
"""Version of the schema, kept in ``user_version``. Each step of `MIGRATIONS` leads from its index to the next."""
MIGRATIONS = (
    """
    CREATE TABLE workload (account TEXT NOT NULL, id TEXT NOT NULL, ledger BLOB NOT NULL, PRIMARY KEY (account, id));
    CREATE TABLE account (account TEXT NOT NULL PRIMARY KEY, tally BLOB NOT NULL);
    """,
    # The body is the last column, so that counting and adding up need not read it.
    """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, trace BLOB NOT NULL UNIQUE, account TEXT NOT NULL,
        spans INTEGER NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL, body BLOB NOT NULL
    );
    CREATE TABLE emitted (trace BLOB NOT NULL PRIMARY KEY, at REAL NOT NULL);
    """,
    """
    CREATE TABLE paging (kind TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, id));
    """,
    """
    CREATE INDEX emitted_at ON emitted (at);
    """,
)
REMEMBERED = 30 * 86400.0
"""Seconds for which the id of a trace is kept, so that it is not added again."""
_NOTIFIED = "told"
"""Kind of the rows of `StoredPaging.notified`. Existing files contain it."""
_ledger = msgspec.json.Decoder(Ledger)
_tally = msgspec.json.Decoder(Tally)


class StateError(ExporterError):
    """Raised if the state file cannot be used. The message has the cause and the remedy."""


class StoredAccount(NamedTuple):
    """The stored state of an account. `unreadable`: number of rows left out because they cannot be decoded."""

    ledgers: Mapping[str, Ledger] = {}
    tally: Tally = Tally()
    unreadable: int = 0


class EncodedTrace(NamedTuple):
    """A trace id, number of spans, serialised request, and time of encoding in seconds since the epoch."""

    trace: bytes
    spans: int
    body: bytes
    at: float


class QueuedTrace(NamedTuple):
    """A trace in the outbox; `seq` increases from the oldest to the newest."""

    seq: int
    trace: bytes
    spans: int
    body: bytes


class StoredPaging(NamedTuple):
    """State of direct paging: alarms by key, notified state by receiver and incident, silences by id."""

    alarms: Mapping[str, Alarm] = {}
    notified: Mapping[str, Mapping[str, Notified]] = {}
    silences: Mapping[str, Silence] = {}

    def rows(self) -> dict[tuple[str, str], object]:
        """All values by kind and id, as stored."""
        rows: dict[tuple[str, str], object] = {("alarm", key): alarm for key, alarm in self.alarms.items()}
        for receiver, incidents in self.notified.items():
            rows |= {(_NOTIFIED, f"{receiver}\x1f{key}"): each for key, each in incidents.items()}
        return rows | {("silence", name): silence for name, silence in self.silences.items()}


class Outbox(NamedTuple):
    """Size of the outbox. `oldest`: encoding time of the oldest trace, in seconds since the epoch; None if empty."""

    traces: int = 0
    size: int = 0
    oldest: float | None = None


class Store:
    """The state file at `path`, created if missing; None keeps the state in memory.

    `set_aside`: a corrupt file, or one of a newer version, is renamed, and a new one created; `aside` is its new name.
    Raises `StateError` otherwise, if the file cannot be written, or if another process uses it.
    """

    def __init__(self, path: Path | None, *, set_aside: bool = False) -> None:
        self.path = path
        self.aside: Path | None = None
        self._lock = threading.Lock()
        try:
            self._db = self._open()
        except StateError as error:
            if not set_aside or path is None or not isinstance(error.__cause__, _Unusable):
                raise
            self.aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").replace(f"{self.aside}{suffix}")
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        place = ":memory:" if self.path is None else str(self.path)
        db: sqlite3.Connection | None = None
        try:
            # Autocommit mode: transactions are explicit.
            db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=1.0)
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            version = _version(db)  # before the first write, so that a foreign file stays unchanged
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            for number in range(version, VERSION):
                db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
            db.execute("BEGIN IMMEDIATE")  # take the lock now, so that a second process fails at its start
            db.execute("COMMIT")
        except (_Unusable, sqlite3.DatabaseError) as error:
            if db is not None:
                db.close()
            raise _state_error(error, place) from _cause(error)
        return db

    def load(self, account: str) -> StoredAccount:
        """Load the state of an account. An unreadable row loses only the totals of its workload.

        Raises `StateError`.
        """
        ledgers: dict[str, Ledger] = {}
        unreadable = 0
        with self._state_errors("read from"), self._lock:
            rows = self._db.execute("SELECT id, ledger FROM workload WHERE account = ?", (account,)).fetchall()
            stored = self._db.execute("SELECT tally FROM account WHERE account = ?", (account,)).fetchone()
        for workload, row in rows:
            try:
                ledgers[workload] = _ledger.decode(row)
            except msgspec.MsgspecError:
                unreadable += 1
        tally = Tally()
        if stored is not None:
            try:
                tally = _tally.decode(stored[0])
            except msgspec.MsgspecError:
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

        A trace that is already in the outbox is ignored. If there are new ones, the oldest are dropped to stay within
        `max_bytes`; returns the number of dropped spans. Raises `StateError` if the write fails, such as on a full
        disk; it may be retried.
        """
        written = [(account, i, msgspec.json.encode(each)) for i, each in ledgers.items() if each is not None]
        dropped = [(account, i) for i, each in ledgers.items() if each is None]
        with self._transaction() as db:
            db.executemany("DELETE FROM workload WHERE account = ? AND id = ?", [row[:2] for row in written])
            db.executemany("INSERT INTO workload (account, id, ledger) VALUES (?, ?, ?)", written)
            db.executemany("DELETE FROM workload WHERE account = ? AND id = ?", dropped)
            if tally is not None:
                db.execute("DELETE FROM account WHERE account = ?", (account,))
                db.execute("INSERT INTO account VALUES (?, ?)", (account, msgspec.json.encode(tally)))
            for each in traces:
                if db.execute("SELECT 1 FROM emitted WHERE trace = ?", (each.trace,)).fetchone() is None:
                    db.execute("INSERT INTO emitted VALUES (?, ?)", (each.trace, each.at))
                    db.execute(
                        "INSERT INTO outbox (trace, account, spans, size, created, body) VALUES (?, ?, ?, ?, ?, ?)",
                        (each.trace, account, each.spans, len(each.body), each.at, each.body),
                    )
            return _drop_beyond(db, max_bytes) if traces and max_bytes is not None else 0

    # -- paging

    def load_paging(self) -> StoredPaging:
        """Load the state of direct paging. Unreadable rows are left out: their alerts fire again.

        Raises `StateError`.
        """
        with self._state_errors("read from"), self._lock:
            rows = self._db.execute("SELECT kind, id, value FROM paging").fetchall()
        kept = StoredPaging({}, {}, {})
        for kind, name, value in rows:
            with contextlib.suppress(msgspec.MsgspecError):
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
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO paging VALUES (?, ?, ?)", changed)
            db.executemany("DELETE FROM paging WHERE kind = ? AND id = ?", [*(old.keys() - new.keys())])

    # -- the outbox

    def batch(self, after: int, traces: int, spans: int, size: int) -> list[QueuedTrace]:
        """The oldest traces with a `seq` above `after`, within these limits, but at least one if there is one.

        Raises `StateError`.
        """
        found: list[QueuedTrace] = []
        with self._state_errors("read from"), self._lock:
            rows = self._db.execute(
                "SELECT seq, trace, spans, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, traces)
            )
            for row in map(QueuedTrace._make, rows):
                spans, size = spans - row.spans, size - len(row.body)
                if found and (spans < 0 or size < 0):
                    break
                found.append(row)
        return found

    def remove(self, upto: int) -> int:
        """Remove the traces up to this `seq`; return their number. Raises `StateError`; it may be retried."""
        with self._transaction() as db:
            return db.execute("DELETE FROM outbox WHERE seq <= ?", (upto,)).rowcount

    def outbox(self, after: int = 0) -> Outbox:
        """The size of the outbox, of traces with a `seq` above `after`. Raises `StateError`."""
        with self._state_errors("read from"), self._lock:
            row = self._db.execute(
                "SELECT count(*), coalesce(sum(size), 0), min(created) FROM outbox WHERE seq > ?", (after,)
            ).fetchone()
        return Outbox(*row)

    def trim(self, max_bytes: int, max_age: float, now: float) -> dict[str, int]:
        """Drop whole traces, the oldest first, beyond `max_age` seconds and `max_bytes`.

        Returns the numbers of spans dropped by ``age`` and by size (``cap``). Raises `StateError`.
        """
        with self._transaction() as db:
            (aged,) = db.execute(f"{_SPANS} created < ?", (now - max_age,)).fetchone()
            db.execute("DELETE FROM outbox WHERE created < ?", (now - max_age,))
            return {"age": aged, "cap": _drop_beyond(db, max_bytes)}

    def forget(self, now: float) -> None:
        """Remove trace ids older than `REMEMBERED`. Raises `StateError`."""
        with self._transaction() as db:
            db.execute("DELETE FROM emitted WHERE at < ?", (now - REMEMBERED,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing."""
        with self._state_errors("written to"), self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _state_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"the state was not {action} {self.path}: {error}") from error

    @property
    def size(self) -> int:
        """Bytes on disk."""
        if self.path is None:
            return 0
        files = (Path(f"{self.path}{suffix}") for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


_SPANS = "SELECT coalesce(sum(spans), 0) FROM outbox WHERE"


def _drop_beyond(db: sqlite3.Connection, max_bytes: int) -> int:
    """Drop the oldest traces until at most `max_bytes` remain; return the number of dropped spans."""
    (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM outbox").fetchone()
    last = 0
    for seq, one in db.execute("SELECT seq, size FROM outbox ORDER BY seq"):
        if size <= max_bytes:
            break
        size, last = size - one, seq
    (dropped,) = db.execute(f"{_SPANS} seq <= ?", (last,)).fetchone()
    db.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
    return int(dropped)


class _Unusable(Exception):
    pass


def _version(db: sqlite3.Connection) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise _Unusable(f"it was written by a newer exporter (schema {version}, supported: {VERSION})")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise _Unusable("it is a database of another program")
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _Unusable("it is damaged")
    return version


def _cause(error: Exception) -> Exception:
    """`_Unusable` if a new file would help; else the error itself."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return _Unusable(str(error))
    return error


def _state_error(error: Exception, place: str) -> StateError:
    text = str(error)
    if "locked" in text:
        return StateError(f"{place} is in use by another process; give each exporter a state.path of its own")
    if isinstance(_cause(error), _Unusable):
        return StateError(f"{place} cannot be used: {text}; move it away, or set state.on_trouble: set_aside")
    return StateError(
        f"{place} cannot be written: {text}; check the folder and its permissions, the free space, or state.path"
    )
