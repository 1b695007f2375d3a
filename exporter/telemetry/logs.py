"""Log lines: logfmt or JSON on standard error, one line per record, with colours only on a terminal.

The fields of `exporter.log` become keys of the line. Lines of APScheduler and uvicorn are reworded. Known secrets are
removed from each line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, TextIO

from structlog.processors import JSONRenderer
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor

from exporter.telemetry.log_writer import BackgroundHandler
from exporter.timestamps import rfc3339

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in LEVELS.items()} | {logging.CRITICAL: "error"}
_COLOURS = {"debug": "\x1b[2m", "info": "", "warn": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN = re.compile(r"[^\s=\"\\\x00-\x1f\x7f]+")

LIBRARY_LINES: dict[str, tuple[str, tuple[str, ...]]] = {
    'Execution of job "%s" skipped: maximum number of running instances reached (%d)': (
        "sweep not started: the previous one is still running",
        ("account",),
    ),
    'Run time of job "%s" was missed by %s': ("sweep not started on time", ("account", "late")),
    'Job "%s" raised an exception': ("sweep failed within the exporter", ("account",)),
    "Exception in ASGI application\n": ("HTTP request failed within the exporter", ()),
    "Cancel %s running task(s), timeout graceful shutdown exceeded": (
        "HTTP requests cancelled at shutdown",
        ("requests",),
    ),
}
"""Message template of APScheduler or uvicorn → our message, and the fields for its first arguments."""


def formatter(style: str, clean: Callable[[str], str] = str) -> logging.Formatter:
    """Formats a record as one line; `style` is ``logfmt``, ``json`` or ``colour`` (logfmt for a terminal).

    A newline or control character of a value is escaped: a record never becomes two lines. `clean` removes secrets.
    What others send is clean before it is logged, but tracebacks and libraries may quote it as it was.
    """
    json_lines = JSONRenderer(default=str, ensure_ascii=False)
    renderer: Processor = json_lines if style == "json" else _coloured if style == "colour" else _line

    def cleaned(_logger: object, _method: str, line: Any) -> str:
        return clean(line)

    return ProcessorFormatter(processors=[_pairs, renderer, cleaned], pass_foreign_args=True)


def _pairs(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The keys of a line in their order: time, level and message, then the fields, then a traceback."""
    record: logging.LogRecord = event["_record"]
    message, fields = event["event"], getattr(record, "fields", {})
    if (template := str(record.msg)) in LIBRARY_LINES:
        message, names = LIBRARY_LINES[template]
        values = (getattr(value, "id", value) for value in event["positional_args"])  # a job's id is the account
        fields = dict(zip(names, values, strict=False))
    pairs: dict[str, Any] = {
        "ts": rfc3339(record.created, "milliseconds"),
        "level": _NAMES.get(record.levelno, record.levelname.lower()),
        "msg": message,
    }
    pairs |= fields if isinstance(fields, Mapping) else {}
    if "exc_info" in event:
        pairs["error"] = "".join(traceback.format_exception(*event["exc_info"])).removesuffix("\n")
    return pairs


def _line(_logger: object, _method: str, pairs: EventDict) -> str:
    """The pairs as logfmt. structlog's renderer does not escape control characters."""
    return " ".join(f"{key}={_logfmt(value)}" for key, value in pairs.items())


def _coloured(logger: object, method: str, pairs: EventDict) -> str:
    colour, line = _COLOURS.get(pairs["level"], ""), _line(logger, method, pairs)
    return f"{colour}{line}\x1b[0m" if colour else line


def _logfmt(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class _Counter(logging.Handler):
    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(_NAMES.get(record.levelno, "info"))


def set_up(
    level: str,
    style: str,
    count: Callable[[str], None] | None = None,
    stream: TextIO | None = None,
    clean: Callable[[str], str] = str,
    dropped: Callable[[], None] | None = None,
) -> None:
    """Log to `stream` (default: standard error) from `level` on, in `style`: ``auto``, ``logfmt`` or ``json``.

    `count` receives the level of each line; `clean` removes secrets from it. With `dropped`, lines are written in a
    thread, and it is called for each that is dropped because they are not read in time.
    """
    stream = stream or sys.stderr or StringIO()  # None: the process was started without a standard error
    lines = logging.StreamHandler(stream) if dropped is None else BackgroundHandler(stream, dropped)
    lines.setFormatter(formatter(("colour" if stream.isatty() else "logfmt") if style == "auto" else style, clean))
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [lines, *([_Counter(count)] if count else [])]
    for handler in before:
        if isinstance(handler, BackgroundHandler):
            handler.retire()
    root.setLevel(logging.WARNING)  # libraries; httpx would log each URL at info
    logging.getLogger("exporter").setLevel(LEVELS[level])
