"""A real Prometheus scrapes the demo: what it stores is what the fleet does."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests import http
from tests.components import component
from tests.e2e.servers import Prometheus, demo, eventually, free_port, prometheus

pytestmark = pytest.mark.real
INTERVAL = 2.0
SCRAPE_INTERVAL = 1.0
"""It is also the timeout: on a busy machine, a page of half a second is not rare."""
RULES = Path(__file__).parent.parent.parent / "alerts" / "rules.yml"


class Scene(NamedTuple):
    exporter: str
    prometheus: Prometheus
    api: str

    def status(self, workload: str) -> str:
        """The status of a workload as the simulated API reports it now."""
        answer = httpx.get(
            f"{self.api}/api/v2/workloads/",
            params={"search": workload, "limit": "100"},
            headers={"authorization": "Bearer demo-token"},
            trust_env=False,
        )
        status: str = next(item["status"] for item in answer.json()["data"] if item["name"] == workload)
        return status

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.prometheus.query(expression)

    def value(self, expression: str) -> float | None:
        return self.prometheus.value(expression)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("prometheus")
    port, api = free_port(), free_port()
    (folder / "exporter.yaml").write_text(f"sweep: {{interval: {INTERVAL:g}s, stale_after: 1m}}\n")
    config = {
        "global": {"scrape_interval": f"{SCRAPE_INTERVAL:g}s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    fleet = (
        *(f"--config.file={folder / 'exporter.yaml'}", f"--demo.api-address=127.0.0.1:{api}"),
        *("--demo.workloads=30", "--demo.speed=120"),
    )
    with demo(folder, port, *fleet), prometheus(folder, config) as server:
        made = Scene(f"http://127.0.0.1:{port}", server, f"http://127.0.0.1:{api}")
        assert eventually(lambda: made.value('up{job="datarobot"}') == 1, 60), (folder / "demo.log").read_text()
        yield made


def test_the_whole_fleet_is_there(scene: Scene) -> None:
    # One query for both counts: between two, a scrape may fail.
    counts = "sum(datarobot_workload_status) == count(datarobot_workload_info) >= 29"
    assert eventually(lambda: scene.query(counts), 30)
    assert eventually(lambda: scene.value("datarobot_exporter_api_up") == 1, 30)


def test_a_state_change_of_a_story_arrives_within_two_sweeps_and_a_scrape(scene: Scene) -> None:
    """From the moment at which the API reports a crashing workload as running, to the moment at which PromQL does."""
    assert eventually(lambda: scene.status("crash-loop-1") != "running", 60)
    assert eventually(lambda: scene.status("crash-loop-1") == "running", 60)
    began = time.monotonic()
    running = 'datarobot_workload_status{workload="crash-loop-1",status="running"} == 1'
    assert eventually(lambda: scene.query(running), 20)
    assert time.monotonic() - began <= 2 * INTERVAL + SCRAPE_INTERVAL


def test_the_sweep_metrics_are_right(scene: Scene) -> None:
    rate = "rate(datarobot_exporter_sweeps_total[20s])"
    assert eventually(lambda: 0.5 / INTERVAL < (scene.value(rate) or 0) < 1.5 / INTERVAL, 60)
    age = "time() - datarobot_exporter_sweep_last_success_timestamp_seconds"
    assert eventually(lambda: (scene.value(age) or 99) < 5, 30)
    assert eventually(lambda: scene.value("sum(datarobot_exporter_sweep_failures_total)") == 0, 30)


def test_every_alert_rule_is_evaluated_without_an_error(scene: Scene) -> None:
    def groups() -> Any:
        groups = scene.prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = eventually(groups, 30)
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    # It is pending while its story lets it crash. The wait of other alerts is in their condition: they are not pending.
    crashing = 'ALERTS{alertname="DataRobotContainerCrashLooping",workload="%s"}'
    assert eventually(lambda: scene.query(crashing % "crash-loop-1"), 60)
    assert scene.query(crashing % "healthy-0") == []


def test_promtool_has_no_remark(scene: Scene) -> None:
    promtool = component("promtool")
    page = http.get(f"{scene.exporter}/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
