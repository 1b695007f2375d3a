"""Two exporters report different labels of a workload, as while one replaces the other: no query counts it twice."""

import re
from collections.abc import Iterator

import pytest

from tests import promql
from tests.dashboards.files import EVERY_TARGET, Target, variables
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus

pytestmark = pytest.mark.real
NOW = 1_795_000_000.0
IDS = 'account="acme",workload="churn",workload_id="w1"'
JOINED = [target for target in EVERY_TARGET if re.search(r"group_left \(\w", target.expr)]
"""Queries that take labels of another metric."""


def _page(team: str, bundle: str, kind: str) -> str:
    values = {
        'cost_per_hour{currency="EUR"': 2.0,
        'waste_per_month{currency="EUR",reason="oversized"': 100.0,
        'status{status="running"': 1.0,
        'status{status="errored"': 1.0,
        'importance{importance="high"': 1.0,
        "objective_window_seconds{": 2419200.0,
        f'info{{workload_type="{kind}"': 1.0,
        f'tags{{tag_team="{team}"': 1.0,
        f'bundle_info{{bundle_id="{bundle}",gpu_maker="",gpu_type=""': 1.0,
        f'sizing_info{{finding="oversized",fitting_bundle_id="{bundle}.small"': 1.0,
        'week_usage_ratio{quantile="0.95",resource="cpu"': 0.1,
        'week_usage_ratio{quantile="0.95",resource="memory"': 0.1,
        'week_usage_ratio{quantile="1",resource="memory"': 0.1,
    }
    lines = []
    for series, value in values.items():
        name, _, labels = series.partition("{")
        lines.append(f"datarobot_workload_{name}{{{IDS}{',' if labels else ''}{labels}}} {value}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    pages = Pages()
    for instance, at, labels in (("a", NOW - 20, ("old", "cpu", "service")), ("b", NOW, ("new", "gpu", "nim"))):
        pages.add(_page(*labels), at, f'job="datarobot",instance="{instance}"')
    with filled(tmp_path_factory.mktemp("two"), pages) as server:
        yield server


@pytest.mark.parametrize("target", JOINED, ids=lambda target: target.place)
def test_a_join_takes_the_latest_labels_and_counts_a_workload_once(prometheus: Prometheus, target: Target) -> None:
    everything = {name: variable.get("allValue") or ".+" for name, variable in variables(target.uid).items()}
    rows = prometheus.query(promql.filled_in(target.expr, everything | {"tag": "team"}), NOW)
    assert len(rows) == 1
    labels = set(rows[0]["metric"].values())
    assert not labels & {"old", "cpu", "cpu.small", "service"}
    assert labels & {"new", "gpu", "gpu.small", "nim", "high", "oversized"}
