"""Objectives in a real Prometheus: the recorded ratio, budget and burn rate agree with the exporter's own account.

A history of pages is backfilled, and the shipped recording rules are evaluated over it, as after weeks of scraping.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from exporter.alerting.recording import BUDGET, RATIO
from exporter.alerting.rules import DEFAULT, rule_file
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.fleet.polling import Policy
from exporter.metrics.exposition import Exposition
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import HOUR, NOT_READY, Story, StoryStep
from tests.alerts import test_objectives
from tests.components import component
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus
from tests.one_story import OneStory
from tests.stage import START, Stage, played

pytestmark = pytest.mark.real
DAY, SCRAPE = 86400.0, 300.0
ROOT = Path(__file__).parent.parent.parent
PREFIX = "datarobot_workload_"
NAMES = frozenset(
    [
        *(f"{PREFIX}objective_{name}" for name in ("ratio", "target_ratio", "budget_remaining_ratio", "window_seconds",
          "burn_rate", "since_timestamp_seconds")),
        *(f"{PREFIX}{name}_total" for name in ("requests", "server_errors", "slow_requests", "ready_seconds",
          "down_seconds")),
    ]
)  # fmt: skip
BURNING = Story(
    "burning",
    "errors for two hours, later an hour without a ready replica, and again",
    (
        StoryStep(31 * HOUR, "running"),
        StoryStep(2 * HOUR, "running", server_errors=0.2),
        StoryStep(9 * HOUR, "running"),
        StoryStep(HOUR, "running", NOT_READY, serves=False),
    ),
    slow=0.03,
)
BAD = {"availability": "server_errors", "readiness": "down_seconds", "latency": "slow_requests"}
EVERYTHING = {"availability": ("requests",), "readiness": ("ready_seconds", "down_seconds"), "latency": ("requests",)}


class History(NamedTuple):
    """What was scraped until `end`, and objectives of `days`; `burn`: the windows of burn rates, by objective."""

    pages: Pages
    end: float
    days: int
    burn: tuple[tuple[str, str], ...]


def calculated() -> History:
    """Nine days of one workload, without the simulator."""
    pages, exposition, begin = Pages(NAMES), Exposition(), 1.7e9
    story = test_objectives.Story(9, 7 * DAY, {20: 0.5, 60: 0.5, 61: 0.5, 100: 0.2}, begin)
    for number, state in enumerate(story.states(), test_objectives.POLL // test_objectives.STEP):
        exposition.update([state])
        pages.add(exposition.text().decode(), begin + number * test_objectives.STEP, 'job="datarobot"')
    return History(pages, begin + 9 * DAY, 7, (("readiness", "1d"), ("readiness", "3d")))


def simulated() -> History:
    """A month of one workload, swept and polled from the simulator."""
    pages, simulator = Pages(NAMES), SimulatedApi(workloads=1)
    simulator.world = OneStory(BURNING)
    rows = (ObjectiveRow(Objective(availability=0.99, readiness=0.98, latency=0.95, slower=2.0)),)
    policy = Policy(status_interval=SCRAPE, interval=SCRAPE, quantiles=(0.5,))

    async def play(stage: Stage) -> None:
        async def scrape() -> None:
            pages.add(stage.page(), stage.wall, 'job="datarobot"')

        await stage.run(31 * DAY, scrape, interval=SCRAPE)

    played(play, simulator, interval=SCRAPE, policy=policy, objectives=rows)
    # The API reports windows of requests, long ones only of workloads with too many errors.
    burn = (("readiness", "1d"), ("readiness", "3d"), ("availability", "1h"), ("latency", "1h"))
    return History(pages, START + 31 * DAY, 28, burn)


@pytest.fixture(
    scope="module",
    params=[calculated, pytest.param(simulated, marks=pytest.mark.exhaustive)],
    ids=["nine days", "a month"],
)
def history(request: pytest.FixtureRequest) -> History:
    found: History = request.param()
    return found


def _objectives(days: int) -> Any:
    """The group of recording rules for objectives of `days`."""
    groups: Any = rule_file(DEFAULT._replace(objective_windows=(days * DAY,)))["groups"]
    (found,) = (group for group in groups if group["name"] == "datarobot-objectives")
    return found


@pytest.fixture(scope="module")
def prometheus(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("month")
    rules = folder / "rules.json"
    rules.write_text(json.dumps({"groups": [_objectives(history.days)]}))
    with filled(folder, history.pages, lookback="6m") as server:
        _record(folder, server, rules, history.end)
    # The budget is a rule over the recorded ratio: promtool writes it once that is stored.
    with filled(folder, Pages(), lookback="6m") as server:
        _record(folder, server, rules, history.end)
    with filled(folder, Pages(), lookback="6m") as server:
        yield server


def _record(folder: Path, server: Prometheus, rules: Path, end: float) -> None:
    """Evaluate the recording rules each hour of the last day, and store what they record."""
    ran = subprocess.run(
        [component("promtool"), "tsdb", "create-blocks-from", "rules", f"--start={end - DAY:.0f}", f"--end={end:.0f}",
         f"--url={server.url}", "--eval-interval=1h", f"--output-dir={folder / 'tsdb'}", str(rules)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]


def test_the_rules_of_a_month_are_those_that_are_shipped() -> None:
    shipped = yaml.safe_load((ROOT / "alerts" / "rules.yml").read_text())
    assert _objectives(28) in shipped["groups"]


@pytest.mark.parametrize(
    ("recorded", "own"),
    [(RATIO, f"{PREFIX}objective_ratio"), (BUDGET, f"{PREFIX}objective_budget_remaining_ratio")],
)
def test_what_prometheus_records_is_what_the_exporter_counts(
    history: History, prometheus: Prometheus, recorded: str, own: str
) -> None:
    name = f"{recorded}:{history.days}d"
    series = prometheus.query(f"{name}[1d]", history.end)
    assert sorted(row["metric"]["objective"] for row in series) == ["availability", "latency", "readiness"]
    times = [float(at) for at, _ in series[0]["values"]]
    assert len(times) >= 23
    for at in times[::6]:
        rows = prometheus.query(f"{name} - on (account, workload_id, objective) {own}", at)
        assert len(rows) == 3
        assert [row for row in rows if abs(float(row["value"][1])) > 0.01] == []


def test_the_share_behind_a_burn_rate_is_that_of_the_totals_in_prometheus(
    history: History, prometheus: Prometheus
) -> None:
    """Requests are counted ten minutes later than the API reports them in windows."""
    for objective, window in history.burn:
        bad = f"increase({PREFIX}{BAD[objective]}_total[{window}])"
        total = " + ".join(f"increase({PREFIX}{name}_total[{window}])" for name in EVERYTHING[objective])
        allowed = f'(1 - {PREFIX}objective_target_ratio{{objective="{objective}"}})'
        burn = f'{PREFIX}objective_burn_rate{{objective="{objective}", window="{window}"}}'
        query = f"({bad}) / ({total}) - on (account, workload_id) {burn} * on (account, workload_id) {allowed}"
        series = prometheus.query(query, history.end - 5 * HOUR)
        assert len(series) == 1, (objective, window)
        assert abs(float(series[0]["value"][1])) < 0.01, (objective, window)
