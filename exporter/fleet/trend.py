"""The trend of the number of active workloads of an account, and when it reaches the account's limit."""

from __future__ import annotations

Points = tuple[tuple[float, int], ...]
"""(seconds since the epoch, number), oldest first."""
WEEK_SECONDS = 7 * 86400.0
POINT_SECONDS = 3 * 3600.0
"""Minimum time between two points that are kept: at most 57 in a week."""
MAX_SECONDS = 366 * 86400.0
"""How far ahead a trend is followed."""


def followed(points: Points, now: float, number: int) -> Points:
    """The points of the last week, with another one if that is due."""
    if points and now - points[-1][0] < POINT_SECONDS:
        return points
    return (*(point for point in points if now - point[0] < WEEK_SECONDS), (now, number))


def full_at(points: Points, now: float, number: int, limit: int | None, min_history: float) -> float | None:
    """When the number reaches the limit if the trend of the points goes on; `now` if it has.

    The trend is a line of least squares through the points and the present number. None without a limit (0 is none
    either), with less than `min_history` seconds of points, if the number does not grow, or if that takes a year.
    """
    if not limit:
        return None
    if number >= limit:
        return now
    slope = _slope((*points, (now, number)))
    if slope <= 0 or now - points[0][0] < min_history:
        return None
    seconds = (limit - number) / slope
    return now + seconds if seconds <= MAX_SECONDS else None


def known_from(points: Points, min_history: float) -> float | None:
    """When points of `min_history` seconds are known, so that there is a trend; None: there are no points yet."""
    return points[0][0] + min_history if points else None


def _slope(points: Points) -> float:
    """Growth per second; 0 without two different times."""
    time = sum(at for at, _ in points) / len(points)
    mean = sum(number for _, number in points) / len(points)
    spread = sum((at - time) ** 2 for at, _ in points)
    return sum((at - time) * (number - mean) for at, number in points) / spread if spread else 0.0
