"""The catalogue of resource bundles, read from the simulator: which workloads use a bundle that is not offered."""

import pytest

from exporter.simulator import SimulatedApi
from tests.stage import Stage, played, simulated

ROUTE = "/mlops/compute/bundles"
OFFERED = "datarobot_workload_bundle_offered"


def not_offered(simulator: SimulatedApi) -> tuple[set[str], set[str]]:
    """The bundles of which samples are served, those that are not offered, after the catalogue was read."""
    found: list[tuple[set[str], set[str]]] = []

    async def play(stage: Stage) -> None:
        await stage.run(120.0)
        samples = {name: value for name, value in stage.samples().items() if name.startswith(OFFERED + "{")}
        named = {name: name.split('bundle_id="')[1].split('"')[0] for name in samples}
        count = [v for name, v in stage.samples().items() if name.startswith("datarobot_account_bundles_offered")]
        found.append((set(count), {named[name] for name, value in samples.items() if float(value) == 0}))

    played(play, simulator)
    return found[0]


@pytest.mark.parametrize(
    ("odd", "offered"),
    [
        (set(), ({"4.0"}, {"cpu.legacy"})),
        ({f"short-pages@{ROUTE}"}, ({"4.0"}, {"cpu.legacy"})),
        ({f"empty-list@{ROUTE}"}, ({"0.0"}, set())),
        ({f"never-ending@{ROUTE}"}, (set(), set())),
    ],
    ids=["as documented", "pages smaller than requested", "empty, which proves nothing", "without an end"],
)
def test_which_bundles_are_not_offered(odd: set[str], offered: tuple[set[str], set[str]]) -> None:
    simulator = simulated(60)
    simulator.odd = frozenset(odd)
    assert not_offered(simulator) == offered
