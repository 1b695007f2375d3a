"""Keeps the leases of this replica, and has the accounts that are held, and no others, monitored and paged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.daemon.accounts import Accounts
from exporter.daemon.paging import Paging
from exporter.daemon.state_writer import StateWriter
from exporter.log import log
from exporter.settings.model import Settings
from exporter.state.database import Lease, StateError
from exporter.state.leases import LeaseTable, Turn
from exporter.state.rights import Rights
from exporter.telemetry.report import Report
from exporter.threads import in_own_thread

TURN_SECONDS = 1.0
"""Between two turns: so often leases are renewed, and free ones taken."""
_status = msgspec.json.Decoder(ExporterStatus)


class OtherReplica(NamedTuple):
    """Another replica: where it can be reached, and what it says of itself (None: unreadable)."""

    url: str
    status: ExporterStatus | None


class Leases:
    """Turns of a `LeaseTable`. `settings` returns those in force, `status` what other replicas shall know.

    `lock` is held while accounts come and go; a reload holds it, too.
    """

    def __init__(
        self,
        table: LeaseTable,
        rights: Rights,
        *,
        accounts: Accounts,
        paging: Paging,
        state: StateWriter,
        settings: Callable[[], Settings],
        status: Callable[[], ExporterStatus],
        lock: asyncio.Lock,
        report: Report,
        clock: Clock,
    ) -> None:
        self._table, self._rights, self._settings, self._status = table, rights, settings, status
        self._accounts, self._paging, self._state = accounts, paging, state
        self._lock, self._report, self._clock = lock, report, clock
        self._failing = False
        self._following: asyncio.Task[None] | None = None
        self._again: set[str] = set()
        """Accounts that were taken: if they are monitored, another replica held them meanwhile."""
        self._give_up: Lease | None = None
        self.not_ready = "the database of the leases has not responded yet"
        """Why this replica cannot take over from another one; empty: it can."""
        self.others: Mapping[str, OtherReplica] = {}
        self.holders: Mapping[str, str] = {}
        """The URL of the replica that holds an account."""

    async def run(self) -> None:
        """Turn until this is cancelled."""
        while True:
            began = self._clock.steady()
            try:
                await self.turn()
            except Exception:  # the leases run out unless a later turn succeeds
                log.exception("a turn of the leases failed; it continues")
            await self._clock.pause(max(0.0, TURN_SECONDS - (self._clock.steady() - began)))

    async def turn(self) -> None:
        """Renew and take leases. Accounts are gained and lost in the background: renewals must not wait for it."""
        names = {"", *(account.name for account in self._settings().accounts)}
        try:
            turn = await in_own_thread(partial(self._table.turn, names, msgspec.json.encode(self._status())))
        except StateError as error:
            self._fail(error)
        else:
            if self._failing:
                log.info("the leases are renewed again")
            self._failing, self.not_ready = False, ""
            self._note(turn)
        self._report.clear("unit_held")
        for name in names:
            self._report.set("unit_held", float(self._rights.has(name)), name)
        self._report.set("lease_remaining_seconds", max(0.0, self._rights.until - self._clock.steady()))
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    def _note(self, turn: Turn) -> None:
        """Act by the new leases from now on."""
        self._again |= turn.taken
        self._rights.leases, self._rights.until = dict(turn.held), turn.until
        self._give_up = None if turn.give_up is None else turn.held[turn.give_up]
        others = {name: each for name, each in turn.replicas.items() if name != self._table.name}
        self.others = {name: OtherReplica(each.url, _decoded(each.status)) for name, each in others.items()}
        self.holders = {account: turn.replicas[name].url for account, name in turn.holders.items()}
        self._report.set("replicas", len(turn.replicas))
        for account in turn.taken:
            log.info("this replica holds the account now", account=account)

    async def _follow(self) -> None:
        async with self._lock:
            for account in {*self._accounts.monitors, *self._accounts.removed, *self._paging.gained}:
                if account in self._again or not self._rights.has(account):
                    log.info("another replica holds the account now", account=account)
                    await self._lose(account)
            for account in sorted(self._rights.leases):
                await self._gain(account)
            if self._give_up is not None:
                await self._release(self._give_up)

    async def _gain(self, account: str) -> None:
        settings = self._settings()
        self._again.discard(account)
        try:
            if account not in self._accounts.monitors:
                for each in settings.accounts:
                    if each.name == account:
                        await self._accounts.gain(each, settings)
            await self._paging.gain(account)  # last: an account without workloads would resolve its alarms
        except Exception as error:  # noqa: BLE001 — logged; the others go on, and the next turn tries it again
            log.error("an account could not be taken over; retrying", account=account, words=str(error))

    async def _lose(self, account: str) -> None:
        await self._paging.lose(account)
        self._accounts.lose(account)

    async def _release(self, lease: Lease) -> None:
        """Give up an account, once everything of it is written and, if it was removed, its incidents are over."""
        account, self._give_up = lease.account, None
        await self._state.commit()
        if not await self._paging.written(account) or self._accounts.unwritten(account):
            return
        if account not in self._accounts.monitors and account and self._paging.knows(account):
            return
        self._rights.forfeit(lease)
        await self._lose(account)
        try:
            await in_own_thread(partial(self._table.release, lease))
            log.info("this replica has given up the account", account=account)
        except StateError as error:
            self._fail(error)

    async def leave(self) -> None:
        """Give all leases back. A failure is logged: they run out then."""
        try:
            await in_own_thread(self._table.leave)
        except StateError as error:
            log.warning("the leases could not be given back; they run out", words=str(error))

    def close(self) -> None:
        """End the use of the database."""
        self._table.close()

    def _fail(self, error: StateError) -> None:
        self._report.count("lease_failures")
        if not self._failing:
            log.error("the leases cannot be renewed; retrying", words=str(error))
        self._failing = True


def _decoded(status: bytes) -> ExporterStatus | None:
    try:
        return _status.decode(status)
    except msgspec.MsgspecError:
        return None
