"""Offset of the API's clock from the local clock, from the Date headers of its responses (RFC 9110 6.6.1).

A header has a resolution of one second and is written at some moment of the request, so a single response is off by up
to half a second plus half the duration of the request. The median of several is never worse, and ignores a few slow
ones.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

MAX_SAMPLES = 20
RECENT_SAMPLES = 5
"""Responses from which `Skew.counts` follows, so that a step of the API's clock counts after three."""
TOLERANCE_SECONDS = 2.0
"""A smaller offset counts as none, and a smaller change of it as no change."""


class Skew(NamedTuple):
    """Seconds that the API's clock is ahead according to the last responses, oldest first.

    `counts`: seconds to add to local time to compare it with the API's, in whole seconds. It is 0 up to
    `TOLERANCE_SECONDS`, and changes by no less, so that times that do not change stay the same. `errors`: by how much
    the last samples may be wrong.
    """

    samples: tuple[float, ...] = ()
    counts: float = 0.0
    errors: tuple[float, ...] = ()

    def with_response(self, date: float, middle: float, seconds: float = 0.0) -> Skew:
        """Add a response: its Date header, and the middle of its request on the local clock, both since the epoch.

        `seconds`: duration of the request, somewhere in which the header was written.
        """
        # Half a second, because the header omits the fraction.
        samples = (*self.samples, date + 0.5 - middle)[-MAX_SAMPLES:]
        errors = (*self.errors, seconds / 2)[-RECENT_SAMPLES:]
        recent, counts = median(samples[-RECENT_SAMPLES:]), self.counts
        if abs(recent - counts) > TOLERANCE_SECONDS + median(errors):
            counts = float(round(recent)) if abs(recent) > TOLERANCE_SECONDS else 0.0
        return Skew(samples, counts, errors)

    def moved(self, step: float) -> Skew:
        """The same after the local clock was set, forward by `step` seconds."""
        return self._replace(samples=tuple(sample - step for sample in self.samples), counts=self.counts - step)

    @property
    def offset(self) -> float | None:
        """Seconds that the API's clock is ahead of the local clock; None before the first response."""
        return median(self.samples) if self.samples else None
