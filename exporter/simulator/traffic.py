"""Requests to a workload, added up over the steps of its story."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate, pairwise

from exporter.simulator.stories import Story


class Traffic:
    """Requests since the start of a story, in seconds in which all of the story's requests arrive."""

    def __init__(self, story: Story) -> None:
        self._seconds, self._once = story.seconds, story.once
        self._begins = list(accumulate((step.seconds for step in story.steps), initial=0.0))
        loads = [step.load if step.serves else 0.0 for step in story.steps]
        shares = [story.server_errors if step.server_errors is None else step.server_errors for step in story.steps]
        self._requests = self._with_sums(loads)
        self._server_errors = self._with_sums([load * share for load, share in zip(loads, shares, strict=True)])

    def requests(self, elapsed: float) -> float:
        """Requests in the first `elapsed` seconds (at speed 1) of the story."""
        return self._added_up(elapsed, *self._requests)

    def server_errors(self, elapsed: float) -> float:
        """Requests in the first `elapsed` seconds (at speed 1) of the story that were answered with 5xx."""
        return self._added_up(elapsed, *self._server_errors)

    def _with_sums(self, loads: list[float]) -> tuple[list[float], list[float]]:
        """The load of each step, and the requests before it and after the last one."""
        lengths = (after - before for before, after in pairwise(self._begins))
        return loads, list(accumulate((load * s for load, s in zip(loads, lengths, strict=True)), initial=0.0))

    def _added_up(self, elapsed: float, loads: list[float], sums: list[float]) -> float:
        if math.isinf(self._seconds):
            return elapsed * loads[0]
        rounds, into = (0.0, elapsed) if self._once else divmod(elapsed, self._seconds)
        step = min(len(loads), max(1, bisect_right(self._begins, into))) - 1
        return rounds * sums[-1] + sums[step] + (into - self._begins[step]) * loads[step]
