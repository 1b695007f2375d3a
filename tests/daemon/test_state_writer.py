"""Traces that could not be written: no memory is used for them once their account is lost."""

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
from exporter.tracing.trace import Span, Trace

LARGE = 1_000_000


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
