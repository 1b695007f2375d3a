"""Which episodes become traces, and when: (workload state, time, settings) -> workload state, traces.

Every span has the source of its times: `reported` by the API, or `observed` in a sweep, with the possible error. ERROR
means that the platform or a container failed; otherwise the status is unset. Attributes follow the OpenTelemetry
semantic conventions where one exists, else ``datarobot.*``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from exporter.api import models
from exporter.fleet import episodes
from exporter.fleet.episodes import MAX_LATE, Episode, EpisodeTracker, Mark
from exporter.fleet.history import episode_entry, with_entry
from exporter.fleet.workload_state import WorkloadState
from exporter.tracing.builder import CHECKPOINT, TraceBuilder, Tracing, resource, sanitized, span_event
from exporter.tracing.identity import identity, numbered, span_id, trace_id
from exporter.tracing.times import SpanTime, time_attributes, to_ns
from exporter.tracing.trace import Span, Trace

_NO_TRACING = Tracing("")


class EpisodeTrace(NamedTuple):
    """An ended episode. `trace` None: the settings exclude it. `seconds`: its duration."""

    kind: str
    outcome: str
    seconds: float
    trace: Trace | None = None
    key: bytes = b""
    """The identity of the trace: the same key means the same trace."""


def settled(
    state: WorkloadState, now: float, previous: float | None, tracing: Tracing | None, skew: float = 0.0
) -> tuple[WorkloadState, tuple[EpisodeTrace, ...]]:
    """The workload state without its settled episodes, and these episodes, with traces if `tracing` includes them.

    `now`: end of the last complete sweep, `previous`: end of the one before, by the local clock. `skew`: seconds that
    the API's clock is ahead of it. State and traces must be stored together, so that no episode is reported twice.
    """
    tracker, due = episodes.due(state.ledger.tracker, now, previous)
    made: list[EpisodeTrace] = []
    history = state.ledger.history
    for each in sorted(due, key=lambda episode: (episode.opened.at, episode.kind)):
        history = with_entry(history, episode_entry(each, state.ahead), now)
        if each.cause == "crashed":
            if tracing is None or not tracing.crashes:
                continue
            tracker, admitted = episodes.admission(tracker, each)
            if not admitted:
                continue
        builder = TraceBuilder(state, tracker, each, tracing or _NO_TRACING, skew)
        trace = builder.build() if tracing is not None and _wanted(each, builder, tracing) else None
        outcome = "recalled" if each.recalled else each.outcome
        made.append(EpisodeTrace(each.kind, outcome, builder.duration_ns / 1e9, trace, builder.trace))
        tracker = msgspec.structs.replace(tracker, past=(*tracker.past, builder.past(sent=trace is not None)))
        tracker = episodes.numbered(tracker, builder.counted) if builder.counted else tracker
    if due:
        tracker = episodes.remembered(tracker, (), now)
    if tracker.late:
        tracker, more = _late(state, tracker, tracing)
        made.extend(more)
    if tracing is not None and tracing.checkpoint_after:
        tracker, more = _checkpoints(state, tracker, now, tracing, skew)
        made.extend(more)
    if tracker == state.ledger.tracker:
        return state, ()
    return state._replace(ledger=msgspec.structs.replace(state.ledger, tracker=tracker, history=history)), tuple(made)


def _wanted(episode: Episode, builder: TraceBuilder, tracing: Tracing) -> bool:
    if not any(_selected(kind, builder.state, tracing) for kind in episode.kinds or (episode.kind,)):
        return False
    if builder.evidence.failed or episode.outcome == "timeout":
        return True
    short = episode.kind == "start" and builder.duration_ns < to_ns(tracing.min_duration)
    return not short and sampled(builder.trace, tracing.ratio)


def _selected(kind: str, state: WorkloadState, tracing: Tracing) -> bool:
    important = not tracing.importance or models.folded(state.workload.importance) in tracing.importance
    return important and (kind in tracing.kinds or kind == "flapping")


def sampled(trace: bytes, ratio: float) -> bool:
    """Whether a trace is sampled, by the last 56 bits of its id, so that all exporters agree (W3C trace context 2)."""
    return int.from_bytes(trace[-7:], "big") >= (1.0 - ratio) * (1 << 56)


def _late(
    state: WorkloadState, tracker: EpisodeTracker, tracing: Tracing | None
) -> tuple[EpisodeTracker, list[EpisodeTrace]]:
    """Events within an episode that were reported after its trace was made: each becomes a span under the same root."""
    made: list[EpisodeTrace] = []
    past = list(tracker.past)
    for i, event in sorted(tracker.late.items()):
        for place, each in enumerate(past):
            if (
                not each.sent
                or each.key == CHECKPOINT
                or event.at is None
                or not each.opened <= event.at <= each.ended
                or each.late >= MAX_LATE
            ):
                continue
            past[place] = msgspec.structs.replace(each, late=each.late + 1)
            trace, root = bytes.fromhex(each.trace), bytes.fromhex(each.root)
            late = span_event(event, i)
            span = Span(
                span_id(trace, "late", i), root, "late event", late.at, late.at,
                {**late.attributes, "datarobot.late": True, **time_attributes(*[SpanTime(late.at, "reported", 0)] * 2)},
            )  # fmt: skip
            if tracing is not None and _selected(each.kind, state, tracing):
                whole = Trace(trace, resource(state, tracing), (sanitized(span),))
                made.append(EpisodeTrace(each.kind, "late", 0.0, whole, trace + span.id))
    return msgspec.structs.replace(tracker, late={}, past=tuple(past)), made


def _checkpoints(
    state: WorkloadState, tracker: EpisodeTracker, now: float, tracing: Tracing, skew: float
) -> tuple[EpisodeTracker, list[EpisodeTrace]]:
    """Traces of what is known so far of long episodes, each with an id of its own.

    Checkpoints are numbered by the age of the episode, so that only the newest is made after a time without sweeps.
    Only the last one is remembered; it links to the one before.
    """
    made: list[EpisodeTrace] = []
    for place in ("life", "rollout"):
        episode: Episode | None = getattr(tracker, place)
        number = int((now - episode.opened.at) // tracing.checkpoint_after) if episode is not None else 0
        if episode is None or number <= episode.checkpoints:
            continue
        counted = msgspec.structs.replace(episode, checkpoints=number)
        stuck = msgspec.structs.replace(counted, ended=Mark(now, now), outcome="timeout", cause=CHECKPOINT)
        builder = TraceBuilder(state, tracker, stuck, tracing, skew)
        tracker = msgspec.structs.replace(tracker, **{place: counted})
        if _selected(episode.kind, state, tracing):
            made.append(EpisodeTrace(episode.kind, CHECKPOINT, 0.0, builder.build(), builder.trace))
            others = tuple(past for past in tracker.past if (past.key, past.kind) != (CHECKPOINT, episode.kind))
            tracker = msgspec.structs.replace(tracker, past=others)
            tracker = episodes.remembered(tracker, (builder.past(sent=True),), now)
    return tracker, made


def in_progress(state: WorkloadState, tracing: Tracing) -> Iterator[Mapping[str, str | float]]:
    """The episodes of a workload that have no trace yet: since when, and the id of the future trace if it is certain.

    It is not if the key may still change: that of a start, or of a failure before any run; nor while an earlier episode
    of the same kind has no number yet.
    """
    tracker = state.ledger.tracker
    for episode in (*tracker.episodes, *tracker.over):
        if episode.cause == "crashed" and not tracing.crashes:
            continue
        key, reported = identity(tracker, episode)
        final = episode.kind in ("replacement", "deletion") or bool(episode.since)
        before = [each for each in tracker.over if each is not episode and each.cause != "crashed"]
        known = reported and final and episode.kind not in {each.kind for each in before}
        key, _ = numbered(tracker, episode, key, reported=reported)
        trace = trace_id(tracing.host, state.workload.id, episode.kind, key)
        yield {
            "workload_id": state.workload.id,
            "kind": episode.kind,
            "since": episode.opened.at,
            "status": episode.states[-1].status if episode.states else "",
            "trace_id": trace.hex() if known else "",
        }
