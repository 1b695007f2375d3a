"""Offset of the API's clock from the local clock, from the Date headers of its responses (RFC 9110 6.6.1).

A header has a resolution of one second and is written at some moment of the request, so a single response is off by up
to half a second plus half the duration of the request. The median of several is never worse, and ignores a few slow
ones.
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
