"""How replicas share accounts: evenly, and an account stays where it is unless that is needed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple


class Share(NamedTuple):
    """What a replica changes: free accounts that it takes, and one that it gives up, if any.

    `at_once`: the account need not be swept by any replica.
    """

    take: tuple[str, ...] = ()
    give_up: str | None = None
    at_once: bool = False


def share(
    me: str, alive: Collection[str], accounts: Collection[str], holders: Mapping[str, str], *, alike: bool = True
) -> Share:
    """What the replica `me` does about these accounts.

    `alive`: the names of all replicas, with this one; `holders`: replica by account, alive or not. `alike`: whether all
    replicas have these accounts; if not, none may rely on another one to take its share.
    """
    ours = sorted(account for account, holder in holders.items() if holder == me)
    if unwanted := [account for account in ours if account not in accounts]:
        return Share(give_up=unwanted[0], at_once=True)
    free = [account for account in accounts if holders.get(account) not in alive]
    least, rest = divmod(len(accounts), len(alive))
    most = least + bool(rest)
    if free:
        room = max(0, most - len(ours)) if alike else len(free)
        return Share(tuple(sorted(free, key=lambda account: _turn(me, account))[:room]))
    if not alike:
        return Share()
    counts = Counter(dict.fromkeys(alive, 0))
    counts.update(holders[account] for account in accounts)
    if len(ours) > most or (len(ours) > least and min(counts.values()) < least):
        return Share(give_up=max(ours, key=lambda account: _turn(me, account)))
    return Share()


def _turn(me: str, account: str) -> bytes:
    """Orders accounts differently for each replica, so that two rarely want the same one at once."""
    return hashlib.blake2b(f"{me}\0{account}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
