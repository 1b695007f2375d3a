"""Offset of the API's clock from the local clock, from the Date headers of its responses (RFC 9110 6.6.1).

A header has a resolution of one second and is written at some moment of the request, so a single response is off by up
to half a second plus half the duration of the request. The median of several is never worse, and ignores a few slow
ones.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

MAX_SAMPLES = 20
TOLERANCE_SECONDS = 2.0
"""A smaller offset counts as none."""


class Skew(NamedTuple):
    """Seconds that the API's clock is ahead according to the last responses, oldest first."""

    samples: tuple[float, ...] = ()

    def with_response(self, date: float, middle: float) -> Skew:
        """Add a response: its Date header, and the middle of its request on the local clock, both since the epoch."""
        # Half a second, because the header omits the fraction.
        return Skew((*self.samples, date + 0.5 - middle)[-MAX_SAMPLES:])

    @property
    def offset(self) -> float | None:
        """Seconds that the API's clock is ahead of the local clock; None before the first response."""
        return median(self.samples) if self.samples else None

    @property
    def counts(self) -> float:
        """Seconds to add to local time to compare it with the API's; 0 up to `TOLERANCE_SECONDS`."""
        return self.offset if self.offset is not None and abs(self.offset) > TOLERANCE_SECONDS else 0.0
