"""Events as log records in a daemon: each happening once, across restarts, beside the traces of its episodes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from exporter.daemon.prepared import Prepared
from exporter.simulator import Simulator
from tests.daemon.test_daemon import START
from tests.life import Life
from tests.receivers import HANG, Answer, HttpReceiver

STORIES = "stop-and-start-.*|reverted-replacement-.*"


def logged(receiver: HttpReceiver) -> list[LogRecord]:
    """The accepted records."""
    return [
        record
        for each in receiver.accepted
        for resource in ExportLogsServiceRequest.FromString(each.body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def attribute(record: LogRecord, name: str) -> str:
    found: dict[str, str] = {each.key: each.value.string_value for each in record.attributes}
    return found[name]


async def live(
    simulator: Simulator, folder: Path, receiver: HttpReceiver, minutes: float, born: float = START, **more: Any
) -> None:
    """A life of so many minutes; at its end, all records are sent."""
    events = {"otlp": {"endpoint": receiver.url}}
    async with Life(simulator, folder, born=born, select={"name": STORIES}, events=events, **more) as life:
        new = Prepared(life.daemon.settings)
        life.daemon.event_export.prepare(new)
        life.daemon.event_export.replace(new)
        await life.until(minutes)
        await life.daemon.state.commit()
        async with asyncio.timeout(60):
            while life.store.outbox(queue="log_outbox").traces:  # noqa: ASYNC110 — another thread sends them
                await asyncio.sleep(0.01)  # polling interval
        await life.daemon.event_export.aclose()


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[LogRecord], list[bytes]]:
    """The records of two lives with one state, and the ids of their traces."""
    folder = tmp_path_factory.mktemp("events")
    with Simulator(workloads=16, clock=lambda: START) as simulator, HttpReceiver() as logs, HttpReceiver() as traces:
        logs.script.append(Answer(503))
        tracing = {"endpoint": traces.url, "self_traces": False}
        asyncio.run(live(simulator, folder, logs, 12, traces=tracing))
        asyncio.run(live(simulator, folder, logs, 13, born=START + 720, traces=tracing))
        return logged(logs), traces.traces


def test_each_happening_is_logged_once_also_across_a_restart(lives: tuple[list[LogRecord], list[bytes]]) -> None:
    uids = [attribute(record, "log.record.uid") for record in lives[0]]
    assert len(uids) == len({*uids}) > 10
    names = {record.event_name for record in lives[0]}
    assert names >= {f"datarobot.workload.{kind}" for kind in ("event", "transition", "episode")}


def test_records_have_the_ids_of_the_traces_that_are_sent(lives: tuple[list[LogRecord], list[bytes]]) -> None:
    records, traces = lives
    episodes = {record.trace_id for record in records if record.event_name == "datarobot.workload.episode"}
    assert episodes
    assert episodes <= {*traces}
    assert {record.trace_id for record in records if record.event_name == "datarobot.workload.event"} & {*traces}


def test_a_collector_that_hangs_delays_no_sweep_and_loses_nothing(tmp_path: Path) -> None:
    async def work(simulator: Simulator, receiver: HttpReceiver) -> None:
        events = {"otlp": {"endpoint": receiver.url, "timeout": 60}}
        async with Life(simulator, tmp_path, select={"name": STORIES}, events=events) as life:
            new = Prepared(life.daemon.settings)
            life.daemon.event_export.prepare(new)
            life.daemon.event_export.replace(new)
            await life.until(8)
            await life.daemon.event_export.sender.close(0.1)  # type: ignore[union-attr]  # there is one

    with Simulator(workloads=16, clock=lambda: START) as simulator:
        with HttpReceiver() as hanging:
            hanging.answer = HANG
            asyncio.run(work(simulator, hanging))
            assert hanging.received
        with HttpReceiver() as good:
            asyncio.run(live(simulator, tmp_path, good, 1, born=START + 480))
            assert logged(good)
