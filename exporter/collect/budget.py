"""What the API of one account may cost: requests per second and at once, and pauses after refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exporter.fleet.pauses import Pauses


class RequestBudget:
    """`rate`: requests per second, evenly spaced; `concurrency`: requests at once.

    It belongs to the account, not to a client: after a reload both the previous client, until its last request has
    ended, and the new one use it.
    """

    def __init__(self, rate: float, concurrency: int) -> None:
        self._spacing, self._concurrency = 1.0 / rate, concurrency
        self._next_turn = 0.0
        self._in_progress = 0
        self._ended = asyncio.Event()
        self.pauses = Pauses()

    def resize(self, other: RequestBudget) -> None:
        """Use the limits of `other` from now on."""
        self._spacing, self._concurrency = other._spacing, other._concurrency
        self._ended.set()

    def turn(self, now: float) -> float:
        """When the next request may be sent, on the clock of `now`. Unused turns are lost, so there are no bursts."""
        start = max(self._next_turn, now)
        self._next_turn = start + self._spacing
        return start

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait until one more request may be in progress; it is, until the context ends."""
        while self._in_progress >= self._concurrency:
            self._ended.clear()
            await self._ended.wait()
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1
            self._ended.set()
