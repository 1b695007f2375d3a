"""Stories about what people and the platform do on purpose: stop, start, delete, promote, scale."""

from tests.outside.containers import Crashes, NotReady, PullFails, Starts, Unschedulable
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY, story
from tests.outside.world import Load, Workload

EMPTY_PAGE = Answer(200, b'{"totalCount": 0, "count": 0, "data": [], "next": null, "previous": null}')


def scaling(least: int, most: int, metric: str = "cpuAverageUtilization", target: float = 70) -> dict[str, object]:
    """The settings of an autoscaler."""
    policies = [{"scalingMetric": metric, "target": target}]
    return {
        "enabled": True,
        "minReplicaCount": least,
        "maxReplicaCount": most,
        "cooldownPeriodMinutes": 30,
        "policies": policies,
    }


@story(45)
def moderate_workload_is_stopped(world: World) -> None:
    """A person stops a moderate workload in minute 10; it stays stopped."""
    world.workload("demo", importance="moderate", pods=2, load=BUSY).stops(10)


@story(45)
def stop_ends_with_exit_code_137(world: World) -> None:
    """A person stops a moderate workload that does not react to the signal: its pods end with exit code 137, Error."""
    world.workload("demo", importance="moderate", pods=2, load=BUSY).stops(10, code=137, takes=60)


@story(45)
def critical_workload_is_stopped(world: World) -> None:
    """A person stops a critical workload in minute 10, and it stays stopped."""
    world.workload("pricing", importance="critical", pods=2, load=BUSY).stops(10)


@story(45)
def stopped_and_started(world: World) -> None:
    """A person restarts a critical workload: stop in minute 10, start a minute later, ready after another two."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.stops(10)
    one.starts(11, Starts(5, 40, 60))


@story(45)
def moderate_workload_is_deleted(world: World) -> None:
    """A person deletes a moderate workload in minute 10: it stops for half a minute, then it is gone."""
    world.workload("demo", importance="moderate", pods=1, load=Load(rpm=2)).is_deleted(10)


@story(55)
def critical_workload_is_no_longer_shared(world: World) -> None:
    """A running critical workload is gone from the list in minute 10, from one moment to the next."""
    world.workload("pricing", importance="critical", pods=2, load=BUSY).leaves_the_list(10)


@story(45)
def workload_is_suspended(world: World) -> None:
    """A moderate workload is suspended in minute 10 and keeps its identity."""
    world.workload("demo", importance="moderate", pods=1, load=BUSY).stops(10, ends_as="suspended")


@story(45)
def draft_is_promoted(world: World) -> None:
    """The draft of a high importance service is promoted in minute 20: its statistics begin again, nothing restarts."""
    one = world.workload("planner", importance="high", pods=2, load=BUSY, draft=True, age_days=0.1)
    one.is_promoted(20)


@story(50)
def scaled_up_and_down(world: World) -> None:
    """A person scales a critical service from two pods to five in minute 10, and to two again in minute 35."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.count.set(600, 5)
    one.touched(600)
    one.add_pods(10, 3)
    one.count.set(2100, 2)
    one.touched(2100)
    for index in (2, 3, 4):
        one.remove_pod(index, 35.2)


@story(45)
def importance_is_raised_in_an_outage(world: World) -> None:
    """A moderate workload crashes from minute 10 on; in minute 25 somebody rates it critical."""
    one = world.workload("pricing", importance="moderate", pods=2, load=Load(rpm=2))
    one.all_pods(10, Crashes(1))
    one.is_rated(25, "critical")


@story(45)
def importance_is_lowered_in_an_outage(world: World) -> None:
    """A high importance workload crashes from minute 10 on; in minute 30 somebody rates it low."""
    one = world.workload("pricing", importance="high", pods=1, load=Load(rpm=2))
    one.all_pods(10, Crashes(1))
    one.is_rated(30, "low")


@story(45)
def started_again_with_a_pruned_image(world: World) -> None:
    """A moderate workload that was stopped for weeks is started in minute 10; its image is gone from the registry."""
    one = world.workload("quarterly", importance="moderate", pods=1)
    one.stops(-20000)
    one.starts(10, PullFails("manifest unknown"), ready_after=1e9)


@story(45)
def two_workloads_of_one_name(world: World) -> None:
    """A pipeline creates a workload with the name of an old moderate one, waits until it runs, moves the callers to it,
    and deletes the old one."""
    old = world.workload("etl", importance="moderate", pods=1, load=BUSY)
    new = world.workload("etl", importance="moderate", pods=1, since=10, first=Starts())
    new.gets(14, rpm=60)
    old.gets(14, rpm=0)
    old.is_deleted(16)


@story(65)
def scaled_to_zero_and_woken(world: World) -> None:
    """A high importance workload is scaled to zero in minute 10 after its last request, and woken in minute 50."""
    one = world.workload(
        "thumbnails", importance="high", pods=1, autoscaling=scaling(0, 3, "httpRequestsConcurrency", 4)
    )
    one.remove_pod(0, 10)
    one.gets(50, rpm=30, failed=0.02)
    one.add_pods(50, 1, Starts(2, 20, 30))
    one.gets(52, failed=0.0005)


@story(75)
def scaled_to_zero_reads_stopped(world: World) -> None:
    """An install calls a critical workload that is scaled to zero "stopped"; it is at zero from minute 10 to 60."""
    one = world.workload(
        "thumbnails", importance="critical", pods=1, autoscaling=scaling(0, 2, "httpRequestsConcurrency", 4)
    )
    one.remove_pod(0, 10)
    one.says(10.2, "stopped")
    one.says(60, None)
    one.add_pods(60, 1, Starts(2, 20, 30))


@story(75)
def waking_up_fails(world: World) -> None:
    """A high importance workload at zero receives requests from minute 15 on; its new pod crashes at each start, and
    callers get errors."""
    one = world.workload(
        "thumbnails", importance="high", pods=0, autoscaling=scaling(0, 3, "httpRequestsConcurrency", 4)
    )
    one.gets(15, rpm=40)
    one.add_pods(15, 1, Crashes(1, up=False))


@story(85)
def draft_of_high_importance_ends(world: World) -> None:
    """The eight hours of a draft of high importance end in minute 70: the platform stops it."""
    ends_at_70 = (480 - 70) / 1440
    one = world.workload("planner", importance="high", pods=1, load=Load(rpm=4), draft=True, age_days=ends_at_70)
    one.current(0).running_since.set(-1e9, one.created + 60)
    one.stops(71)


@story(85)
def draft_of_low_importance_ends(world: World) -> None:
    """The eight hours of a draft of low importance, a trial of somebody, end in minute 70."""
    one = world.workload("trial", importance="low", pods=1, draft=True, age_days=(480 - 70) / 1440)
    one.current(0).running_since.set(-1e9, one.created + 60)
    one.stops(71)


@story(70)
def autoscaler_at_its_maximum(world: World) -> None:
    """A high importance service is called three times as much from minute 10 to 55; its autoscaler runs the maximum of
    four pods from minute 13 on, and each has three times the requests that it should."""
    one = world.workload(
        "search", importance="high", pods=2, load=Load(rpm=120, concurrent=6),
        autoscaling=scaling(2, 4, "httpRequestsConcurrency", 4),
    )  # fmt: skip
    one.gets(10, rpm=900, concurrent=48, ms=2500, p95=5000, slow=0.4)
    one.add_pods(12, 2, Starts(2, 10, 30))
    one.gets(55, rpm=120, concurrent=6, ms=120, p95=300, slow=0.001)


@story(75)
def autoscaler_at_work(world: World) -> None:
    """The autoscaler of a critical service adds pods one after the other as load grows, and removes them again; it
    never reaches its maximum."""
    one = world.workload("search", importance="critical", pods=2, load=Load(rpm=200), autoscaling=scaling(2, 10))
    for number, minute in enumerate((10, 13, 16, 19, 22)):
        one.gets(minute, rpm=300 + 100 * number)
        one.add_pods(minute, 1)
    for number, minute in enumerate((45, 50, 55, 60)):
        one.remove_pod(6 - number, minute)
        one.gets(minute, rpm=600 - 100 * number)


@story(45)
def account_is_full(world: World) -> None:
    """An account may have twelve workloads; the twelfth is created in minute 10."""
    world.limits = {"maxConcurrentWorkloads": 12, "maxWorkloadReplicas": 10}
    for number in range(9):
        world.workload(f"small-{number}", importance="moderate", pods=1, load=Load(rpm=5))
    world.workload("the-twelfth", importance="moderate", pods=1, since=10, first=Starts())


@story(45)
def memory_is_nearly_used_up(world: World) -> None:
    """A moderate workload uses 96 % of its memory from minute 10 on; it is not killed."""
    one = world.workload("cache", importance="moderate", pods=1, load=BUSY)
    one.memory.set(0, 0.6)
    one.memory.set(600, 0.96)


@story(80)
def bundle_is_no_longer_offered(world: World) -> None:
    """The platform no longer offers the bundle of a high importance workload; it runs as before."""
    world.workload("legacy", importance="high", pods=1, bundle="cpu.5xlarge", load=BUSY)


@story(120)
def catalogue_is_empty_for_an_hour(world: World) -> None:
    """The catalogue of bundles comes in pages of three at first, and is empty from minute 20 on."""
    world.bundle_page = 3
    world.workload("gpu-model", importance="high", pods=1, bundle="gpu.a10g.medium", load=BUSY)
    world.fault("compute/bundles", 20, 120, EMPTY_PAGE)


@story(50)
def node_pool_is_renewed(world: World) -> None:
    """Somebody renews all nodes between minutes 10 and 40: the pods of eight workloads are moved one after the other,
    each is ready again after 90 seconds."""
    for number in range(8):
        importance = ("critical", "high", "moderate", "low")[number % 4]
        one = world.workload(f"service-{number}", importance=importance, pods=3, load=BUSY)
        for index in range(3):
            one.move_pod(index, 10 + number * 3 + index * 2.5, Starts(10, 40, 40))


@story(45)
def single_pod_is_moved(world: World) -> None:
    """The node of the only pod of a high importance service is drained; the new pod is ready after two minutes."""
    one = world.workload("single", importance="high", pods=1, load=Load(rpm=10), unserved_counted=False)
    one.move_pod(0, 15, Starts(10, 50, 60))


def _stage(world: World) -> list[Workload]:
    return [world.workload(f"team-{n}", importance="moderate", pods=1, load=Load(rpm=10)) for n in range(18)]


@story(45)
def half_of_the_fleet_is_stopped_for_the_night(world: World) -> None:
    """A script stops ten of twenty moderate workloads in minute 10, at the end of the working day."""
    for number, one in enumerate(_stage(world)[:10]):
        one.stops(10 + number / 10)


@story(55)
def twelve_of_twenty_fail_at_once(world: World) -> None:
    """A shared database goes away in minute 10: twelve of twenty workloads crash with exit code 1; it is back in minute
    40."""
    for one in _stage(world)[:12]:
        one.all_pods(10, Crashes(1, lives=6))
        one.all_pods(40, Starts(0, 1, 20))


@story(60)
def registry_down_during_a_node_renewal(world: World) -> None:
    """The nodes are renewed while the registry is down: from minute 10 on eight of twenty workloads, two of them
    critical, cannot pull their images until minute 45."""
    for number, one in enumerate(_stage(world)[:8]):
        if number < 2:
            one.is_rated(-100, "critical")
        one.move_pod(0, 10 + number / 4, PullFails("dial tcp: i/o timeout", heals=(35 - number / 4) * 60))


@story(60)
def three_of_twenty_fail_in_an_hour(world: World) -> None:
    """Three of twenty moderate workloads fail for good in an hour, independently: one crashes, one cannot be scheduled
    after a drain, one is never ready."""
    one, two, three = _stage(world)[:3]
    one.all_pods(8, Crashes(1))
    two.move_pod(0, 14, Unschedulable("0/9 nodes are available: 9 Insufficient memory."))
    three.all_pods(20, NotReady())


@story(50)
def friday_deployment_of_everything(world: World) -> None:
    """A pipeline rolls out fifteen of twenty workloads within twenty minutes, three at a time; all succeed."""
    for number, one in enumerate(_stage(world)[:15]):
        one.rollout(10 + number // 3 * 4, boot=60)


@story(45)
def ten_new_workloads_in_ten_minutes(world: World) -> None:
    """A class begins: ten new workloads are created within ten minutes, and each takes four to six minutes to start."""
    for number in range(10):
        first = Starts(60 + number * 10, 120, 60)
        world.workload(f"student-{number}", importance="low", pods=1, since=5 + number, first=first)
