"""What the daemon keeps, leaves out and offers: state across restarts, selection and shards, limits, discovery."""

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.daemon.daemon import Daemon
from exporter.fleet.ledger import Ledger, Tally
from exporter.settings.model import Settings
from exporter.simulator import Simulator
from exporter.state.database import StateError
from exporter.state.store import EncodedTrace, Store
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.tracing.trace import Span, Trace
from tests.daemon.parts import use_accounts
from tests.daemon.test_daemon import START, Scene, play


def restarted(scene: Scene, store: Store, **settings: Any) -> Scene:
    """The same API and time, watched by a daemon that has just been started."""
    account = {"name": "eu", "endpoint": scene.simulator.url, "token": "demo-token", "requests_per_second": 100}
    scene.settings = Settings.model_validate({"accounts": [account], **settings})
    scene.daemon = Daemon(scene.settings, scene.load, clock=scene.time.clock, store=store)
    use_accounts(scene.daemon, scene.settings)
    return scene


@pytest.fixture
def simulator() -> Any:
    with Simulator(workloads=40, clock=lambda: START) as made:
        yield made


async def ended(scene: Scene) -> None:
    for monitor in scene.daemon.accounts.monitors.values():
        await monitor.close()


def test_a_restart_forgets_no_time_and_counts_on(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    async def work(scene: Scene) -> None:
        await ended(scene)
        name = "datarobot_workload_first_observed_timestamp_seconds"
        errored = {"transition": "errored"}
        store = Store(path)
        scene = restarted(scene, store)
        await scene.sweep()
        first = await scene.value(name, workload="healthy-0")
        await scene.sweep(after=900.0)
        before = await scene.value("datarobot_workload_transitions_total", **errored)
        await ended(scene)
        store.close()
        store = Store(path)
        scene = restarted(scene, store)
        assert await scene.workloads() == 0
        await scene.sweep(after=60.0)
        assert await scene.value(name, workload="healthy-0") == first == START
        assert await scene.value("datarobot_workload_transitions_total", **errored) == before
        await ended(scene)
        store.close()

    play(simulator, work)


class Full(Store):
    """A state on a disk that is full."""

    full = True

    def commit(
        self,
        account: str,
        ledgers: Any,
        tally: Tally | None = None,
        traces: Sequence[EncodedTrace] = (),
        max_bytes: int | None = None,
    ) -> int:
        if self.full:
            raise StateError("the state was not written: disk full")
        return super().commit(account, ledgers, tally, traces, max_bytes)


def test_a_state_that_cannot_be_written_stops_nothing_and_is_made_up_for(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Full(None)
        scene = restarted(scene, store)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                await scene.sweep(after=30.0)
        assert await scene.workloads() > 30
        assert (await scene.value("datarobot_exporter_state_commit_failures_total") or 0) >= 3
        assert [r.message for r in caplog.records] == ["the state cannot be written; retrying"]
        store.full = False
        await scene.sweep(after=30.0)
        assert len(store.load("eu").ledgers) > 30
        await ended(scene)

    play(simulator, work)


class Hanging(Store):
    """A state on a disk that does not respond before `responds` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.responds = threading.Event()

    def commit(self, *arguments: Any) -> int:
        self.responds.wait(60)
        return super().commit(*arguments)


@pytest.mark.long
def test_a_disk_that_does_not_respond_stops_no_page_and_is_written_once_it_does(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Hanging(tmp_path / "state.db")
        scene = restarted(scene, store)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                await scene.sweep(after=30.0)
        assert await scene.workloads() > 30
        assert await scene.value("datarobot_workload_transitions_total", transition="errored") is not None
        assert (await scene.value("datarobot_exporter_state_commit_failures_total") or 0) >= 3
        assert [r.message for r in caplog.records] == ["the state cannot be written; retrying"]
        store.responds.set()
        await scene.sweep(after=30.0)
        await scene.sweep(after=30.0)
        assert len(store.load("eu").ledgers) > 30
        assert (await scene.value("datarobot_exporter_state_commits_total") or 0) >= 2
        await ended(scene)
        store.close()

    play(simulator, work)


def test_only_the_trace_that_cannot_be_encoded_is_dropped_and_logged_once(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Full(None)
        scene = restarted(scene, store)
        good = Trace(b"g" * 16, {}, (Span(b"g" * 8, b"", "good", 1, 2),))
        bad = Trace(b"b" * 16, {}, (Span(b"b" * 8, b"", "before 1970", -1, 2), good.spans[0]))
        traces = [EpisodeTrace("start", "success", 1.0, each, each.id) for each in (bad, good)]
        scene.daemon.accounts.monitors["eu"].state.add_traces(traces)
        dropped = {"reason": "unencodable"}
        for _ in range(3):
            await scene.sweep(after=30.0)
            assert await scene.value("datarobot_exporter_trace_spans_dropped_total", **dropped) == 2
        store.full = False
        await scene.sweep(after=30.0)
        assert [row.trace for row in store.batch(0, 9, 99, 9999)] == [good.id]
        assert len(store.load("eu").ledgers) > 30
        assert scene.daemon.accounts.monitors["eu"].pending().traces == ()
        assert caplog.text.count("it cannot be encoded") == 1
        await ended(scene)

    play(simulator, work)


def test_what_does_not_fit_into_the_outbox_is_dropped_at_once_and_counted(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Store(None)
        scene = restarted(scene, store, traces={"max_bytes": 1})
        one = Trace(b"o" * 16, {}, (Span(b"o" * 8, b"", "one", 1, 2),))
        scene.daemon.accounts.monitors["eu"].state.add_traces([EpisodeTrace("start", "success", 1.0, one, one.id)])
        await scene.sweep()
        assert await scene.value("datarobot_exporter_trace_spans_dropped_total", reason="cap") == 1
        assert store.outbox().traces == 0
        await ended(scene)

    play(simulator, work)


def test_rows_that_cannot_be_read_are_logged(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        store = Store(None)
        store.commit("eu", {"x": Ledger(1.0, 1.0)})
        with store._transaction() as db:
            db.execute("UPDATE workload SET ledger = '5'")
        restarted(scene, store)
        assert "cannot be read" in caplog.text
        await ended(scene)

    play(simulator, work)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_shards_together_show_the_whole_fleet_once(simulator: Simulator, shards: int) -> None:
    async def work(scene: Scene) -> None:
        shown: list[str] = []
        for shard in range(shards):
            await ended(scene)
            scene = restarted(scene, Store(None), select={"shard": f"{shard}/{shards}"})
            await scene.sweep()
            page = await scene.page()
            shown += [dict(labels)["workload_id"] for name, labels in page if name == "datarobot_workload_info"]
            assert await scene.value("datarobot_exporter_shard_ordinal") == shard
            elsewhere = await scene.value("datarobot_exporter_other_shards_workloads")
            assert elsewhere == len(simulator.world.listed(START)) - await scene.workloads()
        assert len(shown) == len(set(shown)) == len(simulator.world.listed(START))
        await ended(scene)

    play(simulator, work)


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"name": "healthy-.*"}, None),
        ({"importance": ["critical"]}, None),
        ({"tags": ["team=team-1"]}, 8),
        ({"tags": ["nobody"]}, 0),
        ({"creators": ["simulated@example.test"]}, 38),
    ],
)
def test_what_is_not_selected_is_counted(simulator: Simulator, chosen: dict[str, Any], count: int | None) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        scene = restarted(scene, Store(None), select=chosen)
        await scene.sweep()
        shown, left = await scene.workloads(), await scene.value("datarobot_exporter_deselected_workloads")
        assert shown + (left or 0) == len(simulator.world.listed(START))
        assert left
        assert count is None or abs(shown - count) <= 1
        await ended(scene)

    play(simulator, work)


def test_beyond_the_limit_of_series_workloads_are_left_out_loudly(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        await ended(scene)
        scene = restarted(scene, Store(None), metrics={"series_limit": 1000})
        await scene.sweep()
        left_out = await scene.value("datarobot_exporter_series_left_out_workloads")
        assert left_out
        assert await scene.workloads() + left_out == len(simulator.world.listed(START))
        assert (await scene.value("datarobot_exporter_series") or 0) <= 1000
        assert caplog.text.count("series_limit reached") == 1
        await ended(scene)

    play(simulator, work)


def test_selected_tags_are_served_as_labels_and_without_the_setting_there_is_no_such_family(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    family, left_out = "datarobot_workload_tags", "datarobot_exporter_tag_values_left_out"

    async def work(scene: Scene) -> None:
        await scene.sweep()
        assert f"# TYPE {family} " not in (await scene.get("/metrics"))[1].decode()
        await ended(scene)
        scene = restarted(scene, Store(None), metrics={"tags": ["Team", "e*"], "tag_values": 2, "profile": "minimal"})
        await scene.sweep()
        assert await scene.value(family) == await scene.workloads()
        for tag, values in {"tag_team": 2, "tag_env": 2}.items():
            named = {value for _, labels in await scene.page(family) for name, value in labels if name == tag}
            assert len(named) == values
        assert await scene.value(left_out, account="eu", tag="team", reason="limit") == 3
        assert await scene.value(left_out, account="eu", tag="env", reason="limit") == 1
        await scene.sweep()
        assert caplog.text.count("values of a tag are left out of the labels") == 2
        await ended(scene)

    play(simulator, work)


def test_a_reload_that_changes_the_selected_tags_is_served_at_once_from_what_is_known(simulator: Simulator) -> None:
    family = "datarobot_workload_tags"

    async def work(scene: Scene) -> None:
        await ended(scene)
        scene = restarted(scene, Store(None), metrics={"tags": ["team"]})
        await scene.sweep()
        shown = await scene.value(family)
        for tags, label, count in (["env"], "tag_env", shown), ([], "tag_", None):
            metrics = scene.settings.metrics.model_copy(update={"tags": tuple(tags)})
            scene.next = scene.settings.model_copy(update={"metrics": metrics})
            assert await scene.daemon.reload() == []
            assert await scene.value(family) == count
            assert {name for _, labels in await scene.page(family) for name, _ in labels if "tag_" in name} == (
                {label} if count else set()
            )
        await ended(scene)

    play(simulator, work)


def test_discovery_offers_the_endpoints_of_workloads_that_are_up(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        unknown = b"targets are not known: account eu: the first sweep has not ended yet\n"
        assert await scene.get("/sd") == (503, unknown)  # Prometheus keeps its targets then
        await scene.sweep()
        status, body = await scene.get("/sd")
        groups = json.loads(body)
        assert status == 200
        running = await scene.value("datarobot_workload_status", status="running")
        assert len(groups) == running
        group = next(g for g in groups if g["labels"]["__meta_datarobot_workload"] == "healthy-0")
        workload = group["labels"]["__meta_datarobot_workload_id"]
        assert group["targets"] == [f"{simulator.url}/api/v2/endpoints/workloads/{workload}/"]
        assert {g["labels"]["__meta_datarobot_status"] for g in groups} == {"running"}

    play(simulator, work)


def test_discovery_keeps_the_targets_of_an_api_that_does_not_respond(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        before = await scene.get("/sd")
        simulator.odd = {"unavailable"}
        await scene.sweep(after=3600)
        simulator.odd = frozenset()
        assert await scene.workloads() == 0
        assert await scene.get("/sd") == before

    play(simulator, work)


def test_discovery_waits_for_an_account_that_a_reload_adds(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        other = scene.settings.accounts[0].model_copy(update={"name": "us"})
        scene.next = scene.settings.model_copy(update={"accounts": (*scene.settings.accounts, other)})
        assert await scene.daemon.reload() == []
        unknown = b"targets are not known: account us: the first sweep has not ended yet\n"
        assert await scene.get("/sd") == (503, unknown)

    play(simulator, work)


def test_the_poller_starts_and_stops_with_the_daemon(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        monitor = scene.daemon.accounts.monitors["eu"]
        monitor.start()
        await scene.sweep()
        for _ in range(400):
            await asyncio.sleep(0.005)  # real time for the poller, which uses a real socket
            if any(state.details.pods for state in monitor.workloads.values()):
                break
        await scene.daemon.publish()
        assert await scene.value("datarobot_proton_replicas_live")
        assert (await scene.value("datarobot_exporter_detail_looks_total", part="pods") or 0) > 0

    play(simulator, work)
