"""Further stories about the API itself: refused, broken, odd, late, and with values that are new."""

import json
from typing import Any

from tests.outside.containers import Crashes, NotReady
from tests.outside.further.register import further
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.world import Workload

LIST = r"^/api/v2/workloads/?$"
HTML = Answer(502, b"<html>502 Bad Gateway</html>", (("content-type", "text/html"),))


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


def page_of(items: list[Any], *, total: int, following: str | None = None) -> Answer:
    return answer({"totalCount": total, "count": len(items), "data": items, "next": following, "previous": None})


def teller(world: World, importance: str = "high", pods: int = 2) -> Workload:
    return world.workload("teller", importance=importance, pods=pods, load=BUSY)


@further(40)
def list_is_away_for_eighty_seconds(world: World) -> None:
    """The gateway answers requests of the list with 502 for eighty seconds, in minutes 10, 18 and 26."""
    teller(world)
    for minute in (10, 18, 26):
        world.fault(LIST, minute, minute + 1.3, HTML)


@further(60)
def list_is_away_for_twenty_minutes(world: World) -> None:
    """The gateway answers requests of the list with 502 from minute 10 to minute 30."""
    teller(world)
    world.fault(LIST, 10, 30, HTML)


@further(65)
def token_is_rejected_for_half_an_hour(world: World) -> None:
    """The token of the exporter is revoked in minute 10 and accepted again from minute 40 on."""
    teller(world)
    world.fault(r"^/api/v2/", 10, 40, answer({"message": "Invalid API key"}, 401))


@further(45)
def feature_is_switched_off(world: World) -> None:
    """From minute 10 on the list and all else about workloads are answered with 403: the feature is not enabled."""
    teller(world)
    world.fault(r"/workloads", 10, 45, answer({"message": "feature not enabled"}, 403))


@further(60)
def role_of_the_exporter_is_reduced(world: World) -> None:
    """In minute 10 the exporter becomes a consumer of a service of high importance: the list shows it as running, its
    versions, pods, settings and statistics answer with 403."""
    one = teller(world)
    world.fault(rf"/workloads/{one.id}/.", 10, 60, answer({"detail": "not permitted"}, 403))


@further(60)
def events_and_limits_are_missing(world: World) -> None:
    """An old platform: its account has no limits, its events and quotas answer with 500 and 404, all else is well."""
    teller(world)
    world.limits = None
    world.fault(r"/events", 0, 60, answer({"detail": "internal"}, 500))
    world.fault(r"/quota|/history", 0, 60, answer({"detail": "Not Found"}, 404))


@further(60)
def monitor_is_silent_about_a_new_service(world: World) -> None:
    """A service of moderate importance is created in minute 5; it stays in provisioning, and the platform never reports
    its pods."""
    one = world.workload("digest", importance="moderate", pods=1, since=5)
    one.versions[0].snapshot.set(0, value=False)
    one.versions[0].running_since.set(0, None)
    one.says(5, "provisioning")


@further(60)
def monitor_shows_nothing_new_of_a_healthy_service(world: World) -> None:
    """From minute 10 on the monitor of the platform is frozen; a critical service is well and serves."""
    one = teller(world, "critical")
    one.versions[0].frozen.set(600, 600.0)


@further(50)
def monitor_is_frozen_while_a_service_dies(world: World) -> None:
    """The monitor of the platform is frozen from minute 10 on and shows ready pods; from minute 12 on none of them is,
    and all requests of the service, of moderate importance, fail."""
    one = teller(world, "moderate")
    one.versions[0].frozen.set(600, 600.0)
    one.all_pods(12, Crashes(1))


@further(45)
def pages_are_shorter_than_requested(world: World) -> None:
    """The list has three workloads on a page whatever is requested; the only pod of the newest one, a critical one,
    exits with 1 from minute 10 on."""
    world.list_page, world.bundle_page = 3, 2
    for number in range(9):
        world.workload(f"model-{number}", importance="moderate", pods=1, load=BUSY, age_days=80 - number)
    world.workload("newest", importance="critical", pods=1, load=BUSY, age_days=2).all_pods(10, Crashes(1))


@further(45)
def order_changes_between_pages(world: World) -> None:
    """The list has four workloads on a page; from minute 10 to 12 each page is from another order, so that some
    workloads are on two pages and others on none."""
    for number in range(8):
        world.workload(f"model-{number}", importance="high", pods=1, load=BUSY, age_days=80 - number)
    world.list_page = 4

    def order(listed: list[Workload], now: float) -> list[Workload]:
        return listed[::-1] if 600 <= now < 720 and world.requests % 2 else listed

    world.order = order


@further(45)
def malformed_items_beside_a_failure(world: World) -> None:
    """From minute 5 on the list has a null, a number, an item without an id and one of only nulls; from minute 12 on
    the pods of a service of high importance exit with 64."""
    odd: list[Any] = [None, 7, {"name": "nameless"}, {"id": None, "name": None, "status": None, "runtime": None}]
    world.extra_items = lambda now: odd if now >= 300 else []
    teller(world).all_pods(12, Crashes(64))


@further(45)
def nulls_in_each_optional_field(world: World) -> None:
    """From minute 5 on a healthy service of moderate importance has null in each field that may be null, and its
    runtime is empty."""
    one = teller(world, "moderate")
    nulls = dict.fromkeys(
        ("description", "artifact", "creator", "endpoint", "lastResponse", "replacement", "requestStats")
    )
    one.patch(5, 1e9, lambda item: item | nulls | {"runtime": {}, "tags": None, "owners": None, "permissions": []})


@further(45)
def new_status_hides_an_outage(world: World) -> None:
    """From minute 10 on a service of high importance has the status `Hibernating`, and its pods exit with 1."""
    one = teller(world)
    one.all_pods(10, Crashes(1))
    one.says(10, "Hibernating")


@further(45)
def new_status_of_a_healthy_service(world: World) -> None:
    """From minute 10 on a service of moderate importance has the status `Rebalancing`; it is well and serves."""
    teller(world, "moderate").says(10, "Rebalancing")


@further(50)
def errored_is_shown_although_all_is_well(world: World) -> None:
    """From minute 10 to minute 30 a service of high importance is shown as errored; its pods are ready and serve."""
    one = teller(world)
    one.says(10, "errored")
    one.says(30, None)


@further(60)
def clock_of_the_server_is_ahead(world: World) -> None:
    """The clock of the server is five minutes ahead; a critical service is replaced and another one starts."""
    world.ahead = 300
    teller(world, "critical").rollout(12)
    world.workload("digest", importance="high", pods=1, since=20)


@further(45)
def clock_of_the_server_is_behind(world: World) -> None:
    """The clock of the server is five minutes behind; no pod of a critical service is ready from minute 10 on."""
    world.ahead = -300
    teller(world, "critical").all_pods(10, NotReady())


@further(65)
def list_is_throttled_for_twenty_minutes(world: World) -> None:
    """Each request of the list is answered with 429 from minute 10 to minute 30, without a `Retry-After`."""
    teller(world)
    world.fault(LIST, 10, 30, answer({"error": "API rate limit exceeded"}, 429))


@further(60)
def some_details_are_throttled(world: World) -> None:
    """From minute 10 to minute 40 every other request about a single workload is answered with 429."""
    teller(world)
    throttled = Answer(429, b'{"error": "API rate limit exceeded"}', (("retry-after", "7"),))
    world.fault(r"/workloads/[0-9a-f]{24}/", 10, 40, None, throttled)


@further(60)
def two_of_seven_requests_fail(world: World) -> None:
    """From minute 10 to minute 50 two of seven requests of any kind are answered with 503."""
    teller(world)
    world.fault(
        r"^/api/v2/", 10, 50, None, None, HTML._replace(status=503), None, None, None, HTML._replace(status=503)
    )


@further(50)
def empty_page_that_claims_more(world: World) -> None:
    """From minute 10 to minute 22 the list is an empty page that names a next one and a total of six."""
    for number in range(3):
        world.workload(f"model-{number}", importance="high", pods=1, load=BUSY)
    following = "https://here.test/api/v2/workloads/?limit=100&offset=0"
    world.fault(LIST, 10, 22, page_of([], total=6, following=following))


@further(60)
def list_is_away_during_an_open_incident(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 on; from minute 25 to minute 33 the list is away."""
    teller(world, "critical").all_pods(10, Crashes(1))
    world.fault(LIST, 25, 33, HTML)


@further(45)
def versions_are_empty_for_a_moment(world: World) -> None:
    """The list of versions of a critical service is empty for half a minute, in minutes 10, 20 and 30."""
    one = teller(world, "critical")
    empty = answer({"totalCount": 0, "count": 0, "data": []})
    for minute in (10, 20, 30):
        world.fault(rf"/workloads/{one.id}/protons/?$", minute, minute + 0.5, empty)


@further(45)
def failing_service_has_no_importance(world: World) -> None:
    """A service without a stated importance, which no user calls, exits with 1 from minute 10 on."""
    world.workload("trial", importance=None, pods=1).all_pods(10, Crashes(1))


@further(45)
def statistics_are_away_while_a_service_dies(world: World) -> None:
    """The statistics answer with 404 all the time; the only pod of a critical service is not ready from minute 10
    on."""
    teller(world, "critical", 1).all_pods(10, NotReady())
    world.fault(r"/stats", 0, 45, answer({"detail": "Not Found"}, 404))
