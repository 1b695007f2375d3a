"""Appearance shared by all dashboards: colours, and texts for panels without data."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.api import models
from exporter.fleet import episodes

GOOD, BAD, WARNING, NOTICE, MOVING, OFF, UNKNOWN = "green", "red", "orange", "yellow", "blue", "#8e8e8e", "purple"

STATUS_COLOURS: Mapping[str, str] = {
    "running": GOOD,
    "submitted": "super-light-blue",
    "initializing": "light-blue",
    "provisioning": "semi-dark-blue",
    "launching": MOVING,
    "warming": "dark-blue",
    "pending": "#9fc5f8",
    "scheduled": "#6fa8dc",
    "updating": "#3d6fa5",
    "restarting": "super-light-blue",
    "draining": "light-yellow",
    "stopping": NOTICE,
    "stopped": OFF,
    "suspended": "#b5b5b5",
    "interrupted": WARNING,
    "errored": BAD,
    "failed": "#b01f3a",
    "terminated": "dark-red",
    "unknown": "light-purple",
    "other": UNKNOWN,
}
"""Colour of each status: green serves, blue starts, yellow stops, grey is off, red has failed, purple is unknown."""
assert {*STATUS_COLOURS} == {*models.STATUSES, "other"}

STATUS_NUMBERS: Mapping[str, int] = {status: number for number, status in enumerate(STATUS_COLOURS, 1)}
"""A number for each status, for panels that can only draw numbers."""

IMPORTANCE_COLOURS: Mapping[str, str] = {"critical": BAD, "high": WARNING, "moderate": NOTICE, "low": OFF}
SEVERITY_COLOURS: Mapping[str, str] = {"critical": BAD, "warning": WARNING, "info": MOVING}
REPLACEMENT_COLOURS: Mapping[str, str] = {"completed": GOOD, "errored": BAD, "reverted": WARNING, "cancelled": OFF}
EPISODE_COLOURS: Mapping[str, str] = {
    "success": GOOD,
    "failure": BAD,
    "error": WARNING,
    "cancellation": OFF,
    "timeout": NOTICE,
}
assert {*EPISODE_COLOURS} == {*episodes.EPISODE_OUTCOMES}

NONE = "none"
NOT_REPORTED = "not reported"
IDLE = "no traffic"
