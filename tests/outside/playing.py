"""Plays the stories of a suite against the real exporter and compares what comes with what a person on call expects."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from tests.outside.expecting import Expected, Outcome, compared
from tests.outside.harness import notifications
from tests.outside.known import Known
from tests.outside.story import Story

MINUTE = re.compile(r",? (but )?(in|by) minute \d+$")


class Suite:
    """Stories with what is expected of each, and the known deviations. Each story is played once."""

    def __init__(
        self, stories: Mapping[str, Story], expected: Mapping[str, Expected], known: Mapping[str, Known]
    ) -> None:
        self.stories, self.expected, self.known = stories, expected, known
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self, name: str) -> Outcome:
        if name not in self._outcomes:
            story = self.stories[name]
            names = {each.id: each.name for each in story.world().workloads}
            seen = notifications(story.world(), story.minutes)
            self._outcomes[name] = compared(self.expected[name], seen, names, story.minutes)
        return self._outcomes[name]

    def unknown_deviations(self, name: str) -> list[str]:
        found = Counter(MINUTE.sub("", each) for each in self.outcome(name).deviations)
        known = Counter(self.known[name].deviations if name in self.known else ())
        return list((found - known).elements())

    @cached_property
    def scores(self) -> tuple[float, float, float]:
        """Precision, recall, and the share of the right ones that name the cause."""
        outcomes = [self.outcome(name) for name in self.stories]
        right = sum(each.right for each in outcomes)
        came, expected = sum(each.came for each in outcomes), sum(each.expected for each in outcomes)
        found, named = sum(each.found for each in outcomes), sum(each.named for each in outcomes)
        return right / came, found / expected, named / right
