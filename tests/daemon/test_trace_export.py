"""The export of traces in a daemon: a hanging collector, reloads, failed background tasks."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.daemon.daemon import Daemon
from exporter.settings.model import Settings
from exporter.settings.traces import TraceSettings
from exporter.simulator import Simulator
from tests.daemon.parts import use_traces
from tests.daemon.test_daemon import START, Scene, play
from tests.otlp.test_sender import encoded, eventually, ids
from tests.receivers import HANG, Answer, HttpReceiver


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=20, clock=lambda: START) as made:
        yield made


def test_the_daemon_serves_metrics_while_the_collector_hangs_and_applies_a_reload(simulator: Simulator) -> None:
    async def work(scene: Any) -> None:
        with HttpReceiver() as hanging, HttpReceiver() as good:
            hanging.answer = HANG
            daemon: Daemon = scene.daemon
            daemon.store.commit("eu", {}, traces=[encoded(1), encoded(2)])

            def settings(**traces: Any) -> Settings:
                ours = TraceSettings.model_validate(traces)
                return Settings.model_validate(
                    scene.settings.model_dump() | {"accounts": scene.settings.accounts}
                ).model_copy(update={"traces": ours})

            use_traces(daemon, settings(endpoint=hanging.url, timeout=60.0).traces)
            daemon.settings = settings(endpoint=hanging.url, timeout=60.0)
            await eventually(lambda: bool(hanging.received))
            for _ in range(3):
                await scene.sweep(after=30)
                assert await scene.workloads() > 10
                assert (await scene.get("/-/healthy"))[0] == 200
            assert await scene.value("datarobot_exporter_trace_endpoint_up") == 0
            scene.next = settings(endpoint=good.url)
            assert await daemon.reload() == []
            await eventually(lambda: good.traces == ids(1, 2))
            await eventually(lambda: daemon.store.outbox().traces == 0)
            await daemon.publish()
            assert await scene.value("datarobot_exporter_trace_endpoint_up", protocol="http/protobuf") == 1
            scene.next = settings(endpoint=good.url, certificate=__file__)
            (problem,) = await daemon.reload()
            assert "traces.certificate: cannot be used" in problem
            scene.next = settings()
            await daemon.reload()
            assert daemon.traces.sender is None
            await daemon.tasks.join()
            await daemon.publish()
            assert await scene.value("datarobot_exporter_trace_endpoint_up") is None

    play(simulator, work)


def test_concurrent_reloads_leave_one_sender_and_send_each_trace_once(
    simulator: Simulator,
) -> None:
    async def work(scene: Scene) -> None:
        with HttpReceiver() as receiver:
            daemon, traces = (
                scene.daemon,
                TraceSettings.model_validate({"endpoint": receiver.url, "self_traces": False}),
            )
            receiver.answer = HANG
            daemon.store.commit("eu", {}, traces=[encoded(1), encoded(2)])
            use_traces(daemon, traces)
            await eventually(lambda: bool(receiver.received))
            receiver.answer = Answer()
            for timeout in (8.0, 9.0, 10.0):
                use_traces(daemon, traces.model_copy(update={"timeout": timeout}))
            await eventually(lambda: not daemon.tasks)
            await eventually(lambda: daemon.store.outbox().traces == 0)
            assert receiver.traces == ids(1, 2)
            running = [task for task in asyncio.all_tasks() if "Sender._run" in str(task.get_coro())]
            assert len(running) == 1
            await scene.daemon.publish()
            assert await scene.value("datarobot_exporter_trace_endpoint_up", protocol="http/protobuf") == 1
            assert daemon.traces.sender is not None
            await daemon.traces.sender.close()

    play(simulator, work)


def test_a_failed_background_task_is_logged(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def work(scene: Scene) -> None:
        scene.daemon.tasks.start(fails())
        await eventually(lambda: not scene.daemon.tasks)

    play(simulator, work)
    (line,) = [record for record in caplog.records if record.exc_info]
    assert line.message == "a background task failed"
