"""A reload is all or nothing: after one that is refused, all that can be observed is as it was before."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli.main import main
from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.daemon.reload import Reloader
from exporter.paging.notify.contract import Sent
from exporter.redaction import Secrets
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import WebhookSettings
from exporter.simulator import Simulator
from exporter.state.database import StateError
from exporter.state.store import Store, StoredAccount, StoredPaging
from exporter.telemetry.report import Report
from tests.daemon.parts import use_accounts, use_paging
from tests.daemon.test_daemon import START, Scene, Time
from tests.receivers import HttpReceiver


class _Parked(Time):
    """Spaces requests; a loop that waits for longer runs once, and then only when the test calls it."""

    async def pause(self, seconds: float) -> None:
        if seconds < 1.0:
            await super().pause(seconds)
        else:
            await asyncio.Event().wait()


class _Store(Store):
    """A state that cannot be read for an account named ``lost``, and on a full disk once it is `full`."""

    full = False

    def save_paging(self, now: StoredPaging, before: StoredPaging) -> None:
        if self.full:
            raise StateError("the state was not written to state.db: disk full")
        super().save_paging(now, before)

    def load(self, account: str) -> StoredAccount:
        if account == "lost":
            raise StateError("the state was not read from state.db: disk I/O error")
        return super().load(account)


class Running(Scene):
    """A daemon that sweeps a simulated API and pages the receiver `old`, by settings in a file, over ASGI."""

    def __init__(self, simulator: Simulator, folder: Path, old: HttpReceiver, new: HttpReceiver) -> None:
        self.simulator = simulator
        self.time: _Parked = _Parked()
        simulator.clock = lambda: self.time.wall
        self.folder, self.old, self.new = folder, old, new
        self.read: Callable[[], Settings] = self.from_file
        self.settings = self.written(receiver=old)
        self.store = _Store(None)
        self.daemon = Daemon(
            self.settings, lambda: self.read(), clock=self.time.clock, store=self.store,
            settings_files=[folder / "exporter.yaml"],
        )  # fmt: skip
        use_accounts(self.daemon, self.settings)

    def from_file(self) -> Settings:
        return load(self.folder / "exporter.yaml", {})

    def written(self, *, receiver: HttpReceiver, **parts: Any) -> Settings:
        """The settings of a file with these parts, which is written."""
        hook = {"name": "hook", "kind": "webhook", "url": receiver.url, "alerts": ["DataRobotWatchdog"]}
        account = {"name": "eu", "endpoint": self.simulator.url, "token": "demo-token", "requests_per_second": 100}
        settings: dict[str, Any] = {
            "accounts": [account],
            "paging": {"who": "direct", "receivers": [hook | {"repeat_interval": "1s"}]},
            "web": {"debug_config": True},
        }
        for place, value in parts.items():
            _put(settings, place.split("__"), value)
        (self.folder / "exporter.yaml").write_text(yaml.safe_dump(settings))
        return self.from_file() if receiver is self.old else self.settings

    async def reload(self) -> tuple[int, str]:
        """The answer to a POST of /-/reload."""
        status, body = await self.get("/-/reload", method="POST")
        return status, body.decode()

    async def page_people(self) -> None:
        """Look and notify, as the pager does by itself every few seconds."""
        self.time.pass_(10)
        pager = self.daemon.paging.pager
        assert pager is not None
        await pager.evaluate()
        await pager.notify()

    async def observed(self) -> dict[str, Any]:
        """The observable state of a daemon, except counts of requests and log lines, and times."""
        await self.daemon.publish()
        page = await self.page()
        settings = ("interval", "budget", "limit", "shard")
        return {
            "config": (await self.get("/debug/config"))[1],
            "families": {name for name, _ in page if not name.startswith("datarobot_exporter_http_requests")},
            "settings": {key: value for key, value in page.items() if any(word in key[0] for word in settings)},
            "schedule": self.daemon.schedule.next_sweeps.keys(),
            "threads": {thread.name for thread in threading.enumerate() if "Otel" in thread.name},
            "ready": await self.get("/-/ready"),
            "silences": await self.get("/-/silences"),
            "client": self.daemon.accounts.monitors["eu"].client,
        }


def _put(settings: Any, place: list[str], value: Any) -> None:
    *sections, last = place
    for part in sections:
        settings = settings[int(part)] if part.isdecimal() else settings.setdefault(part, {})
    settings[last] = value


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=30, clock=lambda: START - 6720) as made:
        yield made


@asynccontextmanager
async def running(simulator: Simulator, folder: Path) -> AsyncIterator[Running]:
    with HttpReceiver() as old, HttpReceiver() as new:
        scene = Running(simulator, folder, old, new)
        daemon = scene.daemon
        await use_paging(daemon, scene.settings)
        await scene.sweep()
        await scene.page_people()
        try:
            yield scene
        finally:
            await daemon.tasks.join()
            for monitor in daemon.accounts.monitors.values():
                await monitor.close()
            if daemon.paging.pager is not None:
                await daemon.paging.pager.close()
            if daemon.traces.sender is not None:
                await daemon.traces.sender.close()
            if daemon.traces.self_traces is not None:
                daemon.traces.self_traces.close()


def play(simulator: Simulator, folder: Path, work: Callable[[Running], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with running(simulator, folder) as scene:
            await work(scene)

    asyncio.run(inside())


def beyond_all_bounds(scene: Running) -> Settings:
    """Settings that no file can give, for what a check may overlook."""
    settings = scene.from_file()
    return settings.model_copy(update={"sweep": settings.sweep.model_copy(update={"interval": 1e15})})


def broken(_: Running) -> Settings:
    raise RecursionError


PEM = __file__
"""A file that can be read and holds no certificate."""
OTHERWISE: dict[str, Any] = {
    "accounts__0__requests_per_second": 50,
    "sweep__interval": "1m",
    "metrics__profile": "minimal",
    "detail__enabled": False,
    "traces__endpoint": "http://127.0.0.1:1",
    "alerts__labels": {"team": "ml"},
    "select__shard": "0/2",
    "web__telemetry_path": "/other",
}
"""What all new settings change, beside the receiver, so that half of a reload would show."""
BAD: list[tuple[str, dict[str, Any], Callable[[Running], Settings] | None, str]] = [
    ("an unknown setting", {"swep": {}}, None, "unknown setting; did you mean sweep?"),
    ("an account's ca_file", {"accounts__0__ca_file": PEM}, None, "accounts.ca_file: of eu cannot be used: "),
    (
        "a receiver's ca_file",
        {"paging__receivers__0__ca_file": PEM},
        None,
        "paging.receivers.ca_file: of hook cannot be used: ",
    ),
    ("a certificate of traces", {"traces__certificate": PEM}, None, "traces.certificate: cannot be used: "),
    ("a web config", {"web__config_file": PEM}, None, "test_reload.py"),
    ("a token file", {"accounts__0__token": None, "accounts__0__token_file": "/nowhere"}, None, "/nowhere cannot be"),
    (
        "an interval",
        {"sweep__interval": 1e15, "sweep__stale_after": 1e16},
        None,
        "sweep.interval (line 25): too long; the maximum is 366d",
    ),
    ("an interval beyond the check", {}, beyond_all_bounds, "reload: failed with OverflowError; see the log of "),
    (
        "a loading that breaks",
        {},
        broken,
        "reload: failed with RecursionError; see the log of the exporter for details",
    ),
    (
        "a state",
        {"accounts__0__name": "lost"},
        None,
        "state: the state was not read from state.db: disk I/O error",
    ),
]


@pytest.mark.parametrize(("bad", "read", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_after_a_reload_that_is_refused_all_is_as_before_and_a_good_one_is_taken(
    simulator: Simulator,
    tmp_path: Path,
    bad: dict[str, Any],
    read: Callable[[Running], Settings] | None,
    words: str,
) -> None:
    async def work(scene: Running) -> None:
        before, paged = await scene.observed(), len(scene.old.received)
        scene.written(receiver=scene.new, **{**OTHERWISE, **bad})
        if read is not None:
            scene.read = lambda: read(scene)

        status, body = await scene.reload()
        assert (status, body.startswith("reload failed; the old settings stay in force:\n")) == (500, True)
        assert words in body
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 0
        assert await scene.observed() == before

        await scene.page_people()
        assert (len(scene.old.received), scene.new.received) == (paged + 1, [])
        swept = await scene.value("datarobot_exporter_sweeps_total")
        await scene.sweep(after=30)
        assert await scene.value("datarobot_exporter_sweeps_total") == (swept or 0) + 1
        assert await scene.value("datarobot_exporter_api_up") == 1
        assert await scene.observed() == before

        scene.read = scene.from_file
        scene.written(receiver=scene.new, **OTHERWISE)
        assert await scene.reload() == (200, "reloaded\n")
        await scene.daemon.tasks.join()
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 1
        assert await scene.value("datarobot_exporter_api_budget_requests_per_second") == 50
        last = len(scene.old.received)
        await scene.page_people()
        assert len(scene.old.received) == last
        assert scene.new.received

    play(simulator, tmp_path, work)


def test_all_files_that_cannot_be_used_are_reported_at_once(simulator: Simulator, tmp_path: Path) -> None:
    async def work(scene: Running) -> None:
        scene.written(
            receiver=scene.new,
            accounts__0__ca_file=PEM,
            paging__receivers__0__ca_file=PEM,
            traces={"endpoint": "http://127.0.0.1:1", "certificate": PEM},
        )
        _, body = await scene.reload()
        places = [line.partition(":")[0] for line in body.splitlines()[1:]]
        assert places == ["accounts.ca_file", "traces.certificate", "paging.receivers.ca_file"]

    play(simulator, tmp_path, work)


def test_what_no_settings_brought_about_is_logged_with_its_exception(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Running) -> None:
        scene.read = lambda: broken(scene)
        await scene.daemon.reload()

    play(simulator, tmp_path, work)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.message == "the reload failed; the old settings stay in force"
    assert record.exc_info is not None
    assert record.exc_info[0] is RecursionError


def test_reloads_requested_by_the_hundred_are_made_one_after_another_and_the_waiting_ones_are_one(
    simulator: Simulator, tmp_path: Path
) -> None:
    async def work(scene: Running) -> None:
        begun, first, free = list[float](), threading.Event(), threading.Event()
        rates = [20.0, 30.0]

        def read() -> Settings:
            rate = rates[len(begun)]
            begun.append(rate)
            first.set()
            free.wait(30)
            scene.written(receiver=scene.old, accounts__0__requests_per_second=rate)
            return scene.from_file()

        scene.read = read
        earlier = asyncio.create_task(scene.reload())
        await asyncio.to_thread(first.wait, 30)
        requested = [asyncio.create_task(scene.reload()) for _ in range(500)]
        for _ in range(100):
            await asyncio.sleep(0)  # let the other tasks run
        assert begun == [20.0]
        assert (await scene.get("/-/healthy"))[0] == 200
        free.set()
        assert await asyncio.gather(earlier, *requested) == [(200, "reloaded\n")] * 501
        assert begun == rates
        assert await scene.value("datarobot_exporter_api_budget_requests_per_second") == 30

    play(simulator, tmp_path, work)


def test_no_page_lacks_workloads_while_reloads_change_what_is_served(simulator: Simulator, tmp_path: Path) -> None:
    async def work(scene: Running) -> None:
        there, profiles = await scene.workloads(), iter(("full", "minimal", "standard"))

        def read() -> Settings:
            scene.written(receiver=scene.old, metrics__profile=next(profiles))
            return scene.from_file()

        scene.read = read

        async def reloads() -> list[list[str]]:
            return [await scene.daemon.reload() for _ in range(3)]

        requested = asyncio.create_task(reloads())
        while not requested.done():
            assert await scene.workloads() == there
            await asyncio.sleep(0)  # let the other tasks run
        assert await requested == [[], [], []]

    play(simulator, tmp_path, work)


def test_an_account_that_is_removed_during_its_sweep_leaves_nothing_behind_and_may_come_back(
    simulator: Simulator, tmp_path: Path
) -> None:
    async def work(scene: Running) -> None:
        daemon, answers = scene.daemon, threading.Event()
        simulator.clock = lambda: scene.time.wall if answers.wait(30) else 0.0
        before = daemon.accounts.monitors["eu"]
        counted = {i: state.ledger.first for i, state in before.workloads.items()}
        sweeping = asyncio.create_task(daemon.sweep("eu"))
        polling = asyncio.create_task(before.poller.turn()) if before.poller is not None else None
        await asyncio.sleep(0)  # let the sweep begin
        scene.written(receiver=scene.old, accounts__0__name="us")
        assert await daemon.reload() == []
        answers.set()
        await sweeping
        if polling is not None:
            await polling
        await daemon.sweep("eu")  # its schedule had started it
        await daemon.publish()
        counters = ("_total", "_bucket", "_sum", "_count")
        left = {name for name, labels in await scene.page() if ("account", "eu") in labels}
        assert {name for name in left if not name.endswith(counters)} == set()
        scene.time.pass_(60)
        scene.written(receiver=scene.old)
        assert await daemon.reload() == []
        await daemon.sweep("eu")
        after = daemon.accounts.monitors["eu"].workloads
        assert {i: after[i].ledger.first for i in counted.keys() & after.keys()} == counted

    play(simulator, tmp_path, work)


def test_what_a_full_disk_does_not_take_survives_reloads(simulator: Simulator, tmp_path: Path) -> None:
    async def work(scene: Running) -> None:
        scene.store.full = True
        silence = {"workload": "chat", "for": "1h", "author": "jo", "comment": "known"}
        assert isinstance(await scene.daemon.paging.silences("POST", silence, ("workload",)), list)
        listed = await scene.get("/-/silences")
        pager = scene.daemon.paging.pager
        assert pager is not None
        before = dict(pager.state.alarms)
        scene.written(receiver=scene.old, paging__who="rules")
        assert await scene.daemon.reload() == []
        await scene.daemon.tasks.join()
        assert (await scene.get("/-/silences"))[0] == 404
        scene.written(receiver=scene.new)
        assert await scene.daemon.reload() == []
        await scene.daemon.tasks.join()
        assert await scene.get("/-/silences") == listed
        pager = scene.daemon.paging.pager
        assert pager is not None
        assert before.items() <= pager.state.alarms.items()
        assert before

    play(simulator, tmp_path, work)


def test_a_reload_accepts_what_check_accepts_and_refuses_what_check_refuses(
    simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def checked(scene: Running) -> list[str]:
        await asyncio.to_thread(main, ["check", f"--config.file={scene.folder / 'exporter.yaml'}"])
        return [line.removeprefix("workload-exporter: ") for line in capsys.readouterr().err.splitlines()]

    async def work(scene: Running) -> None:
        for _, bad, read, _ in BAD:
            if read is not None or "accounts__0__name" in bad:
                continue
            scene.written(receiver=scene.new, **{**OTHERWISE, **bad})
            assert await scene.daemon.reload() == await checked(scene) != []
        scene.written(receiver=scene.new, **OTHERWISE)
        assert await scene.daemon.reload() == await checked(scene) == []

    play(simulator, tmp_path, work)


def test_a_file_that_never_opens_ends_its_reload_and_delays_no_later_one(tmp_path: Path) -> None:
    async def inside() -> None:
        pipe, good = tmp_path / "settings", tmp_path / "exporter.yaml"
        os.mkfifo(pipe)
        good.write_text("accounts: [{token: t}]")
        file = [pipe]
        applied: list[Settings] = []

        async def publish() -> None:
            pass

        reloader = Reloader(
            load=lambda: load(file[0], {}), prepare=lambda _: None, apply=lambda new: applied.append(new.settings),
            publish=publish, secrets=Secrets(), report=Report(START), clock=Clock(), files_seconds=0.05,
        )  # fmt: skip
        (problem,) = await reloader.reload()
        assert problem.startswith("reload: not done: files could not be read within 0.05 s; one of them, or its disk,")
        assert (reloader.successful, applied) == (False, [])
        file[0] = good
        while await reloader.reload():  # a machine may be too slow for the deadline
            pass
        assert (reloader.successful, len(applied)) == (True, 1)
        os.close(os.open(pipe, os.O_WRONLY))  # the end of the file

    asyncio.run(inside())


class Opened:
    """A notifier that knows whether it was closed."""

    name = "late"

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def send(self, *_: object) -> list[Sent]:
        return []

    async def aclose(self) -> None:
        self.closed.set()


def test_what_is_built_after_the_deadline_of_a_reload_is_closed(tmp_path: Path) -> None:
    async def inside() -> None:
        file, disk = tmp_path / "exporter.yaml", threading.Event()
        file.write_text("accounts: [{token: t}]")
        late = [Opened(), Opened()]

        def prepare(new: Prepared) -> None:
            receiver = WebhookSettings.model_validate({"name": "late", "kind": "webhook", "url": "http://127.0.0.1:1"})
            new.notifiers.append((receiver, late[0]))
            disk.wait()
            new.notifiers.append((receiver, late[1]))
            raise BadSettings([Problem("paging", "refused late")])

        async def publish() -> None:
            pass

        reloader = Reloader(
            load=lambda: load(file, {}), prepare=prepare, apply=lambda _: None,
            publish=publish, secrets=Secrets(), report=Report(START), clock=Clock(), files_seconds=0.5,
        )  # fmt: skip
        try:
            (problem,) = await reloader.reload()
        finally:
            disk.set()
        assert "could not be read within 0.5 s" in problem
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.closed.wait() for each in late))

    asyncio.run(inside())
