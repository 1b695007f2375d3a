"""Log lines as they are written."""

import io
import json
import logging
import sys
import threading

import pytest

from exporter.redaction import Secrets, Source
from exporter.telemetry.logs import Lines, clean_errors, set_up


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


@pytest.mark.parametrize("style", ["logfmt", "json", "colour"])
def test_no_line_holds_a_secret_whatever_brings_it(style: str) -> None:
    secrets = Secrets([Source(lambda: "t0ken/of-the-account")])
    told = record(logging.ERROR, words='a "t0ken/of-the-account"', more={"body": b"t0ken\\/of-the-account"})
    error = ValueError("t0ken%2Fof-the-account")
    told.exc_info = (ValueError, error, None)
    line = Lines(style, secrets.text).format(told)
    assert (line.count("***"), "of-the-account" in line, "swept eu" in line) == (3, False, True)


def test_what_python_itself_writes_of_errors_holds_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    words = "t0ken-of-the-account"

    class Garbage:
        def __del__(self) -> None:
            raise ValueError(words)

    def fail() -> None:
        raise ValueError(words)

    hooks = threading.excepthook, sys.unraisablehook, logging.lastResort
    with clean_errors(Secrets([Source(lambda: words)]).text):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        Garbage()
        logging.Logger("without handlers").warning(words)
    assert (threading.excepthook, sys.unraisablehook, logging.lastResort) == hooks
    err = capsys.readouterr().err
    assert (err.count("ValueError: ***"), err.count("msg=***"), words in err) == (2, 1, False)


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
