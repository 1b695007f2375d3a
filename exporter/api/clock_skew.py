"""How far the API's clock is ahead of ours, judged by the Date headers of its answers (RFC 9110 6.6.1).

A header tells whole seconds and is written at some moment of the request, so a single answer is off by up to half a
second and half of what the request took; the median of several is never worse, and forgets the few slow ones.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

ANSWERS = 20
TOLERANCE = 2.0
"""Seconds up to which the two clocks count as one."""


class Skew(NamedTuple):
    """What the last answers said: seconds that the API's clock is ahead, oldest first."""

    said: tuple[float, ...] = ()

    def heard(self, date: float, middle: float) -> Skew:
        """After an answer: its Date header, and the middle of its request by our clock, in seconds since the epoch."""
        # Half a second, because the header leaves out the fraction.
        return Skew((*self.said, date + 0.5 - middle)[-ANSWERS:])

    @property
    def offset(self) -> float | None:
        """Seconds that the API's clock is ahead of ours, to the second; None before the first answer."""
        return median(self.said) if self.said else None

    @property
    def counts(self) -> float:
        """What is to be added to our time to compare it with the API's: nothing up to `TOLERANCE`."""
        return self.offset if self.offset is not None and abs(self.offset) > TOLERANCE else 0.0
