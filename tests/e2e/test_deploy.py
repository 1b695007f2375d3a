"""The stack of deploy/compose.yaml without containers: the very configuration files, with real programs on loopback."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.components import component
from tests.e2e.servers import demo, eventually, free_port, prometheus, running

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[str]:
    """A real Alertmanager with this configuration; its address."""
    port, log = free_port(), folder / "alertmanager.log"
    told = (f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    program = component("prometheus-alertmanager")
    with running(log, program, *told, f"--web.listen-address=127.0.0.1:{port}"):
        address = f"127.0.0.1:{port}"
        url = f"http://{address}/-/ready"
        assert eventually(lambda: httpx.get(url, trust_env=False).status_code == 200, 60), log.read_text()[-2000:]
        yield address


@pytest.mark.real
def test_what_holds_of_the_demo_fleet_arrives_at_alertmanager(tmp_path: Path) -> None:
    port = free_port()
    shutil.copy(ROOT / "alerts/rules.yml", tmp_path / "rules.yml")
    with demo(tmp_path, port), alertmanager(tmp_path, ROOT / "deploy/alertmanager.yml") as address:
        text = (ROOT / "deploy/prometheus.yml").read_text()
        config = yaml.safe_load(
            text.replace("exporter:10142", f"127.0.0.1:{port}").replace("alertmanager:9093", address)
        )

        def arrived() -> set[str]:
            told: Any = json.loads(httpx.get(f"http://{address}/api/v2/alerts", trust_env=False).content)
            assert {receiver["name"] for alert in told for receiver in alert["receivers"]} <= {"nobody"}
            return {alert["labels"]["alertname"] for alert in told}

        with prometheus(tmp_path, config) as server:
            # One that always fires, and one about a workload that fires at once.
            wanted = {"DataRobotWatchdog", "DataRobotContainerOOMKilled"}
            assert eventually(lambda: wanted <= arrived(), 150), arrived()
            assert server.value('count(datarobot_workload_info{job="datarobot"})') is not None
