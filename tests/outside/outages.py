"""Stories about pods that fail, and about pods that only seem to."""

from tests.outside.containers import (
    CannotStart,
    Crashes,
    Creating,
    Evicted,
    KilledOnce,
    NotReady,
    PullFails,
    Starts,
    Unschedulable,
)
from tests.outside.server import World
from tests.outside.story import BUSY, story
from tests.outside.world import Load


@story(45)
def image_pruned_before_a_node_drain(world: World) -> None:
    """The registry has pruned the image of a service of high importance; in minute 10 its node is drained, and neither
    of its two pods comes back: the image is not found."""
    claims = world.workload("claims-scorer", importance="high", pods=2, load=BUSY)
    for index in (0, 1):
        claims.move_pod(index, 10, PullFails("registry.example.test/ml/claims-scorer:1: not found"))


@story(45)
def registry_login_expired_for_one_pod(world: World) -> None:
    """One of three pods of a critical service is moved to another node in minute 10 and cannot pull its image; the
    other two keep serving without an error."""
    pricing = world.workload("pricing", importance="critical", pods=3, load=BUSY)
    pricing.move_pod(2, 10, PullFails("unexpected status code 401 Unauthorized"))


@story(45)
def registry_away_for_three_minutes(world: World) -> None:
    """A pod of two is moved in minute 10; the registry does not respond for three minutes, then the pull succeeds."""
    ranker = world.workload("ranker", importance="critical", pods=2, load=BUSY)
    ranker.move_pod(0, 10, PullFails("dial tcp: i/o timeout", heals=180))


@story(50)
def secret_deleted_under_the_only_pod(world: World) -> None:
    """Somebody deleted a secret weeks ago; in minute 12 the only pod of a high importance service is moved and cannot
    be created any more. The secret is restored in minute 40."""
    chat = world.workload("support-chat", importance="high", pods=1, load=Load(rpm=20))
    chat.move_pod(0, 12, CannotStart(heals=28 * 60))


@story(60)
def memory_leak_kills_both_pods_again_and_again(world: World) -> None:
    """A service of high importance needs more memory than it has: from minute 10 on both of its pods are killed about
    every two minutes, and are ready for a minute in between."""
    summaries = world.workload("summaries", importance="high", pods=2, load=BUSY)
    summaries.all_pods(10, Crashes(137, "OOMKilled", lives=100, ready_after=30))


@story(55)
def one_large_request_kills_one_pod_once(world: World) -> None:
    """One of three pods is killed once for using too much memory, and is ready again after 40 seconds."""
    summaries = world.workload("summaries", importance="critical", pods=3, load=BUSY)
    summaries.pod(1, 15, KilledOnce(boot=40))


@story(45)
def every_pod_exits_at_once(world: World) -> None:
    """From minute 12 on both pods of a critical service exit with code 1 four seconds after each start."""
    fraud = world.workload("fraud-check", importance="critical", pods=2, load=Load(rpm=200))
    fraud.all_pods(12, Crashes(1))


@story(60)
def crashes_every_four_minutes(world: World) -> None:
    """The only pod of a high importance service dies of a segmentation fault every four minutes from minute 10 on; it
    is ready for more than three minutes in between, except for growing pauses."""
    vision = world.workload("vision", importance="high", pods=1, load=Load(rpm=30))
    vision.all_pods(10, Crashes(139, "Error", lives=240, ready_after=25))


@story(45)
def crash_loop_is_over_after_three_exits(world: World) -> None:
    """The only pod of a critical service exits three times within a minute, because its database fails over; then it
    runs again."""
    offers = world.workload("offers", importance="critical", pods=1, load=BUSY)
    offers.all_pods(10, Crashes(1, lives=5, times=3))


@story(45)
def job_instead_of_a_server(world: World) -> None:
    """Somebody creates a workload of low importance whose process finishes at once with exit code 0."""
    world.workload(
        "nightly-export", importance="low", pods=1, since=5, first=Crashes(0, "Completed", up=False, lives=8)
    )


@story(75)
def liveness_probe_kills_under_load(world: World) -> None:
    """From minute 10 on the liveness probe kills both pods of a high importance service every 100 seconds (exit code
    137, Error); load falls in minute 40, and they stay up."""
    search = world.workload("search", importance="high", pods=2, load=Load(rpm=400))
    search.all_pods(10, Crashes(137, "Error", lives=100, ready_after=60, times=9))


@story(50)
def database_down_no_pod_is_ready(world: World) -> None:
    """The readiness probes of all three pods of a critical service fail for 25 minutes, because its database is down;
    no container restarts."""
    orders = world.workload("orders", importance="critical", pods=3, load=BUSY)
    orders.all_pods(15, NotReady(25 * 60))


@story(40)
def readiness_fails_for_ninety_seconds(world: World) -> None:
    """All pods of a critical service fail their readiness probes for 90 seconds."""
    orders = world.workload("orders", importance="critical", pods=3, load=BUSY)
    orders.all_pods(15, NotReady(90))


@story(45)
def no_pod_ready_but_status_stays_running(world: World) -> None:
    """No pod of a high importance service is ready from minute 10 on, but its status stays running all the time;
    callers see errors that the statistics do not count."""
    orders = world.workload("orders", importance="high", pods=2, load=BUSY, unserved_counted=False)
    orders.all_pods(10, NotReady())
    orders.says(10, "running")


@story(65)
def no_gpu_node_after_a_node_failure(world: World) -> None:
    """A GPU node dies in minute 10 with the only pod of a critical model; there is no other node with a free GPU for 40
    minutes."""
    llm = world.workload("llama", importance="critical", pods=1, bundle="gpu.l4.small", kind="nim", load=Load(rpm=12))
    llm.move_pod(0, 10, Unschedulable(heals=40 * 60, boot=180))


@story(40)
def new_node_takes_six_minutes(world: World) -> None:
    """A new workload waits six minutes for a node that is added for it, then starts."""
    world.workload(
        "forecast", importance="high", pods=2, since=5, first=Unschedulable("0/9 nodes: 9 Insufficient cpu.", 360)
    )


@story(45)
def no_room_for_two_more_pods(world: World) -> None:
    """Somebody scales a moderate workload from two pods to four in minute 10; there is no room for the new ones."""
    batch = world.workload("batch-scorer", importance="moderate", pods=2, load=BUSY)
    batch.count.set(600, 4)
    batch.touched(600)
    batch.add_pods(10, 2, Unschedulable("0/9 nodes are available: 9 Insufficient cpu."))


@story(45)
def low_importance_evicted(world: World) -> None:
    """A node runs out of memory and evicts the only pod of a workload of low importance; its status is interrupted, and
    nothing brings it back."""
    lab = world.workload("lab", importance="low", pods=1, load=Load(rpm=2))
    lab.all_pods(12, Evicted())
    lab.says(12, "interrupted")


@story(45)
def important_workload_preempted(world: World) -> None:
    """The platform preempts a workload of high importance in minute 12: interrupted, its pods are gone."""
    risk = world.workload("risk", importance="high", pods=2, load=BUSY)
    risk.says(12, "interrupted")
    risk.all_pods(12, Evicted("Preempting", "Preempted by a pod with a higher priority"))
    for index in (0, 1):
        risk.remove_pod(index, 12.5)


@story(40)
def preempted_and_back_in_two_minutes(world: World) -> None:
    """The only pod of a high importance workload is preempted in minute 12; it runs elsewhere two minutes later."""
    risk = world.workload("risk", importance="high", pods=1, load=Load(rpm=20))
    risk.says(12, "interrupted")
    risk.move_pod(0, 12, Starts(20, 40, 50))
    risk.says(13, None)


@story(60)
def volume_does_not_come(world: World) -> None:
    """A stopped workload of moderate importance is started in minute 5 and waits for a volume for ever: its pods say
    ContainerCreating, its status provisioning."""
    notes = world.workload("notes", importance="moderate", pods=1)
    notes.stops(-600)
    notes.starts(5, Creating(), ready_after=1e9)


@story(45)
def broken_sidecar(world: World) -> None:
    """The token of a log shipper expires: the sidecar of both pods of a high importance service crashes with exit code
    2; the pods are not ready for that reason, and the gateway has nowhere to send requests."""
    quotes = world.workload("quotes", importance="high", pods=2, load=BUSY, containers=("primary", "log-shipper"))
    quotes.all_pods(10, Crashes(2), "log-shipper")


@story(55)
def status_flaps_over_healthy_pods(world: World) -> None:
    """The status of a high importance workload flaps between errored and running every 70 seconds for half an hour;
    its pods are ready all the time, and its callers get their responses."""
    vision = world.workload("vision", importance="high", pods=2, load=BUSY)
    for number in range(26):
        vision.says(10 + number * 70 / 60, "running" if number % 2 else "errored")
    vision.says(40.5, None)


@story(45)
def one_of_three_crashes(world: World) -> None:
    """One of three pods of a high importance service crashes again and again with exit code 1 from minute 10 on; the
    other two serve everything."""
    claims = world.workload("claims-scorer", importance="high", pods=3, load=BUSY)
    claims.pod(0, 10, Crashes(1))


@story(55)
def two_of_three_crash(world: World) -> None:
    """Two of three pods of a critical service crash again and again from minute 10 on; the last one is overloaded and
    answers every tenth request with a 503. Fixed in minute 40."""
    claims = world.workload("claims-scorer", importance="critical", pods=3, load=Load(rpm=300))
    claims.pod(0, 10, Crashes(1, lives=6))
    claims.pod(1, 10.2, Crashes(1, lives=6))
    claims.gets(10, failed=0.1, ms=900)
    claims.pod(0, 40, Starts(0, 5, 20))
    claims.pod(1, 40, Starts(0, 5, 20))
    claims.gets(41, failed=0.0005, ms=120)


@story(60)
def status_word_of_the_future(world: World) -> None:
    """The platform calls a healthy workload of high importance "optimizing" for 40 minutes, a word of a later release;
    its pods are ready, and it serves."""
    world.workload("recommender", importance="high", pods=2, load=BUSY).says(10, "optimizing")


@story(45)
def status_word_of_the_future_and_no_pod_lives(world: World) -> None:
    """The platform calls a critical workload "degraded", a word of a later release, and all of its pods crash."""
    one = world.workload("recommender", importance="critical", pods=2, load=BUSY)
    one.says(10, "Degraded")
    one.all_pods(10, Crashes(1))


@story(40)
def status_errored_for_three_minutes(world: World) -> None:
    """The status of a critical workload says errored for three minutes, while its pods are ready and serve."""
    one = world.workload("geocoder", importance="critical", pods=2, load=BUSY)
    one.says(10, "errored")
    one.says(13, None)


@story(60)
def status_lags_fifteen_minutes_behind_the_pods(world: World) -> None:
    """All pods of a high importance service crash from minute 10 on; the status says running until minute 25, then
    errored."""
    one = world.workload("geocoder", importance="high", pods=2, load=BUSY)
    one.all_pods(10, Crashes(127))
    one.says(10, "running")
    one.says(25, "errored")


@story(40)
def slow_start_reads_errored_for_a_while(world: World) -> None:
    """A high importance workload is started in minute 5; the first start of each pod fails, the status is errored for
    two minutes, then all is well."""
    one = world.workload("planner", importance="high", pods=2)
    one.stops(-600)
    one.starts(5, Crashes(1, up=False, lives=30, times=2), ready_after=150)
    one.says(5.9, "errored")
    one.says(7.9, None)


@story(40)
def terminated(world: World) -> None:
    """A workload of high importance is terminated by the platform in minute 10: its pods are gone for good."""
    one = world.workload("old-scorer", importance="high", pods=1, load=BUSY)
    one.says(10, "terminated")
    one.current(0).status.set(600, "terminated")
    one.remove_pod(0, 10)


@story(45)
def low_and_absent_importance_crash(world: World) -> None:
    """In minute 10 two workloads start to crash for good: one of low importance, one whose importance the API leaves
    out."""
    for name, importance in (("toy", "low"), ("unrated", None)):
        world.workload(name, importance=importance, pods=1, load=Load(rpm=3)).all_pods(10, Crashes(1))


@story(45)
def image_name_with_a_typing_error(world: World) -> None:
    """A new workload of moderate importance has an image name that is not a name."""
    wrong = PullFails("couldn't parse image name: invalid reference format", "InvalidImageName")
    world.workload("newcomer", importance="moderate", pods=1, since=5, first=wrong)


@story(45)
def built_for_another_processor(world: World) -> None:
    """A stopped service of critical importance is started in minute 5 with an image for another processor: exit code
    255 at each start."""
    one = world.workload("edge-model", importance="critical", pods=2, load=BUSY)
    one.stops(-600)
    one.starts(5, Crashes(255, up=False, lives=1), ready_after=1e9)


@story(45)
def pod_monitor_is_down(world: World) -> None:
    """The monitor of the platform is down when a workload of high importance is started in minute 5: it stays
    "scheduled", and there is no snapshot of its pods for the rest of the hour."""
    one = world.workload("planner", importance="high", pods=2)
    one.stops(-600)
    one.starts(5, ready_after=1e9)
    one.says(5, "scheduled")
    one.current(0).status.set(300, "scheduled")
    one.current(0).snapshot.set(300, value=False)


@story(45)
def status_failed(world: World) -> None:
    """An install calls a critical workload "failed" where others say errored; its pods exit with code 126."""
    one = world.workload("scorer", importance="critical", pods=2, load=BUSY)
    one.all_pods(10, Crashes(126))
    one.says(10.5, "failed")


@story(45)
def a_node_dies_and_everything_moves(world: World) -> None:
    """A node dies in minute 10 with one pod each of four workloads; the pods are unready for a minute, then start on
    other nodes within three minutes."""
    for number, importance in enumerate(("critical", "high", "moderate", "low")):
        one = world.workload(f"service-{importance}", importance=importance, pods=2, load=BUSY)
        one.pod(0, 10, NotReady())
        one.move_pod(0, 11, Starts(5 + 10 * number, 40, 45))


@story(45)
def gpu_image_takes_twenty_minutes(world: World) -> None:
    """A model with a large image is created in minute 5: it is pulled for twenty minutes, loads for five, and runs."""
    world.workload(
        "mixtral",
        importance="critical",
        pods=1,
        kind="nim",
        bundle="gpu.a10g.medium",
        since=5,
        first=Starts(60, 1200, 300),
    )


@story(60)
def never_gets_ready_after_a_start(world: World) -> None:
    """A critical workload is created in minute 5; its container runs, but listens on another port than the one that is
    probed: it stays launching."""
    world.workload("wrong-port", importance="critical", pods=1, since=5, first=Starts(5, 30, 1e9))


@story(50)
def an_outage_comes_back_after_ten_minutes(world: World) -> None:
    """All pods of a critical service crash from minute 10 to 22; it works for fifteen minutes, and crashes again."""
    one = world.workload("fraud-check", importance="critical", pods=2, load=Load(rpm=200))
    one.all_pods(10, Crashes(1))
    one.all_pods(22, Starts(0, 1, 20))
    one.all_pods(37, Crashes(1))


@story(45)
def one_pod_restarts_each_hour(world: World) -> None:
    """A pod of a moderate workload restarts once (exit code 1), as it does each hour; the other one serves."""
    one = world.workload("leaky", importance="moderate", pods=2, load=BUSY)
    one.pod(0, 12, KilledOnce("Error", 1, boot=20, restarts=14))


@story(60)
def dead_from_the_beginning(world: World) -> None:
    """A high importance workload has crashed for hours when the exporter is started."""
    one = world.workload("fraud-check", importance="high", pods=2)
    one.all_pods(-180, Crashes(1))
