"""Log lines are written in a thread: a reader that is slow, or gone, stops nothing."""

import io
import logging
import threading
from collections.abc import Iterator

import pytest

from exporter.telemetry.log_writer import MAX_CHARACTERS, MAX_LINES, BackgroundHandler


class Unread(io.StringIO):
    """A stream that accepts nothing before `wanted` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted, self.blocked = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.blocked.set()
        self.wanted.wait(30)
        return super().write(text)


class Gone(io.StringIO):
    """A stream whose reader has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def stream() -> Iterator[Unread]:
    made = Unread()
    yield made
    made.wanted.set()


def line(text: str) -> logging.LogRecord:
    return logging.LogRecord("exporter", logging.INFO, "", 0, text, (), None)


def test_lines_are_written_in_order_and_the_last_ones_at_the_end() -> None:
    stream = io.StringIO()
    handler = BackgroundHandler(stream)
    for number in range(100):
        handler.emit(line(f"{number}"))
    handler.flush()
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(100))


def test_lines_that_are_not_read_are_dropped_counted_and_their_number_is_logged(stream: Unread) -> None:
    dropped: list[None] = []
    handler = BackgroundHandler(stream, lambda: dropped.append(None))
    logger = logging.getLogger("exporter")
    logger.addHandler(handler)
    try:
        handler.emit(line("first"))
        assert stream.blocked.wait(30)
        for _ in range(MAX_LINES + 7):
            handler.emit(line("more"))
        assert len(dropped) == 7
        stream.wanted.set()
        while "dropped" not in stream.getvalue():
            handler.flush()
    finally:
        logger.removeHandler(handler)
    handler.flush()
    assert stream.getvalue().count("more\n") == MAX_LINES
    assert stream.getvalue().endswith("log lines were dropped: they were not read in time\n")


def test_what_waits_is_limited_in_characters_too(stream: Unread) -> None:
    dropped: list[None] = []
    handler = BackgroundHandler(stream, lambda: dropped.append(None))
    handler.emit(line("first"))
    assert stream.blocked.wait(30)
    for _ in range(3):
        handler.emit(line("x" * (MAX_CHARACTERS // 2 - 1)))
    assert len(dropped) == 1


def test_the_end_waits_a_moment_for_a_reader_and_not_longer(stream: Unread) -> None:
    handler = BackgroundHandler(stream)
    handler.emit(line("first"))
    handler.flush()
    handler.close()
    assert stream.getvalue() == ""


def test_a_reader_that_has_ended_stops_nothing() -> None:
    dropped = threading.Event()
    handler = BackgroundHandler(Gone(), dropped.set)
    handler.emit(line("first"))
    assert dropped.wait(30)
    handler.emit(line("second"))
    handler.flush()


def test_a_handler_that_was_replaced_writes_what_waits_and_ends() -> None:
    stream = io.StringIO()
    handler = BackgroundHandler(stream)
    handler.emit(line("first"))
    handler.retire()
    handler.flush()
    assert stream.getvalue() == "first\n"
    handler.emit(line("second"))
    assert stream.getvalue() == "first\n"
