"""What happened to a workload since its ledger was last written, as log records.

A record is made once: with the ledger that contains what it says, it is written in one transaction. Texts are masked as
those of traces are (see `exporter.masking`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from exporter.fleet.episodes import MAX_SETTLE_SECONDS
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import MAX_INPUT, attribute
from exporter.tracing.builder import Tracing, resource
from exporter.tracing.episode_traces import in_progress, sampled
from exporter.tracing.identity import SLACK_SECONDS, digest
from exporter.tracing.times import to_ns
from exporter.tracing.trace import Attributes, Value

Severity = Literal["INFO", "WARN", "ERROR"]
_TRANSITIONS: dict[str, Severity] = {
    "errored": "ERROR", "interrupted": "ERROR", "terminated": "ERROR", "reverted": "ERROR",
    "vanished": "WARN", "draft_expired": "WARN",
}  # fmt: skip
"""Severities of transitions; all others are information."""
_ALERTS: dict[str, Severity] = {"critical": "ERROR", "warning": "WARN"}


class Logging(NamedTuple):
    """Settings. `tracing`: the resource and ids of the workload's traces; `traced`: whether these are sent.

    `kinds`: what becomes a record.
    """

    tracing: Tracing
    kinds: frozenset[str]
    traced: bool = False


class EventRecord(NamedTuple):
    """One record of the OpenTelemetry log data model. Times are in nanoseconds since the epoch; trace ids may be empty.

    `uid` identifies what happened: the same for all records of it.
    """

    uid: bytes
    name: str
    at: int
    observed: int
    severity: Severity
    body: str
    attributes: Attributes
    trace: bytes = b""
    span: bytes = b""


class WorkloadLog(NamedTuple):
    """Records of one workload. `resource`: attributes of the workload, as of its traces."""

    resource: Attributes
    records: tuple[EventRecord, ...]


class _Happening(NamedTuple):
    kind: str
    name: str
    text: str
    at: float
    severity: Severity
    attributes: dict[str, Value]


def log_of(before: Ledger | None, state: WorkloadState, now: float, logging: Logging) -> WorkloadLog | None:
    """What happened since `before`, the ledger that was last written; None if nothing did.

    `now`: the time of the observation, in seconds since the epoch. What was reported from before the first observation
    is not logged.
    """
    if before is not None and before.first != state.ledger.first:
        before = None  # the workload was forgotten
    found = [each for each in _happenings(before, state.ledger, now) if each.kind in logging.kinds]
    if not found:
        return None
    records = tuple(_record(each, state, now, logging) for each in found)
    return WorkloadLog(resource(state, logging.tracing), records)


def _happenings(before: Ledger | None, after: Ledger, now: float) -> Iterator[_Happening]:
    counted = before.transitions if before is not None else {}
    moved = before is None or (before.status, before.since) != (after.status, after.since)
    for name, count in after.transitions.items():
        if count > counted.get(name, 0):
            at = after.since if moved else now
            attributes: dict[str, Value] = {"datarobot.workload.status": after.status, "datarobot.count": count}
            yield _Happening("transition", name, f"workload {name}", at, _TRANSITIONS.get(name, "INFO"), attributes)
    known = frozenset(before.history) if before is not None else frozenset()
    for entry in after.history:
        if entry not in known and entry.at >= after.first:
            yield _of_history(entry)


def _of_history(entry: HistoryEntry) -> _Happening:
    more: dict[str, Value] = {"datarobot.count": entry.count}
    severity: Severity
    if entry.kind == "event":
        severity = "ERROR" if {"failed", "errored", "error"} & {*entry.name.lower().split()} else "INFO"
        text = f"{entry.name}: {entry.text}" if entry.text else entry.name
        return _Happening("event", entry.name, text, entry.at, severity, more)
    if entry.kind == "episode":
        text = f"workload {entry.name} ended: {entry.text}"
        severity = "ERROR" if entry.bad else "INFO"
    else:
        text = f"{entry.name} {'is firing' if entry.began is None else 'has ended'} ({entry.text})"
        severity = _ALERTS.get(entry.text, "INFO") if entry.began is None else "INFO"
    if entry.began is not None:
        more["datarobot.duration"] = entry.at - entry.began
    return _Happening(entry.kind, entry.name, text, entry.at, severity, more)


def _record(each: _Happening, state: WorkloadState, now: float, logging: Logging) -> EventRecord:
    workload, host = state.workload, logging.tracing.host
    uid = digest(16, "wx-log/1", host, workload.id, each.kind, each.name, f"{each.at:.3f}", str(each.attributes))
    own: dict[str, Value] = {
        "log.record.uid": uid.hex(),
        f"datarobot.{each.kind}.name": attribute("", each.name[:MAX_INPUT]),
        "datarobot.account": state.account,
        "datarobot.workload.importance": state.workload.importance or "unknown",
    }
    trace, span = _ids(each, state, logging) if logging.traced else (b"", b"")
    body = attribute("", each.text[:MAX_INPUT])
    times = to_ns(each.at), to_ns(now)
    name = f"datarobot.workload.{each.kind}"
    return EventRecord(uid, name, *times, each.severity, body, own | each.attributes, trace, span)


def _ids(each: _Happening, state: WorkloadState, logging: Logging) -> tuple[bytes, bytes]:
    """The ids of the trace of the episode that it is, or in which it happened, and of its root span; empty: none."""
    at = each.at + state.ahead
    sent = [past for past in reversed(state.ledger.tracker.past) if past.sent]
    if each.kind == "episode":  # its times are those of its observation, that of the trace may be reported ones
        sent.sort(key=lambda past: (past.kind != each.name, abs(past.ended - at)))
        if sent and sent[0].kind == each.name and abs(sent[0].ended - at) <= MAX_SETTLE_SECONDS:
            return bytes.fromhex(sent[0].trace), bytes.fromhex(sent[0].root)
    for past in sent:
        if past.opened - SLACK_SECONDS <= at <= past.ended + SLACK_SECONDS:
            return bytes.fromhex(past.trace), bytes.fromhex(past.root)
    for episode in in_progress(state, logging.tracing):
        trace = bytes.fromhex(str(episode["trace_id"]))
        if trace and float(episode["since"]) - SLACK_SECONDS <= each.at and sampled(trace, logging.tracing.ratio):
            return trace, b""
    return b"", b""
