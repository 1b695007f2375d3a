"""What direct paging must remember: alarms, what each receiver was notified of, and silences."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from exporter.alerting.alarms import Alarm
from exporter.alerting.alerts import BY_NAME
from exporter.alerting.delivery_state import Notified
from exporter.alerting.silences import Silence
from exporter.log import log
from exporter.state.database import StateError
from exporter.state.store import Store, StoredPaging

SAVE_SECONDS = 1.0
"""Seconds that a page waits for the disk; then it is sent although it may be sent again after a kill."""


MAX_CLOCK_DRIFT = 5.0
"""Seconds by which the wall clock may move against the monotonic clock before times are moved with it."""


class PagingState:
    """Changes of it are written by `save`. It outlives the pager that uses it: what a full disk does not take is kept
    across reloads.
    """

    def __init__(self, store: Store, stored: StoredPaging) -> None:
        self._store = store
        # An alarm of another version may be of an alert that does not exist any more; its incident is then resolved.
        self.alarms: Mapping[str, Alarm] = {p: each for p, each in stored.alarms.items() if each.alert in BY_NAME}
        self.notified: dict[str, dict[str, Notified]] = {name: dict(each) for name, each in stored.notified.items()}
        """By receiver and incident, the last notification that was delivered, or may have been."""
        self.silences: dict[str, Silence] = dict(stored.silences)
        self._written = stored
        self._saving: asyncio.Task[None] | None = None
        self._failing = False
        self._drift: float | None = None

    @classmethod
    def load(cls, store: Store) -> PagingState:
        """The state in a store. One that cannot be read is replaced by an empty one. Waits for the disk."""
        try:
            return cls(store, store.load_paging())
        except StateError as error:
            log.error("the state of paging cannot be read; starting with an empty one", words=str(error))
            return cls(store, StoredPaging({}, {}, {}))

    async def add_silence(self, silence: Silence) -> str:
        """Put a silence in force; returns its id."""
        name = secrets.token_hex(4)
        self.silences[name] = silence
        await self.save()
        return name

    async def end_silence(self, name: str) -> bool:
        """End a silence; returns whether there was one with this id."""
        ended = self.silences.pop(name, None)
        await self.save()
        return ended is not None

    def follow_clock(self, wall: float, steady: float) -> None:
        """Move all times if the wall clock was set. Durations stay as they are: of a condition, of a silence."""
        before, self._drift = self._drift, wall - steady
        step = 0.0 if before is None else self._drift - before
        if abs(step) <= MAX_CLOCK_DRIFT:
            return
        self.alarms = {place: _moved(alarm, step, _ALARM_TIMES) for place, alarm in self.alarms.items()}
        self.silences = {name: _moved(silence, step, ("ends", "began")) for name, silence in self.silences.items()}
        for receiver, incidents in self.notified.items():
            self.notified[receiver] = {key: _moved(each, step, ("began", "at")) for key, each in incidents.items()}

    def expire_silences(self, now: float) -> None:
        """Remove silences that have ended."""
        self.silences = {name: each for name, each in self.silences.items() if now < each.ends}

    async def save(self, *, last: bool = False) -> None:
        """Write what has changed. A failure is logged, and the changes are written the next time.

        Waits at most `SAVE_SECONDS` for a disk that does not respond, and only once, unless it is the `last` time.
        """
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save())
        await asyncio.wait({self._saving}, timeout=SAVE_SECONDS if last or not self._failing else 0.0)
        if not self._saving.done():
            self._fail("the disk or the database does not respond")

    async def _save(self) -> None:
        while (now := self._snapshot()) != self._written:
            try:
                await self._store.run(partial(self._store.save_paging, now, self._written))
            except StateError as error:
                self._fail(str(error))
                return
            self._written, self._failing = now, False

    def _fail(self, problem: str) -> None:
        if not self._failing:
            log.error("the state of paging cannot be written; retrying", words=problem)
        self._failing = True

    def _snapshot(self) -> StoredPaging:
        notified = {name: dict(each) for name, each in self.notified.items()}
        return StoredPaging(dict(self.alarms), notified, dict(self.silences))


_ALARM_TIMES = ("since", "held", "recent", "fired", "ended")
S = TypeVar("S", Alarm, Silence, Notified)


def _moved(value: S, step: float, times: Sequence[str]) -> S:
    """The value with its known times moved by `step` seconds."""
    given = {name: getattr(value, name) for name in times}
    return msgspec.structs.replace(value, **{name: at + step for name, at in given.items() if at is not None})
