"""Copies a state from one database to another, whatever their kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.state.database import Database, Session, StateError, text

BATCH = 500
"""Rows that are read at once: the largest are traces."""


class Table(NamedTuple):
    """What is copied of a table: its columns with their types, and those that order its rows."""

    columns: Mapping[str, type]
    order: str


_OUTBOX = Table({"trace": bytes, "account": str, "spans": int, "size": int, "created": float, "body": bytes}, "seq")
"""Without `seq`: new numbers in the same order."""
TABLES = {
    "workload": Table({"account": str, "id": str, "ledger": bytes}, "account, id"),
    "account": Table({"account": str, "tally": bytes}, "account"),
    "outbox": _OUTBOX,
    "log_outbox": _OUTBOX,
    "emitted": Table({"trace": bytes, "at": float}, "trace"),
    "paging": Table({"account": str, "kind": str, "id": str, "value": bytes}, "account, kind, id"),
}


class Counts(NamedTuple):
    """Rows of a table: copied, and left out because their values are damaged."""

    copied: int
    unreadable: int


def copy(
    source: Database, target: Database, progress: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, Counts]:
    """Copy all tables in one transaction; returns the counts of each. `progress`: table, rows until now, all rows.

    Raises `StateError` if the target is not empty, or does not contain as many rows as were copied; it is then
    unchanged.
    """
    counts: dict[str, Counts] = {}
    with source.reading() as old, target.transaction() as new:
        for name in TABLES:
            if _number(new, name):
                raise StateError(f"{target.place} is not empty; choose another target, or remove its contents")
        for name, table in TABLES.items():
            total, copied, unreadable = _number(old, name), 0, 0
            columns, values = ", ".join(table.columns), ", ".join("?" * len(table.columns))
            insert = f"INSERT INTO {name} ({columns}) VALUES ({values})"  # noqa: S608 — names of the table above
            for batch in _batches(old, name, table):
                good = [row for row in (_readable(each, table) for each in batch) if row is not None]
                new.executemany(insert, good)
                copied, unreadable = copied + len(good), unreadable + len(batch) - len(good)
                progress(name, copied + unreadable, total)
            counts[name] = Counts(copied, unreadable)
            if (copied + unreadable, _number(new, name)) != (total, copied):
                raise StateError(f"{target.place} would not have all rows of {name}; nothing was copied, try again")
    return counts


def _number(db: Session, name: str) -> int:
    (number,) = db.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 — as above
    return int(number)


def _batches(db: Session, name: str, table: Table) -> Iterator[list[Sequence[object]]]:
    columns, start = ", ".join(table.columns), 0
    select = f"SELECT {columns} FROM {name} ORDER BY {table.order} LIMIT ? OFFSET ?"  # noqa: S608 — as above
    while rows := db.execute(select, (BATCH, start)).fetchall():
        yield rows
        start += len(rows)


def _readable(row: Sequence[object], table: Table) -> list[object] | None:
    """The values of a row with the types of its columns; None if one of them is damaged."""
    values: list[object] = []
    for value, kind in zip(row, table.columns.values(), strict=True):
        try:
            found = text(value) if kind is str and isinstance(value, str | bytes) else value
        except UnicodeDecodeError:
            return None
        if not isinstance(found, kind):
            return None
        values.append(found)
    return values
