"""The state in PostgreSQL: one schema of one database, for one exporter, or for replicas that have leases.

A lock of the session keeps other exporters out; replicas share it. It ends with the connection, and a transaction needs
the connection: what commits had the lock. Whether another exporter had it before a reconnect shows the epoch, which
each start increases. Between replicas, leases decide (`exporter.state.leases`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Format, TransactionStatus

from exporter.failures import one_line
from exporter.redaction import Secrets
from exporter.state.database import RESPONSE_SECONDS, Parameters, Rows, Session, StateError

MIGRATIONS = (
    # Text from the API is `bytea`: a text of PostgreSQL cannot contain NUL, nor what the database's encoding lacks.
    # `account` is the account that a row belongs to; empty: the exporter as a whole.
    """
    CREATE TABLE workload (account text NOT NULL, id bytea NOT NULL, ledger bytea NOT NULL, PRIMARY KEY (account, id));
    CREATE TABLE account (account text NOT NULL PRIMARY KEY, tally bytea NOT NULL);
    CREATE TABLE outbox (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, trace bytea NOT NULL UNIQUE, account text NOT NULL,
        spans integer NOT NULL, size integer NOT NULL, created double precision NOT NULL, body bytea NOT NULL
    );
    CREATE TABLE emitted (
        trace bytea NOT NULL PRIMARY KEY, account text NOT NULL DEFAULT '', at double precision NOT NULL
    );
    CREATE INDEX emitted_at ON emitted (at);
    CREATE TABLE paging (
        account text NOT NULL DEFAULT '', kind text NOT NULL, id bytea NOT NULL, value bytea NOT NULL,
        PRIMARY KEY (account, kind, id)
    );
    """,
    # Both values contain their labels first; the account is the first of these.
    """
    CREATE TABLE replica (
        name text NOT NULL PRIMARY KEY, url text NOT NULL, accounts bytea NOT NULL, status bytea NOT NULL,
        expires timestamptz NOT NULL
    );
    CREATE TABLE lease (account text NOT NULL PRIMARY KEY, holder text, epoch bigint NOT NULL);
    ALTER TABLE workload_exporter ADD COLUMN moved timestamptz NOT NULL DEFAULT '-infinity';
    UPDATE paging SET account = coalesce(substring(encode(value, 'escape') FROM '"account":"([^"\\\\]*)"'), '')
        WHERE kind <> 'silence';
    """,
    """
    CREATE TABLE log_outbox (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, trace bytea NOT NULL UNIQUE, account text NOT NULL,
        spans integer NOT NULL, size integer NOT NULL, created double precision NOT NULL, body bytea NOT NULL
    );
    """,
)
"""Each step leads from its index, as a version of the schema, to the next."""
VERSION = len(MIGRATIONS)
CONNECT_SECONDS = 5.0
"""For a connection to one host, unless the URL has a ``connect_timeout``."""
LOCK_SECONDS = 5.0
"""To wait for the lock: the session of a killed exporter may need a moment to end."""
IDLE_SECONDS = 10.0
"""For the next statement of a transaction of a replica; then the server ends its session. A replica that is paused in a
transaction locks the lease: this is shorter than a lease lasts.
"""
ROWS = 5000
"""Rows whose responses are waited for together."""
_LOCK = int.from_bytes(b"WLEx") << 32
"""With the number of the schema, the key of the lock."""
_MIGRATION = int.from_bytes(b"WLEm") << 32
"""The same for the lock of a migration: replicas may start at once."""
_SESSION = """
    SET client_encoding = 'UTF8';
    SET statement_timeout = '{response}ms';
    SET idle_in_transaction_session_timeout = '{idle}ms';
    SET lock_timeout = '{lock}ms';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '25s';
"""
"""The server ends the session, and with it the lock, about 25 s after the network is cut."""


class _Text(Dumper):
    """Sends text as its UTF-8, of whatever type the statement takes."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Any) -> bytes:
        return str(obj).encode()


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    response_seconds = RESPONSE_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ARG002
        """The result of a statement. Without a response in time, the connection is closed."""
        try:
            return super().wait(gen, interval, self.response_seconds)
        except psycopg.OperationalError as error:
            if error.sqlstate is not None or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise psycopg.OperationalError(f"no response for {self.response_seconds:g} s") from error


class _Session:
    """Statements on a connection. `execute`: executes one; that of the connection, if not given."""

    def __init__(self, connection: _Connection, execute: Callable[..., Rows] | None = None) -> None:
        self._connection, self._execute = connection, execute or connection.execute

    def execute(self, sql: str, parameters: Parameters = (), /) -> Rows:
        return self._execute(_query(sql), parameters, binary=True)

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> None:
        waiting = list(rows)
        for start in range(0, len(waiting), ROWS):
            self._connection.cursor().executemany(_query(sql), waiting[start : start + ROWS])


def _query(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


class Postgresql:
    """The database at `url` (``postgresql://…``, without a password). Its tables are created if it has none.

    Raises `StateError` if it cannot be used, or if another exporter uses it. The next operation makes a lost
    connection again. `password`: empty for that of the environment or of PostgreSQL's password file. `shared`: other
    replicas use it at the same time.
    """

    aside: Path | None = None
    lost = 0
    connections = 0

    def __init__(
        self,
        url: str,
        password: Callable[[], str] = str,
        *,
        response_seconds: float = RESPONSE_SECONDS,
        lock_seconds: float = LOCK_SECONDS,
        shared: bool = False,
    ) -> None:
        self.place = url
        self._shared = shared
        self._password = password
        self._response_seconds, self._lock_seconds = response_seconds, lock_seconds
        self._used_password = ""
        self._epoch: int | None = None
        self._size = 0
        self._closed = False
        self._connection: _Connection | None = None
        self._connecting = threading.RLock()
        """Two threads that find the connection lost at the same time share the next one."""
        self._connected()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        with self._errors(f"the state was not written to {self.place}"):
            self._execute(b"BEGIN")
            connection = self._connected()
            try:
                yield _Session(connection)
                connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                    connection.close()  # another host may have become the primary
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        with self._errors(f"the state was not read from {self.place}"):
            yield _Session(self._connected(), self._execute)

    def reserve(self) -> None:
        """Nothing: free space is the server's matter."""

    @property
    def size(self) -> int:
        """Bytes of the tables and their indexes; while they are unknown, those before."""
        with contextlib.suppress(StateError), self.reading() as db:
            (self._size,) = db.execute(_SIZE).fetchone()
        return self._size

    def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    # -- the connection

    def _connected(self) -> _Connection:
        with self._connecting:
            if self._closed:
                raise StateError(f"the state {self.place} is closed")
            if self._connection is None or self._connection.closed:
                remedy = "check state.url, its password, the server, and the rights of its user"
                with self._errors(f"{self.place} cannot be used", f"; {remedy}"):
                    self._connection = self._open()
                self.connections += 1
            return self._connection

    def _execute(self, sql: bytes, parameters: Parameters = (), *, binary: bool = False) -> Rows:
        """The result of a statement outside a transaction. It is executed once more, on a new connection, if the old
        one turns out to be lost: a pool ends idle sessions, and a restart of the server all of them.
        """
        connection = self._connected()
        try:
            return connection.execute(sql, parameters, binary=binary)
        except psycopg.OperationalError:
            if not connection.broken:  # such as closed here, after no response in time
                raise
            return self._connected().execute(sql, parameters, binary=binary)

    def _open(self) -> _Connection:
        connection = _Connection.connect(connection_string(self.place, self._password()), autocommit=True)
        try:
            self._used_password = connection.pgconn.password.decode(errors="replace")
            connection.response_seconds = self._response_seconds
            connection.adapters.register_dumper(str, _Text)
            idle = min(IDLE_SECONDS, self._response_seconds) if self._shared else self._response_seconds
            lock, response, idle = (round(1000 * each) for each in (self._lock_seconds, self._response_seconds, idle))
            connection.execute(_SESSION.format(lock=lock, response=response, idle=idle).encode())
            self._lock(connection)
            connection.execute("BEGIN")
            self._epoch = self._prepared(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _lock(self, connection: _Connection) -> None:
        row = connection.execute(_SCHEMA).fetchone()
        if row is None:
            raise StateError(f"{self.place} cannot be used: there is no schema for its tables; create it")
        lock = "SELECT pg_advisory_lock_shared(%s)" if self._shared else "SELECT pg_advisory_lock(%s)"
        try:
            connection.execute(lock.encode(), (_LOCK | row[0],))
        except psycopg.errors.LockNotAvailable as error:
            lost = "" if self._epoch is None else ", or a lost connection of this one has not ended yet"
            alone = ", which does not share it" if self._shared else ""
            raise StateError(
                f"{self.place} is in use by another exporter{alone}{lost}; give each exporter a database or a schema "
                "of its own, or start all of them with --shard=auto"
            ) from error

    def _prepared(self, connection: _Connection) -> int:
        """Bring the schema up to date; returns the epoch of this exporter."""
        connection.execute(_MIGRATION_LOCK, (_MIGRATION,))
        tables = {name for (name,) in connection.execute(_TABLES)}
        if "workload_exporter" not in tables:
            if tables:
                raise StateError(
                    f"{self.place} cannot be used: there are tables of another program; give the exporter a database "
                    "or a schema of its own"
                )
            connection.execute("CREATE TABLE workload_exporter (version integer NOT NULL, epoch bigint NOT NULL)")
            connection.execute("INSERT INTO workload_exporter VALUES (0, 0)")
        version, epoch = connection.execute("SELECT version, epoch FROM workload_exporter").fetchone() or (0, 0)
        if version > VERSION:
            raise StateError(
                f"{self.place} cannot be used: it was written by a newer exporter (schema {version}, supported: "
                f"{VERSION}); use that version, or another database"
            )
        for step in MIGRATIONS[version:]:
            connection.execute(step)
        if version < VERSION:
            connection.execute("UPDATE workload_exporter SET version = %s", (VERSION,))
        if self._epoch is None:
            connection.execute("UPDATE workload_exporter SET epoch = epoch + 1")
            return int(epoch) + 1
        if self._epoch != epoch and not self._shared:
            raise StateError(f"{self.place} was used by another exporter meanwhile; restart the exporter to use it")
        return self._epoch

    @contextlib.contextmanager
    def _errors(self, what: str, remedy: str = "") -> Iterator[None]:
        """Turn errors of PostgreSQL into `StateError`. A server may repeat the password that it got."""
        try:
            yield
        except (psycopg.Error, UnicodeError) as error:
            connection = getattr(error, "pgconn", None)
            used = self._used_password if connection is None else connection.password.decode(errors="replace")
            reason = one_line(Secrets().text(str(error), self._password(), used))
            raise StateError(f"{what}: {reason}{remedy}") from None


def connection_string(url: str, password: str = "") -> str:
    """What libpq connects with. Raises psycopg.ProgrammingError for parameters that it does not know."""
    given = conninfo_to_dict(url)
    given.setdefault("connect_timeout", round(CONNECT_SECONDS))
    given.setdefault("fallback_application_name", "workload-exporter")
    return make_conninfo("", **given | ({"password": password} if password else {}))


def url_problem(url: str) -> str:
    """What is wrong with the parameters of a URL; empty: nothing."""
    try:
        connection_string(url)
    except psycopg.Error as error:
        return str(error)
    return ""


_SCHEMA = "SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema()"
_MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(%s | oid::bigint) FROM pg_namespace WHERE nspname = current_schema()"
_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
"""
_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'
"""
