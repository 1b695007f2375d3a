"""Changes of the request statistics of the list are hints at an outage, never facts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.models import RequestStats
from exporter.fleet.error_hints import MAX_AGE_SECONDS, ErrorCount, compared

BEFORE = ErrorCount(0.0, 100_000, 200)
"""An error rate of 0.2 %."""


def reported(requests: int | None, errors: float, factor: float = 100.0) -> RequestStats:
    """The statistics of so many requests and errors."""
    return RequestStats(total_requests=requests, error_rate=factor * errors / requests if requests else 0.0)


def hints(stats: RequestStats | None, before: ErrorCount | None = BEFORE, at: float = 30.0) -> bool:
    return compared(before, stats, at)[1]


@pytest.mark.parametrize(
    ("stats", "hint"),
    [
        (reported(100_060, 260), True),
        (reported(100_000, 260), True),
        (reported(99_900, 260), True),
        (reported(100_060, 206), True),
        (reported(100_060, 204), False),
        (reported(110_000, 260), False),
        (reported(100_060, 200), False),
        (reported(100_060, 150), False),
        (reported(40_000, 260), False),
        (reported(100_060, 260, factor=1.0), False),
        (RequestStats(total_requests=100_060, error_rate=101.0), False),
        (RequestStats(total_requests=100_060), False),
        (RequestStats(error_rate=50.0), False),
        (RequestStats(total_requests=100_060, error_rate=float("nan")), False),
        (None, False),
    ],
    ids=["60 of 60 new requests failed", "as many old requests left the window", "more old requests left the window",
        "6 errors", "4 errors", "60 of 10,000 failed", "none failed", "old errors left the window",
        "the statistics were reset", "a share instead of percent", "an impossible rate", "no error rate",
        "no number of requests", "not a number", "no statistics"],
)  # fmt: skip
def test_many_new_errors_are_a_hint(stats: RequestStats | None, hint: bool) -> None:
    assert hints(stats) is hint


@pytest.mark.parametrize(
    ("stats", "readings", "hint"),
    [
        (reported(100_060, 260, factor=1.0), {"list_error_rate_fraction"}, True),
        (reported(100_060, 206, factor=1.0), {"list_error_rate_fraction"}, True),
        (reported(100_060, 260), {"list_window_longer"}, True),
        (reported(100_000, 210), {"list_window_shorter"}, True),
        (reported(100_000, 206), {"list_window_longer"}, True),
    ],
)
def test_statistics_are_compared_by_the_reading_in_force(stats: RequestStats, readings: set[str], hint: bool) -> None:
    assert compared(BEFORE, stats, 30.0, frozenset(readings))[1] is hint


def test_a_shorter_window_makes_the_same_errors_a_smaller_share_of_what_arrived() -> None:
    before, stats = ErrorCount(0.0, 1_000_000, 0), reported(1_000_000, 10)
    hints = [compared(before, stats, 300.0, frozenset({reading}))[1] for reading in ("", "list_window_shorter")]
    assert hints == [False, False]
    assert compared(before, stats, 300.0, frozenset({"list_window_longer"}))[1]


def test_the_first_values_and_those_after_a_gap_are_no_hint() -> None:
    assert compared(None, reported(1000, 900), 0.0) == (ErrorCount(0.0, 1000, 900), False)
    assert compared(BEFORE, None, 30.0) == (None, False)


def test_a_rate_that_is_always_high_is_no_hint() -> None:
    before = ErrorCount(0.0, 1000, 400)
    assert not hints(reported(1100, 440), before)
    assert hints(reported(1100, 120), ErrorCount(0.0, 1000, 20))


def test_the_first_requests_of_a_workload_may_be_a_hint() -> None:
    assert hints(reported(20, 20), ErrorCount(0.0, 0, 0))


@pytest.mark.parametrize("period", [2, 3, 5, 40])
def test_a_rate_that_moves_between_two_rounded_values_is_one_hint_in_ten_minutes(period: int) -> None:
    low, high = (RequestStats(total_requests=1_000_000, error_rate=rate) for rate in (0.2, 0.21))
    before: ErrorCount | None = None
    found = []
    for sweep in range(200):
        before, hint = compared(before, high if sweep % period == 1 else low, 30.0 * sweep)
        found += [30.0 * sweep] if hint else []
    assert found
    assert all(later - earlier > MAX_AGE_SECONDS for earlier, later in pairwise(found))


@given(st.integers(1, 10**9), st.floats(0, 100), st.lists(st.integers(0, 10**5), max_size=30))
def test_a_steady_rate_is_never_a_hint(requests: int, percent: float, more: list[int]) -> None:
    before: ErrorCount | None = None
    for sweep, added in enumerate([0, *more]):
        requests += added
        before, hint = compared(before, RequestStats(total_requests=requests, error_rate=percent), 30.0 * sweep)
        assert not hint
