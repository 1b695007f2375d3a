"""Pauses after refusals: examples of refusals with the resulting pauses, and laws."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.pauses import (
    LIST,
    MAX_PAUSE_SECONDS,
    MAX_PAUSED_OBJECTS,
    OBJECTS_TO_ROUTE,
    Pause,
    Pauses,
    Scope,
)

PODS, EVENTS = "/workloads/{id}/protons/{pid}/statusDetails", "/workloads/{id}/events"
QUOTAS, LIMITS = "/quotas", "/account/info"
Target = tuple[str, tuple[str, ...]]
Refusal = tuple[str, tuple[str, ...], int, float | None]
THE_LIST: Target = (LIST, ())


def refused(pauses: Pauses, *refusals: Refusal, at: float = 0.0) -> Pauses:
    """The pauses after these refusals, without latency."""
    for route, ids, status, retry_after in refusals:
        pauses.refused(route, ids, status, retry_after, at, at)
    return pauses


def unavailable(*workloads: str) -> list[Refusal]:
    return [(PODS, (workload, "p1"), 503, 300.0) for workload in workloads]


REFUSALS: dict[str, tuple[list[Refusal], dict[Target, Pause | None]]] = {
    "503 for one object": (
        unavailable("a"),
        {
            (PODS, ("a", "p1")): Pause("object", 300),
            (PODS, ("a", "p2")): None,
            (PODS, ("b", "p1")): None,
            (EVENTS, ("a",)): None,
            THE_LIST: None,
        },
    ),
    "503 for two workloads": (unavailable("a", "b"), {(PODS, ("c", "p1")): None, THE_LIST: None}),
    "503 for three versions of one workload": (
        [(PODS, ("a", version), 503, 300.0) for version in ("p1", "p2", "p3")],
        {(PODS, ("a", "p4")): None, (PODS, ("b", "p1")): None},
    ),
    "503 for three workloads": (
        unavailable("a", "b", "c"),
        {
            (PODS, ("a", "p1")): Pause("object", 300),
            (PODS, ("d", "p1")): Pause("route", 5),
            (EVENTS, ("a",)): None,
            THE_LIST: None,
        },
    ),
    "503 on a route without ids": (
        [(QUOTAS, (), 503, 60.0)],
        {(QUOTAS, ()): Pause("route", 60), (LIMITS, ()): None, THE_LIST: None},
    ),
    "429 for one object": (
        [(EVENTS, ("a",), 429, None)],
        {(EVENTS, ("a",)): Pause("object", 5), (EVENTS, ("b",)): None, (PODS, ("a", "p1")): None, THE_LIST: None},
    ),
    "429 that names a time": ([(EVENTS, ("a",), 429, 40.0)], {(EVENTS, ("a",)): Pause("object", 40)}),
    "429 that names a day": ([(EVENTS, ("a",), 429, 86400.0)], {(EVENTS, ("a",)): Pause("object", MAX_PAUSE_SECONDS)}),
    "429 that names no time to wait": ([(EVENTS, ("a",), 429, 0.0)], {(EVENTS, ("a",)): Pause("object", 5)}),
    "503 that names no time to wait": ([(PODS, ("a", "p1"), 503, 0.0)], {(PODS, ("a", "p1")): Pause("object", 5)}),
    "429 on all routes of one workload": (
        [(EVENTS, ("a",), 429, 60.0), *((PODS, ("a", version), 429, None) for version in ("p1", "p2", "p3"))],
        {(EVENTS, ("a",)): Pause("object", 60), (EVENTS, ("b",)): None, (PODS, ("b", "p1")): None, (LIMITS, ()): None},
    ),
    "429 for two workloads": (
        [(EVENTS, (each,), 429, 60.0) for each in "ab"],
        {(EVENTS, ("c",)): None, (PODS, ("a", "p1")): None},
    ),
    "429 for three workloads": (
        [(EVENTS, (each,), 429, 60.0) for each in "abc"],
        {(EVENTS, ("d",)): Pause("route", 60), (PODS, ("a", "p1")): None, THE_LIST: None},
    ),
    "429 for three workloads without a time": (
        [(EVENTS, (each,), 429, None) for each in "abc"],
        {(EVENTS, ("d",)): Pause("route", 5)},
    ),
    "429 on two routes": (
        [*((EVENTS, (each,), 429, 60.0) for each in "abc"), (QUOTAS, (), 429, 60.0)],
        {(EVENTS, ("d",)): Pause("route", 60), (LIMITS, ()): Pause("details", 5), THE_LIST: None},
    ),
    "401 for one object": (
        [(EVENTS, ("a",), 401, None)],
        {(EVENTS, ("a",)): Pause("object", 60), (EVENTS, ("b",)): None, (PODS, ("a", "p1")): None, THE_LIST: None},
    ),
    "401 for three workloads": (
        [(EVENTS, (each,), 401, None) for each in "abc"],
        {(EVENTS, ("d",)): Pause("route", 5), (PODS, ("a", "p1")): None, THE_LIST: None},
    ),
    "401 on two routes": (
        [*((EVENTS, (each,), 401, None) for each in "abc"), (QUOTAS, (), 401, None)],
        {(PODS, ("d", "p1")): Pause("details", 5), THE_LIST: None},
    ),
    "401 on the list": (
        [(LIST, (), 401, None)],
        {(LIMITS, ()): Pause("details", 300), (PODS, ("a", "p1")): Pause("details", 300), THE_LIST: None},
    ),
    "429 on the list": (
        [(LIST, (), 429, None)],
        {THE_LIST: Pause("account", 5), (LIMITS, ()): Pause("account", 5), (PODS, ("a", "p1")): Pause("account", 5)},
    ),
    "503 on the list": (
        [(LIST, (), 503, 60.0)],
        {THE_LIST: Pause("account", 60), (PODS, ("a", "p1")): Pause("account", 60)},
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_pauses_what_refused_and_several_pause_more(name: str) -> None:
    refusals, held = REFUSALS[name]
    pauses = refused(Pauses(), *refusals)
    assert {target: pauses.of(*target, 0.0) for target in held} == held


def pauses_in_turn(target: Target, count: int, pauses: Pauses) -> list[float]:
    """Durations of the pauses of a target that responds with 429 after each pause."""
    now, lengths = 0.0, []
    for _ in range(count):
        refused(pauses, (*target, 429, None), at=now)
        pause = pauses.of(*target, now)
        assert pause is not None
        lengths.append(pause.seconds)
        now += pause.seconds
        assert pauses.of(*target, now) is None
    return lengths


@pytest.mark.parametrize("target", [THE_LIST, (EVENTS, ("a",)), (QUOTAS, ())])
def test_pauses_without_a_requested_time_grow_and_are_bounded(target: Target) -> None:
    assert pauses_in_turn(target, 9, Pauses()) == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert pauses_in_turn(target, 3000, Pauses())[-1] == MAX_PAUSE_SECONDS


def test_a_success_resets_the_pause_of_its_route_only() -> None:
    pauses = Pauses()
    for target in (THE_LIST, (QUOTAS, ())):
        pauses_in_turn(target, 4, pauses)
    assert pauses.succeeded(LIST, (), 1000.0) == ["*"]
    refused(pauses, (LIST, (), 429, None), (QUOTAS, (), 429, None), at=1000.0)
    assert [pauses.of(LIST, (), 1000.0), pauses.of(QUOTAS, (), 1000.0)] == [Pause("account", 5), Pause("route", 80)]
    assert pauses.succeeded(QUOTAS, (), 2000.0) == [QUOTAS]
    assert pauses.succeeded(QUOTAS, (), 2001.0) == []


def test_a_success_resets_the_pause_of_its_object_only() -> None:
    pauses = Pauses()
    for workload in "ab":
        pauses_in_turn((EVENTS, (workload,)), 4, pauses)
    assert pauses.succeeded(EVENTS, ("a",), 1000.0) == []
    refused(pauses, (EVENTS, ("a",), 429, None), (EVENTS, ("b",), 429, None), at=1000.0)
    held = [pauses.of(EVENTS, (workload,), 1000.0) for workload in "ab"]
    assert held == [Pause("object", 5), Pause("object", 80)]


def test_a_list_that_accepts_the_token_again_ends_the_pause_of_the_others() -> None:
    pauses = refused(Pauses(), (LIST, (), 401, None))
    assert pauses.succeeded(LIST, (), 30.0) == ["details"]
    assert pauses.of(LIMITS, (), 30.0) is None
    refused(pauses, ("/computeBundles", (), 429, None), (QUOTAS, (), 429, None), at=30.0)
    assert pauses.succeeded(LIST, (), 31.0) == []  # a pause for another reason does not end with it
    assert pauses.of(LIMITS, (), 31.0) == Pause("details", 4)


def test_a_requested_pause_that_never_suffices_grows() -> None:
    now, pauses, lengths = 0.0, Pauses(), []
    for _ in range(7):
        refused(pauses, (EVENTS, ("a",), 429, 7.0), at=now)
        pause = pauses.of(EVENTS, ("a",), now)
        assert pause is not None
        lengths.append(pause.seconds)
        now += pause.seconds
    assert lengths == [7, 7, 10, 20, 40, 80, 160]


def test_a_success_of_a_request_sent_before_the_pause_changes_nothing() -> None:
    held: list[tuple[Target, Scope]] = [((QUOTAS, ()), "route"), ((EVENTS, ("a",)), "object")]
    for target, scope in held:
        pauses = refused(Pauses(), (*target, 429, None), at=10.0)
        assert pauses.succeeded(*target, 9.0) == []
        refused(pauses, (*target, 429, None), at=15.0)
        assert pauses.of(*target, 15.0) == Pause(scope, 10)


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_requests_in_progress_when_a_pause_begins_do_not_extend_it(retry_after: float | None) -> None:
    pauses = Pauses()
    changes = [pauses.refused(EVENTS, (str(n),), 429, retry_after, 0.0, 1.0) for n in range(20)]
    first = 7.0 if retry_after else 5.0
    assert changes == [{}, {}, {EVENTS: first}, *[{}] * 17]
    # These responses arrive long after the pause.
    assert [pauses.refused(EVENTS, (late,), 429, None, 0.5, 50.0) for late in "xyz"] == [{}, {}, {}]
    assert [pauses.refused(EVENTS, (each,), 429, None, 60.0, 60.0) for each in "abc"] == [{}, {}, {EVENTS: 10.0}]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("target", "scope"), [((QUOTAS, ()), "route"), ((EVENTS, ("a",)), "object")])
def test_the_longest_requested_time_counts(status: int, target: Target, scope: Scope) -> None:
    pauses = Pauses()
    for retry_after in (7.0, 60.0, 20.0):
        pauses.refused(*target, status, retry_after, 0.0, 1.0)
    assert pauses.of(*target, 1.0) == Pause(scope, 60)


def test_a_few_broken_workloads_delay_the_others_only_briefly() -> None:
    """Three workloads always respond with 503 and five minutes; a hundred others respond normally."""
    pauses, now, held = Pauses(), 0.0, 0.0
    for number in itertools.cycle(range(100)):
        if now >= 3600.0:
            break
        for broken in "abc":
            if pauses.of(PODS, (broken, "p1"), now) is None:
                refused(pauses, *unavailable(broken), at=now)
        if (pause := pauses.of(PODS, (str(number), "p1"), now)) is not None:
            held += pause.seconds
            now += pause.seconds
        pauses.succeeded(PODS, (str(number), "p1"), now)
        now += 0.1
    assert 0 < held < 0.06 * 3600


def test_a_limited_number_of_paused_objects_is_remembered_and_none_is_requested_too_soon() -> None:
    pauses = refused(Pauses(), *unavailable(*map(str, range(MAX_PAUSED_OBJECTS))))
    assert pauses.of(PODS, ("other", "p1"), 200.0) is None
    refused(pauses, *unavailable("one more"), at=200.0)
    assert pauses.of(PODS, ("one more", "p1"), 200.0) == Pause("route", 300)
    assert pauses.of(PODS, ("other", "p1"), 500.0) is None
    refused(pauses, *unavailable("later"), at=500.0)  # there is room again: the earlier pauses have ended
    assert pauses.of(PODS, ("later", "p1"), 500.0) == Pause("object", 300)
    assert pauses.of(PODS, ("other", "p1"), 500.0) is None


TARGETS: list[Target] = [
    THE_LIST,
    (QUOTAS, ()),
    *((EVENTS, (workload,)) for workload in "abcd"),
    *((PODS, (workload, version)) for workload in "abcd" for version in ("p1", "p2")),
]
ANSWERS = st.sampled_from([(200, None), (429, None), (429, 0.0), (429, 30.0), (503, 0.0), (503, 120.0), (503, 900.0)])
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 5.0, 40.0]), st.sampled_from(TARGETS), ANSWERS, st.sampled_from([0.0, 2.0, 9.0])
    ),
    max_size=80,
)
"""Seconds since the previous request, its target, the response, and its duration."""


@given(REQUESTS)
def test_requested_pauses_are_kept_one_workload_pauses_no_other_and_the_list_is_paused_only_by_its_own_refusals(
    requests: list[tuple[float, Target, tuple[int, float | None], float]],
) -> None:
    pauses, now = Pauses(), 0.0
    in_flight: list[tuple[float, float, Target, int, float | None]] = []
    requested_until: dict[tuple[str, tuple[str, ...] | None], float] = {}
    refusing: set[str] = set()
    last = last_of_list = -1000.0
    for since, (route, ids), (status, retry_after), seconds in requests:
        now += since
        for answered, sent, (of, about), code, requested in sorted(
            (each for each in in_flight if each[0] <= now), key=lambda each: each[:2]
        ):
            if code == 200:
                pauses.succeeded(of, about, sent)
                continue
            pauses.refused(of, about, code, requested, sent, answered)
            last, last_of_list = answered, answered if of == LIST else last_of_list
            refusing.add(about[0] if about else of)
            what = (of, about or None)
            requested_until[what] = max(
                requested_until.get(what, 0.0), answered + min(requested or 0.0, MAX_PAUSE_SECONDS)
            )
        in_flight = [each for each in in_flight if each[0] > now]
        pause = pauses.of(route, ids, now)
        if pause is None:
            named = [(LIST, None), (route, None), (route, ids)]
            assert all(now >= requested_until.get(what, 0.0) for what in named)
            in_flight.append((now + seconds, now, (route, ids), status, retry_after))
        else:
            assert 0 < pause.seconds <= last + MAX_PAUSE_SECONDS - now
            assert pause.scope != "account" or pause.seconds <= last_of_list + MAX_PAUSE_SECONDS - now
            assert route != LIST or pause.scope == "account"
            assert not ids or refusing & {LIST, ids[0]} or len(refusing) >= OBJECTS_TO_ROUTE
