"""Which connection is closed to make room for a new one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.connections import Closed, Connections, network_of

MOST = 4


class Fake:
    """A connection from a network, with a name for the eye."""

    def __init__(self, name: str, network: str = "") -> None:
        self.name, self.network, self.was_cut = name, network or name, False

    def __repr__(self) -> str:
        return self.name

    def cut(self) -> None:
        self.was_cut = True


def closed_for(newcomer: str, held: list[tuple[str, str]]) -> tuple[int, Closed]:
    """Which of the connections held, (network, place) in the order they came, is closed for a newcomer, and why."""
    reasons: list[Closed] = []
    connections = Connections(len(held), reasons.append)
    fakes = [Fake(str(n), network) for n, (network, _) in enumerate(held)]
    for fake in fakes:
        connections.admit(fake)
    for fake, (_, place) in zip(fakes, held, strict=True):
        connections.move(fake, getattr(connections, place))
    connections.admit(Fake("new", newcomer))
    (cut,) = [n for n, fake in enumerate(fakes) if fake.was_cut]
    return cut, reasons[0]


@pytest.mark.parametrize(
    ("held", "closed", "reason"),
    [
        ([("a", "working"), ("b", "unread"), ("c", "waiting"), ("d", "waiting")], 2, "idle"),
        ([("a", "working"), ("b", "unread"), ("c", "unread"), ("d", "working")], 1, "unread"),
        ([("a", "working"), ("b", "working")], 0, "busy"),
        ([("a", "waiting"), ("b", "waiting"), ("c", "waiting"), ("b", "waiting")], 1, "idle"),
        ([("a", "waiting"), ("b", "waiting"), ("b", "working"), ("c", "waiting")], 1, "idle"),
        ([("a", "waiting"), ("new", "waiting")], 1, "idle"),  # the newcomer counts
        ([("a", "waiting"), ("b", "working"), ("b", "unread"), ("b", "unread")], 2, "unread"),  # more than half are b's
        ([("a", "waiting"), ("b", "working"), ("b", "working"), ("b", "working")], 0, "idle"),
    ],
)
def test_the_one_that_matters_least_is_closed(held: list[tuple[str, str]], closed: int, reason: Closed) -> None:
    assert closed_for("new", held) == (closed, reason)


@pytest.mark.parametrize("place", ["waiting", "unread", "working"])
def test_of_equals_the_one_that_has_been_there_for_the_longest_time_is_closed(place: str) -> None:
    reasons: list[Closed] = []
    connections = Connections(3, reasons.append)
    first, second, third = (Fake(name) for name in "abc")
    for each in (first, second, third):
        connections.admit(each)
        connections.move(each, getattr(connections, place))
    connections.move(first, connections.working)
    connections.move(first, getattr(connections, place))  # it did something since
    connections.admit(Fake("new"))
    assert (first.was_cut, second.was_cut, third.was_cut) == (False, True, False)


steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "waiting", "unread", "working", "remove"]), st.integers(0, 9), st.sampled_from("abc")
    ),
    max_size=60,
)


@given(steps)
def test_whatever_comes_there_are_never_too_many_and_each_newcomer_stays(steps: list[tuple[str, int, str]]) -> None:
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
        places = [*connections.waiting, *connections.unread, *connections.working]
        assert len(places) == len(connections) <= MOST
        assert Counter(places) == Counter(each for each in there if each in connections)
        assert sum(each.was_cut for each in there) == len(reasons) == len(there) - len(connections) - ended


@given(st.lists(st.sampled_from(["waiting", "unread"]), min_size=1), st.integers(0, 100))
def test_no_number_of_connections_from_one_network_closes_the_only_one_of_another(places: list[str], more: int) -> None:
    connections = Connections(MOST, lambda _: None)
    scraper = Fake("scraper")
    connections.admit(scraper)
    for number in range(more):
        stranger = Fake(str(number), "stranger")
        connections.admit(stranger)
        connections.move(stranger, getattr(connections, places[number % len(places)]))
    assert not scraper.was_cut


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
def test_a_client_counts_by_the_addresses_it_can_choose_from(host: str, network: str) -> None:
    assert network_of(host) == network
