"""Traces of episodes: examples of data with the resulting spans, and laws of every trace."""

import hashlib
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.details import Event, EventDetails
from exporter.api.models import Artifact, Creator, Replacement, Workload
from exporter.api.pods import Container, LastState, PodCondition, Pods, Proton, Replica, StatusDetails
from exporter.fleet import apply, episodes, observations
from exporter.fleet.episodes import (
    Episode,
    EpisodeTracker,
    Mark,
    ObservedEvent,
    Past,
    PodFacts,
    ProtonTimes,
    Run,
    StatusChange,
)
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import Ledger
from exporter.fleet.reconcile import Snapshot, Sweep, step
from exporter.fleet.workload_state import WorkloadState
from exporter.tracing import builder, episode_traces
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import EpisodeTrace, sampled, settled
from exporter.tracing.identity import digest, span_id, trace_id
from exporter.tracing.trace import Span, Trace

HOST = "https://dr.example.test"
TRACING = Tracing(HOST)


# -- ids


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((HOST, "w", "start", ("p1", "first")), "0bad1c1eef91e697950e80d99f862eb7"),
        ((HOST, "w", "start", ("p1", "2026-11-20T10:00:00Z")), "f6d320c43d3e905da7ca5054d2dd380a"),
        ((HOST, "w", "stop", ("p1", "2026-11-20T10:00:00Z")), "fb499177f7aa48fe4d256a0b8fb536f2"),
        (("https://other.example.test", "w", "start", ("p1", "first")), "7d09f8ed59f257c0819589d17c4401a6"),
    ],
)
def test_ids_of_traces_never_change(parts: tuple[str, str, str, tuple[str, ...]], expected: str) -> None:
    assert trace_id(*parts).hex() == expected


def test_ids_of_spans_never_change() -> None:
    trace = bytes(range(16))
    assert span_id(trace, "root").hex() == "255bb1eb30ec446f"
    assert span_id(trace, "state", "launching", "1").hex() == "f06041e24b80c06e"


@given(st.lists(st.text(), max_size=5), st.lists(st.text(), max_size=5))
def test_digests_of_different_lists_of_parts_differ(one: list[str], other: list[str]) -> None:
    assert (digest(16, *one) == digest(16, *other)) == (one == other)


def test_an_id_is_never_all_zeros() -> None:
    zeros = next(str(n) for n in range(2000) if hashlib.sha256(b"\0\0\0\x04" + f"{n:04}".encode()).digest()[0] == 0)
    assert digest(1, f"{int(zeros):04}") != b"\0"


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_traces_are_sampled_by_their_ids_alone(ratio: float, share: float) -> None:
    ids = [digest(16, str(number)) for number in range(4000)]
    assert sum(sampled(each, ratio) for each in ids) / len(ids) == pytest.approx(share, abs=0.03)


# -- one episode


def workload(status: str = "running", **more: Any) -> Workload:
    defaults = {"id": "w", "name": "chat", "status": status, "type": "NIM", "importance": "High", "proton_id": "p1"}
    return Workload(**(defaults | more))


def made(
    episode: Episode, tracing: Tracing | None = TRACING, skew: float = 0.0, **facts: Any
) -> tuple[EpisodeTracker, tuple[EpisodeTrace, ...]]:
    """The tracker after the episode has settled, and its traces."""
    defaults: dict[str, Any] = {"over": (episode,), "pods_read": 9500.0, "events_read": 9500.0}
    tracker = EpisodeTracker(**(defaults | facts))
    state = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker))
    after, found = settled(state, 10_000.0, 9_900.0, tracing, skew)
    return after.ledger.tracker, found


def trace(episode: Episode, **facts: Any) -> Trace:
    (one,) = made(episode, **facts)[1]
    assert one.trace is not None
    return one.trace


def start(outcome: str = "success", last: float | None = 90.0, **facts: Any) -> Episode:
    """From 100 to 200 seconds: submitted, and launching from 150."""
    states = StatusChange("submitted", Mark(100.0, last)), StatusChange("launching", Mark(150.0, 120.0))
    defaults: dict[str, Any] = {"kind": "start", "opened": Mark(100.0, last), "before": "stopped", "states": states}
    defaults |= {"ended": Mark(200.0, 170.0), "outcome": outcome, "after": "running", "proton": "p1"}
    return Episode(**(defaults | facts))


def stop(**facts: Any) -> Episode:
    defaults: dict[str, Any] = {
        "kind": "stop",
        "opened": Mark(100.0, 90.0),
        "ended": Mark(200.0, 170.0),
        "outcome": "success",
    }
    return Episode(**(defaults | {"proton": "p1", "since": "S", "after": "stopped"} | facts))


def replaced(**facts: Any) -> Episode:
    defaults: dict[str, Any] = {
        "ended": Mark(200.0, 170.0),
        "outcome": "success",
        "replacement": "r1",
        "candidates": ("p2",),
    }
    return Episode("replacement", Mark(100.0, 90.0), **(defaults | facts))


def iso(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def proton(created: float | None = None, since: float | None = None) -> dict[str, ProtonTimes]:
    return {"p1": ProtonTimes(iso(created) if created else "", iso(since) if since else "")}


def edges(span: Span) -> tuple[float, str, float, str]:
    attributes = span.attributes
    return (
        span.start / 1e9, str(attributes["datarobot.time.start.source"]),
        span.end / 1e9, str(attributes["datarobot.time.end.source"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("episode", "facts", "key", "identity"),
    [
        (start(), {"protons": proton(95, 190)}, "p1/1970-01-01T00:03:10.000Z", "reported"),
        (start(), {"protons": proton(95)}, "p1/first", "reported"),
        (start("failure"), {"protons": proton(95, 190)}, "p1/first", "reported"),
        (start("failure"), {"protons": proton(20)}, "local/100.000", "local"),
        (start("failure"),
         {"protons": proton(20), "pods": {"b": PodFacts("p1", created=120.0), "a": PodFacts("p1", created=130.0)}},
         "p1/b", "reported"),
        (start("failure"), {"pods": {"b": PodFacts("p9", created=120.0), "c": PodFacts("p1")}},
         "local/100.000", "local"),
        (start(), {"protons": proton(20, 60)}, "local/100.000", "local"),
        (stop(), {}, "p1/S", "reported"),
        (stop(since=""), {}, "local/100.000", "local"),
        (stop(kind="failure"), {}, "p1/S", "reported"),
        (stop(kind="failure", since=""), {"protons": proton(20)}, "p1/first", "reported"),
        (stop(kind="failure", since="", cause="recovered"), {"protons": proton(20, 190)},
         "p1/1970-01-01T00:03:10.000Z", "reported"),
        (stop(kind="failure", since="", cause="recovered"), {"protons": proton(20, 60)}, "p1/first", "reported"),
        (replaced(), {}, "r1", "reported"),
        (replaced(replacement=""), {}, "p2", "reported"),
        (replaced(replacement="", candidates=()), {}, "local/100.000", "local"),
        (stop(kind="deletion"), {}, "deleted", "reported"),
        (start(recalled=True, since="S"), {}, "p1/S", "reported"),
        (stop(kind="flapping", since=""), {}, "local/100.000", "local"),
    ],
)  # fmt: skip
def test_an_episode_is_identified_by_reported_data(
    episode: Episode, facts: dict[str, Any], key: str, identity: str
) -> None:
    root = trace(episode, **facts).spans[0]
    assert root.attributes["datarobot.workload.episode.key"] == key
    assert root.attributes["datarobot.workload.episode.identity"] == identity


def test_a_second_failure_of_the_same_run_has_its_own_local_id() -> None:
    tracker, (first,) = made(stop(kind="failure"))
    again = stop(kind="failure", opened=Mark(300.0, 290.0), ended=Mark(400.0, 390.0))
    _, (second,) = made(again, past=tracker.past, numbers=tracker.numbers)
    assert first.trace is not None
    assert second.trace is not None
    assert first.trace.id != second.trace.id
    found = [
        (one.spans[0].attributes["datarobot.workload.episode.key"],
         one.spans[0].attributes["datarobot.workload.episode.identity"])
        for one in (first.trace, second.trace)
    ]  # fmt: skip
    assert found == [("p1/S", "reported"), ("p1/S/#2", "local")]


def test_each_of_many_failures_of_a_run_has_its_own_id() -> None:
    state, keys = WorkloadState("acme", workload(), Ledger(1.0, 1.0)), list[bytes]()
    for number in range(3 * episodes.MAX_PAST):
        at = 100.0 + number * (0.3 if number < 2 * episodes.MAX_PAST else 3.0) * episodes.PAST_SECONDS
        failure = stop(kind="failure", outcome="failure", opened=Mark(at, at - 10), ended=Mark(at + 50, at + 20))
        tracker = msgspec.structs.replace(state.ledger.tracker, over=(failure,))
        state, found = settled(state._replace(ledger=Ledger(1.0, 1.0, tracker=tracker)), at + 900, at + 800, TRACING)
        keys += [one.key for one in found]
    assert len(set(keys)) == len(keys) == 3 * episodes.MAX_PAST
    assert state.ledger.tracker.numbers == {"failure|p1|S": 3 * episodes.MAX_PAST}


@pytest.mark.parametrize("tracing", [TRACING, None])
def test_a_settled_episode_is_in_the_history_of_the_workload_with_and_without_traces(tracing: Tracing | None) -> None:
    crash = Episode("failure", Mark(100.0), ended=Mark(101.0), outcome="failure", cause="crashed")
    tracker = EpisodeTracker(over=(stop(), crash), pods_read=9500.0, events_read=9500.0)
    state = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker))
    after, _ = settled(state, 10_000.0, 9_900.0, tracing)
    assert after.ledger.history == (
        HistoryEntry(101.0, "episode", "failure", "crashed", 100.0, bad=True),
        HistoryEntry(200.0, "episode", "stop", "success", 100.0),
    )
    assert settled(after, 10_030.0, 10_000.0, tracing)[0].ledger.history == after.ledger.history


def test_crashes_and_local_episodes_need_no_number() -> None:
    crash = stop(kind="failure", cause="crashed", outcome="failure", candidates=("pod-1", "150.000"))
    assert made(crash, Tracing(HOST, crashes=True))[0].numbers == {}
    assert made(stop(since=""))[0].numbers == {}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, (100.0, "observed", 200.0, "observed")),
        ({"protons": proton(95, 190)}, (95.0, "reported", 190.0, "reported")),
        ({"protons": proton(87.9, 202.1)}, (100.0, "observed", 200.0, "observed")),
        ({"protons": proton(88.1, 201.9)}, (88.1, "reported", 201.9, "reported")),
        ({"events": {"e": ObservedEvent("Workload Started", 97.0)}}, (97.0, "reported", 200.0, "observed")),
    ],
)
def test_a_reported_time_counts_if_it_is_between_the_two_sweeps_around_the_change(
    facts: dict[str, Any], expected: tuple[float, str, float, str]
) -> None:
    assert edges(trace(start(), **facts).spans[0]) == expected


@pytest.mark.parametrize("never", [-62135596800.0, 0.0])
def test_a_reported_time_before_the_epoch_is_ignored(never: float) -> None:
    begun = start(opened=Mark(100.0, None, never), states=())
    assert edges(trace(begun, events={"e": ObservedEvent("Workload Started", never)}).spans[0])[:2] == (
        100.0,
        "observed",
    )


def test_a_container_that_never_started_hangs_before_its_readiness() -> None:
    never = LastState(reason="StartError", exit_code=128, started_at="1970-01-01T00:00:00Z", finished_at=iso(130.0))
    replica = Replica(
        name="a", status="running", started_at=iso(105.0), containers=(Container(name="m", last_state=never),),
        conditions=(PodCondition("PodScheduled", value=True, last_transition_time=iso(110.0)),
                    PodCondition("Initialized", value=True, last_transition_time=iso(110.0))),
    )  # fmt: skip
    reported = Pods((Proton("p1"),), {"p1": StatusDetails(replicas=(replica,))})
    tracker = observations.with_pods(EpisodeTracker(over=(start("failure"),)), reported, "p1", 150.0)
    assert phases(trace(start("failure"), pods=tracker.pods))[-1] == ("pull and start", 110.0, 200.0, True)


def test_an_observed_time_has_its_uncertainty() -> None:
    root = trace(start()).spans[0].attributes
    assert root["datarobot.time.start.uncertainty_ms"] == 10_000
    assert root["datarobot.time.end.uncertainty_ms"] == 30_000
    assert "datarobot.time.start.uncertainty_ms" not in trace(start(last=None)).spans[0].attributes


def test_observed_times_are_converted_to_the_clock_of_the_api() -> None:
    shifted = trace(start(), skew=3600.0, protons={"p1": ProtonTimes(iso(3695.0), iso(3790.0))})
    assert edges(shifted.spans[0]) == (3695.0, "reported", 3790.0, "reported")
    assert shifted.spans[0].attributes["datarobot.clock.offset_ms"] == 3_600_000
    assert edges(trace(start(), skew=-50.0).spans[0]) == (50.0, "observed", 150.0, "observed")


def test_with_an_unobserved_beginning_an_old_proton_was_restarted() -> None:
    begun = start(last=None, opened=Mark(9000.0), ended=Mark(9100.0, 9070.0), states=())
    pods = {"a": PodFacts("p1", created=8990.0)}
    old = {"p1": ProtonTimes("1970-01-01T00:00:10Z")}
    new = {"p1": ProtonTimes("1970-01-01T02:29:00Z")}
    assert trace(begun, protons=old, pods=pods).spans[0].start == 8990 * 10**9
    assert trace(begun, protons=new, pods=pods).spans[0].start == 8940 * 10**9
    assert trace(begun, protons=old).spans[0].start == 9000 * 10**9
    assert trace(begun).spans[0].attributes["datarobot.workload.beginning.unseen"] is True


@pytest.mark.parametrize(
    ("kind", "expected", "begun"),
    [
        ("start", [8000.0, 8500.0, 900.0], 8500.0),
        ("start", [900.0], 9000.0),
        ("stop", [900.0, 8500.0, 8000.0], 8500.0),
        ("stop", [900.0], 9000.0),
        ("failure", [900.0, 8500.0, 8000.0], 8500.0),
        ("failure", [900.0], 9000.0),
    ],
)
def test_an_unobserved_beginning_is_the_latest_recent_reported_time(
    kind: str, expected: list[float], begun: float
) -> None:
    events = {f"e{n}": ObservedEvent(f"Workload {kind}ped started", at) for n, at in enumerate(expected)}
    pods = {"a": PodFacts("p1", runs=tuple(Run("main", None, at, "Error", 1) for at in expected))}
    facts = {"pods": pods} if kind == "failure" else {"events": events}
    found = trace(stop(kind=kind, opened=Mark(9000.0), ended=Mark(9100.0, 9070.0)), **facts)
    assert found.spans[0].start / 1e9 == begun


def test_states_follow_each_other_and_a_repeated_state_is_another_span() -> None:
    states = tuple(
        StatusChange(s, Mark(at, at - 10)) for s, at in (("launching", 100.0), ("warming", 130.0), ("launching", 160.0))
    )
    _, *children = trace(start(states=states)).spans
    assert [(span.name, span.start / 1e9, span.end / 1e9) for span in children] == [
        ("launching", 100.0, 130.0), ("warming", 130.0, 160.0), ("launching", 160.0, 200.0),
    ]  # fmt: skip
    assert len({span.id for span in children}) == 3


def test_a_start_without_observed_states_is_marked() -> None:
    root = trace(start(states=())).spans[0]
    assert root.attributes["datarobot.workload.states.unseen"] is True


def pod(**facts: Any) -> PodFacts:
    true: dict[str, float] = {"PodScheduled": 110.0, "Initialized": 112.0, "Ready": 180.0}
    defaults: dict[str, Any] = {"proton": "p1", "created": 105.0, "conditions": true, "started": 160.0, "ready": True}
    return PodFacts(**(defaults | facts))


def phases(found: Trace) -> list[tuple[str, float, float, bool]]:
    """Name, start, end and failure of each phase of a replica."""
    root = next((span for span in found.spans if span.name == "replica"), None)
    mine = [span for span in found.spans if root is not None and span.parent == root.id]
    return [(span.name, span.start / 1e9, span.end / 1e9, span.error is not None) for span in mine]


def test_a_replica_shows_where_its_start_spent_the_time() -> None:
    found = trace(start(), pods={"a": pod()}, protons=proton(101.0))
    assert phases(found) == [
        ("schedule", 101.0, 110.0, False), ("init", 110.0, 112.0, False),
        ("pull and start", 112.0, 160.0, False), ("readiness", 160.0, 180.0, False),
    ]  # fmt: skip
    replica = next(span for span in found.spans if span.name == "replica")
    assert edges(replica) == (101.0, "reported", 180.0, "reported")


@pytest.mark.parametrize(
    ("outcome", "facts", "last", "kind"),
    [
        ("failure", {"conditions": {}, "problem": "Unschedulable"}, ("schedule", 105.0, 200.0, True), "Unschedulable"),
        ("failure", {"conditions": {}}, ("schedule", 105.0, 200.0, True), "Unschedulable"),
        ("failure", {"started": None, "problem": "ImagePullBackOff"}, ("pull and start", 112.0, 200.0, True),
         "ImagePullBackOff"),
        ("failure", {"conditions": {"PodScheduled": 110.0, "Initialized": 112.0}}, ("readiness", 160.0, 200.0, True),
         "NotReady"),
        ("cancellation", {"started": None}, ("pull and start", 112.0, 200.0, False), ""),
        ("success", {"conditions": {"PodScheduled": 110.0, "Initialized": 112.0, "Ready": 900.0}},
         ("readiness", 160.0, 200.0, False), ""),
    ],
)  # fmt: skip
def test_the_phase_in_which_a_replica_hangs_lasts_until_the_episode_ends(
    outcome: str, facts: dict[str, Any], last: tuple[str, float, float, bool], kind: str
) -> None:
    found = trace(start(outcome), pods={"a": pod(ready=False, **facts)})
    assert phases(found)[-1] == last
    hung = next(span for span in found.spans if span.name == last[0])
    assert hung.attributes["datarobot.replica.phase.unfinished"] is True
    assert hung.attributes.get("error.type", "") == kind


def test_a_pod_without_a_node_has_waited_since_the_episode_began() -> None:
    found = trace(start("failure"), pods={"a": pod(created=None, conditions={}, started=None, ready=False)})
    assert phases(found) == [("schedule", 100.0, 200.0, True)]


def test_a_replica_without_a_reported_beginning_has_a_derived_one() -> None:
    found = trace(start("failure"), pods={"a": pod(created=None, conditions={}, started=None, ready=False)})
    root, replica, phase = found.spans[0], *found.spans[-2:]
    assert [edges(span) for span in (root, replica, phase)] == [
        (100.0, "observed", 200.0, "observed"), *[(100.0, "derived", 200.0, "observed")] * 2,
    ]  # fmt: skip
    uncertain = {span.attributes["datarobot.time.start.uncertainty_ms"] for span in (root, replica, phase)}
    assert uncertain == {10_000}


def test_pods_of_other_protons_and_earlier_pods_are_left_out() -> None:
    assert phases(trace(start(), pods={"a": pod(proton="p9"), "b": pod(created=20.0)})) == []
    assert phases(trace(stop(), pods={"a": pod()})) == []


def test_replicas_with_problems_and_the_slowest_are_shown_first() -> None:
    pods = {f"pod-{n:02}": pod(conditions={"Ready": 150.0 + n}) for n in range(20)} | {
        "bad": pod(problem="Error", ready=False)
    }
    found = trace(start(), pods=pods)
    shown = [span.attributes["k8s.pod.name"] for span in found.spans if span.name == "replica"]
    assert shown[:3] == ["bad", "pod-19", "pod-18"]
    assert len(shown) == builder.MAX_REPLICAS
    assert found.spans[0].attributes["datarobot.dropped.replicas"] == 5


@pytest.mark.parametrize("episode", [start("failure"), stop(kind="failure", outcome="failure")])
def test_container_runs_are_shown_for_the_same_number_of_replicas(episode: Episode) -> None:
    lives = tuple(Run("main", 110.0 + n, 110.5 + n, "Error", 1) for n in range(observations.MAX_RUNS))
    pods = {f"pod-{n:02}": pod(created=20.0, ready=False, runs=lives) for n in range(observations.MAX_PODS)}
    pods["bad"] = pod(created=20.0, problem="Error", ready=False, runs=lives)
    found = trace(episode, pods=pods)
    shown = [str(span.attributes["k8s.pod.name"]) for span in found.spans if span.name == "container run"]
    assert len(shown) == builder.MAX_REPLICAS * observations.MAX_RUNS
    assert {*shown} == {"bad", *(f"pod-{n:02}" for n in range(builder.MAX_REPLICAS - 1))}
    assert found.spans[0].attributes["datarobot.dropped.replicas"] == observations.MAX_PODS + 1 - builder.MAX_REPLICAS


def test_a_replica_names_the_container_with_the_problem() -> None:
    found = trace(start("failure"), pods={"a": pod(ready=False, problem="Error", container="sidecar")})
    replica = next(span for span in found.spans if span.name == "replica")
    assert replica.attributes["k8s.container.name"] == "sidecar"


def test_a_run_that_ends_before_it_starts_has_the_shortest_duration() -> None:
    found = trace(start(), pods={"a": pod(runs=(Run("main", 130.0, 120.0, "Error", 1),))})
    assert edges(next(span for span in found.spans if span.name == "container run")) == (
        130.0, "reported", 130.000001, "derived",
    )  # fmt: skip


def test_a_child_outside_the_observed_times_widens_the_root() -> None:
    found = trace(
        start(), pods={"a": pod(conditions={"PodScheduled": 99.0, "Initialized": 112.0, "Ready": 201.5}, created=98.5)}
    )
    assert edges(found.spans[0]) == (98.5, "derived", 201.5, "derived")


RUNS = (
    Run("main", 110.0, 120.0, "Error", 1),
    Run("main", 130.0, 140.0, "Completed", 0),
    Run("main", 150.0, 160.0, "Completed"),
    Run("main", 20.0, 105.0, "OOMKilled", 137),
    Run("main", None, 106.0, "", None),
    Run("main", 20.0, 30.0, "Error", 1),
)


def test_container_runs_within_the_episode_are_spans_and_longer_ones_events() -> None:
    found = trace(start("failure"), pods={"a": pod(runs=RUNS)})
    lives = [(s.start / 1e9, s.end / 1e9, s.error is not None) for s in found.spans if s.name == "container run"]
    assert lives == [(110.0, 120.0, True), (130.0, 140.0, False), (150.0, 160.0, False)]
    assert [(event.name, event.at / 1e9) for event in found.spans[0].events] == [
        ("datarobot.container.terminated", 105.0), ("datarobot.container.terminated", 106.0),
    ]  # fmt: skip
    assert found.spans[0].attributes["error.type"] == "OOMKilled"


@pytest.mark.parametrize(
    ("episode", "facts", "kind"),
    [
        (start("failure"), {"pods": {"a": pod(ready=False, problem="other")}}, "_OTHER"),
        (start("failure"), {"pods": {"a": pod(ready=False, problem="CrashLoopBackOff")}}, "CrashLoopBackOff"),
        (start("failure"), {"pods": {"a": pod(ready=False)}}, "NotReady"),
        (start("failure"), {}, "Errored"),
        (start("failure", cause="terminated"), {}, "Terminated"),
        (stop(outcome="error"), {}, "Interrupted"),
        (replaced(outcome="failure", cause="errored"), {}, "ReplacementErrored"),
        (replaced(outcome="failure", cause="reverted"), {}, "ReplacementReverted"),
        (stop(kind="flapping", outcome="failure", cause="flapping", folded=7), {}, "Flapping"),
        (stop(kind="flapping", outcome="error", cause="flapping", folded=7), {}, "Flapping"),
    ],
)
def test_the_error_type_is_of_a_closed_set(episode: Episode, facts: dict[str, Any], kind: str) -> None:
    root = trace(episode, **facts).spans[0]
    assert root.attributes["error.type"] == kind
    assert root.error is not None


@pytest.mark.parametrize(
    "episode",
    [
        start("timeout"),
        stop(kind="failure", outcome="timeout"),
        replaced(outcome="timeout", cause="timeout"),
        stop(kind="flapping", outcome="success", cause="flapping", folded=7),
        start("cancellation"),
    ],
)
def test_an_episode_that_has_not_failed_has_no_error(episode: Episode) -> None:
    found = trace(episode, pods={"a": pod(ready=False, started=None, problem="Error")})
    assert [span.error for span in found.spans] == [None] * len(found.spans)
    assert not [span for span in found.spans if "error.type" in span.attributes]
    assert found.spans[0].attributes["datarobot.workload.episode.outcome"] == episode.outcome


def test_a_failure_has_the_message_of_the_platform() -> None:
    events = {
        "a": ObservedEvent("Replacement Errored", 150.0, "token=abc was refused"),
        "b": ObservedEvent("Scaled", 160.0), "c": ObservedEvent("Scaled", 400.0, "later"),
    }  # fmt: skip
    root = trace(replaced(outcome="failure", cause="errored"), events=events).spans[0]
    assert root.error == "token=[…] was refused"
    assert [event.attributes["datarobot.event.id"] for event in root.events] == ["a", "b"]
    assert trace(start(), events=events).spans[0].error is None


def test_all_texts_of_the_api_are_masked_and_short_in_every_field() -> None:
    said = "token=hunter2 at 10.1.2.3 for jane@example.test"
    pod_name = "lrs-65a4f0c2b1d3e4f5a6b7c8d9-primary-7d9f8b6c5d-x2x4z"
    long = said + "x" * 9999
    states = (
        StatusChange("warming", Mark(100.0, 90.0)),
        StatusChange(said, Mark(150.0, 120.0)),
        StatusChange("\0", Mark(160.0, 150.0)),
    )
    found = trace(
        replaced(states=states, candidates=(said, "p2"), replacement=long, outcome="failure", before=long, after=said),
        pods={pod_name: pod(proton="p2", container=said), said: pod(proton=said, runs=RUNS)},
        events={said: ObservedEvent(long, 150.0, said)},
    )
    text = _words(found)
    assert not [secret for secret in ("hunter2", "10.1.2.3", "jane@", "xxxx") if secret in text]
    assert {"warming", "token=[…] at [address] for [e-mail]", "unknown"} <= {span.name for span in found.spans}
    assert pod_name in {span.attributes.get("k8s.pod.name") for span in found.spans}, (
        "not a secret, though it resembles one"
    )


def test_a_workload_name_that_resembles_an_address_is_masked() -> None:
    named = WorkloadState(
        "acme", workload(name="chat of jane@example.test, llama-3-70b-instruct-production-eu"), Ledger(1.0, 1.0)
    )
    found = builder.resource(named, Tracing(HOST, "{name}", {"team": "me@home"}))
    name = "chat of [e-mail], llama-3-70b-instruct-production-eu"
    assert (found["service.name"], found["datarobot.workload.name"], found["team"]) == (name, name, "me@home")


def test_events_beyond_the_limit_are_counted() -> None:
    events = {f"e{n:02}": ObservedEvent("Scaled", 101.0 + n) for n in range(40)}
    root = trace(start(), events=events).spans[0]
    assert (len(root.events), root.attributes["datarobot.dropped.events"]) == (builder.MAX_SPAN_EVENTS, 8)


def test_an_end_before_the_beginning_is_derived() -> None:
    root = trace(stop(ended=Mark(100.0, None, 80.0), opened=Mark(100.0))).spans[0]
    assert edges(root) == (100.0, "observed", 100.000001, "derived")


def test_each_span_ends_after_its_start() -> None:
    states = StatusChange("provisioning", Mark(100.0)), StatusChange("launching", Mark(100.0))
    at_once = {"PodScheduled": 100.0, "Initialized": 100.0, "Ready": 100.0}
    found = trace(
        start(opened=Mark(100.0), ended=Mark(100.0), states=states),
        pods={"a": pod(created=100.0, started=100.0, conditions=at_once)},
    )
    assert len(found.spans) > 5
    assert min(span.end - span.start for span in found.spans) == builder.SHORTEST_NS
    root = trace(stop(ended=Mark(100.0), opened=Mark(100.0))).spans[0]
    assert edges(root) == (100.0, "observed", 100.000001, "observed")


def test_a_trace_links_to_the_previous_one() -> None:
    past = Past("k", "stop", "aa" * 16, "bb" * 8, 10.0, 20.0), Past("d", "deletion", "cc" * 16, "dd" * 8, 30.0, 30.0)
    (link,) = trace(start(), past=past).spans[0].links
    assert (link.trace.hex(), link.span.hex(), link.attributes["datarobot.link.type"]) == (
        "aa" * 16,
        "bb" * 8,
        "previous",
    )
    assert trace(stop(kind="flapping", folded=2), past=past).spans[0].links == ()


def test_the_resource_is_the_workload_as_it_names_itself_in_its_own_traces() -> None:
    settings_ = Tracing(HOST, attributes={"team": "x"})
    assert trace(stop(), tracing=settings_).resource == {
        "team": "x", "service.name": "workload-w", "service.namespace": "datarobot", "datarobot.workload.id": "w",
        "datarobot.workload.name": "chat", "datarobot.host": HOST,
    }  # fmt: skip
    assert trace(stop(), tracing=Tracing(HOST, "{name}!")).resource["service.name"] == "chat!"


# -- which traces are made


def test_crashes_have_traces_if_enabled_and_count_towards_the_limit() -> None:
    crash = stop(kind="failure", outcome="failure", cause="crashed", ended=Mark(9000.0))
    for tracing in (None, TRACING):
        assert made(crash, tracing)[1] == ()
    wanted = Tracing(HOST, crashes=True)
    tracker, (one,) = made(crash, wanted)
    assert (one.kind, tracker.recent, tracker.flapping) == ("failure", (9000.0,), None)
    tracker, none = made(crash, wanted, recent=(8000.0,) * episodes.MAX_TRACED_EPISODES)
    assert (none, tracker.flapping and tracker.flapping.folded) == ((), 1)


@pytest.mark.parametrize(
    ("episode", "tracing", "wanted"),
    [
        (stop(), None, False),
        (stop(), TRACING, True),
        (stop(), Tracing(HOST, kinds=frozenset({"start"})), False),
        (stop(kind="flapping", outcome="failure"), Tracing(HOST, kinds=frozenset()), True),
        (stop(kind="flapping", kinds=("start", "stop")), Tracing(HOST, kinds=frozenset({"stop"})), True),
        (stop(kind="flapping", kinds=("start", "stop")), Tracing(HOST, kinds=frozenset({"failure"})), False),
        (stop(), Tracing(HOST, ratio=0.0), False),
        (stop(outcome="timeout"), Tracing(HOST, ratio=0.0), True),
        (stop(outcome="error"), Tracing(HOST, ratio=0.0), True),
        (stop(), Tracing(HOST, importance=frozenset({"critical"})), False),
        (stop(outcome="error"), Tracing(HOST, importance=frozenset({"high"})), True),
        (start(), Tracing(HOST, min_duration=101.0), False),
        (start(), Tracing(HOST, min_duration=100.0), True),
        (start("failure"), Tracing(HOST, min_duration=1000.0), True),
    ],
)
def test_a_trace_is_made_if_selected_and_for_every_failure(
    episode: Episode, tracing: Tracing | None, wanted: bool
) -> None:
    tracker, (one,) = made(episode, tracing)
    assert (one.kind, one.outcome, one.seconds) == (episode.kind, episode.outcome, 100.0)
    assert (one.trace is not None) == wanted
    assert (len(tracker.past), tracker.over) == (1, ())


def test_a_crash_has_a_trace_only_if_enabled_and_is_identified_by_pod_and_time() -> None:
    crash = stop(kind="failure", cause="crashed", outcome="failure", candidates=("pod-1", "150.000"))
    assert made(crash)[1] == ()
    assert made(crash, None)[1] == ()
    root = trace(crash, tracing=Tracing(HOST, crashes=True)).spans[0]
    assert root.attributes["datarobot.workload.episode.key"] == "p1/S/pod-1/150.000"
    assert "datarobot.replacement.proton.candidate.id" not in root.attributes


def test_an_episode_from_before_the_first_sweep_is_marked_as_backfilled() -> None:
    _, (one,) = made(start(recalled=True, since="S"))
    assert one.outcome == "recalled"
    assert one.trace is not None
    assert one.trace.spans[0].attributes["datarobot.workload.episode.backfilled"] is True


def test_an_unsettled_episode_stays() -> None:
    state = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=EpisodeTracker(over=(stop(),))))
    assert settled(state, 201.0, 150.0, TRACING) == (state, ())


# -- late events and checkpoints


def test_an_event_reported_after_the_trace_becomes_a_span_under_the_same_root() -> None:
    tracker, (first,) = made(stop())
    assert first.trace is not None
    late = {f"e{n}": ObservedEvent("Scaled", 150.0 + n) for n in range(5)} | {"x": ObservedEvent("Scaled", 999.0)}
    after, more = settled(
        WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=msgspec.structs.replace(tracker, late=late))),
        2000.0,
        1900.0,
        TRACING,
    )
    spans = [one.trace.spans[0] for one in more if one.trace is not None]
    assert [(span.name, span.start, span.parent) for span in spans] == [
        ("late event", (150 + n) * 10**9, first.trace.spans[0].id) for n in range(episodes.MAX_LATE)
    ]
    assert {one.trace.id for one in more if one.trace is not None} == {first.trace.id}
    assert len({one.key for one in (first, *more)}) == 4
    assert after.ledger.tracker.late == {}
    untraced = settled(
        WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=msgspec.structs.replace(tracker, late=late))),
        2000.0,
        1900.0,
        None,
    )
    assert untraced[1] == ()


@pytest.mark.parametrize("tracing", [None, Tracing(HOST, ratio=0.0), Tracing(HOST, kinds=frozenset({"start"}))])
def test_nothing_is_added_or_linked_to_a_trace_that_was_never_made(tracing: Tracing | None) -> None:
    tracker, _ = made(stop(), tracing)
    assert [past.sent for past in tracker.past] == [False]
    event = Event("e1", iso(150.0), "Scaled")
    assert observations.with_events(tracker, [event], frozenset(), 9600.0).late == {}
    late = msgspec.structs.replace(tracker, late={"e1": ObservedEvent("Scaled", 150.0)})
    assert settled(WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=late)), 2000.0, 1900.0, TRACING)[1] == ()
    assert trace(start(opened=Mark(300.0, 290.0), ended=Mark(400.0)), past=tracker.past).spans[0].links == ()


def test_a_long_episode_has_checkpoints_to_which_its_trace_links() -> None:
    tracing = Tracing(HOST, checkpoint_after=1000.0)
    tracker = EpisodeTracker(
        life=Episode("start", Mark(100.0, 90.0), states=(StatusChange("launching", Mark(100.0, 90.0)),), proton="p1")
    )
    state = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker))
    assert settled(state, 1099.0, 1000.0, tracing) == (state, ())
    once, (first,) = settled(state, 1100.0, 1000.0, tracing)
    assert first.trace is not None
    assert first.trace.spans[0].name == "workload start (stuck)"
    assert first.trace.spans[0].attributes["datarobot.workload.episode.outcome"] == "timeout"
    assert [span.error for span in first.trace.spans] == [None, None]
    assert settled(once, 1200.0, 1100.0, tracing)[1] == ()
    _, (second,) = settled(once, 2100.0, 2000.0, tracing)
    assert second.key != first.key
    life = once.ledger.tracker.life
    assert life is not None
    over = msgspec.structs.replace(life, ended=Mark(1300.0, 1290.0), outcome="success", after="running")
    done = msgspec.structs.replace(once.ledger.tracker, life=None, over=(over,))
    _, (last,) = settled(once._replace(ledger=Ledger(1.0, 1.0, tracker=done)), 2000.0, 1900.0, tracing)
    assert last.trace is not None
    assert [link.trace for link in last.trace.spans[0].links] == [first.trace.id]
    assert last.trace.id != first.trace.id


def test_the_last_checkpoint_is_kept_and_each_links_to_the_one_before() -> None:
    tracing = Tracing(HOST, checkpoint_after=1000.0)
    before = Past("k", "stop", "aa" * 16, "bb" * 8, 10.0, 20.0), Past("checkpoint", "start", "", "", 5.0, 30.0)
    tracker = EpisodeTracker(life=Episode("start", Mark(100.0, 90.0), proton="p1"), past=before)
    state, last = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker)), list[bytes]()
    for number in range(1, 61):
        state, (one,) = settled(state, 100.0 + number * 1000.0, 100.0 + number * 1000.0 - 30.0, tracing)
        assert one.trace is not None
        assert [link.trace for link in one.trace.spans[0].links] == [bytes.fromhex("aa" * 16), *last]
        last = [one.trace.id]
    assert [past.key for past in state.ledger.tracker.past] == ["k", "checkpoint"]


def test_after_a_time_without_sweeps_only_the_newest_checkpoint_is_made() -> None:
    tracing = Tracing(HOST, checkpoint_after=1000.0)
    tracker = EpisodeTracker(life=Episode("start", Mark(100.0, 90.0), proton="p1"))
    state, (one,) = settled(
        WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker)), 7300.0, 7200.0, tracing
    )
    assert one.key == trace_id(HOST, "w", "start", ("local", "100.000", "checkpoint", "7"))
    assert settled(state, 7400.0, 7300.0, tracing) == (state, ())
    assert len(settled(state, 8100.0, 8000.0, tracing)[1]) == 1


def test_a_long_replacement_has_a_checkpoint_only_if_selected() -> None:
    tracing = Tracing(HOST, kinds=frozenset({"start"}), checkpoint_after=1000.0)
    tracker = EpisodeTracker(rollout=Episode("replacement", Mark(100.0, 90.0), replacement="r1"))
    after, found = settled(
        WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker)), 1100.0, 1000.0, tracing
    )
    assert found == ()
    assert after.ledger.tracker.rollout is not None
    assert after.ledger.tracker.rollout.checkpoints == 1


def test_episodes_in_progress_are_listed_with_the_ids_of_their_future_traces() -> None:
    life = Episode("stop", Mark(100.0), states=(StatusChange("stopping", Mark(100.0)),), proton="p1", since="S")
    crash = stop(kind="failure", cause="crashed")  # without a trace: crashes are not enabled
    over = (start(), crash)
    tracker = EpisodeTracker(life=life, rollout=Episode("replacement", Mark(50.0)), over=over, protons=proton(95, 190))
    state = WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker))
    now = list(episode_traces.in_progress(state, TRACING))
    assert [(each["kind"], each["since"], each["status"]) for each in now] == [
        ("stop", 100.0, "stopping"), ("replacement", 50.0, ""), ("start", 100.0, "launching"),
    ]  # fmt: skip
    assert now[0]["trace_id"] == trace_id(HOST, "w", "stop", ("p1", "S")).hex()
    assert [each["trace_id"] for each in now[1:]] == ["", ""], "nothing was found of the one, more may be of the other"


@pytest.mark.parametrize(
    ("episode", "key"),
    [
        (Episode("replacement", Mark(100.0), replacement="r1"), ("r1",)),
        (Episode("failure", Mark(100.0), proton="p1", since="S"), ("p1", "S")),
        (Episode("stop", Mark(100.0), proton="p1", since="T"), ("p1", "T", "#2")),
    ],
    ids=["a replacement", "a failure of a run", "a second stop of the same run"],
)
def test_the_future_id_is_known_if_nothing_can_change_it(episode: Episode, key: tuple[str, ...]) -> None:
    tracker = EpisodeTracker(life=episode, protons=proton(95), numbers={"stop|p1|T": 1})
    (found,) = episode_traces.in_progress(WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker)), TRACING)
    assert found["trace_id"] == trace_id(HOST, "w", episode.kind, key).hex()


def test_the_future_id_is_unknown_while_an_episode_with_the_same_key_has_no_trace() -> None:
    life = Episode("failure", Mark(300.0), proton="p1", since="S")
    tracker = EpisodeTracker(life=life, over=(stop(kind="failure"),))
    now, before = episode_traces.in_progress(
        WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=tracker)), TRACING
    )
    first = trace_id(HOST, "w", "failure", ("p1", "S")).hex()
    assert (now["trace_id"], before["trace_id"]) == ("", first)
    crash = stop(kind="failure", cause="crashed")
    alone = msgspec.structs.replace(tracker, over=(crash,))
    (now,) = episode_traces.in_progress(WorkloadState("acme", workload(), Ledger(1.0, 1.0, tracker=alone)), TRACING)
    assert now["trace_id"] == first


# -- laws


CANARIES = ("canary-creator", "canary@example.test", "10.9.8.7", "canary-log-line", "sekret=canary-value")
WORDS = f"it failed for {CANARIES[1]} at {CANARIES[2]} with secret={CANARIES[4]}"
STATUSES = (
    "running submitted provisioning launching errored stopping stopped interrupted terminated Hibernating".split()
)


def _sweep(status: str, serving: str, record: int) -> Workload:
    replacement = (
        Replacement(id=f"r{record}", status="warming", candidate_proton_ids=(f"c{record}",)) if record else None
    )
    return workload(
        status, proton_id=serving, replacement=replacement, artifact=Artifact(status="draft"), created_at=iso(1.0),
        creator=Creator(id=CANARIES[0], username=CANARIES[1]),
    )  # fmt: skip


times = st.floats(0, 900)
replicas = st.builds(
    Replica,
    name=st.sampled_from(["a", "b", "c"]),
    status=st.sampled_from(["running", "pending", "failed"]),
    started_at=times.map(iso),
    conditions=st.lists(
        st.builds(
            PodCondition, type=st.sampled_from(["PodScheduled", "Initialized", "Ready"]), value=st.booleans(),
            last_transition_time=times.map(iso), message=st.just(CANARIES[3]),
        ),
        max_size=3,
    ).map(tuple),
    containers=st.lists(
        st.builds(
            Container, name=st.just("main"), status=st.sampled_from(["running", "waiting", "terminated"]),
            ready=st.booleans(), reason=st.sampled_from(["", "CrashLoopBackOff", "OOMKilled", CANARIES[3]]),
            message=st.just(CANARIES[3]), started_at=times.map(iso), restart_count=st.integers(0, 9),
            last_state=st.none() | st.builds(
                LastState, reason=st.sampled_from(["Error", "Completed", "OOMKilled"]), exit_code=st.integers(0, 255),
                started_at=times.map(iso), finished_at=times.map(iso), message=st.just(CANARIES[3]),
            ),
        ),
        max_size=2,
    ).map(tuple),
)  # fmt: skip
pods = st.builds(
    lambda proton, since, created, there: Pods(
        (Proton(proton, running_since=iso(since), created_at=iso(created)),),
        {proton: StatusDetails(replicas=tuple(there))},
    ),
    st.sampled_from(["p1", "p2", "c1"]), times, times, st.lists(replicas, max_size=3),
)  # fmt: skip
events = st.lists(
    st.builds(
        lambda number, at, kind: Event(f"e{number}", iso(at), kind, details=EventDetails(message=WORDS)),
        st.integers(0, 9), times, st.sampled_from(["Replacement Completed", "Replacement Errored", "Workload Stopped"]),
    ),
    max_size=4,
)  # fmt: skip
happenings = st.lists(
    st.one_of(
        st.tuples(
            st.just("sweep"),
            st.builds(_sweep, st.sampled_from(STATUSES), st.sampled_from(["p1", "p2"]), st.integers(0, 2)),
        ),
        st.tuples(st.just("gone"), st.none()),
        st.tuples(st.just("pods"), pods),
        st.tuples(st.just("events"), events),
    ),
    min_size=2,
    max_size=30,
)


def lived(happened: list[tuple[str, Any]], restart: int = -1) -> list[EpisodeTrace]:
    """Traces of a workload to which something happens every 30 seconds; at `restart` the state is restored."""
    known, now, found = Snapshot("acme", baseline=False), 0.0, list[EpisodeTrace]()
    tail = [("sweep", _sweep("Hibernating", "p1", 0))] * 14
    for number, (kind, value) in enumerate([*happened, *tail]):
        now += 30.0
        if kind in ("sweep", "gone"):
            known = step(known, Sweep((value,) if value is not None else (), ()), now)
            for there in (known.workloads, known.missing, known.gone):
                assert isinstance(there, dict)
                for i, state in there.items():
                    there[i], more = settled(state, now, known.previous, TRACING)
                    found.extend(more)
        elif (state := known.workloads.get("w")) is not None:
            assert isinstance(known.workloads, dict)
            known.workloads["w"] = apply.received(state, kind, tuple(value) if kind == "events" else value, now)[0]
        if number == restart:
            for there in (known.workloads, known.missing, known.gone):
                assert isinstance(there, dict)
                for i, state in there.items():
                    text = msgspec.json.encode(state.ledger)
                    there[i] = state._replace(ledger=msgspec.json.decode(text, type=Ledger))
    return found


def _words(found: Trace) -> str:
    return json.dumps(found, default=lambda value: value.hex() if isinstance(value, bytes) else str(value))


@given(happenings)
def test_every_trace_is_complete_and_contains_no_secret(happened: list[tuple[str, Any]]) -> None:
    for one in lived(happened):
        if one.trace is None or one.outcome == "late":
            continue
        root, *children = one.trace.spans
        ids = [span.id for span in one.trace.spans]
        assert len(set(ids)) == len(ids)
        assert root.parent == b""
        assert all(child.parent in ids for child in children)
        assert all(span.end >= span.start for span in one.trace.spans)
        assert all(root.start <= child.start and child.end <= root.end for child in children)
        assert (root.error is not None) == (one.outcome in ("failure", "error"))
        assert all(("error.type" in span.attributes) == (span.error is not None) for span in one.trace.spans)
        assert all(len(span.attributes) <= 64 for span in one.trace.spans)
        assert all(len(v) <= 256 for span in one.trace.spans for v in span.attributes.values() if isinstance(v, str))
        assert all(v is not None for span in one.trace.spans for v in span.attributes.values())
        assert not [canary for canary in CANARIES if canary in _words(one.trace)]


@given(happenings, st.integers(0, 40))
def test_a_restart_at_any_moment_changes_no_trace(happened: list[tuple[str, Any]], restart: int) -> None:
    assert lived(happened, restart) == lived(happened)


@given(
    st.permutations([Event(f"e{n}", iso(100 + n), "Scaled") for n in range(6)]), st.lists(st.integers(1, 5), max_size=3)
)
def test_events_make_the_same_trace_in_any_order_and_portions(order: list[Event], cuts: list[int]) -> None:
    def dealt(hands: list[list[Event]]) -> Trace:
        tracker = EpisodeTracker(life=Episode("start", Mark(100.0, 90.0)))
        for hand in hands:
            tracker = observations.with_events(tracker, hand, frozenset(), 150.0)
        return trace(start(), events=tracker.events)

    bounds = [0, *sorted(cuts), len(order)]
    hands = [order[a:b] for a, b in itertools.pairwise(bounds)]
    assert dealt([*hands, order[:2]]) == dealt([sorted(order, key=lambda event: event.id)])


@given(happenings)
def test_traces_with_the_same_id_have_the_same_contents(happened: list[tuple[str, Any]]) -> None:
    state: dict[bytes, Trace | None] = {}
    for one in lived(happened):
        if one.key in state:
            assert one.kind == "deletion"  # a workload that reappeared, and was deleted again
        state[one.key] = one.trace
