"""Writes log lines in a thread of its own: a log that nobody reads must not stop the exporter."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MAX_LINES, MAX_CHARACTERS = 10_000, 10_000_000
"""Limits of what waits to be written; lines beyond them are dropped."""
FLUSH_SECONDS = 0.5
"""Maximum seconds for the last lines at the end of the process."""


class BackgroundHandler(logging.Handler):
    """Writes each record as a line to `stream`. `emit` never waits; `dropped` is called for each line that is lost."""

    def __init__(self, stream: TextIO, dropped: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._stream, self._dropped = stream, dropped
        self._changed = threading.Condition()
        self._lines = deque[str]()
        self._characters, self._lost, self._writing, self._closed = 0, 0, False, False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of a record."""
        try:
            line = f"{self.format(record)}\n"
        except Exception:  # noqa: BLE001 — the standard library prints it, too
            self.handleError(record)
            return
        with self._changed:
            full = len(self._lines) >= MAX_LINES or self._characters + len(line) > MAX_CHARACTERS
            if full or self._closed:
                self._lost += 1
            else:
                self._lines.append(line)
                self._characters += len(line)
                self._changed.notify_all()
        if full:
            self._dropped()

    def flush(self) -> None:
        """Wait until all lines are written, for at most `FLUSH_SECONDS`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, FLUSH_SECONDS)

    def retire(self) -> None:
        """End the thread once it has written what waits. Does not wait for it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """See `logging.Handler`: the standard library calls `flush` before."""
        self.retire()
        super().close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                text = "".join(self._lines)
                lost, self._lost, self._writing = self._lost, 0, True
                self._lines.clear()
                self._characters = 0
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # standard error was closed: the line is lost
                self._dropped()
            if lost:
                logging.getLogger("exporter").warning(
                    "log lines were dropped: they were not read in time", extra={"fields": {"lines": lost}}
                )
