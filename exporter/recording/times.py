"""Times in responses, and in ids: parsed, moved, and written in the same form."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

STARTED = 1_577_836_800.0
"""2020-01-01 00:00 UTC: the first minute of every recording."""
PAST_SECONDS, FUTURE_SECONDS = 3650 * 86400.0, 86400.0
"""How long before and after the start of a recording an object may have been created."""
_DATE, _TIME, _OFFSET = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d", r"(?:Z|[+-]\d\d:\d\d)?"
TIMESTAMP = re.compile(rf"({_DATE})([T ])({_TIME})(\.\d{{1,9}})?({_OFFSET})", re.ASCII)
OBJECT_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
"""An ObjectId: its first eight digits are the seconds since the epoch at which it was made (BSON specification)."""
_NEVER = ("0001-01-01", "1970-01-01")
"""Dates of the zero times of Go and of Kubernetes: they mean "never"."""
_MOVABLE = re.compile(
    rf'(?<=")({_DATE})([T ])({_TIME})(\.\d{{1,9}})?({_OFFSET})(?=")|(?:(?<=["/=])|(?<=lrs-))[0-9a-f]{{24}}(?=["/?&-])',
    re.ASCII,
)
Clock = Callable[[float], float]
"""Maps one clock to another, in seconds since the epoch."""


def moved(text: str, clock: Clock) -> str | None:
    """A timestamp by another clock; None if it is none, or cannot be written. One that means "never" stays."""
    match = TIMESTAMP.fullmatch(text)
    return None if match is None else _moved(match, clock)


def _moved(match: re.Match[str], clock: Clock) -> str | None:
    date, separator, time, fraction, offset = match.groups()
    if date in _NEVER:
        return match[0]
    try:
        at = datetime.fromisoformat(f"{date}T{time}{offset.replace('Z', '+00:00')}")
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = at.timestamp()
        to = clock(seconds)
        shift = round(to - seconds)
        if abs(to - seconds - shift) < 1e-6:  # digits of the fraction stay as they are
            written = (at + timedelta(seconds=shift)).astimezone(UTC)
            shown = written.strftime(f"%Y-%m-%d{separator}%H:%M:%S") + (fraction or "")
        else:
            digits = float(f"0{fraction or ''}")
            written = datetime.fromtimestamp(clock(seconds + digits), UTC)
            shown = written.isoformat(separator, "microseconds")[:26]
    except (ValueError, OverflowError):
        return None
    return shown.rjust(19, "0") + (offset if offset in ("", "Z") else "+00:00")


def plausible(at: float, started: float) -> bool:
    """Whether an id whose first digits are this time was made at that time. `started`: start of the recording."""
    return started - PAST_SECONDS <= at <= started + FUTURE_SECONDS


def moved_id(first: str, clock: Clock, started: float) -> str | None:
    """The first eight digits of an id by another clock; None if they are no time."""
    at = float(int(first, 16))
    return f"{int(clock(at)):08x}" if plausible(at, started) else None


def all_moved(text: str, clock: Clock, started: float) -> str:
    """JSON or a path of a recording, with all timestamps and ids in it by another clock."""

    def one(match: re.Match[str]) -> str:
        if match[1] is not None:
            return _moved(match, clock) or match[0]
        return (moved_id(match[0][:8], clock, started) or match[0][:8]) + match[0][8:]

    return _MOVABLE.sub(one, text)
