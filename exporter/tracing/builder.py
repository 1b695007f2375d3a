"""Builds the trace of one episode: (workload state, episode tracker, ended episode) -> spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from exporter.api import models
from exporter.fleet.episodes import EPISODE_KINDS, Episode, EpisodeTracker, ObservedEvent, Past, PodFacts, Run
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import MAX_INPUT, attribute
from exporter.tracing.evidence import Evidence, error_name
from exporter.tracing.identity import SLACK_SECONDS, count_key, identity, numbered, span_id, trace_id
from exporter.tracing.times import SpanTime, edge_of, reported_at, span_time, time_attributes, to_ns
from exporter.tracing.trace import Attributes, Link, Span, SpanEvent, Trace, Value

MAX_REPLICAS, MAX_SPAN_EVENTS = 16, 32
SHORTEST_NS = 1000
"""Shortest duration of a span, the resolution of all times: Jaeger reports a span without a duration as faulty."""
CHECKPOINT = "checkpoint"
_STATUS = ("datarobot.workload.status", "datarobot.replacement.status")
_PHASES = {
    "schedule": "Unschedulable",
    "init": "NotInitialized",
    "pull and start": "NotStarted",
    "readiness": "NotReady",
}
"""Phases of a pod before it receives traffic, and the error type of each if it hangs without a reported reason."""


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
    kinds: frozenset[str] = frozenset(EPISODE_KINDS)
    importance: frozenset[str] = frozenset()
    ratio: float = 1.0
    min_duration: float = 0.0
    crashes: bool = False
    checkpoint_after: float = 0.0
    backfill: float = 0.0


class TraceBuilder:
    """Builds the spans of one ended episode. `skew`: seconds that the API's clock is ahead of the local one."""

    def __init__(
        self, state: WorkloadState, tracker: EpisodeTracker, episode: Episode, tracing: Tracing, skew: float
    ) -> None:
        self.state, self.tracker, self.episode, self.tracing, self.skew = state, tracker, episode, tracing, skew
        self.evidence = Evidence(tracker, episode, skew)
        key, reported = identity(tracker, episode, skew)
        name = "|".join(key)
        self.counted = count_key(episode, key) if reported and episode.cause != "crashed" else ""
        self.key, self.reported = numbered(tracker, episode, key, reported=reported)
        if episode.cause == CHECKPOINT:
            self.key = (*self.key, CHECKPOINT, str(episode.checkpoints))
        self.trace = trace_id(tracing.host, state.workload.id, episode.kind, self.key)
        self.root = span_id(self.trace, "root")
        self._name = CHECKPOINT if episode.cause == CHECKPOINT else name

    @property
    def duration_ns(self) -> int:
        """Duration of the episode in nanoseconds."""
        return self.evidence.end.ns - self.evidence.start.ns

    def past(self, *, sent: bool) -> Past:
        """What is remembered of the episode. `sent`: whether its trace was made."""
        kind, ids = self.episode.kind, (self.trace.hex(), self.root.hex())
        start, end = self.evidence.start.ns / 1e9, self.evidence.end.ns / 1e9
        return Past(self._name, kind, *ids, start, end, sent=sent)

    def build(self) -> Trace:
        """The trace."""
        evidence = self.evidence
        children = [*self._states(), *self._replicas(), *self._runs()]
        begin = min(evidence.start.ns, *(span.start for span in children)) if children else evidence.start.ns
        end = max(evidence.end.ns, begin + SHORTEST_NS, *(span.end for span in children))
        # A child with reported times outside the observed ones widens the root: it is the root that is uncertain.
        start = evidence.start if begin == evidence.start.ns else SpanTime(begin, "derived", 0)
        widened = end > evidence.end.ns + SHORTEST_NS
        ended = SpanTime(end, "derived", 0) if widened else evidence.end._replace(ns=end)
        events, dropped = self._events()
        attributes = {**self._attributes(), **time_attributes(start, ended)}
        if dropped:
            attributes["datarobot.dropped.events"] = dropped
        hidden = len(evidence.shown_pods()) - MAX_REPLICAS
        if hidden > 0:
            attributes["datarobot.dropped.replicas"] = hidden
        error = evidence.message() if evidence.failed else None
        name = "workload " + self.episode.kind + (" (stuck)" if self.episode.cause == CHECKPOINT else "")
        root = Span(self.root, b"", name, begin, end, attributes, tuple(events), tuple(self._links()), error)
        return Trace(self.trace, resource(self.state, self.tracing), tuple(map(sanitized, (root, *children))))

    def _span(
        self, path: tuple[str, ...], name: str, start: SpanTime, end: SpanTime, attributes: Attributes,
        *, parent: bytes = b"", error: str | None = None,
    ) -> Span:  # fmt: skip
        if end.ns < start.ns + SHORTEST_NS:
            end = start._replace(ns=start.ns + SHORTEST_NS, source="derived" if end.ns < start.ns else end.source)
        return Span(
            span_id(self.trace, *path), parent or self.root, name, start.ns, end.ns,
            {**attributes, **time_attributes(start, end)}, error=error,
        )  # fmt: skip

    def _states(self) -> Iterator[Span]:
        states, counts, evidence = self.episode.states, dict[str, int](), self.evidence
        moments = [evidence.start, *(span_time(state.mark, (), self.skew) for state in states[1:]), evidence.end]
        for number, state in enumerate(states):
            counts[state.status] = counts.get(state.status, 0) + 1
            last = number == len(states) - 1
            failed = evidence.failed and last and self.episode.kind in ("failure", "start", "replacement")
            attributes: dict[str, Value] = {_STATUS[self.episode.kind == "replacement"]: state.status}
            if failed:
                attributes["error.type"] = evidence.error_type()
            path, error = ("state", state.status, str(counts[state.status])), "" if failed else None
            yield self._span(path, state.status, moments[number], moments[number + 1], attributes, error=error)

    def _replicas(self) -> Iterator[Span]:
        for name, pod in self.evidence.shown_pods()[:MAX_REPLICAS]:
            if not self.evidence.created_here(pod):
                continue
            phases = [*self._phases(name, pod)]
            attributes: dict[str, Value] = {"k8s.pod.name": name, "datarobot.proton.id": pod.proton}
            attributes["k8s.container.restart_count"] = pod.restarts
            if pod.problem:
                attributes["k8s.container.status.reason"] = pod.problem
            if pod.container:
                attributes["k8s.container.name"] = pod.container
            failed = self.evidence.failed and not pod.ready
            if failed:
                attributes["error.type"] = phases[-1].attributes.get("error.type", error_name(pod.problem))
            start, end = edge_of(phases[0], "start"), edge_of(phases[-1], "end")
            yield self._span(("replica", name), "replica", start, end, attributes, error="" if failed else None)
            yield from phases

    def _phases(self, name: str, pod: PodFacts) -> Iterator[Span]:
        """The phases of a pod as far as it got; an unfinished phase lasts until the end of the episode."""
        evidence = self.evidence
        parent = span_id(self.trace, "replica", name)
        created = next((at for at in (evidence.proton_created(pod.proton), pod.created) if evidence.within(at)), None)
        start = reported_at(created) if created is not None else evidence.start._replace(source="derived")
        true = pod.conditions
        ends = (true.get("PodScheduled"), true.get("Initialized"), pod.started, true.get("Ready"))
        for (phase, error_type), at in zip(_PHASES.items(), ends, strict=True):
            path = ("replica", name, phase)
            if at is None or to_ns(at) > evidence.end.ns + to_ns(SLACK_SECONDS):
                attributes: dict[str, Value] = {"datarobot.replica.phase.unfinished": True}
                if evidence.failed:
                    attributes["error.type"] = error_name(pod.problem or error_type)
                error = "" if evidence.failed else None
                yield self._span(path, phase, start, evidence.end, attributes, parent=parent, error=error)
                return
            end = SpanTime(max(to_ns(at), start.ns), "reported", 0)
            yield self._span(path, phase, start, end, {}, parent=parent)
            start = end

    def _runs(self) -> Iterator[Span]:
        for name, pod in self.evidence.shown_pods()[:MAX_REPLICAS]:
            for started, run in self.evidence.runs_within(pod):
                failed = run.exit_code != 0 if run.exit_code is not None else run.reason != "Completed"
                attributes = {"k8s.pod.name": name, "datarobot.proton.id": pod.proton, **_run_attributes(run)}
                if failed:
                    attributes["error.type"] = error_name(run.reason)
                start, end = reported_at(started), reported_at(run.finished)
                path, error = ("run", name, run.container, f"{run.finished:.3f}"), "" if failed else None
                yield self._span(path, "container run", start, end, attributes, error=error)

    def _events(self) -> tuple[list[SpanEvent], int]:
        """Events of the API within the episode, and terminations of containers that were started before it.

        The number is that of events left out.
        """
        evidence = self.evidence
        found = [span_event(event, i) for i, event in self.tracker.events.items() if evidence.within(event.at)]
        for name, _, run in evidence.runs():
            if evidence.within(run.finished) and not evidence.within(run.started):
                attributes = {"k8s.pod.name": name, **_run_attributes(run)}
                found.append(SpanEvent("datarobot.container.terminated", to_ns(run.finished), attributes))
        found.sort(key=lambda event: (event.at, event.name, str(event.attributes)))
        return found[:MAX_SPAN_EVENTS], max(0, len(found) - MAX_SPAN_EVENTS)

    def _links(self) -> Iterator[Link]:
        opened = self.episode.opened.at + self.skew
        sent = [past for past in self.tracker.past if past.sent and past.kind != "deletion"]
        before = [past for past in sent if past.key != CHECKPOINT and past.opened <= opened + SLACK_SECONDS]
        checkpoints = [past for past in sent if past.key == CHECKPOINT and past.kind == self.episode.kind]
        linked = [("previous", past) for past in before[-1:]] if not self.episode.folded else []
        linked += [("checkpoint", past) for past in checkpoints[-1:] if past.ended > opened]
        for kind, past in linked:
            attributes = {"datarobot.link.type": kind, "datarobot.workload.episode.kind": past.kind}
            yield Link(bytes.fromhex(past.trace), bytes.fromhex(past.root), attributes)

    def _attributes(self) -> dict[str, Value]:
        """The attributes of the root, except for those of its times."""
        workload, episode = self.state.workload, self.episode
        artifact = workload.artifact
        ready = [pod.ready for _, pod in self.evidence.pods()]
        unobserved = episode.kind in ("start", "stop") and not episode.states
        unknown_start = episode.opened.last is None and not _start_known(episode)
        found: dict[str, Value | None] = {
            "datarobot.workload.episode.kind": episode.kind,
            "datarobot.workload.episode.outcome": episode.outcome,
            "datarobot.workload.episode.cause": episode.cause or None,
            "datarobot.workload.episode.identity": "reported" if self.reported else "local",
            "datarobot.workload.episode.key": "/".join(self.key),
            "datarobot.workload.episode.folded": episode.folded or None,
            "datarobot.workload.episode.backfilled": episode.recalled or None,
            "datarobot.workload.status.from": episode.before or None,
            "datarobot.workload.status.to": episode.after or None,
            "datarobot.workload.states.unseen": True if unobserved else None,
            "datarobot.workload.beginning.unseen": True if unknown_start else None,
            "datarobot.workload.type": _enum(workload.type),
            "datarobot.workload.importance": _enum(workload.importance),
            "datarobot.artifact.id": workload.artifact_id,
            "datarobot.artifact.status": _enum(artifact.status) if artifact is not None else None,
            "datarobot.proton.id": episode.proton or None,
            "datarobot.replacement.id": episode.replacement or None,
            "datarobot.replacement.proton.candidate.id": episode.candidates if episode.kind == "replacement" else None,
            "datarobot.workload.replicas.known": len(ready) if ready else None,
            "datarobot.workload.replicas.ready": ready.count(True) if ready else None,
            "datarobot.clock.offset_ms": round(self.skew * 1000) if self.skew else None,
            "error.type": self.evidence.error_type() if self.evidence.failed else None,
        }
        return {name: value for name, value in found.items() if value is not None}


def _start_known(episode: Episode) -> bool:
    return episode.kind in ("replacement", "deletion", "flapping") or episode.opened.reported is not None


def _enum(text: str | None) -> str | None:
    return models.folded(text) if text else None


def _run_attributes(run: Run) -> dict[str, Value]:
    found: dict[str, Value] = {"k8s.container.name": run.container}
    if run.reason:
        found["k8s.container.status.last_terminated_reason"] = run.reason
    if run.exit_code is not None:
        found["process.exit.code"] = run.exit_code
    return found


def span_event(event: ObservedEvent, name: str) -> SpanEvent:
    """An event of the API as an event of a span; `name`: its id."""
    attributes = {"datarobot.event.type": event.type, "datarobot.event.id": name}
    return SpanEvent("datarobot.workload.event", to_ns(event.at or 0.0), attributes)


def resource(state: WorkloadState, tracing: Tracing) -> Attributes:
    """The resource of a workload's traces: the same service as that of the traces which the workload itself sends."""
    workload = state.workload
    attributes = {
        "service.name": tracing.service_name.format(id=workload.id, name=workload.name or ""),
        "service.namespace": "datarobot",
        "datarobot.workload.id": workload.id,
        "datarobot.workload.name": workload.name or "",
    }
    return {**tracing.attributes, **_masked(attributes), "datarobot.host": tracing.host}


def sanitized(span: Span) -> Span:
    """A span as it may be sent: its texts are masked and cut (see `exporter.masking`)."""
    return span._replace(
        name=attribute("", span.name) or "unknown",
        attributes=_masked(span.attributes),
        events=tuple(event._replace(attributes=_masked(event.attributes)) for event in span.events),
        error=None if span.error is None else attribute("", span.error),
    )


def _masked(attributes: Attributes) -> dict[str, Value]:
    def masked(name: str, value: Value) -> Value:
        if isinstance(value, tuple):
            return tuple(attribute(name, each[:MAX_INPUT]) for each in value)
        return attribute(name, value[:MAX_INPUT]) if isinstance(value, str) else value

    return {name: masked(name, value) for name, value in attributes.items()}
