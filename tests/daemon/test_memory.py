"""Garbage collection: what has become garbage is freed although the rest is frozen."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.daemon.memory import MAX_GARBAGE, MAX_SCANNED, RETIRED_SECONDS, GarbageCollection
from exporter.simulator import Simulator
from tests.daemon.test_reload import Running, play, simulator  # noqa: F401 — a fixture


class Node:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """Only what is tested collects garbage."""
    thresholds = gc.get_threshold()
    gc.unfreeze()
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture
def garbage() -> GarbageCollection:
    """One that has started."""
    made = GarbageCollection(lambda: 0.0)
    made.start()
    return made


def test_garbage_is_collected_while_everything_from_the_start_stays_frozen(garbage: GarbageCollection) -> None:
    frozen = gc.get_freeze_count()
    for _ in range(3):
        dropped, old = weakref.ref(Node()), Node()
        garbage.collect(0)
        late = weakref.ref(old)
        del old
        assert dropped() is None
        garbage.collect(0)
        assert late() is None  # it had survived a collection
    assert gc.get_freeze_count() <= frozen


def test_objects_too_many_to_be_scanned_are_frozen_and_all_are_scanned_once_they_must_be_garbage(
    garbage: GarbageCollection,
) -> None:
    frozen = gc.get_freeze_count()
    fleet = [Node() for _ in range(MAX_SCANNED)]
    garbage.collect(0)
    assert gc.get_freeze_count() > frozen + MAX_SCANNED
    garbage.collect(0)
    late = weakref.ref(fleet[0])
    del fleet
    garbage.collect(0)
    assert late() is not None  # it is frozen
    kept = []
    while late() is not None:
        assert gc.get_freeze_count() < frozen + MAX_GARBAGE + 2 * MAX_SCANNED
        kept = [Node() for _ in range(MAX_SCANNED)]
        garbage.collect(0)
    assert gc.get_freeze_count() < frozen + 3 * MAX_SCANNED
    assert len(kept) == MAX_SCANNED


def test_a_large_fleet_is_no_reason_to_scan_it(garbage: GarbageCollection) -> None:
    garbage.collect(0)
    fleet = [Node() for _ in range(MAX_GARBAGE + MAX_SCANNED)]
    garbage.collect(10_000)
    late = weakref.ref(fleet.pop())
    garbage.collect(10_000)
    assert late() is not None
    garbage.collect(0)
    assert late() is not None  # all were scanned only when new objects were frozen
    fleet += [Node() for _ in range(2 * MAX_SCANNED)]
    garbage.collect(0)
    assert late() is None


def test_only_the_collection_itself_scans_old_objects(garbage: GarbageCollection) -> None:
    gc.enable()
    scans = gc.get_stats()[2]["collections"]
    kept = [Node() for _ in range(10 * MAX_SCANNED)]
    assert gc.get_stats()[2]["collections"] == scans
    assert len(kept) == 10 * MAX_SCANNED


def test_nothing_that_a_reload_replaces_stays_in_memory(
    simulator: Simulator,  # noqa: F811 — the fixture
    tmp_path: Path,
) -> None:
    async def work(scene: Running) -> None:
        daemon = scene.daemon
        daemon.garbage.start()
        daemon.accounts.start_polling()
        for number in range(3):
            await daemon.publish()
            monitor, pager = daemon.accounts.monitors["eu"], daemon.paging.pager
            replaced = [weakref.ref(each) for each in (monitor, monitor.client, monitor.poller, monitor.state, pager)]
            assert all(each() is not None for each in replaced)
            del monitor, pager
            scene.written(receiver=scene.old, sweep__interval=f"{31 + number}s")
            assert await daemon.reload() == []
            await daemon.sweep("eu")
            await daemon.tasks.join()
            scene.time.pass_(RETIRED_SECONDS + 1)
            await daemon.publish()
            assert [each() for each in replaced] == [None] * 5

    play(simulator, tmp_path, work)
