"""Log lines: format, wording of library lines, levels, and removal of secrets."""

import inspect
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest
from apscheduler.executors import base as executors
from apscheduler.schedulers import base as schedulers
from apscheduler.schedulers.background import BackgroundScheduler
from uvicorn import server
from uvicorn.protocols.http import httptools_impl

from exporter.log import log
from exporter.redaction import Secrets, Source
from exporter.telemetry.logs import LIBRARY_LINES, formatter, set_up
from exporter.telemetry.standard_error import clean_errors


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("exporter", level, "", 0, "swept %s", ("eu",), None)
    made.created, made.fields = 0.25, fields
    return made


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Restores the loggers that `set_up` changes."""
    loggers = logging.getLogger(), logging.getLogger("exporter")
    before = loggers[0].handlers[:], [each.level for each in loggers]
    yield io.StringIO()
    loggers[0].handlers[:] = before[0]
    for each, level in zip(loggers, before[1], strict=True):
        each.setLevel(level)


def test_logfmt_quotes_values_where_needed_and_stays_on_one_line() -> None:
    line = formatter("logfmt").format(record(workloads=3, seconds=0.123456789, words='a "b"\nc\x1b[2J', empty=""))
    assert line == (
        'ts=1970-01-01T00:00:00.250Z level=info msg="swept eu" workloads=3 seconds=0.123457 '
        'words="a \\"b\\"\\nc\\u001b[2J" empty=""'
    )


def test_json_has_the_same_fields() -> None:
    assert json.loads(formatter("json").format(record(logging.WARNING, account="eu", workloads=3))) == {
        "ts": "1970-01-01T00:00:00.250Z",
        "level": "warn",
        "msg": "swept eu",
        "account": "eu",
        "workloads": 3,
    }


def test_a_traceback_stays_on_the_same_line() -> None:
    failed = record(logging.ERROR)
    try:
        int("odd\nvalue")
    except ValueError as error:
        failed.exc_info = (type(error), error, error.__traceback__)
    line = formatter("logfmt").format(failed)
    assert "\n" not in line
    assert 'error="Traceback (most recent call last):\\n' in line
    assert "odd" in line


@pytest.mark.parametrize("style", ["logfmt", "json", "colour"])
def test_secrets_are_removed_from_message_fields_and_traceback(style: str) -> None:
    secrets = Secrets([Source(lambda: "t0ken/of-the-account")])
    failed = record(logging.ERROR, words='a "t0ken/of-the-account"', more={"body": b"t0ken\\/of-the-account"})
    failed.exc_info = (ValueError, ValueError("t0ken%2Fof-the-account"), None)
    line = formatter(style, secrets.text).format(failed)
    assert (line.count("***"), "of-the-account" in line, "swept eu" in line) == (3, False, True)


def test_secrets_are_removed_from_what_python_writes_itself(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "t0ken-of-the-account"

    class Garbage:
        def __del__(self) -> None:
            raise ValueError(secret)

    def fail() -> None:
        raise ValueError(secret)

    hooks = threading.excepthook, sys.unraisablehook, logging.lastResort
    with clean_errors(Secrets([Source(lambda: secret)]).text):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        Garbage()
        logging.Logger("without handlers").warning(secret)
    assert (threading.excepthook, sys.unraisablehook, logging.lastResort) == hooks
    err = capsys.readouterr().err
    assert (err.count("ValueError: ***"), err.count("msg=***"), secret in err) == (2, 1, False)


@pytest.mark.parametrize(("kind", "coloured"), [(io.StringIO, False), (Terminal, True)])
def test_only_terminals_get_colours(stream: io.StringIO, kind: type[io.StringIO], coloured: bool) -> None:
    counted: list[str] = []
    stream = kind()
    set_up("info", "auto", counted.append, stream)
    log.warning("odd")
    log.debug("below the level")
    logging.getLogger("httpx").info("GET https://…")
    assert ("\x1b[" in stream.getvalue(), stream.getvalue().count("\n"), counted) == (coloured, 1, ["warn"])


def test_a_bound_field_comes_first_and_a_percent_sign_is_literal(stream: io.StringIO) -> None:
    set_up("info", "logfmt", stream=stream)
    log.bind(account="eu").info("100 % done %s", workloads=3)
    assert stream.getvalue().partition(" ")[2] == 'level=info msg="100 % done %s" account=eu workloads=3\n'


def test_an_exception_is_logged_with_its_traceback(stream: io.StringIO) -> None:
    set_up("info", "json", stream=stream)
    try:
        int("odd")
    except ValueError as error:
        log.exception("failed", part="pods")
        log.warning("failed", exc_info=error)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["error"].splitlines()[-1]) for line in lines] == [
        ("error", "ValueError: invalid literal for int() with base 10: 'odd'"),
        ("warn", "ValueError: invalid literal for int() with base 10: 'odd'"),
    ]


# -- lines of libraries


@pytest.mark.parametrize("template", LIBRARY_LINES)
def test_each_reworded_line_exists_in_its_library(template: str) -> None:
    sources = "".join(map(inspect.getsource, (executors, schedulers, server, httptools_impl))).replace('\\"', '"')
    # In the source, a long text is split.
    pieces = template.replace("\n", "\\n").partition("running instances")
    assert all(piece in sources for piece in pieces)


def test_a_skipped_run_of_a_job_names_the_account(stream: io.StringIO) -> None:
    job = BackgroundScheduler(timezone=UTC).add_job(print, id="eu")
    skipped = logging.LogRecord(
        "apscheduler.scheduler",
        logging.WARNING,
        "",
        0,
        'Execution of job "%s" skipped: maximum number of running instances reached (%d)',
        (job, 1),
        None,
    )
    late = logging.LogRecord(
        "apscheduler.executors.default",
        logging.WARNING,
        "",
        0,
        'Run time of job "%s" was missed by %s',
        (job, timedelta(seconds=2)),
        None,
    )
    lines = [formatter("logfmt").format(each).partition(" ")[2] for each in (skipped, late)]
    assert lines == [
        'level=warn msg="sweep not started: the previous one is still running" account=eu',
        'level=warn msg="sweep not started on time" account=eu late=0:00:02',
    ]


def test_other_lines_of_libraries_are_kept() -> None:
    other = logging.LogRecord("asyncio", logging.ERROR, "", 0, "Task %s was destroyed", ("a",), None)
    assert 'msg="Task a was destroyed"' in formatter("logfmt").format(other)
