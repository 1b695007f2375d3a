"""``waste``: what the running daemon reports about money that is spent for nothing, greatest amount first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.cli.context import Context
from exporter.cli.daemon_metrics import TAGS, metrics_page, print_lines, samples, tags
from exporter.cli.flags import add_web_flags
from exporter.diagnosis.phrases import forecast
from exporter.failures import printable
from exporter.timestamps import rfc3339

_W, _A = "datarobot_workload_", "datarobot_account_"
COST, LOST, IDLE = f"{_W}cost_per_hour", f"{_W}waste_per_month", f"{_W}idle_since_timestamp_seconds"
SIZING, BUNDLE = f"{_W}sizing_info", f"{_W}bundle_info"
_NAMES = (COST, LOST, IDLE, SIZING, BUNDLE, TAGS, _A)
_OF_ACCOUNTS = {
    f"{_A}workloads_active": "active",
    f"{_A}workloads_limit": "limit",
    f"{_A}workloads_full_timestamp_seconds": "full",
    f"{_A}forecast_start_timestamp_seconds": "known_from",
}
"""Families of accounts, and the fields of `AccountRow` that have their values."""
NO_PRICES = "No workload has a known price: set the prices of bundles in costs.bundles (docs/capacity-and-cost.md)."
DAY_SECONDS = 86400.0


class WasteRow(NamedTuple):
    """A workload that is idle or in a bundle that does not fit. None: unknown. `reason`: idle, oversized, undersized.

    `per_month` is what is wasted, `per_hour` what it costs, in `currency`.
    """

    account: str
    workload: str
    workload_id: str
    reason: str
    per_month: float | None = None
    per_hour: float | None = None
    currency: str | None = None
    idle_since: float | None = None
    bundle: str | None = None
    fitting_bundle: str | None = None
    tags: Mapping[str, str] = {}


class AccountRow(NamedTuple):
    """An account: active workloads, their limit, when they reach it, and from when on that is known. None: unknown.

    Times in seconds since the epoch.
    """

    active: float | None = None
    limit: float | None = None
    full: float | None = None
    known_from: float | None = None


class WasteReport(NamedTuple):
    """`rows` with the most expensive first; `accounts`: those that the daemon serves, by name.

    `priced`: whether any workload has a known price.
    """

    rows: tuple[WasteRow, ...]
    accounts: Mapping[str, AccountRow]
    priced: bool


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON with stable keys and RFC 3339 times")


def run(context: Context) -> int:
    report = report_of(metrics_page(context))
    if context.options.json:
        print(json.dumps(as_json(report), indent=2))
    else:
        print_lines(map(printable_line, lines(report, time.time())))
    return 0


def report_of(page: str) -> WasteReport:
    """The report from a page of /metrics."""
    found: dict[tuple[str, str], WasteRow] = {}
    accounts: dict[str, AccountRow] = {}
    priced = False
    for sample in samples(page, _NAMES):
        labels = sample.labels
        if sample.name.startswith(_A):
            known = accounts.get(labels["account"], AccountRow())
            field = _OF_ACCOUNTS.get(sample.name)
            accounts[labels["account"]] = known._replace(**{field: sample.value}) if field else known
            continue
        key = labels["account"], labels["workload_id"]
        row = found.get(key) or WasteRow(labels["account"], labels["workload"], labels["workload_id"], "")
        priced = priced or sample.name == COST
        found[key] = row._replace(**_facts(sample.name, labels, sample.value, row))
    rows = sorted((row for row in found.values() if row.reason), key=_rank)
    return WasteReport(tuple(rows), accounts, priced)


def _facts(name: str, labels: Mapping[str, str], value: float, row: WasteRow) -> dict[str, Any]:
    """What a sample says of a workload."""
    if name == COST:
        return {"per_hour": value, "currency": labels["currency"]}
    if name == LOST:
        return {"per_month": value}
    if name == IDLE:
        return {"idle_since": value, "reason": "idle"}
    if name == SIZING:
        return {"fitting_bundle": labels["fitting_bundle_id"] or None, "reason": row.reason or labels["finding"]}
    if name == BUNDLE:
        return {"bundle": labels["bundle_id"]}
    return {"tags": tags(labels)}


def _rank(row: WasteRow) -> tuple[float, float, str, str]:
    return -(row.per_month or 0.0), -(row.per_hour or 0.0), row.workload, row.workload_id


def as_json(report: WasteReport) -> dict[str, object]:
    """The report with stable keys."""
    rows = [row._asdict() | {"idle_since": _stamp(row.idle_since), "tags": {**row.tags}} for row in report.rows]
    accounts = [
        {
            "account": name,
            "active": known.active,
            "limit": known.limit,
            "full_at": _stamp(known.full),
            "forecast_from": _stamp(known.known_from),
        }
        for name, known in sorted(report.accounts.items())
    ]
    full = {each["account"]: each["full_at"] for each in accounts if each["full_at"] is not None}
    return {"workloads": rows, "accounts_full_at": full, "accounts": accounts}


def _stamp(at: float | None) -> str | None:
    return None if at is None else rfc3339(at, "seconds")


def lines(report: WasteReport, now: float) -> Iterator[str]:
    """The report as a table, and a line per account."""
    if not report.priced:
        yield NO_PRICES
    if report.rows:
        titles = ("WASTE/MONTH", "COST/HOUR", "WORKLOAD", "REASON", "WOULD FIT", "TAGS", "ACCOUNT", "ID")
        yield from _table([titles, *(_cells(row, now) for row in report.rows)])
        sums: dict[str, float] = {}
        for row in report.rows:
            if row.per_month is not None and row.currency is not None:
                sums[row.currency] = sums.get(row.currency, 0.0) + row.per_month
        yield from (f"{total:.2f} {currency} per month in total" for currency, total in sorted(sums.items()))
    else:
        yield "No workload is known to be idle or in a bundle that does not fit."
    for name, known in sorted(report.accounts.items()):
        active = "unknown" if known.active is None else f"{known.active:.0f}"
        limit = "" if known.limit is None else f" of {known.limit:.0f}"
        text = forecast(known.limit, known.full, known.known_from, now)
        yield f"Account {name}: {active}{limit} active workloads; {text}."


def _cells(row: WasteRow, now: float) -> tuple[str, ...]:
    idle = "" if row.idle_since is None else f" for {_time(now - row.idle_since)}"
    size = f": {row.bundle}" if row.bundle and row.reason != "idle" else ""
    fits = "" if row.reason == "idle" else row.fitting_bundle or "no bundle"
    tags = " ".join(f"{name}={text}" for name, text in sorted(row.tags.items()))
    currency = f" {row.currency}" if row.currency else ""
    amounts = ("-" if each is None else f"{each:.2f}{currency}" for each in (row.per_month, row.per_hour))
    return (*amounts, row.workload, f"{row.reason}{idle}{size}", fits, tags, row.account, row.workload_id)


def _time(seconds: float) -> str:
    """A duration in days, or in hours or minutes if it is short."""
    for unit, length in (("d", DAY_SECONDS), ("h", 3600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0.0) / 60:.0f}m"


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Rows with columns of equal width; amounts are aligned to the right."""
    cells = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            text.rjust(w) if n < 2 else text.ljust(w) for n, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


def printable_line(line: str) -> str:
    """The line without control characters; its blanks stay, because they align a table."""
    return "".join(character if character.isprintable() else " " for character in line)
