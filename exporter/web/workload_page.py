"""The page at /workloads/{id}: one workload, as `explain` shows it, with its pods, from what the exporter knows, and
the same as JSON.

It needs no script, and sends no request to the API.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlencode

from jinja2 import Environment

from exporter.alerting.rules import Options
from exporter.alerting.silences import Silence, concerns
from exporter.diagnosis.wording import as_json, text
from exporter.diagnosis.workload_page import WorkloadPage, workload_page
from exporter.fleet.history import MAX_ENTRIES
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.exposition import bounded
from exporter.timestamps import rfc3339
from exporter.web.on_request import made
from exporter.web.rendering import SUMMARIES, colour, described, environment, icon, policy, workload_address
from exporter.web.silence_form import DURATIONS, Tokens
from exporter.web.status_page import AccountStatus

POLICY = policy()
MAX_NAMED = 20
"""Workloads of one name that are listed."""
LONGEST_ID = 200
"""Characters of a requested id, or name of an account, that are shown."""
_ICONS = {"failed": "#d93025", "warning": "#f29900", "indeterminate": "#f29900", "up": "#1e8e3e"}
"""By the class of the state; otherwise gray."""


class FoundWorkload(NamedTuple):
    """A workload of an account. `listed`: whether the last complete sweep listed it. `ages`: seconds since each part of
    its details was read.
    """

    account: AccountStatus
    state: WorkloadState
    listed: bool
    ages: Mapping[str, float] = {}


class Requested(NamedTuple):
    """A requested workload, and what is known when it is requested. Times in seconds since the epoch.

    `account`: the requested account; empty: any. `found`: the workload, of each of these accounts that has it.
    `accounts`: the accounts in question of this replica, without their workloads; `elsewhere`: those it does not hold,
    as in `Status`. `configured`: the names of all accounts. `silences`: those of direct paging; None: it is off.
    `tokens`: for the form that silences; None: the page has none. `fleets`: if it is not found, all workloads of each
    account, one of which may have this name.
    """

    id: str
    account: str
    found: tuple[FoundWorkload, ...]
    accounts: tuple[AccountStatus, ...]
    elsewhere: tuple[tuple[str, str | None], ...]
    configured: tuple[str, ...]
    options: Options
    now: float
    version: str
    note: str = ""
    silences: tuple[Silence, ...] | None = None
    fleets: tuple[tuple[WorkloadState, ...], ...] = ()
    tokens: Tokens | None = None


class WorkloadPages:
    """Renders the page of a workload, on request, one at a time, outside the event loop.

    `requested` returns what is known of a workload by its id and the name of its account, on the event loop.
    """

    def __init__(self, requested: Callable[[str, str], Requested]) -> None:
        self._requested = requested

    async def __call__(self, workload_id: str, query: str, tokens: Tokens | None = None) -> tuple[int, bytes]:
        """The status code, and the page in UTF-8. `tokens`: for the form that silences; None: it has none."""
        requested = self._requested(workload_id, account_of(query))._replace(tokens=tokens)
        return await made(functools.partial(_encoded, requested), short=True)

    async def json(self, workload_id: str, query: str) -> tuple[int, bytes]:
        """The status code, and the workload as JSON."""
        return await made(functools.partial(_json, self._requested(workload_id, account_of(query))), short=True)


def account_of(query: str) -> str:
    """The account in a query string; empty: none is given."""
    try:
        return parse_qs(query, max_num_fields=20).get("account", [""])[-1]
    except ValueError:
        return ""


@functools.cache
def _environment() -> Environment:
    """Compiles each template once."""
    return environment(summaries=SUMMARIES, max_history=MAX_ENTRIES)


def _encoded(requested: Requested) -> tuple[int, bytes]:
    code, text = rendered(requested)
    return code, text.encode("utf-8", "replace")


def rendered(requested: Requested) -> tuple[int, str]:
    """The status code, and the page as HTML: 300 if several accounts have the workload, 404 if none has it, 503 if that
    is not known yet.
    """
    templates = _environment()
    if len(requested.found) == 1:
        return 200, _page(requested, requested.found[0])
    if requested.found:
        return 300, templates.get_template("several_accounts.html").render(
            requested=requested, address=workload_address
        )
    unknown = [account for account in requested.accounts if account.succeeded is None]
    page = templates.get_template("no_workload.html").render(
        requested=requested,
        shown=requested.id[:LONGEST_ID],
        quoted=shlex.quote(requested.id[:LONGEST_ID]),
        account=requested.account[:LONGEST_ID],
        unknown=unknown,
        named=_named(requested),
        address=workload_address,
    )
    return 503 if unknown else 404, page


def _named(requested: Requested) -> list[WorkloadState]:
    """The workloads whose name was requested instead of an id."""
    name = requested.id.strip().casefold()
    found = (state for fleet in requested.fleets for state in fleet if (state.workload.name or "").casefold() == name)
    return list(islice(found, MAX_NAMED)) if name else []


def _json(requested: Requested) -> tuple[int, bytes]:
    """As `rendered`, as JSON: the diagnosis with the keys of `explain --json`, its text, and the timeline, latest
    first; or the reason why there is none.
    """
    if len(requested.found) != 1:
        unknown = any(account.succeeded is None for account in requested.accounts)
        code, error = (503, "not known yet: no complete sweep") if unknown else (404, "no such workload")
        if requested.found:
            names = ", ".join(found.account.name for found in requested.found)
            code, error = 300, f"several accounts have this workload; add ?account=: {names}"
        return code, json.dumps({"error": error}).encode()
    page, at, _ = _shown(requested, requested.found[0])
    moments = [{**each._asdict(), "at": rfc3339(each.at, "seconds")} for each in page.timeline]
    shown = {
        "at": rfc3339(at, "seconds"),
        "text": text(page.diagnosis),
        "timeline": moments,
        "diagnosis": as_json(page.diagnosis),
    }
    return 200, json.dumps(shown, separators=(",", ":")).encode()


def _shown(requested: Requested, found: FoundWorkload, runbooks: str = "") -> tuple[WorkloadPage, float, float]:
    """The page of a workload, the time as of which it is, and the age of the last complete sweep in seconds.

    `runbooks`: the prefix of links to runbooks, if the settings have none that a browser can open; empty: as they are.
    """
    account, state = found.account, found.state
    assert account.succeeded is not None
    age = requested.now - account.succeeded
    # Workloads that are withdrawn are shown as they were at the last complete sweep.
    at = account.succeeded if age > account.stale_after else requested.now
    options = requested.options._replace(console=requested.options.console or account.url)
    if runbooks and not options.runbooks.startswith(("https://", "http://")):
        options = options._replace(runbooks=runbooks)
    return workload_page(state, at, options), at, age


def _page(requested: Requested, found: FoundWorkload) -> str:
    account, state = found.account, found.state
    page, at, age = _shown(requested, found, "../runbooks/")
    return (
        _environment()
        .get_template("workload.html")
        .render(
            requested=requested,
            account=account,
            found=found,
            page=page,
            at=at,
            age=age,
            pods_age=found.ages.get("pods"),
            details_age=max((each for part, each in found.ages.items() if part != "pods"), default=None),
            out_of_date=age > 3 * account.interval,
            icon=icon("#d93025" if page.row.urgency == 0 else _ICONS.get(colour(page.row), "#80868b")),
            this=f"?account={quote(state.account, safe='', errors='replace')}",
            describe=described(requested.options, "../"),
            silences=_silences(requested, state),
            forms=_forms(requested, state),
            subject=f"account={shlex.quote(state.account)} workload_id={shlex.quote(state.workload.id)}",
        )
    )


def _forms(requested: Requested, state: WorkloadState) -> list[tuple[str, str]]:
    """The durations for which the form silences the workload, each with the address for its POST."""
    if requested.tokens is None or requested.silences is None:
        return []
    token = requested.tokens(state.account, state.workload.id)
    return [
        (lasts, "?" + urlencode({"account": state.account, "for": lasts, "token": token}, errors="replace"))
        for lasts in DURATIONS
    ]


def _silences(requested: Requested, state: WorkloadState) -> list[tuple[str, Silence]]:
    """The silences that match alerts of a workload, with their matchers as text; the first to end first."""
    workload = state.workload
    labels = {
        "account": state.account,
        "workload": bounded(workload.name or ""),
        "workload_id": workload.id,
        "component": "workload",
    }
    found = [each for each in requested.silences or () if concerns(each, labels, requested.now)]
    return [
        (" ".join(f"{name}={value}" for name, value in each.matchers.items()), each)
        for each in sorted(found, key=lambda each: each.ends)
    ]
