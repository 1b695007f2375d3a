"""Log lines: logfmt or JSON on standard error, one line per record, with colours only on a terminal.

Callers log a fixed message and pass variable data as ``extra={"fields": {...}}``, which become keys of the line. Known
secrets are removed from each line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in LEVELS.items()} | {logging.CRITICAL: "error"}
_COLOURS = {"debug": "\x1b[2m", "info": "", "warn": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN = re.compile(r"[^\s=\"\\\x00-\x1f\x7f]+")


class Lines(logging.Formatter):
    """One record as one line; `style` is ``logfmt``, ``json`` or ``colour`` (logfmt for a terminal).

    `clean` removes secrets. What others send is clean before it is logged; tracebacks and libraries may quote it raw.
    """

    def __init__(self, style: str, clean: Callable[[str], str] = str) -> None:
        super().__init__()
        self._form, self._clean = style, clean

    def format(self, record: logging.LogRecord) -> str:
        """The line. A newline or control character of a value is escaped: a record never becomes two lines."""
        return self._clean(self._line(record))

    def _line(self, record: logging.LogRecord) -> str:
        pairs: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "msg": record.getMessage(),
        }
        fields = getattr(record, "fields", {})
        pairs |= fields if isinstance(fields, Mapping) else {}
        if record.exc_info:
            pairs["error"] = self.formatException(record.exc_info)
        if self._form == "json":
            return json.dumps(pairs, default=str, ensure_ascii=False)
        line = " ".join(f"{key}={_logfmt(value)}" for key, value in pairs.items())
        colour = _COLOURS.get(str(pairs["level"]), "") if self._form == "colour" else ""
        return f"{colour}{line}\x1b[0m" if colour else line


def _logfmt(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class _Counted(logging.Handler):
    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(_NAMES.get(record.levelno, "info"))


def set_up(
    level: str,
    form: str,
    count: Callable[[str], None] | None = None,
    stream: TextIO | None = None,
    clean: Callable[[str], str] = str,
) -> None:
    """Log to `stream` (standard error) from `level` on, ``auto``, ``logfmt`` or ``json``; `count` gets each level.

    `clean` removes secrets from each line.
    """
    stream = stream or sys.stderr
    style = ("colour" if stream.isatty() else "logfmt") if form == "auto" else form
    lines = logging.StreamHandler(stream)
    lines.setFormatter(Lines(style, clean))
    root = logging.getLogger()
    root.handlers[:] = [lines, *([_Counted(count)] if count else [])]
    root.setLevel(logging.WARNING)  # libraries; httpx would log each URL at info
    logging.getLogger("exporter").setLevel(LEVELS[level])


@contextmanager
def clean_errors(clean: Callable[[str], str]) -> Iterator[None]:
    """Remove secrets, meanwhile, from what Python itself writes to standard error.

    That is a traceback of a thread or of what is collected as garbage, and log lines before `set_up`.
    """

    def of_thread(told: threading.ExceptHookArgs) -> None:
        write(told.exc_type, told.exc_value, told.exc_traceback)

    def of_garbage(told: sys.UnraisableHookArgs) -> None:
        write(told.exc_type, told.exc_value, told.exc_traceback)

    def write(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        if kind is not SystemExit:
            sys.stderr.write(clean("".join(traceback.format_exception(kind, error, where))))

    hooks = threading.excepthook, sys.unraisablehook, logging.lastResort
    threading.excepthook, sys.unraisablehook = of_thread, of_garbage
    logging.lastResort = logging.StreamHandler()
    logging.lastResort.setLevel(logging.WARNING)
    logging.lastResort.setFormatter(Lines("logfmt", clean))
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook, logging.lastResort = hooks
