"""The page at /: accounts with the age of their data, alert conditions met, and the fleet, for users without Grafana.

The server filters, sorts and paginates, so the page works without script. `templates/status_page.js` only requests the
same page again. Style and script are inline; their hashes in the Content-Security-Policy allow nothing else.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment
from markupsafe import Markup

from exporter.alerting.rules import Options
from exporter.diagnosis.fleet_list import ListedAccount, as_csv, as_json
from exporter.diagnosis.fleet_table import (
    GROUPS,
    NEEDS_ATTENTION,
    SORTS,
    Choice,
    FleetTable,
    Row,
    alert_counts,
    choose,
    fleet_table,
    matching,
)
from exporter.diagnosis.phrases import forecast
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.web.on_request import Cached, made
from exporter.web.rendering import (
    SUMMARIES,
    TEMPLATES,
    described,
    environment,
    icon,
    policy,
    readiness_unknown,
    runbook,
    workload_address,
)

LONGEST_SEARCH = 200
"""Characters of a search, and of a tag."""
MAX_TAGS = 5
"""Tags of a choice."""
_SCRIPT = (TEMPLATES / "status_page.js").read_text("utf-8")
POLICY = policy(_SCRIPT)


class AccountStatus(NamedTuple):
    """One account. `url`: DataRobot, without ``/api/v2``. `fleet`: the workloads of the served metrics.

    `succeeded`: time of the last complete sweep, in seconds since the epoch. `failure`: why the last sweep was
    incomplete, or empty. Sweeps start every `interval` seconds; `stale_after` seconds after the last complete one,
    workloads are withdrawn.
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
    """Content of the page. Times in seconds since the epoch; `links` are paths; `note` is shown at the top.

    `elsewhere`: accounts that this replica does not hold, with the URL of the replica that does; empty if that is not
    known, None: no replica holds it.
    """

    version: str
    accounts: tuple[AccountStatus, ...]
    started: float
    now: float
    options: Options
    links: tuple[str, ...] = ()
    note: str = ""
    elsewhere: tuple[tuple[str, str | None], ...] = ()


class StatusPage:
    """Renders the page, and the list of all workloads that it shows, on request, one at a time, outside the event loop.

    Both are chosen by a query string.
    """

    def __init__(self, status: Callable[[], Status]) -> None:
        self._table = Cached(lambda: functools.partial(_table, status()))

    async def __call__(self, query: str) -> bytes:
        """The page in UTF-8."""
        return await made(functools.partial(_rendered, *await self._table(), query))

    async def csv(self, query: str) -> bytes:
        """The list as CSV, in UTF-8."""
        return await made(functools.partial(_csv, *await self._table(), query))

    async def json(self, query: str) -> bytes:
        """The list as JSON."""
        return await made(functools.partial(_json, *await self._table(), query))


def _table(status: Status) -> tuple[Status, FleetTable]:
    """The fleet table, and the rest without the workloads: they would stay in memory after they have changed."""
    table = fleet_table(((each.known, each.fleet) for each in status.accounts), status.options, status.now)
    return status._replace(accounts=tuple(each._replace(fleet=()) for each in status.accounts)), table


def _rendered(status: Status, table: FleetTable, query: str) -> bytes:
    return page(status, table, choice_of(query)).encode("utf-8", "replace")


def _csv(status: Status, table: FleetTable, query: str) -> bytes:
    return as_csv(listed_accounts(status), matching(table, choice_of(query)))


def _json(status: Status, table: FleetTable, query: str) -> bytes:
    return as_json(status.now, listed_accounts(status), matching(table, choice_of(query)))


def listed_accounts(status: Status) -> list[ListedAccount]:
    """The accounts for lists of workloads, those of other replicas included."""
    found = []
    for account in status.accounts:
        known = account.succeeded is not None and status.now - account.succeeded <= account.stale_after
        missing = "no complete sweep yet" if account.succeeded is None else "withdrawn: too old"
        problem = ": ".join(filter(None, ["" if known else missing, account.failure]))
        found.append(ListedAccount(account.name, known, account.succeeded, problem))
    for name, url in status.elsewhere:
        problem = "held by no replica" if url is None else f"held by another replica: {url}".removesuffix(": ")
        found.append(ListedAccount(name, False, None, problem))
    return found


def choice_of(query: str) -> Choice:
    """The choice in a query string: ``q``, ``tag``, ``state``, ``sort``, ``page``. Invalid values are ignored."""
    try:
        values = parse_qs(query, max_num_fields=20)
    except ValueError:
        return Choice()
    given = {name: each[-1] for name, each in values.items()}
    tags = dict.fromkeys(tag.strip()[:LONGEST_SEARCH] for tag in values.get("tag", ()))
    state, sort, number = given.get("state", ""), given.get("sort", ""), given.get("page", "")
    return Choice(
        given.get("q", "").strip()[:LONGEST_SEARCH],
        state if state in (*GROUPS, "trouble") else "",
        sort if sort.removeprefix("-") in SORTS else "",
        int(number) if number.isdecimal() and len(number) < 7 else 1,
        tuple(tag for tag in tags if tag)[:MAX_TAGS],
    )


def address(choice: Choice) -> str:
    """The query string of a choice, including its question mark."""
    values = {
        "q": choice.words,
        "tag": choice.tags,
        "state": choice.state,
        "sort": choice.sort,
        "page": choice.page if choice.page > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in values.items() if value}, True, errors="replace")


# -- what the templates use


class _Explanation(NamedTuple):
    """What is shown about an alert beside its workloads; `runbook` is a link."""

    summary: str
    runbook: str


def _explanation(choice: Choice, options: Options) -> _Explanation | None:
    summary = SUMMARIES.get(choice.words)
    if summary is None:
        return None
    return _Explanation(summary, runbook(choice.words, options))


def _wanted(row: Row) -> str:
    """How many replicas there should be."""
    least, most = row.least, row.most
    if least is None or most is None:
        return "?"
    return f"{least}" if least == most else f"{least}–{most}"  # noqa: RUF001 — a range


def _too_few_ready(row: Row) -> bool:
    if row.least is None or row.ready is None:
        return False
    return row.ready + row.unknown < row.least and row.group in ("up", "indeterminate", "failed")


def _icon(status: Status, table: FleetTable) -> str:
    """A dot for the tab: red, amber, green, or gray if something is unknown."""
    worst = min((row.urgency for row in table.rows), default=9)
    fresh = all(a.succeeded is not None and status.now - a.succeeded <= 3 * a.interval for a in status.accounts)
    known = bool(table.rows) and fresh and not any(map(readiness_unknown, table.rows))
    color = "#d93025" if worst == 0 else "#f29900" if worst <= NEEDS_ATTENTION else "#1e8e3e" if known else "#80868b"
    return icon(color)


def _active_of_limit(account: AccountStatus) -> str:
    active = "?" if account.known.use is None else f"{account.known.use.active:,}"
    limit = account.known.account.workloads_limit
    return f"{active} of {limit:,}" if limit else active


def _forecast(account: AccountStatus, now: float) -> str:
    use = account.known.use
    full, known_from = (None, None) if use is None else (use.full, use.forecast_from)
    return forecast(account.known.account.workloads_limit or None, full, known_from, now)


_COLUMNS = (
    ("state", "State"),
    ("workload", "Workload"),
    ("since", "For"),
    ("replicas", "Ready / wanted"),
    ("importance", "Importance"),
    ("", "Problems (worst first)"),
)
_STATES = (("", "all"), ("trouble", "need attention"), *((group, group) for group in GROUPS))


@functools.cache
def _environment() -> Environment:
    made = environment(script=Markup(_SCRIPT), columns=_COLUMNS, states=_STATES, longest_search=LONGEST_SEARCH)  # noqa: S704 — ours
    made.filters |= {"wanted": _wanted, "active_of_limit": _active_of_limit}
    made.tests["too_few_ready"] = _too_few_ready
    return made


def page(status: Status, table: FleetTable, choice: Choice) -> str:
    """The page as HTML."""
    return (
        _environment()
        .get_template("status_page.html")
        .render(
            status=status,
            table=table,
            choice=choice,
            tags=(*choice.tags, "")[:MAX_TAGS],
            chosen=choose(table, choice),
            urgent=sum(row.urgency <= NEEDS_ATTENTION for row in table.rows),
            icon=_icon(status, table),
            listed=Counter(row.account for row in table.rows if row.group != "vanished"),
            active=alert_counts(table),
            urls={account.name: account.url for account in status.accounts},
            describe=described(status.options),
            explained=_explanation(choice, status.options),
            workload_address=workload_address,
            forecast=lambda account: _forecast(account, status.now),
            search=lambda words: address(Choice(words)),
            whole=address(choice._replace(page=1)).removesuffix("?"),
            change=lambda **changes: address(choice._replace(**({"page": 1} | changes))),
        )
    )
