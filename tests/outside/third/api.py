"""Third stories about the API: pages that overlap, late statistics, nulls, 429, clocks, gaps, and old snapshots."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from tests.outside.containers import Crashes, Starts
from tests.outside.harness import START, Answer
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import third
from tests.outside.world import Counts, Load, Workload

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d")


def _moved(text: str, seconds: float) -> str:
    def moved(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0]).replace(tzinfo=UTC) + timedelta(seconds=seconds)
        return at.strftime("%Y-%m-%dT%H:%M:%S")

    return TIME.sub(moved, text)


def clock_is_ahead(world: World, seconds: float) -> None:
    """All times that the server writes, and those that it reads, are by a clock that is ahead."""
    usual = world.respond
    world.ahead = seconds

    def respond(method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        answer = usual(method, path, quote(_moved(unquote(query), -seconds), safe="=&"), headers)
        return answer._replace(body=_moved(answer.body.decode(), seconds).encode())

    world.respond = respond  # type: ignore[method-assign]


def statistics_are_late(world: World, one: Workload, seconds: float) -> None:
    """Requests are counted so long after they were served."""
    usual = one.counts

    def counts(start: float, end: float, proton: str) -> Counts:
        return usual(start, min(end, world.clock() - START - seconds), proton)

    one.counts = counts  # type: ignore[method-assign]


@third(45)
def pages_overlap(world: World) -> None:
    """The list has four items on a page and repeats the last two of each page on the next one; the pods of the newest
    workload, a critical one, exit with 1 from minute 10 on."""
    world.list_page = 4
    for number in range(6):
        world.workload(f"model-{number}", importance="moderate", pods=1, load=BUSY, age_days=80 - number)
    world.workload("newest", importance="critical", pods=1, load=BUSY, age_days=2).all_pods(10, Crashes(1))
    world.order = lambda listed, _: [one for at in range(0, len(listed), 2) for one in listed[at : at + 4]]


@third(80)
def statistics_are_ten_minutes_late(world: World) -> None:
    """The platform counts requests ten minutes after they were served. All requests of a critical service fail from
    minute 10 to minute 40; its pods are ready."""
    teller = world.workload("teller", importance="critical", pods=2, load=Load(rpm=120))
    statistics_are_late(world, teller, 600)
    teller.gets(10, failed=1.0)
    teller.gets(40, failed=0.0005)


@third(50)
def nulls_during_an_open_incident(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 on; from minute 20 to minute 32 its item in the list
    has nulls in all optional fields, and its pods are not reported."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    teller.all_pods(10, Crashes(1))
    nulls = dict.fromkeys(("status", "importance", "artifact", "endpoint", "lastResponse", "requestStats", "runtime"))
    teller.patch(20, 32, lambda item: item | nulls)
    world.fault(rf"/workloads/{teller.id}/protons/.*/statusDetails", 20, 32, Answer(204))


@third(80)
def details_are_throttled_during_an_open_incident(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 to minute 30; from minute 15 to minute 40 each request
    about a single workload is answered with 429."""
    teller = world.workload("teller", importance="critical", pods=2, load=BUSY)
    teller.all_pods(10, Crashes(1))
    teller.all_pods(30, Starts(0, 0, 20))
    throttled = Answer(429, b'{"error": "API rate limit exceeded"}', (("retry-after", "30"),))
    world.fault(r"/workloads/[0-9a-f]{24}/", 15, 40, throttled)


@third(60)
def server_is_a_quarter_of_an_hour_ahead(world: World) -> None:
    """The clock of the server, and so each time that it writes, is fifteen minutes ahead. A critical service is created
    in minute 10 and takes six minutes to start; the pods of another one of high importance exit with 3 from minute 25
    on."""
    clock_is_ahead(world, 900)
    world.workload("fresh", importance="critical", pods=2, load=Load(rpm=0), since=10, first=Starts(30, 150, 180))
    world.workload("teller", importance="high", pods=2, load=BUSY).all_pods(25, Crashes(3))


@third(60)
def list_omits_a_workload_for_a_moment(world: World) -> None:
    """The list omits a healthy critical service for forty seconds in minute 12, and in minute 25 for as long one whose
    pods exit with 1 since minute 10."""
    world.workload("archive", importance="critical", pods=2, load=BUSY)
    world.workload("teller", importance="critical", pods=2, load=BUSY).all_pods(10, Crashes(1))
    for name, minute in (("archive", 12.0), ("teller", 25.0)):
        [one] = [each for each in world.workloads if each.name == name]
        one.listed.set(minute * 60, value=False)
        one.listed.set(minute * 60 + 40, value=True)


@third(80)
def snapshot_stays_old_after_the_repair(world: World) -> None:
    """The pods of a critical service exit with 1 from minute 10 to minute 25; the monitor is frozen from minute 20 to
    minute 40 and shows the failing pods, while all requests succeed again."""
    teller = world.workload("teller", importance="critical", pods=2, load=Load(rpm=120))
    teller.all_pods(10, Crashes(1))
    teller.all_pods(25, Starts(0, 0, 20))
    teller.versions[0].frozen.set(1200, 1200.0)
    teller.versions[0].frozen.set(2400, None)
