"""A real Prometheus scrapes the demo: what it stores is what the fleet does."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.components import component

pytestmark = pytest.mark.real


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(told: Callable[[], Any], seconds: float) -> Any:
    """Poll until `told` is truthy. A process of another makes the progress, so only the clock can be waited for."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = told()
        except httpx.TransportError:
            value = None
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.1)


class Scene(NamedTuple):
    exporter: str
    prometheus: str
    api: str

    def told(self, workload: str) -> str:
        """The status of a workload as the simulated API tells it now."""
        answer = httpx.get(
            f"{self.api}/api/v2/workloads/",
            params={"search": workload, "limit": "100"},
            headers={"authorization": "Bearer demo-token"},
            trust_env=False,
        )
        status: str = next(item["status"] for item in answer.json()["data"] if item["name"] == workload)
        return status

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}, trust_env=False).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=20)


INTERVAL = 2.0
RULES = Path(__file__).parent.parent.parent / "alerts" / "rules.yml"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    prometheus = component("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    ours, theirs, api = free_port(), free_port(), free_port()
    (folder / "exporter.yaml").write_text(f"sweep: {{interval: {INTERVAL:g}s, stale_after: 1m}}\n")
    job = {"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{ours}"]}]}
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
                "rule_files": [str(RULES)],
                "scrape_configs": [job],
            }
        )
    )
    with ExitStack() as stack:
        logs = {name: stack.enter_context((folder / f"{name}.log").open("wb")) for name in ("demo", "prometheus")}
        demo = subprocess.Popen(
            [
                *(sys.executable, "-m", "exporter", "demo", f"--config.file={folder / 'exporter.yaml'}"),
                *(f"--web.listen-address=127.0.0.1:{ours}", f"--demo.api-address=127.0.0.1:{api}"),
                *("--demo.workloads=30", "--demo.speed=120"),
            ],
            stderr=logs["demo"],
        )
        server = subprocess.Popen(
            [
                *(prometheus, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
                f"--web.listen-address=127.0.0.1:{theirs}",
            ],
            stderr=logs["prometheus"],
        )
        made = Scene(f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{theirs}", f"http://127.0.0.1:{api}")
        try:
            ready = eventually(lambda: made.value('up{job="datarobot"}') == 1, 60)
            assert ready, (folder / "demo.log").read_text() + (folder / "prometheus.log").read_text()[-2000:]
            yield made
        finally:
            statuses = [stop(demo), stop(server)]
        assert statuses[0] == 0, (folder / "demo.log").read_text()


def test_the_whole_fleet_is_there(scene: Scene) -> None:
    assert eventually(lambda: (scene.value("count(datarobot_workload_info)") or 0) >= 29, 20)
    assert scene.value("sum(datarobot_workload_status)") == scene.value("count(datarobot_workload_info)")
    assert scene.value("datarobot_exporter_api_up") == 1


def test_a_state_change_of_a_story_arrives_within_two_intervals(scene: Scene) -> None:
    """From the moment at which the API tells that a crashing workload runs, to the moment at which PromQL says so."""
    assert eventually(lambda: scene.told("crash-loop-1") != "running", 60)
    assert eventually(lambda: scene.told("crash-loop-1") == "running", 60)
    began = time.monotonic()
    running = 'datarobot_workload_status{workload="crash-loop-1",status="running"} == 1'
    assert eventually(lambda: scene.query(running), 20)
    assert time.monotonic() - began <= 2 * INTERVAL


def test_the_sweep_metrics_are_right(scene: Scene) -> None:
    assert eventually(lambda: (scene.value("rate(datarobot_exporter_sweeps_total[10s])") or 0) > 0.5, 30)
    assert (scene.value("time() - datarobot_exporter_sweep_last_success_timestamp_seconds") or 99) < 5
    assert scene.value("sum(datarobot_exporter_sweep_failures_total)") == 0


def test_every_alert_rule_is_evaluated_without_an_error(scene: Scene) -> None:
    def groups() -> Any:
        told = httpx.get(f"{scene.prometheus}/api/v1/rules", trust_env=False).json()["data"]["groups"]
        rules = [rule for group in told for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = eventually(groups, 30)
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    important = 'ALERTS{alertname="DataRobotWorkloadErrored",workload="crash-loop-1"}'
    assert eventually(lambda: scene.query(important), 60)  # pending, while its story lets it crash
    assert scene.query('ALERTS{alertname="DataRobotWorkloadErrored",workload="healthy-0"}') == []


def test_promtool_has_no_remark(scene: Scene) -> None:
    promtool = component("promtool")
    page = httpx.get(f"{scene.exporter}/metrics", trust_env=False).content
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
