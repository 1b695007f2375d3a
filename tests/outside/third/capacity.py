"""Third stories about capacity: quota, GPUs, replicas at zero, throttled registries, full disks."""

from tests.outside.containers import Evicted, PullFails, Unschedulable
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import scaling, third
from tests.outside.world import Load


@third(50)
def quota_leaves_no_pod(world: World) -> None:
    """The only pod of a critical service is deleted in minute 10; the quota of its namespace is used up, and no new pod
    is created. The status stays running."""
    world.workload("ledger", importance="critical", pods=1, load=BUSY).remove_pod(0, 10)


@third(80)
def spot_nodes_are_reclaimed_one_by_one(world: World) -> None:
    """A critical NIM loses one of three GPU nodes in minutes 10, 30 and 50; no other node has a GPU."""
    llama = world.workload("llama", importance="critical", pods=3, kind="nim", bundle="gpu.l4.small", load=BUSY)
    for index in range(3):
        llama.move_pod(index, 10 + 20 * index, Unschedulable())


@third(60)
def large_model_wakes_up(world: World) -> None:
    """A NIM of high importance has no replica until a caller comes in minute 20; its node is there after five minutes,
    and its model is loaded seven minutes later. The gateway gives up on the first callers."""
    llama = world.workload(
        "llama", importance="high", pods=0, kind="nim", bundle="gpu.a10g.medium", autoscaling=scaling(0, 2)
    )
    llama.gets(20, rpm=6)
    llama.add_pods(20, 1, Unschedulable(heals=300, boot=390))


@third(75)
def registry_throttles_a_wake_up(world: World) -> None:
    """A service of high importance has no replica until callers come in minute 15; the registry refuses its image for
    twenty minutes, since too many pulls were made."""
    wiki = world.workload("wiki", importance="high", pods=0, load=Load(rpm=0), autoscaling=scaling(0, 3))
    wiki.gets(15, rpm=20)
    wiki.add_pods(15, 1, PullFails("toomanyrequests: You have reached your pull rate limit", heals=1200))


@third(60)
def disk_of_the_node_is_full(world: World) -> None:
    """The only pod of a service of moderate importance is evicted every six minutes from minute 10 on, since it fills
    the disk; the next one is ready after a minute and a half, and each evicted one is listed for five minutes."""
    cache = world.workload("cache", importance="moderate", pods=1, load=Load(rpm=6))
    for index, minute in enumerate(range(10, 60, 6)):
        cache.pod(index, minute, Evicted("Evicted", "The node was low on resource: ephemeral-storage."))
        cache.add_pods(minute + 0.3)
        cache.remove_pod(index, minute + 5)
