"""The status page of a large fleet: its rendering time, and the event loop lag meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import NamedTuple

import uvloop

from benchmarks.fleet import fleet
from exporter.alerting.rules import DEFAULT
from exporter.fleet.ledger import Tally
from exporter.fleet.workload_state import Account
from exporter.metrics.account_families import AccountFacts, use
from exporter.web.status_page import AccountStatus, Status, StatusPage

NOW = 1.7e9 + 4000
TICK = 0.001


class Waits(NamedTuple):
    """Seconds: to render the page first, and with another search; p99 of event loop lag meanwhile, and idle."""

    first: float
    repeated: float
    lag: float
    idle: float


async def _measured(size: int) -> Waits:
    states = tuple(fleet(size))
    known = AccountFacts(Account("bench"), use(states), Tally())
    account = AccountStatus("bench", "https://dr.test", known, states, NOW, "", 30.0, 900.0)
    page = StatusPage(lambda: Status("", (account,), NOW, NOW, DEFAULT))
    gc.collect()
    gc.freeze()
    lags: list[float] = []

    async def feel() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)  # measured: the lag of the event loop
            lags.append(time.perf_counter() - began - TICK)

    feeling = asyncio.create_task(feel())
    await asyncio.sleep(1)  # measured: the lag of an idle event loop
    idle = _p99(lags)
    lags.clear()
    began = time.perf_counter()
    await page("")
    first = time.perf_counter() - began
    began = time.perf_counter()
    await page("q=workload-99&sort=-since")
    repeated = time.perf_counter() - began
    feeling.cancel()
    return Waits(first, repeated, _p99(lags), idle)


def _p99(lags: list[float]) -> float:
    return sorted(lags)[int(0.99 * len(lags))]


def measured(size: int) -> Waits:
    """Measure once."""
    return uvloop.run(_measured(size))
