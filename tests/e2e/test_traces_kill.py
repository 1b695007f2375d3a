"""kill -9 at any moment: every trace of a life without kills arrives, whole, and no span in two versions."""

import random
import signal
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

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
AT_RANDOM = 2
"""Lives of each moment that are cut short at random, after one that ends at a point and before one that is whole."""
POST = "within a request"
Id = tuple[bytes, bytes]
"""Of a trace, and of a span."""


class Restless(World):
    """The workloads alone in whose lives something happens again and again."""

    def listed(self, now: float) -> list[int]:
        return [n for n in super().listed(now) if len(STORIES[n].steps) > 1 and STORIES[n].name != "promoted"]


class Collector(HttpReceiver):
    """Keeps what came whole, though its sender may be dead by then: a child of `kills` dies once it sends traces."""

    kills: Nursery | None = None

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.kills is not None and int(handler.headers["content-length"]) > 100:  # more than the first probe
            self.kills.kill()
        super()._answer(handler)

    @property
    def spans(self) -> dict[Id, list[bytes]]:
        """Each span, as often as it came."""
        spans: dict[Id, list[bytes]] = {}
        for span in (span for each in self.received for span in each.spans):
            spans.setdefault((span.trace_id, span.span_id), []).append(span.SerializeToString(deterministic=True))
        return spans

    @property
    def orphans(self) -> set[Id]:
        """The spans whose parent never came."""
        spans = [span for each in self.received for span in each.spans]
        there = {(span.trace_id, span.span_id) for span in spans}
        wanted = {(span.trace_id, span.parent_span_id) for span in spans if span.parent_span_id}
        return wanted - there


def waiting(path: Path) -> int:
    store = Store(path)
    try:
        return store.outbox().traces
    finally:
        store.close()


@pytest.mark.long
@pytest.mark.parametrize("steps", [12, pytest.param(60, marks=pytest.mark.exhaustive)])
def test_every_trace_arrives_whole_and_in_one_version_however_often_the_exporter_is_killed(
    steps: int, tmp_path: Path
) -> None:
    chance = random.Random(20261124)
    moments = [START + STEP * number for number in range(steps)]
    points = (*POINTS, POST)
    deaths: Counter[str] = Counter()
    calm_state, state = tmp_path / "calm.db", tmp_path / "killed.db"
    now = START
    nursery = Nursery()
    with (
        Simulator(workloads=len(STORIES), clock=lambda: now) as simulator,
        Collector() as calm,
        Collector() as collector,
    ):
        simulator.world = Restless(len(STORIES), simulator.world.seed, SPEED, START)
        url = simulator.url + "/api/v2"
        try:
            for now in moments:
                assert nursery.live(url, calm_state, now, collector=calm.url) == (True, 0)
            for number, moment in enumerate(moments):
                now, point = moment, points[number % len(points)]
                cut = [chance.uniform(0.0, 1.1) * nursery.usual for _ in range(AT_RANDOM)]
                for dies, lifetime in ((point, None), *(("", each) for each in cut), ("", None)):
                    collector.kills = nursery if dies == POST else None
                    done, status = nursery.live(url, state, now, lifetime, collector=collector.url, dies=dies)
                    assert status in (0, -signal.SIGKILL)
                    deaths[dies] += status == -signal.SIGKILL
                assert done
        finally:
            nursery.close()
    whole, came = calm.spans, collector.spans
    traces = {trace for trace, _ in came}
    counts.numbers["traces that arrived through kills"] = len(traces)
    counts.numbers["spans of theirs that were sent twice, %"] = round(
        100 * sum(len(copies) > 1 for copies in came.values()) / len(came)
    )
    assert traces == {trace for trace, _ in whole}
    assert came.keys() == whole.keys()
    assert {span: {*copies} for span, copies in came.items()} == {span: {*copies} for span, copies in whole.items()}
    assert max(map(len, whole.values())) == 1
    assert collector.orphans == set()
    assert waiting(state) == 0
    assert len(traces) >= 5 * steps
    assert min(deaths[point] for point in points) >= steps // 12
    assert deaths[""] >= steps
