"""Episodes: periods of a workload's life in which its state changes, with the data that explains them.

A start, a stop, a failure and a replacement have a beginning and an end; a deletion is a moment. Steady running is no
episode. Protons, pods and events observed meanwhile are kept until `exporter.tracing.episode_traces` makes a trace. All
times are seconds since the epoch: a `Mark` uses the local clock, reported times the API's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from exporter.api import models
from exporter.api.details import Event
from exporter.api.models import Replacement, Workload
from exporter.api.pods import (
    Container,
    Pods,
    Replica,
    container_name,
    replica_ready,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from exporter.api.pods import Proton as ListedProton
from exporter.masking import MOST_WORDS

Kind = Literal["start", "stop", "failure", "replacement", "deletion", "flapping"]
KINDS: tuple[Kind, ...] = ("start", "stop", "failure", "replacement", "deletion", "flapping")
OUTCOMES = ("success", "failure", "error", "cancellation", "timeout")
"""How an episode ended: `error`: the platform took the workload away; `failure`: it, or its container, failed."""
BAD = ("failure", "error")
MOST_PODS, MOST_EVENTS, MOST_RUNS, MOST_TYPE = 64, 64, 16, 64
"""How much is kept: of pods, protons and events the latest, of the lives of a pod the first, of words the beginning.

Of words four times what is shown, so that a secret is still whole, and known for one, where the shown part ends.
"""
FLAPPING = 20
"""Episodes of one workload within `FLAPPING_SECONDS` that have a trace of their own; the others are folded into one."""
FLAPPING_SECONDS = 3600.0
SETTLED, UNTOLD = 60.0, 300.0
"""Seconds a finished episode waits for late data, and for pods and events that never arrive."""
LONGEST = 7 * 86400.0
"""An episode that has been open so long is closed as timed out."""
PAST, PAST_SECONDS = 20, 86400.0
"""Episodes of a workload that are remembered, and for how long something late is added to their traces."""
DAY = 86400.0
NUMBERS = 64
"""Number of episode keys, most recent first, for which the count of episodes is kept."""
LATE = 3
"""How many late facts are added to one trace."""


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """Written as JSON into the state; a field that is new has a default, so that older rows still read."""


class Mark(Stored, frozen=True):
    """Time of an observation, of the last observation before it without it (None: unknown), and the reported time."""

    at: float
    last: float | None = None
    told: float | None = None


class State(Stored, frozen=True):
    """A status, and since when."""

    status: str
    mark: Mark


class Episode(Stored, frozen=True):
    """One episode. `before` and `after` are the surrounding statuses; `proton` and `since` identify the run it belongs
    to.

    `replacement` and `candidates` are ids reported with a replacement. `cause` is what ended it.
    """

    kind: Kind
    opened: Mark
    before: str = ""
    states: tuple[State, ...] = ()
    ended: Mark | None = None
    outcome: str = ""
    after: str = ""
    cause: str = ""
    proton: str = ""
    since: str = ""
    replacement: str = ""
    candidates: tuple[str, ...] = ()
    folded: int = 0
    kinds: tuple[Kind, ...] = ()
    """The kinds of those that were folded."""
    checkpoints: int = 0
    recalled: bool = False
    """Whether it ended before the workload was first observed."""


class Run(Stored, frozen=True):
    """One finished run of a container. `reason`: one of a closed set; empty if not reported."""

    container: str
    started: float | None
    finished: float
    reason: str = ""
    exit_code: int | None = None


class Pod(Stored, frozen=True):
    """A pod as reported, last read at `read`: when each condition became true, and its problem (empty: none).

    `words`: the API's message about the problem.
    """

    proton: str
    read: float = 0.0
    came: float | None = None
    true: Mapping[str, float] = {}
    started: float | None = None
    ready: bool = False
    trouble: str = ""
    container: str = ""
    restarts: int = 0
    runs: tuple[Run, ...] = ()
    words: str = ""


class Proton(Stored, frozen=True):
    """When a proton was created, and since when it has run."""

    created: str = ""
    since: str = ""


class ObservedEvent(Stored, frozen=True):
    """An event of the API: its type as spelled there, its time (None: not reported), and its message."""

    type: str
    at: float | None
    words: str = ""


class Past(Stored, frozen=True):
    """What is remembered of an episode that is over: its key, the ids of its trace in hex, and how long it lasted.

    `late`: how many late facts were added; `sent`: whether the trace was made, else nothing is added or leads there.
    """

    key: str
    kind: Kind
    trace: str
    root: str
    opened: float
    ended: float
    late: int = 0
    sent: bool = True


class EpisodeTracker(Stored, frozen=True):
    """The episodes of a workload: the current one of its status, the current one of its replacement, and finished ones.

    `run` is the serving proton and its start. `pods`, `protons` and `events` belong to episodes in progress or just
    finished; `pods_told` and `events_told` are the times they were last read. `recent`: end times of the latest
    episodes. `numbers`: count of episodes by key. For a later diagnosis, `lost` keeps pods that had problems when the
    last of them ended, and `last` the latest event.
    """

    life: Episode | None = None
    rollout: Episode | None = None
    flapping: Episode | None = None
    over: tuple[Episode, ...] = ()
    run: tuple[str, str] = ("", "")
    pods: Mapping[str, Pod] = {}
    protons: Mapping[str, Proton] = {}
    events: Mapping[str, ObservedEvent] = {}
    pods_told: float = 0.0
    events_told: float = 0.0
    recent: tuple[float, ...] = ()
    past: tuple[Past, ...] = ()
    numbers: Mapping[str, int] = {}
    late: Mapping[str, ObservedEvent] = {}
    lost: Mapping[str, Pod] = {}
    last: ObservedEvent | None = None

    @property
    def busy(self) -> bool:
        """Whether facts are of interest."""
        return self.life is not None or self.rollout is not None or bool(self.over)

    @property
    def stirs(self) -> bool:
        """Whether time alone may change it."""
        return self.busy or self.flapping is not None or bool(self.late)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The episodes that are open."""
        return tuple(each for each in (self.life, self.rollout) if each is not None)


NOTHING = EpisodeTracker()
_with = msgspec.structs.replace


# -- what the workload's status says


def first_sight(workload: Workload, now: float, last: float | None, *, baseline: bool) -> EpisodeTracker:
    """The tracker of a newly observed workload; an episode in progress has an unknown beginning.

    `last`: the previous complete sweep, which did not list it; `baseline`: there was none.
    """
    status, group = models.folded(workload.status), models.status_group(workload.status)
    if baseline:
        kind = _UNDER_WAY.get(group)
        return NOTHING if kind is None or status == "terminated" else _opened(NOTHING, kind, Mark(now), "", workload)
    if group not in ("starting", "up", "failed"):
        return NOTHING
    born = _opened(NOTHING, "start", Mark(now, last, models.timestamp(workload.created_at)), "", workload)
    return born if group == "starting" else _moved(born, "starting", Mark(now, last), workload, "", expired=False)


_UNDER_WAY: Mapping[str, Kind] = {"starting": "start", "leaving": "stop", "failed": "failure"}
_STATES: Mapping[Kind, str] = {kind: group for group, kind in _UNDER_WAY.items()}


def listed(
    tracker: EpisodeTracker, before: tuple[str, str], workload: Workload, mark: Mark, *, expired: bool
) -> EpisodeTracker:
    """The tracker after a sweep listed `workload`. `before`: previous status and group; `expired`: a draft has ended.

    An unknown status starts and ends no episode.
    """
    status, group = before
    if models.folded(workload.status) == status or models.status_group(workload.status) == "indeterminate":
        return tracker
    return _moved(tracker, group, mark, workload, status, expired=expired)


def _moved(
    tracker: EpisodeTracker, group: str, mark: Mark, workload: Workload, before: str, *, expired: bool
) -> EpisodeTracker:
    """Close and open episodes for a change of the status; `group` is the new group."""
    now, kind = models.status_group(workload.status), tracker.life.kind if tracker.life is not None else ""
    if models.folded(workload.status) == "terminated":
        if group == "up":
            tracker = _opened(tracker, "failure", mark, before, workload, run=True)
        return _closed(tracker, mark, "success" if kind == "stop" else "failure", "terminated", workload)
    if now == "up":
        if group in ("off", "leaving"):  # stopped, and started again, between two sweeps
            tracker = _closed(tracker, mark, "success", "stopped", workload)
            return _closed(_opened(tracker, "start", mark, before, workload), mark, "success", "", workload)
        failed = kind == "failure"
        return _closed(tracker, mark, "failure" if failed else "success", "recovered" if failed else "", workload)
    if now == "starting":
        if kind == "start":
            return _passed(tracker, mark, workload)
        tracker = _closed(tracker, mark, "failure" if kind == "failure" else "success", "restarted", workload)
        return _opened(tracker, "start", mark, before, workload)
    if now == "failed":
        if kind == "failure":
            return _passed(tracker, mark, workload)
        tracker = _closed(tracker, mark, "failure", "errored", workload)
        return _opened(tracker, "failure", mark, before, workload, run=group == "up")
    return _left(tracker, group, mark, workload, before, expired=expired)


def _left(
    tracker: EpisodeTracker, group: str, mark: Mark, workload: Workload, before: str, *, expired: bool
) -> EpisodeTracker:
    """Stopping, or stopped: that ends a start or a failure; the end of a run is an episode of its own."""
    status, life = models.folded(workload.status), tracker.life
    taken = status == "interrupted"
    if life is not None and life.kind != "stop":
        outcome = "failure" if life.kind == "failure" else "error" if taken else "cancellation"
        return _closed(tracker, mark, outcome, status if taken else "stopped", workload)
    if life is None and group == "up":
        tracker = _opened(tracker, "stop", mark, before, workload, run=True)
    elif life is not None and models.status_group(status) == "leaving":
        return _passed(tracker, mark, workload)
    if models.status_group(status) == "leaving":
        return tracker
    outcome = "error" if taken else "cancellation" if expired else "success"
    return _closed(tracker, mark, outcome, "draft_expired" if expired else status, workload)


def vanished(tracker: EpisodeTracker, mark: Mark) -> EpisodeTracker:
    """The tracker of a workload absent from two complete sweeps; `mark`: the first of them, and the sweep before."""
    kind = tracker.life.kind if tracker.life is not None else ""
    outcome = {"stop": "success", "failure": "failure"}.get(kind, "cancellation")
    tracker = rolled(_closed(tracker, mark, outcome, "deleted", None), "cancellation", mark, "deleted")
    deletion = Episode("deletion", mark, ended=mark, outcome="success", cause="deleted", proton=tracker.run[0])
    return _with(tracker, over=(*tracker.over, deletion))


def reappeared(tracker: EpisodeTracker) -> EpisodeTracker:
    """The tracker of a vanished workload that is listed again: it was not deleted."""
    return _with(tracker, over=tuple(each for each in tracker.over if each.kind != "deletion"))


def _opened(
    tracker: EpisodeTracker, kind: Kind, mark: Mark, before: str, workload: Workload, *, run: bool = False
) -> EpisodeTracker:
    """The tracker with a new episode of the status; `run`: it ends the known run if that belongs to this proton."""
    proton, since = workload.proton_id or "", ""
    if run and tracker.run[0] and proton in ("", tracker.run[0]):
        proton, since = tracker.run
    first = (State(models.folded(workload.status), mark),)
    states = first if models.status_group(workload.status) == _STATES[kind] else ()
    return _with(tracker, life=Episode(kind, mark, before, states, proton=proton, since=since))


def _passed(tracker: EpisodeTracker, mark: Mark, workload: Workload) -> EpisodeTracker:
    assert tracker.life is not None
    states = (*tracker.life.states, State(models.folded(workload.status), mark))
    return _with(tracker, life=_with(tracker.life, states=states[:MOST_EVENTS]))


def _closed(tracker: EpisodeTracker, mark: Mark, outcome: str, cause: str, workload: Workload | None) -> EpisodeTracker:
    """The tracker with its episode of the status closed, if there is one."""
    life = tracker.life
    if life is None:
        return tracker
    after = models.folded(workload.status) if workload is not None else ""
    proton = (workload.proton_id if workload is not None and life.kind == "start" else "") or life.proton
    ended = _with(life, ended=mark, outcome=outcome, cause=cause, after=after, proton=proton)
    return _over(_with(tracker, life=None), ended)


def _over(tracker: EpisodeTracker, ended: Episode) -> EpisodeTracker:
    tracker, admitted = admission(tracker, ended)
    return _with(tracker, over=(*tracker.over, ended)) if admitted else tracker


def admission(tracker: EpisodeTracker, ended: Episode) -> tuple[EpisodeTracker, bool]:
    """The tracker with an episode counted towards the hourly limit; False: over the limit, so folded."""
    assert ended.ended is not None
    now = ended.ended.at
    recent = tuple(at for at in tracker.recent if now - at < FLAPPING_SECONDS)
    if len(recent) < FLAPPING:
        return _with(tracker, recent=(*recent, now)), True
    fold = tracker.flapping or Episode("flapping", ended.opened, outcome="success", cause="flapping")
    kinds = fold.kinds if ended.kind in fold.kinds else (*fold.kinds, ended.kind)
    outcome = ended.outcome if ended.outcome in BAD and fold.outcome not in BAD else fold.outcome
    fold = _with(fold, ended=ended.ended, outcome=outcome, folded=fold.folded + 1, kinds=kinds)
    return _with(tracker, recent=recent, flapping=fold), False


# -- what the replacement says


def rolling(
    tracker: EpisodeTracker, ids: Sequence[str], status: str, mark: Mark, told: Replacement | None
) -> EpisodeTracker:
    """The tracker while a replacement is in progress. `ids`: reported ids of the replacement and its candidates.

    `told`: its record; None: another proton serves and no record was ever observed.
    """
    record = (told.id or "") if told is not None else ""
    candidates = tuple(i for i in ids if i != record)
    rollout = tracker.rollout
    if rollout is None:
        created = models.timestamp(told.created_at) if told is not None else None
        rollout = Episode("replacement", _with(mark, told=created), replacement=record)
    states = rollout.states
    if status and (not states or states[-1].status != status):
        states = (*states, State(status, mark))[:MOST_EVENTS]
    after = _with(rollout, states=states, replacement=rollout.replacement or record, candidates=candidates)
    return tracker if after == tracker.rollout else _with(tracker, rollout=after)


def faded(tracker: EpisodeTracker, mark: Mark) -> EpisodeTracker:
    """The tracker after a replacement record disappeared: it ended with unknown outcome."""
    rollout = tracker.rollout
    return (
        tracker if rollout is None or rollout.ended is not None else _with(tracker, rollout=_with(rollout, ended=mark))
    )


def rolled(
    tracker: EpisodeTracker, outcome: str, mark: Mark, cause: str, replacement: str = "", *, unseen: bool = False
) -> EpisodeTracker:
    """The tracker after a replacement ended. `unseen`: not the one known to be in progress.

    A replacement that was not observed started when it ended, as far as is known.
    """
    rollout = None if unseen else tracker.rollout
    if rollout is None and not replacement:
        return tracker
    known = rollout if rollout is not None else Episode("replacement", mark)
    ended = mark if mark.told is not None or known.ended is None else known.ended
    done = _with(known, ended=ended, outcome=outcome, cause=cause, replacement=known.replacement or replacement)
    return _over(tracker if unseen else _with(tracker, rollout=None), done)


def recalled(
    tracker: EpisodeTracker, records: Iterable[Replacement], protons: Iterable[ListedProton], now: float, back: float
) -> EpisodeTracker:
    """The tracker with episodes from before the first observation, up to `back` seconds ago.

    `records`: the replacement history; of the protons, the start of the current run counts if it was the first. All
    times are as reported.
    """
    found: list[Episode] = []
    candidates: set[str] = set()
    about: dict[str, Any]
    for record in records:
        opened, ended = models.timestamp(record.created_at), models.timestamp(record.deleted_at or record.updated_at)
        cause, outcome = _RECORDED.get(models.folded(record.status), ("", ""))
        candidates.update(record.candidate_proton_ids or ())
        if opened is None or ended is None or not now - back <= ended <= now or not outcome or not record.id:
            continue
        about = {"replacement": record.id, "candidates": record.candidate_proton_ids or ()}
        found.append(_recalled("replacement", opened, ended, now, outcome=outcome, cause=cause, **about))
    for proton in protons:
        opened, ended = models.timestamp(proton.created_at), models.timestamp(proton.running_since)
        if opened is None or ended is None or not now - back <= opened <= ended <= now or proton.id in candidates:
            continue
        if ended - opened < DAY:  # later, it was stopped in between
            about = {"outcome": "success", "after": "running", "proton": proton.id, "since": proton.running_since}
            found.append(_recalled("start", opened, ended, now, **about))
    return _with(tracker, over=(*tracker.over, *found)) if found else tracker


def _recalled(kind: Kind, opened: float, ended: float, now: float, **facts: Any) -> Episode:
    return Episode(kind, Mark(now, None, opened), ended=Mark(now, None, ended), recalled=True, **facts)


_RECORDED = {
    "completed": ("completed", "success"),
    "errored": ("errored", "failure"),
    "failed": ("errored", "failure"),
    "cancelled": ("cancelled", "cancellation"),
    "canceled": ("cancelled", "cancellation"),
}
"""The end cause and outcome of a replacement of the history, as if it had been observed."""


# -- what details say


def told_pods(tracker: EpisodeTracker, told: Pods, serving: str, now: float) -> EpisodeTracker:
    """The tracker after the pods were read. `serving`: the workload's proton."""
    run = next(((p.id, p.running_since) for p in told.protons if p.id == serving and p.running_since), tracker.run)
    if not tracker.busy:
        return tracker if run == tracker.run else _with(tracker, run=run)
    protons, pods = dict(tracker.protons), dict(tracker.pods)
    for proton in told.protons:
        before = protons.pop(proton.id, Proton())  # most recently reported last
        protons[proton.id] = Proton(proton.created_at or before.created, proton.running_since or before.since)
    for proton, replica in told.replicas():
        name = replica.name or ""
        pods[name] = _pod(pods.get(name) or Pod(proton.id), replica, now)
    latest = sorted(pods, key=lambda name: (-pods[name].read, name))[:MOST_PODS]
    protons = dict([*protons.items()][-MOST_PODS:])
    at = now if told.complete and serving not in told.unread else tracker.pods_told
    return _with(tracker, run=run, protons=protons, pods={name: pods[name] for name in sorted(latest)}, pods_told=at)


def _pod(before: Pod, replica: Replica, now: float) -> Pod:
    """A pod after another read: times stay as first reported, its problem as last reported while unready."""
    ready = replica_ready(replica) is True
    true = {kind: at for kind, at in before.true.items() if kind != "Ready" or ready}
    for condition in replica.conditions or ():
        at = models.timestamp(condition.last_transition_time or condition.since)
        if condition.truth and at is not None:
            true.setdefault(condition.kind, at)
    came = before.came if before.came is not None else models.timestamp(replica.started_at)
    runs, starts = list(before.runs), [before.started]
    trouble, culprit, words = ("Unschedulable" if unschedulable(replica) is not None else ""), "", ""
    for container in replica.containers or ():
        name = container_name(container.name, before.proton)
        run = _run(name, container)
        starts += [models.timestamp(container.started_at), run.started if run is not None else None]
        if run is not None and run not in runs:
            runs.append(run)
        reason = _wrong(container)
        if reason and not trouble:
            trouble, culprit, words = reason, name, (container.message or "")[:MOST_WORDS]
    if not trouble and not ready:
        trouble, culprit, words = before.trouble, before.container, before.words
    return Pod(
        before.proton,
        now,
        came,
        true,
        # A container starts after its pod, give or take a second: such times have a resolution of one second.
        min((at for at in starts if at is not None and (came is None or at > came - 1.0)), default=None),
        ready,
        trouble,
        culprit,
        max(before.restarts, sum(container.restart_count or 0 for container in replica.containers or ())),
        tuple(runs[:MOST_RUNS]),
        words,
    )


def _wrong(container: Container) -> str:
    """What is wrong with a container, of a closed set; empty: nothing, or it is only on its way."""
    waits = waiting_reason(container)
    if waits is not None and waits not in ("ContainerCreating", "PodInitializing"):
        return waits
    ended = terminated_reason(container) if container.ready is False else None
    return ended if ended is not None and ended != "Completed" else ""


def crashed(tracker: EpisodeTracker, pod: str, container: Container, now: float) -> EpisodeTracker:
    """The tracker after a container of a running workload terminated and was restarted: a momentary failure."""
    last = container.last_state
    ended = models.timestamp(last.finished_at) if last is not None else None
    if tracker.life is not None or ended is None or len(tracker.over) >= FLAPPING:
        return tracker
    again = models.timestamp(container.started_at)
    mark = Mark(now, None, again if again is not None and again >= ended else ended)
    crash = Episode("failure", Mark(now, None, ended), ended=mark, outcome="failure", cause="crashed")
    about = _with(crash, proton=tracker.run[0], since=tracker.run[1], candidates=(pod, f"{ended:.3f}"))
    return _with(tracker, over=(*tracker.over, about))


def _run(name: str, container: Container) -> Run | None:
    last = container.last_state
    finished = models.timestamp(last.finished_at) if last is not None else None
    if last is None or finished is None:
        return None
    reason = (terminated_reason(container) or "") if last.reason else ""
    return Run(name, models.timestamp(last.started_at), finished, reason, last.exit_code)


def told_events(tracker: EpisodeTracker, events: Iterable[Event], known: frozenset[str], now: float) -> EpisodeTracker:
    """The tracker after events were read, in any order; `known` are ids read before."""
    told = {event.id: _happened(event) for event in events}
    late = {i: each for i, each in told.items() if i not in known and _too_late(tracker, each.at)}
    if late:
        tracker = _with(tracker, late={**tracker.late, **late})
    newest = max(filter(None, (tracker.last, *told.values())), key=lambda each: each.at or 0.0, default=None)
    if newest != tracker.last:
        tracker = _with(tracker, last=newest)
    if not tracker.busy:
        return tracker
    kept = {**tracker.events, **told}
    latest = sorted(kept, key=lambda i: (-(kept[i].at or 0.0), i))[:MOST_EVENTS]
    return _with(tracker, events={i: kept[i] for i in sorted(latest)}, events_told=now)


def _happened(event: Event) -> ObservedEvent:
    return ObservedEvent(event.told_type[:MOST_TYPE], models.timestamp(event.timestamp), event.words[:MOST_WORDS])


def _too_late(tracker: EpisodeTracker, at: float | None) -> bool:
    """Whether something happened during an episode whose trace is already made."""
    return at is not None and any(
        past.sent and past.opened <= at <= past.ended and past.late < LATE for past in tracker.past
    )


# -- what is to be made a trace of


def due(tracker: EpisodeTracker, now: float, previous: float | None) -> tuple[EpisodeTracker, tuple[Episode, ...]]:
    """The tracker without settled episodes, and those episodes. `previous`: the complete sweep before the last.

    An episode settles after a minute and two complete sweeps, so that late data is included; longer if pods and events
    were not read since it ended. An episode open for a week is closed as timed out.
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
    if now - ended < SETTLED or previous is None or previous <= ended:
        return False
    told = tracker.pods_told > ended and tracker.events_told > ended
    return told or episode.kind == "deletion" or now - ended >= UNTOLD


def _timed_out(tracker: EpisodeTracker, now: float) -> EpisodeTracker:
    def ended(episode: Episode) -> Episode:
        return _with(episode, ended=Mark(now), outcome="timeout", cause="timeout")

    if tracker.life is not None and now - tracker.life.opened.at > LONGEST:
        tracker = _with(tracker, over=(*tracker.over, ended(tracker.life)), life=None)
    if tracker.rollout is not None and now - tracker.rollout.opened.at > LONGEST:
        tracker = _with(tracker, over=(*tracker.over, ended(tracker.rollout)), rollout=None)
    return tracker


def numbered(tracker: EpisodeTracker, key: str) -> EpisodeTracker:
    """The tracker with this key counted once more. Counts outlive `past`, so that no number is used twice."""
    before = {each: number for each, number in tracker.numbers.items() if each != key}
    counted = [*before.items(), (key, tracker.numbers.get(key, 0) + 1)]
    return _with(tracker, numbers=dict(counted[-NUMBERS:]))


def remembered(tracker: EpisodeTracker, made: Iterable[Past], now: float) -> EpisodeTracker:
    """The tracker after traces were made: they are remembered for a day; pods and events are dropped when no longer
    needed.
    """
    past = tuple(each for each in (*tracker.past, *made) if now - each.ended < PAST_SECONDS)[-PAST:]
    if not tracker.busy:
        lost = {name: pod for name, pod in tracker.pods.items() if pod.trouble and not pod.ready}
        return _with(tracker, past=past, pods={}, protons={}, events={}, lost=lost)
    since = min(each.opened.at for each in (*tracker.episodes, *tracker.over))
    return _with(tracker, past=past, pods={name: pod for name, pod in tracker.pods.items() if pod.read >= since})
