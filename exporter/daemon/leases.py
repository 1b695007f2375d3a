"""Keeps the leases of this replica, and has the accounts that are held, and no others, monitored and paged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.daemon.accounts import Accounts
from exporter.daemon.paging import Paging
from exporter.daemon.state_writer import StateWriter
from exporter.failures import one_line
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
        self._problems: dict[str, str] = {}
        """Why accounts could not be taken over or given up."""
        self._shown: set[str] = set()
        self.not_ready = "the database of the leases has not responded yet"
        """Why this replica cannot take over from another one; empty: it can."""
        self.others: Mapping[str, OtherReplica] = {}
        self.holders: Mapping[str, str] = {}
        """The URL of the replica that holds an account."""

    async def run(self) -> None:
        """Turn until this is cancelled."""
        while True:
            began = self._clock.steady()
            await self.turn()
            await self._clock.pause(max(0.0, TURN_SECONDS - (self._clock.steady() - began)))

    async def turn(self) -> None:
        """Renew and take leases. Accounts are gained and lost in the background: renewals must not wait for it."""
        try:
            status = msgspec.json.encode(self._status())
            self._note(await in_own_thread(partial(self._table.turn, self._names(), status)))
        except Exception as error:  # noqa: BLE001 — logged; the leases run out unless a later turn succeeds
            self._fail(error)
        else:
            if self._failing:
                log.info("the leases are renewed again")
            self._failing, self.not_ready = False, ""
        self._show()
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    def _names(self) -> set[str]:
        """The accounts of the settings, and the one without a name."""
        return {"", *(account.name for account in self._settings().accounts)}

    def _show(self) -> None:
        names = self._names()
        for name in self._shown - names:
            self._report.clear_account("unit_held", name)
        for name in names:
            self._report.set("unit_held", float(self._monitored(name)), name)
        self._shown = names
        self._report.set("lease_remaining_seconds", max(0.0, self._rights.until - self._clock.steady()))

    def _monitored(self, account: str) -> bool:
        """Whether this replica holds an account, and does for it what that is about."""
        if not self._rights.has(account) or account in self._again:
            return False
        return (not account or account in self._accounts.monitors) and self._paging.has(account)

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
                if not self._rights.has(account):
                    await self._tried(account, self._lose_to_other(account))
            for account in sorted(self._rights.leases):
                await self._tried(account, self._gain(account))
            if self._give_up is not None:
                await self._tried(self._give_up.account, self._release(self._give_up))
        self._show()

    async def _tried(self, account: str, work: Awaitable[None]) -> None:
        """A failure is counted, and logged once per reason; the others go on, and the next turn tries it again."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 — logged
            self._report.count("takeover_failures")
            problem = one_line(f"{type(error).__name__}: {error}")
            if self._problems.get(account) != problem:
                log.error("an account could not be taken over or given up; retrying", account=account, words=problem)
            self._problems[account] = problem
        else:
            if self._problems.pop(account, ""):
                log.info("the account could be taken over or given up now", account=account)

    async def _lose_to_other(self, account: str) -> None:
        await self._lose(account)
        log.info("another replica holds the account now", account=account)

    async def _gain(self, account: str) -> None:
        settings = self._settings()
        if account in self._again:
            await self._lose(account)
            self._again.discard(account)
        if account not in self._accounts.monitors:
            for each in settings.accounts:
                if each.name == account:
                    await self._accounts.gain(each, settings)
        await self._paging.gain(account)  # last: an account without workloads would resolve its alarms

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
        await in_own_thread(partial(self._table.release, lease))  # after a failure, the account is gained again
        log.info("this replica has given up the account", account=account)

    async def stop(self) -> None:
        """Take over and give up no more accounts."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def leave(self) -> None:
        """Give all leases back. A failure is logged: they run out then."""
        try:
            await in_own_thread(self._table.leave)
        except StateError as error:
            log.warning("the leases could not be given back; they run out", words=str(error))

    def close(self) -> None:
        """End the use of the database."""
        self._table.close()

    def _fail(self, error: Exception) -> None:
        self._report.count("lease_failures")
        if not self._failing:
            unknown = None if isinstance(error, StateError) else error
            log.error("the leases cannot be renewed; retrying", words=str(error), exc_info=unknown)
        self._failing = True


def _decoded(status: bytes) -> ExporterStatus | None:
    try:
        return _status.decode(status)
    except msgspec.MsgspecError:
        return None
