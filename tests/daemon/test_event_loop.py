"""Nothing that the daemon does blocks its event loop: not a slow disk, not a reload, not a large fleet, not a log."""

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.daemon.event_loop import measure_lag
from exporter.simulator import Simulator
from exporter.state.store import Store
from exporter.telemetry.report import Report
from tests.daemon.test_daemon import START, Scene, play
from tests.daemon.test_kept import ended, restarted
from tests.daemon.test_reload import Running
from tests.daemon.test_reload import play as run

MAX_PAUSE_SECONDS = 0.05


class LoopPauses:
    """The longest time for which the thread of a loop used the processor within one turn of the loop.

    Processor time is measured, so that other processes of a busy machine do not count.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure meanwhile; to be used in the loop."""
        task = asyncio.get_running_loop().create_task(self._run())
        gc.disable()  # all that other tests have left would be scanned
        try:
            yield
        finally:
            gc.enable()
            task.cancel()

    async def _run(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)  # one turn of the loop
            self.longest = max(self.longest, time.thread_time() - began)


_opened: list[tuple[int, str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        _opened.append((threading.get_ident(), str(arguments[0])))
        del _opened[:-1000]


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """The files that this thread opens meanwhile."""
    _opened.clear()
    opened: list[str] = []
    yield opened
    opened += [file for thread, file in _opened if thread == threading.get_ident()]


@pytest.fixture(scope="module", autouse=True)
def audited() -> None:
    """A hook of the interpreter, which cannot be removed."""
    sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=200, clock=lambda: START) as made:
        yield made


class Slow(Store):
    """A state on a disk that takes its time, until a turn of the event loop is made meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waited: list[str] = []

    def _wait(self, what: str) -> None:
        turned = threading.Event()
        assert self.loop is not None
        self.loop.call_soon_threadsafe(turned.set)
        assert turned.wait(30), "the event loop waits for the disk"
        self.waited.append(what)

    def commit(self, *arguments: Any) -> int:
        self._wait("commit")
        return super().commit(*arguments)

    def save_paging(self, *arguments: Any) -> None:
        self._wait("save_paging")
        super().save_paging(*arguments)

    @property
    def size(self) -> int:
        self._wait("size")
        return super().size


def test_no_step_of_a_cycle_occupies_the_loop_for_long(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()  # what is imported and compiled once
        pauses = LoopPauses()
        with pauses.measured():
            for _ in range(3):  # in less than a minute with all pauses: without a full garbage collection
                await scene.sweep(after=1.0)
            monitor = scene.daemon.accounts.monitors["eu"]
            assert monitor.poller is not None
            await monitor.poller.turn()
            scene.next = scene.settings
            assert await scene.daemon.reload() == []
            await scene.daemon.watch_files()
        assert 0 < pauses.longest < MAX_PAUSE_SECONDS

    play(simulator, work)


def test_the_thread_of_the_loop_opens_no_file(tmp_path: Path) -> None:
    async def work(scene: Running) -> None:
        files = scene.folder / "token", scene.folder / "url"
        files[0].write_text("demo-token")
        files[1].write_text(scene.old.url)
        receiver = {"name": "hook", "kind": "webhook", "url_file": str(files[1]), "alerts": ["DataRobotWatchdog"]}
        for number in range(2):  # the first time modules are imported
            scene.written(
                receiver=scene.old,
                accounts__0__token=None,
                accounts__0__token_file=str(files[0]),
                paging__receivers=[receiver | {"repeat_interval": f"{number + 1}s"}],
                traces={"endpoint": scene.new.url},
            )
            with opened_files() as opened:
                assert await scene.daemon.reload() == []
                await scene.daemon.tasks.join()
                await scene.sweep(after=30.0)
                files[0].write_text(f"other-token-{number}")
                files[1].write_text(f"{scene.old.url}/{number}")
                await scene.sweep(after=30.0)  # with a 401, after which the token is read again
                files[0].write_text("demo-token")
                await scene.daemon.watch_files()
                await scene.sweep(after=30.0)
                await scene.page_people()
                assert (await scene.get("/"))[0] == 200
        written = {str(file) for file in files}  # by this test
        assert [file for file in opened if file not in written] == []
        assert scene.old.received[-1].headers[""] == "/1"

    with Simulator(workloads=30, clock=lambda: START) as made:
        run(made, tmp_path, work)


def test_the_loop_turns_while_the_disk_is_written_to(simulator: Simulator, tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Slow(tmp_path / "state.db")
        store.loop = asyncio.get_running_loop()
        scene = restarted(scene, store)
        for _ in range(2):
            await scene.sweep(after=30.0)
        assert {*store.waited} >= {"commit", "size"}
        await ended(scene)
        store.close()

    play(simulator, work)


def test_a_loop_that_is_late_is_measured() -> None:
    async def work() -> None:
        report = Report(0.0)
        now = iter([0.0, 0.4, 0.4, 0.5])
        task = asyncio.create_task(measure_lag(report, lambda: next(now, 1.0)))
        name = "datarobot_exporter_event_loop_lag_seconds"
        while (report.registry.get_sample_value(f"{name}_count") or 0) < 1:  # noqa: ASYNC110 — a loop of its own
            await asyncio.sleep(0.01)  # polling interval
        task.cancel()
        assert report.registry.get_sample_value(f"{name}_sum") == pytest.approx(0.3)

    asyncio.run(work())
