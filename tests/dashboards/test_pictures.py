"""One picture, drawn with Grafana's own components: the smoke test of what `make pictures` does."""

import os
from pathlib import Path

import pytest

from dashboards.pictures.__main__ import HERE, bundled, draw
from tests.components import component
from tests.e2e.servers import Prometheus


@pytest.mark.real
@pytest.mark.long
def test_the_fleet_is_drawn_without_a_complaint_of_grafana_s_components(bad: Prometheus, tmp_path: Path) -> None:
    """Every panel has something to show, no chart is blank, every unit is one of Grafana's."""
    for name in ("node", "npm", "chromium"):
        component(name)
    if not (HERE / "node_modules").exists() and os.environ.get("CI") != "true":
        pytest.skip("what draws the pictures is not installed: `make pictures` does it, and fetches some 400 MB")
    picture = tmp_path / "fleet.png"
    assert draw("fleet", bad, bundled(tmp_path), picture) == []
    assert picture.stat().st_size > 50_000
