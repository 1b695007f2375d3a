"""The stack of deploy/compose.yaml without containers: the very configuration files, with real programs on loopback."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import http
from tests.components import component
from tests.e2e.servers import demo, eventually, free_port, prometheus, running

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[str]:
    """A real Alertmanager with this configuration; its address."""
    port, log = free_port(), folder / "alertmanager.log"
    arguments = (f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    program = component("prometheus-alertmanager")
    with running(log, program, *arguments, f"--web.listen-address=127.0.0.1:{port}"):
        address = f"127.0.0.1:{port}"
        url = f"http://{address}/-/ready"
        assert eventually(lambda: http.get(url).status_code == 200, 60), log.read_text()[-2000:]
        yield address


TARGET = {
    "namespace": "datarobot-exporter", "pod": "workload-exporter-0", "service": "workload-exporter",
    "container": "exporter", "endpoint": "metrics", "job": "workload-exporter",
}  # fmt: skip
"""The labels that the operator attaches to our target."""
OURS = {"container": "datarobot_container_restarts_total", "endpoint": "datarobot_exporter_api_requests_total"}
"""Labels of ours that have the same names, each with a family that has it."""


def by_the_operator(address: str, **endpoint: Any) -> dict[str, Any]:
    """The scrape job that the Prometheus operator makes of the ServiceMonitor, of which `endpoint` is overridden."""
    monitor = yaml.safe_load((ROOT / "deploy/kubernetes/servicemonitor.yaml").read_text())
    job = monitor["spec"]["endpoints"][0] | endpoint
    names = {"targetLabel": "target_label"}
    return {
        "job_name": "serviceMonitor/datarobot-exporter/workload-exporter/0",
        "honor_labels": job.get("honorLabels", False),
        "static_configs": [{"targets": [address], "labels": TARGET}],
        "relabel_configs": [{names.get(name, name): rule[name] for name in rule} for rule in job["relabelings"]],
    }


@pytest.mark.real
@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param({}, id="as it is"),
        pytest.param(
            {"relabelings": [{"targetLabel": "job", "replacement": "datarobot"}]},
            id="by honorLabels alone",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param({"honorLabels": False}, id="overrideHonorLabels", marks=pytest.mark.exhaustive),
    ],
)
def test_the_labels_that_the_operator_attaches_take_the_place_of_none_of_ours(
    tmp_path: Path, endpoint: dict[str, Any]
) -> None:
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "alerts/rules.yml")],
        "scrape_configs": [by_the_operator(f"127.0.0.1:{port}", **endpoint)],
    }
    with demo(tmp_path, port), prometheus(tmp_path, config) as server:
        restarts = OURS["container"]
        assert eventually(lambda: server.query(f'{restarts}{{job="datarobot"}}'), 60)

        def values(label: str, family: str) -> set[str]:
            return {each["metric"].get(label, "") for each in server.query(f"count by ({label}) ({family})")}

        shown = {label: values(label, family) for label, family in OURS.items()}
        page = http.get(f"http://127.0.0.1:{port}/metrics").text
        for label, family in OURS.items():
            ours = set(re.findall(rf'^{family}{{.*\b{label}="([^"]*)"', page, re.MULTILINE))
            assert shown[label] <= ours
            assert TARGET[label] not in ours
        assert values("pod", restarts) == {TARGET["pod"]}
        assert server.query('{__name__=~"datarobot_.+", exported_container!=""}') == []
        # About a container of a workload: its rule selects job="datarobot" and sums over containers.
        fires = 'ALERTS{alertname="DataRobotContainerOOMKilled"}'
        assert eventually(lambda: server.query(fires), 150)


@pytest.mark.real
def test_alerts_of_the_demo_fleet_arrive_at_alertmanager(tmp_path: Path) -> None:
    port = free_port()
    shutil.copy(ROOT / "alerts/rules.yml", tmp_path / "rules.yml")
    with demo(tmp_path, port), alertmanager(tmp_path, ROOT / "deploy/alertmanager.yml") as address:
        text = (ROOT / "deploy/prometheus.yml").read_text()
        config = yaml.safe_load(text.replace("alertmanager:9093", address))
        (job,) = config["scrape_configs"]
        del job["dns_sd_configs"]  # names of containers; without them, no name server knows 127.0.0.1
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"], "labels": {"__meta_dns_name": "exporter"}}]

        def arrived() -> set[str]:
            alerts: Any = json.loads(http.get(f"http://{address}/api/v2/alerts").content)
            assert {receiver["name"] for alert in alerts for receiver in alert["receivers"]} <= {"none"}
            return {alert["labels"]["alertname"] for alert in alerts}

        with prometheus(tmp_path, config) as server:
            # One that always fires, and one about a workload that fires at once.
            wanted = {"DataRobotWatchdog", "DataRobotContainerOOMKilled"}
            assert eventually(lambda: wanted <= arrived(), 150), arrived()
            ours = 'datarobot_workload_info{job="datarobot", instance="exporter:10142"}'
            assert eventually(lambda: server.value(f"count({ours})"), 30)  # a scrape may fail
