"""One account as it is watched: sweep, step, report, one log line."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from exporter.core.seen import Seen
from exporter.core.step import Knowledge, step, unknown_values, visible
from exporter.shell.client import Client
from exporter.shell.report import AccountReport
from exporter.shell.sweep import sweep

log = logging.getLogger("exporter")

UNKNOWN_TOLD = 100


class Clock(NamedTuple):
    """Seconds since the epoch, for timestamps; seconds that never jump, for ages; and how to wait."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Watch:
    """Holds what is known of one account; `sweep` brings it up to date and never raises for what the API does."""

    def __init__(
        self, known: Knowledge, client: Client, report: AccountReport, stale_after: float, clock: Clock
    ) -> None:
        self.known, self.client = known, client
        self.message = ""
        self._report, self._stale_after, self._clock = report, stale_after, clock
        self._succeeded: float | None = None
        self._unknown: set[tuple[str, str]] = set()
        self._sweeping = asyncio.Lock()

    def resumed(self, client: Client, report: AccountReport, stale_after: float) -> Watch:
        """The same account under new settings: what is known stays known, and stays as old as it is."""
        again = Watch(self.known, client, report, stale_after, self._clock)
        again._succeeded, again._unknown, again.message = self._succeeded, self._unknown, self.message
        return again

    async def sweep(self) -> None:
        """Make one sweep."""
        async with self._sweeping:
            await self._sweep()

    async def close(self) -> None:
        """Close the client once the sweep under way, if any, has ended."""
        async with self._sweeping:
            await self.client.aclose()

    async def _sweep(self) -> None:
        began = self._clock.steady()
        result = await sweep(self.client)
        ended = self._clock.steady()
        before, self.known = self.known, step(self.known, result, self._clock.wall())
        self.message = result.message
        if not result.failure:
            self._succeeded = ended
        self._report.swept(result, self.known, self.known.vanished - before.vanished, ended - began)
        self._report.capabilities(self.client.capabilities.items())
        fields: dict[str, object] = {
            "account": self.known.account,
            "workloads": len(self.known.workloads),
            "rejects": len(result.rejects),
            "seconds": round(ended - began, 3),
        }
        if result.failure:
            fields |= {"reason": result.failure, "words": result.message, "serving": self._serving(ended)}
        log.log(
            logging.WARNING if result.failure else logging.INFO,
            "sweep failed" if result.failure else "sweep complete",
            extra={"fields": fields},
        )
        for field, values in unknown_values(result.workloads).items():
            for value in values:
                self._tell_once(field, value)

    def visible(self) -> Iterable[Seen]:
        """The workloads to show now."""
        if self._succeeded is None:
            return ()
        return visible(self.known, self._clock.steady() - self._succeeded, self._stale_after)

    @property
    def not_ready(self) -> str:
        """Why the account is not ready; empty once a sweep was complete."""
        if self.known.succeeded is not None:
            return ""
        if self.known.attempted is None:
            return f"account {self.known.account}: the first sweep has not ended yet"
        return f"account {self.known.account}: no complete sweep yet; {self.message or self.known.failure}"

    def _serving(self, now: float) -> str:
        if self._succeeded is None:
            return "no workloads: none were ever swept"
        age = now - self._succeeded
        if age > self._stale_after:
            return f"no workloads: the last complete sweep was {age:.0f} s ago"
        return f"the workloads of {age:.0f} s ago"

    def _tell_once(self, field: str, value: str) -> None:
        told = (field, value[:64])
        if told not in self._unknown and len(self._unknown) < UNKNOWN_TOLD:
            self._unknown.add(told)
            fields = {"account": self.known.account, "field": field, "value": told[1]}
            log.warning("unknown value, shown as other", extra={"fields": fields})
