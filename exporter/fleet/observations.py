"""Adds pods and events to the open episodes of a workload, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from exporter.api import models
from exporter.api.details import Event
from exporter.api.pods import (
    WAITING_REASONS,
    Container,
    Pods,
    Proton,
    Replica,
    StatusDetails,
    container_name,
    replica_ready,
    stopped,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from exporter.fleet.episodes import (
    MAX_LATE,
    MAX_TRACED_EPISODES,
    Episode,
    EpisodeTracker,
    Mark,
    ObservedEvent,
    PodFacts,
    ProtonTimes,
    Run,
)
from exporter.masking import MAX_INPUT

MAX_PODS, MAX_EVENTS, MAX_RUNS = 64, 64, 16
"""How many are kept: the latest pods, protons and events, and the first runs of a pod."""
MAX_FAILING_PODS = 8
"""Pods of a failed version that are remembered after its replacement ended."""
MAX_TYPE_CHARS = 64
MARGIN_SECONDS, OLD_SECONDS = 60.0, 3600.0
"""How long before an episode the events that are kept begin; the latter if its start was not observed."""
_with = msgspec.structs.replace


def with_pods(tracker: EpisodeTracker, read: Pods, serving: str, now: float) -> EpisodeTracker:
    """The tracker after the pods were read. `serving`: the workload's proton."""
    run = next(((p.id, p.running_since) for p in read.protons if p.id == serving and p.running_since), tracker.run)
    if not tracker.collecting:
        return tracker if run == tracker.run else _with(tracker, run=run)
    protons, pods = dict(tracker.protons), dict(tracker.pods)
    for proton in read.protons:
        before = protons.pop(proton.id, ProtonTimes())  # most recently reported last
        protons[proton.id] = ProtonTimes(proton.created_at or before.created, proton.running_since or before.since)
    for proton, replica in read.replicas():
        name = replica.name or ""
        pods[name] = _pod(pods.get(name) or PodFacts(proton.id), _without_stop(proton, replica), now)
    latest = sorted(pods, key=lambda name: (-pods[name].read, name))[:MAX_PODS]
    protons = dict([*protons.items()][-MAX_PODS:])
    at = now if read.complete and serving not in read.unread else tracker.pods_read
    return _with(tracker, run=run, protons=protons, pods={name: pods[name] for name in sorted(latest)}, pods_read=at)


def _without_stop(proton: Proton, replica: Replica) -> Replica:
    """The pod without the terminations that are the stop of its proton."""
    containers = tuple(
        _with(each, status=None, reason=None, exit_code=None, last_state=None) if stopped(proton, each) else each
        for each in replica.containers or ()
    )
    return replica if containers == (replica.containers or ()) else _with(replica, containers=containers)


def _pod(before: PodFacts, replica: Replica, now: float) -> PodFacts:
    """A pod after another read: times stay as first reported, its problem as last reported while unready."""
    ready = replica_ready(replica) is True
    conditions = {kind: at for kind, at in before.conditions.items() if kind != "Ready" or ready}
    for condition in replica.conditions or ():
        at = models.timestamp(condition.last_transition_time or condition.since)
        if condition.truth and at is not None:
            conditions.setdefault(condition.kind, at)
    created = before.created if before.created is not None else models.timestamp(replica.started_at)
    runs, starts = list(before.runs), [before.started]
    found = _Problem("Unschedulable") if unschedulable(replica) is not None else _Problem()
    for container in replica.containers or ():
        name = container_name(container.name, before.proton)
        run = _run(name, container)
        starts += [models.timestamp(container.started_at), run.started if run is not None else None]
        if run is not None and run not in runs:
            runs.append(run)
        found = found if found.problem else _problem(name, container)
    if not found.problem and not ready:
        found = _Problem(before.problem, before.container, before.message, before.ended, before.exit_code)
    return PodFacts(
        proton=before.proton,
        read=now,
        created=created,
        conditions=conditions,
        # A container starts after its pod, give or take a second: such times have a resolution of one second.
        started=min((at for at in starts if at is not None and (created is None or at > created - 1.0)), default=None),
        ready=ready,
        problem=found.problem,
        container=found.container,
        restarts=max(before.restarts, sum(container.restarts or 0 for container in replica.containers or ())),
        runs=tuple(runs[:MAX_RUNS]),
        message=found.message,
        ended=found.ended,
        exit_code=found.exit_code,
    )


class _Problem(NamedTuple):
    """The problem of a pod, as in `PodFacts`."""

    problem: str = ""
    container: str = ""
    message: str = ""
    ended: str = ""
    exit_code: int | None = None


def _problem(name: str, container: Container) -> _Problem:
    """The problem of a container; empty if there is none, or it is only being created."""
    waits, ended, last = waiting_reason(container), terminated_reason(container) or "", container.last_state
    if waits in (None, "ContainerCreating", "PodInitializing"):
        waits = ended if container.ready is False and ended != "Completed" else ""
    if not waits:
        return _Problem()
    message = container.message or (last.message if last is not None else "") or ""
    code = container.exit_code if last is None else last.exit_code
    return _Problem(waits, name, message[:MAX_INPUT], ended, code)


def reported_pods(statuses: Mapping[str, StatusDetails], now: float) -> dict[str, PodFacts]:
    """What an event reports about the pods of protons, by proton id, as if the pods had been read now.

    It may leave out the names of the pods, and the state of a container that has a waiting reason.
    """
    found = {}
    for proton, snapshot in statuses.items():
        for number, replica in enumerate(snapshot.replicas or ()):
            containers = tuple(map(_with_state, replica.containers or ()))
            name = replica.name or f"{proton}/{number}"
            found[name] = _pod(PodFacts(proton), _with(replica, containers=containers), now)
    return found


def _with_state(container: Container) -> Container:
    waits = container.status is None and container.reason in WAITING_REASONS
    return _with(container, status="waiting") if waits else container


def failing(pods: Mapping[str, PodFacts]) -> dict[str, PodFacts]:
    """The pods with a problem, or that run without being ready, and what to remember of them.

    At most `MAX_FAILING_PODS`, with their last run.
    """
    bad = [(name, pod) for name, pod in sorted(pods.items()) if (pod.problem or pod.started) and not pod.ready]
    return {name: _with(pod, conditions={}, runs=pod.runs[-1:]) for name, pod in bad[:MAX_FAILING_PODS]}


def _run(name: str, container: Container) -> Run | None:
    last = container.last_state
    finished = models.timestamp(last.finished_at) if last is not None else None
    if last is None or finished is None:
        return None
    reason = (terminated_reason(container) or "") if last.reason else ""
    return Run(name, models.timestamp(last.started_at), finished, reason, last.exit_code)


def with_crash(tracker: EpisodeTracker, pod: str, container: Container, now: float) -> EpisodeTracker:
    """The tracker after a container of a running workload terminated and was restarted: a momentary failure."""
    last = container.last_state
    ended = models.timestamp(last.finished_at) if last is not None else None
    if tracker.life is not None or ended is None or len(tracker.over) >= MAX_TRACED_EPISODES:
        return tracker
    again = models.timestamp(container.started_at)
    mark = Mark(now, None, again if again is not None and again >= ended else ended)
    crash = Episode("failure", Mark(now, None, ended), ended=mark, outcome="failure", cause="crashed")
    about = _with(crash, proton=tracker.run[0], since=tracker.run[1], candidates=(pod, f"{ended:.3f}"))
    return _with(tracker, over=(*tracker.over, about))


def with_events(
    tracker: EpisodeTracker, events: Iterable[Event], known: frozenset[str], now: float, ahead: float = 0.0
) -> EpisodeTracker:
    """The tracker after events were read, in any order; `known` are ids read before.

    Those of its episodes are kept. `ahead`: seconds that the API's clock is ahead.
    """
    read = {event.id: _observed(event) for event in events}
    late = {i: each for i, each in read.items() if i not in known and _late(tracker, each.at)}
    if late:
        tracker = _with(tracker, late={**tracker.late, **late})
    newest = max(filter(None, (tracker.last, *read.values())), key=lambda each: each.at or 0.0, default=None)
    if newest != tracker.last:
        tracker = _with(tracker, last=newest)
    if not tracker.collecting:
        return tracker
    since = min(map(_since, (*tracker.episodes, *tracker.over))) + ahead
    kept = {i: each for i, each in {**tracker.events, **read}.items() if each.at is None or each.at >= since}
    latest = sorted(kept, key=lambda i: (-(kept[i].at or 0.0), i))[:MAX_EVENTS]
    return _with(tracker, events={i: kept[i] for i in sorted(latest)}, events_read=now)


def _since(episode: Episode) -> float:
    """From when on an event may belong to an episode."""
    if episode.opened.last is None:
        return episode.opened.at - OLD_SECONDS
    return min(episode.opened.last, episode.opened.reported or episode.opened.last) - MARGIN_SECONDS


def _observed(event: Event) -> ObservedEvent:
    text = event.text[:MAX_INPUT]
    return ObservedEvent(event.reported_type[:MAX_TYPE_CHARS], models.timestamp(event.timestamp), text)


def _late(tracker: EpisodeTracker, at: float | None) -> bool:
    """Whether something happened during an episode whose trace is already made."""
    return at is not None and any(
        past.sent and past.opened <= at <= past.ended and past.late < MAX_LATE for past in tracker.past
    )
