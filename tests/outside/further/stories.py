"""All further stories, by name."""

from tests.outside.further import api, fleets, people, pods, rollouts, traffic
from tests.outside.further.register import FURTHER

MODULES = (pods, rollouts, people, traffic, api, fleets)

__all__ = ["FURTHER", "MODULES"]
