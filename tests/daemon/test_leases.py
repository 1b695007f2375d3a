"""What a replica does about its leases: it monitors and pages its accounts, and no others, whatever fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.daemon.leases import Leases
from exporter.settings.model import Settings
from exporter.state.database import Lease, StateError
from exporter.state.leases import LiveReplica, Turn
from exporter.state.rights import Rights
from exporter.telemetry.report import Report
from tests.samples import samples

SETTINGS = Settings.model_validate(
    {"accounts": [{"name": name, "endpoint": "https://dr.test", "token": "x"} for name in ("eu", "us")]}
)
ALL = ("", "eu", "us")
FAILURES = "datarobot_exporter_takeover_failures_total"
LEASE_FAILURES = "datarobot_exporter_lease_failures_total"


class Parts:
    """The parts of a daemon that leases use. `broken`: what fails, by operation and account.

    `monitored` and `paged` are the accounts that are; `done` is what was done with them.
    """

    name = "me"

    def __init__(self) -> None:
        self.broken: dict[str, Exception] = {}
        self.hanging: str | None = None
        self.leases: dict[str, int] = {}
        self.taken: set[str] = set()
        self.give_up: str | None = None
        self.monitored: set[str] = set()
        self.paged: set[str] = set()
        self.done: list[str] = []

    def _do(self, what: str) -> None:
        if what in self.broken:
            raise self.broken[what]
        self.done.append(what)

    # -- the table

    def turn(self, *_: object) -> Turn:
        self._do("turn")
        held = {account: Lease(account, "me", epoch) for account, epoch in self.leases.items()}
        holders = dict.fromkeys(held, "me")
        taken, self.taken = frozenset(self.taken), set()
        return Turn(held, taken, self.give_up, {"me": LiveReplica("http://me", b"", b"")}, holders, 1013.0)

    def release(self, lease: Lease) -> None:
        self._do(f"release {lease.account}")

    # -- accounts

    @property
    def monitors(self) -> dict[str, object]:
        return dict.fromkeys(self.monitored)

    removed: dict[str, object] = {}  # noqa: RUF012 — never changed

    def unwritten(self, account: str) -> bool:
        return False

    # -- paging

    @property
    def gained(self) -> frozenset[str]:
        return frozenset(self.paged)

    def has(self, account: str) -> bool:
        return account in self.paged

    def knows(self, account: str) -> bool:
        return False

    async def written(self, account: str) -> bool:
        return True

    # -- the state

    async def commit(self) -> None:
        self._do("commit")


class Monitors:
    """Gains and loses accounts for monitoring, as `Accounts`, or for paging, as `Paging`."""

    def __init__(self, parts: Parts, kind: str, accounts: set[str]) -> None:
        self._parts, self._kind, self._accounts = parts, kind, accounts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parts, name)

    async def gain(self, account: Any, *_: object) -> None:
        name = account if isinstance(account, str) else account.name
        if name in self._accounts:
            return
        if name == self._parts.hanging:
            await asyncio.Event().wait()
        self._parts._do(f"{self._kind} {name}")
        self._accounts.add(name)

    def _lose(self, account: str) -> None:
        if account in self._accounts:
            self._parts._do(f"end {self._kind} {account}")
            self._accounts.discard(account)


class FakeAccounts(Monitors):
    def lose(self, account: str) -> None:
        self._lose(account)


class FakePaging(Monitors):
    async def lose(self, account: str) -> None:
        self._lose(account)


class Scene:
    def __init__(self) -> None:
        self.parts, self.report = Parts(), Report(0.0)
        self.rights = Rights(leased=True, steady=lambda: 1000.0)
        self.leases = Leases(
            cast("Any", self.parts),
            self.rights,
            accounts=cast("Any", FakeAccounts(self.parts, "monitor", self.parts.monitored)),
            paging=cast("Any", FakePaging(self.parts, "page", self.parts.paged)),
            state=cast("Any", self.parts),
            settings=lambda: SETTINGS,
            status=ExporterStatus,
            lock=asyncio.Lock(),
            report=self.report,
            clock=Clock(lambda: 0.0, lambda: 1000.0),
        )

    async def turn(self, **leases: int) -> None:
        """One turn with these leases, and what follows from it. `shared` is what all replicas share."""
        self.parts.leases = {name.replace("shared", ""): epoch for name, epoch in leases.items()}
        await self.leases.turn()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    def value(self, name: str, **labels: str) -> float | None:
        found = samples(self.report.text().decode().splitlines())
        return found.get((name, frozenset(labels.items())))

    @property
    def held(self) -> dict[str, float | None]:
        return {name: self.value("datarobot_exporter_unit_held", account=name) for name in ALL}


def play(work: Callable[[Scene], Awaitable[None]]) -> None:
    async def inside() -> None:
        await work(Scene())

    asyncio.run(inside())


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


RETRYING = "an account could not be taken over or given up; retrying"


def test_an_account_is_held_once_it_is_monitored_and_paged() -> None:
    async def work(scene: Scene) -> None:
        await scene.turn(shared=1, eu=1)
        assert scene.parts.done == ["turn", "page ", "monitor eu", "page eu"]
        assert scene.held == {"": 1.0, "eu": 1.0, "us": 0.0}
        await scene.turn(us=1)
        assert scene.held == {"": 0.0, "eu": 0.0, "us": 1.0}
        assert (scene.parts.monitored, scene.parts.paged) == ({"us"}, {"us"})

    play(work)


@pytest.mark.parametrize("step", ["monitor eu", "page eu"])
def test_an_account_that_cannot_be_taken_over_is_not_held_counted_each_time_and_logged_once_per_reason(
    step: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        scene.parts.broken[step] = OSError("no such file")
        for _ in range(3):
            await scene.turn(eu=1, us=1)
        assert (scene.held, scene.value(FAILURES)) == ({"": 0.0, "eu": 0.0, "us": 1.0}, 3.0)
        assert messages(caplog).count(RETRYING) == 1
        scene.parts.broken[step] = StateError("disk full")
        await scene.turn(eu=1, us=1)
        assert messages(caplog).count(RETRYING) == 2
        scene.parts.broken = {}
        for _ in range(2):
            await scene.turn(eu=1, us=1)
        assert (scene.held, scene.value(FAILURES)) == ({"": 0.0, "eu": 1.0, "us": 1.0}, 4.0)
        assert messages(caplog).count("the account could be taken over or given up now") == 1

    with caplog.at_level(logging.INFO):
        play(work)


def test_an_account_that_cannot_be_given_up_delays_no_other_and_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(scene: Scene) -> None:
        await scene.turn(eu=1)
        scene.parts.broken["end page eu"] = KeyError("eu")
        for _ in range(3):
            await scene.turn(us=1)
        assert scene.held == {"": 0.0, "eu": 0.0, "us": 1.0}
        assert scene.value(FAILURES) == 3.0
        assert messages(caplog) == [RETRYING]
        scene.parts.broken = {}
        await scene.turn(us=1)
        assert (scene.parts.monitored, scene.parts.paged) == ({"us"}, {"us"})
        assert messages(caplog)[1:] == [
            "another replica holds the account now",
            "the account could be taken over or given up now",
        ]

    with caplog.at_level(logging.INFO):
        play(work)


def test_what_is_known_of_an_account_that_another_replica_held_meanwhile_is_not_used() -> None:
    async def work(scene: Scene) -> None:
        await scene.turn(eu=1)
        scene.parts.broken["end page eu"] = OSError("x")
        scene.parts.taken = {"eu"}
        for _ in range(2):
            await scene.turn(eu=3)
            assert scene.held == {"": 0.0, "eu": 0.0, "us": 0.0}
        scene.parts.broken, scene.parts.done = {}, []
        await scene.turn(eu=3)
        assert scene.parts.done == ["turn", "end page eu", "end monitor eu", "monitor eu", "page eu"]
        assert scene.held == {"": 0.0, "eu": 1.0, "us": 0.0}

    play(work)


@pytest.mark.parametrize("error", [StateError("no response"), RuntimeError("can't start new thread"), OSError("x")])
def test_every_failure_of_a_turn_is_counted_and_logged_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def work(scene: Scene) -> None:
        await scene.turn(eu=1)
        scene.parts.broken["turn"] = error
        for _ in range(3):
            await scene.turn(eu=1)
        assert (scene.value(LEASE_FAILURES), scene.held["eu"]) == (3.0, 1.0)
        assert messages(caplog).count("the leases cannot be renewed; retrying") == 1
        scene.parts.broken = {}
        await scene.turn(eu=1)
        assert messages(caplog).count("the leases are renewed again") == 1

    with caplog.at_level(logging.INFO):
        play(work)


def test_a_lease_that_could_not_be_given_back_is_counted_and_its_account_is_monitored_again() -> None:
    async def work(scene: Scene) -> None:
        await scene.turn(eu=1)
        scene.parts.give_up, scene.parts.broken["release eu"] = "eu", StateError("no response")
        await scene.turn(eu=1)
        assert (scene.value(FAILURES), scene.held["eu"]) == (1.0, 0.0)
        scene.parts.give_up = None
        await scene.turn(eu=1)
        assert (scene.value(FAILURES), scene.held["eu"]) == (1.0, 1.0)

    play(work)


def test_once_it_is_stopped_no_account_is_taken_over_any_more() -> None:
    async def work(scene: Scene) -> None:
        scene.parts.hanging = "eu"
        scene.parts.leases = {"eu": 1}
        await scene.leases.turn()
        await asyncio.sleep(0)  # let it begin to monitor the account
        await scene.leases.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert scene.parts.monitored == set()

    play(work)
