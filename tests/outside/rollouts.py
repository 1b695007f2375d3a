"""Stories about replacements. The status of the workload stays running in nearly all of them."""

from tests.outside.containers import Crashes, PullFails, Ready, Unschedulable
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY, story
from tests.outside.world import Load


@story(45)
def rollout_succeeds(world: World) -> None:
    """A new version of a critical service is rolled out in minute 10; the old one drains for seven minutes."""
    world.workload("pricing", importance="critical", pods=4, load=Load(rpm=300)).rollout(10)


@story(60)
def rollout_of_high_importance_fails(world: World) -> None:
    """The new version of a high importance service crashes with exit code 1; after five minutes the platform gives up
    and keeps the old version. A cleanup moves the time of the event twice."""
    one = world.workload("pricing", importance="high", pods=2, load=BUSY)
    one.rollout(10, result="Errored", behaviour=Crashes(1, up=False), swept_after=300)
    event = one.events[-1]
    event.recorded.set(35 * 60, 35 * 60.0)


@story(65)
def rollout_of_a_critical_service_fails(world: World) -> None:
    """The image of the new version of a critical service cannot be pulled; after ten minutes the platform gives up."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(10, result="Errored", behaviour=PullFails("manifest for pricing:2 not found"), fails_after=600)


@story(45)
def failed_rollout_is_retried_after_ten_seconds(world: World) -> None:
    """A rollout of a moderate service fails after three minutes; the pipeline retries after ten seconds, and that one
    succeeds."""
    one = world.workload("pricing", importance="moderate", pods=2, load=BUSY)
    one.rollout(10, result="Errored", behaviour=Crashes(1, up=False), fails_after=180, keeps_record=3)
    one.rollout(13 + 10 / 60)


@story(45)
def rollout_cancelled_by_a_person(world: World) -> None:
    """A person starts a rollout of a critical service by mistake and cancels it four minutes later."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(10, result="Cancelled", boot=600, fails_after=240, keeps_record=10)


@story(45)
def settings_change_succeeds(world: World) -> None:
    """Somebody changes the settings of a high importance service: the same artifact in a new version, no candidate
    artifact in the record."""
    world.workload("pricing", importance="high", pods=2, load=BUSY).rollout(10, settings_only=True)


@story(60)
def settings_change_fails_before_any_pod(world: World) -> None:
    """A settings change of a moderate service is refused: no bundle can be inferred, and there is no candidate."""
    one = world.workload("pricing", importance="moderate", pods=2, load=BUSY)
    one.rollout(
        10, result="Errored", settings_only=True, candidate=False, fails_after=20, keeps_record=5,
        message="ResourceBundleInferenceError: no resource signal",
    )  # fmt: skip


@story(60)
def warms_up_for_twenty_five_minutes(world: World) -> None:
    """A new version of a critical model warms up for 25 minutes, as configured, then takes over."""
    one = world.workload("ranker", importance="critical", pods=2, load=BUSY, bundle="gpu.l4.small")
    one.rollout(10, warmup=25, boot=120)


@story(90)
def rollout_does_not_finish(world: World) -> None:
    """A rollout of a high importance service hangs: there is no room for the candidate, and the platform waits."""
    one = world.workload("ranker", importance="high", pods=2, load=BUSY)
    one.rollout(5, result="", behaviour=Unschedulable("0/9 nodes are available: 9 Insufficient cpu."))


@story(50)
def new_version_serves_only_errors(world: World) -> None:
    """A rollout of a high importance service succeeds, but the new version has no readiness probe and responds to
    every request with a 500, from the switch on; rolled back with a second rollout in minute 30."""
    one = world.workload("pricing", importance="high", pods=2, load=BUSY)
    one.rollout(10)
    one.gets(12.7, failed=1.0)
    one.rollout(30)
    one.gets(32.7, failed=0.0005)


@story(45)
def rollout_in_words_of_another_release(world: World) -> None:
    """A platform with another vocabulary (staged, candidate-warming, promoting, finalizing) rolls out well."""
    one = world.workload("pricing", importance="high", pods=2, load=BUSY)
    one.rollout(10, warmup=3, words=("pending", "staged", "candidate-warming", "promoting", "finalizing"))


@story(90)
def failed_record_stays_for_an_hour(world: World) -> None:
    """A failed rollout of a high importance service stays as a record with status ERRORED for an hour."""
    one = world.workload("pricing", importance="high", pods=2, load=BUSY)
    rollout = one.rollout(10, result="Errored", behaviour=Crashes(1, up=False), keeps_record=3600)
    rollout.record.set(900, "ERRORED")
    rollout.message.set(900, "candidate never passed readiness")
    rollout.record.set(4500, None)


@story(45)
def rolled_forward_out_of_an_outage(world: World) -> None:
    """All pods of a critical service crash from minute 10 on; a fix is rolled out in minute 25 and takes over."""
    one = world.workload("fraud-check", importance="critical", pods=2, load=Load(rpm=200))
    one.all_pods(10, Crashes(1))
    one.rollout(25, says_during="errored")


@story(45)
def rollout_failed_before_the_exporter_started(world: World) -> None:
    """A rollout of a critical service failed two hours before the exporter is started."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(-125, result="Errored", behaviour=Crashes(1, up=False))


@story(70)
def three_failures_in_a_row(world: World) -> None:
    """A pipeline tries to roll out a moderate service three times, in minutes 10, 17 and 24; each one fails after four
    minutes."""
    one = world.workload("pricing", importance="moderate", pods=2, load=BUSY)
    for minute in (10, 17, 24):
        one.rollout(minute, result="Errored", behaviour=Crashes(1, up=False), fails_after=240)


@story(45)
def details_of_the_draining_version_are_refused(world: World) -> None:
    """A rollout of a critical service succeeds; the pods of the old version cannot be read, the route gives 500."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    old = one.current(0)
    one.rollout(10)
    world.fault(f"{old.id}/statusDetails", 11.5, 60, Answer(500, b'{"detail": "Internal Server Error"}'))


@story(45)
def two_versions_serve_for_good(world: World) -> None:
    """A high availability workload runs two versions for good: one has the role active, the other one none."""
    one = world.workload("ledger", importance="critical", pods=2, load=BUSY)
    one.rollout(-600)
    first = one.versions[0]
    first.status.set(-36000 + 1000, "running")
    first.listed.set(-36000 + 1000, value=True)
    for pod in first.pods:
        for steps in pod.containers.values():
            steps.set(-30000, (-30000.0, Ready()))


@story(45)
def candidate_starts_slowly_and_restarts_twice(world: World) -> None:
    """The candidate of a high importance service exits twice before it is ready; the rollout then succeeds."""
    one = world.workload("ranker", importance="high", pods=2, load=BUSY)
    one.rollout(10, behaviour=Crashes(1, up=False, lives=20, times=2, ready_after=20), boot=90)


@story(60)
def enclave_rollout_has_no_placement(world: World) -> None:
    """A rollout into an enclave is refused at once: no recorded placement. The workload is of high importance."""
    one = world.workload("ranker", importance="high", pods=2, load=BUSY)
    one.rollout(10, result="Errored", candidate=False, fails_after=8, keeps_record=4, message="no recorded placement")
