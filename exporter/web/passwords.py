"""Checks basic-auth passwords against bcrypt hashes without delaying anything else.

A check takes tenths of a second of CPU by design, and any client that can connect can request one. Checks therefore run
in their own thread, the queue is short, and results are cached.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from operator import attrgetter
from typing import Any, NamedTuple

import bcrypt

from exporter.log import log

MOST_WAITING = 24
"""Requests in the queue."""
MOST_PASSED, MOST_FAILED, MOST_LEFT = 100, 500, 2000
"""Cached right passwords, wrong passwords, and places of disconnected clients."""
FAILED_SECONDS = 60.0
"""How long a wrong password is cached."""
HALF_LIFE = 60.0
"""Seconds after which a wrong password counts half."""
PATIENCE, RETURN = 1.0, 120.0
"""Seconds: a client that disconnects after `PATIENCE` keeps its place in the queue if it returns within `RETURN`."""

_Source = str | tuple[str, bytes]
"""A network, or a network and a digest of a user's name."""


class _Users(NamedTuple):
    """Bcrypt hashes by name; `decoys` are hashes of no password by cost, from the lowest cost in use to the highest."""

    hashes: dict[str, bytes]
    decoys: dict[int, bytes]


class _Check(NamedTuple):
    """A request that waits for a password check. `verdict`: right or wrong, or None if too many requests wait."""

    number: int
    since: float
    network: str
    user: bytes
    digest: bytes
    name: str
    password: bytes
    gone: Callable[[], bool]
    verdict: asyncio.Future[bool | None]

    @property
    def source(self) -> tuple[str, bytes]:
        return self.network, self.user

    def end(self, verdict: bool | None) -> None:
        if not self.verdict.done():
            self.verdict.set_result(verdict)


class Passwords:
    """`users` maps names to bcrypt hashes; without any, every request is authorized.

    The next check is for the network with the fewest recent wrong passwords, within it for the user with the fewest,
    then for the oldest request; every second check is simply for the oldest request. A client with a clean record
    therefore waits for two checks at most. Networks and users are never locked out, because an attacker could use that
    to lock out the scraper.

    Behind a proxy all clients share one address, and an attacker may use the scraper's user name. The rule then cannot
    distinguish them, and the scraper queues behind up to `MOST_WAITING` others. If that takes longer than a scrape may,
    it still reaches the head of the queue: a repeated password keeps its place, while guesses differ each time.

    When more than `MOST_WAITING` wait, the newest request is rejected of the network and user with the most waiting or
    recently failed checks. A request whose client has disconnected is dropped before it costs a check.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        pool: Executor | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool or ThreadPoolExecutor(1, "passwords")
        self._steady = steady
        self._salt = os.urandom(16)
        self._queue: list[_Check] = []
        self._number = 0
        self._oldest_next = False
        self._worker: asyncio.Task[None] | None = None
        self._failures: dict[_Source, tuple[float, float]] = {}
        self._passed: dict[bytes, None] = {}
        self._failed: dict[bytes, float] = {}
        self._left: dict[bytes, tuple[int, float]] = {}
        self._users = _Users({}, {})
        self.replace(users)

    def replace(self, users: Mapping[str, str]) -> None:
        """Check against these from now on, including waiting requests; cached results are dropped if they differ."""
        hashes = {name: hashed.encode() for name, hashed in users.items()}
        if hashes == self._users.hashes:
            return
        costs = [int(hashed[4:6]) for hashed in users.values()]
        decoys = {cost: bcrypt.gensalt(cost) + b"." * 31 for cost in range(min(costs), max(costs) + 1)} if costs else {}
        self._users = _Users(hashes, decoys)
        self._passed.clear()
        self._failed.clear()

    def known(self, authorization: str) -> bool | None:
        """Whether a request with this Authorization header is authorized, or None if that needs a check."""
        if not self._users.hashes:
            return True
        name, password = credentials(authorization)
        if name is None:
            return False
        digest = self._digest(name, password)
        if digest in self._passed:
            return True
        return False if self._failed.get(digest, 0.0) > self._steady() else None

    def user(self, authorization: str) -> str | None:
        """The user of an authorized request; None if no login is required."""
        return credentials(authorization)[0] if self._users.hashes else None

    async def check(self, authorization: str, network: str, gone: Callable[[], bool]) -> bool | None:
        """Return whether the request is authorized; None if too many requests wait.

        `gone` returns whether the client has disconnected; the request is then refused without a check.
        """
        name, password = credentials(authorization)
        if name is None:
            return False
        verdict: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        user, digest = self._digest(name, b""), self._digest(name, password)
        now = self._steady()
        self._number += 1
        number, until = self._left.pop(digest, (0, 0.0))
        if until < now:
            number = self._number
        self._queue.append(_Check(number, now, network, user, digest, name, password, gone, verdict))
        if len(self._queue) > MOST_WAITING:
            self._reject_one()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await verdict

    async def _work(self) -> None:
        """Run the waiting checks one after another."""
        loop = asyncio.get_running_loop()
        try:
            while (check := self._next()) is not None:
                users = self._users
                try:
                    right = await loop.run_in_executor(self._pool, _matches, users, check.name, check.password)
                except Exception:  # the other requests must not wait forever
                    log.exception("password check failed; request refused")
                    check.end(False)
                    continue
                if users is not self._users:
                    self._queue.append(check)  # the hashes have changed in the meantime
                    continue
                self._remember(check, right)
                for each in (check, *self._queue):
                    if each.digest == check.digest:
                        each.end(right)
        finally:
            self._worker = None
            for check in self._queue:
                check.end(None)
            self._queue.clear()

    def _next(self) -> _Check | None:
        self._drop_gone()
        if not self._queue:
            return None
        now = self._steady()

        def priority(each: _Check) -> tuple[float, float, int]:
            return self._failures_of(each.network, now), self._failures_of(each.source, now), each.number

        self._oldest_next = not self._oldest_next
        check = min(self._queue, key=priority if self._oldest_next else attrgetter("number"))
        self._queue.remove(check)
        return check

    def _reject_one(self) -> None:
        self._drop_gone()
        if len(self._queue) <= MOST_WAITING:
            return
        networks = Counter(each.network for each in self._queue)
        sources = Counter(each.source for each in self._queue)
        now = self._steady()

        def load(each: _Check) -> tuple[float, float, int]:
            of_network = networks[each.network] + self._failures_of(each.network, now)
            return of_network, sources[each.source] + self._failures_of(each.source, now), each.number

        last = max(self._queue, key=load)
        self._queue.remove(last)
        last.end(None)

    def _drop_gone(self) -> None:
        now = self._steady()
        for each in self._queue:
            if each.gone() and not each.verdict.done():
                each.end(False)
                if now - each.since >= PATIENCE:
                    self._left[each.digest] = each.number, now + RETURN
                    _bound(self._left, MOST_LEFT)
        self._queue = [each for each in self._queue if not each.verdict.done()]

    def _remember(self, check: _Check, right: bool) -> None:
        """Cache a result. Right passwords have their own cache, so that wrong ones cannot displace them."""
        if right:
            self._passed[check.digest] = None
            _bound(self._passed, MOST_PASSED)
            return
        now = self._steady()
        self._failed[check.digest] = now + FAILED_SECONDS
        _bound(self._failed, MOST_FAILED)
        sources: tuple[_Source, ...] = check.network, check.source
        for source in sources:
            failures = self._failures_of(source, now) + 1
            self._failures.pop(source, None)  # so that it is the newest
            self._failures[source] = failures, now
        _bound(self._failures, MOST_FAILED)

    def _failures_of(self, source: _Source, now: float) -> float:
        """Recent wrong passwords, older ones weighted less. `now` must be the same for all that are compared."""
        failures, at = self._failures.get(source, (0.0, now))
        return failures * math.pow(0.5, (now - at) / HALF_LIFE)

    def _digest(self, name: str, password: bytes) -> bytes:
        return hashlib.sha256(self._salt + name.encode() + b":" + password).digest()


def _matches(users: _Users, name: str, password: bytes) -> bool:
    """Return whether this is the user's password. The time of a refusal does not reveal whether the user exists.

    A refusal takes the time of the highest bcrypt cost in use: each cost takes twice the time of the one below, so
    decoys of the user's own cost and of all above it, except the highest, add up to the difference.
    """
    if not users.hashes:
        return True
    hashed, highest = users.hashes.get(name), max(users.decoys)
    if hashed is None:
        bcrypt.checkpw(password, users.decoys[highest])
        return False
    if bcrypt.checkpw(password, hashed):
        return True
    for cost in range(int(hashed[4:6]), highest):
        bcrypt.checkpw(password, users.decoys[cost])
    return False


def _bound(kept: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries."""
    while len(kept) > most:
        del kept[next(iter(kept))]


def credentials(authorization: str) -> tuple[str | None, bytes]:
    """User and password of a Basic header (RFC 7617), or (None, b""). The password is cut to the 72 bytes that bcrypt
    uses.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.casefold() != "basic":
        return None, b""
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
        return (user.decode() if colon else None), password[:72]
    except ValueError:  # no base64, which may also mean no ASCII, or a user that is not UTF-8
        return None, b""
