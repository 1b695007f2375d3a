"""Episodes: periods of a workload's life in which its state changes, with the data that explains them.

A start, a stop, a failure and a replacement have a beginning and an end; a deletion is a moment. Steady running is not
an episode. Protons, pods and events observed during an episode are kept until `exporter.tracing` makes a trace. All
times are seconds since the epoch: a `Mark` uses the local clock, reported times the API's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from exporter.api import models
from exporter.api.models import Workload

EpisodeKind = Literal["start", "stop", "failure", "replacement", "deletion", "flapping"]
EPISODE_KINDS: tuple[EpisodeKind, ...] = ("start", "stop", "failure", "replacement", "deletion", "flapping")
EPISODE_OUTCOMES = ("success", "failure", "error", "cancellation", "timeout")
"""How an episode ended: `error`: the platform took the workload away; `failure`: it, or its container, failed."""
BAD_OUTCOMES = ("failure", "error")
MAX_TRACED_EPISODES = 20
"""Episodes of one workload within `FLAPPING_SECONDS` that get a trace of their own; the others are folded into one."""
FLAPPING_SECONDS = 3600.0
SETTLE_SECONDS = 60.0
"""How long an ended episode waits for late data."""
MAX_SETTLE_SECONDS = 300.0
"""How long an ended episode waits for pods and events that are not read."""
MAX_OPEN_SECONDS = 7 * 86400.0
"""An episode that has been open for longer is closed as timed out."""
MAX_PAST, PAST_SECONDS = 20, 86400.0
"""How many episodes of a workload are remembered, and for how long late data is added to their traces."""
MAX_NUMBERS = 64
"""Number of episode keys, most recent first, for which the count of episodes is kept."""
MAX_LATE = 3
"""How many late events are added to one trace."""


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """Written as JSON to the state; a new field needs a default, so that older state can be read.

    A renamed field keeps its name in the state: ``msgspec.field(name=...)``.
    """


class Mark(Stored, frozen=True):
    """Time of an observation, of the last observation before it without it (None: unknown), and the reported time."""

    at: float
    last: float | None = None
    reported: float | None = msgspec.field(default=None, name="told")


class StatusChange(Stored, frozen=True):
    """A status, and since when."""

    status: str
    mark: Mark


class Episode(Stored, frozen=True):
    """One episode.

    `before` and `after` are the surrounding statuses; `proton` and `since` identify the run it belongs to.
    `replacement` and `candidates` are ids reported with a replacement. `cause` is what ended it. `recalled`: it ended
    before the workload was first observed.
    """

    kind: EpisodeKind
    opened: Mark
    before: str = ""
    states: tuple[StatusChange, ...] = ()
    ended: Mark | None = None
    outcome: str = ""
    after: str = ""
    cause: str = ""
    proton: str = ""
    since: str = ""
    replacement: str = ""
    candidates: tuple[str, ...] = ()
    folded: int = 0
    kinds: tuple[EpisodeKind, ...] = ()
    """The kinds of the folded episodes."""
    checkpoints: int = 0
    recalled: bool = False


class Run(Stored, frozen=True):
    """One finished run of a container. `reason`: one of a closed set; empty if not reported."""

    container: str
    started: float | None
    finished: float
    reason: str = ""
    exit_code: int | None = None


class PodFacts(Stored, frozen=True):
    """What was reported about a pod, last read at `read`.

    `conditions`: when each condition became true. `problem`: a waiting or termination reason, or `Unschedulable`; empty
    if there is none. `container`: the container with the problem, `message` the API's message about it, and `ended` and
    `exit_code` its last termination.
    """

    proton: str
    read: float = 0.0
    created: float | None = msgspec.field(default=None, name="came")
    conditions: Mapping[str, float] = msgspec.field(default_factory=dict, name="true")
    started: float | None = None
    ready: bool = False
    problem: str = msgspec.field(default="", name="trouble")
    container: str = ""
    restarts: int = 0
    runs: tuple[Run, ...] = ()
    message: str = msgspec.field(default="", name="words")
    ended: str = ""
    exit_code: int | None = None


class ProtonTimes(Stored, frozen=True):
    """When a proton was created, and since when it has run."""

    created: str = ""
    since: str = ""


class ObservedEvent(Stored, frozen=True):
    """An event of the API: its type as spelled there, its time (None: not reported), and its message."""

    type: str
    at: float | None
    message: str = msgspec.field(default="", name="words")


class Past(Stored, frozen=True):
    """What is remembered of an ended episode: its key, the ids of its trace in hex, and when it started and ended.

    `late`: how many late events were added; `sent`: whether the trace was made, else nothing is added or links to it.
    """

    key: str
    kind: EpisodeKind
    trace: str
    root: str
    opened: float
    ended: float
    late: int = 0
    sent: bool = True


class EpisodeTracker(Stored, frozen=True):
    """The episodes of a workload: the open one of its status, the open one of its replacement, and ended ones.

    `run` is the serving proton and its start. `pods`, `protons` and `events` belong to episodes that are open or have
    just ended; `pods_read` and `events_read` are the times they were last read. `recent`: end times of the latest
    episodes. `numbers`: count of episodes by key. `last`: the latest event.
    """

    life: Episode | None = None
    rollout: Episode | None = None
    flapping: Episode | None = None
    over: tuple[Episode, ...] = ()
    run: tuple[str, str] = ("", "")
    pods: Mapping[str, PodFacts] = {}
    protons: Mapping[str, ProtonTimes] = {}
    events: Mapping[str, ObservedEvent] = {}
    pods_read: float = msgspec.field(default=0.0, name="pods_told")
    events_read: float = msgspec.field(default=0.0, name="events_told")
    recent: tuple[float, ...] = ()
    past: tuple[Past, ...] = ()
    numbers: Mapping[str, int] = {}
    late: Mapping[str, ObservedEvent] = {}
    last: ObservedEvent | None = None

    @property
    def collecting(self) -> bool:
        """Whether an episode is open or has just ended, so that data about pods and events is kept."""
        return self.life is not None or self.rollout is not None or bool(self.over)

    @property
    def changes_with_time(self) -> bool:
        """Whether it can change without new data."""
        return self.collecting or self.flapping is not None or bool(self.late)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open episodes."""
        return tuple(each for each in (self.life, self.rollout) if each is not None)


EMPTY_TRACKER = EpisodeTracker()
_with = msgspec.structs.replace


# -- the end of an episode


def closed(tracker: EpisodeTracker, mark: Mark, outcome: str, cause: str, workload: Workload | None) -> EpisodeTracker:
    """The tracker with its episode of the status closed, if there is one."""
    life = tracker.life
    if life is None:
        return tracker
    after = models.folded(workload.status) if workload is not None else ""
    proton = (workload.proton_id if workload is not None and life.kind == "start" else "") or life.proton
    ended = _with(life, ended=mark, outcome=outcome, cause=cause, after=after, proton=proton)
    return with_ended(_with(tracker, life=None), ended)


def with_ended(tracker: EpisodeTracker, ended: Episode) -> EpisodeTracker:
    """The tracker with an ended episode added, or folded into one of flapping if there are too many."""
    tracker, admitted = admission(tracker, ended)
    return _with(tracker, over=(*tracker.over, ended)) if admitted else tracker


def admission(tracker: EpisodeTracker, ended: Episode) -> tuple[EpisodeTracker, bool]:
    """The tracker with an episode counted towards the hourly limit; False: over the limit, so folded."""
    assert ended.ended is not None
    now = ended.ended.at
    recent = tuple(at for at in tracker.recent if now - at < FLAPPING_SECONDS)
    if len(recent) < MAX_TRACED_EPISODES:
        return _with(tracker, recent=(*recent, now)), True
    fold = tracker.flapping or Episode("flapping", ended.opened, outcome="success", cause="flapping")
    kinds = fold.kinds if ended.kind in fold.kinds else (*fold.kinds, ended.kind)
    outcome = ended.outcome if ended.outcome in BAD_OUTCOMES and fold.outcome not in BAD_OUTCOMES else fold.outcome
    fold = _with(fold, ended=ended.ended, outcome=outcome, folded=fold.folded + 1, kinds=kinds)
    return _with(tracker, recent=recent, flapping=fold), False


# -- which episodes become traces


def due(tracker: EpisodeTracker, now: float, previous: float | None) -> tuple[EpisodeTracker, tuple[Episode, ...]]:
    """The tracker without settled episodes, and those episodes. `previous`: the complete sweep before the last.

    An episode settles after a minute and two complete sweeps, so that late data is included; longer if pods and events
    were not read since it ended; at once if it ended in the future, since the clock was set back then. An episode open
    for a week is closed as timed out.
    """
    tracker = _timed_out(tracker, now)
    settled = tuple(each for each in tracker.over if _settled(tracker, each, now, previous))
    flapping = tracker.flapping
    if flapping is not None and now - flapping.opened.at >= FLAPPING_SECONDS:
        settled, tracker = (*settled, flapping), _with(tracker, flapping=None)
    if not settled:
        return tracker, ()
    return _with(tracker, over=tuple(each for each in tracker.over if each not in settled)), settled


def _settled(tracker: EpisodeTracker, episode: Episode, now: float, previous: float | None) -> bool:
    assert episode.ended is not None
    ended = episode.ended.at
    if ended - now > SETTLE_SECONDS:
        return True
    if now - ended < SETTLE_SECONDS or previous is None or previous <= ended:
        return False
    read = tracker.pods_read > ended and tracker.events_read > ended
    return read or episode.kind == "deletion" or now - ended >= MAX_SETTLE_SECONDS


def _timed_out(tracker: EpisodeTracker, now: float) -> EpisodeTracker:
    def ended(episode: Episode) -> Episode:
        return _with(episode, ended=Mark(now), outcome="timeout", cause="timeout")

    if tracker.life is not None and now - tracker.life.opened.at > MAX_OPEN_SECONDS:
        tracker = _with(tracker, over=(*tracker.over, ended(tracker.life)), life=None)
    if tracker.rollout is not None and now - tracker.rollout.opened.at > MAX_OPEN_SECONDS:
        tracker = _with(tracker, over=(*tracker.over, ended(tracker.rollout)), rollout=None)
    return tracker


def numbered(tracker: EpisodeTracker, key: str) -> EpisodeTracker:
    """The tracker with this key counted once more. Counts outlive `past`, so that no number is used twice."""
    before = {each: number for each, number in tracker.numbers.items() if each != key}
    counted = [*before.items(), (key, tracker.numbers.get(key, 0) + 1)]
    return _with(tracker, numbers=dict(counted[-MAX_NUMBERS:]))


def remembered(tracker: EpisodeTracker, made: Iterable[Past], now: float) -> EpisodeTracker:
    """The tracker after traces were made: they are remembered for a day.

    Pods and events are dropped when no longer needed.
    """
    past = tuple(each for each in (*tracker.past, *made) if now - each.ended < PAST_SECONDS)[-MAX_PAST:]
    if not tracker.collecting:
        return _with(tracker, past=past, pods={}, protons={}, events={})
    since = min(each.opened.at for each in (*tracker.episodes, *tracker.over))
    return _with(tracker, past=past, pods={name: pod for name, pod in tracker.pods.items() if pod.read >= since})
