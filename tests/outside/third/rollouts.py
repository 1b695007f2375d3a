"""Third stories about replacements: half of a candidate fails, reverted, superseded, repaired, a platform upgrade."""

from tests.outside.containers import Crashes, Starts
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import third
from tests.outside.world import Load


@third(70)
def half_of_the_candidate_fails(world: World) -> None:
    """Two of four pods of a new version become ready, the other two exit with 134; the platform gives up after a
    quarter of an hour. The old version, of high importance, serves."""
    mixer = world.workload("mixer", importance="high", pods=4, load=BUSY)
    rollout = mixer.rollout(10, result="Errored", behaviour=Crashes(134, up=False), fails_after=900)
    assert rollout.candidate is not None
    for pod in rollout.candidate.pods[:2]:
        pod.containers["primary"].set(pod.since, (pod.since, Starts()))


@third(60)
def person_reverts_a_version_with_errors(world: World) -> None:
    """A new version of a service of high importance serves from minute 12 on and fails a third of its requests; who
    released it sees that, and the old artifact is back in minute 24."""
    mixer = world.workload("mixer", importance="high", pods=2, load=Load(rpm=300))
    mixer.rollout(10)
    mixer.gets(12.6, failed=0.33)
    mixer.rollout(22)
    mixer.gets(24.6, failed=0.0005)


@third(50)
def second_replacement_supersedes_the_first(world: World) -> None:
    """Two minutes after a replacement of a critical service begins, a newer build cancels it and begins its own, which
    completes."""
    mixer = world.workload("mixer", importance="critical", pods=2, load=BUSY)
    mixer.rollout(10, result="Cancelled", fails_after=120, keeps_record=5, message="superseded")
    mixer.rollout(12.2)


@third(70)
def platform_is_upgraded(world: World) -> None:
    """The platform is upgraded: from minute 10 on the two pods of each of ten services move one after the other; the
    API is away for a minute and a half in minute 20, and shows no pods for five minutes after that."""
    for number in range(10):
        one = world.workload(f"part-{number}", importance=("high", "critical")[number % 2], pods=2, load=BUSY)
        one.move_pod(0, 10 + 2 * number)
        one.move_pod(1, 32 + 2 * number)
    world.fault(r"^/api/v2/", 20, 21.5, Answer(503, b"upgrade"))
    world.fault(r"/statusDetails", 21.5, 26.5, Answer(204))


@third(60)
def failed_replacement_is_repaired(world: World) -> None:
    """A replacement of a service of high importance fails in minute 15; a person begins a corrected one in minute 25,
    which completes two minutes later."""
    mixer = world.workload("mixer", importance="high", pods=2, load=BUSY)
    mixer.rollout(10, result="Errored", behaviour=Crashes(2, up=False))
    mixer.rollout(25)
