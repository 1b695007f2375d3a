"""A daemon over real sockets whose API refuses one route of the details: sweeps go on, and so do other workloads."""

import asyncio
import logging
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from tests.daemon.test_daemon import START
from tests.life import Life

pytestmark = pytest.mark.long

STATUS_DETAILS = "/workloads/{id}/protons/{pid}/statusDetails"
STEADY = "(healthy|saturated|server-errors|memory|slow-2|autoscaled-32).*"
"""The names of workloads that change neither their status nor their pods."""


def value(life: Life, name: str, **labels: str) -> float | None:
    wanted = {"account": "eu", **labels}
    return life.daemon.report.registry.get_sample_value(f"datarobot_exporter_{name}", wanted)


def with_pods(life: Life) -> set[str]:
    """The names of the workloads of which the pods are known, and recent."""
    there = life.daemon.accounts.monitors["eu"].workloads.values()
    return {state.workload.name or "" for state in there if state.details.fresh.get("pods")}


@pytest.mark.parametrize(
    ("oddity", "one", "reason"),
    [
        ("unavailable-seconds", True, "server_error"),
        ("throttled", True, "throttled"),
        ("throttled", False, "throttled"),
    ],
    ids=["503 with Retry-After: 300 for one workload", "429 for one workload", "429 for all workloads"],
)
def test_a_refused_route_of_the_details_stops_no_sweep(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, oddity: str, one: bool, reason: str
) -> None:
    async def live(simulator: Simulator) -> None:
        async with asyncio.timeout(120), Life(simulator, tmp_path, select={"name": STEADY}) as life:
            await life.until(5)
            assert len(with_pods(life)) == 6
            refused = next(iter(life.daemon.accounts.monitors["eu"].workloads.values())).workload
            path = f"/workloads/{refused.id}/protons/{refused.proton_id}/statusDetails" if one else STATUS_DETAILS
            simulator.odd = {f"{oddity}@{path}"}
            for minute in range(6, 40):
                await life.until(minute)
                assert value(life, "api_up") == 1
                last = value(life, "sweep_last_success_timestamp_seconds", lane="status") or 0.0
                assert life.time.wall - last <= 31.0
                missing = 1 if one else 6
                assert len(with_pods(life)) >= 6 - missing
            assert value(life, "sweeps_total", lane="status") == 2 * 39
            assert value(life, "detail_look_failures_total", part="pods", reason=reason)
            assert refused.name not in with_pods(life)
            assert len(with_pods(life)) == 6 - missing
            until = value(life, "api_paused_until_timestamp_seconds", endpoint=STATUS_DETAILS) or 0.0
            lines = [record for record in caplog.records if record.message == "API refuses requests, paused"]
            if not one:
                assert 0.0 < until - life.time.wall <= 300.0
                assert [line.__dict__["fields"]["endpoint"] for line in lines] == [STATUS_DETAILS]
            elif oddity == "unavailable-seconds":
                assert (until, lines) == (0.0, [])  # the route is not paused

    with caplog.at_level(logging.INFO, "exporter"), Simulator(workloads=40, clock=lambda: START) as simulator:
        asyncio.run(live(simulator))
