"""Third stories in which nothing is wrong, though much happens."""

from typing import NamedTuple

from tests.outside.containers import Ended, Moment, NotReady, Starts
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import scaling, third
from tests.outside.world import Load


class KilledWhileLoading(NamedTuple):
    """Pulls for five minutes, is killed once by its startup probe, and is ready after 38 minutes."""

    def at(self, age: float) -> Moment:
        if age < 300:
            return Moment("waiting", reason="ContainerCreating")
        if age < 1500:
            return Moment("running", began=300)
        last = Ended("Error", 137, 300, 1500)
        return Moment("running", ready=age >= 2280, restarts=1, last=last, began=1502)


@third(80)
def batch_is_started_and_stopped(world: World) -> None:
    """A scheduler stops and starts a service of moderate importance again and again, for its batches."""
    batch = world.workload("batch", importance="moderate", pods=2, load=Load(rpm=30))
    for minute in (12, 32, 52):
        batch.stops(minute)
        batch.starts(minute + 8)


@third(45)
def pods_are_replaced_with_surge(world: World) -> None:
    """The three pods of a critical service are replaced one after the other; the new one is ready before the old one
    goes."""
    teller = world.workload("teller", importance="critical", pods=3, load=BUSY)
    for index in range(3):
        teller.add_pods(10 + 3 * index)
        teller.remove_pod(index, 11.8 + 3 * index)


@third(90)
def autoscaler_oscillates(world: World) -> None:
    """The autoscaler of a critical service adds four replicas every ten minutes, which take two minutes to start, and
    removes them six minutes later, for an hour."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY, autoscaling=scaling(2, 8))
    for number in range(6):
        minute = 10 + 10 * number
        teller.gets(minute, concurrent=18)
        teller.add_pods(minute, 4, Starts(20, 40, 60))
        teller.gets(minute + 5, concurrent=1)
        for index in range(4):
            teller.remove_pod(2 + 4 * number + index, minute + 6)


@third(60)
def probes_fail_for_forty_seconds(world: World) -> None:
    """All pods of a service of high importance are not ready for forty seconds in minutes 12 and 37, and its requests
    fail meanwhile."""
    editor = world.workload("editor", importance="high", pods=2, load=BUSY)
    editor.all_pods(12, NotReady(40))
    editor.all_pods(37, NotReady(40))


@third(75)
def large_model_loads_for_38_minutes(world: World) -> None:
    """A critical NIM is created in minute 5; its startup probe kills it once while it loads, and it is ready after 38
    minutes."""
    world.workload(
        "llama", importance="critical", pods=1, kind="nim", bundle="gpu.a10g.medium", since=5,
        first=KilledWhileLoading(),
    )  # fmt: skip
