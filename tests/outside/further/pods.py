"""Further stories about pods: some of several fail, sidecars, images, room, memory, starts, and pods that flap."""

from typing import NamedTuple

from tests.outside.containers import (
    CannotStart,
    Crashes,
    Creating,
    Evicted,
    KilledOnce,
    Moment,
    NotReady,
    PullFails,
    Starts,
    Unschedulable,
)
from tests.outside.further.register import further
from tests.outside.server import World
from tests.outside.story import BUSY


class Initializing(NamedTuple):
    """Waits for an init step of its pod that does not finish."""

    def at(self, age: float) -> Moment:
        return Moment("waiting", reason="PodInitializing")


@further(45)
def half_of_four_pods_exit(world: World) -> None:
    """Two of four pods of a critical service exit with 2 from minute 10 on; the other two serve all requests."""
    scorer = world.workload("credit-scorer", importance="critical", pods=4, load=BUSY)
    scorer.pod(0, 10, Crashes(2))
    scorer.pod(1, 10, Crashes(2))


@further(45)
def three_of_four_pods_exit(world: World) -> None:
    """Three of four pods of a service of high importance exit with 127 from minute 10 on; one serves all requests."""
    scorer = world.workload("credit-scorer", importance="high", pods=4, load=BUSY)
    for index in range(3):
        scorer.pod(index, 10, Crashes(127))


@further(60)
def moderate_service_down_under_traffic(world: World) -> None:
    """All pods of a busy service of moderate importance exit with 3 from minute 10 to minute 35."""
    router = world.workload("mail-router", importance="moderate", pods=2, load=BUSY)
    router.all_pods(10, Crashes(3))
    router.all_pods(35, Starts(0, 0, 20))


@further(45)
def low_service_without_requests_exits(world: World) -> None:
    """Both pods of a service of low importance that no user calls exit with 1 from minute 10 on."""
    world.workload("playground", importance="low", pods=2).all_pods(10, Crashes(1))


@further(45)
def sidecar_exits_in_one_of_two_pods(world: World) -> None:
    """In one of two pods of a service of high importance the sidecar `metrics-agent` exits with 2 from minute 10 on."""
    tagger = world.workload(
        "photo-tagger", importance="high", pods=2, load=BUSY, containers=("primary", "metrics-agent")
    )
    tagger.pod(1, 10, Crashes(2), "metrics-agent")


@further(45)
def sidecar_image_is_denied_in_both_pods(world: World) -> None:
    """In minute 10 both pods of a critical service move; the image of their sidecar `auth-proxy` may not be pulled."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY, containers=("primary", "auth-proxy"))
    for index in (0, 1):
        teller.move_pod(index, 10)
        teller.pod(2 + index, 10, PullFails("pull access denied, repository requires authorization"), "auth-proxy")


@further(45)
def init_step_never_finishes(world: World) -> None:
    """Both pods of a critical service move in minute 10 and then wait for their init step without end."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    for index in (0, 1):
        teller.move_pod(index, 10, Initializing())


@further(60)
def registry_throttles_while_nodes_are_drained(world: World) -> None:
    """From minute 10 on the four pods of a critical service move one after the other, every four minutes; the registry
    throttles each for two and a half minutes. Three pods serve at any time."""
    teller = world.workload("teller", importance="critical", pods=4, load=BUSY)
    for index in range(4):
        teller.move_pod(index, 10 + 4 * index, PullFails("toomanyrequests: rate exceeded", heals=150))


@further(40)
def mistyped_image_of_a_new_service(world: World) -> None:
    """A service of moderate importance is created in minute 5; the name of its image is no valid name."""
    behaviour = PullFails('couldn\'t parse image reference "registry.example.test/ml/Trial :1"', "InvalidImageName")
    world.workload("trial", importance="moderate", pods=1, since=5, first=behaviour)


@further(60)
def no_gpu_for_a_new_nim(world: World) -> None:
    """A NIM of high importance is created in minute 5; no node has a free GPU until the end."""
    world.workload(
        "llama", importance="high", pods=1, kind="nim", bundle="gpu.l4.small", since=5, first=Unschedulable()
    )


@further(60)
def gpu_node_comes_after_eight_minutes(world: World) -> None:
    """A NIM of high importance is created in minute 5; its node is there after eight minutes, and its model is loaded
    a quarter of an hour later."""
    first = Unschedulable(heals=480, boot=900)
    world.workload("llama", importance="high", pods=1, kind="nim", bundle="gpu.l4.small", since=5, first=first)


@further(60)
def third_gpu_replica_finds_no_room(world: World) -> None:
    """In minute 10 a critical NIM gets a third replica, for which no node has a GPU; two serve."""
    llama = world.workload("llama", importance="critical", pods=2, kind="nim", bundle="gpu.l4.small", load=BUSY)
    llama.count.set(600, 3)
    llama.add_pods(10, 1, Unschedulable())


@further(60)
def third_replica_is_never_created(world: World) -> None:
    """In minute 10 a service of moderate importance gets a third replica, and no third pod ever appears."""
    world.workload("thumbnails", importance="moderate", pods=2, load=BUSY).count.set(600, 3)


@further(50)
def taint_keeps_the_only_pod_away(world: World) -> None:
    """The only pod of a critical service is moved in minute 10; all nodes have a taint that it does not tolerate."""
    teller = world.workload("teller", importance="critical", pods=1, load=BUSY)
    teller.move_pod(0, 10, Unschedulable("0/9 nodes are available: 9 node(s) had untolerated taint {team: vision}."))


@further(60)
def configmap_missing_for_six_minutes(world: World) -> None:
    """Both pods of a service of high importance move in minute 10; the configmap `model-settings` is missing and is
    restored after six minutes."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    for index in (0, 1):
        teller.move_pod(index, 10, CannotStart(message='configmap "model-settings" not found', heals=360))


@further(45)
def volume_never_mounts(world: World) -> None:
    """The only pod of a critical service moves in minute 10, and its new one waits for a volume without end."""
    world.workload("archive", importance="critical", pods=1, load=BUSY).move_pod(0, 10, Creating())


@further(45)
def entry_point_is_not_executable(world: World) -> None:
    """The only pod of a service of moderate importance that no user calls moves in minute 10; its process cannot be
    executed."""
    trial = world.workload("trial", importance="moderate", pods=1)
    trial.move_pod(0, 10, CannotStart("RunContainerError", 'exec: "/app/serve": permission denied'))


@further(80)
def one_pod_runs_out_of_memory_twice(world: World) -> None:
    """One of two pods of a service of moderate importance is killed for its memory in minutes 10 and 25; the other one
    serves."""
    resizer = world.workload("resizer", importance="moderate", pods=2, load=BUSY)
    resizer.pod(0, 10, KilledOnce(restarts=1))
    resizer.pod(0, 25, KilledOnce(restarts=2))


@further(60)
def memory_stays_near_the_limit(world: World) -> None:
    """From minute 10 on a service of high importance uses 95 % of its memory instead of half of it."""
    resizer = world.workload("resizer", importance="high", pods=2, load=BUSY)
    resizer.memory.set(-6000, 0.5)
    resizer.memory.set(600, 0.95)


@further(60)
def memory_is_near_the_limit_for_ten_minutes(world: World) -> None:
    """A batch of requests fills 95 % of the memory of a service of high importance from minute 10 to minute 20."""
    resizer = world.workload("resizer", importance="high", pods=2, load=BUSY)
    for minute, share in ((-100, 0.5), (10, 0.95), (20, 0.6)):
        resizer.memory.set(minute * 60, share)


@further(40)
def evicted_pod_is_replaced(world: World) -> None:
    """One of three pods of a critical service is evicted in minute 10; the next one is ready after a minute and a half,
    and the evicted one leaves the list after four."""
    teller = world.workload("teller", importance="critical", pods=3, load=BUSY)
    teller.pod(0, 10, Evicted("Evicted", "The node was low on resource: ephemeral-storage."))
    teller.add_pods(10.2)
    teller.remove_pod(0, 14)


@further(45)
def outage_of_two_minutes(world: World) -> None:
    """No pod of a service of high importance is ready from minute 10 to minute 12."""
    world.workload("teller", importance="high", pods=2, load=BUSY).all_pods(10, NotReady(115))


@further(100)
def ready_only_every_other_two_minutes(world: World) -> None:
    """From minute 10 to minute 70 the only pod of a critical service is ready for two minutes, then not for two."""
    teller = world.workload("teller", importance="critical", pods=1, load=BUSY)
    for minute in range(10, 70, 4):
        teller.all_pods(minute, NotReady(120))


@further(75)
def down_and_up_every_five_minutes(world: World) -> None:
    """From minute 10 on no pod of a service of high importance is ready for five minutes, four times, with five good
    minutes between them."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    for minute in (10, 20, 30, 40):
        teller.all_pods(minute, NotReady(300))


@further(45)
def slow_start_of_a_new_service(world: World) -> None:
    """A service of high importance is created in minute 5 and needs thirteen minutes for its node, image and start."""
    world.workload("digest", importance="high", pods=2, since=5, first=Starts(60, 300, 420))


@further(50)
def new_service_never_becomes_ready(world: World) -> None:
    """A service of high importance is created in minute 5; its process runs, and its readiness probe always fails."""
    world.workload("digest", importance="high", pods=1, since=5, first=Starts(10, 60, 100_000))


@further(45)
def old_server_shows_no_reasons(world: World) -> None:
    """The platform is old: its pods have neither reasons nor exit codes. The only pod of a critical service exits again
    and again from minute 10 on."""
    world.plain_pods = True
    world.workload("teller", importance="critical", pods=1, load=BUSY).all_pods(10, Crashes(1))
