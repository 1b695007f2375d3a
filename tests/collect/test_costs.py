"""Costs and forecasts of a fleet that is monitored in virtual time."""

from typing import Any

import pytest

from exporter.collect.account_monitor import Plan
from exporter.fleet.workload_state import Costs
from exporter.simulator.stories import FOREVER, Story, StoryStep, starting
from tests.stage import START, Stage, played, simulated

COSTS = Costs("USD", {"cpu.medium": 0.5, "cpu.typo": 0.1}, min_history=0.0)
HEALTHY = Story("healthy", "a healthy service", (StoryStep(FOREVER, "running"),))
UNUSED = Story("unused", "a service without requests", (StoryStep(FOREVER, "running"),), requests=0)
NEW = Story(
    "new",
    "a workload that is created after 80 seconds",
    (StoryStep(4000, "running", listed=False), *starting(), StoryStep(FOREVER, "running")),
    once=True,
    young=True,
    rounds_ids=True,
)


def series(stage: Stage, name: str) -> dict[str, str]:
    """The values of a family by the name of the workload, or by the last label."""
    found = {}
    for line, value in stage.samples().items():
        if line.startswith(f"datarobot_{name}{{"):
            labels = dict(each.split("=", 1) for each in line.partition("{")[2].rstrip("}").split(","))
            found[labels.get("workload", [*labels.values()][-1]).strip('"')] = value
    return found


def test_costs_follow_the_settings_and_a_price_for_no_bundle_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    simulator = simulated(2, stories=(HEALTHY, UNUSED))

    async def play(stage: Stage) -> None:
        await stage.run(240.0)
        assert series(stage, "workload_cost_per_hour") == {"healthy-0": "1.0", "unused-1": "1.0"}
        assert series(stage, "account_price_unused") == {"cpu.typo": "1.0"}
        assert series(stage, "workload_idle_since_timestamp_seconds").keys() == {"unused-1"}
        assert series(stage, "workload_waste_per_month") == {"unused-1": "730.0"}
        monitor, client = stage.monitor, stage.monitor.client
        plan = Plan(900.0, costs=COSTS._replace(bundles={"cpu.medium": 1.5, "cpu.typo": 0.1}))
        new = monitor.resumed(client, stage.report.account("acme", 30.0, 10.0), plan)
        stage.monitor = new
        assert series(stage, "workload_cost_per_hour") == {"healthy-0": "3.0", "unused-1": "3.0"}

    played(play, simulator, costs=COSTS)
    assert [record.fields for record in caplog.records if "costs.bundles" in record.message] == [  # type: ignore[attr-defined]  # the log adds it
        {"account": "acme", "bundle_id": "cpu.typo"}
    ]


def test_an_account_that_grows_is_full_when_its_trend_reaches_the_limit() -> None:
    simulator = simulated(20, stories=(NEW,))
    found: list[Any] = []

    async def play(stage: Stage) -> None:
        async def note() -> None:
            found.append(series(stage, "account_workloads_full_timestamp_seconds"))

        await stage.run(200.0, note)

    played(play, simulator, costs=COSTS)
    assert found[0] == {}
    (full,) = found[-1].values()
    assert START + 200 < float(full) < START + 600
