"""An account monitor with a scripted API: which vanished workloads were deleted, and what backfill adds."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.backfill import MAX_EPISODES
from exporter.collect.client import Client
from exporter.collect.follow_up import REQUESTS_PER_SWEEP
from exporter.fleet.ledger import Tally
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import Snapshot, ledgers, restored
from exporter.fleet.selection import Selection
from exporter.telemetry.report import Report
from exporter.tracing.builder import Tracing
from tests.daemon.test_daemon import START, Time
from tests.examples import page


class Api:
    """Lists `there`; of one workload it answers `status`, or 200 for those that are there or `hidden`.

    `items`: what the list shows instead of a workload. `fault` is raised by every request.
    """

    def __init__(self, **there: dict[str, Any]) -> None:
        self.time, self.there, self.status = Time(), there, 404
        self.items: dict[str, Any] = {}
        self.fault: Exception | None = None
        self.report = Report(0.0)
        self.account = self.report.account("acme", 30.0, 10.0)
        self.hidden: set[str] = set()
        self.broken: set[str] = set()
        self.requested: list[str] = []
        self.history: dict[str, list[Any]] = {}
        self.throttled: dict[str, int] = {}
        """Part -> how many requests for it are answered with 429 before it is given."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        _, _, path = request.url.path.rstrip("/").partition("/workloads")
        if self.fault is not None:
            raise self.fault
        if not path:
            items = (self.items.get(i, {"id": i, **facts}) for i, facts in self.there.items())
            return httpx.Response(200, content=page(*items))
        i, _, part = path.removeprefix("/").partition("/")
        self.requested.append(path)
        if self.throttled.get(part, 0) > 0:
            self.throttled[part] -= 1
            return httpx.Response(429, headers={"retry-after": "60"})
        if part:
            return httpx.Response(200, content=page(*(self.history.get(i, []) if part == "history" else [])))
        if i in self.broken:
            return httpx.Response(400)
        found = i in self.there or i in self.hidden
        facts = {"id": i, **self.there.get(i, {})}
        return httpx.Response(200, content=json.dumps(facts)) if found else httpx.Response(self.status)

    def value(self, name: str, **labels: str) -> float | None:
        return self.report.registry.get_sample_value(
            f"datarobot_exporter_{name}",
            {"account": "acme"} | ({} if name == "api_up" else {"lane": "status"}) | labels,
        )

    def monitor(self, known: Snapshot | None = None, **plan: Any) -> AccountMonitor:
        account, clock = self.account, self.time.clock
        client = Client(
            "http://api.test/api/v2",
            lambda: "s3cret",
            account,
            rate=1000.0,
            transport=httpx.MockTransport(self.answer),
            steady=clock.steady,
            pause=clock.pause,
        )
        values: dict[str, Any] = {"details": Policy(), "tracing": Tracing("http://api.test")} | plan
        return AccountMonitor(
            AccountState(known or Snapshot("acme")), client, account, Plan(900.0, **values), Clock(*clock[:3])
        )

    async def swept(self, monitor: AccountMonitor, times: int) -> None:
        for _ in range(times):
            self.time.pass_(30.0)
            await monitor.sweep()


def fleet(size: int, **facts: Any) -> dict[str, dict[str, Any]]:
    return {f"w{number:02}": {"status": "running", "name": f"w{number:02}"} | facts for number in range(size)}


def played(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]  # every one is a coroutine


def kinds(monitor: AccountMonitor) -> list[str]:
    return [each.kind for each in monitor.pending().traces]


@pytest.mark.parametrize(("status", "deletions"), [(404, 34), (403, 0)])
def test_each_of_many_vanished_workloads_is_requested_before_it_counts_as_deleted(status: int, deletions: int) -> None:
    async def work() -> None:
        api = Api(**fleet(35))
        api.status = status
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.there = {"w34": api.there["w34"]}
        await api.swept(monitor, 2)
        assert (monitor.snapshot.vanished, kinds(monitor)) == (34, [])
        assert {each.gone_because for each in monitor.snapshot.gone.values()} >= {""}
        await api.swept(monitor, 20)
        assert kinds(monitor) == ["deletion"] * deletions
        assert len({*api.requested}) == 34
        assert len(api.requested) <= 2 * 34  # with a slash and without, and never again
        await monitor.close()

    played(work)


@pytest.mark.parametrize("size", [3, 35])
def test_a_list_that_lacks_workloads_which_exist_proves_nothing(size: int) -> None:
    async def work() -> None:
        api = Api(**fleet(size))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.hidden, api.there = {*api.there}, {}
        for _ in range(6):
            await api.swept(monitor, 1)
            known = monitor.snapshot
            assert (len(known.workloads), len(known.missing), len(known.gone)) == (size, 0, 0)
        api.hidden.clear()
        await api.swept(monitor, 2 + 2 * size // REQUESTS_PER_SWEEP)
        assert monitor.snapshot.vanished == size
        await monitor.close()

    played(work)


def test_ten_workloads_that_cannot_be_requested_do_not_block_requests_for_the_others() -> None:
    async def work() -> None:
        api = Api(**fleet(15))
        api.broken = {f"w{number:02}" for number in range(REQUESTS_PER_SWEEP)}
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.there = {"w14": api.there["w14"]}
        await api.swept(monitor, 20)
        assert kinds(monitor) == ["deletion"] * 4
        api.broken = set()
        await api.swept(monitor, 4)
        assert kinds(monitor) == ["deletion"] * 14
        await monitor.close()

    played(work)


def test_without_details_vanished_means_deleted() -> None:
    async def work() -> None:
        api = Api(**fleet(8))
        monitor = api.monitor(details=None)
        await api.swept(monitor, 1)
        api.there = fleet(4)
        await api.swept(monitor, 8)
        assert (kinds(monitor), api.requested) == (["deletion"] * 4, [])
        await monitor.close()

    played(work)


def test_a_workload_that_is_deselected_and_selected_again_causes_no_episode() -> None:
    async def work() -> None:
        api = Api(**fleet(6, createdAt="2026-01-01T00:00:00Z"))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        plan = monitor._plan
        for chosen, there in ((Selection(name="w0[01]"), 2), (Selection(), 6)):
            monitor = monitor.resumed(monitor.client, monitor._report, plan._replace(selection=chosen))
            await api.swept(monitor, 8)
            known = monitor.snapshot
            assert (len(known.workloads), len(known.gone), known.vanished, kinds(monitor)) == (there, 0, 0, [])
        assert api.requested == []
        await monitor.close()

    played(work)


def record(number: int, ended: float) -> dict[str, Any]:
    """A replacement of the history that ended so many seconds after the beginning."""
    values = [datetime.fromtimestamp(START + at, UTC).isoformat() for at in (ended - 60.0, ended)]
    return {"id": f"r{number}", "status": "completed", "createdAt": values[0], "updatedAt": values[1]}


def test_a_backfill_stops_requesting_histories_at_the_maximum_of_episodes() -> None:
    async def work() -> None:
        api = Api(**fleet(20))
        api.history = {i: [record(number, -600.0) for number in range(30)] for i in api.there}
        monitor = api.monitor(tracing=Tracing("http://api.test", backfill=3600.0))
        await api.swept(monitor, 1)
        assert monitor.backfilling is not None
        await monitor.backfilling
        assert sum(len(state.ledger.tracker.over) for state in monitor.workloads.values()) == MAX_EPISODES
        assert len({path.split("/")[1] for path in api.requested}) == 7
        await monitor.close()

    played(work)


@pytest.mark.parametrize(("route", "refusals"), [("history", 1), ("history", 3), ("protons", 2)])
def test_a_backfill_continues_after_the_api_pauses_the_route(route: str, refusals: int) -> None:
    async def work() -> None:
        api = Api(**fleet(8))
        api.history = {i: [record(1, -600.0)] for i in api.there}
        api.throttled = {route: refusals}
        monitor = api.monitor(tracing=Tracing("http://api.test", backfill=3600.0))
        await api.swept(monitor, 1)
        assert monitor.backfilling is not None
        await monitor.backfilling
        recalled = sum(len(state.ledger.tracker.over) for state in monitor.workloads.values())
        assert recalled == 8 - refusals // 3  # each workload has three attempts
        await monitor.close()

    played(work)


@pytest.mark.parametrize(("ended", "count"), [(25.0, 1), (40.0, 0)])
def test_an_episode_that_ended_after_the_first_sweep_is_not_backfilled(ended: float, count: int) -> None:
    async def work() -> None:
        api = Api(**fleet(1))
        api.history = {"w00": [record(1, ended)]}
        monitor = api.monitor(tracing=Tracing("http://api.test", backfill=3600.0))
        await api.swept(monitor, 1)  # after 30 seconds
        api.time.pass_(30.0)
        assert monitor.backfilling is not None
        await monitor.backfilling
        assert len(monitor.workloads["w00"].ledger.tracker.over) == count
        await monitor.close()

    played(work)


def test_a_workload_that_reappears_continues_its_open_episode() -> None:
    async def work() -> None:
        api = Api(**fleet(1), new={"status": "stopped"})
        monitor = api.monitor(details=None)
        await api.swept(monitor, 1)
        there, api.there["new"] = api.there, {"status": "launching"}
        await api.swept(monitor, 1)
        api.there = fleet(1)
        await api.swept(monitor, 2)
        assert [(each.kind, each.cause) for each in monitor.snapshot.gone["new"].ledger.tracker.over] == [
            ("start", "deleted"),
            ("deletion", "deleted"),
        ]
        api.there = there | {"new": {"status": "running"}}
        await api.swept(monitor, 14)
        (made,) = monitor.pending().traces
        assert (made.kind, made.outcome, made.seconds) == ("start", "success", 90.0)
        await monitor.close()

    played(work)


@pytest.mark.parametrize(("importance", "deletions"), [("low", 0), ("high", 1), (None, 1)])
def test_a_workload_known_from_the_state_alone_may_be_of_any_importance(importance: str | None, deletions: int) -> None:
    async def work() -> None:
        api = Api(**fleet(1), gone={"status": "running", "importance": importance})
        plan: dict[str, Any] = {"tracing": Tracing("http://api.test", importance=frozenset({"high"})), "details": None}
        monitor = api.monitor(**plan)
        await api.swept(monitor, 1)
        if importance is None:
            monitor = api.monitor(restored("acme", dict(ledgers(monitor.snapshot)), Tally()), **plan)
        del api.there["gone"]
        await api.swept(monitor, 6)
        assert kinds(monitor) == ["deletion"] * deletions
        await monitor.close()

    played(work)


# -- what goes wrong within a sweep


@pytest.mark.parametrize("fault", [TypeError("odd"), MemoryError(), RecursionError(), ZeroDivisionError()])
def test_any_exception_in_a_sweep_makes_it_a_failed_sweep_with_a_reason(fault: Exception) -> None:
    async def work() -> None:
        api = Api(**fleet(2))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        good, api.fault = monitor.snapshot, fault
        await api.swept(monitor, 3)
        assert (monitor.snapshot.failure, monitor.snapshot.succeeded) == ("internal", good.succeeded)
        assert monitor.snapshot.attempted == api.time.wall
        assert {i: state.workload.status for i, state in monitor.snapshot.workloads.items()} == {
            "w00": "running",
            "w01": "running",
        }
        assert api.value("sweeps_total") == 4
        assert api.value("sweep_failures_total", reason="internal") == 3
        assert api.value("api_up") == 0
        assert api.value("sweep_last_success_timestamp_seconds") == good.succeeded
        assert monitor.fleet.sweep.failure == "internal"
        api.fault = None
        await api.swept(monitor, 1)
        assert (monitor.snapshot.failure, api.value("api_up")) == ("", 1)
        await monitor.close()

    played(work)


def test_an_account_without_a_complete_sweep_is_as_old_as_the_exporter_itself() -> None:
    async def work() -> None:
        api = Api()
        api.fault = TypeError("odd")
        monitor = api.monitor()
        begin = api.time.wall
        await api.swept(monitor, 5)
        assert monitor.fleet.sweep.age == pytest.approx(150, abs=5)
        again = monitor.resumed(monitor.client, api.account, Plan(900.0))
        assert again.fleet.sweep.age == monitor.fleet.sweep.age
        assert api.value("sweep_begin_timestamp_seconds") == begin
        assert api.value("sweep_last_success_timestamp_seconds") is None
        await monitor.close()

    played(work)


# -- what the list shows and cannot be read


BROKEN = {"id": None, "status": "errored"}


def test_a_workload_whose_item_has_no_readable_id_is_read_by_its_own_route() -> None:
    async def work() -> None:
        api = Api(**fleet(3))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.there["w01"] |= {"status": "errored"}
        api.items["w01"] = BROKEN
        await api.swept(monitor, 3)
        state = monitor.snapshot.workloads["w01"]
        assert (state.workload.status, dict(state.held)) == ("errored", {})
        assert api.requested == ["/w01"] * 3
        await monitor.close()

    played(work)


def test_an_unreadable_item_does_not_hide_the_deletion_of_another_workload() -> None:
    async def work() -> None:
        api = Api(**fleet(4))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.items["w01"] = BROKEN
        del api.there["w02"]
        await api.swept(monitor, 2)
        assert (sorted(monitor.snapshot.workloads), sorted(monitor.snapshot.gone)) == (["w00", "w01", "w03"], ["w02"])
        await monitor.close()

    played(work)


def test_if_that_route_fails_too_the_last_state_is_shown_and_marked_as_held() -> None:
    async def work() -> None:
        api = Api(**fleet(2))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.items["w01"], api.broken = BROKEN, {"w01"}
        await api.swept(monitor, 1)
        state = monitor.snapshot.workloads["w01"]
        assert (state.workload.status, dict(state.held)) == ("running", {"$": api.time.wall})
        await monitor.close()

    played(work)


def test_many_unreadable_workloads_are_read_in_turn_a_few_after_each_sweep() -> None:
    async def work() -> None:
        api = Api(**fleet(25))
        monitor = api.monitor()
        await api.swept(monitor, 1)
        api.items.update((i, {"id": i, "status": 5}) for i in api.there)
        for turn in (1, 2, 3):
            await api.swept(monitor, 1)
            assert len({*api.requested}) == min(25, turn * REQUESTS_PER_SWEEP)
        await monitor.close()

    played(work)


def test_a_workload_stays_selected_while_the_field_that_selects_it_cannot_be_read() -> None:
    async def work() -> None:
        tagged = {"tags": [{"name": "team", "value": "ml"}]}
        api = Api(a={"status": "running", **tagged}, b={"status": "running"})
        monitor = api.monitor(selection=Selection(tags={"team": "ml"}))
        await api.swept(monitor, 1)
        api.there["a"] |= {"tags": 5, "status": "errored"}
        await api.swept(monitor, 2)
        assert {i: state.workload.status for i, state in monitor.snapshot.workloads.items()} == {"a": "errored"}
        await monitor.close()

    played(work)
