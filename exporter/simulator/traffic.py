"""Requests to a workload, added up over the steps of its story."""

from __future__ import annotations

import math
from itertools import accumulate

from exporter.simulator.stories import Story


class Traffic:
    """Requests since the start of a story, in seconds in which all of the story's requests arrive."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._begins = list(accumulate((step.seconds for step in story.steps), initial=0.0))
        self._loads = [step.load if step.serves else 0.0 for step in story.steps]
        shares = [story.server_errors if step.server_errors is None else step.server_errors for step in story.steps]
        self._error_loads = [load * share for load, share in zip(self._loads, shares, strict=True)]

    def requests(self, elapsed: float) -> float:
        """Requests in the first `elapsed` seconds (at speed 1) of the story."""
        return self._added_up(elapsed, self._loads)

    def server_errors(self, elapsed: float) -> float:
        """Requests in the first `elapsed` seconds (at speed 1) of the story that were answered with 5xx."""
        return self._added_up(elapsed, self._error_loads)

    def _added_up(self, elapsed: float, loads: list[float]) -> float:
        if math.isinf(self._story.seconds):
            return elapsed * loads[0]
        if self._story.once:
            ends = self._begins[-1]
            within = self._round(min(elapsed, ends), loads)
            return within + min(elapsed, 0.0) * loads[0] + max(0.0, elapsed - ends) * loads[-1]
        rounds, into = divmod(elapsed, self._story.seconds)
        return rounds * self._round(self._story.seconds, loads) + self._round(into, loads)

    def _round(self, until: float, loads: list[float]) -> float:
        return sum(
            load * max(0.0, min(until - begin, step.seconds))
            for begin, step, load in zip(self._begins, self._story.steps, loads, strict=False)
            if load
        )
