"""Laws of detail polling: the budget is kept, urgent requests go first, and none starves."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.api.details import RequestMetrics
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Container, Pods, Proton, Replica, StatusDetails
from exporter.fleet.ledger import Ledger, ServingRecord
from exporter.fleet.objectives import Objective
from exporter.fleet.polling import EXTRAS, DetailRequest, Policy, affordable, extras, lasts, load, plan, requests
from exporter.fleet.workload_state import Details, Window, WorkloadState

REQUESTS = st.builds(
    DetailRequest,
    workload=st.sampled_from([str(n) for n in range(40)]),
    part=st.sampled_from(["pods", "events", "stats_5m", "sharing"]),
    cost=st.integers(1, 5),
    every=st.sampled_from([30.0, 120.0, 300.0, 3600.0]),
    urgent=st.booleans(),
    rank=st.integers(0, 3),
)
WAITING = st.lists(st.tuples(REQUESTS, st.floats(-5000, 1000) | st.just(-math.inf)), max_size=60)


@given(WAITING, st.integers(0, 40))
def test_the_budget_is_never_exceeded_and_nothing_is_requested_before_it_is_due(
    waiting: list[tuple[DetailRequest, float]], budget: int
) -> None:
    chosen = plan(waiting, 1000.0, budget)
    assert sum(request.cost for request in chosen) <= budget
    due = [request for request, polled in waiting if 1000.0 - polled >= request.every]
    assert all(chosen.count(request) <= due.count(request) for request in chosen)


@given(WAITING)
def test_with_enough_budget_everything_due_is_requested(waiting: list[tuple[DetailRequest, float]]) -> None:
    chosen = plan(waiting, 1000.0, 10_000)
    assert sorted(chosen) == sorted(request for request, polled in waiting if 1000.0 - polled >= request.every)


@given(WAITING, st.integers(5, 40))
def test_steady_workloads_keep_their_share_and_urgent_ones_get_the_rest(
    waiting: list[tuple[DetailRequest, float]], budget: int
) -> None:
    chosen = plan(waiting, 1000.0, budget)
    due = [request for request, polled in waiting if 1000.0 - polled >= request.every]
    spent = {urgent: sum(request.cost for request in chosen if request.urgent is urgent) for urgent in (True, False)}
    if any(request not in chosen for request in due if request.urgent):
        assert spent[False] <= 0.25 * budget + 10
    if any(request not in chosen for request in due if not request.urgent):
        assert spent[False] >= 0.25 * sum(spent.values()) - 5


def live(
    fleet: Sequence[DetailRequest], per_turn: int, turn: float, turns: int
) -> tuple[dict[DetailRequest, float], dict[DetailRequest, float]]:
    """The greatest age of each request over many turns, and when each was first sent."""
    polled = dict.fromkeys(fleet, 0.0)
    oldest, first = dict.fromkeys(fleet, 0.0), dict[DetailRequest, float]()
    for number in range(turns):
        now = (number + 1) * turn
        for request in fleet:
            oldest[request] = max(oldest[request], now - polled[request])
        for request in plan(polled.items(), now, per_turn):
            polled[request] = now
            first.setdefault(request, now)
    return oldest, first


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 3), st.integers(4, 20))
def test_the_oldest_age_is_bounded_by_fleet_size_over_budget(workloads: int, cost: int, per_turn: int) -> None:
    every, turn = 300.0, 5.0
    fleet = [DetailRequest(str(n), "pods", cost, every) for n in range(workloads)]
    oldest, _ = live(fleet, per_turn, turn, 200)
    in_one_turn = per_turn // cost
    a_round = math.ceil(workloads / in_one_turn) * turn
    assert max(oldest.values()) <= every + a_round + turn
    if a_round > every:  # the budget is the bound
        assert max(oldest.values()) <= 2 * a_round + turn


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 60))
def test_urgent_requests_keep_their_interval_and_steady_ones_do_not_starve(
    parts: int, urgent: int, steady: int
) -> None:
    interval, turn, rate = 30.0, 5.0, 4
    names = ["pods", "events", "stats_5m", "usage"][:parts]
    fleet = [DetailRequest(f"t{n}", name, 1, interval, urgent=True) for n in range(urgent) for name in names]
    fleet += [DetailRequest(f"s{n}", name, 1, 300.0) for n in range(steady) for name in names]
    oldest, first = live(fleet, int(rate * turn), turn, 200)
    assert len(first) == len(fleet)
    urgent_round = math.ceil(urgent * parts / (0.75 * rate * turn)) * turn
    assert max(age for request, age in oldest.items() if request.urgent) <= interval + urgent_round + turn
    assert max(oldest.values()) <= 300.0 + math.ceil(steady * parts / (0.25 * rate * turn)) * turn + turn


@given(WAITING, st.integers(8, 40))
def test_a_workload_that_has_just_changed_goes_first(waiting: list[tuple[DetailRequest, float]], budget: int) -> None:
    changed = DetailRequest("changed", "pods", 2, 30.0, urgent=True)
    before = [(request, max(polled, -4000.0)) for request, polled in waiting]
    chosen = plan([*before, (changed, -math.inf)], 1000.0, budget)
    assert next(request for request in chosen if request.urgent) == changed


def state(status: str = "running", importance: str = "low", before: str = "", **more: object) -> WorkloadState:
    """A workload; `before`: the group of its last known status."""
    details = more.pop("details", Details())
    item = Workload(id="w", status=status, importance=importance, **more)  # type: ignore[arg-type]  # fields by name
    return WorkloadState("eu", item, Ledger(0.0, 1000.0, group=before), details)  # type: ignore[arg-type]  # fields by name


def parts(of: WorkloadState, now: float = 1100.0, **policy: object) -> dict[str, float]:
    return {request.part: request.every for request in requests(of, Policy(**policy), now)}  # type: ignore[arg-type]  # fields by name


OFF = {"pods": 300, "events": 300, "sharing": 3600, "quotas": 3600}
STEADY = {"pods": 300, "events": 300, "stats_5m": 300, "usage": 300, "stats_1h": 600, "sharing": 3600, "quotas": 3600}
PROMPT = {"pods": 30, "events": 30, "stats_5m": 30}
IMPORTANT = {"pods": 150, "stats_6h": 1800, "stats_1d": 3600, "stats_3d": 7200}


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (state(), STEADY),
        (state(importance="critical"), STEADY | IMPORTANT),
        (state("stopped"), OFF),
        (state("stopped", "critical"), OFF),
        (state("errored"), OFF | {"pods": 30, "events": 30}),
        (state("Hibernating"), STEADY | PROMPT),
        (state("Hibernating", before="up"), STEADY | PROMPT),
        (state("unknown", "high", before="up"), STEADY | IMPORTANT | PROMPT),
        (state("Hibernating", before="off"), OFF | {"pods": 30, "events": 30}),
        (state("Hibernating", before="starting"), OFF | {"pods": 30, "events": 30}),
        (state("terminated"), OFF),
        (state(replacement=Replacement(status="switching")), STEADY | PROMPT),
    ],
)
def test_requested_parts_depend_on_importance_and_the_last_known_state(
    of: WorkloadState, wanted: dict[str, float]
) -> None:
    assert parts(of) == wanted


def errors(window: str, share: float, requests: int = 1000) -> dict[str, Window]:
    """A window with this share of server errors."""
    return {window: Window(0.0, 300.0, RequestMetrics(total_requests=requests, server_errors=round(share * requests)))}


LONG = {"stats_30m": 300, "stats_2h": 600, "stats_6h": 1800, "stats_1d": 3600, "stats_3d": 7200}

MANY = {"stats_5m": 30, "pods": 30, "stats_1h": 60, "stats_1d": 900}
LASTING = {name: 4 * every for name, every in MANY.items()}


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        (errors("5m", 0.005) | errors("1h", 0.005), STEADY),
        (errors("5m", 0.006), STEADY | LONG),
        (errors("5m", 0.0) | errors("1h", 0.006), STEADY | LONG),
        (errors("1h", 0.0) | errors("2h", 0.006), STEADY | LONG),  # errors may return: until two hours are well
        (errors("1d", 0.006), STEADY),
        (errors("5m", 0.0, requests=0), STEADY),
        (errors("5m", 0.05), STEADY | LONG | MANY),
        (errors("5m", 1.0, requests=4), STEADY | LONG),  # too few errors
        (errors("5m", 1.0) | errors("1h", 0.4, 12_000), STEADY | LONG | MANY),
        (errors("5m", 0.2) | errors("30m", 0.6) | errors("1h", 0.35, 12_000), STEADY | LONG | MANY),
        (errors("5m", 1.0) | errors("1h", 1.0, 1200), STEADY | LONG | MANY),
        (errors("5m", 1.0) | errors("1h", 0.6, 12_000), STEADY | LONG | LASTING),
    ],
    ids=["within the budget", "over the budget", "errors that have ended", "errors of two hours", "errors of a day",
        "no requests", "many errors", "few requests", "an outage", "the end of an outage",
        "requests of one window only", "a lasting outage"],
)  # fmt: skip
def test_server_errors_add_windows_and_many_are_polled_promptly(
    windows: dict[str, Window], wanted: dict[str, float]
) -> None:
    assert parts(state(details=Details(windows=windows))) == wanted


def test_how_many_server_errors_add_windows_is_a_setting() -> None:
    of = state(details=Details(windows=errors("5m", 0.002)))
    assert "stats_2h" in parts(of, error_budget=0.001)
    assert "stats_2h" not in parts(of)


def test_an_objective_says_from_how_many_server_errors_on_windows_are_added() -> None:
    of = state(details=Details(windows=errors("5m", 0.002)))
    assert "stats_2h" in parts(of._replace(objective=Objective(availability=0.999)))
    assert "stats_2h" not in parts(of._replace(objective=Objective(availability=0.99)))
    assert "stats_2h" not in parts(of._replace(objective=Objective(readiness=0.9999)))


def test_an_objective_of_latency_says_from_how_many_slow_requests_on_windows_are_added() -> None:
    def of(slow: int | None, objective: Objective | None) -> WorkloadState:
        metrics = RequestMetrics(total_requests=1000, server_errors=0, slow_requests=slow)
        return state(details=Details(windows={"30m": Window(0.0, 1800.0, metrics)}))._replace(objective=objective)

    tight = Objective(latency=0.95, slower=1.0)
    assert "stats_2h" in parts(of(51, tight))
    assert "stats_2h" not in parts(of(50, tight))
    assert "stats_2h" not in parts(of(None, tight))
    assert "stats_2h" not in parts(of(1000, Objective(availability=0.99)))
    assert "stats_2h" not in parts(of(1000, None))


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (state()._replace(objective=Objective(availability=0.999)), STEADY | {"requests": 600}),
        (state()._replace(objective=Objective(latency=0.99, slower=1.0)), STEADY | {"requests": 600}),
        (state()._replace(objective=Objective(readiness=0.999)), STEADY),
        (state("stopped")._replace(objective=Objective(availability=0.999)), OFF),
    ],
)
def test_requests_of_a_workload_that_runs_are_counted_if_an_objective_needs_them(
    of: WorkloadState, wanted: dict[str, float]
) -> None:
    assert parts(of) == wanted


def test_counting_the_requests_of_each_proton_takes_a_request() -> None:
    details = Details(pods=Pods((Proton(id="p1"), Proton(id="p2")), {}))
    of = state(details=details)._replace(objective=Objective(availability=0.999))
    assert {each.part: each.cost for each in requests(of, Policy(), 1100.0)}["requests"] == 2


def test_a_workload_that_is_not_up_has_no_windows() -> None:
    assert parts(state("stopped", details=Details(windows=errors("5m", 1.0)))).keys() == {
        "pods", "events", "sharing", "quotas"
    }  # fmt: skip


def test_errors_from_before_the_statistics_were_reset_add_no_windows() -> None:
    of = state(details=Details(windows=errors("5m", 1.0)))
    assert parts(of._replace(ledger=Ledger(0.0, 1000.0, reset_at=290.0))) == STEADY


def test_errors_since_a_reset_of_the_statistics_count_after_an_eighth_of_the_window() -> None:
    of = state(details=Details(windows=errors("5m", 1.0)))
    assert "stats_2h" not in parts(of._replace(ledger=Ledger(0.0, 1000.0, reset_at=263.0)))
    assert "stats_2h" in parts(of._replace(ledger=Ledger(0.0, 1000.0, reset_at=262.0)))


def test_the_callers_of_a_workload_that_should_serve_and_does_not_are_counted_at_once() -> None:
    of = state("launching")
    down = of._replace(ledger=Ledger(0.0, 1000.0, group="up", serving=ServingRecord(down=1000.0)))
    assert parts(down)["stats_5m"] == 30
    assert "stats_5m" not in parts(of)


def test_a_lasting_problem_is_polled_less_often() -> None:
    assert parts(state("errored"), now=1000.0 + 3601)["pods"] == 120


def test_a_running_workload_with_an_unready_pod_is_urgent() -> None:
    def with_pod(ready: bool) -> WorkloadState:
        pod = Replica(name="a", status="running", containers=(Container(name="c", status="running", ready=ready),))
        return state(
            details=Details(pods=Pods((Proton(id="p"),), {"p": StatusDetails(replicas=(pod,))})), proton_id="p"
        )

    assert parts(with_pod(ready=False))["pods"] == 30
    assert parts(with_pod(ready=True))["pods"] == 300


def test_only_wanted_parts_are_requested() -> None:
    assert parts(state(), parts=frozenset({"pods"})) == {"pods": 300}


def test_pods_of_important_workloads_are_polled_like_others_if_the_budget_is_too_small() -> None:
    dropped = frozenset({("pods", "critical")})
    every = {i: {each.part: each.every for each in requests(state(importance=i), Policy(), 1100.0, dropped)}
             for i in ("critical", "high", "low")}  # fmt: skip
    assert {i: parts["pods"] for i, parts in every.items()} == {"critical": 300, "high": 150, "low": 300}
    assert extras(state(importance="critical"), Policy(parts=frozenset({"events"}))) == {}


def test_quantiles_and_protons_cost_requests() -> None:
    def costs(dropped: frozenset[tuple[str, str]], pods: Pods | None = None) -> dict[str, int]:
        of = state(details=Details(pods=pods))
        return {request.part: request.cost for request in requests(of, Policy(), 1100.0, dropped)}

    assert costs(frozenset()) | {"pods": 2, "stats_5m": 3, "stats_1h": 1} == costs(frozenset())
    assert costs(frozenset({("quantiles", "low")}))["stats_5m"] == 1
    two = Pods((Proton(id="p"), Proton(id="q")), {})
    assert costs(frozenset(), two)["pods"] == 3


RATES = st.dictionaries(st.sampled_from(EXTRAS), st.floats(0.1, 10.0))


@given(st.floats(0, 20), RATES, st.floats(1, 30))
@example(0.0, {EXTRAS[1]: 2.0, EXTRAS[2]: 2.0}, 3.0)
@example(9.0, {EXTRAS[0]: 1.0}, 3.0)
def test_extras_are_dropped_in_order_until_the_rest_fits(
    needed: float, costs: dict[tuple[str, str], float], rate: float
) -> None:
    dropped = affordable(needed, costs, rate)
    kept = needed + sum(cost for extra, cost in costs.items() if extra not in dropped)
    assert kept <= rate + 1e-9 or dropped == costs.keys()  # sums of floats depend on the order
    order = [extra for extra in EXTRAS if extra in costs]
    assert dropped == {*order[: len(dropped)]}
    assert affordable(needed, costs, rate, dropped) >= dropped  # none returns at the limit
    assert affordable(needed / 2, {extra: cost / 2 for extra, cost in costs.items()}, rate * 2, dropped) <= dropped


def test_extras_cost_requests_per_second() -> None:
    failing = state(details=Details(windows=errors("5m", 0.01)))
    every = (300, 600, 1800, 3600, 7200)
    assert extras(state(), Policy()) == pytest.approx({("quantiles", "low"): 2 / 300})
    assert extras(state("stopped"), Policy()) == {}
    assert extras(failing, Policy())["windows", "low"] == pytest.approx(sum(1 / each for each in every))
    assert extras(state(importance="critical"), Policy()) == pytest.approx(
        {
            ("pods", "critical"): 2 / 150 - 2 / 300,
            ("quantiles", "critical"): 2 / 300,
            ("windows", "critical"): 1 / 1800 + 1 / 3600 + 1 / 7200,
        }
    )


def test_a_response_is_used_for_three_intervals_and_longer_if_the_budget_is_short() -> None:
    wanted = [DetailRequest("a", "pods", 2, 300.0), DetailRequest("b", "events", 1, 30.0)]
    assert load(wanted, 0.01) == pytest.approx((2 / 300 + 1 / 30) / 0.01)
    assert [lasts(wanted[0], 0.5), lasts(wanted[0], 2.0), lasts(wanted[1], 0.5)] == [900.0, 1800.0, 300.0]
