"""A good day and a bad day of a fleet, stored in a real Prometheus from complete metrics pages of the daemon.

The simulator's stories run in virtual time against a daemon that is not started: its page is requested over ASGI every
minute and written as blocks of Prometheus. The labels of the target, ``up``, and the ``ALERTS`` of our rules are added;
Prometheus evaluates the expressions of the rules.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from exporter.alerting.rules import DEFAULT, expression, in_force, levels
from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.daemon.event_loop import measure_lag
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.fleet.selection import Selection
from exporter.fleet.tag_labels import TagSelection
from exporter.fleet.workload_state import Costs
from exporter.settings.model import Settings
from exporter.simulator.stories import STORIES
from exporter.simulator.waste import PRICES, WASTE
from tests.alerts.history import families_read, shipped
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus
from tests.stage import START, Stage, played, simulated

DURATION, EVERY = 5400.0, 60.0
END = START + DURATION
_LOOKBACK = "90s"
"""Lookback: written blocks cannot contain staleness markers, which end a series missing from a scrape."""
TARGET = 'instance="127.0.0.1:10142",job="datarobot"'
TAGS = TagSelection(("team", "env"))
_HEALTHY = "healthy|autoscaled|scaled-to-zero|replacement|settings-change|stop-and-start|woken-from-zero|promoted"


OBJECTIVES = (ObjectiveRow(Objective(availability=0.995, readiness=0.99, latency=0.95, slower=2.0)),)


class Day(NamedTuple):
    """The events of a day. `problems` are oddities of the API as (start, end, name), in seconds from the beginning.

    `leases`: the exporter is a replica that holds its accounts by leases.
    """

    workloads: int
    selection: Selection = Selection()
    problems: tuple[tuple[float, float, str], ...] = ()
    leases: bool = False


COSTS = Costs("EUR", PRICES, min_history=0.0)
GOOD = Day(len(STORIES) + 19, Selection(name=rf"({_HEALTHY})-\d+"))
BAD = Day(
    len(STORIES) + 29,
    problems=((1500, 1800, "throttled"), (2400, 2520, "bad-gateway"), (3000, 3060, "no-id")),
    leases=True,
)


def named(story: str) -> str:
    """The name of the first workload with a story."""
    return f"{story.replace(' ', '-')}-{[each.name for each in STORIES].index(story)}"


class _Immediate(ThreadPoolExecutor):
    """Runs a function immediately: virtual time would advance while a real thread works."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


async def _play(day: Day, stage: Stage, daemon: Daemon, pages: Pages) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_Immediate())
    daemon.accounts.monitors = {"acme": stage.monitor}
    if day.leases:
        for account in ("", "acme"):
            daemon.report.set("unit_held", 1.0, account)
        daemon.report.set("lease_remaining_seconds", 12.0)
        daemon.report.set("replicas", 2)
    health = asyncio.create_task(measure_lag(daemon.report, daemon.clock.steady))

    async def note() -> None:
        if round(stage.now / 30) % 2:
            return  # publish after every second sweep
        stage.simulator.odd = [odd for begin, end, odd in day.problems if begin <= stage.now < end]
        await daemon.publish()
        page = (await _scraped(daemon)) + "up 1\n"
        pages.add(page, stage.wall, TARGET)
        if stage.now < EVERY:  # forecasts need history: the same values two days earlier
            pages.add(page, stage.wall - 2 * 86400, TARGET)

    await stage.run(DURATION + 1, note)
    health.cancel()


async def _scraped(daemon: Daemon) -> str:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await daemon.application({"type": "http", "method": "GET", "path": "/metrics", "headers": []}, None, send)
    return b"".join(message.get("body", b"") for message in sent).decode()


def pages_of(day: Day) -> Pages:
    """All metrics pages of a day."""
    pages = Pages()
    simulator = simulated(day.workloads, seed=11, stories=(*STORIES, *WASTE))
    account = {"name": "acme", "endpoint": simulator.url, "token": simulator.token}
    settings = Settings.model_validate({"accounts": [account], "metrics": {"tags": TAGS.names}})

    async def play(stage: Stage) -> None:
        await _play(day, stage, daemon, pages)

    # created here because the stage uses the report of the daemon
    clock = Clock(lambda: simulator.clock(), lambda: simulator.clock() - START)
    daemon = Daemon(settings, lambda: settings, clock=clock)
    plan = {"selection": day.selection, "costs": COSTS, "tags": TAGS, "objectives": OBJECTIVES}
    played(play, simulator, report=daemon.report, rate=10.0, **plan)
    return pages


def _alerts(prometheus: Prometheus) -> Iterator[tuple[str, float]]:
    """Samples that Prometheus would have stored for our rules, with their times; without `keep_firing_for`."""
    for alert in in_force(DEFAULT):
        for severity, condition in levels(alert):
            for series in prometheus.range(expression(alert, condition, DEFAULT), START, END, EVERY):
                labelled = series["metric"] | {
                    "alertname": alert.name,
                    "severity": severity,
                    "component": alert.component,
                }
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(labelled.items()))
                since = before = -math.inf
                for at, _ in series["values"]:
                    since = since if at - before <= EVERY else at
                    before = at
                    state = "firing" if at - since >= alert.wait else "pending"
                    yield f'ALERTS{{alertstate="{state}",{labels}}} 1', at
                    yield f"ALERTS_FOR_STATE{{{labels}}} {since}", at


@contextmanager
def stored(day: Day, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with the data of a day, from `START` to `END`."""
    pages = pages_of(day)
    with filled(folder / "pages", pages, _LOOKBACK, families_read(shipped())) as prometheus:
        for line, at in _alerts(prometheus):
            pages.add(line, at)
    with filled(folder / "day", pages, lookback=_LOOKBACK) as prometheus:
        yield prometheus
