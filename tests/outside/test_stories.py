"""Plays each outside story against the real exporter and compares what comes with what a person on call expects."""

from functools import cache

import pytest

from tests.outside.expectations import EXPECTED
from tests.outside.expecting import ACCOUNT, Outcome, compared
from tests.outside.harness import Seen, notifications
from tests.outside.stories import STORIES

pytestmark = pytest.mark.long


@cache
def played(name: str) -> tuple[Seen, ...]:
    story = STORIES[name]
    return tuple(notifications(story.world(), story.minutes))


def outcome(name: str) -> Outcome:
    story = STORIES[name]
    names = {each.id: each.name for each in story.world().workloads}
    return compared(EXPECTED[name], played(name), names, story.minutes)


def scores(outcomes: list[Outcome]) -> tuple[float, float, float]:
    """Precision, recall, and the share of the right ones that name the cause."""
    right = sum(each.right for each in outcomes)
    came, expected = sum(each.came for each in outcomes), sum(each.expected for each in outcomes)
    found, named = sum(each.found for each in outcomes), sum(each.named for each in outcomes)
    return right / came, found / expected, named / right


def test_each_story_has_an_expectation_of_its_own_workloads() -> None:
    assert set(STORIES) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        workloads = {each.name for each in STORIES[name].world().workloads} | {ACCOUNT}
        for each in expected.incidents:
            assert each.subject in workloads, name
            assert each.after < each.by <= STORIES[name].minutes, name
