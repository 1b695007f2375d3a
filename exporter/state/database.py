"""What the store needs of a database: short SQL in transactions, and errors with cause and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from exporter.errors import ExporterError

Parameters = Sequence[object]
IN_MEMORY = ":memory:"
"""Place of a database for which no operation waits."""
RESPONSE_SECONDS = 20.0
"""For the response of a server to one statement. Then the connection is closed."""


class StateError(ExporterError):
    """Raised if the state cannot be used. The message has the cause and the remedy."""


class Fenced(StateError):
    """Raised if another replica has taken the account. Nothing was written, and a retry is useless."""


class Lease(NamedTuple):
    """The right of a replica to act for an account, until the epoch of the account's row is another one.

    `account`: empty for what belongs to all replicas together. `holder`: the name of the replica.
    """

    account: str
    holder: str
    epoch: int


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Session(Protocol):
    """Executes SQL that all databases understand, with ``?`` for each parameter.

    A text that was read may be `bytes`, as UTF-8 if it is valid.
    """

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Rows: ...
    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> object: ...


class Database(Protocol):
    """Holds the tables of the state for this process alone. Not for several threads at once."""

    place: str
    """Where it is, for messages."""
    aside: Path | None
    """The new name of a file that could not be used; None: there was none."""
    connections: int
    """How many connections to it were made until now."""
    lost: int
    """Number of transactions that were lost because the write-ahead log was damaged."""

    def transaction(self) -> AbstractContextManager[Session]:
        """One transaction, all or nothing. Raises `StateError`; it may be retried."""

    def reading(self) -> AbstractContextManager[Session]:
        """Statements that only read. Raises `StateError`."""

    def reserve(self) -> None:
        """Keep space free for transactions on a full disk. Raises `StateError`."""

    @property
    def size(self) -> int:
        """Bytes on disk."""

    def close(self) -> None:
        """End the use of the database. All further operations raise `StateError`."""


def text(value: str | bytes) -> str:
    """A text of a column. Raises UnicodeDecodeError for bytes that are not UTF-8."""
    return value.decode() if isinstance(value, bytes) else value
