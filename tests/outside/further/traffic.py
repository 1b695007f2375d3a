"""Further stories about requests: errors fast and slow, latency, callers, autoscaling, zero replicas, statistics."""

from tests.outside.containers import Starts, Unschedulable
from tests.outside.further.register import further, scaling
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.world import Load


@further(60)
def callers_send_wrong_requests(world: World) -> None:
    """From minute 10 to minute 50 a service of high importance rejects 90 % of its requests with 422."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    teller.gets(10, refused=0.9)
    teller.gets(50, refused=0.004)


@further(70)
def responses_are_slow_for_half_an_hour(world: World) -> None:
    """From minute 10 to minute 40 a service of high importance responds in 6 s, and in 14 s at the 95th percentile."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    teller.gets(10, ms=6000, p95=14000, slow=0.9)
    teller.gets(40, ms=120, p95=264, slow=0.001)


@further(45)
def responses_are_slow_for_five_minutes(world: World) -> None:
    """From minute 10 to minute 15 a service of high importance responds in 14 s at the 95th percentile."""
    teller = world.workload("teller", importance="high", pods=2, load=BUSY)
    teller.gets(10, ms=6000, p95=14000, slow=0.9)
    teller.gets(15, ms=120, p95=264, slow=0.001)


@further(140)
def each_of_few_requests_fails(world: World) -> None:
    """A service of moderate importance gets one request a minute; from minute 10 on each is responded to with 500."""
    quotes = world.workload("quotes", importance="moderate", pods=1, load=Load(rpm=1))
    quotes.gets(10, failed=1.0)


@further(60)
def few_errors_at_a_low_rate(world: World) -> None:
    """A service of high importance gets two requests a minute; from minute 10 to minute 14 half of them fail."""
    quotes = world.workload("quotes", importance="high", pods=1, load=Load(rpm=2, failed=0))
    quotes.gets(10, failed=0.5)
    quotes.gets(14, failed=0)


@further(60)
def all_requests_fail_for_a_minute(world: World) -> None:
    """All requests of a critical service fail from minute 10 on for seventy seconds; its pods are ready."""
    teller = world.workload("teller", importance="critical", pods=2, load=Load(rpm=300))
    teller.gets(10, failed=1.0)
    teller.gets(11.2, failed=0.0005)


@further(105)
def tenth_of_the_requests_fails_for_an_hour(world: World) -> None:
    """From minute 10 to minute 70 a service of high importance responds to 10 % of its requests with 503."""
    teller = world.workload("teller", importance="high", pods=2, load=Load(rpm=300))
    teller.gets(10, failed=0.1)
    teller.gets(70, failed=0.0005)


@further(90)
def requests_fail_in_two_of_six_minutes(world: World) -> None:
    """From minute 10 to minute 60 all requests of a service of high importance fail in two minutes of each six."""
    teller = world.workload("teller", importance="high", pods=2, load=Load(rpm=120))
    for minute in range(10, 60, 6):
        teller.gets(minute, failed=1.0)
        teller.gets(minute + 2, failed=0.0005)


@further(95)
def errors_double_every_ten_minutes(world: World) -> None:
    """From minute 10 on 1 % of the requests of a service of high importance fails, and twice as many every ten minutes
    until it is 32 %."""
    teller = world.workload("teller", importance="high", pods=2, load=Load(rpm=300))
    for step in range(6):
        teller.gets(10 + 10 * step, failed=0.01 * 2**step)


@further(170)
def evening_without_requests(world: World) -> None:
    """The two busy services of an office get no requests from minute 10 to minute 150."""
    for name in ("expenses", "travel"):
        one = world.workload(name, importance="high", pods=2, load=Load(rpm=90))
        one.gets(10, rpm=0)
        one.gets(150, rpm=90)


@further(60)
def autoscaler_has_no_more_replicas(world: World) -> None:
    """From minute 10 on a service has 40 concurrent requests; from minute 11 on it runs its maximum of four replicas,
    each of which should have four."""
    teller = world.workload("teller", importance="moderate", pods=2, load=BUSY, autoscaling=scaling(2, 4))
    teller.gets(10, rpm=1200, concurrent=40)
    teller.add_pods(11, 2)


@further(60)
def autoscaler_adds_and_removes_replicas(world: World) -> None:
    """A critical service grows from two to five of at most eight replicas in minute 10, and shrinks in minute 40."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY, autoscaling=scaling(2, 8))
    teller.gets(10, rpm=1200, concurrent=16)
    teller.add_pods(11, 3)
    teller.gets(38, rpm=60, concurrent=1)
    for index in (2, 3, 4):
        teller.remove_pod(index, 40)


@further(90)
def wakes_up_within_five_minutes(world: World) -> None:
    """A service of high importance has no replica from minute 10 on, since no user calls it; a caller comes in minute
    50 and waits four minutes for its pod."""
    wiki = world.workload("wiki", importance="high", pods=1, load=Load(rpm=10), autoscaling=scaling(0, 3))
    wiki.gets(2, rpm=0)
    wiki.remove_pod(0, 10)
    wiki.gets(50, rpm=20)
    wiki.add_pods(50, 1, Starts(60, 120, 60))


@further(90)
def no_replica_is_shown_as_stopped(world: World) -> None:
    """The platform shows a service of high importance as stopped while it has no replica, from minute 10 to 60."""
    wiki = world.workload(
        "wiki", importance="high", pods=1, load=Load(rpm=10), autoscaling=scaling(0, 3), at_zero="stopped"
    )
    wiki.gets(2, rpm=0)
    wiki.remove_pod(0, 10)
    wiki.gets(60, rpm=20)
    wiki.add_pods(60, 1, Starts(10, 40, 30))


@further(60)
def no_gpu_to_wake_up(world: World) -> None:
    """A service of high importance has no replica until callers come in minute 20; no node has a GPU for its pod."""
    wiki = world.workload(
        "wiki", importance="high", pods=0, bundle="gpu.l4.small", load=Load(rpm=0), autoscaling=scaling(0, 3)
    )
    wiki.gets(20, rpm=30)
    wiki.add_pods(20, 1, Unschedulable())


@further(75)
def statistics_are_deleted_during_an_incident(world: World) -> None:
    """From minute 10 on 30 % of the requests of a service of high importance fail; a person deletes its statistics in
    minute 40."""
    teller = world.workload("teller", importance="high", pods=2, load=Load(rpm=300))
    teller.gets(10, failed=0.3)
    teller.resets.set(2400, 2400)
