"""docs/probing.md as it stands: Prometheus discovers the demo's endpoints, a blackbox_exporter probes them."""

import json
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.components import component
from tests.e2e.test_prometheus import eventually, free_port, stop

pytestmark = pytest.mark.real
PAGE = Path(__file__).parent.parent.parent / "docs" / "probing.md"


def block(name: str) -> Any:
    """The settings of a fenced block of the page."""
    found = re.search(rf"```yaml {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    prometheus, blackbox = component("prometheus"), component("prometheus-blackbox-exporter")
    ours, theirs, prober, api = (free_port() for _ in range(4))
    modules, config = block("blackbox"), block("prometheus")
    (tmp_path / "token").write_text("demo-token")
    modules["modules"]["workload"]["http"]["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / "blackbox.yml").write_text(json.dumps(modules))
    text = json.dumps(config).replace("10142", str(ours)).replace("9115", str(prober))
    text = text.replace('"scrape_interval": "1m"', '"scrape_interval": "1s", "scrape_timeout": "1s"')
    text = text.replace("/sd", '/sd", "refresh_interval": "1s', 1)
    (tmp_path / "prometheus.yml").write_text(text)
    commands = (
        [
            *(sys.executable, "-m", "exporter", "demo", f"--web.listen-address=127.0.0.1:{ours}"),
            *(f"--demo.api-address=127.0.0.1:{api}", "--demo.workloads=12"),
        ],
        [blackbox, f"--config.file={tmp_path / 'blackbox.yml'}", f"--web.listen-address=127.0.0.1:{prober}"],
        [
            *(prometheus, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"),
            f"--web.listen-address=127.0.0.1:{theirs}",
        ],
    )

    def probed() -> Any:
        query = {"query": 'probe_success{workload="saturated-autoscaler-7"}'}
        answer = httpx.get(f"http://127.0.0.1:{theirs}/api/v1/query", params=query, trust_env=False).json()
        return [row["metric"] for row in answer["data"]["result"] if row["value"][1] == "1"]

    with ExitStack() as stack:
        logs = [stack.enter_context((tmp_path / f"{n}.log").open("wb")) for n in range(3)]
        processes = [
            subprocess.Popen(command, stderr=log, stdout=log) for command, log in zip(commands, logs, strict=True)
        ]
        try:
            told = eventually(probed, 60)
        finally:
            for process in processes:
                stop(process)
    assert told, "".join((tmp_path / f"{n}.log").read_text()[-1500:] for n in range(3))
    assert told[0]["account"] == "demo"
    assert re.fullmatch("[0-9a-f]{24}", told[0]["workload_id"])
