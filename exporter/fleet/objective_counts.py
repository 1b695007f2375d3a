"""What counts for the objectives of a workload: totals since counting began, and their values at earlier times.

The part ``requests`` of the details reports the requests since those that were counted last, so nothing is counted
twice and an exporter that was down for less than three days misses nothing. Pods report whether a replica is ready;
each report counts until the next one. Samples of the totals are kept, one in eight hours, so that their increase over
the window of an objective is known. Times are seconds since the epoch.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from exporter.fleet.episodes import Stored
from exporter.fleet.objectives import Objective, ObjectiveKind

SAMPLE_SECONDS = 8 * 3600.0
"""Least time between two samples of the totals. In between, they are assumed to have grown evenly."""
MAX_READ_SECONDS = 900.0
"""For how long a report about pods counts; after that, it is unknown whether a replica was ready."""
MAX_REQUESTS_SECONDS = 3 * 86400.0
"""Longest time for which requests are counted at once. The API reports windows of that length."""
ROLL_SECONDS = 3600.0
"""Age of the counts after which the window ends later although nothing was counted."""
_SAMPLE = struct.Struct("<IQQQII")
"""Seconds since counting began, and `Totals`. Objects would take ten times the memory."""


class Totals(NamedTuple):
    """Requests, those with a server error and slow ones; seconds with a ready replica, and without one that should be
    ready.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    ready: int = 0
    down: int = 0

    def share(self, kind: ObjectiveKind) -> float | None:
        """The share of what is bad; None if there is nothing of which it could be a share."""
        bad, everything = {
            "availability": (self.errors, self.requests),
            "readiness": (self.down, self.ready + self.down),
            "latency": (self.slow, self.requests),
        }[kind]
        return bad / everything if everything else None


class ObjectiveCounts(Stored, frozen=True):
    """The totals `since` counting began, last changed or confirmed `at`; `samples`: their earlier values.

    `until`: requests up to then are counted; 0: none are. `read`: when pods last reported whether a replica was ready,
    and `ready` what they did; None: unknown, or none has to be.
    """

    since: float
    at: float
    totals: Totals = Totals()
    until: float = 0.0
    read: float = 0.0
    ready: bool | None = None
    samples: bytes = b""

    def increase(self, seconds: float) -> Totals:
        """How much the totals grew in the last `seconds` before `at`."""
        before = self._before(self.at - seconds)
        return Totals(*(max(0, round(now - then)) for now, then in zip(self.totals, before, strict=True)))

    def _before(self, time: float) -> tuple[float, ...]:
        offset = time - self.since
        if offset <= 0:
            return Totals()
        size = len(self.samples) // _SAMPLE.size
        place = bisect_right(range(size), offset, key=lambda n: self.sample(n)[0])
        began, *then = self.sample(place - 1) if place else (0, *Totals())
        ended, *after = self.sample(place) if place < size else (self.at - self.since, *self.totals)
        part = (offset - began) / (ended - began) if ended > began else 0.0
        return tuple(a + part * (b - a) for a, b in zip(then, after, strict=True))

    def sample(self, number: int) -> tuple[int, ...]:
        """An earlier sample: seconds since counting began, and the totals."""
        return _SAMPLE.unpack_from(self.samples, number * _SAMPLE.size)


class RequestCount(NamedTuple):
    """Requests from `start` to `end`, in seconds since the epoch by the local clock; None: not reported."""

    start: float
    end: float
    requests: float | None
    errors: float | None
    slow: float | None


def with_requests(
    counts: ObjectiveCounts | None, new: RequestCount, now: float, objective: Objective
) -> ObjectiveCounts:
    """The counts after requests were reported. An unreported number is not counted, and neither are the others then."""
    counts = counts or ObjectiveCounts(now, now)
    totals = counts.totals
    if new.requests is not None and new.errors is not None and new.slow is not None:
        totals = totals._replace(
            requests=totals.requests + round(new.requests),
            errors=totals.errors + round(new.errors),
            slow=totals.slow + round(new.slow),
        )
    return _at(msgspec.structs.replace(counts, until=new.end), totals, now, objective)


def with_ready(counts: ObjectiveCounts | None, ready: bool | None, now: float, objective: Objective) -> ObjectiveCounts:
    """The counts after pods were reported. `ready`: whether a replica is; None: unknown, or none has to be."""
    counts = counts or ObjectiveCounts(now, now)
    totals = counts.totals
    if counts.ready is not None and 0 <= now - counts.read <= MAX_READ_SECONDS:
        seconds = round(now) - round(counts.read)
        more = {"ready": totals.ready + seconds} if counts.ready else {"down": totals.down + seconds}
        totals = totals._replace(**more)
    return _at(msgspec.structs.replace(counts, read=now, ready=ready), totals, now, objective)


def rolled(counts: ObjectiveCounts | None, now: float, objective: Objective) -> ObjectiveCounts | None:
    """The counts at `now`, if they are old: what was counted longer ago than the window no longer counts."""
    if counts is None or now - counts.at < ROLL_SECONDS:
        return counts
    return _at(counts, counts.totals, now, objective)


def _at(counts: ObjectiveCounts, totals: Totals, now: float, objective: Objective) -> ObjectiveCounts:
    now = max(now, counts.at)
    samples, offset = counts.samples, int(now - counts.since)
    last = counts.sample(len(samples) // _SAMPLE.size - 1)[0] if samples else 0
    if offset - last >= SAMPLE_SECONDS:
        samples += _SAMPLE.pack(offset, *totals)
    while len(samples) > _SAMPLE.size and _SAMPLE.unpack_from(samples, _SAMPLE.size)[0] <= offset - objective.window:
        samples = samples[_SAMPLE.size :]  # the one before the start of the window is still needed
    return msgspec.structs.replace(counts, at=now, totals=totals, samples=samples)


class Compliance(NamedTuple):
    """How a workload complies with one objective. `share`: of what is bad in the window; None: unknown."""

    kind: ObjectiveKind
    target: float
    share: float | None

    @property
    def ratio(self) -> float | None:
        """The share of what is good in the window."""
        return None if self.share is None else 1 - self.share

    @property
    def budget(self) -> float | None:
        """The part of the error budget that is left; negative if more was used."""
        return None if self.share is None else 1 - self.burn_rate(self.share)

    def burn_rate(self, share: float) -> float:
        """How many times faster than allowed this share uses up the error budget."""
        return share / (1 - self.target)


def compliances(objective: Objective | None, counts: ObjectiveCounts | None) -> Iterator[Compliance]:
    """The compliance with each objective of a workload."""
    if objective is None:
        return
    increase = counts.increase(objective.window) if counts is not None else Totals()
    for kind, target in objective.targets:
        yield Compliance(kind, target, increase.share(kind))
