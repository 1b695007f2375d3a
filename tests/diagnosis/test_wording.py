"""Texts about a workload that need no diagnosis."""

import pytest

from exporter.api.details import LogRecord
from exporter.diagnosis.wording import log_words


@pytest.mark.parametrize(
    ("records", "text"),
    [
        (
            [LogRecord("2026-11-20T10:17:57Z", "INFO", "ready"), LogRecord(None, None, "starts")],
            "starts\n10:17:57 INFO ready",
        ),
        (
            [LogRecord("2026-11-20T10:17:57Z", "INFO", "")],
            "no lines found; not every cluster collects logs",
        ),
        ([LogRecord(None, "INFO", "la " * 500)], "INFO" + " la" * 64 + " ..."),
        ([LogRecord(None, "INFO", None, "in the body")], "INFO in the body"),
    ],
    ids=["newest last", "without a message", "long", "with a body instead of a message"],
)
def test_lines_of_a_log(records: list[LogRecord], text: str) -> None:
    assert log_words(records) == text
