"""Totals of a workload: sequences of reported states with the resulting counts."""

import json
from collections.abc import Mapping, Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.details import Event, SharedRole
from exporter.api.pods import Container, Pods, Proton, Replica, StatusDetails
from exporter.fleet import counting
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import MAX_CONTAINER_NAMES, Durations, Entry, Ledger, Tally
from exporter.fleet.workload_state import NO_DETAILS, WorkloadState
from exporter.metrics.registry import FAMILIES, samples_of
from tests.fleet.parts import READ, after, event, goes_on, life, pods, rolling, workload


@pytest.mark.parametrize(
    ("statuses", "transitions"),
    [
        ("running running", {}),
        ("running errored running", {"errored": 1, "recovered": 1}),
        ("running errored submitted launching running", {"errored": 1, "started": 1, "ready": 1, "recovered": 1}),
        ("running stopping stopped submitted running", {"stopped": 1, "started": 1, "ready": 1}),
        ("stopped running", {"started": 1, "ready": 1}),
        ("stopped submitted", {"started": 1}),
        ("submitted running", {"ready": 1}),
        ("running launching running", {"ready": 1}),
        ("running interrupted submitted running", {"interrupted": 1, "started": 1, "ready": 1}),
        ("running suspended stopped", {"suspended": 1, "stopped": 1}),
        ("running errored stopped running", {"errored": 1, "stopped": 1, "started": 1, "ready": 1}),
        ("running errored terminated", {"errored": 1, "terminated": 1}),
        ("running Hibernating running", {}),
        ("errored Hibernating running", {"recovered": 1}),
        ("unknown running errored", {"errored": 1}),
        ("ERRORED failed running", {"recovered": 1}),
        ("submitted errored running", {"errored": 1, "recovered": 1}),
    ],
)  # fmt: skip
def test_statuses_in_turn_make_transitions(statuses: str, transitions: Mapping[str, int]) -> None:
    assert life(*(workload(status) for status in statuses.split())).transitions == transitions


@pytest.mark.parametrize("impossible", [-1, -999_999_997, 2**31, 2**64 - 1])
def test_an_impossible_restart_count_counts_nothing_and_forgets_nothing(impossible: int) -> None:
    ledger = Ledger(100.0, 100.0)
    for count in (2, impossible, 3, impossible, 5):
        before = ledger.restarts.get("main", 0)
        ledger = counting.with_pods(ledger, pods(("a", count, "")), 200.0)
        assert ledger.restarts["main"] >= before
    assert ledger.restarts == {"main": 3}


def test_a_container_name_that_changes_with_each_version_does_not_grow_the_ledger() -> None:
    ledger = Ledger(100.0, 100.0)
    for version in range(500):
        named = tuple(Container(name=f"{name}-v{version}", restart_count=version) for name in ("main", "proxy"))
        replica = Replica(name="a", status="running", containers=(*named, Container()))
        read = Pods((Proton(id="p1"),), {"p1": StatusDetails(replicas=(replica,))})
        ledger = counting.with_pods(ledger, read, 200.0 + version)
    assert len(ledger.restarts) == MAX_CONTAINER_NAMES + 1
    assert "" not in ledger.restarts
    assert ledger.restarts["other"] > 0
    state = WorkloadState("acme", workload(), ledger, NO_DETAILS._replace(pods=read))
    for name in ("container_replicas", "container_replicas_ready", "container_restarts_total"):
        family = next(each for each in FAMILIES if each.name.endswith(name))
        (samples,) = samples_of([family], state)
        assert {labels[0] for labels, _ in samples} <= {*ledger.restarts, ""}


@pytest.mark.parametrize("word", ["initializing", "launching", "warming", "finalizing"])
def test_a_serving_workload_neither_starts_nor_becomes_ready_during_a_replacement(word: str) -> None:
    busy = msgspec.structs.replace(rolling("switching"), status=word)
    rollout = [busy, busy, rolling("switching")]
    assert life(workload(), *rollout, workload(), workload()).transitions.keys() <= {"reverted", "replaced"}
    assert life(*rollout).transitions == {}


def test_the_first_sweep_is_the_baseline_and_a_workload_that_appears_later_has_started() -> None:
    assert life(workload("submitted")).transitions == {}
    assert life(workload("submitted"), baseline=False).transitions == {"started": 1}
    assert life(workload("running"), baseline=False).transitions == {}


def test_a_start_lasts_from_its_first_observation_or_creation_until_running() -> None:
    state = counting.listed(life(workload("stopped"), workload("submitted")), workload("running"), 950.0)
    assert state.start_seconds == 750.0
    new = life(workload("submitted", created="1970-01-01T00:01:30Z"), baseline=False)
    assert counting.listed(new, workload("running"), 290.0).start_seconds == 200.0
    baseline = life(workload("submitted", created="1970-01-01T00:01:30Z"))
    assert counting.listed(baseline, workload("running"), 290.0).start_seconds is None


def test_a_draft_that_stops_at_its_end_has_expired_and_one_that_stops_before_was_stopped() -> None:
    assert life(workload(), workload("stopped"), expiry=230.0).transitions == {"stopped": 1, "draft_expired": 1}
    assert life(workload(), workload("stopped"), expiry=270.0).transitions == {"stopped": 1}


def test_vanished_and_reappeared_are_counted() -> None:
    gone = counting.vanished(life(workload()), 300.0)
    assert (gone.transitions, gone.gone) == ({"vanished": 1}, 300.0)
    assert counting.reappeared(gone).transitions == {"vanished": 1, "reappeared": 1}
    assert [counting.deleted(each) for each in (gone, counting.reappeared(gone), counting.hidden(gone))] == [
        True,
        False,
        False,
    ]


def test_open_episodes_continue_if_the_workload_was_not_deleted() -> None:
    starting = life(workload("running"), workload("stopped"), workload("submitted"))
    replaced = goes_on(life(workload("running")), rolling("initializing"))
    for before in (starting, replaced):
        for after_all in (counting.reappeared, counting.hidden):
            tracker = after_all(counting.vanished(before, 500.0)).tracker
            assert tracker.life == before.tracker.life
            assert tracker.over == before.tracker.over
            assert (tracker.rollout is None) == (before.tracker.rollout is None)
            if tracker.rollout is not None:
                assert (tracker.rollout.ended, tracker.rollout.cause) == (None, "")


def test_a_promotion_resets_the_statistics() -> None:
    ledger = life(workload(artifact="draft"), workload(artifact="locked"))
    assert (ledger.resets, ledger.reset_at) == (1, 200.0)


# -- events


def test_events_before_the_first_observation_are_the_baseline() -> None:
    ledger = after(life(workload()), event(at=50.0, number=1), event(at=150.0, number=2, replacement_id="r9"))
    assert ledger.events == {"replacement_errored": 1}
    assert ledger.newest == {"replacement_errored": 150.0}


def test_new_events_are_added_to_the_history_once_also_those_of_the_baseline_and_none_without_a_time() -> None:
    first = (event(at=50.0, number=1), Event(id="e2", event_type="Odd"))
    ledger = after(life(workload()), *first)
    assert ledger.history == (HistoryEntry(50.0, "event", "Replacement Errored"),)
    again = after(ledger, *first, Event(id="e3", timestamp="1970-01-01T00:02:00Z", event_type="Scaled", message="to 3"))
    assert again.history == (*ledger.history, HistoryEntry(120.0, "event", "Scaled", "to 3"))
    early = counting.with_events(life(workload()), [event(at=380.0)], "p1", 150.0, ahead=300.0)
    assert [each.at for each in early.ledger.history] == [80.0]


def test_of_many_events_the_latest_are_in_the_history() -> None:
    many = [event(f"n{number}", at=float(number), number=number) for number in range(100)]
    assert [each.at for each in after(life(workload()), *many).history] == [float(at) for at in range(70, 100)]


def test_the_times_of_events_are_corrected_by_the_offset_of_the_clock() -> None:
    events = [event(at=450.0), event("Completed", 460.0, 2, replacement_id="r2"), event(at=470.0, number=3)]
    shifted = [event(at=750.0), event("Completed", 760.0, 2, replacement_id="r2"), event(at=770.0, number=3)]
    plain = counting.with_events(READ, events, "p1", 500.0).ledger
    found = counting.with_events(READ, shifted, "p1", 500.0, ahead=300.0).ledger
    assert (found.newest, found.outcomes, found.rollout_failed) == (plain.newest, plain.outcomes, plain.rollout_failed)
    early = counting.with_events(life(workload()), [event(at=380.0)], "p1", 150.0, ahead=300.0)
    assert early.ledger.events == {}  # before the first observation


EVENTS = st.lists(
    st.builds(
        lambda number, at, kind: Event(
            id=f"e{number}", timestamp=f"1970-01-01T00:{at // 60:02}:{at % 60:02}Z", event_type=kind
        ),
        st.integers(0, 30), st.integers(0, 999), st.sampled_from(["Started", "Stopped", "odd", "Replacement Errored"]),
    ),
    unique_by=lambda e: e.id,
    max_size=12,
)  # fmt: skip


@given(EVENTS, st.randoms(use_true_random=False), st.lists(st.integers(1, 4), max_size=6))
def test_events_in_any_order_repeated_and_in_any_portions_count_each_id_once(
    events: list[Event],
    random: Random,
    portions: list[int],
) -> None:
    whole = after(READ, *events)
    shuffled = [*events, *events]
    random.shuffle(shuffled)
    ledger = READ
    for portion in portions:
        ledger = after(ledger, *shuffled[:portion])
        shuffled = shuffled[portion:]
    ledger = after(ledger, *shuffled)
    assert (ledger.events, ledger.newest) == (whole.events, whole.newest)
    assert sum(ledger.events.values()) == len({e.id for e in events})


# -- pods


def restarts(*reads: Pods) -> tuple[int, int]:
    ledger = life(workload())
    for number, read in enumerate(reads):
        ledger = counting.with_pods(ledger, read, 200.0 + number * 300)
    return ledger.restarts.get("main", -1), ledger.terminations.get("main", {}).get("OOMKilled", -1)


@pytest.mark.parametrize(
    ("reads", "counted"),
    [
        ([pods(("a", 6, "t1"))], (0, 0)),
        ([pods(("a", 2, "t1"), began=600)], (2, 1)),
        ([pods(("a", 0, "")), pods(("a", 2, "t1")), pods(("a", 2, "t1"))], (2, 1)),
        ([pods(("a", 5, "t1")), pods(("a", 1, "t2"))], (1, 1)),
        ([pods(("a", 1, "")), pods(("b", 3, "t1"))], (3, 1)),
        ([pods(("a", 1, "")), pods(), pods(("a", 2, ""))], (1, 0)),
        ([pods(("a", 1, "")), pods(), pods(), pods(), pods(), pods(("a", 2, ""))], (2, 0)),
        ([pods(("a", 0, ""), ("b", 0, "")), pods(("a", 1, "t1"), ("b", 2, "t2"))], (3, 2)),
    ],
    ids=[
        "first sight is the baseline",
        "a pod younger than first sight counts in full",
        "a rise counts, the same again does not",
        "a lower count is a restarted container",
        "a new pod counts in full",
        "a pod missing for a moment is remembered",
        "a pod missing for long is a new one",
        "all pods add up",
    ],
)
def test_restarts_and_kills_add_up_over_pods(reads: Sequence[Pods], counted: tuple[int, int]) -> None:
    assert restarts(*reads) == counted


UNREPORTED = "204"


def read(p1: int | str | None, p2: int | str | None = None, unlisted: str = "", began: float = 0.0) -> Pods:
    """Two protons with one pod each: restarts, the reason it could not be read, or None if the proton is not listed.

    The reason `UNREPORTED` is none: the platform has no snapshot of the pods.
    """
    counts = {name: count for name, count in (("p1", p1), ("p2", p2)) if count is not None}
    found = {name: pods((name, count, ""), began=began).details["p1"] for name, count in counts.items()
            if isinstance(count, int)}  # fmt: skip
    unread = {name: reason for name, reason in counts.items() if isinstance(reason, str) and reason != UNREPORTED} | (
        {"": unlisted} if unlisted else {}
    )
    return Pods(tuple(Proton(id=name) for name in counts), {name: found.get(name) for name in counts}, unread)


GAP = ("server_error",) * 5
"""Polls five minutes apart: after ten minutes a pod that is not listed is forgotten."""


@pytest.mark.parametrize(
    ("reads", "counted"),
    [
        ([read(50), *(read(reason) for reason in GAP), read(50)], 0),
        ([read(50), *(read(reason) for reason in GAP), read(53)], 3),
        ([read(50, 7), *(read(51, reason) for reason in GAP), read(51, 7)], 1),
        ([read(50, 7), *(read(51, unlisted=reason) for reason in GAP), read(51, 7)], 1),
        ([read("server_error", 7), read(50, 7), read(51, 7)], 1),
        ([read(None, 7, unlisted="decode"), read(50, 7), read(51, 7)], 1),
        ([read("server_error", 7), read(2, 7, began=600)], 2),
        ([read(50), *[read(UNREPORTED)] * 5, read(50)], 0),
        ([read(50), *[read(UNREPORTED)] * 5, read(53)], 3),
        ([read(50, 7), *[read(51, UNREPORTED)] * 5, read(51, 7)], 1),
        ([read(50, 7), read(51), *[read(51, UNREPORTED)] * 5, read(51), read(51, 7)], 1),
        ([read(UNREPORTED, 7), read(50, 7), read(51, 7)], 1),
        ([read(UNREPORTED), read(50), read(51)], 1),
        ([read(UNREPORTED), read(2, began=600)], 2),
        ([read(UNREPORTED), read("server_error"), read(50), read(51)], 1),
        ([read(50, 7), read(51), read(51), read(51), read(51), read(51, 7)], 8),
        ([read(50), read(50, "server_error"), read(50, 2, began=600)], 2),
    ],
    ids=[
        "the pods of a proton that cannot be read for long are not gone",
        "what they restarted meanwhile counts",
        "nor are they while others are read",
        "nor while their proton is missing from a list that is not complete",
        "the first reading of a proton is its baseline",
        "even where it was missing from the list before",
        "a pod younger than first sight counts in full",
        "pods that are not reported for long are not gone",
        "what they restarted while not reported counts",
        "nor are they while others are reported",
        "only the time in which a complete list lacks them counts",
        "the first report of a proton is its baseline",
        "also if nothing was reported before",
        "a pod younger than first sight counts in full although it was not reported at first",
        "a proton is first not reported, then not readable",
        "a proton that is listed no more takes its pods with it",
        "so does the first pod of a new proton",
    ],
)
def test_restarts_of_pods_that_cannot_be_read_are_neither_lost_nor_counted_twice(
    reads: Sequence[Pods], counted: int
) -> None:
    ledger = life(workload())
    for number, each in enumerate(reads):
        ledger = counting.with_pods(ledger, each, 200.0 + number * 300)
    assert sum(ledger.restarts.values()) == counted


def test_pods_of_a_state_without_protons_are_kept_while_anything_cannot_be_read() -> None:
    ledger = counting.with_pods(life(workload()), read(50), 200.0)
    assert ledger.pods is not None
    older = msgspec.structs.replace(
        ledger, pods={key: msgspec.structs.replace(pod, proton="") for key, pod in ledger.pods.items()}
    )
    for number in range(5):
        older = counting.with_pods(older, read("server_error", 1), 500.0 + 300 * number)
    assert sum(counting.with_pods(older, read(51, 1), 2000.0).restarts.values()) == 2


def test_without_reported_reasons_there_is_no_count_of_kills() -> None:
    plain = Pods(
        (Proton(id="p1"),),
        {"p1": StatusDetails(replicas=(Replica(name="a", containers=(Container(name="main", restart_count=1),)),))},
    )
    assert restarts(plain) == (0, -1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=12))
def test_restart_totals_never_fall(reads: list[tuple[str, int]]) -> None:
    ledger = life(workload())
    total = 0
    for name, count in reads:
        ledger = counting.with_pods(ledger, pods((name, count, "")), 200.0)
        assert ledger.restarts["main"] >= total
        total = ledger.restarts["main"]


# -- sharing, statistics and durations


def test_a_change_of_sharing_is_counted_and_the_first_read_is_not() -> None:
    def grants(*marks: str) -> tuple[list[SharedRole], list[str]]:
        return [SharedRole(id=mark) for mark in marks], list(marks)

    ledger = counting.with_grants(life(workload()), *grants("a/owner", "b/user"))
    assert ledger.sharing_changes == 0
    ledger = counting.with_grants(ledger, *grants("b/user", "a/owner"))
    assert ledger.sharing_changes == 0
    ledger = counting.with_grants(ledger, *grants("b/owner", "c/user", "d/user"))
    assert ledger.sharing_changes == 3


def test_a_reset_of_the_statistics_is_counted() -> None:
    assert counting.with_reset(life(workload()), 7.0).resets == 1


def test_a_duration_counts_in_its_bucket() -> None:
    tally = Tally().after(Entry(READ, 60.0, 1e9)).after(Entry(READ, 60.5)).after(Entry(READ))
    assert (tally.starts.counts[:4], tally.starts.sum) == ((0, 1, 1, 0), 120.5)
    assert tally.replacements == Durations((0,) * 9 + (1,), 1e9)
    assert tally.after(Entry(READ)) is tally


def test_without_a_change_the_ledger_is_the_same_object() -> None:
    ledger = counting.with_pods(READ, pods(("a", 1, "t1")), 200.0)
    assert counting.listed(ledger, workload(), 999.0).ledger is ledger
    assert counting.with_pods(ledger, pods(("a", 1, "t1")), 300.0) is ledger
    assert after(ledger) is ledger


@given(EVENTS)
def test_a_ledger_survives_being_written_and_read(events: list[Event]) -> None:
    ledger = counting.with_pods(after(life(workload(), rolling("initializing")), *events), pods(("a", 1, "t1")), 200.0)
    written = msgspec.json.encode(ledger)
    assert msgspec.json.decode(written, type=Ledger) == ledger
    assert json.loads(written)["first"] == 100.0
