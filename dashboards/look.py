"""Appearance shared by all dashboards: colours of states, and texts for empty panels."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.api import models
from exporter.fleet import episodes

GOOD, BAD, WARNING, NOTICE, MOVING, OFF, UNKNOWN = "green", "red", "orange", "yellow", "blue", "#8e8e8e", "purple"

STATES: Mapping[str, str] = {
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
"""Colour of each status: green serves, blue is starting, yellow is stopping, grey is off, red has failed, purple is
unknown.
"""
assert {*STATES} == {*models.STATUSES, "other"}

NUMBERS: Mapping[str, int] = {status: number for number, status in enumerate(STATES, 1)}
"""A number for each status, where a chart can only draw numbers."""

IMPORTANCES: Mapping[str, str] = {"critical": BAD, "high": WARNING, "moderate": NOTICE, "low": OFF}
SEVERITIES: Mapping[str, str] = {"critical": BAD, "warning": WARNING, "info": MOVING}
OUTCOMES: Mapping[str, str] = {"completed": GOOD, "errored": BAD, "reverted": WARNING, "cancelled": OFF}
ENDS: Mapping[str, str] = {"success": GOOD, "failure": BAD, "error": WARNING, "cancellation": OFF, "timeout": NOTICE}
assert {*ENDS} == {*episodes.EPISODE_OUTCOMES}
ROLES: Mapping[str, str] = {"active": GOOD, "candidate": MOVING, "outgoing": NOTICE, "other": UNKNOWN}

NONE = "none"
NOT_REPORTED = "not reported"
IDLE = "no traffic"
