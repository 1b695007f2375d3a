"""How many API requests a fleet costs under given settings."""

from __future__ import annotations

import math
from typing import NamedTuple

from exporter.api.models import Workload
from exporter.fleet.polling import EXTRAS, Policy, load, requests
from exporter.fleet.workload_state import WorkloadState

MIN_DETAIL_SHARE = 0.2
"""Share of the budget that details may use even if sweeps need more than the rest."""


class SweepCost(NamedTuple):
    """Cost of sweeps: list pages of one sweep, requests per second, and the minimum duration of a sweep in seconds."""

    pages: int
    requests_per_second: float
    min_seconds: float
    interval: float

    @property
    def fits(self) -> bool:
        """Whether a sweep can end before the next one starts."""
        return self.min_seconds <= self.interval


class DetailCost(NamedTuple):
    """Cost of details of a running fleet of low importance, and the budget that sweeps leave, in requests per second.

    `important`: what a workload of high or critical importance costs more. `slowdown`: factor by which the polling
    interval grows once the optional requests are dropped; 1: everything fits.
    """

    requests_per_second: float
    budget: float
    slowdown: float
    important: float

    @property
    def fits(self) -> bool:
        """Whether all detail requests fit into the budget."""
        return self.requests_per_second <= self.budget


def sweep_cost(workloads: int, page_size: int, interval: float, rate: float) -> SweepCost:
    """Cost of sweeping a list of `workloads` every `interval` seconds with a budget of `rate` requests per second."""
    pages = max(1, math.ceil(workloads / page_size))
    return SweepCost(pages, pages / interval, pages / rate, interval)


def detail_cost(workloads: int, policy: Policy, sweeps: SweepCost, rate: float) -> DetailCost:
    """Cost of polling the details of `workloads` beside these sweeps."""
    budget = max(rate - sweeps.requests_per_second, MIN_DETAIL_SHARE * rate)
    state = WorkloadState(workload=Workload(id="w", status="running", importance="low"), account="")
    everything = workloads * load(requests(state, policy, 0.0), 1.0)
    required = workloads * load(requests(state, policy, 0.0, frozenset(EXTRAS)), budget)
    high = state._replace(workload=Workload(id="w", status="running", importance="high"))
    important = load(requests(high, policy, 0.0), 1.0) - load(requests(state, policy, 0.0), 1.0)
    return DetailCost(everything, budget, max(1.0, required), important)
