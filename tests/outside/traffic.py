"""Stories that only the statistics show: the pods are ready."""

from tests.outside.containers import Crashes, Starts
from tests.outside.server import World
from tests.outside.story import BUSY, story
from tests.outside.world import Load


@story(45)
def every_request_fails(world: World) -> None:
    """A service of high importance responds to every request with a 500 from minute 10 to 30, because a credential was
    rotated; its pods are ready."""
    one = world.workload("checkout", importance="high", pods=2, load=BUSY)
    one.gets(10, failed=1.0)
    one.gets(30, failed=0.0005)


@story(75)
def eight_percent_fail(world: World) -> None:
    """From minute 10 on a critical service with 300 requests a minute responds to 8 % of them with 5xx."""
    one = world.workload("checkout", importance="critical", pods=4, load=Load(rpm=300))
    one.gets(10, failed=0.08)


@story(45)
def two_minutes_of_errors(world: World) -> None:
    """For two minutes 60 % of the requests to a critical service fail, while its database fails over."""
    one = world.workload("checkout", importance="critical", pods=4, load=Load(rpm=200))
    one.gets(15, failed=0.6)
    one.gets(17, failed=0.0005)


@story(45)
def ninety_seconds_of_nothing_but_errors(world: World) -> None:
    """Every request of a busy critical service fails for 90 seconds."""
    one = world.workload("checkout", importance="critical", pods=4, load=Load(rpm=600))
    one.gets(15, failed=1.0)
    one.gets(16.5, failed=0.0005)


@story(60)
def five_bursts_of_one_minute(world: World) -> None:
    """Every ten minutes 20 % of the requests to a service of moderate importance fail for one minute: a cron job."""
    one = world.workload("checkout", importance="moderate", pods=2, load=BUSY)
    for minute in (5, 15, 25, 35, 45):
        one.gets(minute, failed=0.2)
        one.gets(minute + 1, failed=0.0005)


@story(50)
def cold_starts_with_a_few_errors(world: World) -> None:
    """A workload that is scaled to zero is woken by a handful of requests; the first ones get 503s until it runs, after
    a minute; then it serves without errors."""
    policy = [{"scalingMetric": "httpRequestsConcurrency", "target": 4.0}]
    scaling = {
        "enabled": True,
        "minReplicaCount": 0,
        "maxReplicaCount": 3,
        "cooldownPeriodMinutes": 10,
        "policies": policy,
    }
    one = world.workload("thumbnails", importance="high", pods=0, autoscaling=scaling)
    one.gets(15, rpm=6, failed=1.0)
    one.add_pods(15, 1, Starts(2, 20, 40))
    one.gets(16, failed=0.0005)
    one.gets(35, rpm=0)


@story(60)
def four_requests_and_two_fail(world: World) -> None:
    """A workload of moderate importance gets one request a minute, and half of them fail: a broken client retries."""
    world.workload("internal-tool", importance="moderate", pods=1, load=Load(rpm=1)).gets(10, failed=0.5)


@story(120)
def two_percent_fail_for_hours(world: World) -> None:
    """From minute 5 on 2 % of the requests to a service of high importance fail: no one notices at once, but it uses up
    four times its error budget."""
    one = world.workload("checkout", importance="high", pods=4, load=Load(rpm=300, failed=0.002))
    one.gets(5, failed=0.02)


@story(60)
def responses_take_fourteen_seconds(world: World) -> None:
    """The responses of a service of high importance slow down in minute 10: the 95th percentile is 14 seconds for 35
    minutes; there are no errors."""
    one = world.workload("reports", importance="high", pods=2, load=BUSY)
    one.gets(10, ms=6000, p95=14000, slow=0.8)
    one.gets(45, ms=120, p95=300, slow=0.001)


@story(45)
def callers_without_rights(world: World) -> None:
    """Seven of ten requests to a moderate workload are refused with 403 from minute 10 on: a caller lost its rights."""
    world.workload("reports", importance="moderate", pods=2, load=BUSY).gets(10, refused=0.7)


@story(45)
def traffic_ends(world: World) -> None:
    """A busy moderate workload receives no request from minute 10 on: a campaign is over."""
    world.workload("campaign", importance="moderate", pods=2, load=BUSY).gets(10, rpm=0)


@story(45)
def a_quiet_night_then_the_morning(world: World) -> None:
    """The traffic of a critical service grows thirtyfold within half an hour, with one error in a thousand."""
    one = world.workload("checkout", importance="critical", pods=3, load=Load(rpm=10, failed=0.001))
    for minute, rpm in ((10, 40), (20, 120), (30, 300)):
        one.gets(minute, rpm=rpm)


@story(50)
def outage_of_a_service_that_is_rarely_called(world: World) -> None:
    """Every request to a critical service fails from minute 10 to 35; it gets six requests a minute."""
    one = world.workload("tax", importance="critical", pods=1, load=Load(rpm=6))
    one.gets(10, failed=1.0)
    one.gets(35, failed=0.0005)


@story(45)
def low_importance_fails_most_requests(world: World) -> None:
    """A workload of low importance responds to 90 % of its requests with 5xx from minute 10 on."""
    world.workload("playground", importance="low", pods=1, load=Load(rpm=20)).gets(10, failed=0.9)


@story(45)
def errors_while_the_pods_restart(world: World) -> None:
    """One of two pods of a critical service restarts once in minute 15, and a tenth of the requests of that minute
    fails."""
    one = world.workload("checkout", importance="critical", pods=2, load=Load(rpm=120))
    one.pod(0, 15, Crashes(1, times=1))
    one.gets(15, failed=0.1)
    one.gets(16, failed=0.0005)


@story(45)
def errors_of_a_stopped_workload_are_old(world: World) -> None:
    """A moderate workload that fails half of its requests is stopped in minute 12 by the person who sees it."""
    one = world.workload("checkout", importance="moderate", pods=2, load=BUSY)
    one.gets(10, failed=0.5)
    one.stops(12)
