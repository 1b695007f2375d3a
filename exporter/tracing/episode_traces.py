"""Traces of episodes: (workload state, episode tracker, settled episode) -> spans. Nothing is invented.

Ids are hashes of reported data, so that two exporters produce the same ones. Every span has the source of its times:
`reported` by the API, or `observed` in a sweep, with the possible error. ERROR means that the platform or a container
failed; otherwise the status is unset. Attributes follow the OpenTelemetry semantic conventions where one exists, else
``datarobot.*``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from exporter.api import models
from exporter.fleet import episodes as book
from exporter.fleet.episodes import KINDS, Episode, EpisodeTracker, Mark, ObservedEvent, Past, Pod, Run
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import MOST_WORDS, attribute
from exporter.tracing.trace import Attributes, Link, Span, SpanEvent, Trace, Value

SLACK = 2.0
"""How far a reported time may lie outside the two sweeps between which it must, in seconds: clocks differ."""
ANEW = 3600.0
"""Seconds after which a proton without pods counts as started earlier."""
REPLICA_SPANS, EVENTS = 16, 32
_VERSION = "wx-trace/1"


class Tracing(NamedTuple):
    """Settings. `host`: the origin of the API, so that ids of two installations differ.

    `ratio`: the share of traces made, and `min_duration` in seconds, the minimum duration of a successful start;
    neither applies to traces of failures. `importance`: of which workloads; empty: all. `crashes`: also of containers
    of workloads that keep running. `checkpoint_after`: seconds after which an open episode gets a trace of what is
    known so far; 0: never. `backfill`: seconds before the first sweep for which traces are made.
    """

    host: str
    service_name: str = "workload-{id}"
    attributes: Mapping[str, Value] = {}
    kinds: frozenset[str] = frozenset(KINDS)
    importance: frozenset[str] = frozenset()
    ratio: float = 1.0
    min_duration: float = 0.0
    crashes: bool = False
    checkpoint_after: float = 0.0
    backfill: float = 0.0


class EpisodeTrace(NamedTuple):
    """An episode that is over. `trace` None: none is wanted of it. `seconds`: how long it lasted."""

    kind: str
    outcome: str
    seconds: float
    trace: Trace | None = None
    key: bytes = b""
    """The identity of the trace: the same key means the same trace."""


class _When(NamedTuple):
    """A moment: nanoseconds since the epoch, its source, and the possible error in milliseconds."""

    ns: int
    source: str
    uncertainty: int | None


# -- ids


def digest(size: int, *parts: str) -> bytes:
    """The first bytes of the SHA-256 of parts, each with its length before it, so that no two lists of parts meet."""
    packed = b"".join(len(data).to_bytes(4, "big") + data for part in parts for data in [part.encode()])
    found = hashlib.sha256(packed).digest()[:size]
    return found if any(found) else digest(size, *parts, "0")


def trace_id(host: str, workload: str, kind: str, key: Iterable[str]) -> bytes:
    """The id of the trace of an episode."""
    return digest(16, _VERSION, host, workload, kind, *key)


def span_id(trace: bytes, *path: str) -> bytes:
    """The id of a span, by what it is in its trace."""
    return digest(8, "wx-span/1", trace.hex(), *path)


def identity(tracker: EpisodeTracker, episode: Episode, skew: float = 0.0) -> tuple[tuple[str, ...], bool]:
    """The identity of an episode among those of its kind, and whether it was reported by the API.

    A run is identified by its proton and its start, and so are the start and the recovery that led to it; a first start
    by its proton alone, another by its first pod, a replacement by its id. Without reported data the local time is
    used: it survives a restart, but differs between exporters.
    """
    local = ("local", f"{episode.opened.at:.3f}"), False
    if episode.kind == "deletion":
        return ("deleted",), True
    if episode.kind == "replacement":
        name = episode.replacement or next(iter(episode.candidates), "")
        return ((name,), True) if name else local
    if episode.cause == "crashed":
        return (episode.proton, episode.since, *episode.candidates), True
    if episode.recalled and episode.kind == "start":
        return (episode.proton, episode.since), True
    if episode.kind == "stop" or (episode.kind == "failure" and episode.since):
        return ((episode.proton, episode.since), True) if episode.since else local
    proton = tracker.protons.get(episode.proton, book.Proton())
    ended = episode.ended or episode.opened
    since, created = models.timestamp(proton.since), models.timestamp(proton.created)
    ran = episode.cause == "recovered" or (episode.kind == "start" and episode.outcome == "success")
    if ran and _between(since, episode.opened, ended, skew):
        return (episode.proton, proton.since), True
    if created is not None and (episode.kind == "failure" or _between(created, episode.opened, ended, skew)):
        return (episode.proton, "first"), True
    pods = ((pod.came, name) for name, pod in tracker.pods.items() if pod.proton == episode.proton)
    came = [(at, name) for at, name in pods if at is not None and _between(at, episode.opened, ended, skew)]
    return ((episode.proton, min(came)[1]), True) if came else local


def _numbered(
    tracker: EpisodeTracker, episode: Episode, key: tuple[str, ...], *, reported: bool
) -> tuple[tuple[str, ...], bool]:
    """The key of an episode, and whether it was reported: a number appended to a repeated key is local.

    Nothing reported about a second failure of one run is the same for all exporters: container terminations are
    reported one at a time, and `updatedAt` changes with any edit.
    """
    again = tracker.numbers.get(_counted(episode, key), 0)
    return ((*key, f"#{again + 1}"), False) if again else (key, reported)


def _counted(episode: Episode, key: tuple[str, ...]) -> str:
    return "|".join((episode.kind, *key))


def _between(at: float | None, opened: Mark, ended: Mark, skew: float) -> bool:
    if at is None:
        return False
    begin = opened.last if opened.last is not None else opened.at - models.DRAFT_LIFETIME_SECONDS
    return begin + skew - SLACK <= at <= ended.at + skew + SLACK


# -- times


def _ns(at: float) -> int:
    return round(at * 1e6) * 1000


def _when(mark: Mark, told: Iterable[float | None], skew: float) -> _When:
    """The time of a change: as reported if between the two sweeps around it, else as observed."""
    state = mark.at + skew
    last = mark.last + skew if mark.last is not None else None
    for at in (mark.told, *told):
        if at is not None and 0 < at <= state + SLACK and (last is None or at > last - SLACK):
            return _When(_ns(at), "reported", 0)
    return _When(_ns(state), "observed", None if last is None else round((state - last) * 1000))


def _timed(start: _When, end: _When) -> dict[str, Value]:
    told: dict[str, Value] = {
        "datarobot.time.start.source": start.source,
        "datarobot.time.end.source": end.source,
    }
    for edge, when in (("start", start), ("end", end)):
        if when.uncertainty is not None:
            told[f"datarobot.time.{edge}.uncertainty_ms"] = when.uncertainty
    return told


def _edge(span: Span, edge: Literal["start", "end"]) -> _When:
    """Start or end time of a span."""
    uncertainty = span.attributes.get(f"datarobot.time.{edge}.uncertainty_ms")
    source = str(span.attributes[f"datarobot.time.{edge}.source"])
    return _When(getattr(span, edge), source, uncertainty if isinstance(uncertainty, int) else None)


# -- words


def _clean(attributes: Attributes) -> dict[str, Value]:
    def clean(name: str, value: Value) -> Value:
        if isinstance(value, tuple):
            return tuple(attribute(name, each[:MOST_WORDS]) for each in value)
        return attribute(name, value[:MOST_WORDS]) if isinstance(value, str) else value

    return {name: clean(name, value) for name, value in attributes.items()}


def _fit(span: Span) -> Span:
    """A span as it may be sent: all that is text has lost what has no place in a trace, and is at most 256 long."""
    return span._replace(
        name=attribute("", span.name) or "unknown",
        attributes=_clean(span.attributes),
        events=tuple(event._replace(attributes=_clean(event.attributes)) for event in span.events),
        error=None if span.error is None else attribute("", span.error),
    )


# -- one trace


class _Maker:
    """Builds the spans of one episode. Pods and events count if they lie within the episode."""

    def __init__(
        self, state: WorkloadState, tracker: EpisodeTracker, episode: Episode, tracing: Tracing, skew: float
    ) -> None:
        self.state, self.tracker, self.episode, self.tracing, self.skew = state, tracker, episode, tracing, skew
        key, reported = identity(tracker, episode, skew)
        name = "|".join(key)
        self.counted = _counted(episode, key) if reported and episode.cause != "crashed" else ""
        self.key, self.reported = _numbered(tracker, episode, key, reported=reported)
        if episode.cause == _CHECKPOINT:
            self.key = (*self.key, _CHECKPOINT, str(episode.checkpoints))
        self.trace = trace_id(tracing.host, state.workload.id, episode.kind, self.key)
        self.root = span_id(self.trace, "root")
        self._name = _CHECKPOINT if episode.cause == _CHECKPOINT else name
        assert episode.ended is not None
        self.failed = episode.outcome in book.BAD
        self.start = _when(episode.opened, self._opening(), skew)
        ended = _when(episode.ended, self._ending(), skew)
        self.end = ended if ended.ns >= self.start.ns else self.start._replace(source="derived")

    def past(self, *, sent: bool) -> Past:
        """What is remembered of the episode, and of the trace if it is `sent`."""
        kind, ids = self.episode.kind, (self.trace.hex(), self.root.hex())
        return Past(self._name, kind, *ids, self.start.ns / 1e9, self.end.ns / 1e9, sent=sent)

    # reported data about the start and the end

    def _protons(self) -> frozenset[str]:
        if self.episode.kind == "replacement":
            return frozenset(self.episode.candidates)
        return frozenset((self.episode.proton,)) - {""}

    def _told(self, field: str) -> Iterator[float | None]:
        for proton in sorted(self._protons()):
            yield models.timestamp(getattr(self.tracker.protons.get(proton, book.Proton()), field))

    def _happened(self, *words: str) -> Iterator[float]:
        for event in self.tracker.events.values():
            if event.at is not None and any(word in models.folded(event.type) for word in words):
                yield event.at

    def _opening(self) -> Iterator[float | None]:
        kind = self.episode.kind
        if kind in ("start", "replacement"):
            yield from (at for at in self._told("created") if self._fresh(at))
        if kind == "start":
            yield from self._likely(self._happened("started", "created"))
            yield from self._arrivals() if self.episode.opened.last is None else ()
        elif kind == "stop":
            yield from self._likely(self._happened("stopp"))
        elif kind == "failure":
            yield from self._likely(run.finished for _, _, run in self._lives())

    def _likely(self, told: Iterable[float]) -> list[float]:
        """Possible start times, the most likely first. If the start was not observed, reported data may belong to other
        episodes.
        """
        if self.episode.opened.last is not None:
            return sorted(told)
        return sorted((at for at in told if at > self._long_before), reverse=True)

    @property
    def _long_before(self) -> float:
        return self.episode.opened.at + self.skew - ANEW

    def _fresh(self, created: float | None) -> bool:
        """Whether a proton was created for this episode. If the start was not observed, it may be a restarted one."""
        if created is None or self.episode.opened.last is not None:
            return created is not None
        return created >= next(self._arrivals(), self.episode.opened.at + self.skew) - ANEW

    def _arrivals(self) -> Iterator[float]:
        """Creation time of the first pods, of those present at the first observation, but not long before it."""
        pods = (at for _, pod in self._pods() for at in (pod.came, *pod.true.values()) if at is not None)
        recent = [at for at in pods if at > self._long_before]
        yield from [min(recent)] if recent else []

    def _ending(self) -> Iterator[float | None]:
        if self.episode.after == "running":
            yield from self._told("since")

    # the facts within it

    def _pods(self) -> list[tuple[str, Pod]]:
        return [(name, pod) for name, pod in self.tracker.pods.items() if pod.proton in self._protons()]

    def _lives(self) -> Iterator[tuple[str, Pod, Run]]:
        for name, pod in self._pods():
            for run in pod.runs:
                yield name, pod, run

    def _within(self, at: float | None) -> bool:
        slack = _ns(SLACK)
        return at is not None and self.start.ns - slack <= _ns(at) <= self.end.ns + slack

    # the spans

    def made(self) -> Trace:
        """The trace."""
        children = [*self._states(), *self._replicas(), *self._runs()]
        begin = min(self.start.ns, *(span.start for span in children)) if children else self.start.ns
        end = max(self.end.ns, *(span.end for span in children)) if children else self.end.ns
        # A child that is reported to reach beyond what was observed widens the root: it is the root that is uncertain.
        start = self.start if begin == self.start.ns else _When(begin, "derived", 0)
        ended = self.end if end == self.end.ns else _When(end, "derived", 0)
        events, dropped = self._events()
        attributes = {**self._facts(), **_timed(start, ended)}
        if dropped:
            attributes["datarobot.dropped.events"] = dropped
        hidden = len(self._ranked()) - REPLICA_SPANS
        if hidden > 0:
            attributes["datarobot.dropped.replicas"] = hidden
        error = self._words() if self.failed else None
        name = "workload " + self.episode.kind + (" (stuck)" if self.episode.cause == _CHECKPOINT else "")
        root = Span(self.root, b"", name, begin, end, attributes, tuple(events), tuple(self._links()), error)
        return Trace(self.trace, resource(self.state, self.tracing), tuple(map(_fit, (root, *children))))

    def _span(
        self, path: tuple[str, ...], name: str, start: _When, end: _When, facts: Attributes,
        *, parent: bytes = b"", error: str | None = None,
    ) -> Span:  # fmt: skip
        if end.ns < start.ns:
            end = start._replace(source="derived")
        return Span(
            span_id(self.trace, *path), parent or self.root, name, start.ns, end.ns,
            {**facts, **_timed(start, end)}, error=error,
        )  # fmt: skip

    def _states(self) -> Iterator[Span]:
        states, counts = self.episode.states, dict[str, int]()
        whens = [self.start, *(_when(state.mark, (), self.skew) for state in states[1:]), self.end]
        for number, state in enumerate(states):
            counts[state.status] = counts.get(state.status, 0) + 1
            last = number == len(states) - 1
            error = "" if self.failed and last and self.episode.kind in ("failure", "start", "replacement") else None
            facts: dict[str, Value] = {_STATUS[self.episode.kind == "replacement"]: state.status}
            if error is not None:
                facts["error.type"] = self._error_type()
            path = ("state", state.status, str(counts[state.status]))
            yield self._span(path, state.status, whens[number], whens[number + 1], facts, error=error)

    def _came(self, pod: Pod) -> bool:
        """Whether a pod was created in this episode."""
        comes = self.episode.kind in ("start", "replacement")
        return comes and (pod.came is None or self._within(pod.came))

    def _whole(self, pod: Pod) -> list[tuple[float, Run]]:
        """Runs of a pod's containers that started and ended within the episode, and their start times."""
        begun = [(run.started, run) for run in pod.runs if run.started is not None]
        return [(at, run) for at, run in begun if self._within(at) and self._within(run.finished)]

    def _ranked(self) -> list[tuple[str, Pod]]:
        """The pods worth showing: those with problems first, then the slowest."""
        told = [(name, pod) for name, pod in self._pods() if self._came(pod) or self._whole(pod)]
        return sorted(told, key=lambda item: (not item[1].trouble, -item[1].true.get("Ready", 0.0), item[0]))

    def _replicas(self) -> Iterator[Span]:
        for name, pod in self._ranked()[:REPLICA_SPANS]:
            if not self._came(pod):
                continue
            phases = [*self._phases(name, pod)]
            facts: dict[str, Value] = {"k8s.pod.name": name, "datarobot.proton.id": pod.proton}
            facts["k8s.container.restart_count"] = pod.restarts
            if pod.trouble:
                facts["k8s.container.status.reason"] = pod.trouble
            if pod.container:
                facts["k8s.container.name"] = pod.container
            wrong = self.failed and not pod.ready
            if wrong:
                facts["error.type"] = phases[-1].attributes.get("error.type", _type(pod.trouble))
            start, end = _edge(phases[0], "start"), _edge(phases[-1], "end")
            replica = self._span(("replica", name), "replica", start, end, facts, error="" if wrong else None)
            yield replica
            yield from phases

    def _phases(self, name: str, pod: Pod) -> Iterator[Span]:
        """The phases of a pod as far as it got; an unfinished phase lasts until the end of the episode."""
        parent = span_id(self.trace, "replica", name)
        born = next((at for at in (*self._told_of(pod.proton), pod.came) if self._within(at)), None)
        start = _When(_ns(born), "reported", 0) if born is not None else self.start._replace(source="derived")
        true = pod.true
        ends = (true.get("PodScheduled"), true.get("Initialized"), pod.started, true.get("Ready"))
        for (phase, hung), at in zip(_PHASES.items(), ends, strict=True):
            path = ("replica", name, phase)
            if at is None or _ns(at) > self.end.ns + _ns(SLACK):
                hangs: dict[str, Value] = {"datarobot.replica.phase.unfinished": True}
                if self.failed:
                    hangs["error.type"] = _type(pod.trouble or hung)
                yield self._span(path, phase, start, self.end, hangs, parent=parent, error="" if self.failed else None)
                return
            end = _When(max(_ns(at), start.ns), "reported", 0)
            yield self._span(path, phase, start, end, {}, parent=parent)
            start = end

    def _told_of(self, proton: str) -> tuple[float | None, ...]:
        return (models.timestamp(self.tracker.protons.get(proton, book.Proton()).created),)

    def _runs(self) -> Iterator[Span]:
        shown = self._ranked()[:REPLICA_SPANS]
        for name, pod, (started, run) in ((*each, life) for each in shown for life in self._whole(each[1])):
            bad = run.exit_code != 0 if run.exit_code is not None else run.reason != "Completed"
            facts = {"k8s.pod.name": name, "datarobot.proton.id": pod.proton, **_ended(run)}
            if bad:
                facts["error.type"] = _type(run.reason)
            start, end = _When(_ns(started), "reported", 0), _When(_ns(run.finished), "reported", 0)
            path = ("run", name, run.container, f"{run.finished:.3f}")
            yield self._span(path, "container run", start, end, facts, error="" if bad else None)

    def _events(self) -> tuple[list[SpanEvent], int]:
        """What the API recorded meanwhile, and the ends of containers that had run since long before."""
        found = [_event(event, i) for i, event in self.tracker.events.items() if self._within(event.at)]
        for name, _, run in self._lives():
            if self._within(run.finished) and not self._within(run.started):
                facts = {"k8s.pod.name": name, **_ended(run)}
                found.append(SpanEvent("datarobot.container.terminated", _ns(run.finished), facts))
        found.sort(key=lambda event: (event.at, event.name, str(event.attributes)))
        return found[:EVENTS], max(0, len(found) - EVENTS)

    def _links(self) -> Iterator[Link]:
        opened = self.episode.opened.at + self.skew
        there = [past for past in self.tracker.past if past.sent and past.kind != "deletion"]
        before = [past for past in there if past.key != _CHECKPOINT and past.opened <= opened + SLACK]
        stuck = [past for past in there if past.key == _CHECKPOINT and past.kind == self.episode.kind]
        linked = [("previous", past) for past in before[-1:]] if not self.episode.folded else []
        linked += [("checkpoint", past) for past in stuck[-1:] if past.ended > opened]
        for kind, past in linked:
            facts = {"datarobot.link.type": kind, "datarobot.workload.episode.kind": past.kind}
            yield Link(bytes.fromhex(past.trace), bytes.fromhex(past.root), facts)

    # the root's facts

    def _facts(self) -> dict[str, Value]:
        workload, episode = self.state.workload, self.episode
        artifact = workload.artifact
        counted = [pod.ready for _, pod in self._pods()]
        unseen = episode.kind in ("start", "stop") and not episode.states
        told: dict[str, Value | None] = {
            "datarobot.workload.episode.kind": episode.kind,
            "datarobot.workload.episode.outcome": episode.outcome,
            "datarobot.workload.episode.cause": episode.cause or None,
            "datarobot.workload.episode.identity": "reported" if self.reported else "local",
            "datarobot.workload.episode.key": "/".join(self.key),
            "datarobot.workload.episode.folded": episode.folded or None,
            "datarobot.workload.episode.backfilled": episode.recalled or None,
            "datarobot.workload.status.from": episode.before or None,
            "datarobot.workload.status.to": episode.after or None,
            "datarobot.workload.states.unseen": True if unseen else None,
            "datarobot.workload.beginning.unseen": True
            if episode.opened.last is None and not _whole(episode)
            else None,
            "datarobot.workload.type": _enum(workload.type),
            "datarobot.workload.importance": _enum(workload.importance),
            "datarobot.artifact.id": workload.artifact_id,
            "datarobot.artifact.status": _enum(artifact.status) if artifact is not None else None,
            "datarobot.proton.id": episode.proton or None,
            "datarobot.replacement.id": episode.replacement or None,
            "datarobot.replacement.proton.candidate.id": episode.candidates if episode.kind == "replacement" else None,
            "datarobot.workload.replicas.known": len(counted) if counted else None,
            "datarobot.workload.replicas.ready": counted.count(True) if counted else None,
            "datarobot.clock.offset_ms": round(self.skew * 1000) if self.skew else None,
            "error.type": self._error_type() if self.failed else None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _error_type(self) -> str:
        """What failed, of a closed set: what was wrong with a container, else how the episode ended."""
        episode = self.episode
        if episode.outcome == "error":
            return "Flapping" if episode.folded else "Interrupted"
        ends = [run.reason for _, _, run in self._lives() if self._within(run.finished)]
        if "OOMKilled" in ends:
            return "OOMKilled"
        troubles = sorted(pod.trouble for _, pod in self._pods() if pod.trouble and not pod.ready)
        if troubles:
            return _type(troubles[0])
        if any(not pod.ready for _, pod in self._pods() if self._came(pod)):
            return "NotReady"
        if episode.kind == "replacement":
            return {"errored": "ReplacementErrored"}.get(episode.cause, "ReplacementReverted")
        return {"terminated": "Terminated", "flapping": "Flapping"}.get(episode.cause, "Errored")

    def _words(self) -> str:
        """What the platform says of the failure: the message of the last event that has one."""
        told = [event for event in self.tracker.events.values() if event.words and self._within(event.at)]
        latest = max(told, key=lambda event: event.at or 0.0, default=None)
        return latest.words if latest is not None else ""


_CHECKPOINT = "checkpoint"
_STATUS = ("datarobot.workload.status", "datarobot.replacement.status")
_PHASES = {
    "schedule": "Unschedulable",
    "init": "NotInitialized",
    "pull and start": "NotStarted",
    "readiness": "NotReady",
}
"""Phases of a pod before it receives traffic, and the name of each if it hangs without a reported reason."""


def _whole(episode: Episode) -> bool:
    return episode.kind in ("replacement", "deletion", "flapping") or episode.opened.told is not None


def _enum(text: str | None) -> str | None:
    return models.folded(text) if text else None


def _type(reason: str) -> str:
    return reason if reason and reason != "other" else "_OTHER"


def _ended(run: Run) -> dict[str, Value]:
    told: dict[str, Value] = {"k8s.container.name": run.container}
    if run.reason:
        told["k8s.container.status.last_terminated_reason"] = run.reason
    if run.exit_code is not None:
        told["process.exit.code"] = run.exit_code
    return told


def _event(event: ObservedEvent, name: str) -> SpanEvent:
    facts = {"datarobot.event.type": event.type, "datarobot.event.id": name}
    return SpanEvent("datarobot.workload.event", _ns(event.at or 0.0), facts)


def resource(state: WorkloadState, tracing: Tracing) -> Attributes:
    """The resource of a workload's traces: the same service as that of the traces which the workload itself sends."""
    workload = state.workload
    told = {
        "service.name": tracing.service_name.format(id=workload.id, name=workload.name or ""),
        "service.namespace": "datarobot",
        "datarobot.workload.id": workload.id,
        "datarobot.workload.name": workload.name or "",
    }
    return {**tracing.attributes, **_clean(told), "datarobot.host": tracing.host}


# -- what is made when


def settled(
    state: WorkloadState, now: float, previous: float | None, tracing: Tracing | None, skew: float = 0.0
) -> tuple[WorkloadState, tuple[EpisodeTrace, ...]]:
    """The workload after its settled episodes were taken from it, and what they became, traces where `tracing` says so.

    `now`: the complete sweep that has just ended, `previous` the one before, by our clock; `skew`: how far the API's
    clock is ahead of it. The result is what must be kept together: the same episode is never made twice.
    """
    tracker, episodes = book.due(state.ledger.tracker, now, previous)
    made: list[EpisodeTrace] = []
    for each in sorted(episodes, key=lambda episode: (episode.opened.at, episode.kind)):
        if each.cause == "crashed":
            if tracing is None or not tracing.crashes:
                continue
            tracker, admitted = book.admission(tracker, each)
            if not admitted:
                continue
        maker = _Maker(state, tracker, each, tracing or _NOWHERE, skew)
        trace = maker.made() if tracing is not None and _wanted(each, maker, tracing) else None
        outcome = "recalled" if each.recalled else each.outcome
        made.append(EpisodeTrace(each.kind, outcome, (maker.end.ns - maker.start.ns) / 1e9, trace, maker.trace))
        tracker = msgspec.structs.replace(tracker, past=(*tracker.past, maker.past(sent=trace is not None)))
        tracker = book.numbered(tracker, maker.counted) if maker.counted else tracker
    if episodes:
        tracker = book.remembered(tracker, (), now)
    if tracker.late:
        tracker, more = _late(state, tracker, tracing)
        made.extend(more)
    if tracing is not None and tracing.checkpoint_after:
        tracker, more = _checkpoints(state, tracker, now, tracing, skew)
        made.extend(more)
    if tracker == state.ledger.tracker:
        return state, ()
    return state._replace(ledger=msgspec.structs.replace(state.ledger, tracker=tracker)), tuple(made)


_NOWHERE = Tracing("")


def _wanted(episode: Episode, maker: _Maker, tracing: Tracing) -> bool:
    if not any(_selected(kind, maker.state, tracing) for kind in episode.kinds or (episode.kind,)):
        return False
    if maker.failed or episode.outcome == "timeout":
        return True
    short = episode.kind == "start" and maker.end.ns - maker.start.ns < _ns(tracing.min_duration)
    return not short and sampled(maker.trace, tracing.ratio)


def _selected(kind: str, state: WorkloadState, tracing: Tracing) -> bool:
    important = not tracing.importance or models.folded(state.workload.importance) in tracing.importance
    return important and (kind in tracing.kinds or kind == "flapping")


def sampled(trace: bytes, ratio: float) -> bool:
    """Whether a trace is among the share that is made, by its last 56 bits, so that exporters agree (W3C level 2)."""
    return int.from_bytes(trace[-7:], "big") >= (1.0 - ratio) * (1 << 56)


def _late(
    state: WorkloadState, tracker: EpisodeTracker, tracing: Tracing | None
) -> tuple[EpisodeTracker, list[EpisodeTrace]]:
    """Data recorded within an episode but reported after its trace was made: a span of its own under the same root."""
    made: list[EpisodeTrace] = []
    past = list(tracker.past)
    for i, event in sorted(tracker.late.items()):
        for place, each in enumerate(past):
            if (
                not each.sent
                or each.key == _CHECKPOINT
                or event.at is None
                or not each.opened <= event.at <= each.ended
                or each.late >= book.LATE
            ):
                continue
            past[place] = msgspec.structs.replace(each, late=each.late + 1)
            trace, root = bytes.fromhex(each.trace), bytes.fromhex(each.root)
            told = _event(event, i)
            span = Span(
                span_id(trace, "late", i), root, "late event", told.at, told.at,
                {**told.attributes, "datarobot.late": True, **_timed(*[_When(told.at, "reported", 0)] * 2)},
            )  # fmt: skip
            if tracing is not None and _selected(each.kind, state, tracing):
                whole = Trace(trace, resource(state, tracing), (_fit(span),))
                made.append(EpisodeTrace(each.kind, "late", 0.0, whole, trace + span.id))
    return msgspec.structs.replace(tracker, late={}, past=tuple(past)), made


def _checkpoints(
    state: WorkloadState, tracker: EpisodeTracker, now: float, tracing: Tracing, skew: float
) -> tuple[EpisodeTracker, list[EpisodeTrace]]:
    """A trace of what is known so far of an episode that takes long, under an id of its own.

    It is numbered by how long the episode has taken, so that after a time without us only the newest is made. Only the
    last one is remembered, which leads to the one before.
    """
    made: list[EpisodeTrace] = []
    for place in ("life", "rollout"):
        episode: Episode | None = getattr(tracker, place)
        number = int((now - episode.opened.at) // tracing.checkpoint_after) if episode is not None else 0
        if episode is None or number <= episode.checkpoints:
            continue
        counted = msgspec.structs.replace(episode, checkpoints=number)
        stuck = msgspec.structs.replace(counted, ended=Mark(now, now), outcome="timeout", cause=_CHECKPOINT)
        maker = _Maker(state, tracker, stuck, tracing, skew)
        tracker = msgspec.structs.replace(tracker, **{place: counted})
        if _selected(episode.kind, state, tracing):
            made.append(EpisodeTrace(episode.kind, _CHECKPOINT, 0.0, maker.made(), maker.trace))
            others = tuple(past for past in tracker.past if (past.key, past.kind) != (_CHECKPOINT, episode.kind))
            tracker = book.remembered(msgspec.structs.replace(tracker, past=others), (maker.past(sent=True),), now)
    return tracker, made


def in_progress(state: WorkloadState, tracing: Tracing) -> Iterator[Mapping[str, str | float]]:
    """The episodes of a workload that have no trace yet: since when, and the id of the trace to come, if known.

    What a start is known by, or a failure of what never ran, is sure only when the trace is made; and which number an
    episode will have, when those of its kind before it have theirs.
    """
    tracker = state.ledger.tracker
    for episode in (*tracker.episodes, *tracker.over):
        if episode.cause == "crashed" and not tracing.crashes:
            continue
        key, reported = identity(tracker, episode)
        sure = episode.kind in ("replacement", "deletion") or bool(episode.since)
        before = [each for each in tracker.over if each is not episode and each.cause != "crashed"]
        known = reported and sure and episode.kind not in {each.kind for each in before}
        key, _ = _numbered(tracker, episode, key, reported=reported)
        trace = trace_id(tracing.host, state.workload.id, episode.kind, key)
        yield {
            "workload_id": state.workload.id,
            "kind": episode.kind,
            "since": episode.opened.at,
            "status": episode.states[-1].status if episode.states else "",
            "trace_id": trace.hex() if known else "",
        }
