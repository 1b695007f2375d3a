"""An event loop in virtual time with real sockets and real threads: time passes only while all of them wait."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 0.02
"""Real seconds without progress after which a thread that does not run waits for something, such as a server."""


class _Selector(selectors.DefaultSelector):
    """Where the loop would wait, its time moves on, unless a thread is at work."""

    now = 0.0
    working = 0
    """Jobs in threads. Their ends wake the selector."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        # Without a thread, the kernel may still have been delivering to a socket.
        ready = super().select(PATIENCE_SECONDS if self.working or timeout is None else 0)
        while not ready and self.working and _computing():
            ready = super().select(PATIENCE_SECONDS)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


def _computing() -> bool:
    """Whether another thread of this process runs, or is ready to, or waits for the disk (see proc_pid_stat(5))."""
    others = (each.native_id for each in threading.enumerate() if each is not threading.current_thread())
    return any(_state(each) in "RD" for each in others)


def _state(thread: int | None) -> str:
    try:
        return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "ended"


class VirtualLoop(asyncio.SelectorEventLoop):
    """All servers and clients of a run are in this loop: what one sends, another has at once."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]  # the base class types it with type variables
        self._clock.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: object) -> None:
        self._clock.working -= 1
