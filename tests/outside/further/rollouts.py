"""Further stories about replacements: failed, retried, cancelled, slow, endless, silent, and their traces."""

from tests.outside.containers import Crashes, NotReady, PullFails, Ready
from tests.outside.further.register import further
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.world import Event, Steps, Version, Workload


def roller(world: World, importance: str = "high") -> Workload:
    return world.workload("roller", importance=importance, pods=2, load=BUSY)


@further(60)
def candidate_with_a_missing_image(world: World) -> None:
    """A replacement of a service of high importance begins in minute 10 and ends in minute 15 as errored: the image of
    the new version is missing. The old version serves."""
    image = PullFails("registry.example.test/ml/roller:2: manifest unknown")
    roller(world).rollout(10, result="Errored", behaviour=image)


@further(50)
def retry_of_a_replacement_completes(world: World) -> None:
    """A replacement fails in minute 15; it is begun again half a minute later and then completes."""
    one = roller(world)
    one.rollout(10, result="Errored", behaviour=Crashes(1, up=False))
    one.rollout(15.5)


@further(45)
def person_cancels_a_replacement(world: World) -> None:
    """A replacement whose candidate does not become ready is cancelled by a person after seven minutes."""
    roller(world, "critical").rollout(10, result="Cancelled", behaviour=NotReady(), fails_after=400)


@further(75)
def replacement_never_ends(world: World) -> None:
    """A replacement begins in minute 10; its candidate never becomes ready, and it is not ended."""
    roller(world, "moderate").rollout(10, result="", behaviour=NotReady())


@further(60)
def candidate_warms_up_for_twenty_minutes(world: World) -> None:
    """A replacement with twenty minutes of warm-up begins in minute 10 and completes."""
    roller(world, "critical").rollout(10, warmup=20)


@further(50)
def replacement_ends_without_a_record(world: World) -> None:
    """The candidate of a replacement exits with 3; in minute 15 the platform gives up and keeps neither a record nor an
    event. The old version serves."""
    one = roller(world)
    one.rollout(10, result="Errored", behaviour=Crashes(3, up=False), keeps_record=0)
    one.events.clear()


@further(80)
def new_version_fails_its_requests(world: World) -> None:
    """A replacement of a service of high importance completes in minute 12; the new version responds to 70 % of its
    requests with 500 until the old artifact replaces it in minute 37."""
    one = roller(world)
    one.rollout(10)
    one.gets(12.6, failed=0.7)
    one.rollout(35)
    one.gets(37.6, failed=0.0005)


@further(60)
def four_replacements_in_an_hour(world: World) -> None:
    """A pipeline replaces a critical service in minutes 5, 17, 29 and 41; each replacement completes."""
    one = roller(world, "critical")
    for minute in (5, 17, 29, 41):
        one.rollout(minute)


@further(60)
def settings_change_without_a_bundle(world: World) -> None:
    """A change of the settings of a service of moderate importance fails in minute 10 before there is any pod."""
    roller(world, "moderate").rollout(
        10, result="Errored", candidate=False, settings_only=True, fails_after=30,
        message="ResourceBundleInferenceError: no resource signal",
    )  # fmt: skip


@further(45)
def replacement_failed_before_the_beginning(world: World) -> None:
    """A replacement failed an hour before the first sweep; the old version has served since."""
    roller(world).rollout(-60, result="Errored", behaviour=Crashes(1, up=False))


@further(45)
def draining_version_cannot_be_read(world: World) -> None:
    """During a replacement of a critical service that completes, the pods of the outgoing version answer with 500."""
    one = roller(world, "critical")
    old = one.versions[0]
    one.rollout(10)
    world.fault(f"/protons/{old.id}/statusDetails", 11, 25, Answer(500, b"<html>oops</html>"))


@further(60)
def two_versions_serve_for_good(world: World) -> None:
    """A critical service keeps a second running version beside the active one for good, for its availability."""
    one = roller(world, "critical")
    second = Version(one, one.created + 600, one.versions[0].artifact, one.versions[0].image, None)
    second.running_since = Steps(one.created + 700)
    one.versions.append(second)
    for _ in range(2):
        second.add_pod(one.created + 600, Ready())


@further(60)
def event_of_a_failed_replacement_is_late(world: World) -> None:
    """The candidate of a replacement exits with 78 and is given up in minute 15; the record is gone at once, and the
    event appears six minutes later."""
    one = roller(world)
    one.rollout(10, result="Errored", behaviour=Crashes(78, up=False), keeps_record=0)
    [event] = one.events
    one.events[:] = [Event(*event[:3], event.since + 360, *event[4:])]
