"""How forecasts and times read in pages and tables."""

import pytest

from exporter.diagnosis.phrases import forecast

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
DAY = 86_400.0


@pytest.mark.parametrize(
    ("limit", "full", "known_from", "text"),
    [
        (10, NOW, NOW - DAY, "the limit is reached"),
        (10, NOW - DAY, NOW - DAY, "the limit is reached"),
        (10, NOW + DAY, NOW - DAY, "full on 2023-11-15 22:13 UTC, in 1 d, if the trend goes on"),
        (None, None, None, "no forecast: no recent complete sweep"),
        (None, None, NOW - DAY, "no forecast: no limit, or none reported"),
        (10, None, NOW + DAY, "no forecast before 2023-11-15 22:13 UTC: observed for less than costs.min_history"),
        (10, None, NOW - DAY, "not full within a year if the trend goes on"),
    ],
)
def test_a_forecast_says_when_the_limit_is_reached_or_the_reason_that_there_is_none(
    limit: float | None, full: float | None, known_from: float | None, text: str
) -> None:
    assert forecast(limit, full, known_from, NOW) == text
