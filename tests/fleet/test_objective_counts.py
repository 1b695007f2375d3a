"""What counts for the objectives of a workload, over days of reports. Times are seconds since the epoch."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.objective_counts import (
    SAMPLE_SECONDS,
    Compliance,
    ObjectiveCounts,
    RequestCount,
    Totals,
    compliances,
    rolled,
    with_ready,
    with_requests,
)
from exporter.fleet.objectives import KINDS, Objective

DAY = 86400.0
BEGAN = 1_000_000.0
WEEK = Objective(availability=0.99, window=7 * DAY)


def reported(requests: float | None, errors: float | None = 0.0, slow: float | None = 0.0) -> RequestCount:
    return RequestCount(0.0, 50.0, requests, errors, slow)


def counted(*hourly: Sequence[int], objective: Objective = WEEK) -> ObjectiveCounts:
    """The counts after one report each hour: requests, and those with server errors."""
    counts = ObjectiveCounts(BEGAN, BEGAN)
    for hour, (requests, errors) in enumerate(hourly, 1):
        counts = with_requests(counts, reported(requests, errors), BEGAN + hour * 3600, objective)
    return counts


def test_requests_are_added_up_and_it_is_known_until_when_they_are_counted() -> None:
    first = with_requests(None, RequestCount(0.0, 50.0, 10.0, 1.0, 2.0), BEGAN, WEEK)
    second = with_requests(first, RequestCount(50.0, 90.0, 5.0, 0.0, 0.0), BEGAN + 600, WEEK)
    assert first == ObjectiveCounts(BEGAN, BEGAN, Totals(10, 1, 2), until=50.0)
    assert (second.totals, second.until, second.at) == (Totals(15, 1, 2), 90.0, BEGAN + 600)


@pytest.mark.parametrize("report", [reported(None), reported(5.0, None), reported(5.0, 0.0, None)])
def test_requests_of_which_not_all_numbers_are_reported_are_not_counted(report: RequestCount) -> None:
    counts = with_requests(ObjectiveCounts(BEGAN, BEGAN, Totals(1)), report, BEGAN, WEEK)
    assert (counts.totals, counts.until) == (Totals(1), 50.0)


@pytest.mark.parametrize(
    ("reports", "totals"),
    [
        ([(0, True), (300, True)], Totals(ready=300)),
        ([(0, True), (300, False), (400, True)], Totals(ready=300, down=100)),
        ([(0, None), (300, True), (400, True)], Totals(ready=100)),
        ([(0, True), (300, None), (600, False)], Totals(ready=300)),
        ([(0, True), (901, True), (1000, True)], Totals(ready=99)),
        ([(0, False), (900, True)], Totals(down=900)),
        ([(0, True), (-100, True), (0, True)], Totals(ready=100)),  # the clock was set back by a little
    ],
    ids=["ready", "down for a while", "unknown at first", "unknown later", "no report for long", "just in time",
        "a clock that was set back"],
)  # fmt: skip
def test_each_report_about_pods_counts_until_the_next_one(
    reports: list[tuple[float, bool | None]], totals: Totals
) -> None:
    counts = None
    for at, ready in reports:
        counts = with_ready(counts, ready, BEGAN + at, WEEK)
    assert counts is not None
    assert counts.totals == totals


def test_without_news_the_counts_are_those_of_the_present_after_an_hour() -> None:
    counts = counted((10, 1))
    assert rolled(None, BEGAN, WEEK) is None
    assert rolled(counts, BEGAN + 7199, WEEK) is counts
    assert rolled(counts, BEGAN + 7200, WEEK) == msgspec.structs.replace(counts, at=BEGAN + 7200)


def test_what_was_counted_before_the_window_does_not_count() -> None:
    counts = counted(*[(100, 10)] * 24, *[(100, 0)] * 24 * 7)
    assert counts.totals == Totals(19200, 240)
    assert counts.increase(7 * DAY) == Totals(16800, 0)
    assert counts.increase(8 * DAY - 8 * 3600) == Totals(18400, 160)
    assert counts.increase(30 * DAY) == Totals(19200, 240)


def test_the_state_does_not_grow_beyond_the_window() -> None:
    week = counted(*[(1, 0)] * 24 * 8)
    month = counted(*[(1, 0)] * 24 * 30)
    assert len(week.samples) == len(month.samples) == 22 * 36  # bytes: three samples a day, and one


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=24 * 9), st.integers(1, 168))
def test_the_increase_differs_from_the_true_one_at_most_by_what_counts_between_two_samples(
    hourly: list[tuple[int, int]], hours: int
) -> None:
    counts = counted(*hourly)
    totals = [0, *itertools.accumulate(requests for requests, _ in hourly)]
    start = max(0, len(hourly) - hours)
    between = round(SAMPLE_SECONDS / 3600)
    most = totals[-1] - totals[start // between * between]
    least = totals[-1] - totals[min(len(hourly), -(-start // between) * between)]
    assert least <= counts.increase(hours * 3600.0).requests <= most


def test_the_share_is_of_requests_or_of_the_time_in_which_it_should_serve() -> None:
    totals = Totals(requests=1000, errors=5, slow=20, ready=900, down=100)
    assert [totals.share(kind) for kind in KINDS] == [0.005, 0.1, 0.02]
    assert [Totals().share(kind) for kind in KINDS] == [None, None, None]


def test_a_share_of_half_the_budget_leaves_half_of_it() -> None:
    half = Compliance("availability", 0.75, 0.125)
    assert (half.ratio, half.budget, half.burn_rate(0.125)) == (0.875, 0.5, 0.5)
    assert Compliance("availability", 0.75, 0.5).budget == -1.0
    assert (Compliance("latency", 0.75, None).ratio, Compliance("latency", 0.75, None).budget) == (None, None)


def test_each_target_has_its_compliance_even_before_anything_is_counted() -> None:
    objective = Objective(0.99, 0.9, window=7 * DAY)
    assert [*compliances(None, counted((10, 1)))] == []
    assert [each.share for each in compliances(objective, None)] == [None, None]
    found = [*compliances(objective, counted((10, 1), (10, 0)))]
    assert found == [Compliance("availability", 0.99, 0.05), Compliance("readiness", 0.9, None)]


def test_the_example_of_the_documentation() -> None:
    month = Objective(availability=0.999)
    counts = ObjectiveCounts(BEGAN, BEGAN + 28 * DAY, Totals(requests=1_000_000, errors=400))
    (found,) = compliances(month, counts)
    assert found.ratio == pytest.approx(0.9996)
    assert found.budget == pytest.approx(0.6)
    rate = found.burn_rate(3 / 1500)
    assert rate == pytest.approx(2.0)
    assert (found.budget or 0.0) * month.window / rate / DAY == pytest.approx(8.4)
