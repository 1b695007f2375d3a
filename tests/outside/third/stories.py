"""All third stories, by name."""

from tests.outside.third import api, capacity, fleets, healthy, people, rollouts, slow, traffic
from tests.outside.third.register import THIRD

MODULES = (capacity, rollouts, traffic, people, api, slow, healthy, fleets)

__all__ = ["MODULES", "THIRD"]
