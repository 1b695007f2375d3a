"""API requests that a fleet costs."""

import pytest

from exporter.fleet.cost import detail_cost, sweep_cost
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.fleet.polling import Policy


@pytest.mark.parametrize(("workloads", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_sweep_costs_one_request_per_page_and_at_least_one(workloads: int, pages: int) -> None:
    cost = sweep_cost(workloads, page_size=100, interval=30.0, rate=10.0)
    assert cost.pages == pages
    assert cost.requests_per_second == pytest.approx(pages / 30)
    assert cost.min_seconds == pytest.approx(pages / 10)
    assert cost.fits


def test_a_sweep_that_takes_longer_than_the_interval_does_not_fit() -> None:
    assert sweep_cost(500, page_size=100, interval=5.0, rate=1.0).fits
    assert not sweep_cost(501, page_size=100, interval=5.0, rate=1.0).fits


def test_details_of_a_small_fleet_fit_beside_the_sweeps() -> None:
    sweeps = sweep_cost(10, page_size=100, interval=30.0, rate=10.0)
    cost = detail_cost(10, Policy(), sweeps, rate=10.0)
    assert (cost.fits, cost.slowdown) == (True, 1.0)
    assert cost.budget == pytest.approx(10 - 1 / 30)
    assert detail_cost(20, Policy(), sweeps, rate=10.0).requests_per_second == pytest.approx(
        2 * cost.requests_per_second
    )


def test_details_of_a_large_fleet_are_polled_less_often() -> None:
    sweeps = sweep_cost(10_000, page_size=100, interval=30.0, rate=10.0)
    cost = detail_cost(10_000, Policy(), sweeps, rate=10.0)
    assert not cost.fits
    assert 1.0 < cost.slowdown < cost.requests_per_second / cost.budget  # optional requests are dropped first


def test_details_keep_a_fifth_of_the_budget_if_sweeps_need_all_of_it() -> None:
    sweeps = sweep_cost(1000, page_size=100, interval=5.0, rate=1.0)
    assert not sweeps.fits
    assert detail_cost(1000, Policy(), sweeps, rate=1.0).budget == pytest.approx(0.2)


def test_an_important_workload_costs_its_pods_twice_and_three_long_windows_more() -> None:
    cost = detail_cost(10, Policy(), sweep_cost(10, page_size=100, interval=30.0, rate=10.0), rate=10.0)
    assert cost.important == pytest.approx(2 / 300 + 1 / 1800 + 1 / 3600 + 1 / 7200)


SWEEPS = sweep_cost(10, page_size=100, interval=30.0, rate=10.0)
COUNTED = 1 / 600
"""Requests per second of the counts of one workload, at the default interval of details."""


@pytest.mark.parametrize(
    ("row", "everything", "important", "counted"),
    [
        pytest.param(ObjectiveRow(Objective(availability=0.99)), 10 * COUNTED, 0.0, 0.0, id="all workloads"),
        pytest.param(ObjectiveRow(Objective(latency=0.99, slower=1.0)), 10 * COUNTED, 0.0, 0.0, id="latency"),
        pytest.param(ObjectiveRow(Objective(readiness=0.99)), 0.0, 0.0, 0.0, id="readiness counts no requests"),
        pytest.param(
            ObjectiveRow(Objective(availability=0.99), importance=frozenset({"high"})), 0.0, COUNTED, 0.0,
            id="important workloads",
        ),
        pytest.param(
            ObjectiveRow(Objective(availability=0.99), tags={"team": "payments"}), 0.0, 0.0, COUNTED,
            id="workloads with a tag",
        ),
        pytest.param(ObjectiveRow(Objective(availability=0.99), name="score-*"), 0.0, 0.0, COUNTED, id="some names"),
        pytest.param(
            ObjectiveRow(Objective(availability=0.99), name="score-*", accounts=frozenset({"other"})), 0.0, 0.0, 0.0,
            id="names of another account",
        ),
    ],
)  # fmt: skip
def test_requests_counted_for_objectives_cost_one_request_in_ten_minutes_for_a_workload_that_has_one(
    row: ObjectiveRow, everything: float, important: float, counted: float
) -> None:
    without = detail_cost(10, Policy(), SWEEPS, rate=10.0)
    cost = detail_cost(10, Policy(), SWEEPS, rate=10.0, objectives=[row], account="default")
    assert cost.requests_per_second - without.requests_per_second == pytest.approx(everything)
    assert cost.important - without.important == pytest.approx(important)
    assert cost.counted == pytest.approx(counted)
