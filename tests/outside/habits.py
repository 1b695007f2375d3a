"""Stories about servers: routes that fail, fields that are missing, clocks, pages, tokens."""

import json
from typing import Any

from tests.outside.containers import Crashes, NotReady
from tests.outside.harness import Answer
from tests.outside.server import World
from tests.outside.story import BUSY, story
from tests.outside.world import Load, Workload

BROKEN = Answer(500, b'{"detail": "Internal Server Error"}')
FORBIDDEN = Answer(403, b'{"message": "feature not enabled"}')
UNAVAILABLE = Answer(503, b"upstream connect error", (("content-type", "text/plain"),))
GATEWAY = Answer(502, b"<html><body>502 Bad Gateway</body></html>", (("content-type", "text/html"),))
THROTTLED = Answer(
    429, b'{"error": "API rate limit exceeded"}', (("content-type", "application/json"), ("retry-after", "7"))
)
HALF = Answer(200, b'{"totalCount": 3, "count": 3, "data": [{"id": "70aa00000')
ALL = "."


@story(45)
def statistics_are_forbidden(world: World) -> None:
    """The statistics of all workloads are refused with 403: the feature is off."""
    world.fault("/stats", 0, 60, FORBIDDEN)
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(45)
def install_without_protons(world: World) -> None:
    """The install has no route for protons (404), so pods are not known; a critical workload becomes errored in minute
    20."""
    world.fault("/protons", 0, 60, Answer(404, b'{"detail": "Not Found"}'))
    world.workload("pricing", importance="critical", pods=2, load=BUSY).all_pods(20, Crashes(1))


@story(75)
def events_fail_for_an_hour(world: World) -> None:
    """The route for events responds with 500 for an hour, while two rollouts succeed."""
    world.fault("/events", 5, 65, BROKEN)
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(10)
    one.rollout(40)


@story(65)
def rollout_fails_and_events_cannot_be_read(world: World) -> None:
    """A rollout of a critical service fails; the route for events gives 403 all the time, and the record is gone
    twenty seconds after the failure."""
    world.fault("/events", 0, 75, FORBIDDEN)
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(10, result="Errored", behaviour=Crashes(1, up=False), fails_after=300, keeps_record=20)


@story(60)
def pod_details_come_and_go(world: World) -> None:
    """Every third request for pod details gets a 503 for 50 minutes, all workloads are healthy."""
    world.fault("statusDetails", 5, 55, UNAVAILABLE, None, None)
    world.workload("pricing", importance="critical", pods=3, load=BUSY)


@story(60)
def no_snapshots_of_running_workloads(world: World) -> None:
    """The monitor was restarted and has no snapshot of any pod: 204 from minute 5 to 50, all workloads run."""
    world.fault("statusDetails", 5, 50, Answer(204))
    world.workload("pricing", importance="critical", pods=3, load=BUSY)


def _nulls(item: dict[str, Any]) -> dict[str, Any]:
    kept = {"id", "name", "status", "createdAt", "updatedAt", "protonId", "importance", "type"}
    return {key: value if key in kept else None for key, value in item.items()}


@story(50)
def nearly_everything_is_null(world: World) -> None:
    """From minute 10 to 40 most fields of a healthy critical workload are null."""
    world.workload("pricing", importance="critical", pods=2, load=BUSY).patch(10, 40, _nulls)


@story(50)
def words_and_fields_of_the_future(world: World) -> None:
    """A newer platform has an importance "urgent", a type "agent" and unknown fields; all workloads run."""
    one = world.workload("agent", importance="urgent", pods=2, load=BUSY, kind="agent")
    one.patch(0, 60, lambda item: item | {"placement": {"enclave": "finance"}, "useCaseId": None, "score": [1, 2]})


@story(55)
def server_clock_is_five_minutes_ahead(world: World) -> None:
    """The clock of the platform is five minutes ahead; a rollout succeeds, a pod restarts once."""
    world.ahead = 300
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.rollout(10)
    one.pod(0, 40, Crashes(1, times=1))


@story(50)
def outage_under_a_clock_five_minutes_behind(world: World) -> None:
    """The clock of the platform is five minutes behind; both pods of a critical service crash from minute 12 to 35."""
    world.ahead = -300
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.all_pods(12, Crashes(1, lives=6))
    one.all_pods(35, Crashes(1, times=1))


@story(110)
def api_is_down_for_an_hour(world: World) -> None:
    """The whole API responds with 503 from minute 10 to 70; a critical service begins to crash in minute 30, unseen."""
    world.fault(ALL, 10, 70, UNAVAILABLE)
    world.workload("pricing", importance="critical", pods=2, load=BUSY).all_pods(30, Crashes(1))


@story(110)
def api_is_down_for_an_hour_and_all_is_well_after(world: World) -> None:
    """The whole API responds with an HTML page and 502 from minute 10 to 70; the workloads are healthy."""
    world.fault(ALL, 10, 70, GATEWAY)
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(45)
def api_restarts_for_two_minutes(world: World) -> None:
    """The whole API responds with 503 for two minutes, while it is upgraded."""
    world.fault(ALL, 10, 12, UNAVAILABLE)
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(45)
def list_stutters(world: World) -> None:
    """Every third request for the list gets a 502 or half a body, for half an hour."""
    world.fault("/workloads/?$", 5, 35, GATEWAY, None, None, HALF, None, None)
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(45)
def token_is_refused(world: World) -> None:
    """The token of the exporter expires in minute 10: 401 everywhere."""
    world.fault(ALL, 10, 50, Answer(401, b'{"message": "Invalid API key"}'))


@story(60)
def token_is_renewed_in_time(world: World) -> None:
    """The gateway refuses the token for one minute, while keys are distributed."""
    world.fault(ALL, 10, 11, Answer(401, b'{"message": "Invalid API key"}'))


@story(75)
def throttled_for_an_hour(world: World) -> None:
    """Every second request is throttled with 429 and Retry-After, for 50 minutes; all workloads are healthy."""
    world.fault(ALL, 5, 55, THROTTLED, None)
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(30)
def list_in_pages_whose_order_changes(world: World) -> None:
    """There are 50 workloads in pages of 14, and the order changes slowly between the pages."""
    for number in range(48):
        importance = ("critical", "high", "moderate", "low")[number % 4]
        world.workload(f"model-{number:02}", importance=importance, pods=1, load=Load(rpm=2), age_days=10 + number)
    world.list_page = 14
    world.order = _turned


def _turned(listed: list[Workload], now: float) -> list[Workload]:
    """Every twenty seconds one workload moves from the front to the end."""
    turn = int(now // 20) % len(listed)
    return listed[turn:] + listed[:turn]


@story(45)
def one_item_is_malformed(world: World) -> None:
    """One item of the list is text instead of an object from minute 10 to 15; all others are as ever."""
    world.extra_items = lambda now: ["oops"] if 600 <= now < 900 else []
    world.workload("pricing", importance="critical", pods=2, load=BUSY)


@story(50)
def malformed_item_hides_nothing(world: World) -> None:
    """One item of the list has numbers for names and no id all the time; a critical workload crashes in minute 20."""
    world.extra_items = lambda _: [{"id": None, "name": 17, "status": ["x"], "createdAt": "yesterday"}]
    world.workload("pricing", importance="critical", pods=2, load=BUSY).all_pods(20, Crashes(1))


@story(45)
def routes_without_a_slash_only(world: World) -> None:
    """The install rejects every path that ends with a slash with 422."""
    world.fault(
        "/$", 0, 45, Answer(422, json.dumps({"detail": [{"loc": ["path"], "msg": "no", "type": "x"}]}).encode())
    )
    world.workload("pricing", importance="critical", pods=2, load=BUSY).all_pods(20, NotReady())


@story(45)
def old_server_without_reasons(world: World) -> None:
    """An old server reports containers without reasons, exit codes and last states; a high importance service crashes
    from minute 10 on."""
    one = world.workload("pricing", importance="high", pods=2, load=BUSY)
    one.all_pods(10, Crashes(1))
    world.plain_pods = True


@story(60)
def one_workload_cannot_be_read(world: World) -> None:
    """Every route of one critical workload except the list gives 500 from minute 10 on; it runs and serves."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    world.fault(one.id, 10, 60, BROKEN)


@story(55)
def status_becomes_unknown(world: World) -> None:
    """The platform loses sight of a critical workload: from minute 10 to 40 its status is unknown and its pods are not
    reported; before and after, it runs."""
    one = world.workload("pricing", importance="critical", pods=2, load=BUSY)
    one.says(10, "unknown")
    one.says(40, None)
    version = one.current(0)
    version.status.set(600, "unknown")
    version.status.set(2400, None)
    version.snapshot.set(600, value=False)
    version.snapshot.set(2400, value=True)


@story(60)
def empty_list_for_a_minute(world: World) -> None:
    """The list is empty for one minute, while a cache of the platform is filled; then it is complete again."""
    world.workload("pricing", importance="critical", pods=2, load=BUSY)
    world.fault("/workloads/?$", 10, 11, Answer(200, b'{"totalCount": 0, "count": 0, "data": [], "next": null}'))
