"""Times of responses and ids, moved to another clock."""

import pytest

from exporter.recording.times import all_moved, moved

HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "an_hour_later"),
    [
        ("2026-11-20T10:17:57Z", "2026-11-20T11:17:57Z"),
        ("2026-11-20T10:17:57.123456789+00:00", "2026-11-20T11:17:57.123456789+00:00"),
        ("2026-11-20 10:17:57.101233+00:00", "2026-11-20 11:17:57.101233+00:00"),
        ("2026-11-20T23:17:57", "2026-11-21T00:17:57"),
        ("2026-11-20T10:17:57+02:00", "2026-11-20T09:17:57+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:30:00Z", None),
        ("2026-13-20T10:17:57Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_timestamp_by_a_clock_an_hour_ahead(text: str, an_hour_later: str | None) -> None:
    assert moved(text, lambda at: at + HOUR) == an_hour_later


def test_a_clock_that_is_faster_has_fractions_of_a_second() -> None:
    assert moved("1970-01-02T00:00:01.5Z", lambda at: at / 4) == "1970-01-01T06:00:00.375000Z"


def test_all_times_and_ids_of_a_text_are_moved() -> None:
    started = 1_577_836_800.0
    created, other = f"{int(started):08x}{'a' * 16}", "f" * 24
    later = f"{int(started + HOUR):08x}{'a' * 16}"

    def text(first: str, at: str) -> str:
        return f'{{"a":"{at}","b":"2020-13-01T00:00:00Z","lrs-{first}-x":"{first}","d":"{other}","n":{"1" * 24}}}'

    before, after = text(created, "2020-01-01T00:00:00Z"), text(later, "2020-01-01T01:00:00Z")
    assert all_moved(before, lambda at: at + HOUR, started) == after
