"""The texts of a diagnosis, in the same words: `evidence` for pages, `text` for terminals, `as_json` for scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from exporter.api.details import LogRecord
from exporter.api.models import timestamp
from exporter.diagnosis.diagnosis import Diagnosis
from exporter.diagnosis.facts import (
    CHANGES,
    IN_PROGRESS,
    LISTED_SECONDS,
    MIN_REQUESTS,
    MOST_ERRORS,
    NO_REASON,
    ONLY_ERRORS,
    PARTS,
    SOME_ERRORS,
    Change,
    ContainerProblem,
    Facts,
    SchedulingProblem,
)
from exporter.diagnosis.fleet_table import lasted
from exporter.diagnosis.log_signs import sign_words
from exporter.diagnosis.phrases import MAX_EVIDENCE_CHARACTERS, bounded, clock, cut, percent, utc, when
from exporter.masking import scrubbed
from exporter.timestamps import rfc3339

MAX_LOG_CHARACTERS = 200


def _state_text(facts: Facts) -> str:
    state, now = facts.state, facts.at
    if facts.gone:
        since = f" since {clock(state.since, now)} ({lasted(now - state.since)})" if state.since is not None else ""
        text = f"no longer listed{since}; {_GONE[facts.gone]}"
    elif state.since is None:
        text = f"{state.status}; start time unknown"
    elif state.longer:
        observed = f"{clock(state.since, now)}, when it was first observed ({lasted(now - state.since)} ago)"
        text = f"{state.status} since before {observed}"
    else:
        text = f"{state.status} since {clock(state.since, now)} ({lasted(now - state.since)})"
    return text + (f"; {state.failures} failures observed" if state.failures > 1 else "")


_GONE = {
    "not_found": "the API responds with 404",
    "forbidden": "the API responds with 403",
    "found": "the API still finds it (200)",
    "unknown": "reason unknown",
}


def _serves(facts: Facts) -> str:
    """Whether it serves requests, as far as is known, and how well."""
    replicas, requests = facts.replicas, facts.requests
    if facts.gone:
        return "unknown"
    if replicas.zero:
        return "yes, on request"
    if replicas.ready is None or replicas.live is None:
        return "unknown"
    if not replicas.ready:
        if replicas.unknown:
            return "unknown"
        return "not yet" if facts.state.group == "starting" and facts.down is None else "no"
    errors = 0.0
    if requests is not None and requests.total >= MIN_REQUESTS:
        errors = requests.server_errors or 0.0
    if errors >= SOME_ERRORS:
        how = "no" if errors >= ONLY_ERRORS else "barely" if errors >= MOST_ERRORS else "mostly"
        return f"{how}, {percent(errors)} of requests get a server error"
    return "partly" if replicas.ready < max(replicas.live, replicas.least or 0) else "yes"


def _serving_text(facts: Facts) -> str:
    if facts.gone:
        return _serves(facts)
    return f"{_serves(facts)} ({_replica_text(facts)})"


def _replica_text(facts: Facts) -> str:
    replicas = facts.replicas
    desired = "desired number unknown" if replicas.least is None else f"{replicas.least} desired"
    if replicas.least is not None and replicas.most is not None and replicas.most != replicas.least:
        desired = f"{replicas.least} to {replicas.most} desired"
    if replicas.zero:
        return f"scaled to zero because there are no requests, which is normal; {desired}"
    if replicas.ready is None or replicas.live is None:
        return f"ready replicas not reported; {desired}"
    if not replicas.live:
        off = facts.state.status in ("stopped", "suspended", "terminated")
        return f"no replicas, as expected while {facts.state.status}" if off else f"no live pods; {desired}"
    text = f"{replicas.ready} of {replicas.live} replicas ready"
    text += _down_text(facts)
    if not replicas.live == replicas.least == replicas.most:
        text += f"; {desired}"
    return text + (f"; readiness of {replicas.unknown} unknown" if replicas.unknown else "")


def _down_text(facts: Facts) -> str:
    """Since when no replica is ready, if that is known."""
    down, replicas = facts.down, facts.replicas
    if down is None or down > facts.at or replicas.ready or replicas.unknown:
        return ""
    at, seconds = clock(down, facts.at), facts.at - down
    if facts.served:
        return f", none for {lasted(seconds)}, since {at}"
    return f", none since before {at}" if seconds >= 60 else ""


_ROLES = {
    "candidate": " of the new version",
    "reverted": " of the rolled-back version",
    "serving": " of another serving version",
    "other": " of another version",
}


def _container_text(one: ContainerProblem, now: float) -> str:
    parts = []
    since = f" (for {lasted(now - one.since)})" if one.since is not None and one.since <= now else ""
    if one.waits:
        parts.append("waiting (no reason reported)" if one.waits == NO_REASON else f"waiting with {one.waits}")
        parts += [f"image {one.image}"] if one.image else []
    elif one.cut_off:
        then, now_not = (
            ("when its node last reported it", "the pod is not ready")
            if one.pods == 1
            else ("when their nodes last reported it", "the pods are not ready")
        )
        parts.append(f"ready {then}, but {now_not}{since}")
    elif one.ready is False:
        running = "" if one.ended else "running but "
        parts.append(f"{running}{'no longer ready' if one.lost else 'not ready'}{since}")
    if one.ended or one.code is not None:
        code = f" with exit code {one.code}" if one.code is not None else ""
        when = f" {lasted(now - one.at)} ago" if one.at is not None and one.at <= now else ""
        parts.append(f"last terminated{code}{f' ({one.ended})' if one.ended else ''}{when}")
    parts += [f"{one.restarts} restarts" if one.restarts > 1 else "1 restart"] if one.restarts else []
    parts += [f"message: {one.message}"] if one.message else []
    pods = f" ({one.pods} pods)" if one.pods > 1 else f" (pod {one.pod})" if one.pod else ""
    return f"{one.container or 'a container'}{_ROLES.get(one.role, '')}{pods}: {', '.join(parts)}"


def _scheduling_text(problem: SchedulingProblem) -> str:
    resources = {
        "gpu": "has a free GPU",
        "cpu": "has enough CPU",
        "memory": "has enough memory",
        "volume": "can attach the volume",
    }
    pods = ("1 pod" if problem.pods == 1 else f"{problem.pods} pods") + _ROLES.get(problem.role, "")
    text = f"{pods}: no node {resources.get(problem.lacks, 'accepts it' if problem.pods == 1 else 'accepts them')}"
    return text + (f": {problem.message}" if problem.message else "")


def _change_text(change: Change, now: float) -> str:
    status = f" ({change.status})" if change.status else ""
    if change.at is None:
        return f"{CHANGES[change.kind]}{status} (time unknown)"
    return f"{CHANGES[change.kind]}{status} {'since' if change.kind in IN_PROGRESS else 'at'} {when(change.at, now)}"


def _is_shown(change: Change, now: float) -> bool:
    return change.at is None or now - change.at < LISTED_SECONDS


def _request_text(facts: Facts) -> str:
    requests = facts.requests
    if requests is None:
        return ""
    window = f"in the 5 min before {clock(requests.end, facts.at)}"
    if not requests.total:
        return f"none {window}"
    parts = [f"{requests.total:.0f} {window}"]
    if requests.server_errors is not None:
        hour = f"; 1 h: {percent(requests.hour)}" if requests.hour is not None else ""
        parts.append(f"{percent(requests.server_errors)} server errors (5xx{hour})")
    if requests.client_errors:
        parts.append(f"{percent(requests.client_errors)} client errors (4xx)")
    if requests.slow:
        parts.append(f"{percent(requests.slow)} slow")
    if requests.p95 is not None:
        parts.append(f"95% within {requests.p95:.2f} s" if requests.p95 < 10 else f"95% within {requests.p95:.0f} s")
    return ", ".join(parts)


_TITLES = {"requests": "Use", "size": "Use", "errors": "Error budget"}
"""Kind of a limit -> title of its text; otherwise ``Limits``."""


def _limit_text(facts: Facts, title: str) -> str:
    limits = [text for kind, text in facts.limits if _TITLES.get(kind, "Limits") == title]
    if title == "Limits" and facts.draft_ends is not None:
        limits.append(f"a draft, which the platform stops at {when(facts.draft_ends, facts.at)}")
    return "; ".join(limits)


def _event_text(facts: Facts) -> str:
    event = facts.event
    if event is None:
        return ""
    return f"{event.type}: {when(event.at, facts.at)}" + (f": {event.message}" if event.message else "")


def _unknown_text(facts: Facts) -> str:
    """The unknown parts, grouped by reason."""
    parts_by_reason: dict[str, list[str]] = {}
    for part, reason in facts.unknown.items():
        parts_by_reason.setdefault(reason, []).append(PARTS.get(part, part))
    return bounded(f"{', '.join(parts)}: {reason}" for reason, parts in parts_by_reason.items())


def titled_texts(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Titles and texts, most relevant first: the cause, since when, what is affected, what to do, and then the details.
    Those with an empty text are not shown.
    """
    facts = diagnosis.facts
    yield "Likely cause", diagnosis.cause.text
    yield "State", _state_text(facts)
    yield "Serving", _serving_text(facts)
    yield "Next step", diagnosis.cause.next_step
    yield "Log shows", sign_words(diagnosis.log_signs, facts.at)
    yield "Owner", facts.owner_text
    yield "Containers", bounded(_container_text(problem, facts.at) for problem in facts.containers)
    yield "Unschedulable", bounded(map(_scheduling_text, facts.unschedulable))
    changes = [_change_text(change, facts.at) for change in facts.changes[:3] if _is_shown(change, facts.at)]
    unread = "events" in facts.unknown
    none = "unknown: the events could not be read" if unread else "none reported in the last 7 days"
    yield "Changes", "; ".join(changes) or none
    yield "Last event", _event_text(facts)
    yield "Requests", _request_text(facts)
    for title in ("Error budget", "Limits", "Use"):
        yield title, _limit_text(facts, title)
    yield "Unknown", _unknown_text(facts)
    met = ", ".join(f"{alert.alert} ({alert.severity})" for alert in facts.alerts)
    yield "Conditions", met + (f"; importance {facts.importance}" if met and facts.importance else "")


def evidence(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    """The evidence of a page: at most sixteen pairs of a title and a text, which is cut to 300 characters."""
    return tuple((title, cut(text, MAX_EVIDENCE_CHARACTERS)) for title, text in titled_texts(diagnosis) if text)


def log_words(records: Sequence[LogRecord]) -> str:
    """Log lines, oldest first: masked, and at most 200 characters each. `records` are newest first."""
    lines = [_log_line(record) for record in reversed(records) if record.text]
    return "\n".join(lines) if lines else "no lines found; not every cluster collects logs"


def _log_line(record: LogRecord) -> str:
    at = timestamp(record.timestamp)
    time = "" if at is None else f"{utc(at):%H:%M:%S} "
    return cut(scrubbed(f"{time}{record.level or ''} {record.text}"), MAX_LOG_CHARACTERS)


_COLOURS = {"critical": "1;31", "warning": "1;33"}


def text(diagnosis: Diagnosis, colour: bool = False) -> str:
    """Text for a terminal of 80 columns, headline first. Only lines with URLs may be longer."""

    def painted(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text

    facts, replicas = diagnosis.facts, diagnosis.facts.replicas
    total = max(replicas.live or 0, replicas.least or 0) if facts.state.group != "off" else 0
    ready = f", {replicas.ready} of {total} ready" if replicas.ready is not None and total else ""
    ready += f", readiness of {replicas.unknown} unknown" if ready and replicas.unknown else ""
    headline = cut(f"{facts.name}: {facts.state.status}{ready} [{diagnosis.severity or 'no alert'}]", 80)
    subject = f"{facts.id}, account {facts.account}, importance {facts.importance}"
    lines = [
        painted(headline, _COLOURS.get(diagnosis.severity, "1")),
        *textwrap.wrap(subject, 80),
        f"as of {utc(facts.at):%Y-%m-%d %H:%M:%S} UTC",
        "",
    ]
    for title, content in titled_texts(diagnosis):
        first, *rest = textwrap.wrap(content, 80 - 14) or [""]
        if first:
            lines += [painted(f"{title:<14}", "1") + first, *(" " * 14 + line for line in rest)]
    if diagnosis.log:
        lines += ["", painted("Log", "1"), *(f"  {line}" for line in diagnosis.log.splitlines())]
    if diagnosis.links:
        lines += ["", *(painted(f"{title}:", "1") + f" {url}" for title, url in diagnosis.links)]
    return "\n".join(lines) + "\n"


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The same for scripts, with stable keys. Times are RFC 3339; null: not reported."""
    facts = diagnosis.facts
    event, requests = facts.event, facts.requests
    return {
        "account": facts.account,
        "workload_id": facts.id,
        "workload": facts.name,
        "importance": facts.importance,
        "owner": facts.owner or None,
        "at": _stamp(facts.at),
        "severity": diagnosis.severity or None,
        "likely_cause": {"name": diagnosis.cause.name, "text": diagnosis.cause.text},
        "next_step": diagnosis.cause.next_step,
        "state": {
            "status": facts.state.status,
            "group": facts.state.group,
            "since": _stamp(facts.state.since),
            "longer_than_known": facts.state.longer,
            "failures": facts.state.failures,
        },
        "serves": _serves(facts).partition(",")[0],
        "replicas": {
            **{name: getattr(facts.replicas, name) for name in ("ready", "unknown", "live", "least", "most")},
            "scaled_to_zero": facts.replicas.zero,
        },
        "containers": [
            {
                "container": one.container,
                "version": one.role,
                "waits": one.waits or None,
                "ready": one.ready,
                "last_end": {"reason": one.ended or None, "exit_code": one.code, "at": _stamp(one.at)},
                "restarts": one.restarts,
                "pods": one.pods,
                "pod": one.pod or None,
                "not_ready_since": _stamp(one.since),
                "was_ready": one.lost,
                "message": one.message,
            }
            for one in facts.containers
        ],
        "unschedulable": [
            {"version": one.role, "lacks": one.lacks, "pods": one.pods, "message": one.message}
            for one in facts.unschedulable
        ],
        "last_event": None if event is None else {"type": event.type, "at": _stamp(event.at), "message": event.message},
        "changes": [{"what": one.kind, "at": _stamp(one.at), "status": one.status or None} for one in facts.changes],
        "requests": None
        if requests is None
        else {
            "window": "5m",
            "end": _stamp(requests.end),
            "total": requests.total,
            "server_error_ratio": requests.server_errors,
            "client_error_ratio": requests.client_errors,
            "slow_ratio": requests.slow,
            "p95_seconds": requests.p95,
            "server_error_ratio_1h": requests.hour,
        },
        "limits": [{"kind": kind, "text": text} for kind, text in facts.limits],
        "draft_ends": _stamp(facts.draft_ends),
        "known": facts.known,
        "not_known": dict(facts.unknown),
        "unreadable": [
            {"version": one.role, "proton_id": one.proton or None, "reason": one.reason} for one in facts.unread
        ],
        "holds": [{"alert": each.alert, "severity": each.severity} for each in facts.alerts],
        "log_signs": [
            {"sign": sign.shows, "lines": sign.lines, "newest": _stamp(sign.newest)}
            for sign in diagnosis.log_signs.found
        ],
        "log": diagnosis.log.splitlines() or None,
        "links": [{"text": title, "url": url} for title, url in diagnosis.links],
    }


def _stamp(at: float | None) -> str | None:
    return None if at is None else rfc3339(at, "seconds")
