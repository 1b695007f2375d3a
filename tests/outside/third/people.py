"""Third stories about people: they stop at evening, create again, rename, end access, rate, and save replicas."""

from tests.outside.containers import Crashes, Starts, Unschedulable
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import third
from tests.outside.world import Load


@third(160)
def team_stops_its_services_at_evening(world: World) -> None:
    """A script stops three services of a team in minute 10, one of them of high importance, and starts them in minute
    130."""
    for name, importance in (("editor", "high"), ("preview", "moderate"), ("export", "moderate")):
        one = world.workload(name, importance=importance, pods=2, load=Load(rpm=30))
        one.stops(10)
        one.starts(130)


@third(50)
def service_is_created_again_under_its_name(world: World) -> None:
    """A pipeline deletes a critical service in minute 12, which stops for forty seconds first, and creates it again
    under the same name a minute later; the new one is ready in minute 15."""
    world.workload("teller", importance="critical", pods=2, load=BUSY).is_deleted(12, takes=40)
    world.workload("teller", importance="critical", pods=2, load=BUSY, since=13.5, first=Starts(5, 30, 45))


@third(50)
def failing_service_is_renamed(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 on; in minute 20 a person renames the service, and it
    fails as before."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    teller.all_pods(10, Crashes(1))
    teller.patch(20, 1e9, lambda item: item | {"name": "teller (broken)"})
    teller.touched(1200)


@third(75)
def access_to_a_failing_service_ends(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 on; in minute 25 its new owner ends the sharing with
    the exporter's user, and it is no longer in the list."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    teller.all_pods(10, Crashes(1))
    teller.leaves_the_list(25)


@third(60)
def importance_is_raised_while_there_is_no_room(world: World) -> None:
    """The only pod of a NIM of low importance that no user calls moves in minute 10, and no node has a GPU for it; in
    minute 35 a person rates the NIM as high."""
    llama = world.workload("llama", importance="low", pods=1, kind="nim", bundle="gpu.l4.small")
    llama.move_pod(0, 10, Unschedulable())
    llama.is_rated(35, "high")


@third(60)
def replicas_are_saved(world: World) -> None:
    """To save money, a person sets a service of high importance from four replicas to one in minute 10; from minute 11
    on the last one responds to a third of its requests with 503, and slowly to the others."""
    search = world.workload("search", importance="high", pods=4, load=Load(rpm=400))
    search.count.set(600, 1)
    for index in range(1, 4):
        search.remove_pod(index, 10.5)
    search.gets(11, failed=0.33, ms=4000, p95=9000, slow=0.7)
