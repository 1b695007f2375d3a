"""Hints at an outage in the request statistics of the workload list, which are reported with every sweep.

They are totals over an undocumented window of days, and their error rate is rounded. So a hint is never a fact: it only
makes the statistics of the workload due at once. Only changes between two sweeps are compared.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from exporter.api import models
from exporter.api.assumptions import ASSUMED, Readings
from exporter.api.models import RequestStats

MIN_ERRORS = 5.0
"""Fewer additional errors are no hint."""
MIN_SHARE = 0.05
"""Share of errors in the requests since the last comparison from which on they are a hint."""
TIMES_AVERAGE = 3.0
"""How many times the average that share must be: a rate that is always high is no hint."""
MAX_AGE_SECONDS = 600.0
"""Age at which values are no longer compared with. Until then the highest count stays, so that a rate that moves
between two rounded values is one hint, not many.
"""
WEEK_SECONDS, DAY_SECONDS = 7 * 86400.0, 86400.0
"""Windows that the statistics may cover; from that in force follows how many requests arrive at least."""


class ErrorCount(NamedTuple):
    """Requests, and how many of them had an error, as of `at` (seconds on any clock)."""

    at: float
    requests: float
    errors: float


def error_count(stats: RequestStats | None, at: float, readings: Readings = ASSUMED) -> ErrorCount | None:
    """The number of errors, computed from the error rate; None if it is not reported or impossible.

    Until a server that reports a share instead of percent is read as such, it has a hundredth of the errors, too few
    for any hint.
    """
    if stats is None:
        return None
    requests, percent = models.finite(stats.total_requests), models.finite(stats.error_rate)
    if percent is not None and "list_error_rate_fraction" in readings:
        percent *= 100
    if requests is None or percent is None or percent > 100:
        return None
    return ErrorCount(at, requests, requests * percent / 100)


def compared(
    before: ErrorCount | None, stats: RequestStats | None, at: float, readings: Readings = ASSUMED
) -> tuple[ErrorCount | None, bool]:
    """What to compare the next statistics with, and whether these are a hint at many errors since `before`."""
    now = error_count(stats, at, readings)
    if now is None or before is None:
        return now, False
    if now.requests < before.requests / 2:
        return now, False  # the statistics were reset
    if _rose(before, now, _window(readings)):
        return now, True
    return (now if at - before.at >= MAX_AGE_SECONDS else before), False


def _window(readings: Readings) -> float:
    """Seconds that the statistics cover."""
    if "list_window_longer" in readings:
        return math.inf
    return DAY_SECONDS if "list_window_shorter" in readings else WEEK_SECONDS


def _rose(before: ErrorCount, now: ErrorCount, window: float) -> bool:
    """Whether many of the requests since `before` had an error.

    While old requests leave the window, the total says nothing about how many arrived: then the average counts.
    """
    average = before.errors / before.requests if before.requests else 0.0
    arrived = max(now.requests - before.requests, now.requests * (now.at - before.at) / window)
    return now.errors - before.errors >= max(MIN_ERRORS, arrived * max(MIN_SHARE, TIMES_AVERAGE * average))
