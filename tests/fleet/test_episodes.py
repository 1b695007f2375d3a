"""Episodes of a workload: sequences of reported states with the episodes that they start and end."""

import msgspec
import pytest

from exporter.api.details import Event, EventDetails
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Container, LastState, PodCondition, Pods, Proton, Replica, StatusDetails
from exporter.fleet import counting, episodes, observations, transitions
from exporter.fleet.episodes import MAX_TRACED_EPISODES, Episode, EpisodeTracker, Mark, ObservedEvent, Past
from exporter.fleet.ledger import Ledger

NOTHING: dict[str, str] = {}


def workload(status: str = "running", proton: str = "p1", **more: object) -> Workload:
    return Workload(**({"id": "w", "name": "w", "status": status, "proton_id": proton} | more))  # type: ignore[arg-type]  # fields by name


def swept(*items: Workload, baseline: bool = True, expiry: float | None = None) -> Ledger:
    """The ledger after sweeps at 100, 200, 300 … seconds."""
    now = counting.first_observed(items[0], 100.0, baseline=baseline, last=None if baseline else 0.0)
    for number, each in enumerate(items[1:], 2):
        now = counting.listed(now, each, number * 100.0, expiry, number * 100.0 - 100.0).ledger
    return now


def words(tracker: EpisodeTracker) -> str:
    """The ended and the open episodes as text."""
    over = [f"{each.kind} {each.outcome} {each.cause}".strip() for each in tracker.over]
    return ", ".join([*over, *(f"{each.kind} …" for each in tracker.episodes)])


@pytest.mark.parametrize(
    ("statuses", "episodes"),
    [
        ("running running", ""),
        ("running errored", "failure …"),
        ("running errored running", "failure failure recovered"),
        ("running errored failed running", "failure failure recovered"),
        ("running errored submitted launching running", "failure failure restarted, start success"),
        ("running errored stopped", "failure failure stopped"),
        ("running errored stopping stopped", "failure failure stopped"),
        ("running errored terminated", "failure failure terminated"),
        ("running terminated", "failure failure terminated"),
        ("stopped terminated", ""),
        ("running stopping", "stop …"),
        ("running stopping stopped", "stop success stopped"),
        ("running stopping draining stopped", "stop success stopped"),
        ("running stopped", "stop success stopped"),
        ("running suspended", "stop success suspended"),
        ("running interrupted", "stop error interrupted"),
        ("running stopping terminated", "stop success terminated"),
        ("running stopping errored", "stop failure errored, failure …"),
        ("running stopping running", "stop success stopped, start success"),
        ("running stopping submitted running", "stop success restarted, start success"),
        ("stopped suspended", ""),
        ("stopped running", "start success"),
        ("stopped submitted launching running", "start success"),
        ("stopped submitted errored", "start failure errored, failure …"),
        ("stopped errored", "failure …"),
        ("stopped submitted stopping stopped", "start cancellation stopped"),
        ("stopped submitted stopped", "start cancellation stopped"),
        ("stopped submitted interrupted", "start error interrupted"),
        ("running errored interrupted", "failure failure interrupted"),
        ("stopped submitted terminated", "start failure terminated"),
        ("running launching running", "start success"),
        ("submitted", "start …"),
        ("stopping", "stop …"),
        ("errored", "failure …"),
        ("terminated", ""),
        ("submitted running", "start success"),
        ("stopping stopped", "stop success stopped"),
        ("running Hibernating running", ""),
        ("Hibernating running", ""),
        ("Hibernating submitted", "start …"),
        ("submitted Hibernating running", "start success"),
        ("ERRORED failed running", "failure failure recovered"),
    ],
)
def test_statuses_in_turn_make_episodes(statuses: str, episodes: str) -> None:
    assert words(swept(*(workload(status) for status in statuses.split())).tracker) == episodes


@pytest.mark.parametrize(
    ("statuses", "episodes"),
    [
        ("submitted", "start …"),
        ("running", "start success"),
        ("errored", "start failure errored, failure …"),
        ("terminated", "start failure terminated"),
        ("stopped", ""),
        ("Hibernating", ""),
    ],
)
def test_a_workload_that_appears_later_started_after_the_previous_sweep(statuses: str, episodes: str) -> None:
    tracker = swept(*(workload(status) for status in statuses.split()), baseline=False).tracker
    assert words(tracker) == episodes
    begun = [each.opened.last for each in (*tracker.over, *tracker.episodes) if each.kind == "start"]
    assert begun == [0.0] * len(begun)


def test_an_episode_knows_the_statuses_around_it_and_those_it_passed() -> None:
    (start,) = swept(*map(workload, "stopped submitted launching running".split())).tracker.over
    assert (start.before, start.after, start.proton) == ("stopped", "running", "p1")
    assert start.opened == Mark(200.0, 100.0)
    assert start.ended == Mark(400.0, 300.0)
    assert [(state.status, state.mark.at) for state in start.states] == [("submitted", 200.0), ("launching", 300.0)]


def test_a_draft_that_expires_was_not_stopped_by_a_user() -> None:
    (stop,) = swept(workload(), workload("stopped"), expiry=230.0).tracker.over
    assert (stop.outcome, stop.cause) == ("cancellation", "draft_expired")


@pytest.mark.parametrize(
    ("statuses", "episodes"),
    [
        ("running", "deletion success deleted"),
        ("stopped submitted", "start cancellation deleted, deletion success deleted"),
        ("running stopping", "stop success deleted, deletion success deleted"),
        ("running errored", "failure failure deleted, deletion success deleted"),
    ],
)
def test_a_vanished_workload_ends_its_open_episodes(statuses: str, episodes: str) -> None:
    tracker = counting.vanished(swept(*map(workload, statuses.split())), 400.0, Mark(300.0, 200.0)).tracker
    assert words(tracker) == episodes
    assert tracker.over[-1].opened == Mark(300.0, 200.0)


def test_a_workload_that_is_listed_again_was_not_deleted() -> None:
    gone = counting.vanished(swept(workload()), 400.0)
    assert counting.reappeared(gone).tracker.over == ()
    assert counting.hidden(gone) == msgspec.structs.replace(gone, tracker=counting.reappeared(gone).tracker)


# -- runs


def snapshot(since: str = "1970-01-01T00:00:40Z", *replicas: Replica, proton: str = "p1") -> Pods:
    return Pods(
        (Proton(proton, running_since=since, created_at="1970-01-01T00:00:30Z"),),
        {proton: StatusDetails(replicas=replicas)},
    )


def test_the_end_of_a_run_is_identified_by_the_start_of_the_run() -> None:
    known = counting.with_pods(swept(workload()), snapshot("SINCE"), 110.0)
    assert known.tracker.run == ("p1", "SINCE")
    for status, kind in (("stopping", "stop"), ("errored", "failure")):
        life = counting.listed(known, workload(status), 200.0, last=100.0).ledger.tracker.life
        assert life is not None
        assert (life.kind, life.proton, life.since) == (kind, "p1", "SINCE")
        other = counting.listed(known, workload(status, "p2"), 200.0, last=100.0).ledger.tracker.life
        assert other is not None
        assert (other.proton, other.since) == ("p2", "")


def test_a_failure_after_a_start_belongs_to_no_run() -> None:
    known = counting.with_pods(swept(workload()), snapshot("SINCE"), 110.0)
    for number, status in enumerate(("stopped", "submitted", "errored"), 2):
        known = counting.listed(known, workload(status), number * 100.0, last=100.0).ledger
    assert known.tracker.life is not None
    assert known.tracker.life.since == ""


# -- replacements


def record(status: str = "initializing", name: str | None = "r1", *candidates: str) -> Replacement:
    found = candidates or ("c1",)
    return Replacement(id=name, status=status, candidate_proton_ids=found, created_at="1970-01-01T00:02:30Z")


def event(name: str, kind: str = "Replacement Completed", at: str = "1970-01-01T00:05:00Z", **details: str) -> Event:
    return Event(name, at, kind, details=EventDetails(**details) if details else None)  # type: ignore[arg-type]  # fields by name


def test_a_replacement_opens_with_its_record_and_ends_with_the_event() -> None:
    known = swept(
        workload(), workload(replacement=record()), workload(replacement=record("switching")), workload(proton="c1")
    )
    assert words(known.tracker) == "replacement …"
    done = counting.with_events(known, [event("r1")], "c1", 410.0).ledger.tracker
    assert words(done) == "replacement success completed"
    assert (done.over[0].replacement, done.over[0].candidates) == ("r1", ("c1",))
    assert done.over[0].opened == Mark(200.0, 100.0, 150.0)
    assert done.over[0].ended == Mark(410.0, None, 300.0)
    assert [state.status for state in done.over[0].states] == ["initializing", "switching"]


@pytest.mark.parametrize(
    ("expected", "episodes"),
    [
        ([workload(replacement=record("errored"))], "replacement failure errored"),
        ([workload(), workload(), workload(), workload()], "replacement failure reverted"),
        ([workload(proton="c1")] * 4, "replacement success completed"),
        ([workload(replacement=record("initializing", "r2", "c2"))], "replacement failure reverted, replacement …"),
    ],
)
def test_a_replacement_without_an_event_ends_by_its_record_or_the_serving_proton(
    expected: list[Workload], episodes: str
) -> None:
    assert words(swept(workload(), workload(replacement=record()), *expected).tracker) == episodes


def test_an_end_without_an_event_is_when_the_record_first_disappeared() -> None:
    (done,) = swept(workload(), workload(replacement=record()), *[workload()] * 4).tracker.over
    assert done.ended == Mark(300.0, 200.0)


@pytest.mark.parametrize(
    ("items", "episodes"),
    [
        ([workload(), workload("initializing", replacement=record()), workload(proton="c1")],
         "replacement …"),
        ([workload(), workload("initializing", replacement=record()), workload("finalizing", replacement=record()),
          workload(proton="c1")], "replacement …"),
        ([workload(), workload(replacement=record()), workload("launching", replacement=record("switching")),
          workload("warming", replacement=record("switching"))], "replacement …"),
        ([workload(), workload(replacement=record()), workload("initializing"), *[workload(proton="c1")] * 3],
         "replacement success completed"),
        ([workload("initializing", replacement=record()), workload(replacement=record())], "replacement …"),
        ([workload(), workload("initializing", replacement=record()), workload("errored", replacement=record())],
         "failure …, replacement …"),
        # It did not serve: that is a start as well.
        ([workload("stopped"), workload("submitted", replacement=record())], "start …, replacement …"),
        ([workload("errored"), workload("submitted", replacement=record())],
         "failure failure restarted, start …, replacement …"),
    ],
)  # fmt: skip
def test_a_serving_workload_does_not_start_during_a_replacement(items: list[Workload], episodes: str) -> None:
    assert words(swept(*items).tracker) == episodes


def test_a_replacement_between_two_sweeps_is_detected_by_the_serving_proton() -> None:
    known = swept(workload(), workload(proton="p2"))
    assert words(known.tracker) == "replacement …"
    found = counting.with_events(known, [event("r1")], "p2", 210.0).ledger.tracker
    assert (words(found), found.over[0].replacement) == ("replacement success completed", "r1")
    unreported = counting.with_events(known, [], "p2", 300.0).ledger.tracker
    assert (words(unreported), unreported.over[0].candidates) == ("replacement success completed", ("p2",))


def test_a_replacement_reported_only_by_an_event_starts_when_it_ends() -> None:
    known = counting.with_events(swept(workload()), [], "p1", 110.0).ledger
    found = counting.with_events(known, [event("e", "Replacement Errored", replacement_id="r9")], "p1", 310.0).ledger
    (done,) = found.tracker.over
    assert (done.replacement, done.outcome) == ("r9", "failure")
    assert done.opened == done.ended == Mark(310.0, None, 300.0)


def test_the_event_of_another_replacement_does_not_end_the_one_in_progress() -> None:
    known = counting.with_events(swept(workload(), workload(replacement=record())), [], "p1", 210.0).ledger
    other = event("r0", "Replacement Errored", replacement_id="r0", artifact_id="a")
    named = msgspec.structs.replace(other, details=EventDetails(replacement_id="r0", candidate_proton_ids=("c0",)))
    found = counting.with_events(known, [named], "p1", 310.0).ledger
    assert words(found.tracker) == "replacement failure errored, replacement …"


def test_an_event_while_the_record_is_still_reported_ends_it_once() -> None:
    known = swept(workload(), workload(replacement=record()))
    found = counting.with_events(known, [event("r1")], "p1", 210.0).ledger
    later = counting.listed(found, workload(replacement=record("switching")), 300.0, last=200.0).ledger
    gone = counting.listed(later, workload(proton="c1"), 400.0, last=300.0).ledger
    assert words(gone.tracker) == "replacement success completed"


def test_a_record_learns_its_id_and_candidates_later() -> None:
    known = swept(workload(), workload(replacement=record(name=None)), workload(replacement=record(name="r1")))
    assert known.tracker.rollout is not None
    assert (known.tracker.rollout.replacement, known.tracker.rollout.candidates) == ("r1", ("c1",))


# -- pods and events


def pod(*containers: Container, name: str = "pod", **facts: object) -> Replica:
    return Replica(**({"name": name, "status": "running", "containers": containers} | facts))  # type: ignore[arg-type]  # fields by name


def at(seconds: float) -> str:
    return f"1970-01-01T00:{int(seconds // 60):02}:{int(seconds % 60):02}Z"


def condition(kind: str, second: float, truth: bool = True, **more: str) -> PodCondition:
    return PodCondition(type=kind, value=truth, last_transition_time=at(second), **more)


def read(*replicas: Replica, tracker: EpisodeTracker | None = None, now: float = 210.0) -> EpisodeTracker:
    """The tracker of a start after its pods were read."""
    begun = tracker or swept(workload("stopped"), workload("submitted")).tracker
    return observations.with_pods(begun, snapshot("", *replicas), "p1", now)


def test_pods_are_not_kept_without_an_open_episode() -> None:
    assert read(pod(), tracker=EpisodeTracker()) == EpisodeTracker()


@pytest.mark.parametrize(
    ("unread", "expected"),
    [({}, 300.0), ({"o": "server_error"}, 300.0), ({"p1": "server_error"}, 210.0), ({"": "decode"}, 210.0)],
    ids=["all read", "one that drains is not", "the one that serves is not", "the list is not complete"],
)
def test_an_episode_waits_for_pods_that_could_not_be_read(unread: dict[str, str], expected: float) -> None:
    partly = msgspec.structs.replace(snapshot("", pod()), unread=unread)
    assert observations.with_pods(read(pod()), partly, "p1", 300.0).pods_read == expected


def test_the_times_of_a_pod_stay_as_first_reported() -> None:
    conditions = condition("PodScheduled", 201), condition("Ready", 250, truth=False)
    waits = Container(name="lrs-p1-main", status="waiting", reason="ContainerCreating", ready=False)
    first = read(pod(waits, started_at=at(203), conditions=conditions))
    (found,) = first.pods.values()
    assert (found.proton, found.created, found.conditions, found.started, found.ready, found.problem) == (
        "p1", 203.0, {"PodScheduled": 201.0}, None, False, "",
    )  # fmt: skip
    runs = Container(name="lrs-p1-main", status="running", started_at=at(230), ready=True)
    ready = condition("PodScheduled", 204), condition("Ready", 260)
    second = read(pod(runs, started_at=at(205), conditions=ready), tracker=first, now=270.0)
    (found,) = second.pods.values()
    assert (found.created, found.conditions, found.started, found.ready) == (
        203.0, {"PodScheduled": 201.0, "Ready": 260.0}, 230.0, True,
    )  # fmt: skip


def test_a_pod_that_is_no_longer_ready_loses_its_ready_time() -> None:
    first = read(pod(conditions=(condition("Ready", 260),)))
    second = read(pod(conditions=(condition("Ready", 300, truth=False),)), tracker=first)
    third = read(pod(conditions=(condition("Ready", 350),)), tracker=second)
    assert [c.pods["pod"].conditions for c in (first, second, third)] == [{"Ready": 260.0}, {}, {"Ready": 350.0}]


@pytest.mark.parametrize(
    ("replica", "expected_problem", "container"),
    [
        (pod(Container(name="a", status="waiting", reason="ImagePullBackOff")), "ImagePullBackOff", "a"),
        (pod(Container(name="a", status="waiting", reason="PodInitializing")), "", ""),
        (pod(Container(name="a", status="waiting", reason="Sulking")), "other", "a"),
        (pod(Container(name="a", status="terminated", reason="Error", ready=False)), "Error", "a"),
        (pod(Container(name="a", status="terminated", reason="Completed", ready=False)), "", ""),
        (pod(Container(name="a", ready=True, last_state=LastState(reason="Error"))), "", ""),
        (
            pod(Container(name="a"), Container(name="b", status="waiting", reason="CrashLoopBackOff")),
            "CrashLoopBackOff",
            "b",
        ),
        (
            pod(
                Container(name="b", status="waiting", reason="CrashLoopBackOff"),
                conditions=(condition("PodScheduled", 1, truth=False),),
            ),
            "Unschedulable",
            "",
        ),
    ],
)
def test_the_problem_of_a_pod_is_of_a_closed_set(replica: Replica, expected_problem: str, container: str) -> None:
    found = read(replica).pods["pod"]
    assert (found.problem, found.container) == (expected_problem, container)


def test_a_problem_is_remembered_until_the_pod_is_ready() -> None:
    waiting = Container(name="a", status="waiting", reason="CrashLoopBackOff", restart_count=3, message="x" * 9999)
    first = read(pod(waiting))
    second = read(pod(Container(name="a", status="running", ready=False, restart_count=4)), tracker=first)
    third = read(pod(conditions=(condition("Ready", 300),)), tracker=second)
    assert [(c.pods["pod"].problem, c.pods["pod"].restarts) for c in (first, second, third)] == [
        ("CrashLoopBackOff", 3), ("CrashLoopBackOff", 4), ("", 4),
    ]  # fmt: skip
    assert [c.pods["pod"].message for c in (first, second, third)] == ["x" * 1024, "x" * 1024, ""]


def test_each_run_of_a_container_is_kept_once() -> None:
    def ended(second: float) -> Replica:
        last = LastState(reason="Error", exit_code=1, started_at=at(second - 5), finished_at=at(second))
        return pod(Container(name="a", last_state=last))

    tracker = read(ended(210))
    for second in (210, 250):
        tracker = read(ended(second), tracker=tracker)
    assert [(run.started, run.finished, run.exit_code) for run in tracker.pods["pod"].runs] == [
        (205.0, 210.0, 1), (245.0, 250.0, 1),
    ]  # fmt: skip
    assert tracker.pods["pod"].started == 205.0
    assert read(pod(Container(name="a", last_state=LastState(reason="Error")))).pods["pod"].runs == ()


@pytest.mark.parametrize(("begun", "started"), [("1970-01-01T00:00:00Z", None), (at(190), None), (at(210), 210.0)])
def test_a_container_starts_no_earlier_than_its_pod(begun: str, started: float | None) -> None:
    never = LastState(reason="StartError", exit_code=128, started_at=begun, finished_at=at(215))
    (found,) = read(pod(Container(name="a", last_state=never), started_at=at(203))).pods.values()
    assert found.started == started
    assert [run.started for run in found.runs] == [190.0 if begun == at(190) else started]


@pytest.mark.parametrize(
    ("expected", "kept"), [("oomkilled", "OOMKilled"), ("killed: token=x", "other"), ("", ""), (None, "")]
)
def test_the_reason_of_a_termination_is_of_a_closed_set(expected: str | None, kept: str) -> None:
    last = LastState(reason=expected, finished_at=at(215))
    tracker = read(pod(Container(name="a", status="terminated", reason="Error", last_state=last)))
    assert [run.reason for run in tracker.pods["pod"].runs] == [kept]


def test_the_pods_read_last_are_kept() -> None:
    first = read(*(pod(name=f"old-{n:02}") for n in range(60)))
    second = read(*(pod(name=f"new-{n:02}") for n in range(10)), tracker=first, now=240.0)
    assert len(second.pods) == observations.MAX_PODS
    assert sum(name.startswith("new") for name in second.pods) == 10


def test_the_protons_reported_last_are_kept() -> None:
    tracker = swept(workload("stopped"), workload("submitted")).tracker
    for n in range(100):
        reported = Pods((Proton(id="p1", created_at=at(200)), Proton(id=f"new-{n}", created_at=at(200 + n))), {})
        tracker = observations.with_pods(tracker, reported, "p1", 210.0 + n)
    assert [*tracker.protons] == [*(f"new-{n}" for n in range(37, 99)), "p1", "new-99"]


def test_events_are_kept_in_any_order() -> None:
    events = [event(f"e{n}", "Scaled", at(200 + n)) for n in range(100)]
    begun = swept(workload("stopped"), workload("submitted")).tracker
    forth = observations.with_events(
        observations.with_events(begun, events[:70], frozenset(), 210.0), events[30:], frozenset(), 210.0
    )
    back = observations.with_events(begun, events[::-1], frozenset(), 210.0)
    assert forth == back
    assert len(forth.events) == observations.MAX_EVENTS
    assert forth.events["e99"] == ObservedEvent("Scaled", 299.0)
    assert observations.with_events(EpisodeTracker(), events, frozenset(), 210.0) == EpisodeTracker(
        last=ObservedEvent("Scaled", 299.0)
    )


def test_events_from_long_before_the_open_episodes_are_dropped_at_each_read() -> None:
    begun = swept(workload("stopped"), workload("submitted")).tracker
    (episode,) = begun.episodes
    assert episode.opened.last is not None
    since = episode.opened.last - observations.MARGIN_SECONDS
    events = [event("early", "Scaled", at(since - 1)), event("first", "Scaled", at(since)), event("none", "Scaled", "")]
    for ahead, kept in ((0.0, {"first", "none"}), (-1.0, {"early", "first", "none"}), (1.0, {"none"})):
        held = msgspec.structs.replace(begun, events={"early": ObservedEvent("Scaled", since - 1)})
        found = observations.with_events(held, events, frozenset(), 230.0, ahead)
        assert found.events.keys() == kept
    unobserved = msgspec.structs.replace(episode, opened=msgspec.structs.replace(episode.opened, last=None))
    found = observations.with_events(msgspec.structs.replace(begun, life=unobserved), events, frozenset(), 230.0)
    assert found.events.keys() == {"early", "first", "none"}


def test_an_event_is_kept_only_as_far_as_it_can_be_shown() -> None:
    long_event = Event("e", at(220), "t" * 9999, details=EventDetails(message="m" * 9999))
    begun = swept(workload("stopped"), workload("submitted")).tracker
    past = Past("k", "stop", "aa", "bb", 200.0, 300.0)
    tracker = observations.with_events(msgspec.structs.replace(begun, past=(past,)), [long_event], frozenset(), 230.0)
    kept = ObservedEvent("t" * 64, 220.0, "m" * 1024)
    assert (tracker.events, tracker.late, tracker.last) == ({"e": kept}, {"e": kept}, kept)


# -- crashes


def ended(second: float, reason: str = "OOMKilled", again: float | None = None) -> Pods:
    last = LastState(reason=reason, exit_code=137, started_at=at(1), finished_at=at(second))
    started = at(again) if again is not None else None
    return snapshot("SINCE", pod(Container(name="a", ready=True, last_state=last, started_at=started)))


@pytest.mark.parametrize(
    ("expected", "until"), [(ended(150, again=152), 152.0), (ended(150), 150.0), (ended(150, again=20), 150.0)]
)
def test_a_crash_of_a_running_workload_is_a_momentary_failure(expected: Pods, until: float) -> None:
    known = counting.with_pods(swept(workload()), snapshot("SINCE", pod(Container(name="a"))), 110.0)
    (crash,) = counting.with_pods(known, expected, 160.0).tracker.over
    assert (crash.kind, crash.outcome, crash.cause, crash.since) == ("failure", "failure", "crashed", "SINCE")
    assert (crash.opened.reported, crash.ended and crash.ended.reported) == (150.0, until)


def test_a_termination_that_is_not_a_crash_or_is_within_an_episode_makes_no_episode() -> None:
    known = counting.with_pods(swept(workload()), snapshot("SINCE", pod(Container(name="a"))), 110.0)
    assert counting.with_pods(known, ended(150, "Completed"), 160.0).tracker.over == ()
    failing = counting.listed(known, workload("errored"), 200.0, last=100.0).ledger
    assert counting.with_pods(failing, ended(150), 210.0).tracker.over == ()
    stopping = counting.listed(known, workload("stopping"), 200.0, last=100.0).ledger
    assert counting.with_pods(stopping, ended(150), 210.0).tracker.over == ()


def test_unsettled_crashes_are_limited() -> None:
    tracker = EpisodeTracker(run=("p1", "SINCE"))
    for number in range(MAX_TRACED_EPISODES + 5):
        last = LastState(reason="Error", finished_at=at(number))
        tracker = observations.with_crash(tracker, "pod", Container(name="a", last_state=last), 200.0)
    assert len(tracker.over) == MAX_TRACED_EPISODES
    assert observations.with_crash(EpisodeTracker(), "pod", Container(name="a"), 200.0) == EpisodeTracker()


# -- before the first observation


def history(status: str, created: float | None, ended: float | None, name: str | None = "r1") -> Replacement:
    def iso(second: float | None) -> str | None:
        return at(second) if second is not None else None

    return Replacement(
        id=name, status=status, candidate_proton_ids=("c1",), created_at=iso(created), updated_at=iso(ended)
    )


@pytest.mark.parametrize(
    ("records", "episodes"),
    [
        ([history("completed", 500, 600)], "replacement success completed"),
        ([history("errored", 500, 600)], "replacement failure errored"),
        ([history("failed", 500, 600)], "replacement failure errored"),
        ([history("CANCELLED", 500, 600)], "replacement cancellation cancelled"),
        ([history("canceled", 500, 600)], "replacement cancellation cancelled"),
        ([history("switching", 500, 600)], ""),
        ([history("completed", 50, 90)], ""),
        ([history("completed", 500, 2000)], ""),
        ([history("completed", None, 600)], ""),
        ([history("completed", 500, None)], ""),
        ([history("completed", 500, 600, None)], ""),
    ],
)
def test_past_replacements_are_recalled_within_the_backfill_period(records: list[Replacement], episodes: str) -> None:
    tracker = transitions.recalled(EpisodeTracker(), records, (), 1000.0, 900.0)
    assert words(tracker) == episodes
    assert all(each.recalled for each in tracker.over)


@pytest.mark.parametrize(
    ("name", "created", "since", "episodes"),
    [
        ("p1", 500.0, 600.0, "start success"),
        ("p1", 50.0, 600.0, ""),
        ("p1", 500.0, None, ""),
        ("c1", 500.0, 600.0, "replacement success completed"),
    ],
)
def test_the_start_of_the_current_run_is_recalled_unless_a_replacement_made_it(
    name: str, created: float, since: float | None, episodes: str
) -> None:
    proton = Proton(name, created_at=at(created), running_since=at(since) if since is not None else None)
    records = [history("completed", 450, 650)] if name == "c1" else []
    assert words(transitions.recalled(EpisodeTracker(), records, [proton], 1000.0, 900.0)) == episodes


def test_a_run_that_began_long_after_its_proton_was_not_its_first() -> None:
    proton = Proton("p1", created_at="1970-01-01T00:10:00Z", running_since="1970-01-03T00:10:00Z")
    assert transitions.recalled(EpisodeTracker(), (), [proton], 300_000.0, 600_000.0) == EpisodeTracker()


# -- settling


def over(ended: float, **facts: object) -> EpisodeTracker:
    episode = Episode("stop", Mark(ended - 50.0), ended=Mark(ended), outcome="success")
    return EpisodeTracker(over=(msgspec.structs.replace(episode, **facts),))


@pytest.mark.parametrize(
    ("now", "previous", "expected", "settled"),
    [
        (159.0, 150.0, 150.0, False),
        (160.0, 130.0, 150.0, True),
        (200.0, 100.0, 150.0, False),
        (200.0, None, 150.0, False),
        (200.0, 150.0, 90.0, False),
        (399.0, 350.0, 90.0, False),
        (400.0, 350.0, 90.0, True),
    ],
)
def test_an_episode_settles_for_a_minute_two_sweeps_and_until_details_were_read(
    now: float, previous: float | None, expected: float, settled: bool
) -> None:
    tracker = msgspec.structs.replace(over(100.0), pods_read=expected, events_read=expected)
    after, due = episodes.due(tracker, now, previous)
    assert (len(due), len(after.over)) == ((1, 0) if settled else (0, 1))


@pytest.mark.parametrize(("now", "settled"), [(39.0, True), (40.0, False)])
def test_an_episode_that_ended_in_the_future_settles_at_once(now: float, settled: bool) -> None:
    """The clock was set back."""
    assert bool(episodes.due(over(100.0), now, now - 30.0)[1]) is settled


def test_a_deletion_waits_for_no_details() -> None:
    assert episodes.due(over(100.0, kind="deletion"), 170.0, 130.0)[1]


def test_an_episode_open_for_a_week_times_out() -> None:
    week = episodes.MAX_OPEN_SECONDS + 200.0
    known = swept(workload(), workload("errored", replacement=record())).tracker
    assert words(episodes.due(known, week, None)[0]) == "failure …, replacement …"
    assert words(episodes.due(known, week + 1.0, None)[0]) == "failure timeout timeout, replacement timeout timeout"


def test_a_flapping_workload_gets_one_more_trace() -> None:
    statuses = ["running", "errored"] * (MAX_TRACED_EPISODES + 10)
    now = counting.first_observed(workload(), 100.0, baseline=True)
    for number, status in enumerate(statuses[1:], 1):
        now = counting.listed(now, workload(status), 100.0 + number * 10.0, last=90.0 + number * 10.0).ledger
    tracker = now.tracker
    assert len(tracker.over) == MAX_TRACED_EPISODES
    assert tracker.flapping is not None
    assert tracker.flapping.folded == 9
    after, due = episodes.due(msgspec.structs.replace(tracker, over=()), tracker.flapping.opened.at + 3600.0, 3000.0)
    assert [each.kind for each in due] == ["flapping"]
    assert after.flapping is None
    calm = counting.listed(now, workload("running"), 100.0 + 8000.0, last=None).ledger.tracker
    assert calm.over[-1].kind == "failure"


@pytest.mark.parametrize(
    ("folded", "outcome", "kinds"),
    [
        (["start success", "stop success", "start cancellation"], "success", ("start", "stop")),
        (["stop success", "failure failure", "stop error"], "failure", ("stop", "failure")),
        (["stop error", "start failure"], "error", ("stop", "start")),
    ],
)
def test_flapping_has_failed_if_a_folded_episode_has(folded: list[str], outcome: str, kinds: tuple[str]) -> None:
    tracker = EpisodeTracker(recent=(100.0,) * MAX_TRACED_EPISODES)
    for each in folded:
        kind, ended = each.split()
        episode = Episode(kind, Mark(100.0), ended=Mark(150.0), outcome=ended)  # type: ignore[arg-type]  # fields by name
        tracker, admitted = episodes.admission(tracker, episode)
        assert not admitted
    assert tracker.flapping is not None
    assert (tracker.flapping.outcome, tracker.flapping.kinds, tracker.flapping.folded) == (outcome, kinds, len(folded))


# -- memory of past episodes


def test_traces_are_remembered_for_a_day_and_pods_and_events_as_long_as_needed() -> None:
    tracker = read(pod())
    new = Past("k", "stop", "aa", "bb", 100.0, 200.0)
    busy = episodes.remembered(tracker, (new,), 300.0)
    assert (busy.past, list(busy.pods)) == ((new,), ["pod"])
    done = episodes.remembered(msgspec.structs.replace(busy, life=None), (), 300.0)
    assert (done.past, done.pods, done.protons, done.events) == ((new,), {}, {}, {})
    assert episodes.remembered(done, (), 200.0 + episodes.PAST_SECONDS).past == ()


def test_counts_are_kept_for_the_most_recent_episode_keys() -> None:
    tracker = episodes.numbered(EpisodeTracker(), "often")
    for number in range(2 * episodes.MAX_NUMBERS):
        tracker = episodes.numbered(episodes.numbered(tracker, f"once-{number}"), "often")
    assert len(tracker.numbers) == episodes.MAX_NUMBERS
    assert tracker.numbers["often"] == 2 * episodes.MAX_NUMBERS + 1
    assert "once-0" not in tracker.numbers


def test_pods_of_an_ended_episode_are_dropped_if_the_next_began_later() -> None:
    tracker = read(pod(name="old"), now=150.0)
    assert episodes.remembered(tracker, (), 300.0).pods == {}


def test_an_event_within_an_already_made_trace_is_late() -> None:
    past = Past("k", "stop", "aa", "bb", 290.0, 310.0)
    tracker = EpisodeTracker(past=(past,))
    found = observations.with_events(tracker, [event("e1"), event("e2", at=at(400))], frozenset(), 500.0)
    assert list(found.late) == ["e1"]
    assert found.changes_with_time
    assert not tracker.changes_with_time
    assert observations.with_events(tracker, [event("e1")], frozenset({"e1"}), 500.0).late == {}
    full = EpisodeTracker(past=(msgspec.structs.replace(past, late=episodes.MAX_LATE),))
    assert observations.with_events(full, [event("e1")], frozenset(), 500.0).late == {}
    assert observations.with_events(tracker, [Event("e3", None, "Scaled")], frozenset(), 500.0).late == {}
