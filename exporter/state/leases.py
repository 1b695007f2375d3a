"""Leases in PostgreSQL: which replica acts for which account.

A replica is alive as long as it has a row in `replica`, which expires unless it is renewed. Another replica may delete
an expired row; both is one row's lock, so a replica that was declared dead learns it at its next renewal. An account is
free if its holder is not alive. Who takes it increases its epoch, and waits for a transaction of the holder that is in
progress: transactions lock the row of their lease. So nothing commits under an old epoch, whatever was paused where.

All times are of the database's clock, but how long a replica may rely on a renewal, which it measures itself.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from exporter.state.database import Database, Lease, Session, StateError
from exporter.state.sharing import share

LEASE_SECONDS = 15.0
"""After which a replica that does not renew its row may be declared dead."""
MARGIN_SECONDS = 2.0
"""A replica relies on its leases for so much shorter: the clocks of two machines do not run equally fast."""
MOVE_SECONDS = 1.0
"""Between two accounts that replicas give up so that others have as many."""


class LiveReplica(NamedTuple):
    """A replica that is alive: where it can be reached, a digest of its accounts, and the state that it reports."""

    url: str
    accounts: bytes
    status: bytes


class Turn(NamedTuple):
    """The state of the leases after a turn.

    `held`: those of this replica. `taken`: the accounts that it took in this turn. `give_up`: the account it has to
    release. `holders`: replicas by account, if they are alive. `until`: how long it may rely on its leases, by its own
    clock.
    """

    held: Mapping[str, Lease]
    taken: frozenset[str]
    give_up: str | None
    replicas: Mapping[str, LiveReplica]
    holders: Mapping[str, str]
    until: float


class LeaseTable:
    """The leases of the replica `name`, whose address for others is `url`. Of several threads, one waits for the other.

    All methods wait for the database and raise `StateError`. After `seconds` without a turn, others may take the
    leases.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        url: str = "",
        *,
        seconds: float = LEASE_SECONDS,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self.name, self._url = database, name, url
        self._seconds, self._steady = seconds, steady
        self._connected_since: float | None = None
        self._connections = 0
        self._lock = threading.Lock()

    def turn(self, accounts: Collection[str], status: bytes = b"") -> Turn:
        """Renew the leases, and take those that are free and due to this replica."""
        with self._lock:  # a turn that goes on while the replica leaves would register it again
            return self._turn(accounts, status)

    def _turn(self, accounts: Collection[str], status: bytes) -> Turn:
        began = self._steady()
        try:
            self._renew(_digest(accounts), status)
            # After the database was away, the rows of all replicas have expired: they get the time to renew them.
            if self._connected_since is None or self._connections != self._database.connections:
                self._connected_since, self._connections = began, self._database.connections
            if began - self._connected_since >= self._seconds:
                self._declare_dead()
            replicas, leases = self._read(accounts)
            holders = {account: holder for account, (holder, _) in leases.items() if holder in replicas}
            alike = len({each.accounts for each in replicas.values()}) == 1
            wanted = share(self.name, replicas, accounts, holders, alike=alike)
            held = {account: Lease(account, self.name, leases[account][1]) for account in _of(self.name, holders)}
            taken = self._take({account: leases[account][1] for account in wanted.take})
            # The account to give up may be the one without a name.
            moves = wanted.at_once or (wanted.give_up is not None and self._may_move())
            give_up = wanted.give_up if moves else None
        except StateError:
            self._connected_since = None
            raise
        holders |= dict.fromkeys(taken, self.name)
        until = began + max(0.0, self._seconds - min(MARGIN_SECONDS, self._seconds / 5))
        return Turn(held | taken, frozenset(taken), give_up, replicas, holders, until)

    def release(self, lease: Lease) -> None:
        """Give a lease back, after everything was written under it."""
        with self._lock, self._database.transaction() as db:
            db.execute("UPDATE lease SET holder = NULL WHERE account = ? AND holder = ? AND epoch = ?", lease)

    def leave(self) -> None:
        """Give all leases back, after everything was written."""
        with self._lock, self._database.transaction() as db:
            db.execute("DELETE FROM replica WHERE name = ?", (self.name,))

    def close(self) -> None:
        """End the use of the database."""
        self._database.close()

    def _renew(self, accounts: bytes, status: bytes) -> None:
        with self._database.transaction() as db:
            values = self._url, accounts, status, self._seconds, self.name
            if not db.execute(_RENEW, values).rowcount:
                # Declared dead, or not known yet. What no other replica took meanwhile is kept, under a new epoch.
                db.execute(_REGISTER, values)
                db.execute("UPDATE lease SET epoch = epoch + 1 WHERE holder = ?", (self.name,))

    def _declare_dead(self) -> None:
        with self._database.transaction() as db:
            db.execute(_NOT_AHEAD, (self._seconds, self._seconds))
            db.execute(_DECLARE_DEAD)

    def _read(self, accounts: Collection[str]) -> tuple[dict[str, LiveReplica], dict[str, tuple[str | None, int]]]:
        """All replicas that are alive, and holder and epoch by account."""
        with self._database.transaction() as db:
            replicas = {name: LiveReplica(*each) for name, *each in db.execute(_REPLICAS)}
            leases = _leases(db)
            if missing := [(account,) for account in sorted(accounts) if account not in leases]:
                db.executemany("INSERT INTO lease VALUES (?, NULL, 0) ON CONFLICT DO NOTHING", missing)
                leases = _leases(db)
        if self.name not in replicas:
            raise StateError("this replica was declared dead a moment ago; retrying")
        return replicas, leases

    def _take(self, epochs: Mapping[str, int]) -> dict[str, Lease]:
        """Take these accounts, unless another replica was quicker, or a transaction of the holder is in progress."""
        taken: dict[str, Lease] = {}
        if not epochs:
            return taken
        with self._database.transaction() as db:
            for account, epoch in epochs.items():
                if db.execute(_LOCK, (account, epoch)).fetchone() is not None:
                    taken[account] = Lease(account, self.name, epoch + 1)
                    db.execute(_TAKE, (self.name, epoch + 1, account))
        return taken

    def _may_move(self) -> bool:
        with self._database.transaction() as db:
            return bool(db.execute(_MOVE, (MOVE_SECONDS,)).rowcount)


def _digest(accounts: Collection[str]) -> bytes:
    return hashlib.blake2b("\0".join(sorted(accounts)).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _leases(db: Session) -> dict[str, tuple[str | None, int]]:
    return {account: (holder, epoch) for account, holder, epoch in db.execute(_LEASES)}


def _of(name: str, holders: Mapping[str, str]) -> list[str]:
    return [account for account, holder in holders.items() if holder == name]


_RENEW = """
    UPDATE replica SET url = ?, accounts = ?, status = ?, expires = clock_timestamp() + ? * interval '1 second'
    WHERE name = ?
"""
_REGISTER = """
    INSERT INTO replica (url, accounts, status, expires, name)
    VALUES (?, ?, ?, clock_timestamp() + ? * interval '1 second', ?)
"""
_DECLARE_DEAD = """
    DELETE FROM replica WHERE name IN
        (SELECT name FROM replica WHERE expires < clock_timestamp() FOR UPDATE SKIP LOCKED)
"""
# Written before the database's clock was set back: a replica that ended then would be alive for as long.
_NOT_AHEAD = """
    UPDATE replica SET expires = clock_timestamp() + ? * interval '1 second' WHERE name IN
        (SELECT name FROM replica WHERE expires > clock_timestamp() + ? * interval '1 second' FOR UPDATE SKIP LOCKED)
"""
_REPLICAS = "SELECT name, url, accounts, status FROM replica"
_LOCK = "SELECT 1 FROM lease WHERE account = ? AND epoch = ? FOR UPDATE SKIP LOCKED"
_TAKE = "UPDATE lease SET holder = ?, epoch = ? WHERE account = ?"
_LEASES = "SELECT account, holder, epoch FROM lease"
_MOVE = """
    UPDATE workload_exporter SET moved = clock_timestamp()
    WHERE moved NOT BETWEEN clock_timestamp() - ? * interval '1 second' AND clock_timestamp()
"""
