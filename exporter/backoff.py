"""Exponential backoff with jitter between attempts that failed."""

from __future__ import annotations

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """Pauses that double from `first` to `longest` seconds.

    Each is shortened at random to between `least`, a share of it, and its full length, so that many clients do not
    return at the same time.
    """

    first: float
    longest: float = float("inf")
    least: float = 0.0

    def seconds(self, failures: int) -> float:
        """The pause after so many failures in a row, at least one."""
        full: float = min(self.longest, self.first * 2 ** min(max(failures - 1, 0), 30))
        return full * random.uniform(self.least, 1.0)  # noqa: S311 — not used for secrets
