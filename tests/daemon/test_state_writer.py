"""The commits of all accounts: one at a time, and what cannot be written keeps nothing else from it."""

import asyncio
import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporter.clock import Clock
from exporter.collect.account_state import Pending
from exporter.daemon.state_writer import StateWriter
from exporter.state.database import Fenced, Lease, StateError
from exporter.state.rights import Rights
from exporter.state.store import Store
from exporter.telemetry.report import Report
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.tracing.log_records import EventRecord, WorkloadLog
from exporter.tracing.trace import Span, Trace

LARGE = 1_000_000
RECORD = EventRecord(b"r" * 16, "datarobot.workload.event", 1, 2, "INFO", "Scaled", {})
YEAR_9999 = RECORD._replace(uid=b"s" * 16, at=253_402_300_799 * 10**9)
FAILURES = "datarobot_exporter_state_commit_failures_total"


class Monitor:
    """The monitor of an account with this to write; an exception is raised."""

    def __init__(self, pending: Pending | Exception) -> None:
        self.given, self.state = pending, self
        self.writes: list[Pending] = []

    def pending(self) -> Pending:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def written(self, pending: Pending) -> None:
        self.writes.append(pending)


def writer_of(store: Store, report: Report, **monitors: Monitor) -> StateWriter:
    accounts = cast("Any", SimpleNamespace(monitors=monitors, removed={}))
    clock = Clock(lambda: 0.0, lambda: 0.0)
    return StateWriter(
        store=store, accounts=accounts, rights=Rights(), report=report, clock=clock, max_trace_bytes=LARGE
    )


class Refusing(Store):
    """A state that takes nothing."""

    error: type[StateError] = StateError

    def under(self, lease: Lease | None) -> Store:
        return self

    def commit(self, *_: Any) -> int:
        raise self.error("nothing was written")


@pytest.mark.parametrize("how", ["another replica has taken it", "it is not monitored any more"])
def test_traces_of_an_account_that_is_lost_are_not_kept_for_a_later_commit(how: str) -> None:
    trace = Trace(b"t" * 16, {}, (Span(b"s" * 8, b"", "x" * LARGE, 1, 2),))
    pending = Pending({}, None, (EpisodeTrace("start", "success", 1.0, trace, trace.id),))
    accounts = SimpleNamespace(monitors={"eu": SimpleNamespace(pending=lambda: pending)}, removed={})
    store, rights = Refusing(None), Rights(leased=True)
    rights.leases = {"eu": Lease("eu", "me", 1)}
    clock, report = Clock(lambda: 0.0, lambda: 0.0), Report(0.0)
    writer = StateWriter(
        store=store, accounts=cast("Any", accounts), rights=rights, report=report, clock=clock, max_trace_bytes=LARGE
    )

    async def work() -> int:
        await writer.commit()
        kept, _ = tracemalloc.get_traced_memory()
        if how == "another replica has taken it":
            store.error = Fenced
        else:
            accounts.monitors = {}
        await writer.commit()  # does not wait, because the last one has failed
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return kept

    tracemalloc.start()
    kept = asyncio.run(work())
    gc.collect()  # exceptions and their frames
    lost, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept > LARGE > 2 * lost


@pytest.mark.parametrize(
    ("changes", "written"), [([YEAR_9999], 0), ([YEAR_9999, RECORD], 1), ([RECORD._replace(body="\ud800"), RECORD], 1)]
)
def test_a_record_that_cannot_be_encoded_is_dropped_and_counted(changes: list[EventRecord], written: int) -> None:
    store, report = Store(None), Report(0.0)
    monitor = Monitor(Pending({"w": None}, None, (), (WorkloadLog({}, tuple(changes)),)))
    asyncio.run(writer_of(store, report, eu=monitor).commit())
    assert store.outbox(queue="log_outbox").traces == written
    dropped = "datarobot_exporter_event_records_dropped_total", {"reason": "unencodable"}
    assert report.registry.get_sample_value(*dropped) == 1
    assert monitor.writes == [monitor.given]


def test_a_fault_in_one_account_keeps_neither_other_accounts_nor_later_commits_from_being_written() -> None:
    report, good = Report(0.0), Monitor(Pending({"w": None}))
    faulty = Monitor(KeyError("pods"))
    writer = writer_of(Store(None), report, eu=faulty, us=good)

    async def work() -> None:
        await writer.commit()
        await writer.commit()
        assert (len(good.writes), faulty.writes) == (2, [])
        faulty.given = good.given
        await writer.commit()
        assert (len(good.writes), len(faulty.writes)) == (3, 1)

    asyncio.run(work())
    assert report.registry.get_sample_value(FAILURES) == 2


class Gate(Store):
    """A state that waits before each operation, and notes how many wait at the same time."""

    def __init__(self) -> None:
        super().__init__(None)
        self.open = asyncio.Event()
        self.waiting = self.most = self.operations = 0

    def under(self, lease: Lease | None) -> Store:
        return self

    async def run(self, operation: Any) -> Any:
        self.waiting += 1
        self.operations += 1
        self.most = max(self.most, self.waiting)
        await self.open.wait()
        await asyncio.sleep(0)  # let others begin, if they do
        self.waiting -= 1
        return operation()


@pytest.mark.parametrize(("callers", "commits"), [(1, 1), (2, 2), (4, 2)])
def test_callers_that_wait_for_a_commit_share_the_next_one(callers: int, commits: int) -> None:
    store, report = Gate(), Report(0.0)
    writer = writer_of(store, report, eu=Monitor(Pending({"w": None})))

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(writer.commit())
                await asyncio.sleep(0)  # let it begin
            store.open.set()

    asyncio.run(work())
    assert (store.most, store.operations) == (1, commits)
    assert report.registry.get_sample_value(FAILURES) in (None, 0)
