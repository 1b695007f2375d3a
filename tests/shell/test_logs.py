"""Log lines as they are written."""

import io
import json
import logging

import pytest

from exporter.shell.logs import Lines, set_up


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("exporter", level, "", 0, "swept %s", ("eu",), None)
    made.created, made.fields = 0.25, fields
    return made


def test_a_logfmt_line_quotes_what_needs_it_and_stays_one_line() -> None:
    line = Lines("logfmt").format(record(workloads=3, seconds=0.123456789, words='a "b"\nc', empty=""))
    assert line == (
        'ts=1970-01-01T00:00:00.250Z level=info msg="swept eu" workloads=3 seconds=0.123457 '
        'words="a \\"b\\"\\nc" empty=""'
    )


def test_a_json_line_holds_the_same() -> None:
    assert json.loads(Lines("json").format(record(logging.WARNING, account="eu", workloads=3))) == {
        "ts": "1970-01-01T00:00:00.250Z",
        "level": "warn",
        "msg": "swept eu",
        "account": "eu",
        "workloads": 3,
    }


def test_an_exception_is_told_on_the_same_line() -> None:
    try:
        int("odd\nvalue")
    except ValueError as error:
        told = record(logging.ERROR)
        told.exc_info = (type(error), error, error.__traceback__)
    assert "\n" not in Lines("logfmt").format(told)
    assert "odd" in Lines("logfmt").format(told)


@pytest.mark.parametrize(("stream", "coloured"), [(io.StringIO(), False), (Terminal(), True)])
def test_colours_are_for_terminals_only(stream: io.StringIO, coloured: bool) -> None:
    counted: list[str] = []
    before = logging.getLogger().handlers[:]
    try:
        set_up("info", "auto", counted.append, stream)
        logging.getLogger("exporter.test").warning("odd")
        logging.getLogger("exporter.test").debug("not told")
        logging.getLogger("httpx").info("GET https://…")
    finally:
        logging.getLogger().handlers[:] = before
    assert ("\x1b[" in stream.getvalue(), stream.getvalue().count("\n"), counted) == (coloured, 1, ["warn"])
