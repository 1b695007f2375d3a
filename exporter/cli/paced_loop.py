"""An event loop whose time passes faster than that of the machine."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any


class _Paced(selectors.DefaultSelector):
    """Where the loop waits, its time passes `speed` times as fast; computing takes no time."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed, self.now = speed, 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = super().select(timeout / self._speed if timeout else timeout)
        if timeout:
            waited = (time.monotonic() - began) * self._speed
            self.now += min(timeout, waited) if ready else timeout
        return ready


class PacedLoop(asyncio.SelectorEventLoop):
    """An event loop of which a second takes 1/`speed` seconds; infinite: none. It has no threads: what others do in
    threads is done at once.
    """

    def __init__(self, speed: float) -> None:
        self._paced = _Paced(speed)
        super().__init__(self._paced)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._paced.now

    def run_in_executor(self, _: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]  # typed with type variables
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 — it is that of the caller
            future.set_exception(error)
        return future
