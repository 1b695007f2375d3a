"""Log lines: logfmt or JSON on standard error, one line a record, coloured only on a terminal.

Callers log a message of fixed words and pass what varies as ``extra={"fields": {...}}``: it becomes keys of the line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in LEVELS.items()} | {logging.CRITICAL: "error"}
_COLOURS = {"debug": "\x1b[2m", "info": "", "warn": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN = re.compile(r"[^\s=\"\\\x00-\x1f\x7f]+")


class Lines(logging.Formatter):
    """One record as one line; `style` is ``logfmt``, ``json`` or ``colour`` (logfmt for a terminal)."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._form = style

    def format(self, record: logging.LogRecord) -> str:
        """The line. A newline or control character of a value is escaped: a record never becomes two lines."""
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


def set_up(level: str, form: str, count: Callable[[str], None] | None = None, stream: TextIO | None = None) -> None:
    """Log to `stream` (standard error) from `level` on, ``auto``, ``logfmt`` or ``json``; `count` gets each level."""
    stream = stream or sys.stderr
    style = ("colour" if stream.isatty() else "logfmt") if form == "auto" else form
    lines = logging.StreamHandler(stream)
    lines.setFormatter(Lines(style))
    root = logging.getLogger()
    root.handlers[:] = [lines, *([_Counted(count)] if count else [])]
    root.setLevel(logging.WARNING)  # libraries; httpx would log each URL at info
    logging.getLogger("exporter").setLevel(LEVELS[level])
