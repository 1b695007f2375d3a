"""The register of stories: a story is a function that sets up a world; its docstring says what happens in it."""

from collections.abc import Callable
from typing import NamedTuple

from tests.outside.server import World
from tests.outside.world import Load

BUSY = Load(rpm=60)


class Story(NamedTuple):
    name: str
    says: str
    minutes: float
    setup: Callable[[World], None]

    def world(self) -> World:
        """A world in which this story is going to happen."""
        world = World()
        self.setup(world)
        return world


STORIES: dict[str, Story] = {}


def story(
    minutes: float, *, company: bool = True, suite: dict[str, Story] = STORIES
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Registers a story that is played for so many minutes; `company`: two healthy workloads are there as well."""

    def register(setup: Callable[[World], None]) -> Callable[[World], None]:
        def with_company(world: World) -> None:
            if company:
                world.workload("invoice-reader", importance="high", pods=2, load=BUSY, age_days=90)
                world.workload("word-vectors", importance="low", pods=1, load=Load(rpm=6), age_days=45)
            setup(world)

        name = setup.__name__
        assert name not in suite, name
        suite[name] = Story(name, " ".join((setup.__doc__ or "").split()), minutes, with_company)
        return setup

    return register
