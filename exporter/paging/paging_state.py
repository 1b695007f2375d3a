"""What direct paging must remember: alarms, what each receiver was notified of, and silences."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import TypeVar

import msgspec

from exporter.alerting.alarms import Alarm
from exporter.alerting.alerts import BY_NAME
from exporter.alerting.delivery_state import Notified
from exporter.alerting.notification import Notification
from exporter.alerting.silences import Silence
from exporter.log import log
from exporter.state.database import Fenced, Lease, StateError
from exporter.state.rights import Rights
from exporter.state.store import Store, StoredPaging, account_of

SAVE_SECONDS = 1.0
"""Seconds that a page waits for the disk; then it is sent although it may be sent again after a kill."""


LOAD_SECONDS = 120.0
"""Seconds after which an exporter without replicas pages without a state that cannot be read: two pages are better than
none.
"""
MAX_CLOCK_DRIFT = 5.0
"""Seconds by which the wall clock may move against the monotonic clock before times are moved with it."""


class PagingState:
    """Changes of it are written by `save`. It outlives the pager that uses it: what a full disk does not take is kept
    across reloads.

    It is empty until it is loaded. With leases it has the state of the accounts that were gained, and the silences of
    all. `evaluating` is held while the next alarms are derived.
    """

    def __init__(self, store: Store, rights: Rights | None = None) -> None:
        self._store, self._rights = store, rights or Rights()
        self.alarms: Mapping[str, Alarm] = {}
        self.notified: dict[str, dict[str, Notified]] = {}
        """By receiver and incident, the last notification that was delivered, or may have been."""
        self.silences: dict[str, Silence] = {}
        self.evaluating = asyncio.Lock()
        self.loaded = False
        """Whether it may be used: without it, alerts would be paged again, and what has ended would not be resolved."""
        self._gained: set[str] = set()
        self._written = StoredPaging({}, {}, {})
        self._unreadable_since: float | None = None
        self._saving: asyncio.Task[None] | None = None
        self._failing = False
        self._drift: float | None = None

    async def load(self, steady: float) -> bool:
        """Load what is stored, with leases only the silences, unless this is done; returns whether it is.

        Of failures in a row, the first is logged, and the one after `LOAD_SECONDS`, from which on the state is empty.
        With leases it is waited for: without the database there are none, and another replica pages. `steady`: now.
        """
        if self.loaded:
            return True
        try:
            stored = await self._store.run(partial(self._store.load_paging, "" if self._rights.leased else None))
        except StateError as error:
            if self._unreadable_since is None:
                log.error("the state of paging cannot be read; nothing is paged before; retrying", words=str(error))
                self._unreadable_since = steady
            if self._rights.leased or steady - self._unreadable_since < LOAD_SECONDS:
                return False
            log.error("the state of paging cannot be read; open incidents are paged again", words=str(error))
            self.loaded = True
            return True
        if self._rights.leased:
            self._written = self._written._replace(silences=stored.silences)
        else:
            # An alarm of another version may be of an alert that does not exist any more: its incident is resolved.
            self._written, self.alarms = stored, _known(stored.alarms)
            self.notified = {name: dict(each) for name, each in stored.notified.items()}
        self.silences = {**stored.silences, **self.silences}
        if self._unreadable_since is not None:
            log.info("the state of paging could be read")
        self.loaded = True
        return True

    # -- accounts that come and go

    def has(self, account: str) -> bool:
        """Whether the alarms of an account are known here, and this exporter acts for it."""
        return self._rights.has(account) and (not self._rights.leased or account in self._gained)

    async def gain(self, account: str) -> None:
        """Load the state of an account. Raises `StateError`."""
        stored = await self._store.run(partial(self._store.load_paging, account))
        async with self.evaluating:
            self._forget(account)
            self.alarms = {**self.alarms, **_known(stored.alarms)}
            self._written = self._written._replace(
                alarms={**self._written.alarms, **stored.alarms},
                notified=_joined(self._written.notified, stored.notified),
            )
            for receiver, incidents in stored.notified.items():
                self.notified[receiver] = {**self.notified.get(receiver, {}), **incidents}
            self._gained.add(account)

    async def lose(self, account: str) -> None:
        """Forget an account; nothing of it is written any more."""
        self._gained.discard(account)
        async with self.evaluating:
            self._forget(account)

    @property
    def accounts(self) -> frozenset[str] | None:
        """The accounts that `has` accepts; None without leases: all that there are."""
        return frozenset(filter(self.has, self._gained)) if self._rights.leased else None

    @property
    def gained(self) -> Set[str]:
        """The accounts that were gained and not lost."""
        return self._gained

    def is_written(self, account: str) -> bool:
        """Whether everything of an account is written."""
        now, before = (each.of(account) for each in (self._snapshot(), self._written))
        return now.rows() == before.rows()

    def knows(self, account: str) -> bool:
        """Whether something must still be remembered for an account, such as an incident to be resolved."""
        return bool(self._snapshot().of(account).rows())

    def _forget(self, account: str) -> None:
        others = StoredPaging(self.alarms, self.notified).without(account)
        self.alarms = others.alarms
        for receiver, incidents in others.notified.items():
            self.notified[receiver] = dict(incidents)
        self._written = self._written.without(account)

    async def permitted(self, batch: Sequence[Notification], merged: bool) -> list[Notification]:
        """What of a batch may be sent: what no other replica sends.

        If the database does not respond, that is certain until the leases may have run out. From then on new incidents
        are still sent to a receiver that merges notifications of the same incident (`merged`).
        """
        if not self._rights.leased:
            return list(batch)
        refused: set[str] = set()
        for account in sorted({account_of(each) for each in batch}):
            lease: Lease | None = None
            try:
                lease = self._rights.lease(account)
                async with asyncio.timeout(SAVE_SECONDS):
                    await self._store.run(self._store.under(lease).check_lease)
            except Fenced:
                self._rights.forfeit(lease)
                refused.add(account)
            except (StateError, TimeoutError):  # nor would it respond for the others: they must not wait for that
                log.debug("leases cannot be checked", account=account)
                break
        sure = self._rights.certain
        return [each for each in batch if account_of(each) not in refused and (sure or (merged and each.ended is None))]

    # -- silences

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

    async def share_silences(self) -> None:
        """Read the silences that were made or ended with other replicas, if there may be others."""
        if not self._rights.leased or (self._saving is not None and not self._saving.done()):
            return
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                read = (await self._store.run(partial(self._store.load_paging, ""))).silences
        except (StateError, TimeoutError):
            return  # those that are known stay in force
        written = self._written.silences
        ended = written.keys() - self.silences.keys()
        made = {name: each for name, each in self.silences.items() if written.get(name) != each}
        self.silences = {name: each for name, each in read.items() if name not in ended} | made
        self._written = self._written._replace(silences=read)

    def expire_silences(self, now: float) -> None:
        """Remove silences that have ended."""
        self.silences = {name: each for name, each in self.silences.items() if now < each.ends}

    # -- time

    def follow_clock(self, wall: float, steady: float) -> None:
        """Move all times if the wall clock was set. Durations stay as they are: of a condition, of a silence.

        Silences of all replicas are not moved with the clock of one.
        """
        before, self._drift = self._drift, wall - steady
        step = 0.0 if before is None else self._drift - before
        if abs(step) <= MAX_CLOCK_DRIFT:
            return
        self.alarms = {place: _moved(alarm, step, _ALARM_TIMES) for place, alarm in self.alarms.items()}
        if not self._rights.leased:
            self.silences = {name: _moved(each, step, ("ends", "began")) for name, each in self.silences.items()}
        for receiver, incidents in self.notified.items():
            self.notified[receiver] = {key: _moved(each, step, ("began", "at")) for key, each in incidents.items()}

    # -- writing

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
        try:
            if self._rights.leased:
                await self._save_under_leases()
            else:
                while (now := self._snapshot()) != self._written:
                    await self._store.run(partial(self._store.save_paging, now, self._written))
                    self._written, self._failing = now, False
        except StateError as error:
            self._fail(str(error))

    async def _save_under_leases(self) -> None:
        """Write each account under its lease, and the silences under none."""
        if (silences := StoredPaging(silences=dict(self.silences))) != StoredPaging(silences=self._written.silences):
            before = StoredPaging(silences=self._written.silences)
            await self._store.run(partial(self._store.save_paging, silences, before))
            self._written = self._written._replace(silences=silences.silences)
        for account in sorted(self._gained):
            if account not in self._gained or self.is_written(account):
                continue
            now, before = (each.of(account) for each in (self._snapshot(), self._written))
            lease: Lease | None = None
            try:
                lease = self._rights.lease(account)
                await self._store.run(partial(self._store.under(lease).save_paging, now, before))
            except Fenced:  # its alarms are now the matter of the other replica
                self._rights.forfeit(lease)
                continue
            if account in self._gained:
                others = self._written.without(account)
                self._written = StoredPaging(
                    {**others.alarms, **now.alarms}, _joined(others.notified, now.notified), self._written.silences
                )
        self._failing = False

    def _fail(self, problem: str) -> None:
        if not self._failing:
            log.error("the state of paging cannot be written; retrying", words=problem)
        self._failing = True

    def _snapshot(self) -> StoredPaging:
        notified = {name: dict(each) for name, each in self.notified.items()}
        return StoredPaging(dict(self.alarms), notified, dict(self.silences))


_ALARM_TIMES = ("since", "held", "recent", "fired", "ended")
S = TypeVar("S", Alarm, Silence, Notified)
NotifiedBy = Mapping[str, Mapping[str, Notified]]


def _known(alarms: Mapping[str, Alarm]) -> Mapping[str, Alarm]:
    return {place: each for place, each in alarms.items() if each.alert in BY_NAME}


def _joined(one: NotifiedBy, other: NotifiedBy) -> NotifiedBy:
    return {name: {**one.get(name, {}), **other.get(name, {})} for name in (*one, *other)}


def _moved(value: S, step: float, times: Sequence[str]) -> S:
    """The value with its known times moved by `step` seconds."""
    given = {name: getattr(value, name) for name in times}
    return msgspec.structs.replace(value, **{name: at + step for name, at in given.items() if at is not None})
