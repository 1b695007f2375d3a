"""The rows of the status page as JSON and as CSV, with the same keys. null, or an empty cell: not known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from exporter.alerting.evaluation import ActiveAlert
from exporter.diagnosis.fleet_table import NEEDS_ATTENTION, Row
from exporter.timestamps import rfc3339


class ListedAccount(NamedTuple):
    """An account, and whether its workloads are in the list. `swept`: end of its last complete sweep, in seconds since
    the epoch. `problem`: why its workloads are not in the list, or the last sweep was incomplete; empty: neither.
    """

    account: str
    listed: bool
    swept: float | None
    problem: str


def as_json(at: float, accounts: Iterable[ListedAccount], rows: Iterable[Row]) -> bytes:
    """The rows as of `at`, and the accounts: workloads of an account that is not listed are missing."""
    found = {
        "at": rfc3339(at, "seconds"),
        "accounts": [
            {
                "account": each.account,
                "listed": each.listed,
                "last_complete_sweep": None if each.swept is None else rfc3339(each.swept, "seconds"),
                "problem": each.problem or None,
            }
            for each in accounts
        ],
        "workloads": [_values(row) for row in rows],
    }
    return json.dumps(found, separators=(",", ":")).encode()


def _values(row: Row) -> dict[str, Any]:
    known = row.ready is not None
    return {
        "account": row.account,
        "workload_id": row.id,
        "workload": row.name or None,
        "status": row.status,
        "group": row.group,
        "since": rfc3339(row.since, "seconds"),
        "longer_than_known": row.longer,
        "importance": row.importance,
        "owner": row.owner or None,
        "ready": row.ready,
        "unknown": row.unknown if known else None,
        "least": row.least,
        "most": row.most,
        "needs_attention": row.urgency <= NEEDS_ATTENTION,
        "alerts": _alerts(row.alerts),
        "reasons": list(row.reasons),
        "pending": _alerts(row.pending),
    }


def _alerts(found: Iterable[ActiveAlert]) -> list[dict[str, str]]:
    return [each._asdict() for each in found]


COLUMNS = (
    "account", "workload_id", "workload", "status", "group", "since", "longer_than_known", "importance", "owner",
    "ready", "unknown", "least", "most", "needs_attention", "alerts", "reasons", "pending",
)  # fmt: skip
"""The columns of the CSV, and the keys of a workload in the JSON."""


def as_csv(accounts: Iterable[ListedAccount], rows: Iterable[Row]) -> bytes:
    """The rows by RFC 4180, in UTF-8. An account that is not listed is a row without a workload: its reason is in
    `reasons`.
    """
    written = io.StringIO(newline="")
    table = csv.DictWriter(written, COLUMNS, restval="")
    table.writeheader()
    for row in rows:
        table.writerow(_cells(_values(row)))
    for each in accounts:
        if not each.listed:
            table.writerow({"account": _cell(each.account), "status": "unknown", "reasons": _cell(each.problem)})
    return written.getvalue().encode("utf-8", "replace")


def _cells(values: Mapping[str, Any]) -> dict[str, object]:
    alerts = {
        key: "; ".join(f"{each['alert']} ({each['severity']})" for each in values[key]) for key in ("alerts", "pending")
    }
    return {name: _cell(value) for name, value in {**values, **alerts}.items()}


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 — full-width, as spreadsheets read
"""What a cell begins with that a spreadsheet takes for a formula (OWASP, CSV injection)."""


def _cell(value: object) -> object:
    """A cell. A text that could be a formula begins with an apostrophe, which makes it a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value
