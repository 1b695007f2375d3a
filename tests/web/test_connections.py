"""Which connection is closed to make room for a new one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.connections import Closed, Connections, network_of

MOST = 4


class Fake:
    """A connection with a readable name."""

    def __init__(self, name: str, network: str = "") -> None:
        self.name, self.network, self.aborted = name, network or name, False

    def __repr__(self) -> str:
        return self.name

    def abort(self) -> None:
        self.aborted = True


def closed_for(newcomer: str, existing: list[tuple[str, str]]) -> tuple[int, Closed]:
    """Which of the existing connections, (network, group) from the oldest on, is closed for a new one; the reason."""
    reasons: list[Closed] = []
    connections = Connections(len(existing), reasons.append)
    fakes = [Fake(str(n), network) for n, (network, _) in enumerate(existing)]
    for fake in fakes:
        connections.admit(fake)
    for fake, (_, group) in zip(fakes, existing, strict=True):
        connections.move(fake, getattr(connections, group))
    connections.admit(Fake("new", newcomer))
    (closed,) = [n for n, fake in enumerate(fakes) if fake.aborted]
    return closed, reasons[0]


@pytest.mark.parametrize(
    ("existing", "closed", "reason"),
    [
        ([("a", "working"), ("b", "unread"), ("c", "waiting"), ("d", "waiting")], 2, "idle"),
        ([("a", "working"), ("b", "unread"), ("c", "unread"), ("d", "working")], 1, "unread"),
        ([("a", "unread"), ("b", "unread"), ("c", "waiting"), ("d", "working")], 0, "unread"),
        ([("a", "unread"), ("b", "waiting"), ("c", "working")], 1, "idle"),
        ([("a", "working"), ("b", "working")], 0, "busy"),
        ([("a", "waiting"), ("b", "waiting"), ("c", "waiting"), ("b", "waiting")], 1, "idle"),
        ([("a", "waiting"), ("b", "waiting"), ("b", "working"), ("c", "waiting")], 1, "idle"),
        ([("a", "waiting"), ("new", "waiting")], 1, "idle"),  # the new one counts
        ([("a", "waiting"), ("b", "working"), ("b", "unread"), ("b", "unread")], 2, "unread"),  # more than half are b's
        ([("a", "waiting"), ("b", "working"), ("b", "working"), ("b", "working")], 0, "idle"),
    ],
)
def test_the_least_important_connection_is_closed(existing: list[tuple[str, str]], closed: int, reason: Closed) -> None:
    assert closed_for("new", existing) == (closed, reason)


@pytest.mark.parametrize("group", ["waiting", "unread", "working"])
def test_among_equals_the_oldest_is_closed(group: str) -> None:
    reasons: list[Closed] = []
    connections = Connections(3, reasons.append)
    first, second, third = (Fake(name) for name in "abc")
    for each in (first, second, third):
        connections.admit(each)
        connections.move(each, getattr(connections, group))
    connections.move(first, connections.working)
    connections.move(first, getattr(connections, group))  # active since
    connections.admit(Fake("new"))
    assert (first.aborted, second.aborted, third.aborted) == (False, True, False)


@pytest.mark.parametrize("group", ["waiting", "unread"])
def test_a_new_connection_outlasts_new_ones_of_strangers_at_its_address_that_do_the_same(group: str) -> None:
    connections = Connections(40, lambda _: None)
    for number in range(100):
        stranger = Fake(str(number), "proxy")
        connections.admit(stranger)
        connections.move(stranger, getattr(connections, group))
    scraper = Fake("scraper", "proxy")
    connections.admit(scraper)  # in its TLS handshake
    for number in range(15):
        stranger = Fake(str(number), "proxy")
        connections.admit(stranger)
        connections.move(stranger, getattr(connections, group))
    assert not scraper.aborted


def test_a_slow_reader_outlasts_idle_connections_of_strangers_at_its_address() -> None:
    connections = Connections(40, lambda _: None)
    reader = Fake("reader", "proxy")
    connections.admit(reader)
    connections.move(reader, connections.unread)
    for number in range(200):
        connections.admit(Fake(str(number), "proxy"))
    assert not reader.aborted


steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "waiting", "unread", "working", "remove"]), st.integers(0, 9), st.sampled_from("abc")
    ),
    max_size=60,
)


@given(steps)
def test_the_limit_is_kept_and_each_new_connection_stays(steps: list[tuple[str, int, str]]) -> None:
    reasons: list[Closed] = []
    connections, there = Connections(MOST, reasons.append), list[Fake]()
    ended = 0
    for number, (step, which, network) in enumerate(steps):
        if step == "admit":
            newcomer = Fake(str(number), network)
            connections.admit(newcomer)
            there.append(newcomer)
            assert newcomer in connections
        elif there:
            chosen = there[which % len(there)]
            if step == "remove":
                ended += chosen in connections
                connections.remove(chosen)
            else:
                connections.move(chosen, getattr(connections, step))
                assert (chosen in getattr(connections, step)) == (chosen in connections)
        groups = [*connections.waiting, *connections.unread, *connections.working]
        assert len(groups) == len(connections) <= MOST
        assert Counter(groups) == Counter(each for each in there if each in connections)
        assert sum(each.aborted for each in there) == len(reasons) == len(there) - len(connections) - ended


@given(st.lists(st.sampled_from(["waiting", "unread"]), min_size=1), st.integers(0, 100))
def test_connections_from_one_network_never_close_the_only_one_of_another(groups: list[str], more: int) -> None:
    connections = Connections(MOST, lambda _: None)
    scraper = Fake("scraper")
    connections.admit(scraper)
    for number in range(more):
        stranger = Fake(str(number), "stranger")
        connections.admit(stranger)
        connections.move(stranger, getattr(connections, groups[number % len(groups)]))
    assert not scraper.aborted


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),  # as a socket for both families names it
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_the_network_of_an_address(host: str, network: str) -> None:
    assert network_of(host) == network
