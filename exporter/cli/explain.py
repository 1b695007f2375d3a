"""Find one workload by its id or name, ask the API all that it tells of it, without any daemon, and judge it."""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from exporter.alerting.rules import Options
from exporter.api.decoding import NotDecodable, one
from exporter.api.details import Event
from exporter.api.models import Workload
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_FETCHERS, FETCHERS, Poll, failure_reason
from exporter.collect.log_tail import tail
from exporter.collect.sweep import sweep
from exporter.diagnosis.diagnosis import Diagnosis, diagnosis
from exporter.failures import one_line
from exporter.fleet import counting
from exporter.fleet.apply import failed, received, refused
from exporter.fleet.polling import Policy, requests
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import scrubbed
from exporter.settings.accounts import AccountSettings

POLICY = Policy(quantiles=(0.95,), parts=frozenset(("pods", "events", "replacement", "stats_5m", "stats_1h", "usage")))
"""What is asked: of the statistics, the windows that tell whether it began lately."""
NEAREST, LISTED = 5, 20


class NotFound(Exception):
    """No one workload is meant: the message says why, line by line, and what was perhaps meant."""


class Found(NamedTuple):
    """A workload, the account that lists it, and a client of it."""

    account: AccountSettings
    client: Client
    workload: Workload


Progress = Callable[[str], None]


async def find(clients: Iterable[tuple[AccountSettings, Client]], wanted: str, progress: Progress) -> Found:
    """The workload of this id, else of this name, in any of the accounts. Raises `NotFound`."""
    listed: list[Found] = []
    failures: list[str] = []
    for account, client in clients:
        progress(f"looking for it in account {account.name}")
        if re.fullmatch(r"[0-9a-f]{24}", wanted):
            try:
                answer = await client.get("/workloads/{id}", id=wanted)
                return Found(account, client, one(answer.body, Workload).value)
            except (ApiError, NotDecodable) as error:
                if not isinstance(error, ApiError) or error.reason not in ("not_found", "bad_request"):
                    failures.append(f"account {account.name}: {error}")
                    continue
        result = await sweep(client)
        if result.failure:
            failures.append(f"account {account.name}: {result.message}")
        listed += [Found(account, client, workload) for workload in result.workloads]
    for found in _matches(listed, wanted):
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFound("\n".join([f"{len(found)} workloads are called {wanted}; give the id:", *_lines(found)]))
    raise NotFound("\n".join([*failures, *_nobody(wanted, listed, failures)]))


def _matches(listed: Sequence[Found], wanted: str) -> Iterator[list[Found]]:
    """Those of this id; of this name; of this name but for capitals."""
    yield [each for each in listed if each.workload.id == wanted]
    yield [each for each in listed if each.workload.name == wanted]
    yield [each for each in listed if (each.workload.name or "").casefold() == wanted.casefold()]


def _lines(found: Sequence[Found]) -> list[str]:
    rows = [
        one_line(f"{each.workload.id} {each.workload.status or 'unknown'}, account {each.account.name}")
        for each in found[:LISTED]
    ]
    return [f"  {row}" for row in rows] + ([f"  and {len(found) - LISTED} more"] if len(found) > LISTED else [])


def _nobody(wanted: str, listed: Sequence[Found], failures: Sequence[str]) -> Iterable[str]:
    if not listed:
        yield from [] if failures else ["this token sees no workload at all"]
        return
    names = {(each.workload.name or each.workload.id).casefold(): each.workload.name for each in listed}
    near = difflib.get_close_matches(wanted.casefold(), names, NEAREST, 0.5)
    near += [name for name in sorted(names) if wanted.casefold() in name and name not in near]
    yield f"no workload of {len(listed)} has the id or the name {wanted}"
    if near:
        yield "perhaps: " + ", ".join(one_line(names[name] or name) for name in near[:NEAREST])


async def explain(found: Found, options: Options, slow: float, progress: Progress, now: float) -> Diagnosis:
    """Ask about one workload and judge it as of `now`. What the API refuses or fails to tell is said, and no more."""
    client = found.client
    # All that the API tells is news: the ledger is of this moment, and nothing was counted before.
    ledger = msgspec.structs.replace(counting.first_observed(found.workload, now, baseline=True), seen_events=())
    state = WorkloadState(found.account.name, found.workload, ledger)
    events: tuple[Event, ...] = ()
    untold: dict[str, str] = {}
    # Pods first: which versions there are decides what statistics are asked for.
    for first in (True, False):
        parts = [request.part for request in requests(state, POLICY, now) if (request.part == "pods") is first]
        progress(f"asking for {', '.join(parts)}")
        answers = await asyncio.gather(*(_look(Poll(client, state, now, POLICY.quantiles, slow), p) for p in parts))
        for part, (answer, error) in zip(parts, answers, strict=True):
            if error is None:
                state = received(state, part, answer, now)[0]
                events = answer if part == "events" else events
                continue
            if part != "stats_1h":  # it fails as the shorter window does, which is told
                untold[part] = _why(error)
            why = failure_reason(error)
            state = refused(state, part) if why == "forbidden" else failed(state, part, why)
    progress("asking for the catalogue of resource bundles")
    try:
        bundles = (await ACCOUNT_FETCHERS["bundles"](client))[0]["bundles"]
        state = state._replace(catalogue=frozenset(bundle.id for bundle in bundles))
    except (ApiError, NotDecodable) as error:
        untold["bundles"] = _why(error)
    judged = diagnosis(state, now, options, events)
    return judged._replace(facts=judged.facts._replace(unknown={**judged.facts.unknown, **untold}))


def _why(error: ApiError | NotDecodable) -> str:
    """The reason without the route: the part is named."""
    return scrubbed(re.sub(r"^GET \S+ (?=returned)", "the API ", str(error)))


async def _look(question: Poll, part: str) -> tuple[Any, ApiError | NotDecodable | None]:
    """What the API tells, or the error of that."""
    try:
        return (await FETCHERS[part](question))[0], None
    except (ApiError, NotDecodable) as error:
        return None, error


async def explained(
    clients: Sequence[tuple[AccountSettings, Client]],
    wanted: str,
    options: Options,
    slow: float,
    progress: Progress = lambda _: None,
    clock: Callable[[], float] = time.time,
    log_lines: int = 0,
) -> Diagnosis:
    """Find and judge one workload. Links to the console go to the account's own, unless the options name one."""
    found = await find(clients, wanted, progress)
    console = options.console or found.account.endpoint.removesuffix("/api/v2")
    judged = await explain(found, options._replace(console=console), slow, progress, clock())
    if not log_lines:
        return judged
    progress("asking for its log")
    return judged._replace(log=await tail(found.client, found.workload.id, log_lines))
