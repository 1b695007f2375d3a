"""Limits the connections of the server. At the limit a new connection is accepted and the least important one is
closed.

Refusing new connections would favour clients that hold idle ones: forty of them would lock out every scrape.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, get_args

Closed = Literal["idle", "unread", "busy", "slow_head", "long_head", "slow_read"]
CLOSED: tuple[Closed, ...] = get_args(Closed)
"""Why the exporter closes a connection: the first three to make room, the others because the client took too much."""

Refused = Literal["busy", "password_checks"]
REFUSED: tuple[Refused, ...] = get_args(Refused)
"""Why a request is refused: too many requests are being answered, or too many passwords wait to be checked."""


class Member(Protocol):
    """A connection: its network, and how to close it at once."""

    network: str

    def cut(self) -> None:
        """End the connection now; what was not sent is dropped."""


Place = dict[Member, None]


class Connections:
    """At most `most` connections. `count` gets the reason of each that is closed to make room.

    Each stands in one of three places, in the order in which it got there: it is `waiting` for the head of a request (a
    new one, one that is idle, one that sends its head slowly), its request is being answered (`working`), or its client
    has not read the answer yet (`unread`).
    """

    def __init__(self, most: int, count: Callable[[Closed], None]) -> None:
        self._most, self._count = most, count
        self.waiting, self.unread, self.working = Place(), Place(), Place()
        self._places: dict[Member, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, member: Member) -> bool:
        return member in self._places

    def admit(self, new: Member) -> None:
        """Let a new connection in, which waits; at the limit another one is closed."""
        if len(self._places) >= self._most:
            self._make_room(new.network)
        self.waiting[new] = None
        self._places[new] = self.waiting

    def move(self, member: Member, place: Place) -> None:
        """A connection now stands last in this place, unless it is closed already."""
        before = self._places.get(member)
        if before is None:
            return
        del before[member]
        place[member] = None
        self._places[member] = place

    def remove(self, member: Member) -> None:
        """A connection has ended."""
        place = self._places.pop(member, None)
        if place is not None:
            del place[member]

    def _make_room(self, newcomer: str) -> None:
        held = Counter(member.network for member in self._places)
        held[newcomer] += 1
        victim, reason = next(self._closable(held))
        self.remove(victim)
        self._count(reason)
        victim.cut()

    def _closable(self, held: Counter[str]) -> Iterator[tuple[Member, Closed]]:
        """Connections that may be closed, the best candidate first: an idle one, else one whose client does not read,
        else one with a slow response.

        Among these, one from the network with the most connections, so that a client cannot push out the scraper by
        opening many; among those, the oldest. A network with more than half of all connections is closed first, even if
        it only reads slowly.
        """
        places: tuple[tuple[Place, Closed], ...] = (self.waiting, "idle"), (self.unread, "unread")
        ((greediest, number),) = held.most_common(1)
        if number * 2 > self._most:
            for place, reason in places:
                yield from ((member, reason) for member in place if member.network == greediest)
        for place, reason in (*places, (self.working, "busy")):
            most = max((held[member.network] for member in place), default=0)
            yield from ((member, reason) for member in place if held[member.network] == most)


def network_of(host: str) -> str:
    """The addresses that one client can choose from: its IPv4 address, or the /64 of its IPv6 address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
