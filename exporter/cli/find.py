"""Finds one workload by its id or name."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from exporter.api.clock_skew import Skew
from exporter.api.decoding import NotDecodable, one
from exporter.api.models import Workload
from exporter.collect.client import ApiError, ApiResponse, Client
from exporter.collect.sweep import sweep
from exporter.errors import ExporterError
from exporter.failures import one_line
from exporter.settings.accounts import AccountSettings

MAX_SUGGESTIONS, MAX_LISTED = 5, 20
Progress = Callable[[str], None]


class WorkloadNotFound(ExporterError):
    """Raised if no workload, or more than one, has the given id or name; the text lists similar names or the ids."""


class Found(NamedTuple):
    """A workload, the account that lists it, and a client of it. `ahead`: seconds that the API's clock is ahead."""

    account: AccountSettings
    client: Client
    workload: Workload
    ahead: float = 0.0


class _ApiClock:
    """The offset of an API's clock, from its responses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self.skew = clock, Skew()

    def observe(self, response: ApiResponse) -> None:
        if response.date is not None:
            middle = self._clock() - response.seconds / 2
            self.skew = self.skew.with_response(response.date, middle, response.seconds)


async def find(
    clients: Iterable[tuple[AccountSettings, Client]],
    wanted: str,
    progress: Progress,
    clock: Callable[[], float] = time.time,
) -> Found:
    """The workload with this id, else with this name, in any of the accounts. Raises `WorkloadNotFound`."""
    listed: list[Found] = []
    failures: list[str] = []
    for account, client in clients:
        progress(f"searching account {account.name}")
        api = _ApiClock(clock)
        if re.fullmatch(r"[0-9a-f]{24}", wanted):
            try:
                response = await client.get("/workloads/{id}", id=wanted)
                api.observe(response)
                return Found(account, client, one(response.body, Workload).value, api.skew.counts)
            except (ApiError, NotDecodable) as error:
                if not isinstance(error, ApiError) or error.reason not in ("not_found", "bad_request"):
                    failures.append(f"account {account.name}: {error}")
                    continue
        result = await sweep(client, api.observe)
        if result.failure:
            failures.append(f"account {account.name}: {result.message}")
        listed += [Found(account, client, workload, api.skew.counts) for workload in result.workloads]
    for found in _matches(listed, wanted):
        if len(found) == 1:
            return found[0]
        if found:
            lines = [f"{len(found)} workloads are called {wanted}; give the id:", *_rows(found)]
            raise WorkloadNotFound("\n".join(lines))
    raise WorkloadNotFound("\n".join([*failures, *_not_found(wanted, listed, failures)]))


def _matches(listed: Sequence[Found], wanted: str) -> Iterator[list[Found]]:
    """The workloads with this id; with this name; with this name in any case."""
    yield [each for each in listed if each.workload.id == wanted]
    yield [each for each in listed if each.workload.name == wanted]
    yield [each for each in listed if (each.workload.name or "").casefold() == wanted.casefold()]


def _rows(found: Sequence[Found]) -> list[str]:
    rows = [
        one_line(f"{each.workload.id} {each.workload.status or 'unknown'}, account {each.account.name}")
        for each in found[:MAX_LISTED]
    ]
    more = [f"  and {len(found) - MAX_LISTED} more"] if len(found) > MAX_LISTED else []
    return [f"  {row}" for row in rows] + more


def _not_found(wanted: str, listed: Sequence[Found], failures: Sequence[str]) -> Iterable[str]:
    if not listed:
        yield from [] if failures else ["this token has access to no workload"]
        return
    names = {(each.workload.name or each.workload.id).casefold(): each.workload.name for each in listed}
    near = difflib.get_close_matches(wanted.casefold(), names, MAX_SUGGESTIONS, 0.5)
    near += [name for name in sorted(names) if wanted.casefold() in name and name not in near]
    yield f"none of {len(listed)} workloads has the id or name {wanted}"
    if near:
        yield "similar names: " + ", ".join(one_line(names[name] or name) for name in near[:MAX_SUGGESTIONS])
