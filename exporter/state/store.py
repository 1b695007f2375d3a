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

from exporter.alerting.alarms import Alarm, Notified
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
    # The body stands last: what only counts and adds up need not read past it.
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
"""Seconds for which a trace that was put in once is not put in again."""
_ledger = msgspec.json.Decoder(Ledger)
_tally = msgspec.json.Decoder(Tally)


class StateError(ExporterError):
    """The state file cannot be used; the message says why and what to do."""


class State(NamedTuple):
    """What was kept of an account. `unreadable` rows were left out."""

    ledgers: Mapping[str, Ledger] = {}
    tally: Tally = Tally()
    unreadable: int = 0


class Frozen(NamedTuple):
    """An encoded trace: id, number of spans, serialised request, and the time it was made (seconds since the epoch)."""

    trace: bytes
    spans: int
    body: bytes
    at: float


class Waiting(NamedTuple):
    """A trace of the outbox; `seq` grows from the oldest to the newest."""

    seq: int
    trace: bytes
    spans: int
    body: bytes


class Paged(NamedTuple):
    """State of direct paging: alarms by key, notifications by receiver and incident, silences by id."""

    alarms: Mapping[str, Alarm] = {}
    told: Mapping[str, Mapping[str, Notified]] = {}
    silences: Mapping[str, Silence] = {}

    def rows(self) -> dict[tuple[str, str], object]:
        """All of it by kind and id."""
        told = {
            ("told", f"{name}\x1f{key}"): each for name, all_of in self.told.items() for key, each in all_of.items()
        }
        return {
            **{("alarm", place): alarm for place, alarm in self.alarms.items()},
            **told,
            **{("silence", name): silence for name, silence in self.silences.items()},
        }


class Outbox(NamedTuple):
    """What waits to be sent; `oldest` is when the oldest of it was made, in epoch seconds, None if nothing waits."""

    traces: int = 0
    size: int = 0
    oldest: float | None = None


class Store:
    """The state file at `path`, created if missing; None keeps the state in memory.

    `set_aside`: a corrupt file, or one from a newer version, is renamed and a new one created. Otherwise, and if a file
    cannot be written at all, raises `StateError`. A file used by another process is refused as well.
    """

    def __init__(self, path: Path | None, *, set_aside: bool = False) -> None:
        self.path = path
        self.aside: Path | None = None
        self._lock = threading.Lock()
        try:
            self._db = self._opened()
        except StateError as error:
            if not set_aside or path is None or not isinstance(error.__cause__, _Unusable):
                raise
            self.aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").replace(f"{self.aside}{suffix}")
            self._db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        place = ":memory:" if self.path is None else str(self.path)
        db: sqlite3.Connection | None = None
        try:
            # Autocommit mode: transactions begin and end where the code says so.
            db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=1.0)
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            version = _version(db)  # before anything is written: a file that is not ours stays as it is
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            for number in range(version, VERSION):
                db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
            db.execute("BEGIN IMMEDIATE")  # take the lock now: a second process must learn it at its start
            db.execute("COMMIT")
        except (_Unusable, sqlite3.DatabaseError) as error:
            if db is not None:
                db.close()
            raise _explained(error, place) from _cause(error)
        return db

    def load(self, account: str) -> State:
        """Load the state of an account. An unreadable row only loses that workload's totals.

        Raises `StateError`.
        """
        ledgers: dict[str, Ledger] = {}
        unreadable = 0
        with self._troubled("read from"), self._lock:
            rows = self._db.execute("SELECT id, ledger FROM workload WHERE account = ?", (account,)).fetchall()
            told = self._db.execute("SELECT tally FROM account WHERE account = ?", (account,)).fetchone()
        for workload, row in rows:
            try:
                ledgers[workload] = _ledger.decode(row)
            except msgspec.MsgspecError:
                unreadable += 1
        tally = Tally()
        if told is not None:
            try:
                tally = _tally.decode(told[0])
            except msgspec.MsgspecError:
                unreadable += 1
        return State(ledgers, tally, unreadable)

    def commit(
        self,
        account: str,
        ledgers: Mapping[str, Ledger | None],
        tally: Tally | None = None,
        traces: Sequence[Frozen] = (),
        max_bytes: int | None = None,
    ) -> int:
        """Write ledgers (None: delete the workload), tally and traces in one transaction.

        A trace that is already in the outbox is ignored. If there are new ones, the oldest are dropped to stay within
        `max_bytes`; returns the number of dropped spans. Raises `StateError` if the write fails, such as on a full
        disk; it may be retried.
        """
        written = [(account, i, msgspec.json.encode(each)) for i, each in ledgers.items() if each is not None]
        dropped = [(account, i) for i, each in ledgers.items() if each is None]
        with self._written() as db:
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
            return _capped(db, max_bytes) if traces and max_bytes is not None else 0

    # -- paging

    def paged(self) -> Paged:
        """Load the state of direct paging. Unreadable rows are left out: their alerts fire again.

        Raises `StateError`.
        """
        with self._troubled("read from"), self._lock:
            rows = self._db.execute("SELECT kind, id, value FROM paging").fetchall()
        kept = Paged({}, {}, {})
        for kind, name, value in rows:
            with contextlib.suppress(msgspec.MsgspecError):
                if kind == "alarm":
                    kept = kept._replace(alarms={**kept.alarms, name: msgspec.json.decode(value, type=Alarm)})
                elif kind == "silence":
                    kept = kept._replace(silences={**kept.silences, name: msgspec.json.decode(value, type=Silence)})
                elif kind == "told":
                    receiver, _, key = name.partition("\x1f")
                    told = {**kept.told.get(receiver, {}), key: msgspec.json.decode(value, type=Notified)}
                    kept = kept._replace(told={**kept.told, receiver: told})
        return kept

    def page(self, now: Paged, before: Paged) -> None:
        """Write what differs from `before`, all or nothing. Raises `StateError`; the same may be tried again."""
        new, old = now.rows(), before.rows()
        changed = [(*row, msgspec.json.encode(value)) for row, value in new.items() if old.get(row) != value]
        with self._written() as db:
            db.executemany("INSERT OR REPLACE INTO paging VALUES (?, ?, ?)", changed)
            db.executemany("DELETE FROM paging WHERE kind = ? AND id = ?", [*(old.keys() - new.keys())])

    # -- the outbox

    def batch(self, after: int, traces: int, spans: int, size: int) -> list[Waiting]:
        """The oldest traces with a `seq` above `after`, within these limits, but one at the least if there is one.

        Raises `StateError`.
        """
        found: list[Waiting] = []
        with self._troubled("read from"), self._lock:
            rows = self._db.execute(
                "SELECT seq, trace, spans, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, traces)
            )
            for row in map(Waiting._make, rows):
                spans, size = spans - row.spans, size - len(row.body)
                if found and (spans < 0 or size < 0):
                    break
                found.append(row)
        return found

    def remove(self, upto: int) -> int:
        """Take the traces up to this `seq` out; return how many. Raises `StateError`; the same may be tried again."""
        with self._written() as db:
            return db.execute("DELETE FROM outbox WHERE seq <= ?", (upto,)).rowcount

    def outbox(self, after: int = 0) -> Outbox:
        """What waits, with a `seq` above `after`. Raises `StateError`."""
        with self._troubled("read from"), self._lock:
            told = self._db.execute(
                "SELECT count(*), coalesce(sum(size), 0), min(created) FROM outbox WHERE seq > ?", (after,)
            ).fetchone()
        return Outbox(*told)

    def trim(self, max_bytes: int, max_age: float, now: float) -> dict[str, int]:
        """Drop whole traces, the oldest first, to keep within `max_age` seconds and `max_bytes`.

        Return how many spans went because of their ``age`` and because of the ``cap``. Raises `StateError`.
        """
        with self._written() as db:
            (aged,) = db.execute(f"{_SPANS} created < ?", (now - max_age,)).fetchone()
            db.execute("DELETE FROM outbox WHERE created < ?", (now - max_age,))
            return {"age": aged, "cap": _capped(db, max_bytes)}

    def forget(self, now: float) -> None:
        """Forget trace ids put in more than `REMEMBERED` ago. Raises `StateError`."""
        with self._written() as db:
            db.execute("DELETE FROM emitted WHERE at < ?", (now - REMEMBERED,))

    @contextlib.contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing."""
        with self._troubled("written to"), self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _troubled(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"the state was not {what} {self.path}: {error}") from error

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


def _capped(db: sqlite3.Connection, max_bytes: int) -> int:
    """Drop the oldest traces beyond so many bytes; return how many spans that were."""
    (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM outbox").fetchone()
    last = 0
    for seq, one in db.execute("SELECT seq, size FROM outbox ORDER BY seq"):
        if size <= max_bytes:
            break
        size, last = size - one, seq
    (capped,) = db.execute(f"{_SPANS} seq <= ?", (last,)).fetchone()
    db.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
    return int(capped)


class _Unusable(Exception):
    pass


def _version(db: sqlite3.Connection) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise _Unusable(f"it was written by a newer exporter (schema {version}, this one knows {VERSION})")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise _Unusable("it is a database of another program")
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _Unusable("it is damaged")
    return version


def _cause(error: Exception) -> Exception:
    """`_Unusable` for what another file would mend; the error itself for what it would not."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return _Unusable(str(error))
    return error


def _explained(error: Exception, place: str) -> StateError:
    text = str(error)
    if "locked" in text:
        return StateError(f"{place} is in use by another process; give each exporter a state.path of its own")
    if isinstance(_cause(error), _Unusable):
        return StateError(
            f"{place} cannot be used: {text}; move it away, or set state.on_trouble: set_aside to have that done"
        )
    return StateError(
        f"{place} cannot be written: {text}; check the folder and its permissions, the space left, or state.path"
    )
