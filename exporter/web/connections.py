"""Limits the connections of the server. At the limit a new connection is accepted and another one is closed.

Refusing new connections would favour idle ones: forty of them would lock out every scrape.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, get_args

Closed = Literal["idle", "unread", "busy", "slow_head", "long_head", "slow_read"]
CLOSED: tuple[Closed, ...] = get_args(Closed)
"""Reasons for closing a connection: the first three make room for a new one, the others are timeouts and limits."""

Refused = Literal["busy", "password_checks"]
REFUSED: tuple[Refused, ...] = get_args(Refused)
"""Reasons for refusing a request: too many requests, or too many password checks, in progress."""


class Connection(Protocol):
    """One connection; `network` is from `network_of`."""

    network: str

    def abort(self) -> None:
        """Close the connection now; unsent data is dropped."""


Group = dict[Connection, None]
"""Connections in one state, in the order in which they entered it."""


class Connections:
    """At most `most` connections. `count` receives the reason for each that is closed to make room.

    Each is in one of three groups: `waiting` for a complete request head (new, idle, or slow), `working` on a response,
    or `unread`: its client has not read the response yet.
    """

    def __init__(self, most: int, count: Callable[[Closed], None]) -> None:
        self._most, self._count = most, count
        self.waiting, self.unread, self.working = Group(), Group(), Group()
        self._groups: dict[Connection, Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._groups

    def admit(self, new: Connection) -> None:
        """Add a new connection to `waiting`; at the limit another one is closed."""
        if len(self._groups) >= self._most:
            self._make_room(new.network)
        self.waiting[new] = None
        self._groups[new] = self.waiting

    def move(self, connection: Connection, group: Group) -> None:
        """Put a connection last in a group, unless it is already closed."""
        before = self._groups.get(connection)
        if before is None:
            return
        del before[connection]
        group[connection] = None
        self._groups[connection] = group

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        group = self._groups.pop(connection, None)
        if group is not None:
            del group[connection]

    def close_idle(self) -> bool:
        """Close one that is idle or whose client does not read; False: there is none."""
        if not (self.waiting or self.unread):
            return False
        self._make_room("")
        return True

    def _make_room(self, new_network: str) -> None:
        numbers = Counter(connection.network for connection in self._groups)
        numbers[new_network] += 1
        victim, reason = next(self._closable(numbers))
        self.remove(victim)
        self._count(reason)
        victim.abort()

    def _closable(self, numbers: Counter[str]) -> Iterator[tuple[Connection, Closed]]:
        """Connections that may be closed, the best candidate first: an idle one or one whose client does not read, from
        the larger of the two groups, else one with a slow response. `numbers` counts the connections by network.

        The group is the larger one, because strangers fill either: if idle ones were always closed first, those that do
        not read would push out every new connection, and in the other order idle ones every slow reader.

        Among these, one from the network with the most connections, so that a client cannot push out the scraper by
        opening many; of these, the oldest. A network with more than half of all connections is closed first, even if
        it only reads slowly.
        """
        groups: list[tuple[Group, Closed]] = [(self.waiting, "idle"), (self.unread, "unread")]
        groups.sort(key=lambda each: len(each[0]), reverse=True)
        ((largest, number),) = numbers.most_common(1)
        if number * 2 > self._most:
            for group, reason in groups:
                yield from ((each, reason) for each in group if each.network == largest)
        for group, reason in (*groups, (self.working, "busy")):
            most = max((numbers[each.network] for each in group), default=0)
            yield from ((each, reason) for each in group if numbers[each.network] == most)


def network_of(host: str) -> str:
    """The addresses that one client can use: its IPv4 address, or the /64 network of its IPv6 address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
