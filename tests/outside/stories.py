"""All stories, by name."""

from tests.outside import habits, outages, people, rollouts, traffic
from tests.outside.story import STORIES, Story

MODULES = (outages, traffic, rollouts, people, habits)

__all__ = ["MODULES", "STORIES", "Story"]
