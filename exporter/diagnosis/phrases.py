"""Times, shares and lists as text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from exporter.diagnosis.fleet_table import lasted
from exporter.timestamps import LAST_SECOND

MAX_EVIDENCE_CHARACTERS = 300
"""Characters of a text of a page."""
MAX_ITEMS = 4
"""Containers and the like that are listed individually."""


def percent(share: float) -> str:
    """A ratio as a percentage, with a decimal below 10%."""
    return f"{100 * share:.0f}%" if share >= 0.1 or not share else f"{100 * share:.1f}%"


def utc(at: float) -> datetime:
    """A time as a date, within the years that dates have."""
    return datetime.fromtimestamp(min(max(at, 0.0), LAST_SECOND), UTC)


def clock(at: float, now: float) -> str:
    """A time, with the date if it is more than twenty hours away."""
    return utc(at).strftime("%H:%M UTC" if abs(now - at) < 72000 else "%Y-%m-%d %H:%M UTC")


def when(at: float | None, now: float) -> str:
    """A time, and how long ago or in how long that is."""
    if at is None:
        return "time unknown"
    return f"{clock(at, now)}, {f'in {lasted(at - now)}' if at > now else f'{lasted(now - at)} ago'}"


def forecast(limit: float | None, full: float | None, known_from: float | None, now: float) -> str:
    """When the active workloads of an account reach its limit, or why that is not known.

    `limit`, `full`: None if not known; `known_from`: from when on there is a forecast.
    """
    if full is not None:
        if full <= now:
            return "the limit is reached"
        return f"full on {utc(full):%Y-%m-%d %H:%M} UTC, in {lasted(full - now)}, if the trend goes on"
    if known_from is None:
        return "no forecast: no recent complete sweep"
    if limit is None:
        return "no forecast: no limit, or none reported"
    if known_from > now:
        return f"no forecast before {utc(known_from):%Y-%m-%d %H:%M} UTC: observed for less than costs.min_history"
    return "not full within a year if the trend goes on"


def bounded(texts: Iterable[str]) -> str:
    """At most `MAX_ITEMS` texts, and the number of the others."""
    items = list(texts)
    more = len(items) - MAX_ITEMS
    return "; ".join(items[:MAX_ITEMS]) + (f"; and {more} more" if more > 0 else "")


def cut(text: str, length: int) -> str:
    """The text, cut to a length."""
    return text if len(text) <= length else text[: length - 4].rstrip() + " ..."
