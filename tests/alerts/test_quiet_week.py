"""A week without problems pages no one: rollouts, starts, stops, scaling to zero and back, hiccups of the API.

The week passes in virtual time; the page of every two minutes of it is stored in a real Prometheus, and the shipped
rules look back on it. `make test` plays ten hours, `make test-all` the week too.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from exporter.fleet.polling import Policy
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES
from tests import counts
from tests.alerts.history import Fired, families_read, fired, shipped
from tests.e2e.backfill import Pages, filled
from tests.stage import START, Stage, played, simulated

pytestmark = [pytest.mark.real, pytest.mark.long]
HOUR = 3600.0
EVERY = 120.0
QUIET = (
    "healthy", "autoscaled", "scaled to zero", "woken from zero", "replacement", "settings change", "slow start",
    "start of 14 minutes", "promoted", "stop and start",
)  # fmt: skip
FAILURES = ("unavailable", "throttled", "bad-gateway", "truncated", "error-text")
RULES = shipped()
TICKETS = {
    "DataRobotWorkloadStopped": "an important workload is stopped, and the API does not report who stopped it",
    "DataRobotAccountWorkloadLimitNear": "the simulated account may have little more than its fleet",
}
"""Tickets that a quiet week may bring, and why."""


def fleet() -> SimulatedApi:
    """Workloads of critical importance, none of which has a problem."""
    made = simulated(len(QUIET), seed=3)
    stories = {story.name: story for story in STORIES}
    for number, name in enumerate(QUIET):
        actor = made.world.actor(number)
        actor.story, actor.importance, actor.origin = stories[name], "critical", START - 60.0 * number
    return made


@pytest.fixture(
    scope="module",
    params=[pytest.param(10, id="ten hours"), pytest.param(7 * 24, id="week", marks=pytest.mark.exhaustive)],
)
def week(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Fired]]:
    lasts = request.param * HOUR
    pages = Pages(families_read(RULES))
    simulator = fleet()

    async def play(stage: Stage) -> None:
        async def note() -> None:
            page = stage.page() + stage.report.text().decode() + 'up{instance="a"} 1\n'
            at = START + round(stage.now / EVERY) * EVERY  # as of the evaluation: what is gone is gone at once
            pages.add(page, at, 'job="datarobot"')
            hours, seconds = divmod(stage.now, HOUR)
            hiccup = hours % 5 == 3 and 1800 <= seconds < 1800 + EVERY  # one sweep in five hours fails
            simulator.odd = frozenset({FAILURES[int(hours) % len(FAILURES)]}) if hiccup else frozenset()

        stage.report.set("config_last_reload_successful", 1)  # the daemon says so at its start
        await stage.run(lasts, note, EVERY)

    played(play, simulator, interval=EVERY, policy=Policy(EVERY, 300.0))
    with filled(tmp_path_factory.mktemp("week"), pages, lookback=f"{EVERY - 1:g}s") as prometheus:
        yield [one for rule in RULES for one in fired(prometheus, rule, START + EVERY, START + lasts - EVERY, EVERY)]


def test_no_page_is_sent(week: list[Fired]) -> None:
    pages = [one for one in week if one.severity == "critical"]
    counts.numbers["pages while nothing is wrong"] = len(pages)
    assert pages == []


def test_there_are_no_tickets_but_those_that_must_be(week: list[Fired]) -> None:
    assert Counter(one.alert for one in week if one.severity == "warning").keys() <= TICKETS.keys()


def test_the_watchdog_fires_all_week(week: list[Fired]) -> None:
    (watchdog,) = [one for one in week if one.severity == "none"]
    assert watchdog.ends is None
