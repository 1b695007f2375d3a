"""Replacements: sequences of reported records, events and pods, with the resulting counts and what is remembered."""

from typing import Any

import msgspec
import pytest

from exporter.api.details import Event
from exporter.api.models import Replacement
from exporter.api.pods import Container, LastState, PodCondition, Pods, Proton, Replica, StatusDetails
from exporter.fleet import counting
from exporter.fleet.ledger import Ledger
from exporter.fleet.replacements import candidate_pods
from tests.fleet.parts import READ, after, event, goes_on, life, pods, rolling, workload


def test_a_replacement_whose_record_disappears_and_leaves_another_proton_has_completed() -> None:
    ledger = goes_on(READ, rolling("initializing"), rolling("switching", "p2"), workload(proton="p2"))
    assert (ledger.outcomes, ledger.rollout is not None) == ({}, True)  # an event may still report it
    judged = counting.with_events(ledger, (), "p2", 480.0)
    assert judged.ledger.outcomes == {"completed": 1}
    assert judged.ledger.transitions == {"replaced": 1}
    assert judged.replacement_seconds == 200.0


def candidate(*containers: Container, ready: bool = False, proton: str = "p2") -> Pods:
    """The pods of a candidate."""
    condition = PodCondition(type="Ready", value=ready)
    pod = Replica(name="pod", status="running", conditions=(condition,), containers=containers)
    return Pods((Proton(id="p1"), Proton(id=proton)), {"p1": None, proton: StatusDetails(replicas=(pod,))})


CRASHING = Container(
    name="lrs-p2-main", status="waiting", reason="CrashLoopBackOff", ready=False, last_state=LastState(exit_code=1)
)
LOADING = Container(name="lrs-p2-main", status="running", ready=False)
HEALTHY = Container(name="lrs-p2-main", status="running", ready=True)


@pytest.mark.parametrize("ids", [{"candidate_proton_ids": ("p2",)}, {"candidate_proton_ids": None, "id": None}])
@pytest.mark.parametrize(
    ("pods", "events", "wait", "outcome"),
    [
        (candidate(CRASHING), True, 60, "reverted"),
        (candidate(CRASHING), False, 300, "reverted"),
        (candidate(HEALTHY, ready=True), True, 300, "cancelled"),
        (candidate(HEALTHY, ready=True), False, 300, "cancelled"),
        (candidate(LOADING), True, 300, "unknown"),
        (candidate(LOADING), False, 300, "reverted"),
        (None, True, 300, "unknown"),
        (None, False, 300, "reverted"),
    ],
)
def test_a_record_that_disappears_while_the_same_proton_serves_is_judged_by_what_was_observed(
    pods: Pods | None, events: bool, wait: int, outcome: str, ids: Any
) -> None:
    """A failed replacement has an event, unless the events cannot be read; a cancelled one may leave nothing."""
    begun = goes_on(READ, rolling("initializing", **ids))
    begun = counting.with_pods(begun, pods, 250.0) if pods is not None else begun
    ended = goes_on(begun, workload(), since=300.0)

    def after_waiting(seconds: float) -> Ledger:
        now = 300.0 + seconds
        return after(ended, now=now) if events else goes_on(ended, workload(), since=now)

    assert after_waiting(wait - 1).outcomes == {}
    judged = after_waiting(wait)
    failed = outcome == "reverted"
    assert judged.outcomes == {outcome: 1}
    assert judged.transitions == ({"reverted": 1} if failed else {})
    assert judged.rollout_failed == (300.0 if failed else None)
    assert (judged.rollout, judged.tracker.rollout) == (None, None)


@pytest.mark.parametrize(
    ("pods", "kind", "outcome", "failed"),
    [
        (candidate(CRASHING), "Errored", "reverted", 310.0),
        (candidate(CRASHING), "Cancelled", "reverted", None),
        (candidate(HEALTHY, ready=True), "Errored", "cancelled", 310.0),
        (candidate(LOADING), "Errored", "unknown", 310.0),
        (candidate(LOADING), "Cancelled", "unknown", None),
        (candidate(CRASHING), "Completed", "reverted", None),
    ],
)
def test_an_event_that_arrives_late_corrects_whether_the_replacement_failed(
    pods: Pods, kind: str, outcome: str, failed: float | None
) -> None:
    ended = goes_on(counting.with_pods(goes_on(READ, rolling("initializing")), pods, 250.0), workload(), since=300.0)
    judged = after(after(ended, now=600.0), event(kind, 310.0), now=630.0)
    assert (judged.outcomes, judged.rollout_failed) == ({outcome: 1}, failed)
    assert after(judged, event(kind, 310.0, 2, replacement_id="r1"), now=660.0).outcomes == {outcome: 1}


def test_a_revert_is_detected_by_the_event_alone_once() -> None:
    ledger = after(READ, event())
    assert (ledger.outcomes, ledger.transitions) == ({"errored": 1}, {"reverted": 1})
    assert after(ledger, event()).outcomes == {"errored": 1}


def test_event_and_record_of_one_replacement_count_once_in_either_order() -> None:
    begun = goes_on(READ, rolling("initializing"))
    early = goes_on(after(begun, event()), rolling("initializing"), workload(), workload(), since=500.0)
    late = after(goes_on(begun, workload(), since=300.0), event())
    assert early.outcomes == late.outcomes == {"errored": 1}
    assert early.rollout is late.rollout is None


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("ERRORED", "errored"), ("failed", "errored"), ("completed", "completed"), ("canceled", "cancelled")],
)
def test_the_outcome_of_a_record_that_stays_is_counted_once(status: str, outcome: str) -> None:
    ledger = goes_on(READ, rolling("initializing"), rolling(status), rolling(status), workload(), workload())
    assert ledger.outcomes == {outcome: 1}
    assert goes_on(READ, rolling(status), rolling(status)).outcomes == {outcome: 1}  # never observed in progress
    assert life(rolling(status), rolling(status)).outcomes == {}  # reported at the first observation


def test_a_replacement_in_progress_at_the_first_observation_is_followed_without_a_duration() -> None:
    ledger = goes_on(life(rolling("initializing")), workload(proton="p2"))
    judged = counting.with_events(ledger, (), "p2", 480.0)
    assert (judged.ledger.outcomes, judged.replacement_seconds) == ({"completed": 1}, None)


def test_a_record_that_ends_after_its_event_counts_nothing_more() -> None:
    begun = after(goes_on(READ, rolling("initializing")), event())
    assert goes_on(begun, rolling("errored", id="r1-later"), since=500.0).outcomes == {"errored": 1}
    bare = goes_on(begun, rolling("errored", id="r1-later", candidate_proton_ids=()), since=500.0)
    assert (bare.outcomes, bare.rollout) == ({"errored": 1}, None)


def test_a_second_event_about_the_end_of_a_replacement_counts_nothing_more() -> None:
    begun = after(goes_on(READ, rolling("initializing")), event())
    for again in (event(number=2), event(number=2, replacement_id=None)):
        assert after(begun, again).outcomes == {"errored": 1}


def test_a_replacement_that_an_event_has_counted_is_not_counted_again_when_another_begins() -> None:
    begun = after(goes_on(READ, rolling("initializing")), event())
    other = Replacement(status="initializing", candidate_proton_ids=("p3",), id="r2")
    assert goes_on(begun, workload(replacement=other), since=500.0).outcomes == {"errored": 1}


def test_a_missed_replacement_whose_event_was_already_read_is_not_counted_again() -> None:
    found = after(READ, event("Completed", 199.0, candidate_proton_ids=("p2",)), now=220.0)
    assert goes_on(found, workload(proton="p2"), since=230.0).rollout is None


def test_a_cancelled_replacement_is_not_a_revert() -> None:
    ledger = after(goes_on(READ, rolling("initializing"), rolling("canceling"), workload()), now=480.0)
    assert (ledger.outcomes, ledger.transitions) == ({"cancelled": 1}, {})


@pytest.mark.parametrize(
    ("ends", "failed"),
    [
        ("Errored@300", 300.0),
        ("Errored@300 Completed@310", None),
        ("Completed@310 Errored@300", None),
        ("Completed@300 Errored@310", 310.0),
        ("Errored@300 Completed@310 Errored@320", 320.0),
        ("Errored@300 Cancelled@310", 300.0),
        ("Cancelled@300", None),
    ],
)
def test_a_failure_lasts_until_a_later_success_and_a_cancel_is_none(ends: str, failed: float | None) -> None:
    ledger = READ
    for number, (kind, at) in enumerate(end.split("@") for end in ends.split()):
        ledger = after(ledger, event(kind, float(at), number, replacement_id=f"r{number}"))
    assert ledger.rollout_failed == failed


def test_an_event_alone_reports_that_a_replacement_was_cancelled() -> None:
    ledger = after(goes_on(READ, rolling("initializing"), workload()), event("Cancelled"))
    assert (ledger.outcomes, ledger.transitions, ledger.rollout_failed) == ({"cancelled": 1}, {}, None)


# A failure at 211 s whose retry begins at 226 s and completes.
FIRST = Replacement(status="initializing", candidate_proton_ids=("p2",), id="r1", created_at="1970-01-01T00:03:20Z")
RETRY = Replacement(status="initializing", candidate_proton_ids=("p3",), id="r2", created_at="1970-01-01T00:03:46Z")
FAILED = event("Failed", 211.0, 1, replacement_id="r1", candidate_proton_ids=("p2",))
RETRIED = event("Completed", 262.0, 2, replacement_id="r2", candidate_proton_ids=("p3",))
BEFORE_RETRY = goes_on(READ, workload(replacement=FIRST), since=205.0)


def test_a_retry_that_begins_before_the_failure_is_known_is_followed_after_it() -> None:
    seen = goes_on(BEFORE_RETRY, workload(replacement=RETRY), since=235.0)
    assert (seen.outcomes, seen.rollout_failed) == ({}, None)
    failed = after(seen, FAILED, now=240.0)
    assert (failed.outcomes, failed.rollout_failed) == ({"errored": 1}, 211.0)
    followed = goes_on(failed, workload(replacement=RETRY), since=265.0)
    assert followed.rollout is not None
    assert followed.rollout.ids == ("r2", "p3")
    done = after(goes_on(followed, workload(proton="p3"), since=295.0), FAILED, RETRIED, serving="p3", now=300.0)
    assert (done.outcomes, done.rollout_failed) == ({"errored": 1, "completed": 1}, None)


@pytest.mark.parametrize("events", [(FAILED, RETRIED), (RETRIED, FAILED)])
def test_a_retry_between_two_polls_ends_the_failure(events: tuple[Event, ...]) -> None:
    done = after(goes_on(BEFORE_RETRY, workload(proton="p3"), since=270.0), *events, serving="p3", now=280.0)
    assert (done.outcomes, done.rollout_failed) == ({"errored": 1, "completed": 1}, None)
    unobserved = after(READ, *events, serving="p3", now=280.0)
    assert (unobserved.outcomes, unobserved.rollout_failed) == ({"errored": 1, "completed": 1}, None)


def test_the_next_replacement_is_followed_at_once_if_no_event_can_be_read() -> None:
    blind = goes_on(life(workload()), workload(replacement=FIRST), workload(replacement=RETRY))
    assert blind.outcomes == {"reverted": 1}
    assert blind.rollout is not None
    assert blind.rollout.ids == ("r2", "p3")


def test_the_next_replacement_is_followed_once_the_last_one_has_waited_for_its_event() -> None:
    ledger = goes_on(READ, workload(replacement=FIRST), *[workload(replacement=RETRY)] * 4)
    assert ledger.outcomes == {"reverted": 1}  # the events were not read since
    assert ledger.rollout is not None
    assert (ledger.rollout.ids, ledger.rollout.whole) == (("r2", "p3"), False)


def crash(**more: Any) -> StatusDetails:
    """Pods as an event reports them: without names, conditions and states."""
    facts: dict[str, Any] = {"name": "lrs-p2-main", "ready": False, "restart_count": 2, "reason": "CrashLoopBackOff"}
    return StatusDetails(replicas=(Replica(containers=(Container(**(facts | more)),)),))


EXIT_1 = LastState(reason="Error", exit_code=1)
EVIDENCE = event("Errored", 310.0, candidate_proton_ids=("p2",), proton_statuses={"p2": crash(last_state=EXIT_1)})
SEEN = counting.with_pods(goes_on(READ, rolling("initializing")), candidate(CRASHING), 250.0)


@pytest.mark.parametrize(
    "judged",
    [
        after(READ, EVIDENCE),
        after(SEEN, EVIDENCE),
        goes_on(after(SEEN, EVIDENCE), workload(), workload(), since=330.0),
        after(goes_on(SEEN, workload(), since=300.0), EVIDENCE, now=330.0),
        after(counting.with_pods(goes_on(SEEN, workload(), since=300.0), pods(), 310.0), now=360.0),
        after(counting.with_pods(goes_on(SEEN, workload(), since=300.0), pods(), 310.0), event("Errored"), now=330.0),
        after(after(goes_on(READ, rolling("initializing"), workload()), now=700.0), EVIDENCE, now=730.0),
    ],
    ids=[
        "by its event alone", "read before the record disappeared", "then the record disappeared",
        "read after the record disappeared", "its pods are gone and there is no event",
        "its pods are gone and the event has none", "by an event that arrives late",
    ],
)  # fmt: skip
def test_what_was_reported_of_a_failed_candidate_is_remembered(judged: Ledger) -> None:
    assert [(pod.proton, pod.container, pod.problem, pod.exit_code) for pod in judged.failed_pods.values()] == [
        ("p2", "main", "CrashLoopBackOff", 1)
    ]


def test_that_a_failed_candidate_ran_without_becoming_ready_is_remembered() -> None:
    running = Container(name="lrs-p2-main", status="running", ready=False, started_at="1970-01-01T00:04:00Z")
    begun = goes_on(READ, rolling("initializing"))
    judged = after(counting.with_pods(begun, candidate(running), 250.0), event("Errored"))
    assert [(pod.proton, pod.problem, pod.ready) for pod in judged.failed_pods.values()] == [("p2", "", False)]
    created = Container(name="lrs-p2-main", status="waiting", ready=False, reason="ContainerCreating")
    assert after(counting.with_pods(begun, candidate(created), 250.0), event("Errored")).failed_pods == {}


def test_the_pods_of_a_failed_candidate_are_forgotten_after_a_success_and_bounded() -> None:
    many = StatusDetails(replicas=(*crash().replicas, *[crash(message="m" * 9999).replicas[0]] * 20))  # type: ignore[misc,index]  # the example has replicas
    failed = after(READ, event("Errored", candidate_proton_ids=("p2",), proton_statuses={"p2": many}))
    assert len(failed.failed_pods) == 8
    assert max(len(pod.message) for pod in failed.failed_pods.values()) == 1024
    assert after(failed, event("Completed", 490.0, 2, replacement_id="r2")).failed_pods == {}


def test_containers_of_a_stopped_proton_have_not_crashed() -> None:
    """The stop ends them by a signal, which the platform reports as an error."""

    def read(status: str, code: int, reason: str) -> Ledger:
        last = LastState(reason=reason, exit_code=code, finished_at="1970-01-01T00:04:00Z")
        found = candidate(Container(name="lrs-p2-main", status="waiting", ready=False, last_state=last))
        stopping = msgspec.structs.replace(found.protons[1], status=status)
        begun = counting.with_pods(goes_on(READ, rolling("initializing")), pods(), 240.0)
        return counting.with_pods(begun, Pods((found.protons[0], stopping), found.details), 250.0)

    def seen(ledger: Ledger) -> tuple[int, str]:
        return sum(ledger.terminations["main"].values()), ledger.tracker.pods["pod"].ended

    for status in ("stopping", "draining", "stopped"):
        assert seen(read(status, 137, "Error")) == seen(read(status, 143, "Error")) == (0, "")
        assert seen(read(status, 1, "Error"))[0] == seen(read(status, 137, "OOMKilled"))[0] == 1
    assert seen(read("running", 137, "Error"))[0] == 1


def test_an_event_with_the_id_of_its_replacement_reports_the_observed_end() -> None:
    """The time in that id is the one at which the replacement started."""
    started = msgspec.structs.replace(event("Errored", 200.0), updated="1970-01-01T00:10:00Z")
    read_before_its_record_disappeared = after(SEEN, started, now=330.0)
    read_after = after(goes_on(SEEN, workload(), since=300.0), started, now=330.0)
    assert read_before_its_record_disappeared.newest == {"replacement_errored": 330.0}
    assert read_before_its_record_disappeared.rollout_failed == 330.0
    assert (read_after.newest, read_after.rollout_failed) == ({"replacement_errored": 300.0}, 300.0)


NEW_ID = "r9"
"""The id of the record of a finished replacement, which has another one while it is in progress."""


@pytest.mark.parametrize("named", [(), ("p2",)])
@pytest.mark.parametrize("kind", ["Errored", "Completed", "Cancelled"])
def test_a_finished_record_with_a_new_id_counts_once(kind: str, named: tuple[str, ...]) -> None:
    """Whatever is read first: the event, the finished record, or that the record has disappeared."""
    reported = event(kind, 320.0, 9, replacement_id=NEW_ID, candidate_proton_ids=named)
    finished = Replacement(status=kind, id=NEW_ID, candidate_proton_ids=named, created_at="1970-01-01T00:05:20Z")
    begun = goes_on(READ, workload(replacement=FIRST), since=205.0)
    counted = {kind.lower(): 1}
    active, over, there = workload(replacement=FIRST), workload(replacement=finished), workload()
    for first, *others in ((active, active, there), (active, over, there), (over, active, over), (over, there, there)):
        early = goes_on(after(begun, reported, now=330.0), first, *others, since=340.0)
        late = goes_on(after(goes_on(begun, first, since=325.0), reported, now=330.0), *others, since=340.0)
        for ledger in (early, late):
            assert after(ledger, reported, now=990.0).outcomes == counted
    inferred = after(goes_on(begun, there, since=325.0), now=650.0)
    assert sum(after(inferred, reported, now=660.0).outcomes.values()) == 1
    assert sum(goes_on(inferred, over, over, since=660.0).outcomes.values()) == 1


def test_a_second_replacement_ends_the_first() -> None:
    second = workload("running", "p2", Replacement(status="initializing", candidate_proton_ids=("p3",), id="r2"))
    ledger = goes_on(READ, rolling("initializing"), second)
    assert ledger.outcomes == {"completed": 1}
    assert ledger.rollout is not None
    assert ledger.rollout.ids == ("r2", "p3")


def test_a_replacement_between_two_sweeps_is_counted_by_the_proton_and_not_again_by_its_event() -> None:
    ledger = goes_on(READ, workload(proton="p2"))
    judged = after(ledger, now=300.0, serving="p2")
    assert judged.outcomes == {"completed": 1}
    found = after(ledger, event("Completed", 199.0, candidate_proton_ids=("p2",)), now=220.0)
    assert found.outcomes == {"completed": 1}
    assert after(judged, event("Completed", 199.0, candidate_proton_ids=("p2",))).outcomes == {"completed": 1}


def test_a_start_with_a_new_proton_is_not_a_replacement() -> None:
    assert life(workload(), workload("stopped"), workload("running", "p2")).rollout is None


def test_without_a_replacement_nothing_was_reported_of_a_candidate() -> None:
    assert candidate_pods(Ledger(0.0, 0.0)) == {}
