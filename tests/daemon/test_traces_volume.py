"""A fleet that flaps while no collector answers: what waits is bounded, and so is what each workload may say."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter.clock import Clock
from exporter.collect.account_state import MAX_PENDING_TRACES, Pending
from exporter.fleet.episodes import FLAPPING_SECONDS, MAX_TRACED_EPISODES
from exporter.fleet.polling import Policy
from exporter.otlp.encoding import encode
from exporter.otlp.sender import Sender
from exporter.otlp.verdict import Verdict
from exporter.settings.traces import TraceSettings
from exporter.simulator.stories import (
    COMPLETED,
    CRASHING,
    CREATING,
    FOREVER,
    NOT_READY,
    OOM,
    SimulatedPods,
    Story,
    StoryStep,
)
from exporter.simulator.world import Actor, World
from exporter.state.store import EncodedTrace, Store
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.tracing.trace import Trace
from tests.stage import START, Stage, played, simulated

pytestmark = pytest.mark.long

HOUR = 3600.0
TRACING = Tracing("https://dr.example.test", crashes=True)
FLAPS = Story(
    "flaps",
    "every minute something else",
    (
        StoryStep(60, "running"),
        StoryStep(60, "stopping"),
        StoryStep(60, "stopped", COMPLETED),
        StoryStep(60, "launching", CREATING),
    ),
)
WORST = Story(
    "worst",
    "every minute something else, each round with new protons, each pod restarting, each replacement failing",
    (
        StoryStep(60, "running"),
        StoryStep(60, "stopping", NOT_READY),
        StoryStep(60, "errored", CRASHING._replace(restart_every=20), event="Replacement Errored", message="m" * 500),
        StoryStep(60, "launching", CREATING, proton=1),
        StoryStep(20, "running", candidate=("warming", NOT_READY), replacement="awaiting_promotion", proton=1),
        StoryStep(20, "running", proton=2, outgoing="running", replacement="switching"),
    ),
    replicas=12,
)


def active_alerts(pods: SimulatedPods) -> Story:
    return Story("holds", "the same all the time", (StoryStep(FOREVER, "running", pods),), replicas=1)


class Alike(World):
    """Workloads that all play one story, each `apart` seconds ahead of the one before."""

    def __init__(self, size: int, story: Story, apart: float) -> None:
        super().__init__(size, 7, 1.0, START)
        self._story, self._apart = story, apart

    def actor(self, number: int) -> Actor:
        actor = super().actor(number)
        if actor.story is not self._story:
            actor.story, actor.importance = self._story, "moderate"
            if self._story.seconds != float("inf"):
                actor.origin = START - number * self._apart % self._story.seconds
        return actor

    def listed(self, now: float) -> list[int]:
        return list(range(self.size))

    def find(self, workload: str, now: float) -> Actor | None:
        return next((a for a in map(self.actor, range(self.size)) if a.id(a.moment(now)) == workload), None)


def swept(
    size: int, story: Story, hours: float, each: Callable[[Stage], Any], apart: float = 7.0, **facts: Any
) -> None:
    """Watch such a fleet; `each` is called after each sweep."""
    interval = facts.setdefault("interval", 60.0)

    async def play(stage: Stage) -> None:
        async def after() -> None:
            result = each(stage)
            if asyncio.iscoroutine(result):
                await result

        await stage.run(hours * HOUR, after, interval)

    simulator = simulated(size)
    simulator.world = Alike(size, story, apart)
    played(play, simulator, tracing=TRACING, **facts)


def written(stage: Stage) -> Pending:
    """What a commit would write, as if it had been."""
    pending = stage.monitor.pending()
    stage.monitor.state.written(pending)
    return pending


class Turn(NamedTuple):
    """What there was after a sweep and a turn of the sender: how many traces were ever put in, and what waits."""

    put: int
    waiting: list[bytes]
    size: int
    dropped: float


class Flood(NamedTuple):
    """Two hours without a collector and what came once there was one. `put`: id, spans and bytes of each trace."""

    workloads: int
    max_bytes: int
    made: list[EpisodeTrace]
    put: list[tuple[bytes, int, int]]
    turns: list[Turn]
    sent: list[bytes]


class Away:
    """A collector that cannot be reached until it is `back`."""

    def __init__(self) -> None:
        self.back, self.bodies = False, list[bytes]()

    def send(self, body: bytes) -> Verdict:
        if not self.back:
            return Verdict("retry", "down", "connect")
        self.bodies.append(body)
        return Verdict("accepted", "ok")

    def close(self) -> None:
        pass


@pytest.fixture(scope="module", params=[200, pytest.param(2000, marks=pytest.mark.exhaustive)])
def flood(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flood:
    workloads = request.param
    flood, away = Flood(workloads, 500 * workloads, [], [], [], []), Away()
    store = Store(tmp_path_factory.mktemp("flood") / "state.db")
    settings = TraceSettings.model_validate({"endpoint": "http://c.test", "max_bytes": flood.max_bytes})
    senders: list[Sender] = []

    async def each(stage: Stage) -> None:
        if not senders:
            clock = Clock(lambda: stage.wall, lambda: stage.now)
            senders.append(Sender(store, away, stage.report, settings, clock))
        pending = written(stage)
        traces = [(made, made.trace) for made in pending.traces if made.trace is not None]
        frozen = [EncodedTrace(made.key, len(trace.spans), encode(trace), stage.wall) for made, trace in traces]
        store.commit("acme", pending.ledgers, pending.tally, frozen)
        flood.made.extend(pending.traces)
        flood.put.extend((each.trace, each.spans, len(each.body)) for each in frozen)
        away.back = stage.now > 2 * HOUR - 500.0
        await senders[0].turn()
        while away.back and store.outbox().traces:
            await stage.rest(await senders[0].turn())
        waiting = [each.trace for each in store.batch(0, len(flood.put), 10**9, 10**9)]
        dropped = stage.report.registry.get_sample_value(DROPPED, {"reason": "cap"}) or 0
        flood.turns.append(Turn(len(flood.put), waiting, store.outbox().size, dropped))

    # No details are polled: what they add to a workload is limited below.
    swept(workloads, FLAPS, 2.0, each, interval=120.0, details=None)
    store.close()
    spans = ExportTraceServiceRequest.FromString(b"".join(away.bodies))
    flood.sent.extend(span.trace_id for of in spans.resource_spans for scope in of.scope_spans for span in scope.spans)
    return flood


DROPPED = "datarobot_exporter_trace_spans_dropped_total"


@pytest.mark.long
def test_the_outbox_stays_within_its_limit_and_loses_whole_traces_the_oldest_first_and_counted(flood: Flood) -> None:
    full = [turn for turn in flood.turns if turn.dropped and turn.waiting]
    assert len(full) > 40
    for turn in full:
        assert turn.size <= flood.max_bytes
        lost, kept = flood.put[: turn.put - len(turn.waiting)], flood.put[turn.put - len(turn.waiting) : turn.put]
        assert turn.waiting == [trace for trace, _, _ in kept]
        assert turn.dropped == sum(spans for _, spans, _ in lost)
        assert turn.size + lost[-1][2] > flood.max_bytes


@pytest.mark.long
def test_once_the_collector_is_back_it_gets_all_that_was_kept(flood: Flood) -> None:
    spans = {trace: spans for trace, spans, _ in flood.put}
    came = list(dict.fromkeys(flood.sent))
    assert came == [trace for trace, _, _ in flood.put[-len(came) :]]
    assert len(flood.sent) == sum(spans.values()) - flood.turns[-1].dropped
    assert flood.turns[-1].waiting == []
    assert Counter(flood.sent) == {trace: spans[trace] for trace in came}


@pytest.mark.long
def test_a_workload_has_twenty_traces_an_hour_and_one_of_what_was_folded(flood: Flood) -> None:
    assert len(flood.put) == len(flood.made) > 25 * flood.workloads
    assert_twenty_an_hour(flood.made, flood.workloads)


def assert_twenty_an_hour(made: Iterable[EpisodeTrace], workloads: int) -> None:
    of: dict[str, list[Trace]] = defaultdict(list)
    folds: Counter[str] = Counter()
    for each in made:
        assert each.trace is not None
        workload = str(each.trace.resource["datarobot.workload.id"])
        if each.kind == "flapping":
            folds[workload] += 1
        else:
            of[workload].append(each.trace)
    assert len(of) == workloads
    for workload, traces in of.items():
        ends = sorted(trace.spans[0].end / 1e9 for trace in traces)
        hours = (ends[-1] - ends[0]) / FLAPPING_SECONDS
        assert all(b - a > FLAPPING_SECONDS - 120 for a, b in zip(ends, ends[MAX_TRACED_EPISODES:], strict=False)), (
            workload
        )
        assert folds[workload] <= hours + 1
    assert sum(folds.values()) > 0


@pytest.mark.exhaustive
def test_what_is_known_of_the_worst_workload_stays_small() -> None:
    largest: dict[int, int] = defaultdict(int)
    made: list[EpisodeTrace] = []

    def each(stage: Stage) -> None:
        pending = written(stage)
        made.extend(pending.traces)
        sizes = [len(msgspec.json.encode(ledger)) for ledger in pending.ledgers.values() if ledger is not None]
        hour = int(stage.now // HOUR)
        largest[hour] = max(largest[hour], *sizes, 0)

    swept(2, WORST, 6.0, each)
    assert max(largest.values()) < 68_000
    assert largest[5] < 1.1 * largest[3]
    assert_twenty_an_hour(made, 2)


def test_crashes_of_a_workload_that_stays_up_are_no_flood_either() -> None:
    made: list[EpisodeTrace] = []
    often = Policy(60.0, 60.0, parts=frozenset({"pods"}))
    swept(
        2,
        active_alerts(OOM._replace(restart_every=90)),
        3.0,
        lambda stage: made.extend(written(stage).traces),
        policy=often,
    )
    assert_twenty_an_hour(made, 2)


def test_a_fleet_that_stops_at_once_has_a_trace_of_each_though_the_state_is_not_written_for_a_while() -> None:
    size, most = MAX_PENDING_TRACES + 500, list[int]()
    stops = Story(
        "stops", "it runs, and is stopped", (StoryStep(130, "running"), StoryStep(10 * HOUR, "stopped", COMPLETED))
    )
    made: list[EpisodeTrace] = []

    def each(stage: Stage) -> None:
        most.append(len(stage.monitor.pending().traces))
        if stage.now > 700:
            made.extend(written(stage).traces)

    swept(size, stops, 0.25, each, apart=0.0, interval=120.0, details=None)
    assert max(most) == MAX_PENDING_TRACES
    assert Counter(each.kind for each in made) == {"stop": size}
    assert len({each.key for each in made}) == size
