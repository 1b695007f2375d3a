"""Backfill: episodes that ended before the first sweep, from the history of each workload."""

from __future__ import annotations

import msgspec

from exporter.api.decoding import NotDecodable
from exporter.api.models import Replacement
from exporter.api.pods import Proton
from exporter.clock import Clock
from exporter.collect.account_state import AccountState
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import history
from exporter.fleet.episodes import EpisodeTracker
from exporter.fleet.transitions import recalled

MAX_EPISODES = 200
"""Maximum number of episodes that are added."""
ATTEMPTS = 3
"""Attempts per workload, if the API refuses requests for a while."""


async def backfill(state: AccountState, client: Client, clock: Clock, seconds: float) -> None:
    """Request the history of each workload once, and add episodes of so many seconds before the first sweep."""
    left = MAX_EPISODES
    for i in sorted(state.workloads):
        if not left:
            break
        reported = await _history(client, i, clock)
        workload = state.workloads.get(i)
        if reported is None or workload is None:
            continue
        # Episodes that ended since the first sweep have been observed, and have or will have a trace of their own.
        first, tracker = workload.ledger.first + workload.ahead, workload.ledger.tracker
        episodes = recalled(EpisodeTracker(), *reported, clock.wall(), seconds, workload.ahead).over
        over = tuple(each for each in episodes if each.ended and (each.ended.reported or 0.0) < first)[:left]
        left -= len(over)
        tracker = msgspec.structs.replace(tracker, over=(*tracker.over, *over))
        state.replace(workload._replace(ledger=msgspec.structs.replace(workload.ledger, tracker=tracker)))


async def _history(
    client: Client, workload_id: str, clock: Clock
) -> tuple[tuple[Replacement, ...], tuple[Proton, ...]] | None:
    """The last replacements and the protons of a workload; None if they cannot be read.

    After a refusal it is requested again at the end of the pause: histories are requested only once, and without the
    wait those of all workloads that follow would fail for the same pause.
    """
    for _ in range(ATTEMPTS):
        try:
            return await history(client, workload_id)
        except (ApiError, NotDecodable) as error:
            if not isinstance(error, ApiError) or error.pause is None:
                return None
            await clock.pause(error.pause.seconds)
    return None
