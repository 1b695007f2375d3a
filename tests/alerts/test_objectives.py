"""Recording rules compute the ratio and the budget of objectives as the exporter does, over simulated days."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.alerting.recording import BUDGET, RATIO, recording_rules
from exporter.api.models import Workload
from exporter.fleet.ledger import Ledger
from exporter.fleet.objective_counts import ObjectiveCounts, RequestCount, with_ready, with_requests
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import NO_DETAILS, WorkloadState
from exporter.metrics.family import view
from exporter.metrics.objective_families import OBJECTIVES
from tests.components import component

pytestmark = pytest.mark.real
DAY, STEP, POLL = 86400, 300, 600


class Story(NamedTuple):
    """What a workload does for `days`: requests in ten minutes at each hour of the day, and outages.

    `outages`: hours since the start -> share of requests with server errors in that hour; without a ready replica.
    `begin`: the start, in seconds since the epoch.
    """

    days: int
    window: float
    outages: dict[int, float]
    begin: float = 0.0

    def states(self) -> Iterator[WorkloadState]:
        """The state at each scrape."""
        objective = Objective(availability=0.99, readiness=0.98, latency=0.9, slower=1.0, window=self.window)
        counts: ObjectiveCounts | None = None
        for at in range(POLL, self.days * DAY + 1, STEP):
            now = self.begin + at
            if at % POLL == 0:
                hour = (at - 1) // 3600
                requests = 1000 + 50 * (hour % 24)
                share = self.outages.get(hour, 0.001)
                new = RequestCount(0.0, now, requests, round(requests * share), requests // (20 - hour % 7))
                counts = with_requests(counts, new, now, objective)
                counts = with_ready(counts, hour not in self.outages, now, objective)
            yield WorkloadState(
                "acme", Workload(id="w"), Ledger(0.0, 0.0, objectives=counts), NO_DETAILS, objective=objective
            )


def series(story: Story) -> dict[str, list[str]]:
    """The values of each series of the workload at each scrape."""
    found: dict[str, list[str]] = {}
    for number, state in enumerate(story.states(), POLL // STEP):
        for family in OBJECTIVES:
            for labels, value in family.samples(view(state)):
                more = [f'{name}="{of}"' for name, of in zip(family.labels, labels, strict=True)]
                text = ", ".join(['job="datarobot"', 'account="acme"', 'workload="n"', 'workload_id="w"', *more])
                values = found.setdefault(f"{family.name}{{{text}}}", [])
                values += ["_"] * (number - len(values))
                values.append(f"{value:.12g}")
    return found


@pytest.mark.parametrize(
    "story",
    [
        Story(9, 7 * DAY, {36: 0.5, 37: 0.5, 100: 0.2}),
        pytest.param(Story(31, 28 * DAY, {36: 0.5, 300: 1.0, 301: 1.0, 302: 0.4}), marks=pytest.mark.exhaustive),
    ],
    ids=["a week", "a month"],
)
def test_prometheus_and_the_exporter_agree_on_ratio_and_budget(story: Story, tmp_path: Path) -> None:
    """Within one percent, unless what was bad is in the same eight hours as the start of the window."""
    rules = tmp_path / "rules.json"
    groups = [{"name": "g", "rules": [*recording_rules('job="datarobot"', [story.window])]}]
    rules.write_text(json.dumps({"groups": groups}))
    days = range(1, story.days + 1)
    name = f"{story.window // DAY:.0f}d"
    checks = [
        {
            "expr": f"count(abs({recorded}:{name} - on (account, workload_id, objective) {own}) < 0.01)",
            "eval_time": f"{day}d",
            "exp_samples": [{"labels": "{}", "value": 3}],
        }
        for day in days
        for recorded, own in (
            (RATIO, "datarobot_workload_objective_ratio"),
            (BUDGET, "datarobot_workload_objective_budget_remaining_ratio"),
        )
    ]
    values = [{"series": name, "values": " ".join(each)} for name, each in series(story).items()]
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1h",
        "tests": [{"interval": f"{STEP}s", "input_series": values, "promql_expr_test": checks}],
    }
    file = tmp_path / "test.json"
    file.write_text(json.dumps(test))
    ran = subprocess.run(
        [component("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]


def test_without_a_sample_at_the_start_of_the_window_nothing_is_recorded_unless_counting_began_later(
    tmp_path: Path,
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [*recording_rules("", [7 * DAY])]}]}))
    labels = 'account="acme", workload="n"'
    totals = {"workload_requests_total": "1024+0x20", "workload_server_errors_total": "128+0x20"}
    common = {
        "workload_objective_window_seconds": f"{7 * DAY}+0x20",
        'workload_objective_target_ratio{objective="availability", ': "0.75+0x20",
    }
    values = []
    for workload, since in (("new", -DAY), ("old", -30 * DAY)):
        more = {"workload_objective_since_timestamp_seconds": f"{since}+0x20"}
        for metric, text in {**totals, **common, **more}.items():
            name, brace, rest = metric.partition("{")
            values.append(
                {"series": f'datarobot_{name}{brace or "{"}{rest}{labels}, workload_id="{workload}"}}', "values": text}
            )
    expected = [{"labels": f'{BUDGET}:7d{{account="acme", workload_id="new", objective="availability"}}', "value": 0.5}]
    checks = [{"expr": f"{BUDGET}:7d", "eval_time": "10m", "exp_samples": expected}]
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": values, "promql_expr_test": checks}],
    }
    file = tmp_path / "test.json"
    file.write_text(json.dumps(test))
    ran = subprocess.run(
        [component("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
