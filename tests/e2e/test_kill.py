"""kill -9 at any moment: all that was counted, traced and paged is as in a life without kills, and nothing is twice."""

import json
import random
import signal
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from exporter.fleet.ledger import Ledger
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.simulator.world import World
from exporter.state.store import Store
from tests import counts
from tests.e2e.nursery import POINTS, Nursery
from tests.receivers import HttpReceiver

START = 1_795_000_000.0
STEP = 60.0
SPEED = 20.0
"""Fast enough that an hour has 300 traces."""
REQUESTS = ("within a request to the collector", "within a page")
Id = tuple[bytes, bytes]
"""Of a trace, and of a span."""


class Restless(World):
    """The workloads alone in whose lives something happens again and again."""

    def listed(self, now: float) -> list[int]:
        return [n for n in super().listed(now) if len(STORIES[n].steps) > 1 and STORIES[n].name != "promoted"]


class Fatal(HttpReceiver):
    """Keeps what came whole, though its sender may be dead by then: a child of `kills` dies once it sends something."""

    kills: Nursery | None = None

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.kills is not None and int(handler.headers["content-length"]) > 100:  # more than the first probe
            self.kills.kill()
        super()._answer(handler)


def versions(collector: HttpReceiver) -> dict[Id, list[bytes]]:
    """Each span that came, as often as it came."""
    found: dict[Id, list[bytes]] = {}
    for span in (span for each in collector.received for span in each.spans):
        found.setdefault((span.trace_id, span.span_id), []).append(span.SerializeToString(deterministic=True))
    return found


def orphans(collector: HttpReceiver) -> set[Id]:
    """The spans whose parent never came."""
    spans = [span for each in collector.received for span in each.spans]
    there = {(span.trace_id, span.span_id) for span in spans}
    return {(span.trace_id, span.parent_span_id) for span in spans if span.parent_span_id} - there


def pages(webhook: HttpReceiver) -> Counter[tuple[str, str, str]]:
    """By incident, its start, and whether it fires: how often the receiver was notified."""
    messages = (json.loads(each.body) for each in webhook.received if each.body)  # its sender may have been killed
    return Counter((each["groupKey"], each["alerts"][0]["startsAt"], each["status"]) for each in messages)


def counted(path: Path) -> dict[str, dict[str, object]]:
    """What was counted, and the times that must not be forgotten, by workload."""
    names = "first since transitions outcomes events newest restarts terminations resets".split()
    return {i: {name: getattr(each, name) for name in names} for i, each in ledgers(path).items()}


def ledgers(path: Path) -> dict[str, Ledger]:
    store = Store(path)
    try:
        assert store.outbox().traces == 0
        return dict(store.load("acme").ledgers)
    finally:
        store.close()


@pytest.mark.long
@pytest.mark.parametrize(("kills", "steps"), [(15, 12), pytest.param(200, 60, marks=pytest.mark.exhaustive)])
def test_kills_lose_nothing_count_nothing_twice_and_page_nothing_else(kills: int, steps: int, tmp_path: Path) -> None:
    at_random = 2 + kills // 60  # of each moment, after a life that ends at a point and before one that is whole
    chance = random.Random(20261124)
    moments = [START + STEP * number for number in range(steps)]
    points = (*POINTS, *REQUESTS)
    deaths: Counter[str] = Counter()
    calm_state, state = tmp_path / "calm.db", tmp_path / "killed.db"
    now = START
    nursery = Nursery()
    with (
        Simulator(workloads=len(STORIES), clock=lambda: now) as simulator,
        HttpReceiver() as calm,
        HttpReceiver() as calm_pages,
        Fatal() as collector,
        Fatal() as webhook,
    ):
        simulator.world = Restless(len(STORIES), simulator.world.seed, SPEED, START)
        url = simulator.url + "/api/v2"
        try:
            for now in moments:
                undisturbed = nursery.live(url, calm_state, now, collector=calm.url, webhook=calm_pages.url)
                assert undisturbed == (True, 0)
            for number, moment in enumerate(moments):
                now, point = moment, points[number % len(points)]
                cut = [chance.uniform(0.0, 1.1) * nursery.usual for _ in range(at_random)]
                for dies, lifetime in ((point, None), *(("", each) for each in cut), ("", None)):
                    collector.kills = nursery if dies == REQUESTS[0] else None
                    webhook.kills = nursery if dies == REQUESTS[1] else None
                    done, status = nursery.live(
                        url, state, now, lifetime, collector=collector.url, webhook=webhook.url, dies=dies
                    )
                    assert status in (0, -signal.SIGKILL)
                    deaths[dies] += status == -signal.SIGKILL
                assert done
        finally:
            nursery.close()
    whole, came = versions(calm), versions(collector)
    wanted, notified = pages(calm_pages), pages(webhook)
    before, after = counted(calm_state), counted(state)
    lost = [*(whole.keys() - came.keys()), *(wanted.keys() - notified.keys()), *(before.keys() - after.keys())]
    figures = {
        "lost": len(lost),
        "counted otherwise": sum(before.get(name) != each for name, each in after.items()),
        "identities with two contents": sum(len({*copies}) > 1 for copies in came.values()),
        "false pages": len(notified.keys() - wanted.keys()),
    }
    counts.numbers["kills"] = deaths.total()
    counts.numbers |= {f"{what}, of kills": number for what, number in figures.items()}
    counts.numbers["spans through kills"], counts.numbers["pages through kills"] = len(came), len(notified)
    assert figures == dict.fromkeys(figures, 0), sorted(wanted.keys() ^ notified.keys())
    assert {span: {*copies} for span, copies in came.items()} == {span: {*copies} for span, copies in whole.items()}
    assert max(map(len, whole.values())) == max(wanted.values()) == 1
    assert orphans(collector) == set()
    assert len({trace for trace, _ in came}) >= 5 * steps
    assert len(notified) >= steps
    assert min(deaths[point] for point in points) >= steps // 12
    assert deaths.total() >= kills
    assert deaths[""] >= steps // 2
    _as_the_script_says(simulator, ledgers(state), moments)


def _as_the_script_says(simulator: Simulator, found: dict[str, Ledger], moments: list[float]) -> None:
    """The same numbers of events, worked out from the script alone."""
    checked, end = 0, moments[-1]
    for number in simulator.world.listed(end):
        actor = simulator.world.actor(number)
        if actor.story.rounds_ids or actor.story.consumer:
            continue
        ledger = found[actor.id(actor.moment(end))]
        rounds = range(actor.moment(START).round, actor.moment(end).round + 1)
        ended = (each.end for turn in rounds for each in actor.replacements(turn))
        events = [each.step.event for each in ended if each.step.event and START < each.since <= end]
        assert sum(ledger.events.values()) == len(events), ledger.name
        checked += 1
    assert checked > 10
