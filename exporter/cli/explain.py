"""``explain``: diagnose one workload with data requested from the API now, without a daemon."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from exporter.alerting.rules import Options
from exporter.api.decoding import NotDecodable
from exporter.api.details import Event, of_other_uses, offered
from exporter.cli.api_client import api_client
from exporter.cli.context import Context
from exporter.cli.find import Found, Progress, find
from exporter.cli.flags import EXIT_STATUS, add_settings_flags
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_FETCHERS, FETCHERS, Poll, failure_reason
from exporter.collect.log_tail import SIGN_LINES, read_log
from exporter.diagnosis.diagnosis import Diagnosis, diagnosis
from exporter.diagnosis.facts import PARTS
from exporter.diagnosis.log_causes import cause_with_log
from exporter.diagnosis.log_signs import is_worth_reading
from exporter.diagnosis.wording import as_json, text
from exporter.fleet.apply import failed, received, refused
from exporter.fleet.counting import first_observed
from exporter.fleet.objectives import Objective, ObjectiveRow, objective_of
from exporter.fleet.polling import Policy, requests
from exporter.fleet.workload_state import WINDOWS, WorkloadState
from exporter.masking import scrubbed
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings

POLICY = Policy(
    quantiles=(0.95,),
    parts=frozenset(("pods", "events", "replacement", "usage", *(f"stats_{window}" for window in WINDOWS))),
)
"""The parts to request. Two windows of statistics show whether a problem is recent. The others, on which the alerts
about the error budget rest, are requested if these have too many server errors, or the workload is important.
"""
NO_SETTINGS = "no settings file given (--config.file); used here: no objectives, and the defaults of all settings"
MAX_LOG_LINES = 100
_STATUS_OF_SEVERITY = {"critical": 4, "warning": 3}
_STATUS_OF_UNKNOWN = 5


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    parser.add_argument("workload", metavar="WORKLOAD", help="id or name")
    parser.add_argument("--account", metavar="NAME", help="search only this account; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON with stable keys and RFC 3339 times")
    parser.add_argument(
        "--log-lines",
        type=int,
        choices=range(1, MAX_LOG_LINES + 1),
        default=0,
        metavar="N",
        help="also print the last N lines of its log",
    )
    parser.epilog = (
        f"{EXIT_STATUS} This command also exits with 3 if a warning condition is met, 4 if a critical one is, and 5 "
        f"if neither is but the health of the workload is unknown, because its pods or its status could not be read "
        f"or the API does not report them."
    )


def run(context: Context) -> int:
    options, settings = context.options, context.settings()
    accounts = [account for account in settings.accounts if options.account in (None, account.name)]
    if not accounts:
        names = ", ".join(account.name for account in settings.accounts)
        print(f"workload-exporter: no account is called {options.account}; accounts: {names}", file=sys.stderr)
        return 2
    plain = bool(os.environ.get("NO_COLOR"))

    def progress(words: str) -> None:
        if sys.stderr.isatty():
            print(f"{words} ..." if plain else f"\x1b[2m{words} ...\x1b[0m", file=sys.stderr)

    found = asyncio.run(_explained_with_clients(context, settings, accounts, progress))
    if not context.settings_files:
        found = found.with_unknown("settings", NO_SETTINGS)
    if options.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack characters of a name
        sys.stdout.write(text(found, colour=sys.stdout.isatty() and not plain))
    return _STATUS_OF_SEVERITY.get(found.severity, 0 if found.facts.known else _STATUS_OF_UNKNOWN)


async def _explained_with_clients(
    context: Context, settings: Settings, accounts: Sequence[AccountSettings], progress: Progress
) -> Diagnosis:
    options = context.options
    async with AsyncExitStack() as stack:
        clients = [(each, await stack.enter_async_context(api_client(each, context.secrets))) for each in accounts]
        return await explained(
            clients,
            options.workload,
            settings.alerts.options,
            settings.detail.slow_requests,
            progress,
            log_lines=options.log_lines,
            objectives=[each.row for each in settings.objectives],
        )


async def explained(
    clients: Sequence[tuple[AccountSettings, Client]],
    wanted: str,
    options: Options,
    slow: float,
    progress: Progress = lambda _: None,
    clock: Callable[[], float] = time.time,
    log_lines: int = 0,
    objectives: Sequence[ObjectiveRow] = (),
) -> Diagnosis:
    """Find and diagnose one workload. Raises `WorkloadNotFound`.

    Requests longer than `slow` seconds count as slow. Console links use the account's endpoint unless the options
    name another one.
    """
    found = await find(clients, wanted, progress, clock)
    console = options.console or found.account.endpoint.removesuffix("/api/v2")
    objective = objective_of(objectives, found.account.name, found.workload)
    result = await explain(found, options._replace(console=console), slow, objective, progress, clock())
    with_signs = is_worth_reading(result.cause.next_step)
    if not log_lines and not with_signs:
        return result
    progress("requesting its log")
    read = await read_log(found.client, found.workload.id, max(log_lines, SIGN_LINES if with_signs else 0))
    if with_signs:
        cause = cause_with_log(result.cause, read.signs, result.facts.at)
        result = result._replace(cause=cause, log_signs=read.signs)
    return result._replace(log=read.text(log_lines) if log_lines else "")


async def explain(
    found: Found, options: Options, slow: float, objective: Objective | None, progress: Progress, now: float
) -> Diagnosis:
    """Request the details of one workload and diagnose it as of `now`. Failed requests are listed as unknown facts."""
    client = found.client
    # The ledger starts now, so that all reported events are new and nothing was counted before.
    ledger = msgspec.structs.replace(
        first_observed(found.workload, now, baseline=True, ahead=found.ahead), seen_events=()
    )
    state = WorkloadState(found.account.name, found.workload, ledger, ahead=found.ahead, objective=objective)
    events: tuple[Event, ...] = ()
    unknown: dict[str, str] = {}
    requested: set[str] = set()
    # Pods first: the versions in them decide which statistics to request. At last what the statistics make worthwhile.
    for first in (True, False, False):
        wanted = (request.part for request in requests(state, POLICY, now) if (request.part == "pods") is first)
        parts = [part for part in wanted if part not in requested]
        if not parts:
            break
        requested.update(parts)
        progress(f"requesting {', '.join(parts)}")
        question = Poll(client, state, now, POLICY.quantiles, slow)
        results = await asyncio.gather(*(_fetched(question, part) for part in parts))
        for part, (value, error) in zip(parts, results, strict=True):
            if error is None:
                state = received(state, part, value, now)[0]
                events = value if part == "events" else events
                continue
            if part in PARTS:  # other windows fail for the reason that stats_5m reports
                unknown[part] = _reason(error)
            reason = failure_reason(error)
            state = refused(state, part) if reason == "forbidden" else failed(state, part, reason)
    if "events" in state.details.refused:  # whether they could be read before is not known here
        state = state._replace(ledger=msgspec.structs.replace(state.ledger, seen_events=None))
    progress("requesting the catalogue of resource bundles")
    try:
        bundles = (await ACCOUNT_FETCHERS["bundles"](client))[0]["bundles"]
        state = state._replace(catalogue=offered(bundles), other_uses=of_other_uses(bundles))
    except (ApiError, NotDecodable) as error:
        unknown["bundles"] = _reason(error)
    result = diagnosis(state, now, options, events)
    for name, reason in unknown.items():
        result = result.with_unknown(name, reason)
    return result


def _reason(error: ApiError | NotDecodable) -> str:
    """The text of an error without the route, because the part is named."""
    return scrubbed(re.sub(r"^GET \S+ (?=returned)", "the API ", str(error)))


async def _fetched(question: Poll, part: str) -> tuple[Any, ApiError | NotDecodable | None]:
    """What the API reports, or the error."""
    try:
        return (await FETCHERS[part](question))[0], None
    except (ApiError, NotDecodable) as error:
        return None, error
