"""Totals of a workload that survive restarts: the only durable record of a workload.

A ledger holds totals together with the cursors they were counted with (event ids, restart counts of pods, last status
and replacement). Writing it in one go keeps both consistent: nothing is counted twice. The first observation is the
baseline: what happened before does not count. All times are seconds since the epoch. `exporter.fleet.counting` and
`exporter.fleet.replacements` derive the next ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from exporter.fleet.episodes import EpisodeTracker, PodFacts, Stored
from exporter.fleet.history import History
from exporter.fleet.objective_counts import ObjectiveCounts

TRANSITIONS = (
    "started ready errored recovered stopped suspended interrupted terminated draft_expired "
    "replaced reverted vanished reappeared"
).split()
REPLACEMENT_OUTCOMES = ("completed", "errored", "reverted", "cancelled", "unknown")
DURATION_BUCKETS = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0)


SOME_RECOVERIES = 3
"""A workload that was down and recovered so many times within a while is down at times."""
SOME_RESTARTS, RESTARTING_SECONDS = 3, 300.0
"""A container that was restarted so many times, over at least so long, restarts again and again."""


class ReplacementCursor(Stored, frozen=True):
    """A replacement in progress, or one that has ended and has no outcome yet.

    `proton` served before it. `whole`: whether its beginning was observed, so that its duration is known. `created`:
    its reported start; `before`: the last sweep without it; None: unknown. `inferred`: nothing reported how it ended.
    """

    since: float
    ids: tuple[str, ...] = ()
    proton: str = ""
    status: str = ""
    ended: float | None = None
    counted: bool = False
    whole: bool = True
    created: float | None = None
    before: float | None = None
    inferred: bool = False


MAX_CONTAINER_NAMES = 30
"""Maximum number of container names of one workload that are distinguished."""


class ContainerCursor(Stored, frozen=True):
    """One container of one pod as last read; `missing`: since when it is no longer listed.

    `proton`: the proton of the pod; empty if written by an older version. `restarted`: when it was last observed
    to have restarted, `SOME_RESTARTS` times at most.
    """

    restarts: int = 0
    finished: str = ""
    missing: float | None = None
    proton: str = ""
    restarted: tuple[float, ...] = ()


class ServingRecord(Stored, frozen=True):
    """Whether a workload serves, see `exporter.fleet.serving`.

    `up`: since when it has had a ready replica, None if it had one when it was first observed, or has none; `none`:
    whether no replica was ready when that was last known. `down`: since when it should serve and has no ready replica;
    `unknown`: since when its pods are unknown meanwhile. `fewer`: since when fewer are ready than its minimum.
    `ready`: whether a replica was ready since the last deliberate stop or start. `protons`: those that had a ready
    replica. `stop`: time of the last event about a stop or start that is taken into account. `recoveries`: when a
    replica became ready again after it was down, the last `SOME_RECOVERIES` times.

    `active`: the proton that has this role. `beside`: other protons -> since when they run beside it without a
    replacement. `others`: those of them that serve as well. `lasting`: those that run for too long to be draining.
    """

    up: float | None = None
    none: bool = False
    fewer: float | None = None
    down: float | None = None
    unknown: float | None = None
    ready: bool = False
    protons: tuple[str, ...] = ()
    stop: float = 0.0
    active: str = ""
    beside: Mapping[str, float] = {}
    others: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    recoveries: tuple[float, ...] = ()


class UsageHistory(Stored, frozen=True):
    """What a replica used of a bundle in the last seven days, see `exporter.fleet.usage`.

    `first`, `last`: when it was first and last counted. `counts`: by day, resource and bucket. `p95`, `peak`: 95th
    percentile and maximum by resource; None: never reported.
    """

    bundle: str
    first: float
    last: float
    counts: bytes
    p95: tuple[float | None, ...] = ()
    peak: tuple[float | None, ...] = ()


class Ledger(Stored, frozen=True):
    """Totals and cursors of one workload. `since`: when the current status was first observed; `starting`: when the
    start began that is not over yet.

    `rollout`: the replacement in progress; `last_rollout`: the last one that ended. `rollout_failed`: end of the last
    failed one, None after a later success; `failed_pods`: what was reported about its pods; `rollout_order`: start of
    the replacement that decided both. `unread`: protons whose pods were never reported, or never read because requests
    failed; `UNLISTED` for protons missing from the list. `objectives`: what counts for them;
    None: nothing yet.
    """

    first: float
    since: float
    name: str = ""
    status: str = "unknown"
    group: str = ""
    proton: str = ""
    artifact: str = ""
    begun: float | None = None
    starting: float | None = None
    failed: bool = False
    transitions: Mapping[str, int] = {}
    rollout: ReplacementCursor | None = None
    counted_ids: tuple[str, ...] = msgspec.field(default=(), name="judged")
    rollout_failed: float | None = None
    rollout_order: float = 0.0
    last_rollout: ReplacementCursor | None = None
    failed_pods: Mapping[str, PodFacts] = {}
    outcomes: Mapping[str, int] = {}
    seen_events: tuple[str, ...] | None = None
    events: Mapping[str, int] = {}
    newest: Mapping[str, float] = {}
    pods: Mapping[str, ContainerCursor] | None = None
    unread: tuple[str, ...] = ()
    restarts: Mapping[str, int] = {}
    terminations: Mapping[str, Mapping[str, int]] = {}
    resets: int = 0
    reset_at: float | None = None
    grants: tuple[str, ...] | None = None
    sharing_changes: int = 0
    gone: float | None = None
    tracker: EpisodeTracker = msgspec.field(name="course", default=EpisodeTracker())
    serving: ServingRecord = ServingRecord()
    usage: UsageHistory | None = None
    history: History = ()
    objectives: ObjectiveCounts | None = None


class Durations(Stored, frozen=True):
    """A histogram: counts by bucket of `DURATION_BUCKETS` and one above, and the sum in seconds."""

    counts: tuple[int, ...] = (0,) * (len(DURATION_BUCKETS) + 1)
    sum: float = 0.0

    def with_one(self, seconds: float) -> Durations:
        """The histogram after one more value."""
        place = next((n for n, bound in enumerate(DURATION_BUCKETS) if seconds <= bound), len(DURATION_BUCKETS))
        counts = tuple(count + (n == place) for n, count in enumerate(self.counts))
        return Durations(counts, self.sum + seconds)


class Tally(Stored, frozen=True):
    """Totals of an account: how long starts and replacements took. `active`: (time, number of active workloads) of
    the last week, see `exporter.fleet.trend`. `since`: when counting began; None: not yet, or by an older version.
    """

    starts: Durations = Durations()
    replacements: Durations = Durations()
    active: tuple[tuple[float, int], ...] = ()
    since: float | None = None

    def begun(self, now: float) -> Tally:
        """The tally, counting at the latest since now."""
        return self if self.since is not None else msgspec.structs.replace(self, since=now)

    def after(self, entry: Entry) -> Tally:
        """The tally with the durations of an entry."""
        starts, replacements = self.starts, self.replacements
        if entry.start_seconds is not None:
            starts = starts.with_one(entry.start_seconds)
        if entry.replacement_seconds is not None:
            replacements = replacements.with_one(entry.replacement_seconds)
        if (starts, replacements) == (self.starts, self.replacements):
            return self
        return msgspec.structs.replace(self, starts=starts, replacements=replacements)


def container_label(known: Collection[str], name: str) -> str:
    """The name under which a container counts: beyond `MAX_CONTAINER_NAMES`, all that are not known are ``other``.

    Totals are kept for as long as the workload exists, and names of containers may contain a version.
    """
    return name if name in known or len(known) < MAX_CONTAINER_NAMES else "other"


class Entry(NamedTuple):
    """A ledger after a read, and the durations that ended with it in seconds."""

    ledger: Ledger
    start_seconds: float | None = None
    replacement_seconds: float | None = None


def plus(counts: Mapping[str, int], *names: str) -> Mapping[str, int]:
    """The counts after each of the names was counted once."""
    return counts if not names else {**counts, **{name: counts.get(name, 0) + names.count(name) for name in names}}
