"""The pages of each story, in tests/golden/pages: review them as the engineer on call.

`UPDATE_GOLDEN=1 pytest tests/alerts/test_pages.py` regenerates them.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting.notification import Notification
from exporter.simulator.incidents import ALL_STORIES, INCIDENTS
from exporter.simulator.stories import Story
from tests.alerts.expected import EXPECTED
from tests.alerts.played import Notified, notified, timeline
from tests.goldens import check_golden
from tests.stage import Stage

pytestmark = pytest.mark.long

TWO_INCIDENTS = {"out of memory at night"}
"""Its kills are fifty minutes apart."""
GOLDEN = Path(__file__).parent.parent / "golden" / "pages"


def as_text(sent: Sequence[Notified]) -> str:
    """Pages as a person reads them: what fires with its evidence, what has ended in a line."""
    return "\n".join(_page(at, each) for at, each in sent) or "no notifications\n"


def _page(at: float, each: Notification) -> str:
    head = f"{at // 60:.0f} min: {each.heading.upper()} {each.labels['severity']}: {each.title}"
    lines = [each.annotations["summary"], *(f"{title}: {words}" for title, words in each.evidence)]
    for title, name in (("Details", "explain"), ("Silence", "silence")):
        lines += [f"{title}: {each.annotations[name]}"] if name in each.annotations else []
    links = " | ".join(title for title, _ in each.links)
    shown = (*lines, links) if each.ended is None else filter(None, [each.lasting])
    return "\n".join([head, *(f"  {line}" for line in shown)]) + "\n"


@pytest.mark.parametrize("story", ALL_STORIES, ids=lambda story: story.name)
def test_a_page_says_what_is_wrong(story: Story) -> None:
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    check_golden(file, f"{story.shows}\n\n{as_text(notified(story))}")


@pytest.mark.parametrize("story", ALL_STORIES, ids=lambda story: story.name)
def test_each_incident_opens_once_and_ends_once(story: Story) -> None:
    sent = [each for _, each in notified(story)]
    for key in {each.key for each in sent}:
        # A page whose severity changes is sent again, as the same incident.
        tracker = [each.labels["severity"] if each.ended is None else "over" for each in sent if each.key == key]
        assert tracker[-1] == "over", key
        assert all(one != other for one, other in zip(["over", *tracker], tracker, strict=False)), (key, tracker)
        assert tracker.count("over") == (2 if story.name in TWO_INCIDENTS else 1), key


@pytest.mark.parametrize("ahead", [300.0, pytest.param(-300.0, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "name",
    ["crash loop", "stop and start", "out of memory", "reverted replacement", "silent revert", "draining unreadable"],
)
def test_pages_do_not_depend_on_the_clock_of_the_api(name: str, ahead: float) -> None:
    story = next(story for story in ALL_STORIES if story.name == name)
    assert as_text(notified(story, ahead=ahead)) == as_text(notified(story))


def story(name: str) -> Story:
    return next(story for story in ALL_STORIES if story.name == name)


def clock_set() -> Iterator[Any]:
    """Each story with our clock set forward and back by an hour; `make test` plays a few of them."""
    for number, story in enumerate(ALL_STORIES):
        for seconds in (3600.0, -3600.0):
            chosen = number % 16 == (0 if seconds > 0 else 8) or story.name in ("crash loop", "stop and start")
            marks = [] if chosen else [pytest.mark.exhaustive]
            yield pytest.param(story.name, seconds, marks=marks, id=f"{story.name}-{seconds:+.0f}")


@pytest.mark.parametrize(("name", "seconds"), [*clock_set()])
def test_pages_do_not_depend_on_a_clock_that_is_set(name: str, seconds: float) -> None:
    def note(stage: Stage) -> None:
        stage.step = seconds if stage.now >= middle else 0.0

    def text(sent: Sequence[Notified]) -> str:
        return re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d UTC", "TIME", as_text(sent))  # by our clock, whatever it says

    expected = notified(story(name))
    middle = expected[-1].at / 2 if expected else 600.0
    assert text(timeline(story(name), note)) == text(expected)


def story_of(name: str) -> Story:
    return next(story for story in INCIDENTS if story.name == name)


@pytest.mark.parametrize("name", [story.name for story in INCIDENTS])
def test_an_incident_is_paged_in_time_with_its_cause_and_nothing_is_paged_after_it(name: str) -> None:
    expected, sent = EXPECTED[name], notified(story_of(name))
    fired = [(round(at) / 60, each) for at, each in sent if each.ended is None]  # whole seconds, as evaluations
    levels = ["warning", "critical"][: ["", "warning", "critical"].index(expected.loudest)]
    assert {each.labels["severity"] for _, each in fired} <= set(levels)
    loudest = [at for at, each in fired if each.labels["severity"] == expected.loudest]
    if expected.last:
        assert expected.first <= min(loudest) <= expected.last
    assert [(at, each.title) for at, each in fired if at > expected.well] == []
    assert expected.cause in as_text(sent)


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in ALL_STORIES}
