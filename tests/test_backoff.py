"""Pauses between attempts, and times as text."""

import pytest

from exporter.backoff import Backoff
from exporter.failures import status_reason
from exporter.timestamps import rfc3339


@pytest.mark.parametrize(("failures", "full"), [(0, 1.0), (1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (10**9, 60.0)])
def test_a_pause_doubles_up_to_the_longest_and_is_shortened_at_random(failures: int, full: float) -> None:
    pauses = [Backoff(first=1.0, longest=60.0, least=0.5).seconds(failures) for _ in range(500)]
    assert full / 2 <= min(pauses) < 0.6 * full
    assert 0.9 * full < max(pauses) <= full


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "other"), (401, "auth"), (403, "forbidden"), (404, "not_found"), (410, "gone"), (429, "throttled"),
     (302, "redirect"), (500, "server_error"), (503, "server_error"), (501, "no such method")],
)  # fmt: skip
def test_a_status_has_one_reason(status: int, reason: str) -> None:
    assert status_reason(status, {410: "gone", 501: "no such method"}, other="other") == reason


@pytest.mark.parametrize(
    ("at", "timespec", "text"),
    [
        (1_795_000_000.0, "auto", "2026-11-18T11:06:40Z"),
        (1_795_000_000.25, "auto", "2026-11-18T11:06:40.250000Z"),
        (1_795_000_000.9, "seconds", "2026-11-18T11:06:40Z"),
        (1_795_000_000.25, "milliseconds", "2026-11-18T11:06:40.250Z"),
        (-5.0, "seconds", "1970-01-01T00:00:00Z"),
        (1e300, "seconds", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_written_in_utc(at: float, timespec: str, text: str) -> None:
    assert rfc3339(at, timespec) == text
