"""A simulated fleet of one workload that plays one story, for the tests that play each story."""

from exporter.simulator.stories import Story
from exporter.simulator.world import World
from tests.stage import START

MAX_PLAY_SECONDS = 9 * 3600.0
LEAD_SECONDS = 20.0
"""Time into the first step of a story that repeats when the play begins."""


class OneStory(World):
    """A fleet of a single workload that plays one story from its beginning."""

    def __init__(self, story: Story) -> None:
        super().__init__(1, 7, 1.0, START)
        actor = self.actor(0)
        actor.story = story
        actor.name = story.name.replace(" ", "-")
        actor.importance = story.importance or "moderate"
        actor.requests = story.requests
        actor.origin = START - LEAD_SECONDS if story.seconds != float("inf") else START
        self._numbers = {} if story.rounds_ids else {actor.id(actor.moment(START)): 0}

    def find(self, workload: str, now: float) -> object:  # type: ignore[override]  # an actor, or None
        actor = self.actor(0)
        moment = actor.moment(now)
        return actor if actor.id(moment) == workload and (moment.step.listed or moment.step.hidden) else None

    def listed(self, now: float) -> list[int]:
        return [0] if self.actor(0).moment(now).step.listed else []
