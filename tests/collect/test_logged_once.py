"""What is logged once, or only if it is news."""

from exporter.collect.logged_once import REPEAT_SECONDS, LoggedOnce


def test_a_sweep_is_news_if_it_differs_or_after_an_hour() -> None:
    once = LoggedOnce()
    sweeps = [
        ((52, 0, ""), 0.0, True),
        ((52, 0, ""), 30.0, False),
        ((51, 0, ""), 60.0, True),
        ((51, 0, "timeout"), 90.0, True),
        ((51, 0, ""), 120.0, True),
        ((51, 0, ""), 120.0 + REPEAT_SECONDS - 1, False),
        ((51, 0, ""), 120.0 + REPEAT_SECONDS, True),
    ]
    assert [once.is_news(sweep, now) for sweep, now, _ in sweeps] == [expected for *_, expected in sweeps]
