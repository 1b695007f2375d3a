"""Traces through the whole daemon: what it makes of the simulator's stories, keeps with its state, and sends."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter.fleet.ledger import Ledger, Tally
from exporter.simulator import Simulator
from exporter.state.store import EncodedTrace, Store
from tests.daemon.test_daemon import START
from tests.daemon.test_kept import Full
from tests.life import Life
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.long

HOUR = 3600.0


def fleet(size: int = 16, older: float = 0.0) -> Simulator:
    """A fleet that had lived so many seconds before the daemon's life begins."""
    return Simulator(workloads=size, clock=lambda: START - older)


def traces(receiver: HttpReceiver, **settings: Any) -> dict[str, Any]:
    return {"traces": {"endpoint": receiver.url, "self_traces": False, **settings}}


def only(name: str) -> dict[str, Any]:
    return {"select": {"name": f"{name}-.*"}}


def roots(receiver: HttpReceiver) -> list[dict[str, Any]]:
    """The roots that were taken: of each its name, and its attributes that are words or flags."""
    spans = [span for each in receiver.accepted for span in each.spans if not span.parent_span_id]
    return [
        {"name": span.name} | {a.key: a.value.string_value or a.value.bool_value for a in span.attributes}
        for span in spans
    ]


class Stored(Store):
    """A store that records what was written together."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[tuple[Mapping[str, Ledger | None], Sequence[EncodedTrace]]] = []

    def commit(
        self,
        account: str,
        ledgers: Mapping[str, Ledger | None],
        tally: Tally | None = None,
        traces: Sequence[EncodedTrace] = (),
        max_bytes: int | None = None,
    ) -> int:
        capped = super().commit(account, ledgers, tally, traces, max_bytes)
        self.commits.append((ledgers, traces))
        return capped


def test_a_trace_is_kept_in_one_transaction_with_the_ledger_that_will_not_make_it_again(tmp_path: Path) -> None:
    async def work() -> None:
        store = Stored(tmp_path / "state.db")
        with fleet() as simulator, HttpReceiver() as receiver:
            async with Life(simulator, tmp_path, store, **only("stop-and-start"), **traces(receiver)) as life:
                await life.until(25)
                await life.sent()
        written = [(ledgers, each) for ledgers, frozen in store.commits for each in frozen]
        assert [each.trace for _, each in written] == receiver.traces
        assert [root["name"] for root in roots(receiver)] == ["workload stop", "workload start"]
        for ledgers, each in written:
            values = ExportTraceServiceRequest.FromString(each.body).resource_spans[0].resource
            (workload,) = (a.value.string_value for a in values.attributes if a.key == "datarobot.workload.id")
            ledger = ledgers[workload]
            assert ledger is not None
            assert ledger.tracker.over == ()
            assert ledger.tracker.past[-1].trace == each.trace.hex()

    asyncio.run(work())


def test_a_trace_that_could_not_be_written_is_sent_once_the_disk_has_room_again(tmp_path: Path) -> None:
    async def work() -> None:
        with fleet() as simulator, HttpReceiver() as receiver:
            store = Full(tmp_path / "state.db")
            async with Life(simulator, tmp_path, store, **only("stop-and-start"), **traces(receiver)) as life:
                await life.until(10)
                assert (store.outbox().traces, receiver.traces) == (0, [])
                store.full = False
                await life.until(11)
                await life.sent()
            assert [root["name"] for root in roots(receiver)] == ["workload stop"]

    asyncio.run(work())


def test_a_reload_turns_traces_off_and_on_again_and_what_waits_is_sent_then(tmp_path: Path) -> None:
    async def work() -> None:
        with fleet() as simulator, HttpReceiver() as receiver:
            chosen = only("stop-and-start")
            closed: dict[str, Any] = {"traces": {"endpoint": "http://127.0.0.1:9", "self_traces": False}}
            async with Life(simulator, tmp_path, **chosen, **closed) as life:
                await life.until(10)
                (stop,) = (row.trace for row in life.store.batch(0, 9, 999, 999_999))
                await life.reload(**chosen)
                await life.until(25)  # meanwhile it starts
                assert life.daemon.traces.sender is None
                assert life.store.outbox().traces == 1
                page = life.daemon.report
                started = {"account": "eu", "kind": "start", "outcome": "success"}
                assert page.registry.get_sample_value("datarobot_exporter_episodes_total", started) == 1
                await life.reload(**chosen, **traces(receiver))
                await life.sent()
                assert receiver.traces == [stop]
                await life.until(55)  # and once more
                await life.sent()
            values = [(root["name"], root["datarobot.workload.episode.outcome"]) for root in roots(receiver)]
            assert values == [("workload stop", "success")] * 2 + [("workload start", "success")]

    asyncio.run(work())


def test_what_was_over_before_the_first_sweep_is_recalled_once_where_it_is_wanted(tmp_path: Path) -> None:
    async def work() -> None:
        with fleet(older=1.5 * HOUR) as simulator, HttpReceiver() as receiver:
            values = only("reverted-replacement") | traces(receiver, backfill="2h")
            for born in (START, START + 240.0):
                async with Life(simulator, tmp_path, born=born, **values) as life:
                    await life.until(4)
                    await life.sent()
            found = roots(receiver)
            assert len(found) == len({*receiver.traces}) == 3  # as many as the API remembers
            for root in found:
                assert root["name"] == "workload replacement"
                assert root["datarobot.workload.episode.backfilled"] is True
                assert root["error.type"] == "ReplacementErrored"
                times = root["datarobot.time.start.source"], root["datarobot.time.end.source"]
                assert times == ("reported", "reported")

    asyncio.run(work())


@pytest.mark.parametrize("wanted", [True, False])
def test_a_container_that_dies_while_its_workload_goes_on_is_a_trace_where_it_is_wanted(
    tmp_path: Path, wanted: bool
) -> None:
    async def work() -> None:
        with fleet() as simulator, HttpReceiver() as receiver:
            async with Life(simulator, tmp_path, **only("out-of-memory"), **traces(receiver, crashes=wanted)) as life:
                await life.until(20)
                await life.sent()
            found = [
                (root["name"], root["datarobot.workload.episode.cause"], root["error.type"]) for root in roots(receiver)
            ]
            assert found == [("workload failure", "crashed", "OOMKilled")] * wanted

    asyncio.run(work())
