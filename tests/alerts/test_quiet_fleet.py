"""What happens to a fleet without a fault of a workload is no page about a workload; what happens to many is one page.

Everything is played in virtual time, with direct paging to a receiver of critical and warning notifications.
"""

from collections.abc import Callable, Sequence

import pytest

from exporter.alerting.notification import Notification
from exporter.paging.pager import Pager
from exporter.simulator import SimulatedApi
from exporter.simulator.incidents import ALL_STORIES
from exporter.simulator.stories import COMPLETED, HOUR, MINUTE, READY, Story, StoryStep, starting
from exporter.simulator.world import World
from tests.alerts.played import Notified, paged
from tests.stage import START, Stage

pytestmark = pytest.mark.long

STORY = {story.name: story for story in ALL_STORIES}
BUNDLES = "/mlops/compute/bundles"


class Fleet:
    """Workloads of critical importance that play a story each; each begins `apart` seconds after the one before."""

    def __init__(self, stories: Sequence[Story], *, apart: float = 0.0, names: Sequence[str] = ()) -> None:
        self.simulator = SimulatedApi(workloads=len(stories))
        self.simulator.world = world = World(len(stories), 7, 1.0, START, stories)
        for number in range(len(stories)):
            actor = world.actor(number)
            actor.importance, actor.origin = "critical", START + apart * number
            actor.name = names[number] if names else actor.name

    def notified(
        self, seconds: float, each: Callable[[Stage], None] = lambda _: None, *, odd: frozenset[str] = frozenset()
    ) -> tuple[Notified, ...]:
        """All notifications while the fleet is swept for so long; `each` is called after every sweep."""
        self.simulator.odd = odd

        async def play(stage: Stage, pager: Pager) -> None:
            async def evaluate() -> None:
                each(stage)
                await pager.evaluate()
                await pager.notify()

            await stage.run(seconds, evaluate)

        return paged(self.simulator, play)


def fired(sent: Sequence[Notified]) -> list[tuple[str, str]]:
    """Alert, and workload or an empty text, of each notification of a beginning."""
    return [(each.labels["alertname"], each.labels.get("workload", "")) for _, each in sent if each.ended is None]


def of_workloads(sent: Sequence[Notified]) -> list[tuple[str, str]]:
    return [one for one in fired(sent) if one[1]]


CREATED = Story("new", "a workload that is created", (*starting(minutes=8), StoryStep(2 * HOUR, "running")), once=True)
UNSTARTED = Story(
    "new later",
    "a workload that is created ten minutes later",
    (StoryStep(10 * MINUTE, "running", None, listed=False, serves=False), *CREATED.steps),
    once=True,
)
QUIET = {
    "a quiet morning": ([STORY[name] for name in ("healthy", "autoscaled", "scaled to zero", "promoted")] * 2, 0),
    "a node drain": ([STORY["node drained"]] * 8, 25),
    "a rolling update of the fleet": ([STORY["replacement"], STORY["settings change"]] * 4, 60),
    "a deployment storm": ([*[STORY["healthy"]] * 4, *[UNSTARTED] * 16], 0),
    "an autoscaler at work": ([STORY["autoscaler at work"]] * 6, 40),
    "wakes from zero": ([STORY["woken from zero"]] * 6, 40),
}


@pytest.mark.parametrize("name", QUIET)
def test_no_receiver_is_notified_about_a_workload_during(name: str) -> None:
    stories, apart = QUIET[name]
    assert of_workloads(Fleet(stories, apart=apart).notified(70 * MINUTE)) == []


def outage(begins: float, ends: float, odd: str = "unavailable") -> Callable[[Stage], None]:
    """The API fails from one moment to another."""

    def switch(stage: Stage) -> None:
        stage.simulator.odd = frozenset({odd}) if begins <= stage.now < ends else frozenset()

    return switch


ODD = ("unavailable", "bad-gateway", "throttled", "truncated", "unauthorized")


@pytest.mark.parametrize(
    "odd", ["throttled", *(pytest.param(odd, marks=pytest.mark.exhaustive) for odd in ODD if odd != "throttled")]
)
def test_no_receiver_is_notified_about_a_workload_during_an_outage_of_the_api_of_an_hour(odd: str) -> None:
    fleet = Fleet([STORY["healthy"], STORY["autoscaled"], STORY["scaled to zero"]])
    sent = fleet.notified(100 * MINUTE, outage(10 * MINUTE, 70 * MINUTE, odd))
    assert of_workloads(sent) == []
    assert fired(sent)  # about the account


def test_an_open_incident_neither_ends_nor_opens_again_by_an_outage_of_the_api() -> None:
    story = Story("fails", "an image that cannot be pulled", STORY["image pull"].steps, replicas=1)
    sent = Fleet([story, STORY["healthy"]]).notified(100 * MINUTE, outage(20 * MINUTE, 80 * MINUTE))
    titles = [each.labels["alertname"] for _, each in sent if each.labels.get("workload", "").startswith("fails")]
    assert len(titles) == len(set(titles)) > 0
    assert all(each.ended is None for _, each in sent if each.labels.get("workload", "").startswith("fails"))


def of_details(odd: str) -> Callable[[Stage], None]:
    """From minute 10 to 25, the pods and events of all workloads cannot be read."""

    def switch(stage: Stage) -> None:
        there = 10 * MINUTE <= stage.now < 25 * MINUTE
        routes = ("protons", "events") if there else ()
        stage.simulator.odd = frozenset(f"{odd}@/workloads/{{id}}/{route}" for route in routes)

    return switch


@pytest.mark.parametrize("odd", ["forbidden", "error-text", "truncated"])
def test_details_that_cannot_be_read_for_a_whole_account_are_one_ticket(odd: str) -> None:
    sent = Fleet([STORY["healthy"]] * 3).notified(45 * MINUTE, of_details(odd))
    assert fired(sent) == [("DataRobotAccountDetailsUnreadable", "")]
    assert [each.ended is None for _, each in sent] == [True, False]
    page = page_of(sent, "DataRobotAccountDetailsUnreadable")
    assert ("Unreadable", "the pods and events of 3 of 3 workloads") in page.evidence


@pytest.mark.parametrize("odd", ["forbidden", "error-text", "truncated"])
def test_details_that_cannot_be_read_for_two_workloads_are_a_ticket_each(odd: str) -> None:
    sent = Fleet([STORY["healthy"]] * 2).notified(45 * MINUTE, of_details(odd))
    assert [alert for alert, _ in fired(sent)] == ["DataRobotWorkloadUnreadable"] * 2
    assert len([each for _, each in sent if each.ended is not None]) == 2


INTERRUPTED = Story(
    "preempted",
    "a workload that is interrupted for 40 minutes",
    (
        StoryStep(10 * MINUTE, "running"),
        StoryStep(40 * MINUTE, "interrupted", COMPLETED, serves=False),
        *starting(minutes=3),
        StoryStep(HOUR, "running"),
    ),
    once=True,
)


def page_of(sent: Sequence[Notified], alert: str) -> Notification:
    """The only notification of the beginning of an alert."""
    (page,) = [each for _, each in sent if each.ended is None and each.labels["alertname"] == alert]
    return page


def test_twelve_of_twenty_interrupted_workloads_are_one_page_with_number_names_and_status() -> None:
    sent = Fleet([*[INTERRUPTED] * 12, *[STORY["healthy"]] * 8]).notified(100 * MINUTE)
    page = page_of(sent, "DataRobotFleetManyFailing")
    text = "\n".join([page.title, page.annotations["summary"], *(words for _, words in page.evidence)])
    assert "12 of 20" in text
    assert "interrupted" in text
    assert text.count("preempted-") >= 10
    assert page.ended is None
    assert [each.ended is None for _, each in sent if each.labels["alertname"] == page.labels["alertname"]] == [
        True,
        False,
    ]


@pytest.mark.parametrize("odd", [f"empty-list@{BUNDLES}", f"short-pages@{BUNDLES}", "short-pages"])
def test_an_empty_or_capped_list_of_bundles_is_no_reason_to_notify(odd: str) -> None:
    fleet = Fleet([STORY[name] for name in ("healthy", "autoscaled", "scaled to zero", "healthy", "healthy")])
    assert fired(fleet.notified(80 * MINUTE, odd=frozenset({odd}))) == []


def test_two_workloads_of_one_name_are_two_workloads_while_one_replaces_the_other() -> None:
    leaving = Story(
        "old",
        "a workload that is deleted once another one of its name serves",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(MINUTE, "stopping", READY, serves=False),
            StoryStep(HOUR, "running", READY, listed=False, serves=False),
        ),
        once=True,
        young=True,
    )
    fleet = Fleet([leaving, UNSTARTED], names=["scorer", "scorer"])
    sent = fleet.notified(80 * MINUTE)
    assert {alert for alert, _ in fired(sent)} <= {"DataRobotWorkloadVanished"}
    assert len(of_workloads(sent)) <= 1
