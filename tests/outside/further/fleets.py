"""Further stories about many workloads at once, tiny accounts, and what an account may use."""

from typing import Any

from tests.outside.containers import CannotStart, Crashes, Evicted, PullFails, Starts
from tests.outside.further.api import page_of
from tests.outside.further.register import further
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.world import Load, Workload

RANKS = ("low", "moderate", "high", "critical")
BUNDLES = r"/mlops/compute/bundles"


def fleet(world: World, number: int, **given: Any) -> list[Workload]:
    calm: dict[str, Any] = {"pods": 1, "load": Load(rpm=30), **given}
    return [
        world.workload(f"model-{index:02}", importance=RANKS[index % 4], age_days=90 - index, **calm)
        for index in range(number)
    ]


def bundle(name: str, use: str) -> dict[str, Any]:
    return {"id": name, "name": name, "description": None, "cpuCount": 2.0, "memoryBytes": 4294967296, "gpuCount": 0,
            "hasGpu": False, "useCases": [use]}  # fmt: skip


@further(75)
def registry_is_away_for_a_quarter_of_the_fleet(world: World) -> None:
    """In minute 10 the nodes of ten of forty workloads are drained; none of their pods can pull its image, since the
    registry does not respond until minute 35."""
    for one in fleet(world, 40)[:10]:
        one.move_pod(0, 10, PullFails("dial tcp 10.9.8.7:443: i/o timeout", heals=25 * 60))


@further(50)
def four_unrelated_failures_among_forty(world: World) -> None:
    """Of forty workloads four fail: one of low importance that no user calls exits with 1 from minute 10 on, a critical
    one misses a secret from minute 12 on, one of high importance cannot pull its image from minute 14 on, and all
    requests of another critical one fail from minute 16 on."""
    models = fleet(world, 40)
    models[0].gets(-1, rpm=0)
    models[0].all_pods(10, Crashes(1))
    models[3].move_pod(0, 12, CannotStart(message='secret "bank-login" not found'))
    models[2].move_pod(0, 14, PullFails("registry.example.test/ml/model-02:1: not found"))
    models[7].gets(16, failed=1.0)


@further(50, company=False)
def tiny_account_fails_as_a_whole(world: World) -> None:
    """An account has three critical services; all of them exit with 1 from minute 10 on."""
    for name in ("north", "south", "west"):
        world.workload(name, importance="critical", pods=1, load=BUSY).all_pods(10, Crashes(1))


@further(50)
def all_workloads_of_a_gpu_bundle_fail(world: World) -> None:
    """Of twenty workloads the six with the bundle gpu.l4.small exit with 1 from minute 10 on: the driver of their nodes
    was updated."""
    fleet(world, 14)
    for index in range(6):
        world.workload(f"gpu-{index}", importance=RANKS[index % 4], pods=1, bundle="gpu.l4.small", load=BUSY).all_pods(
            10, Crashes(1)
        )


@further(60)
def forty_workloads_on_a_good_day(world: World) -> None:
    """Of forty workloads one after the other moves a pod or is replaced, and each succeeds."""
    models = fleet(world, 40, pods=2)
    for index, minute in enumerate(range(5, 50, 5)):
        models[index].move_pod(0, minute)
        models[39 - index].rollout(minute + 2)


@further(60)
def node_with_one_pod_of_each_dies(world: World) -> None:
    """In minute 10 a node dies that runs one of the two pods of eight workloads of twelve; the next pods are ready two
    minutes later, and the evicted ones leave the list after four."""
    for one in fleet(world, 12, pods=2)[:8]:
        one.pod(0, 10, Evicted("NodeLost", "Node which was running pod is unresponsive"))
        one.add_pods(10.3, 1, Starts(20, 40, 40))
        one.remove_pod(0, 14)


@further(90)
def bundle_is_only_for_other_uses(world: World) -> None:
    """A service of moderate importance uses the bundle cpu.legacy, which the catalogue lists only for custom models."""
    world.workload("ledger", importance="moderate", pods=1, bundle="cpu.legacy", load=BUSY)
    items = [bundle("cpu.medium", "workload"), bundle("cpu.small", "workload"), bundle("cpu.legacy", "customModel")]
    world.fault(BUNDLES, 0, 90, page_of(items, total=3))


@further(90)
def catalogue_is_empty(world: World) -> None:
    """The catalogue of bundles is an empty list all the time."""
    fleet(world, 4)
    world.fault(BUNDLES, 0, 90, page_of([], total=0))


@further(50)
def account_is_at_its_limit(world: World) -> None:
    """An account may have 21 active workloads; the 19th is created in minute 10."""
    world.limits = {"maxConcurrentWorkloads": 21, "maxWorkloadReplicas": 10}
    fleet(world, 16)
    world.workload("one-more", importance="low", pods=1, since=10)


@further(50)
def stopped_workloads_do_not_count(world: World) -> None:
    """An account may have 12 active workloads; it has 16, of which eight have been stopped for ten hours."""
    world.limits = {"maxConcurrentWorkloads": 12, "maxWorkloadReplicas": 0}
    for one in fleet(world, 14)[:8]:
        one.stops(-600)


@further(50)
def each_workload_has_the_most_replicas(world: World) -> None:
    """An account may have three replicas of a workload; each of twelve workloads has three."""
    world.limits = {"maxConcurrentWorkloads": 0, "maxWorkloadReplicas": 3}
    fleet(world, 12, pods=3)
