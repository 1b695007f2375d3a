"""Leases in a real PostgreSQL: whatever is paused, nothing commits under an old epoch."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.fleet.ledger import Ledger
from exporter.state.database import Fenced, Lease, Parameters, Rows, Session, StateError
from exporter.state.leases import LeaseTable
from exporter.state.postgresql import Postgresql
from exporter.state.store import Store
from tests.postgresql import Server

pytestmark = pytest.mark.real
LEDGER = Ledger(10.0, 20.0, "claims", "running")
SECONDS = 10.0


class Steady:
    """The steady clock of a replica, which the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Group:
    """Replicas with one database, whose times are set."""

    def __init__(self, server: Server, url: str, stack: ExitStack) -> None:
        self.server, self.url, self._stack = server, url, stack
        self.steady = Steady()
        self.store = Store(self.database())
        self.numbers = itertools.count()
        self._schema = url.rpartition("%3D")[2]

    def database(self) -> Postgresql:
        """A connection of its own."""
        database = Postgresql(self.url, shared=True)
        self._stack.callback(database.close)
        return database

    def replica(self, name: str) -> LeaseTable:
        return self.table(self.database(), name)

    def table(self, database: Postgresql, name: str) -> LeaseTable:
        return LeaseTable(database, name, f"http://{name}", seconds=SECONDS, steady=self.steady)

    def expire(self, name: str, step: str = "-1 hour") -> None:
        """As if a replica had not renewed its leases for `SECONDS`."""
        self.server.execute(
            f"UPDATE {self._schema}.replica SET expires = expires + interval '{step}' WHERE name = '{name}'"
        )

    def may_move(self, moved: str = "'-infinity'") -> None:
        """As if replicas had given up an account then: more than a second ago."""
        self.server.execute(f"UPDATE {self._schema}.workload_exporter SET moved = {moved}")


@pytest.fixture
def group(postgresql: Server) -> Iterator[Group]:
    with ExitStack() as stack:
        yield Group(postgresql, postgresql.url(), stack)


ACCOUNTS = ["eu", "us"]


def test_the_first_replica_takes_all_accounts_and_keeps_them(group: Group) -> None:
    one = group.replica("a")
    assert one.turn(ACCOUNTS).taken == {"eu", "us"}
    turn = one.turn(ACCOUNTS)
    assert (turn.held, turn.taken) == ({"eu": Lease("eu", "a", 1), "us": Lease("us", "a", 1)}, frozenset())
    assert turn.holders == {"eu": "a", "us": "a"}
    assert turn.until == 1000.0 + SECONDS - 2.0


def test_a_second_replica_gets_half_of_the_accounts_once_the_first_gives_them_up(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    assert two.turn(ACCOUNTS).held == {}
    turn = one.turn(ACCOUNTS)
    assert turn.give_up is not None
    one.release(turn.held[turn.give_up])
    assert two.turn(ACCOUNTS).held == {turn.give_up: Lease(turn.give_up, "b", 2)}
    assert one.turn(ACCOUNTS).held.keys() == {*ACCOUNTS} - {turn.give_up}


def test_replicas_give_up_one_account_a_second(group: Group) -> None:
    many = [f"account-{number}" for number in range(6)]
    one, two = group.replica("a"), group.replica("b")
    one.turn(many)
    two.turn(many)
    first, second = one.turn(many), one.turn(many)
    assert (first.give_up is not None, second.give_up) == (True, None)
    group.may_move()
    assert one.turn(many).give_up is not None


@pytest.mark.parametrize(("name", "given_up"), [("a", ""), ("c", "eu")])
def test_replicas_give_up_what_all_share_like_any_account(group: Group, name: str, given_up: str) -> None:
    one, two = group.replica(name), group.replica("z")  # the order of the accounts depends on the replica's name
    one.turn(["", "eu"])
    two.turn(["", "eu"])
    assert one.turn(["", "eu"]).give_up == given_up


def test_a_replica_that_does_not_renew_its_leases_loses_them(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn(ACCOUNTS)
    group.steady.now += SECONDS
    group.expire("a")
    assert two.turn(ACCOUNTS).held == {"eu": Lease("eu", "b", 2), "us": Lease("us", "b", 2)}
    assert one.turn(ACCOUNTS).held == {}
    with pytest.raises(Fenced, match="another replica has taken account eu; nothing was written"):
        group.store.under(Lease("eu", "a", 1)).commit("eu", {"w": LEDGER})
    assert group.store.load("eu").ledgers == {}


def test_a_replica_that_ended_before_the_clock_of_the_database_was_set_back_loses_its_leases(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn(ACCOUNTS)
    group.expire("a", "+1 hour")  # as if the clock had been set back
    group.steady.now += SECONDS
    assert two.turn(ACCOUNTS).held == {}, "its lease lasts as long as any other"
    group.expire("a", "-11 seconds")  # as if they had passed
    assert two.turn(ACCOUNTS).held.keys() == {*ACCOUNTS}


def test_replicas_give_up_accounts_after_the_clock_of_the_database_was_set_back(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn(ACCOUNTS)
    group.may_move("clock_timestamp() + interval '1 hour'")
    assert one.turn(ACCOUNTS).give_up is not None


def test_an_account_that_only_one_replica_has_in_its_settings_is_held_by_it(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(["eu"])
    few, many = ["eu"], ["eu", "us", "asia", "new"]
    for _ in range(3):
        two.turn(many)
        one.turn(few)
    assert {*one.turn(few).held} == {"eu"}
    assert {*two.turn(many).held} == {"us", "asia", "new"}
    assert (one.turn(few).give_up, two.turn(many).give_up) == (None, None)
    one.leave()
    assert two.turn(many).held.keys() == {*many}


def test_who_was_not_connected_itself_declares_none_dead(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    group.expire("a")
    assert two.turn(ACCOUNTS).held == {}, "the database may have been away for all"
    assert one.turn(ACCOUNTS).held == {"eu": Lease("eu", "a", 1), "us": Lease("us", "a", 1)}


def test_who_has_connected_again_declares_none_dead_for_as_long_as_a_lease_lasts(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn(ACCOUNTS)
    group.steady.now += SECONDS
    group.expire("a")
    group.server.end_sessions()
    assert two.turn(ACCOUNTS).held == {}, "the database may have been away for all"
    group.steady.now += SECONDS
    assert two.turn(ACCOUNTS).held.keys() == {*ACCOUNTS}


def test_a_replica_that_was_declared_dead_keeps_what_no_other_took_under_a_new_epoch(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn([])
    group.steady.now += SECONDS
    group.expire("a")
    two.turn([])
    turn = one.turn(ACCOUNTS)
    assert (turn.held, turn.taken) == ({"eu": Lease("eu", "a", 2), "us": Lease("us", "a", 2)}, frozenset())
    with pytest.raises(Fenced):
        group.store.under(Lease("eu", "a", 1)).check_lease()


def test_who_leaves_is_followed_at_once(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS)
    two.turn(ACCOUNTS)
    one.leave()
    assert two.turn(ACCOUNTS).taken == {"eu", "us"}


class Overlapping:
    """A database that counts transactions that are in progress at once; the first one waits a moment for another."""

    def __init__(self, database: Postgresql) -> None:
        self._database, self._second = database, threading.Event()
        self.now = self.most = 0
        self.connections = 1

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now > 1:
            self._second.set()
        self._second.wait(0.2)
        try:
            with self._database.transaction() as db:
                yield db
        finally:
            self.now -= 1


def test_who_leaves_or_gives_an_account_back_waits_for_the_turn_in_progress(group: Group) -> None:
    """Two transactions of one connection would be one, and the turn would register the replica again."""
    database = Overlapping(group.database())
    one = group.table(cast("Postgresql", database), "a")
    held = one.turn(ACCOUNTS).held["eu"]
    with ThreadPoolExecutor(3) as pool:
        for each in (
            pool.submit(one.turn, ACCOUNTS),
            pool.submit(one.release, held),
            pool.submit(one.leave),
        ):
            each.result()
    assert database.most == 1


def test_an_account_whose_holder_commits_is_taken_only_afterwards(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    held = one.turn(["eu"]).held["eu"]
    two.turn(["eu"])
    begun, go_on = threading.Event(), threading.Event()

    def ledgers() -> dict[str, Ledger]:
        return {"w": LEDGER}

    class Slow(dict[str, Ledger]):
        def __iter__(self) -> Iterator[str]:
            begun.set()
            assert go_on.wait(30)
            return super().__iter__()

    committing = threading.Thread(target=group.store.under(held).commit, args=("eu", Slow(ledgers())), daemon=True)
    committing.start()
    assert begun.wait(30)
    one.leave()
    assert two.turn(["eu"]).held == {}, "a transaction under the lease is in progress"
    go_on.set()
    committing.join(30)
    assert two.turn(["eu"]).held == {"eu": Lease("eu", "b", 2)}
    assert group.store.load("eu").ledgers == {"w": LEDGER}


def test_what_replicas_say_of_themselves_is_read_by_all(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(ACCOUNTS, b"fine")
    replicas = two.turn(ACCOUNTS, b"tired").replicas
    assert {name: (each.url, each.status) for name, each in replicas.items()} == {
        "a": ("http://a", b"fine"),
        "b": ("http://b", b"tired"),
    }


def test_while_the_database_is_away_no_turn_succeeds_and_afterwards_all_keep_their_accounts(group: Group) -> None:
    one, two = group.replica("a"), group.replica("b")
    one.turn(["eu"])
    two.turn(["eu", "us"])
    held = one.turn(["eu", "us"]).held, two.turn(["eu", "us"]).held
    with group.server.down():
        for replica in (one, two):
            with pytest.raises(StateError):
                replica.turn(["eu", "us"])
        group.steady.now += 3600
    for name in "ab":
        group.expire(name)
    assert (one.turn(["eu", "us"]).held, two.turn(["eu", "us"]).held) == held


STEPS = ("commit", "turn", "expire", "leave", "time")


@pytest.fixture
def three(group: Group) -> tuple[Group, list[Postgresql]]:
    return group, [group.database() for _ in range(2)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(schedule=st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from([0, 1])), min_size=2, max_size=16))
def test_no_schedule_of_two_replicas_commits_under_an_old_epoch(
    three: tuple[Group, list[Postgresql]], schedule: list[tuple[str, int]]
) -> None:
    """Each replica counts under the lease that it believes to have. No count is lost or made twice, and all commits of
    an epoch come before those of the next one.
    """
    group, databases = three
    account = f"account-{next(group.numbers)}"
    names = [f"{each}-{account}" for each in "ab"]
    tables = [group.table(database, name) for database, name in zip(databases, names, strict=True)]
    believed: list[Lease | None] = [None, None]
    epochs: list[int] = []
    for step, number in schedule:
        match step:
            case "turn":
                believed[number] = tables[number].turn([account]).held.get(account)
            case "commit" if (lease := believed[number]) is not None:
                try:
                    group.store.under(lease).commit(account, {"w": Ledger(10.0, 20.0, resets=len(epochs) + 1)})
                    epochs.append(lease.epoch)
                except Fenced:
                    believed[number] = None
            case "expire":
                group.expire(names[number])
            case "leave":  # but it goes on as if it did not know, like a replica that was paused
                tables[number].leave()
            case "time":
                group.steady.now += SECONDS
    for table in tables:
        table.leave()
    assert epochs == sorted(epochs)
    stored = group.store.load(account).ledgers
    assert (stored["w"].resets if stored else 0) == len(epochs)


def test_epochs_only_increase(group: Group) -> None:
    replicas = {name: group.replica(name) for name in "abc"}
    epochs = []
    for name in itertools.islice(itertools.cycle("abc"), 9):
        epochs.append(replicas[name].turn(["eu"]).held["eu"].epoch)
        replicas[name].leave()
    assert epochs == sorted(set(epochs))


class Stepped(Postgresql):
    """A database whose statements wait until the test lets the thread take one more step."""

    def __init__(self, url: str) -> None:
        self._may_go, self.arrived = threading.Semaphore(1_000_000), threading.Semaphore(0)
        super().__init__(url, shared=True)

    def begin(self) -> None:
        """Wait at each statement from now on."""
        self._may_go = threading.Semaphore(0)

    def step(self) -> None:
        """Let the next statement run, until the one after it is due, or it waits for a lock, or the work is over."""
        self._may_go.release()
        self.arrived.acquire(timeout=0.05)

    def _wait(self) -> None:
        self.arrived.release()
        assert self._may_go.acquire(timeout=30)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._wait()
        with super().transaction() as session:
            yield _Steps(session, self._wait)
            self._wait()  # before the commit


class _Steps:
    def __init__(self, session: Session, wait: Callable[[], None]) -> None:
        self._session, self._wait = session, wait

    def execute(self, sql: str, parameters: Parameters = (), /) -> Rows:
        self._wait()
        return self._session.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> object:
        self._wait()
        return self._session.executemany(sql, rows)


@pytest.fixture
def slow(group: Group) -> Iterator[list[Stepped]]:
    made = [Stepped(group.url) for _ in range(2)]
    yield made
    for each in made:
        each.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(runs=st.lists(st.integers(1, 30), min_size=2, max_size=8))
def test_no_pause_between_two_statements_lets_two_epochs_mix(
    three: tuple[Group, list[Postgresql]], slow: list[Stepped], runs: list[int]
) -> None:
    """The holder commits while another replica takes the account and commits, too. Both stop before each statement and
    take turns, of so many statements each.

    The last that writes has the newest epoch, and a commit of the old one that succeeded was there when the other one
    loaded the state.
    """
    group, (first, second) = three
    account = f"account-{next(group.numbers)}"
    tables = [group.table(database, f"{name}-{account}") for name, database in (("a", first), ("b", second))]
    lease = tables[0].turn([account]).held[account]
    tables[0].leave()  # it is declared dead, and does not know
    for each in slow:
        each.begin()
    outcome: list[str] = []

    def old() -> None:
        try:
            Store(slow[0]).under(lease).commit(account, {"w": Ledger(10.0, 20.0, resets=1)})
            outcome.append("old")
        except Fenced:
            outcome.append("refused")

    def new() -> None:
        table = LeaseTable(slow[1], tables[1].name, seconds=SECONDS)
        while (taken := table.turn([account]).held.get(account)) is None:
            pass
        stored = group.store.load(account).ledgers
        count = stored["w"].resets if stored else 0
        Store(slow[1]).under(taken).commit(account, {"w": Ledger(10.0, 20.0, resets=count + 10)})

    threads = [threading.Thread(target=work, daemon=True) for work in (old, new)]
    for thread in threads:
        thread.start()
    schedule = (turn % 2 for turn, steps in enumerate(runs) for _ in range(steps))
    for turn in itertools.chain(schedule, itertools.cycle([0, 1])):
        if threads[turn].is_alive():
            slow[turn].step()
        elif not threads[1 - turn].is_alive():
            break
    tables[1].leave()
    assert group.store.load(account).ledgers["w"].resets == {"old": 11, "refused": 10}[outcome[0]]
