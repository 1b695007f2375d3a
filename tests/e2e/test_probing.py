"""docs/probing.md as it stands: Prometheus discovers the demo's endpoints, a blackbox_exporter probes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.components import component
from tests.e2e.servers import demo, eventually, free_port, prometheus, running

pytestmark = pytest.mark.real
PAGE = Path(__file__).parent.parent.parent / "docs" / "probing.md"


def block(name: str) -> Any:
    """The settings of a fenced block of the page."""
    found = re.search(rf"```yaml {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    blackbox = component("prometheus-blackbox-exporter")
    ours, prober, api = free_port(), free_port(), free_port()
    modules, config = block("blackbox"), block("prometheus")
    (tmp_path / "token").write_text("demo-token")
    modules["modules"]["workload"]["http"]["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / "blackbox.yml").write_text(json.dumps(modules))
    text = json.dumps(config).replace("10142", str(ours)).replace("9115", str(prober))
    text = text.replace('"scrape_interval": "1m"', '"scrape_interval": "1s", "scrape_timeout": "1s"')
    text = text.replace("/sd", '/sd", "refresh_interval": "1s', 1)
    with (
        demo(tmp_path, ours, f"--demo.api-address=127.0.0.1:{api}", "--demo.workloads=12"),
        running(
            tmp_path / "blackbox.log",
            *(blackbox, f"--config.file={tmp_path / 'blackbox.yml'}", f"--web.listen-address=127.0.0.1:{prober}"),
        ),
        prometheus(tmp_path, json.loads(text)) as server,
    ):
        series = eventually(lambda: server.query('probe_success{workload="saturated-autoscaler-7"} == 1'), 60)
    assert series, "".join(file.read_text()[-1500:] for file in tmp_path.glob("*.log"))
    assert series[0]["metric"]["account"] == "demo"
    assert re.fullmatch("[0-9a-f]{24}", series[0]["metric"]["workload_id"])
