"""The status page of a large fleet: its rendering time, and the event loop lag meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import NamedTuple

import msgspec
import uvloop

from benchmarks.fleet import fleet
from exporter.alerting.rules import DEFAULT
from exporter.api.pods import Container, Pods, Proton, Replica, StatusDetails
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import Tally
from exporter.fleet.workload_state import Account, Details, WorkloadState
from exporter.metrics.account_families import AccountFacts, use
from exporter.web.status_page import AccountStatus, Status, StatusPage
from exporter.web.workload_page import FoundWorkload, Requested, WorkloadPages

NOW = 1.7e9 + 4000
TICK = 0.001


REQUESTS = 200
"""Pages of workloads that are requested one after the other."""


class Waits(NamedTuple):
    """Seconds: to render the page first, and with another search; p99 of event loop lag meanwhile, and idle; p99 for
    the page of a workload, alone, and while the status page is rendered.
    """

    first: float
    repeated: float
    lag: float
    idle: float
    workload: float
    workload_meanwhile: float


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
    by_id = {state.workload.id: _detailed(state) for state in states}

    def requested(workload_id: str, name: str) -> Requested:
        found = (FoundWorkload(account, by_id[workload_id], True),)
        return Requested(workload_id, name, found, (account,), (), (), DEFAULT, NOW, "")

    pages = WorkloadPages(requested)
    alone = [await _seconds(pages, workload_id) for workload_id in [*by_id][:REQUESTS]]
    rendering = asyncio.create_task(StatusPage(lambda: Status("", (account,), NOW, NOW, DEFAULT))(""))
    meanwhile = []
    for workload_id in [*by_id][-REQUESTS:]:
        meanwhile.append(await _seconds(pages, workload_id))
        if rendering.done():
            break
    await rendering
    return Waits(first, repeated, _p99(lags), idle, _p99(alone), _p99(meanwhile))


def _detailed(state: WorkloadState) -> WorkloadState:
    """The workload with ten pods and a full history."""
    container = Container(name="primary", status="running", ready=True, restart_count=3)
    replicas = tuple(Replica(name=f"pod-{n}", status="running", containers=(container,)) for n in range(10))
    proton = Proton(state.workload.proton_id or "p", status="running")
    history = tuple(HistoryEntry(NOW - n, "event", f"Event{n}", "of a user " * 9) for n in reversed(range(30)))
    ledger = msgspec.structs.replace(state.ledger, history=history)
    pods = Pods((proton,), {proton.id: StatusDetails(replicas=replicas)})
    return state._replace(details=Details(pods=pods), ledger=ledger)


async def _seconds(pages: WorkloadPages, workload_id: str) -> float:
    began = time.perf_counter()
    status, _ = await pages(workload_id, "")
    assert status == 200
    return time.perf_counter() - began


def _p99(lags: list[float]) -> float:
    return sorted(lags)[int(0.99 * len(lags))]


def measured(size: int) -> Waits:
    """Measure once."""
    return uvloop.run(_measured(size))
