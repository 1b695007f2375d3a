"""The pages of each story, in tests/golden/pages: review them as the engineer on call.

One round of the story is played in virtual time, then the workload is well, until nothing fires any more. The receiver
wants what is critical and what is a warning. `UPDATE_GOLDEN=1 pytest tests/alerts/test_pages.py` regenerates them.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting.delivery_state import Subscription
from exporter.alerting.notification import Notification
from exporter.alerting.routing import Wants, chosen, quiet
from exporter.alerting.rules import Options
from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence
from exporter.paging.notify import Sent
from exporter.paging.pager import Pager
from exporter.paging.receiver import Receiver
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES, Story
from exporter.state.store import Store
from tests.goldens import check_golden
from tests.one_story import MAX_PLAY_SECONDS, OneStory
from tests.stage import Stage, played

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent.parent / "golden" / "pages"
LASTS, ENDS_WITHIN = 80 * 60.0, 8 * 3600.0
"""Seconds for which a story without an end is played, and in which all that fires has ended once all is well."""
OPTIONS = Options(
    runbooks="https://runbooks.example.test/",
    dashboards="https://grafana.example.test",
    console="https://dr.example.test",
)
WANTS = Wants(frozenset({"critical", "warning"}))
TWICE = {"memory near its bundle"}
HEALTHY = next(story for story in STORIES if story.name == "healthy")


class Here(ThreadPoolExecutor):
    """Does at once what others do in threads: virtual time must not pass meanwhile."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done


def pages(story: Story) -> list[tuple[float, Notification]]:
    """All notifications of a story, with their times in seconds since its beginning."""
    sent: list[tuple[float, Notification]] = []
    with Simulator(workloads=1) as simulator:
        simulator.world = world = OneStory(story)

        async def play(stage: Stage) -> None:
            asyncio.get_running_loop().set_default_executor(Here())

            async def send(notifications: Sequence[Notification], _: float) -> list[Sent]:
                sent.extend((stage.now, each) for each in notifications)
                return [Sent(each.key, "delivered") for each in notifications]

            subscription = Subscription(lambda each: chosen(WANTS, each), lambda each, now: quiet(WANTS, each, now))
            pager = Pager(
                store=Store(None),
                report=stage.report,
                options=OPTIONS,
                receivers=[Receiver("on-call", send, subscription)],
                evidence=lambda state, now: evidence(diagnosis(state, now, OPTIONS)),
                account_evidence=lambda alert, fleet, now: account_evidence(alert, fleet, OPTIONS, now),
                fleets=lambda: [stage.monitor.fleet],
                exporter=ExporterStatus,
                clock=Clock(lambda: stage.wall, lambda: stage.now),
            )

            async def evaluate() -> None:
                await pager.evaluate()
                await pager.notify()

            ends = min(story.seconds, MAX_PLAY_SECONDS) if story.seconds != float("inf") else LASTS
            await stage.run(ends - 30, evaluate)
            world.actor(0).story = HEALTHY
            while pager.state.notified["on-call"] and stage.now < ends + ENDS_WITHIN:
                await stage.run(stage.now + 600, evaluate)

        played(play, simulator)
    return sent


def as_text(sent: Sequence[tuple[float, Notification]]) -> str:
    """Pages as a person reads them: what fires with its evidence, what has ended in a line."""
    return "\n".join(_page(at, each) for at, each in sent) or "no notifications\n"


def _page(at: float, each: Notification) -> str:
    head = f"{at // 60:.0f} min: {each.status.upper()} {each.labels['severity']}: {each.title}"
    lines = [each.annotations["summary"], *(f"{title}: {words}" for title, words in each.evidence)]
    links = " | ".join(title for title, _ in each.links)
    return "\n".join([head, *(f"  {line}" for line in (*lines, links) if each.ended is None)]) + "\n"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_page_says_what_is_wrong_and_each_incident_opens_once_and_ends_once(story: Story) -> None:
    sent = pages(story)
    for key in {each.key for _, each in sent}:
        # A page whose severity changes is sent again, as the same incident.
        tracker = [each.labels["severity"] if each.ended is None else "over" for _, each in sent if each.key == key]
        assert tracker[-1] == "over", key
        assert all(one != other for one, other in zip(["over", *tracker], tracker, strict=False)), (key, tracker)
        assert tracker.count("over") == (2 if story.name in TWICE else 1), key
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    words = f"{story.shows}\n\n{as_text(sent)}"
    check_golden(file, words)


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in STORIES}
