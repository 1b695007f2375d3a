"""A good day and a bad day of a fleet, as Prometheus would have stored them: whole pages of the real daemon.

The simulator's stories are played in virtual time against a daemon that was never started: its page is asked for over
ASGI every minute and written into a Prometheus as its own blocks. What Prometheus itself adds is added: labels of
the target, ``up``, and the ``ALERTS`` of our rules, of which Prometheus evaluates the expressions.
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
from exporter.fleet.selection import Selection
from exporter.settings.model import Settings
from exporter.simulator.stories import STORIES
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus
from tests.stage import START, Stage, played, simulated

LASTS, EVERY = 5400.0, 60.0
END = START + LASTS
_GONE = "90s"
"""A scrape in which a series is missing ends it at once; blocks that are written cannot say so."""
TARGET = 'instance="127.0.0.1:10142",job="datarobot"'
_WELL = "healthy|autoscaled|scaled-to-zero|replacement|settings-change|stop-and-start|woken-from-zero|promoted"


class Day(NamedTuple):
    """How a day goes. `troubles` are oddities of the API, each from when to when, in seconds from the beginning."""

    workloads: int
    selection: Selection = Selection()
    troubles: tuple[tuple[float, float, str], ...] = ()


GOOD = Day(90, Selection(name=rf"({_WELL})-\d+"))
BAD = Day(len(STORIES) + 20, troubles=((1500, 1800, "throttled"), (2400, 2520, "bad-gateway"), (3000, 3060, "no-id")))


def named(story: str) -> str:
    """The name of the workload that plays a story first."""
    return f"{story.replace(' ', '-')}-{[each.name for each in STORIES].index(story)}"


class _AtOnce(ThreadPoolExecutor):
    """A thread that takes no time: virtual time would run on while a real one works."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


async def _play(day: Day, stage: Stage, daemon: Daemon, pages: Pages) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_AtOnce())
    daemon.accounts.monitors = {"acme": stage.monitor}
    feeling = asyncio.create_task(measure_lag(daemon.report, daemon.clock.steady))

    async def note() -> None:
        if round(stage.now / 30) % 2:
            return  # every second sweep
        stage.simulator.odd = [odd for begin, end, odd in day.troubles if begin <= stage.now < end]
        await daemon.publish()
        page = (await _scraped(daemon)) + "up 1\n"
        pages.add(page, stage.wall, TARGET)
        if stage.now < EVERY:  # two days before, all was as it is at the beginning: what grows needs a past
            pages.add(page, stage.wall - 2 * 86400, TARGET)

    await stage.run(LASTS + 1, note)
    feeling.cancel()


async def _scraped(daemon: Daemon) -> str:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await daemon.application({"type": "http", "method": "GET", "path": "/metrics", "headers": []}, None, send)
    return b"".join(message.get("body", b"") for message in sent).decode()


def pages_of(day: Day) -> Pages:
    """Every page of a day."""
    pages = Pages()
    with simulated(day.workloads, seed=11) as simulator:
        account = {"name": "acme", "endpoint": simulator.url, "token": simulator.token}
        settings = Settings.model_validate({"accounts": [account]})

        async def play(stage: Stage) -> None:
            await _play(day, stage, daemon, pages)

        # made here: the stage counts into the daemon's report
        clock = Clock(lambda: simulator.clock(), lambda: simulator.clock() - START)
        daemon = Daemon(settings, lambda: settings, clock=clock)
        played(play, simulator, report=daemon.report, rate=10.0, selection=day.selection)
    return pages


def _alerts(prometheus: Prometheus) -> Iterator[tuple[str, float]]:
    """What Prometheus would have stored of our rules: lines and their times. `keep_firing_for` is left out."""
    for alert in in_force(DEFAULT):
        for severity, condition in levels(alert):
            for series in prometheus.range(expression(alert, condition, DEFAULT), START, END, EVERY):
                told = series["metric"] | {"alertname": alert.name, "severity": severity, "component": alert.component}
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(told.items()))
                since = before = -math.inf
                for at, _ in series["values"]:
                    since = since if at - before <= EVERY else at
                    before = at
                    state = "firing" if at - since >= alert.wait else "pending"
                    yield f'ALERTS{{alertstate="{state}",{labels}}} 1', at
                    yield f"ALERTS_FOR_STATE{{{labels}}} {since}", at


@contextmanager
def stored(day: Day, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that has seen a day, from `START` to `END`."""
    pages = pages_of(day)
    with filled(folder / "pages", pages, lookback=_GONE) as prometheus:
        for line, at in _alerts(prometheus):
            pages.add(line, at)
    with filled(folder / "day", pages, lookback=_GONE) as prometheus:
        yield prometheus
