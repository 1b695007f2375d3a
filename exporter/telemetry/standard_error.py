"""Removes secrets from what Python itself writes to standard error."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType


class _EarlyLines(logging.Formatter):
    """Formats log lines that come before `exporter.telemetry.logs.set_up`."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        from exporter.telemetry.logs import formatter  # here: commands that log nothing need not load structlog

        return formatter("logfmt", self._clean).format(record)


@contextmanager
def clean_errors(clean: Callable[[str], str]) -> Iterator[None]:
    """Meanwhile remove secrets with `clean` from tracebacks of threads and finalizers, and from log lines before
    `exporter.telemetry.logs.set_up`.
    """

    def thread_hook(error: threading.ExceptHookArgs) -> None:
        write(error.exc_type, error.exc_value, error.exc_traceback)

    def unraisable_hook(error: sys.UnraisableHookArgs) -> None:
        write(error.exc_type, error.exc_value, error.exc_traceback)

    def write(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        if kind is not SystemExit:
            sys.stderr.write(clean("".join(traceback.format_exception(kind, error, where))))

    hooks = threading.excepthook, sys.unraisablehook, logging.lastResort
    threading.excepthook, sys.unraisablehook = thread_hook, unraisable_hook
    logging.lastResort = logging.StreamHandler()
    logging.lastResort.setLevel(logging.WARNING)
    logging.lastResort.setFormatter(_EarlyLines(clean))
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook, logging.lastResort = hooks
