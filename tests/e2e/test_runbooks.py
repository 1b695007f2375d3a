"""Every command and every query of every runbook, run as it stands against the demo and a real Prometheus."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from exporter.runbooks.page import RUNBOOKS, page
from exporter.runbooks.parts import READY
from tests.components import component
from tests.e2e.servers import Prometheus, demo, eventually, free_port, prometheus
from tests.receivers import HttpReceiver

pytestmark = pytest.mark.real


class Scene(NamedTuple):
    prometheus: Prometheus
    environment: dict[str, str]
    workload_id: str
    config: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    component("curl")
    folder = tmp_path_factory.mktemp("runbooks")
    port, api = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATAROBOT_ENDPOINT": f"http://127.0.0.1:{api}/api/v2",
        "DATAROBOT_API_TOKEN": "demo-token",
    }
    fleet = (f"--demo.api-address=127.0.0.1:{api}", "--demo.workloads=40")
    settings = folder / "exporter.yaml"
    with demo(folder, port, *fleet), prometheus(folder, config) as server, HttpReceiver() as receiver:
        paging = {"who": "direct", "receivers": [{"name": "on-call", "kind": "webhook", "url": receiver.url}]}
        settings.write_text(yaml.safe_dump({"paging": paging}))
        environment["RECEIVER"] = "on-call"
        crashed = eventually(lambda: server.query('datarobot_container_last_exit_code{workload=~"crash-loop.*"}'), 60)
        assert crashed, (folder / "demo.log").read_text()
        environment["EXPORTER"] = f"http://127.0.0.1:{port}"
        yield Scene(server, environment, crashed[0]["metric"]["workload_id"], settings)


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [dedent(block) for _, block in found]


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_the_commands_of_a_page_run(scene: Scene, alert: Any) -> None:
    script = "\n".join(blocks(page(alert), "bash"))
    script = script.replace("WORKLOAD_ID=... ", f"WORKLOAD_ID={scene.workload_id} ")
    script = re.sub("^export EXPORTER=.*", "", script, flags=re.MULTILINE)
    script = re.sub("^export CONFIG=.*", f"export CONFIG={scene.config}", script, flags=re.MULTILINE)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=scene.environment, capture_output=True, check=False, text=True
    )
    assert ran.returncode == 0, (script, ran.stdout[-500:], ran.stderr[-1000:])
    assert ran.stdout or not script


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_the_queries_of_a_page_are_answered(scene: Scene, alert: Any) -> None:
    for query in blocks(page(alert), "promql"):
        scene.prometheus.query(query.replace("WORKLOAD_ID", scene.workload_id).replace("ACCOUNT", "demo"))


def test_a_query_for_several_families_shows_each_of_them(scene: Scene) -> None:
    """``or`` would show the first alone: their labels are the same."""
    found = scene.prometheus.query(READY.query.replace("WORKLOAD_ID", scene.workload_id))
    assert {series["metric"]["__name__"].removeprefix("datarobot_") for series in found} == {
        "proton_replicas_ready", "proton_replicas_live", "workload_replicas_min", "workload_replicas_max"
    }  # fmt: skip


def test_the_queries_about_a_crash_show_it(scene: Scene) -> None:
    """Not only answered: they show what the page promises."""
    query = RUNBOOKS["DataRobotContainerCrashLooping"].checks[0].query
    found = scene.prometheus.query(query.replace("WORKLOAD_ID", scene.workload_id))
    assert [series["value"][1] for series in found] == ["1"]
