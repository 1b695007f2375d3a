"""The page at /: accounts with the age of their data, active alerts, and the fleet, for users without Grafana.

The server filters, sorts and paginates, so the page works without script. `status_page.js` only requests the same page
again. Style and script are inline; their hashes in the Content-Security-Policy allow nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlencode

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import ActiveAlert
from exporter.alerting.rules import Options
from exporter.diagnosis.fleet_table import (
    GROUPS,
    SORTS,
    TROUBLE,
    Choice,
    Chosen,
    FleetTable,
    Row,
    choose,
    fleet_table,
    held,
    lasted,
)
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts

LASTS = 5.0
"""Seconds for which one fleet table is served to all clients."""
LONGEST = 200
"""Characters of a search."""
_STYLE, _SCRIPT = (Path(__file__).with_name(f"status_page.{kind}").read_text("utf-8") for kind in ("css", "js"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SUMMARIES = {alert.name: alert.summary for alert in ALERTS}


class AccountStatus(NamedTuple):
    """One account. `url`: DataRobot, without ``/api/v2``. `fleet` are the workloads that are shown now.

    `succeeded`: the last complete sweep, seconds since the epoch. `failure`: why the last one was not complete, in
    words; empty: it was. They start every `interval` seconds; after `stale_after` without one nothing is shown.
    """

    name: str
    url: str
    known: AccountFacts
    fleet: tuple[WorkloadState, ...]
    succeeded: float | None
    failure: str
    interval: float
    stale_after: float


class Status(NamedTuple):
    """Content of the page. Times in seconds since the epoch; `links` are paths; `note` is shown at the top."""

    version: str
    accounts: tuple[AccountStatus, ...]
    started: float
    now: float
    options: Options
    links: tuple[str, ...] = ()
    note: str = ""


class StatusPage:
    """Renders the page for a query string, on request, one at a time, outside the event loop."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._busy = asyncio.Lock()
        self._told: tuple[Status, FleetTable] | None = None

    async def __call__(self, query: str) -> bytes:
        """The page in UTF-8."""
        async with self._busy:
            if self._told is None:
                status = self._status()
                told = await asyncio.to_thread(_judged, status)
                # Only the rows are kept, and not for long: they must not keep what has changed since in memory.
                self._told = status._replace(accounts=tuple(a._replace(fleet=()) for a in status.accounts)), told
                asyncio.get_running_loop().call_later(LASTS, self._forget)
            return await asyncio.to_thread(_rendered, *self._told, query)

    def _forget(self) -> None:
        self._told = None


def _judged(status: Status) -> FleetTable:
    return fleet_table(((each.known, each.fleet) for each in status.accounts), status.options, status.now)


def _rendered(status: Status, told: FleetTable, query: str) -> bytes:
    return page(status, told, chosen_by(query)).encode("utf-8", "replace")


def chosen_by(query: str) -> Choice:
    """The choice in a query string: ``q``, ``state``, ``sort``, ``page``. Invalid values are ignored."""
    try:
        asked = {name: values[-1] for name, values in parse_qs(query, max_num_fields=20).items()}
    except ValueError:
        return Choice()
    state, sort, number = asked.get("state", ""), asked.get("sort", ""), asked.get("page", "")
    return Choice(
        asked.get("q", "").strip()[:LONGEST],
        state if state in (*GROUPS, "trouble") else "",
        sort if sort.removeprefix("-") in SORTS else "",
        int(number) if number.isdecimal() and len(number) < 7 else 1,
    )


def address(choice: Choice) -> str:
    """The query string of a choice, including its question mark."""
    told = {
        "q": choice.words,
        "state": choice.state,
        "sort": choice.sort,
        "page": choice.page if choice.page > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in told.items() if value}, errors="replace")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _time(at: float, words: str, title: str = "") -> str:
    machine = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{machine}" title="{escape(title or _moment(at))}">{escape(words)}</time>'


def _link(href: str, text: str, kind: str = "", title: str = "") -> str:
    told = "".join(f' {name}="{escape(value)}"' for name, value in (("class", kind), ("title", title)) if value)
    return f'<a href="{escape(href)}"{told} rel="noreferrer">{escape(text)}</a>'


# -- what is told of accounts


def _age(account: AccountStatus, now: float) -> tuple[str, bool]:
    """How old what is known is, as a cell, and whether it is as fresh as it should be."""
    if account.succeeded is None:
        return '<span class="bad">none yet</span>', False
    age = now - account.succeeded
    late = age > 3 * account.interval
    kind = ' class="bad"' if late else ""
    return f"<span{kind}>{_time(account.succeeded, lasted(age) + ' ago')}</span>", not late


def _shown(account: AccountStatus, rows: int, now: float) -> str:
    if account.succeeded is None:
        return '<span class="soft">not told yet</span>'
    if now - account.succeeded > account.stale_after:
        return '<span class="bad">withdrawn: too old</span>'
    return f"{rows:,}"


def _accounts(status: Status, told: FleetTable) -> Iterator[str]:
    yield '<h2>Accounts</h2><div class="card"><table><thead><tr>'
    yield from (f'<th scope="col">{name}</th>' for name in ("Account", "Workloads", "Last complete sweep", "Trouble"))
    yield "</tr></thead><tbody>"
    for account in status.accounts:
        rows = sum(row.account == account.name and row.group != "vanished" for row in told.rows)
        age, _ = _age(account, status.now)
        badges = "".join(_badge(each, status.options) for each in told.accounts.get(account.name, ()))
        trouble = f'<span class="bad">{escape(account.failure)}</span>' if account.failure else ""
        if not trouble and account.succeeded is None:
            trouble = '<span class="soft">the first sweep has not ended yet</span>'
        where = _link(account.url, account.url)
        yield (
            f'<tr><td class="workload"><b>{escape(account.name)}</b><small>{where}</small></td>'
            f'<td data-label="Workloads">{_shown(account, rows, status.now)}</td>'
            f'<td data-label="Last complete sweep">{age}</td>'
            f'<td class="why" data-label="Trouble">{badges}{trouble}{"" if badges or trouble else "none"}</td></tr>'
        )
    yield "</tbody></table></div>"


# -- what holds


def runbook(alert: str, options: Options) -> str:
    """The address of an alert's runbook; empty where the settings give no address that a browser can open."""
    return f"{options.runbooks}{alert}.md" if options.runbooks.startswith(("https://", "http://")) else ""


def _badge(active_alerts: ActiveAlert, options: Options) -> str:
    words, href = active_alerts.alert.removeprefix("DataRobot"), runbook(active_alerts.alert, options)
    title = f"{active_alerts.severity}: {active_alerts.alert}: {_SUMMARIES[active_alerts.alert]}"
    if href:
        return _link(href, words, f"badge {active_alerts.severity}", f"{title} Opens its runbook.")
    return f'<span class="badge {active_alerts.severity}" title="{escape(title)}">{escape(words)}</span>'


def _held(told: FleetTable) -> Iterator[str]:
    yield "<h2>Holds now</h2>"
    found = held(told)
    if not told.rows:
        yield '<div class="card none soft">No workload is known, so nothing can be said.</div>'
        return
    if not found:
        yield '<div class="card none soft">No condition of an alert about a workload.</div>'
        return
    yield '<p class="chips">'
    for active_alerts, count in found:
        title = escape(f"{active_alerts.severity}: {active_alerts.alert}: {_SUMMARIES[active_alerts.alert]}")
        words = f"{escape(active_alerts.alert.removeprefix('DataRobot'))} <b>{count:,}</b>"
        href = escape(address(Choice(active_alerts.alert)))
        yield f'<a class="badge {active_alerts.severity}" href="{href}" title="{title}">{words}</a>'
    yield "</p>"


def _about(choice: Choice, options: Options) -> Iterator[str]:
    """Explanation of an alert beside its rows."""
    summary = _SUMMARIES.get(choice.words)
    if summary is not None:
        href, file = runbook(choice.words, options), f"{options.runbooks}{choice.words}.md"
        where = _link(href, "Runbook") if href else f"Runbook: <code>{escape(file)}</code>"
        yield f'<p class="note"><b>{escape(choice.words)}</b>: {escape(summary)} {where}</p>'


# -- the fleet


def _replicas(row: Row) -> str:
    least, most = row.least, row.most
    should = "?" if least is None or most is None else f"{least}" if least == most else f"{least}–{most}"  # noqa: RUF001 — a range
    if row.group == "vanished":
        return ""
    if row.ready is None:
        return f'<span class="soft" title="its pods are not told">? / {should}</span>'
    short = least is not None and row.ready + row.unknown < least and row.group in ("up", "failed")
    more = f' <span class="soft" title="of so many it is not told">(+{row.unknown}?)</span>' if row.unknown else ""
    return f'<span class="{"bad" if short else ""}">{row.ready} / {should}</span>{more}'


def _kind(row: Row) -> str:
    """CSS class of the state: a running workload is not green if an alert is active or its pods are unknown."""
    if row.urgency == 0:
        return "critical"
    if row.group in ("up", "off") and row.urgency <= TROUBLE:
        return "warning"
    return "untold" if _untold(row) else row.group


def _untold(row: Row) -> bool:
    if row.ready is None:
        return row.group == "up"
    return row.group == "up" and row.unknown > 0 and row.ready < max(1, row.least or 0)


def _row(row: Row, url: str, status: Status) -> str:
    console = f"{url}/console-nextgen/workloads/{quote(row.id, safe='', errors='replace')}"
    account = f"{escape(row.account)} · " if len(status.accounts) > 1 else ""
    name = escape(row.name or row.id)
    links = name if row.group == "vanished" else _link(f"{console}/overview", row.name or row.id)
    logs = "" if row.group == "vanished" else f" · {_link(f'{console}/activity-log/otel-logs', 'logs')}"
    words = lasted(status.now - row.since)
    since = (
        _time(row.since, f"over {words}", f"it was so already when first seen, {_moment(row.since)}")
        if row.longer
        else _time(row.since, words)
    )
    badges = "".join(_badge(each, status.options) for each in row.alerts)
    importance = "not told" if row.importance == "unknown" else row.importance
    return (
        f'<tr><td><span class="badge {_kind(row)}">{escape(row.status)}</span></td>'
        f'<td class="workload">{links}<small>{account}{escape(row.id)}{logs}</small></td>'
        f'<td class="since" data-label="for">{since}</td>'
        f'<td class="replicas" data-label="ready">{_replicas(row)}</td>'
        f'<td data-label="importance">{escape(importance)}</td>'
        f'<td class="why">{badges}{"" if not row.reasons else escape("; ".join(row.reasons))}</td></tr>'
    )


_COLUMNS = (
    ("state", "State"),
    ("workload", "Workload"),
    ("since", "For"),
    ("replicas", "Ready / wanted"),
    ("importance", "Importance"),
    ("", "What is wrong (worst first)"),
)


def _head(choice: Choice) -> Iterator[str]:
    for sort, title in _COLUMNS:
        sorted_by = choice.sort.removeprefix("-") == sort
        way = (
            (' aria-sort="descending"' if choice.sort.startswith("-") else ' aria-sort="ascending"')
            if sorted_by
            else ""
        )
        turned = f"-{sort}" if sort and choice.sort == sort else sort
        yield f'<th scope="col"{way}>{_link(address(choice._replace(sort=turned, page=1)), title)}</th>'


_STATES = {"": "all", "trouble": "to look at"} | {group: group for group in GROUPS}


def _fleet(status: Status, choice: Choice, chosen: Chosen) -> Iterator[str]:
    yield from _about(choice, status.options)
    yield '<nav class="states" aria-label="States">'
    for state, words in _STATES.items():
        if chosen.counts.get(state) or state in ("", choice.state):
            here = ' aria-current="true"' if state == choice.state else ""
            href = escape(address(choice._replace(state=state, page=1)))
            yield f'<a href="{href}"{here}>{words} {chosen.counts.get(state, 0):,}</a>'
    yield "</nav>"
    if not chosen.rows:
        asked = choice.words or choice.state
        yield f'<div class="card none soft">{"No workload is like that." if asked else "No workload is known."}</div>'
        return
    urls = {account.name: account.url for account in status.accounts}
    yield '<div class="card"><table><thead><tr>'
    yield from _head(choice)
    yield "</tr></thead><tbody>"
    yield from (_row(row, urls[row.account], status) for row in chosen.rows)
    yield "</tbody></table></div>"
    last = chosen.first + len(chosen.rows) - 1
    yield f'<nav class="pages" aria-label="Pages"><span>{chosen.first:,} to {last:,} of {chosen.total:,}</span>'
    for number, words, there in (
        (chosen.page - 1, "the page before", chosen.page > 1),
        (chosen.page + 1, "the next page", chosen.page < chosen.pages),
    ):
        if there:
            yield f"<span>{_link(address(choice._replace(page=number)), words)}</span>"
    yield "</nav>"


# -- the page


def _icon(status: Status, told: FleetTable) -> str:
    """A spot for the tab: red, amber, green, or gray where not all is known."""
    worst = min((row.urgency for row in told.rows), default=9)
    fresh = all(_age(account, status.now)[1] for account in status.accounts)
    known = bool(told.rows) and fresh and not any(map(_untold, told.rows))
    color = "#d93025" if worst == 0 else "#f29900" if worst <= TROUBLE else "#1e8e3e" if known else "#80868b"
    spot = f'<circle cx="4.5" cy="4.5" r="4" fill="{color}"/>'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{spot}</svg>')


def page(status: Status, told: FleetTable, choice: Choice) -> str:
    """The page as HTML."""
    return "".join(_page(status, told, choice, choose(told, choice)))


def _page(status: Status, told: FleetTable, choice: Choice, chosen: Chosen) -> Iterable[str]:
    alarming = sum(row.urgency <= TROUBLE for row in told.rows)
    yield f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{alarming:,} to look at - DataRobot workload exporter</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{_icon(status, told)}">
<style>{_STYLE}</style></head><body>
<header><h1>DataRobot workload exporter</h1>
"""
    if status.note:
        yield f'<p class="note">{escape(status.note)}</p>\n'
    yield '<p id="stale" role="alert" hidden></p></header>\n<main><section id="told">'
    yield f'<p class="soft asof">As of {_time(status.now, _moment(status.now))}</p>'
    yield from _accounts(status, told)
    yield from _held(told)
    yield '</section>\n<h2>Workloads</h2><form role="search">'
    yield (
        f'<input type="search" name="q" value="{escape(choice.words)}" maxlength="{LONGEST}" autocomplete="off" '
        'placeholder="name, id, status, alert, reason …" aria-label="Words to find"><button>Find</button>'
    )
    for name, value in (("state", choice.state), ("sort", choice.sort)):
        if value:
            yield f'<input type="hidden" name="{name}" value="{escape(value)}">'
    yield '</form><section id="fleet">'
    yield from _fleet(status, choice, chosen)
    yield (
        "</section></main>\n<footer><p><b>Holds now</b>: the condition of the alert is true at this moment. The alert "
        "fires once that has lasted for its wait, so it may not have fired yet. What is about the exporter itself only "
        "Prometheus can tell. <b>?</b> is what the API did not tell; what runs is green once its pods are told. "
        "<b>For</b> counts from when this exporter first saw the state.</p><nav>"
    )
    yield from (f'<a href=".{escape(path)}">{escape(path)}</a>' for path in status.links)
    yield f"</nav><p>Version {escape(status.version)}, started {_moment(status.started)}.</p></footer>\n"
    yield f"<script>{_SCRIPT}</script></body></html>\n"
