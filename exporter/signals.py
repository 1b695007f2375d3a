"""SIGTERM, SIGINT and SIGHUP, handled from the first instruction of the process to the last.

A process with the number 1, as in a container, ignores every signal for which it has no handler, and any other one is
killed by it. Imports only what starts quickly.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SECONDS = 4.5
"""Seconds after a signal to stop at which the process ends, whatever still hangs, such as a disk."""
_STOPPING = (signal.SIGTERM, signal.SIGINT)


class _Handlers:
    """What the handlers do at present. `stop` None: nothing has been started that needs to be stopped."""

    def __init__(self) -> None:
        self.stop: Callable[[], object] | None = None
        self.reload: Callable[[], object] | None = None
        self.reload_requested = self.ending = False

    def stopping(self, _number: int, _frame: FrameType | None) -> None:
        if self.ending:
            return
        if self.stop is None:
            os._exit(0)
        self.ending = True
        deadline = threading.Timer(STOP_SECONDS, _expire)
        deadline.daemon = True
        deadline.start()
        self.stop()

    def reloading(self, _number: int, _frame: FrameType | None) -> None:
        if self.reload is None:
            self.reload_requested = True
        elif not self.ending:
            self.reload()


_handlers = _Handlers()


def _expire() -> None:
    words = b"workload-exporter: not stopped in time, the process ends now\n"
    if select.select([], [2], [], 0)[1]:  # if it is full, writing would block
        os.write(2, words)
    os._exit(1)


def _killed(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def install(*, daemon: bool) -> None:
    """Handle signals from now on: until `handled`, a signal to stop ends the process at once.

    A `daemon` ends with status 0 then, and a reload is done later; another command ends as if it had no handler.
    """
    if not daemon:
        signal.signal(signal.SIGTERM, _killed)
        return
    for number in _STOPPING:
        signal.signal(number, _handlers.stopping)
    signal.signal(signal.SIGHUP, _handlers.reloading)


@contextmanager
def handled(*, stop: Callable[[], object], reload: Callable[[], object]) -> Iterator[None]:
    """Call `stop` and `reload` for signals meanwhile; afterwards signals are ignored: the process is about to end.

    The process ends at the latest `STOP_SECONDS` after a signal to stop.
    """
    install(daemon=True)
    _handlers.stop, _handlers.reload = stop, reload
    if _handlers.reload_requested:
        reload()
    try:
        yield
    finally:
        _handlers.ending = True
