"""Families of objectives by example. Unknown is absent, never 0 or 1."""

import struct

import pytest

from exporter.api.details import RequestMetrics
from exporter.api.models import Workload
from exporter.fleet.ledger import Ledger
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Details, Window, WorkloadState
from exporter.metrics.family import Samples
from exporter.metrics.registry import FAMILIES, samples_of

DAY = 86400.0
ALL = Objective(availability=0.99, readiness=0.9, latency=0.75, slower=2.0)
COUNTS = ObjectiveCounts(
    DAY, 3 * DAY, Totals(1000, 5, 125, 9000, 500), until=3 * DAY, read=3 * DAY,
    samples=struct.pack("<IQQQII", 86400, 400, 0, 100, 9000, 0),
)  # fmt: skip
NOTHING = ObjectiveCounts(DAY, DAY)
HOUR = {"1h": Window(0.0, 3600.0, RequestMetrics(total_requests=100, server_errors=2, slow_requests=50))}
IDLE = {"1h": Window(0.0, 3600.0, RequestMetrics(total_requests=0, server_errors=0, slow_requests=0))}


def samples(
    name: str, objective: Objective | None, counts: ObjectiveCounts | None, windows: dict[str, Window] | None = None
) -> dict[str, float]:
    """The samples of a family, by label values."""
    state = WorkloadState(
        "acme", Workload(id="w", status="running"), Ledger(0.0, 0.0, objectives=counts), Details(windows=windows or {}),
        objective=objective,
    )  # fmt: skip
    place = next(n for n, family in enumerate(FAMILIES) if family.name == f"datarobot_workload_{name}")
    found: Samples = samples_of(FAMILIES, state)[place]
    return {" ".join(labels): round(value, 6) for labels, value in found}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("objective_target_ratio", {"availability": 0.99, "readiness": 0.9, "latency": 0.75}),
        ("objective_window_seconds", {"": 28 * DAY}),
        ("objective_ratio", {"availability": 0.995, "readiness": 0.947368, "latency": 0.875}),
        ("objective_budget_remaining_ratio", {"availability": 0.5, "readiness": 0.473684, "latency": 0.5}),
        ("objective_since_timestamp_seconds", {"": DAY}),
        ("requests_total", {"": 1000.0}),
        ("server_errors_total", {"": 5.0}),
        ("slow_requests_total", {"": 125.0}),
        ("ready_seconds_total", {"": 9000.0}),
        ("down_seconds_total", {"": 500.0}),
    ],
)
def test_samples_of_a_workload_with_objectives_of_each_kind(name: str, expected: dict[str, float]) -> None:
    assert samples(name, ALL, COUNTS) == expected
    assert samples(name, None, COUNTS) == {}


def test_burn_rates_are_known_for_windows_with_requests_and_for_time_that_was_observed() -> None:
    rates = samples("objective_burn_rate", ALL, COUNTS, HOUR)
    assert rates == {"availability 1h": 2.0, "latency 1h": 2.0, "readiness 1d": 10.0}
    assert samples("objective_burn_rate", ALL, NOTHING, IDLE) == {}
    assert samples("objective_burn_rate", ALL, None) == {}


@pytest.mark.parametrize("counts", [None, NOTHING])
@pytest.mark.parametrize(
    "name",
    ["objective_ratio", "objective_budget_remaining_ratio", "requests_total", "server_errors_total",
        "slow_requests_total", "ready_seconds_total", "down_seconds_total"],
)  # fmt: skip
def test_what_was_not_counted_yet_is_unknown(name: str, counts: ObjectiveCounts | None) -> None:
    assert samples(name, ALL, counts) == {}


@pytest.mark.parametrize(
    ("objective", "totals"),
    [
        (Objective(availability=0.9), {"requests", "server_errors"}),
        (Objective(latency=0.9, slower=1.0), {"requests", "server_errors", "slow_requests"}),
        (Objective(readiness=0.9), {"ready_seconds", "down_seconds"}),
    ],
)
def test_a_workload_has_the_totals_that_its_objectives_need(objective: Objective, totals: set[str]) -> None:
    every = ("requests", "server_errors", "slow_requests", "ready_seconds", "down_seconds")
    assert {name for name in every if samples(f"{name}_total", objective, COUNTS)} == totals
