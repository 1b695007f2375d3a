"""The SQLite file of the state: schema, opening, transactions, and what happens if it is damaged or removed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from exporter.state.database import IN_MEMORY, Session, StateError
from exporter.state.write_ahead_log import lost_transactions

VERSION = 6
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
    # The account of a row, so that the state of one account can be copied to a database with leases.
    """
    ALTER TABLE paging ADD COLUMN account TEXT NOT NULL DEFAULT '';
    UPDATE paging SET account = json_extract(CAST(value AS TEXT), '$.labels.account')
        WHERE kind != 'silence' AND json_valid(CAST(value AS TEXT))
        AND json_type(CAST(value AS TEXT), '$.labels.account') = 'text';
    """,
    """
    CREATE TABLE log_outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, trace BLOB NOT NULL UNIQUE, account TEXT NOT NULL,
        spans INTEGER NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL, body BLOB NOT NULL
    );
    """,
)
_RESERVED_PAGES = 256
"""Pages of the file, usually of 4096 bytes, that are kept free for a full disk."""


class Sqlite:
    """The file at `path`, created if missing; None keeps it in memory. `connection` is open.

    `set_aside`: a corrupt file, or one of a newer version, is renamed, and a new one created; `aside` is its new name.
    Raises `StateError` otherwise, if the file cannot be written, or if another process uses it. Not for several threads
    at once.
    """

    def __init__(self, path: Path | None, *, set_aside: bool = False) -> None:
        self._path = path
        self.place = IN_MEMORY if path is None else str(path)
        self.aside: Path | None = None
        self.lost = 0
        self.connections = 1
        self._inodes: tuple[_Inode, _Inode] = None, None
        """What identifies the file and its write-ahead log."""
        try:
            self.connection = self._open()
        except StateError as error:
            if not set_aside or path is None or not isinstance(error.__cause__, _Unusable):
                raise
            self.aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").replace(f"{self.aside}{suffix}")
            self.connection = self._open()
        self.reserve()

    def _open(self) -> sqlite3.Connection:
        place = self.place
        db: sqlite3.Connection | None = None
        try:
            if self._path is not None:
                with contextlib.suppress(OSError):  # SQLite reports it
                    self.lost = lost_transactions(Path(f"{self._path}-wal"))
                _create(self._path)
            # Autocommit mode: transactions are explicit.
            db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=1.0)
            db.text_factory = _text
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA temp_store=MEMORY")  # there may be no folder for temporary files
            version = _version(db)  # before the first write, so that a foreign file stays unchanged
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            for number in range(version, VERSION):
                db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
            db.execute("BEGIN IMMEDIATE")  # take the lock now, so that a second process fails at its start
            db.execute("COMMIT")
            db.execute(f"PRAGMA wal_autocheckpoint={_RESERVED_PAGES // 2}")
        except (_Unusable, sqlite3.DatabaseError) as error:
            if db is not None:
                db.close()
            raise _state_error(error, place) from _cause(error)
        self._inodes = _inode(place), _inode(f"{place}-wal")
        return db

    def _check_path(self) -> None:
        """Write a file that was removed again. Raises `StateError` if it was replaced by another one.

        SQLite would go on to write to the file that has no name any more.
        """
        if self._path is None or (now := _inode(self._path)) == self._inodes[0]:
            return
        if now is not None:
            log = Path(f"{self._path}-wal")
            if _inode(log) == self._inodes[1]:
                log.unlink(missing_ok=True)  # SQLite would apply it to the other file
            raise StateError(f"{self._path} was replaced by another file; restart the exporter to use it")
        copy = Path(f"{self._path}.new")
        copy.unlink(missing_ok=True)
        _create(copy)
        self.connection.execute("VACUUM INTO ?", (str(copy),))
        self.connection.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        copy.replace(self._path)
        self.connection = self._open()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        with self._errors("written to"):
            self._check_path()
            db = self.connection
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        with self._errors("read from"):
            yield self.connection

    @contextlib.contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """Turn errors of SQLite and of the disk into `StateError`."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:
            raise StateError(f"the state was not {action} {self.place}: {error}") from error

    def reserve(self) -> None:
        """Keep free pages in the file, and its log as long, so that what is paged is remembered on a full disk.

        SQLite overwrites the log from its beginning after each checkpoint.
        """
        db = self.connection
        if self._path is None:
            return
        with self._errors("written to"):
            (free,), (size,) = db.execute("PRAGMA freelist_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
            if free >= _RESERVED_PAGES // 2:
                return
            with contextlib.suppress(sqlite3.OperationalError):  # the disk is full now
                try:
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("CREATE TABLE reserve (filler BLOB)")
                    db.execute("INSERT INTO reserve VALUES (zeroblob(?))", (_RESERVED_PAGES * size,))
                    db.execute("DROP TABLE reserve")
                    db.execute("COMMIT")
                    db.execute("PRAGMA wal_checkpoint(RESTART)")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")

    @property
    def size(self) -> int:
        if self._path is None:
            return 0
        size = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                size += Path(f"{self._path}{suffix}").stat().st_size
        return size

    def close(self) -> None:
        self.connection.close()


class _Unusable(Exception):
    pass


_Inode = tuple[int, int] | None


def _inode(file: str | Path) -> _Inode:
    """What identifies the file that is at a path now; None: there is none. Raises OSError."""
    try:
        status = Path(file).stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _text(raw: bytes) -> str | bytes:
    """Text of a column; bytes that are not UTF-8 as they are, so that only their row is unreadable."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _create(path: Path) -> None:
    """Create an empty file that only this user can read, unless it exists; SQLite gives its log the same mode."""
    with contextlib.suppress(OSError):  # SQLite reports why it cannot be created
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


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
