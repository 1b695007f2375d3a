"""One picture, drawn with Grafana's own components: a smoke test of `make pictures`.

It downloads 400 MB of npm packages. In every run, test_queries.py requires data of the queries of all panels.
"""

import os
from pathlib import Path

import pytest

from dashboards.pictures.__main__ import HERE, bundled, draw
from tests.components import component
from tests.e2e.servers import Prometheus


@pytest.mark.real
@pytest.mark.exhaustive
def test_the_fleet_dashboard_is_drawn_without_errors(bad: Prometheus, tmp_path: Path) -> None:
    """Every panel has data, no chart is blank, and every unit is known to Grafana."""
    for name in ("node", "npm", "chromium"):
        component(name)
    if not (HERE / "node_modules").exists() and os.environ.get("CI") != "true":
        # CI downloads them and always runs this test.
        pytest.skip("the npm packages are not installed: run `make pictures`, which downloads about 400 MB")
    picture = tmp_path / "fleet.png"
    assert draw("fleet", bad, bundled(tmp_path), picture) == []
    assert picture.stat().st_size > 50_000
