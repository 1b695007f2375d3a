"""Replicas that are killed, stopped, paused or cut off from the database: what is counted, traced and paged is as if
nothing had happened, and another one serves soon.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from exporter.state.leases import LEASE_SECONDS
from tests.failover.group import UNIT, Group, Replica, calm, run
from tests.postgresql import Server
from tests.reliability.outcome import outcome
from tests.reliability.world import END

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    # Who is killed closes nothing.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]
QUIET_UNITS = 5.0
"""At the end, for what is late to arrive."""
KINDS = ("kill", "stop", "freeze", "cut")


async def _disturb(group: Group, kind: str, replica: Replica, units: float) -> None:
    """Do this to a replica; after so many units it is as before, or another one is started."""
    match kind:
        case "kill":
            replica.kill()
        case "stop":
            await replica.stop()
        case "freeze":
            replica.freezer.frozen = True
        case "cut":
            for database in replica.databases:
                database.cut = True
    await asyncio.sleep(units * UNIT)  # virtual time
    match kind:
        case "freeze":
            replica.freezer.thaw()
        case "cut":
            for database in replica.databases:
                database.cut = False
        case _:
            group.start()


def disturbed(folder: Path, server: Server, replicas: int, seed: int, most: int) -> tuple[Group, Counter[str]]:
    """A run with random failovers, one after another; how many of each kind."""
    chance = random.Random(seed)
    kinds: Counter[str] = Counter()

    async def inside() -> Group:
        group = Group(folder, server, 2)
        async with group.running(replicas):
            await group.reach(1.0 + chance.random())
            while group.now < (END - QUIET_UNITS) * UNIT and sum(kinds.values()) < most:
                kind = chance.choice(KINDS)
                holders = [each for each in group.alive if each.daemon.rights.leases] or group.alive
                kinds[kind] += 1
                await _disturb(group, kind, chance.choice(holders), chance.choice([0.05, 0.5, 1.5]))
                await asyncio.sleep(chance.uniform(0.0, 1.0) * UNIT)  # virtual time
            await group.reach(END)
        return group

    return run(inside), kinds


def seconds_without(group: Group) -> list[float]:
    """For how long accounts were not served after their lease had run out, shortest first.

    Accounts that move while their holder works are not served for a second or two, and left out.
    """
    return sorted(end - begun - LEASE_SECONDS for _, begun, end in group.gaps if end - begun > LEASE_SECONDS / 2)


@pytest.mark.exhaustive
def test_three_replicas_observe_what_one_does_with_as_many_requests(postgresql: Server, tmp_path: Path) -> None:
    alone = calm(tmp_path, postgresql, 2)
    together = calm(tmp_path, postgresql, 2, replicas=3)
    compared = outcome(alone.observed, together.observed, 1.5 * UNIT)
    assert (compared.lost, compared.doubled, compared.delivered) == ((), (), compared.expected)
    # An account that moves is read once more; from then on the number is the same.
    assert abs(together.requests_settled - alone.requests_settled) <= 0.01 * alone.requests_settled


@pytest.mark.parametrize(
    ("runs", "most"), [(1, 6), pytest.param(8, 14, marks=pytest.mark.exhaustive)], ids=["some", "a hundred"]
)
def test_failovers_lose_nothing_and_double_nothing(runs: int, most: int, postgresql: Server, tmp_path: Path) -> None:
    before = calm(tmp_path, postgresql, 2).observed
    kinds: Counter[str] = Counter()
    without: list[float] = []
    for seed in range(runs):
        group, of_kinds = disturbed(tmp_path, postgresql, 2 + seed % 2, seed, most)
        kinds += of_kinds
        compared = outcome(before, group.observed, 1.5 * UNIT)
        print(seed, dict(of_kinds), compared, [round(each) for each in seconds_without(group)])
        assert (compared.lost, compared.doubled, compared.delivered) == ((), (), compared.expected), seed
        without += seconds_without(group)
    without.sort()
    median, late, latest = (without[round(share * (len(without) - 1))] for share in (0.5, 0.95, 1.0))
    print(
        f"{dict(kinds)}: served {median:.0f} s after the lease ran out, 95 % within {late:.0f}, all within {latest:.0f}"
    )
    assert latest <= 2 * UNIT
