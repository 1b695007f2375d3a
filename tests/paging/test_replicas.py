"""Paging by replicas: what each of two is sent, and by which of them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from exporter.alerting.notification import Notification
from exporter.alerting.silences import Silence
from exporter.clock import Clock
from exporter.paging.pager import Pager
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.state.database import Lease, StateError
from exporter.state.leases import LeaseTable
from exporter.state.postgresql import Postgresql
from exporter.state.rights import Rights
from exporter.state.store import Store
from tests.paging.test_pager import ALL, ENDS, FIRES, KEPT, Phone, Scene
from tests.postgresql import Server

pytestmark = pytest.mark.real


class Replica(Scene):
    """A pager that may be one of several. The account is not read while it does not have the lease."""

    def __init__(self, group: "Group", name: str, phone: Phone, *, merges: bool) -> None:
        self.group, self.merges = group, merges
        self.rights = Rights(leased=True, steady=lambda: self.now)
        self.database = group.database()
        self.table = LeaseTable(group.database(), name)
        self._shared_phone = phone
        super().__init__()

    def start(self) -> None:
        self.phone = self._shared_phone
        self.store = Store(self.database)
        super().start()

    def made(self, before: Pager | None = None) -> Pager:
        self.store = Store(self.database)
        receiver = Receiver("phone", self.phone.send, ALL, merges=self.merges)
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens while the log of a workload is read."""

        async def enrich(batch: Sequence[Notification]) -> Sequence[Notification]:
            self.meanwhile()
            return batch

        return Pager(
            state=PagingState(self.store, self.rights),
            report=self.report, options=self.options, receivers=[receiver], evidence=self.evidence,
            fleets=lambda: self.fleets() if self.rights.has("acme") else [], exporter=lambda: self.exporter,
            clock=Clock(lambda: self.now, lambda: self.now, asyncio.sleep), enrich=enrich,
        )  # fmt: skip

    async def turn(self) -> None:
        """Renew or take the lease, and gain the account."""
        turn = self.table.turn(["acme"])
        self.rights.leases, self.rights.until = dict(turn.held), self.now + 13.0
        state = self.pager.state
        if self.rights.has("acme") and "acme" not in state.gained:
            await state.gain("acme")
        elif not self.rights.has("acme") and "acme" in state.gained:
            await state.lose("acme")

    async def passes(self, seconds: float, every: float = 10.0) -> None:
        until = self.now + seconds
        while self.now < until:
            with contextlib.suppress(StateError):  # the next turn may succeed
                await self.turn()
            await super().passes(min(every, until - self.now), every)


class Group:
    """Two replicas with one database and one phone."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.server, self.url, self._stack = server, server.url(), stack
        self.phone = Phone()

    def database(self) -> Postgresql:
        database = Postgresql(self.url, shared=True, response_seconds=5.0)
        self._stack.callback(database.close)
        return database

    def replica(self, name: str, *, merges: bool = False) -> Replica:
        return Replica(self, name, self.phone, merges=merges)


@pytest.fixture
def group(postgresql: Server) -> Iterator[Group]:
    with ExitStack() as stack:
        yield Group(postgresql, stack)


def play(work: Callable[[], Awaitable[Any]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]  # every one is a coroutine


def test_an_incident_is_opened_by_one_replica_and_closed_by_the_next_one(group: Group) -> None:
    async def work() -> None:
        one, two = group.replica("one"), group.replica("two")
        for each in (one, two):
            each.status = "errored"
        await one.passes(3600)
        await two.passes(3600)
        assert group.phone.received == [FIRES]
        one.table.leave()
        await two.passes(600)
        await one.passes(60)
        assert group.phone.received == [FIRES], "the incident is the same, and no replica ends it"
        for each in (one, two):
            each.status = "running"
        await one.passes(KEPT + 600)
        await two.passes(KEPT + 600)
        assert group.phone.received == [FIRES, ENDS]

    play(work)


def test_a_replica_that_was_paused_sends_nothing_of_what_another_one_has_taken(group: Group) -> None:
    async def work() -> None:
        paused, other = group.replica("paused"), group.replica("other")
        await paused.passes(300)
        await other.turn()
        paused.status = other.status = "errored"
        await paused.passes(30)
        await paused.pager.evaluate()
        paused.now += 3600  # it continues here, and believes that it has the lease
        await paused.pager.evaluate()
        paused.table.leave()  # as if it had been declared dead
        await other.passes(3600)
        assert group.phone.received == [FIRES]
        paused.rights.until = paused.now + 13.0
        await paused.pager.notify()
        assert group.phone.received == [FIRES]
        assert not paused.rights.has("acme"), "the database has said so"

    play(work)


def test_an_account_that_is_taken_while_its_log_is_read_is_not_paged_by_the_old_holder(group: Group) -> None:
    async def work() -> None:
        old, new = group.replica("old"), group.replica("new")
        await old.passes(300)

        def taken() -> None:
            old.table.leave()  # as if it had been declared dead
            new.table.turn(["acme"])

        old.meanwhile = taken
        old.status = "errored"
        await old.passes(10)
        await old.pager.evaluate()
        old.now += 3600
        old.rights.until = old.now + 13.0
        await old.pager.evaluate()
        await old.pager.notify()
        assert group.phone.received == []

    play(work)


def test_between_taking_over_and_the_first_evaluation_nothing_is_resolved(group: Group) -> None:
    async def work() -> None:
        one, two = group.replica("one"), group.replica("two")
        one.status = two.status = "errored"
        await one.passes(3600)
        one.table.leave()
        await two.pager.evaluate()  # without the account
        await two.turn()
        two.pager.retry({"phone"})
        await two.pager.notify()
        assert group.phone.received == [FIRES]

    play(work)


@pytest.mark.parametrize(("merges", "received"), [(True, [FIRES]), (False, [])])
def test_without_the_database_only_receivers_that_merge_get_a_new_incident_once_the_lease_may_have_run_out(
    merges: bool, received: list[str], group: Group
) -> None:
    async def work() -> None:
        one = group.replica("one", merges=merges)
        await one.passes(300)
        with group.server.down():
            one.status = "errored"
            await one.passes(1800)
        assert group.phone.received == received
        await one.passes(300)
        assert [*dict.fromkeys(group.phone.received)] == [FIRES], "once the database is back, what is missing is sent"

    play(work)


def test_without_the_database_nothing_is_resolved_once_the_lease_may_have_run_out(group: Group) -> None:
    async def work() -> None:
        one = group.replica("one", merges=True)
        one.status = "errored"
        await one.passes(1800)
        with group.server.down():
            one.status = "running"
            await one.passes(KEPT + 600)
        assert group.phone.received == [FIRES]
        await one.passes(300)
        assert group.phone.received == [FIRES, ENDS]

    play(work)


def test_a_silence_made_or_ended_with_one_replica_is_in_force_or_over_with_all(group: Group) -> None:
    async def work() -> None:
        one, two = group.replica("one"), group.replica("two")
        await two.passes(60)
        silence = Silence({"alertname": "DataRobotWorkloadErrored"}, two.now + 86400, "ana", "known", two.now)
        name = await one.pager.silence(silence)
        two.status = "errored"
        await two.passes(1800)
        assert (list(two.pager.silences), group.phone.received) == ([name], [])
        assert await one.pager.end_silence(name)
        await two.passes(1800)
        assert group.phone.received == [FIRES]

    play(work)


def test_pages_of_many_accounts_wait_only_once_for_a_database_that_does_not_respond(group: Group) -> None:
    async def work() -> None:
        database = group.database()
        store, names = Store(database), [f"account-{number}" for number in range(20)]
        rights = Rights(leased=True, steady=lambda: 0.0)
        rights.leases, rights.until = {name: Lease(name, "one", 1) for name in names}, 13.0
        state = PagingState(store, rights)
        batch = [Notification(name, {"account": name}, {}, 0.0) for name in names]
        tried: list[str] = []
        database.transaction = away(tried)  # type: ignore[method-assign]  # only of this one
        assert await state.permitted(batch, merged=False) == batch
        assert len(tried) == 1

    play(work)


def away(tried: list[str]) -> Callable[[], Any]:
    """Transactions of a database that does not respond."""

    def transaction() -> Any:
        tried.append("transaction")
        raise StateError("no response")

    return transaction


def test_a_lease_that_was_lost_is_not_used_for_writing(group: Group) -> None:
    async def work() -> None:
        one = group.replica("one")
        one.status = "errored"
        await one.passes(1800)
        before = one.store.load_paging("acme")
        one.rights.leases = {"acme": Lease("acme", "one", 99)}
        await super(Replica, one).passes(600)
        assert one.store.load_paging("acme") == before
        assert not one.rights.has("acme")

    play(work)
