"""For which accounts this process may act."""

from __future__ import annotations

import time
from collections.abc import Callable

from exporter.state.database import Fenced, Lease


class Rights:
    """The leases of this replica. Without leases, as an exporter that is alone: all accounts, for ever.

    `until`: time of `steady` until which no other replica can have taken a lease.
    """

    def __init__(self, *, leased: bool = False, steady: Callable[[], float] = time.monotonic) -> None:
        self.leased, self._steady = leased, steady
        self.leases: dict[str, Lease] = {}
        self.until = float("-inf") if leased else float("inf")

    def has(self, account: str) -> bool:
        """Whether this process acts for an account, as far as it knows."""
        return not self.leased or account in self.leases

    @property
    def certain(self) -> bool:
        """Whether it is certain that no other replica acts for the accounts of this one."""
        return self._steady() < self.until

    def lease(self, account: str) -> Lease | None:
        """The lease under which to write; None: none is needed. Raises `Fenced` if this replica has none."""
        if not self.leased:
            return None
        if account not in self.leases:
            raise Fenced(f"this replica has no lease for account {account}" if account else "another replica decides")
        return self.leases[account]

    def forfeit(self, lease: Lease | None) -> None:
        """Another replica has taken it."""
        if lease is not None and self.leases.get(lease.account) == lease:
            del self.leases[lease.account]
