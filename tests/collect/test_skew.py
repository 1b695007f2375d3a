"""The API's clock against ours, from the Date headers of sweeps to the metric."""

import pytest

from tests.stage import Stage, played, simulated


def shown(stage: Stage) -> float | None:
    return stage.report.registry.get_sample_value("datarobot_exporter_api_clock_offset_seconds", {"account": "acme"})


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 3.0, -3.0, 0.0])
def test_the_offset_of_the_api_is_a_metric_to_the_second(ahead: float) -> None:
    async def play(stage: Stage) -> None:
        assert shown(stage) is None
        stage.ahead = ahead
        await stage.run(30.0)
        assert shown(stage) == pytest.approx(ahead, abs=1.0)

    simulator = simulated(3)
    played(play, simulator, latency=0.4)


def test_a_clock_of_the_api_that_is_set_back_is_followed_within_twenty_sweeps_of_one_page() -> None:
    async def play(stage: Stage) -> None:
        stage.ahead = 60.0
        await stage.run(1000.0)
        stage.ahead = -5.0
        await stage.run(1600.0)
        assert shown(stage) == pytest.approx(-5.0, abs=1.0)

    simulator = simulated(3)
    played(play, simulator)
