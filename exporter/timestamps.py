"""Times as text by RFC 3339, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()
"""The last second that can be written, in seconds since the epoch."""


def rfc3339(at: float, timespec: str = "auto") -> str:
    """A time in seconds since the epoch, limited to the years 1970 to 9999.

    `timespec`: ``seconds``, ``milliseconds``, or ``auto`` for microseconds if there are any.
    """
    moment = datetime.fromtimestamp(min(max(at, 0.0), LAST_SECOND), UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
