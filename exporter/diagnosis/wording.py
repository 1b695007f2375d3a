"""A diagnosis in words: `evidence` for a page, `text` for a terminal, `as_json` for a script. The same words in all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.api.details import LogRecord
from exporter.api.models import timestamp
from exporter.diagnosis.causes import (
    CHANGES,
    FEWEST,
    MOST_ERRORS,
    NO_REASON,
    PARTS,
    SOME_ERRORS,
    Change,
    Diagnosis,
    Facts,
    Lack,
    Trouble,
)
from exporter.diagnosis.fleet_table import lasted
from exporter.masking import scrubbed
from exporter.timestamps import LAST_SECOND, rfc3339

SHOWN = 4
"""Containers and the like that are told one by one."""
_WEEK = 7 * 86400.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.1 or not share else f"{100 * share:.1f}%"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), LAST_SECOND), UTC)


def _clock(at: float, now: float) -> str:
    """A moment: the day only where it is not of the last twenty hours."""
    return _utc(at).strftime("%H:%M UTC" if abs(now - at) < 72000 else "%Y-%m-%d %H:%M UTC")


def _when(at: float | None, now: float) -> str:
    if at is None:
        return "time unknown"
    return f"{_clock(at, now)}, {f'in {lasted(at - now)}' if at > now else f'{lasted(now - at)} ago'}"


def _bounded(told: Iterable[str], most: int = SHOWN) -> str:
    words = list(told)
    more = len(words) - most
    return "; ".join(words[:most]) + (f"; and {more} more" if more > 0 else "")


def _state_words(facts: Facts) -> str:
    state, now = facts.state, facts.at
    if facts.gone:
        words = f"found missing: {_when(state.since, now)}; {_GONE[facts.gone]}"
    elif state.since is None:
        words = f"{state.status}; since when is unknown"
    elif state.longer:
        words = f"{state.status} since before {_clock(state.since, now)} (more than {lasted(now - state.since)})"
    else:
        words = f"{state.status} since {_clock(state.since, now)} ({lasted(now - state.since)})"
    return words + (f"; {state.failures} failures observed" if state.failures > 1 else "")


_GONE = {
    "not_found": "the API responds with 404",
    "forbidden": "the API responds with 403",
    "unknown": "no longer in the list, reason unknown",
}


def _serves(facts: Facts) -> str:
    """Whether it does its work, as far as is known: what decides whether somebody must get up."""
    told, asked = facts.replicas, facts.requests
    if facts.gone:
        return "no" if facts.gone == "not_found" else "not known"
    if told.zero:
        return "yes, on request"
    if told.ready is None or told.live is None:
        return "not known"
    if not told.ready:
        return "not known" if told.unknown else "not yet" if facts.state.group == "starting" else "no"
    errors = asked.server_errors or 0.0 if asked is not None and asked.total >= FEWEST else 0.0
    if errors >= SOME_ERRORS:
        return f"{'hardly' if errors >= MOST_ERRORS else 'mostly'}, {_percent(errors)} of requests get a server error"
    return "in part" if told.ready < max(told.live, told.least or 0) else "yes"


def _serving_words(facts: Facts) -> str:
    if facts.gone:
        return _serves(facts)
    return f"{_serves(facts)}: {_replica_words(facts)}"


def _replica_words(facts: Facts) -> str:
    told = facts.replicas
    desired = "desired number unknown" if told.least is None else f"{told.least} desired"
    if told.least is not None and told.most is not None and told.most != told.least:
        desired = f"{told.least} to {told.most} desired"
    if told.zero:
        return f"scaled to zero because there are no requests, which is normal ({desired})"
    if told.ready is None or told.live is None:
        return f"ready replicas not reported; {desired}"
    if not told.live:
        off = facts.state.status in ("stopped", "suspended", "terminated")
        return f"no replicas, as expected while {facts.state.status}" if off else f"no live pods; {desired}"
    words = f"{told.ready} of {told.live} replicas ready"
    if not told.live == told.least == told.most:
        words += f"; {desired}"
    return words + (f"; {told.unknown} not known" if told.unknown else "")


_ROLES = {
    "candidate": " of the new version",
    "reverted": " of the rolled-back version",
    "other": " of a version",
}


def _container_words(one: Trouble, now: float) -> str:
    parts = []
    if one.waits:
        parts.append("is waiting, no reason reported" if one.waits == NO_REASON else f"is waiting with {one.waits}")
        parts += [f"image {one.image}"] if one.image else []
    elif one.ready is False:
        since = f" for {lasted(now - one.since)}" if one.since is not None and one.since <= now else ""
        what = ("is " if one.ended else "is running but ") + ("no longer ready" if one.lost else "not ready")
        parts.append(what + since)
    if one.ended or one.code is not None:
        code = f" with exit code {one.code}" if one.code is not None else ""
        when = f" {lasted(now - one.at)} ago" if one.at is not None and one.at <= now else ""
        parts.append(f"last ended{code}{f' ({one.ended})' if one.ended else ''}{when}")
    parts += [f"{one.restarts} restarts" if one.restarts > 1 else "1 restart"] if one.restarts else []
    pods = f" in {one.pods} pods" if one.pods > 1 else f" in pod {one.pod}" if one.pod else ""
    return f"{one.container or 'a container'}{_ROLES.get(one.role, '')}{pods} {', '.join(parts)}" + (
        f": {one.message}" if one.message else ""
    )


def _lack_words(one: Lack) -> str:
    what = {"gpu": "has a free GPU", "cpu": "has enough CPU", "memory": "has enough memory", "volume": "has its volume"}
    pods = ("1 pod" if one.pods == 1 else f"{one.pods} pods") + _ROLES.get(one.role, "")
    return f"{pods}, no node {what.get(one.what, 'accepts it')}" + (f": {one.message}" if one.message else "")


def _change_words(one: Change, now: float) -> str:
    return CHANGES[one.kind] + (f" ({one.words})" if one.words else "") + f": {_when(one.at, now)}"


def _lately(one: Change, now: float) -> bool:
    return one.at is None or now - one.at < _WEEK


def _request_words(facts: Facts) -> str:
    told = facts.requests
    if told is None:
        return ""
    clock = _clock(told.end, facts.at)
    if not told.total:
        return f"none in the 5 min to {clock}"
    parts = [f"{told.total:.0f} in the 5 min to {clock}"]
    if told.server_errors is not None:
        hour = f" (over 1 h: {_percent(told.hour)})" if told.hour is not None else ""
        parts.append(f"{_percent(told.server_errors)} server errors{hour}")
    if told.client_errors:
        parts.append(f"{_percent(told.client_errors)} client errors (4xx)")
    if told.slow:
        parts.append(f"{_percent(told.slow)} slow")
    if told.p95 is not None:
        parts.append(f"95% within {told.p95:.2f} s" if told.p95 < 10 else f"95% within {told.p95:.0f} s")
    return ", ".join(parts)


def _limit_words(facts: Facts) -> str:
    told = [words for _, words in facts.limits]
    if facts.draft_ends is not None:
        told.append(f"a draft, which the platform stops at {_when(facts.draft_ends, facts.at)}")
    return "; ".join(told)


def _event_words(facts: Facts) -> str:
    event = facts.event
    if event is None:
        return ""
    return f"{event.type}: {_when(event.at, facts.at)}" + (f": {event.message}" if event.message else "")


def _untold_words(facts: Facts) -> str:
    """What is not known, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for part, why in facts.untold.items():
        reasons.setdefault(why, []).append(PARTS.get(part, part))
    return _bounded(f"{', '.join(parts)}: {why}" for why, parts in reasons.items())


def _lines(told: Diagnosis) -> Iterator[tuple[str, str]]:
    """Titles and texts, the most telling first; what is empty is left out."""
    facts = told.facts
    yield "Likely cause", told.cause.says
    yield "Next step", told.cause.next
    yield "Serving", _serving_words(facts)
    yield "State", _state_words(facts)
    yield "Containers", _bounded(_container_words(one, facts.at) for one in facts.containers)
    yield "Unschedulable", _bounded(map(_lack_words, facts.lacks))
    changes = [_change_words(one, facts.at) for one in facts.changes[:3] if _lately(one, facts.at)]
    yield "Changes", "; ".join(changes) or "none reported in the last 7 days"
    yield "Last event", _event_words(facts)
    yield "Requests", _request_words(facts)
    yield "Limits", _limit_words(facts)
    yield "Not known", _untold_words(facts)
    met = ", ".join(f"{each.alert} ({each.severity})" for each in facts.alerts)
    yield "Conditions", met + (f"; importance {facts.importance}" if met and facts.importance else "")


def evidence(told: Diagnosis) -> tuple[tuple[str, str], ...]:
    """What a page says: at most twelve pairs of a title and a text of at most 300 characters."""
    return tuple((title, _cut(words, 300)) for title, words in _lines(told) if words)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 4].rstrip() + " ..."


def log_words(told: Sequence[LogRecord]) -> str:
    """Lines of a log, told newest first, as `tail` shows them: masked, and at most 200 characters each."""
    lines = [_log_line(each) for each in reversed(told) if each.message]
    return "\n".join(lines) if lines else "no lines found; not every cluster collects logs"


def _log_line(one: LogRecord) -> str:
    at = timestamp(one.timestamp)
    when = "" if at is None else f"{_utc(at):%H:%M:%S} "
    return _cut(scrubbed(f"{when}{one.level or ''} {one.message}"), 200)


_COLOURS = {"critical": "1;31", "warning": "1;33"}


def text(told: Diagnosis, colour: bool = False) -> str:
    """What a terminal of 80 columns shows, the headline first; only URLs may be wider."""

    def painted(words: str, code: str) -> str:
        return f"\x1b[{code}m{words}\x1b[0m" if colour and code else words

    facts = told.facts
    loud = told.severity or "no alert"
    there = facts.replicas
    total = max(there.live or 0, there.least or 0) if facts.state.group != "off" else 0
    counted = f", {there.ready} of {total} ready" if there.ready is not None and total else ""
    counted += f", {there.unknown} not known" if counted and there.unknown else ""
    head = _cut(f"{facts.name}: {facts.state.status}{counted} [{loud}]", 80)
    who = f"{facts.id}, account {facts.account}, importance {facts.importance}"
    lines = [
        painted(head, _COLOURS.get(told.severity, "1")),
        *textwrap.wrap(who, 80),
        f"as of {_utc(facts.at):%Y-%m-%d %H:%M:%S} UTC",
        "",
    ]
    for title, words in _lines(told):
        first, *rest = textwrap.wrap(words, 80 - 14) or [""]
        if first:
            lines += [painted(f"{title:<14}", "1") + first, *(" " * 14 + line for line in rest)]
    if told.log:
        lines += ["", painted("Log", "1"), *(f"  {line}" for line in told.log.splitlines())]
    lines += ["", *(painted(f"{words}:", "1") + f" {url}" for words, url in told.links)] if told.links else []
    return "\n".join(lines) + "\n"


def as_json(told: Diagnosis) -> dict[str, Any]:
    """The same for a script: keys stay, times are RFC 3339, null is what is not told."""
    facts = told.facts
    event, asked = facts.event, facts.requests
    return {
        "account": facts.account,
        "workload_id": facts.id,
        "workload": facts.name,
        "importance": facts.importance,
        "at": _stamp(facts.at),
        "severity": told.severity or None,
        "likely_cause": {"name": told.cause.name, "text": told.cause.says},
        "next_step": told.cause.next,
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
            {"version": one.role, "lacks": one.what, "pods": one.pods, "message": one.message} for one in facts.lacks
        ],
        "last_event": None if event is None else {"type": event.type, "at": _stamp(event.at), "message": event.message},
        "changes": [{"what": one.kind, "at": _stamp(one.at), "status": one.words or None} for one in facts.changes],
        "requests": None
        if asked is None
        else {
            "window": "5m",
            "end": _stamp(asked.end),
            "total": asked.total,
            "server_error_ratio": asked.server_errors,
            "client_error_ratio": asked.client_errors,
            "slow_ratio": asked.slow,
            "p95_seconds": asked.p95,
            "server_error_ratio_1h": asked.hour,
        },
        "limits": [{"kind": kind, "text": words} for kind, words in facts.limits],
        "draft_ends": _stamp(facts.draft_ends),
        "known": facts.known,
        "not_known": dict(facts.untold),
        "unreadable": [
            {"version": one.role, "proton_id": one.proton or None, "reason": one.reason} for one in facts.unread
        ],
        "holds": [{"alert": each.alert, "severity": each.severity} for each in facts.alerts],
        "log": told.log.splitlines() or None,
        "links": [{"text": words, "url": url} for words, url in told.links],
    }


def _stamp(at: float | None) -> str | None:
    return None if at is None else rfc3339(at, "seconds")
