"""Garbage collection: what has become garbage is freed although the rest is frozen."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.daemon.memory import FULL_COLLECTION_SECONDS, FULL_COLLECTION_SHARE, GarbageCollection
from exporter.simulator import Simulator
from tests.daemon.test_reload import Running, play, simulator  # noqa: F401 — a fixture


class Node:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """Only what is tested collects garbage."""
    gc.unfreeze()
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def test_garbage_is_collected_before_the_rest_is_frozen() -> None:
    now = [0.0]
    garbage = GarbageCollection(lambda: now[0])
    garbage.freeze(ready=False)
    assert gc.get_freeze_count() == 0
    garbage.freeze(ready=True)
    kept, dropped = Node(), weakref.ref(Node())
    assert dropped() is not None
    garbage.freeze(ready=True)
    assert dropped() is None
    frozen = gc.get_freeze_count()
    for _ in range(100):
        Node()
        garbage.freeze(ready=True)
    assert gc.get_freeze_count() < frozen + 50
    late = weakref.ref(kept)
    del kept
    now[0] = FULL_COLLECTION_SECONDS - 1
    garbage.freeze(ready=True)
    assert late() is not None  # it was frozen before it became garbage
    now[0] = FULL_COLLECTION_SECONDS
    garbage.freeze(ready=True)
    assert late() is None


def test_full_collections_that_take_long_are_rare_unless_garbage_is_expected() -> None:
    times = iter([0.0, 2.0])
    now = [0.0]
    garbage = GarbageCollection(lambda: next(times, now[0]))
    garbage.freeze(ready=True)  # takes two seconds
    kept = Node()
    garbage.freeze(ready=True)
    late = weakref.ref(kept)
    del kept
    now[0] = 2.0 / FULL_COLLECTION_SHARE - 1
    garbage.freeze(ready=True)
    assert late() is not None
    garbage.expect_garbage()
    now[0] += FULL_COLLECTION_SECONDS
    garbage.freeze(ready=True)
    assert late() is None


def test_nothing_that_a_reload_replaces_stays_in_memory(
    simulator: Simulator,  # noqa: F811 — the fixture
    tmp_path: Path,
) -> None:
    async def work(scene: Running) -> None:
        daemon = scene.daemon
        daemon.garbage = GarbageCollection(scene.time.clock.steady)
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
            scene.time.pass_(FULL_COLLECTION_SECONDS + 1)
            await daemon.publish()
            assert [each() for each in replaced] == [None] * 5

    play(simulator, tmp_path, work)
