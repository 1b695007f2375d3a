"""Further stories about what people and the platform do to workloads: stop, delete, rate, promote, preempt."""

from tests.outside.containers import Crashes, PullFails
from tests.outside.further.register import further
from tests.outside.server import World
from tests.outside.story import BUSY


@further(60)
def important_service_is_stopped_by_mistake(world: World) -> None:
    """A person stops a service of high importance in minute 10 and starts it again in minute 22."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    teller.stops(10)
    teller.starts(22)


@further(60)
def moderate_services_are_stopped_and_suspended(world: World) -> None:
    """In minute 10 a person stops one service of moderate importance and suspends another."""
    world.workload("trial", importance="moderate", pods=1, load=BUSY).stops(10)
    world.workload("sandbox", importance="moderate", pods=1).stops(10, ends_as="suspended")


@further(70)
def stopped_while_it_fails(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 on; a person stops the service in minute 25."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    teller.all_pods(10, Crashes(1))
    teller.stops(25, code=1)


@further(60)
def deleted_while_it_fails(world: World) -> None:
    """A service of high importance cannot pull its image from minute 10 on; a person deletes it in minute 22."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    for index in (0, 1):
        teller.move_pod(index, 10, PullFails("registry.example.test/ml/teller:1: not found"))
    teller.is_deleted(22, takes=60)


@further(60)
def running_service_disappears(world: World) -> None:
    """A running service of high importance is in the list until minute 12, then not any more."""
    world.workload("teller", importance="high", pods=2, load=BUSY).leaves_the_list(12)


@further(60)
def three_services_are_no_longer_shared(world: World) -> None:
    """A team ends the sharing of its three running services in minute 20."""
    for name in ("cats", "dogs", "birds"):
        world.workload(name, importance="moderate", pods=1, load=BUSY).leaves_the_list(20)


@further(50)
def older_of_two_with_one_name_is_deleted(world: World) -> None:
    """A service is created again under its name in minute 5; its owner deletes the older one in minute 12."""
    older = world.workload("forecast", importance="moderate", pods=2, load=BUSY, age_days=30)
    world.workload("forecast", importance="moderate", pods=2, load=BUSY, since=5)
    older.is_deleted(12, takes=90)


@further(50)
def importance_is_raised_while_it_fails(world: World) -> None:
    """The pods of a service of moderate importance that no user calls exit with 1 from minute 10 on; in minute 25 a
    person rates it as critical."""
    trial = world.workload("trial", importance="moderate", pods=2)
    trial.all_pods(10, Crashes(1))
    trial.is_rated(25, "critical")


@further(60)
def importance_is_lowered_while_it_fails(world: World) -> None:
    """The pods of a service of high importance that no user calls exit with 1 from minute 10 on; in minute 25 a person
    rates it as low."""
    trial = world.workload("trial", importance="high", pods=2)
    trial.all_pods(10, Crashes(1))
    trial.is_rated(25, "low")


@further(110)
def draft_reaches_its_end(world: World) -> None:
    """A draft of high importance started six hours and fifty minutes before; the platform stops it in minute 71."""
    demo = world.workload("demo", importance="high", pods=1, load=BUSY, draft=True, since=-410)
    demo.stops(71.6)


@further(75)
def draft_is_promoted_in_time(world: World) -> None:
    """A draft of moderate importance that would end in minute 81 is promoted in minute 40."""
    world.workload("demo", importance="moderate", pods=1, load=BUSY, draft=True, since=-400).is_promoted(40)


@further(45)
def started_after_its_image_was_pruned(world: World) -> None:
    """A service of moderate importance that no user calls is stopped in minute 2 and started in minute 12; meanwhile
    the registry has pruned its image."""
    trial = world.workload("trial", importance="moderate", pods=1)
    trial.stops(2)
    trial.starts(12, PullFails("registry.example.test/ml/trial:1: not found"), ready_after=100_000)


@further(75)
def stopping_takes_45_minutes(world: World) -> None:
    """A person stops a service of moderate importance in minute 10; it is stopping until minute 55."""
    world.workload("trial", importance="moderate", pods=1).stops(10, takes=45 * 60)


@further(60)
def low_service_is_preempted(world: World) -> None:
    """The platform interrupts a service of low importance in minute 10; somebody starts it again in minute 30."""
    trial = world.workload("trial", importance="low", pods=1)
    trial.stops(10, code=137, takes=20, ends_as="interrupted")
    trial.starts(30)


@further(45)
def critical_service_is_preempted(world: World) -> None:
    """The platform interrupts a critical service in minute 10, and nothing starts it again."""
    world.workload("teller", importance="critical", pods=2, load=BUSY).stops(
        10, code=137, takes=20, ends_as="interrupted"
    )


@further(40)
def preempted_service_is_back_soon(world: World) -> None:
    """The platform interrupts a service of high importance in minute 10 and starts it again a minute later."""
    batch = world.workload("batch", importance="high", pods=1)
    batch.stops(10, code=137, takes=10, ends_as="interrupted")
    batch.starts(11)


@further(90)
def important_service_is_terminated(world: World) -> None:
    """The platform terminates a service of high importance in minute 10, for good."""
    world.workload("teller", importance="high", pods=2, load=BUSY).stops(10, takes=20, ends_as="terminated")
