"""When an account reaches its limit of active workloads, from the numbers of the last week."""

import pytest

from exporter.fleet.trend import Points, followed, full_at, known_from

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("points", "now", "kept"),
    [
        ((), 5.0, ((5.0, 40),)),
        (((5.0, 30),), 5.0 + 2 * HOUR, ((5.0, 30),)),
        (((5.0, 30),), 5.0 + 3 * HOUR, ((5.0, 30), (5.0 + 3 * HOUR, 40))),
        (((5.0, 30), (DAY, 35)), 5.0 + 7 * DAY, ((DAY, 35), (5.0 + 7 * DAY, 40))),
    ],
)
def test_a_number_is_kept_every_three_hours_for_a_week(points: Points, now: float, kept: Points) -> None:
    assert followed(points, now, 40) == kept


def test_the_numbers_of_any_time_are_few() -> None:
    points: Points = ()
    for minute in range(30 * 24 * 60):
        points = followed(points, minute * 60.0, 40)
    assert len(points) == 56


@pytest.mark.parametrize(
    ("points", "now", "number", "limit", "full"),
    [
        (((0.0, 30),), DAY, 40, 50, 2 * DAY),
        (((0.0, 30), (DAY, 34)), 2 * DAY, 38, 50, 5 * DAY),
        (((0.0, 30), (DAY, 30)), 3 * DAY, 36, 50, 3 * DAY + 14 / (15 / 7) * DAY),  # least squares
        (((0.0, 30),), DAY, 30, 50, None),
        (((0.0, 30),), DAY, 29, 50, None),
        (((0.0, 30),), DAY - 1, 40, 50, None),  # observed for less than a day
        (((0.0, 30),), DAY, 40, None, None),
        (((0.0, 30),), DAY, 40, 0, None),
        (((0.0, 30),), 7 * DAY, 31, 500, None),  # not within a year
        (((0.0, 30),), 0.0, 30, 50, None),
        (((0.0, 30),), 0.0, 50, 50, 0.0),
        (((0.0, 30),), DAY, 60, 50, DAY),
    ],
)
def test_an_account_is_full_when_the_line_through_its_numbers_reaches_the_limit(
    points: Points, now: float, number: int, limit: int | None, full: float | None
) -> None:
    found = full_at(points, now, number, limit, min_history=DAY)
    assert found == (None if full is None else pytest.approx(full))


def test_a_trend_is_known_once_the_first_number_is_old_enough() -> None:
    assert known_from((), DAY) is None
    assert known_from(((5.0, 30), (HOUR, 31)), DAY) == 5.0 + DAY
