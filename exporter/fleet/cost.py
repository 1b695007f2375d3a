"""How many API requests a fleet costs under given settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from exporter.api.models import Workload
from exporter.fleet.objectives import ObjectiveRow, objective_of
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

    `important`: what a workload of high or critical importance costs more. `counted`: what one costs more that has an
    objective because of its name or tags; 0: there is none. `slowdown`: factor by which the polling interval grows once
    the optional requests are dropped; 1: everything fits.
    """

    requests_per_second: float
    budget: float
    slowdown: float
    important: float
    counted: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether all detail requests fit into the budget."""
        return self.requests_per_second <= self.budget


def sweep_cost(workloads: int, page_size: int, interval: float, rate: float) -> SweepCost:
    """Cost of sweeping a list of `workloads` every `interval` seconds with a budget of `rate` requests per second."""
    pages = max(1, math.ceil(workloads / page_size))
    return SweepCost(pages, pages / interval, pages / rate, interval)


def detail_cost(
    workloads: int,
    policy: Policy,
    sweeps: SweepCost,
    rate: float,
    objectives: Iterable[ObjectiveRow] = (),
    account: str = "",
) -> DetailCost:
    """Cost of polling the details of `workloads` without names and tags, with these objectives, beside these sweeps."""
    rows = tuple(objectives)

    def state(importance: str) -> WorkloadState:
        workload = Workload(id="w", status="running", importance=importance)
        return WorkloadState(workload=workload, account=account, objective=objective_of(rows, account, workload))

    budget = max(rate - sweeps.requests_per_second, MIN_DETAIL_SHARE * rate)
    low, high = state("low"), state("high")
    single = load(requests(low, policy, 0.0), 1.0)
    required = workloads * load(requests(low, policy, 0.0, frozenset(EXTRAS)), budget)
    named = [row for row in rows if (row.tags or row.name) and (not row.accounts or account in row.accounts)]
    others = (load(requests(low._replace(objective=row.objective), policy, 0.0), 1.0) for row in named)
    return DetailCost(
        requests_per_second=workloads * single,
        budget=budget,
        slowdown=max(1.0, required),
        important=load(requests(high, policy, 0.0), 1.0) - single,
        counted=max(others, default=single) - single if low.objective is None else 0.0,
    )
