"""What the collector of OpenTelemetry gets from a push equals what it gets from a scrape, sample by sample."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from exporter.simulator import Simulator
from tests import http
from tests.collector import built
from tests.e2e.servers import eventually, free_port, running
from tests.stage import START

pytestmark = [pytest.mark.real, pytest.mark.long]

Key = tuple[str, ...]


def attributes(given: list[dict[str, Any]]) -> Key:
    return tuple(sorted(f"{each['key']}={each['value'].get('stringValue')}" for each in given))


def value(point: dict[str, Any]) -> Any:
    if point.get("flags"):
        return "ended"
    if "bucketCounts" in point:
        return point.get("count", "0"), point.get("sum"), point["bucketCounts"], point["explicitBounds"]
    return point["asDouble"]


class Output:
    """What the collector wrote into a file until now: the last point of each series, by metric and attributes.

    A point is unit, description and type of the metric, and a value or ``ended``.
    """

    def __init__(self, file: Path) -> None:
        self.file, self._read, self._points = file, 0, dict[tuple[str, Key], tuple[Any, ...]]()

    def of(self, *prefixes: str) -> dict[tuple[str, Key], tuple[Any, ...]]:
        """The points of metrics with these names."""
        with self.file.open("rb") if self.file.exists() else io.BytesIO() as file:
            file.seek(self._read)
            for line in file:
                if line.endswith(b"\n"):  # it is written completely
                    self._read += len(line)
                    self._add(json.loads(line))
        return {key: value for key, value in self._points.items() if key[0].startswith(prefixes)}

    def _add(self, request: dict[str, Any]) -> None:
        scopes = (scope for resource in request["resourceMetrics"] for scope in resource["scopeMetrics"])
        for metric in (metric for scope in scopes for metric in scope["metrics"]):
            (kind,) = metric.keys() & {"gauge", "sum", "histogram", "summary"}
            data = metric[kind]
            meaning = metric.get("unit"), metric.get("description"), attributes(metric["metadata"])
            how = kind, data.get("isMonotonic"), data.get("aggregationTemporality")
            for point in data["dataPoints"]:
                key = metric["name"], attributes(point.get("attributes", []))
                self._points[key] = (*meaning, *how, value(point))


class Scene(NamedTuple):
    """A daemon, and what the collector gets by push and by scrape."""

    url: str
    settings: Path
    pushed: Output
    scraped: Output

    def change(self, **metrics: Any) -> None:
        given = yaml.safe_load(self.settings.read_text())
        given["metrics"] |= metrics
        self.settings.write_text(yaml.safe_dump(given))
        http.post(f"{self.url}/-/reload")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("collector")
    program, otlp, web = built(), free_port(), free_port()
    pushed, scraped = folder / "pushed.json", folder / "scraped.json"
    scrape = {
        "job_name": "workload-exporter",
        "scrape_interval": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{web}"]}],
    }
    config = {
        "receivers": {
            "otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{otlp}"}}},
            "prometheus": {"config": {"scrape_configs": [scrape]}},
        },
        "exporters": {"file/pushed": {"path": str(pushed)}, "file/scraped": {"path": str(scraped)}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "metrics/pushed": {"receivers": ["otlp"], "exporters": ["file/pushed"]},
                "metrics/scraped": {"receivers": ["prometheus"], "exporters": ["file/scraped"]},
            },
        },
    }
    (folder / "collector.yml").write_text(yaml.safe_dump(config))
    with Simulator(workloads=25, clock=lambda: START) as simulator:
        settings = folder / "exporter.yml"
        account = {"name": "eu", "endpoint": simulator.url, "token": simulator.token, "requests_per_second": 500}
        given = {
            "accounts": [account],
            "sweep": {"interval": "1h", "stale_after": "3h"},
            "metrics": {"profile": "full", "otlp": {"endpoint": f"http://127.0.0.1:{otlp}", "interval": 1}},
            "web": {"listen_address": [f"127.0.0.1:{web}"]},
        }
        settings.write_text(yaml.safe_dump(given))
        command = (sys.executable, "-m", "exporter", "run", f"--config.file={settings}")
        with (
            running(folder / "collector.log", program, f"--config={folder / 'collector.yml'}"),
            running(folder / "exporter.log", *command),
        ):
            assert eventually(lambda: http.get(f"http://127.0.0.1:{web}/-/ready").status_code == 200, 60)
            yield Scene(f"http://127.0.0.1:{web}", settings, Output(pushed), Output(scraped))


FLEET = "datarobot_workload_", "datarobot_proton_", "datarobot_container_", "datarobot_account_"
AGES = "datarobot_exporter_detail_age_seconds"
DROPPED = "datarobot_workload_window_response_seconds", "datarobot_workload_week_usage_ratio", AGES
"""Summaries without counts, and a gauge histogram: the receiver for Prometheus has no type for them."""


def comparable(output: Output) -> dict[tuple[str, Key], tuple[Any, ...]]:
    return {key: value for key, value in output.of(*FLEET).items() if not key[0].startswith(DROPPED)}


def equal(scene: Scene) -> bool:
    """Whether all samples of workloads and accounts are the same in both."""
    pushed, scraped = comparable(scene.pushed), comparable(scene.scraped)
    return len(pushed) > 2000 and pushed == scraped


def test_pushed_and_scraped_samples_of_workloads_and_accounts_are_equal(scene: Scene) -> None:
    assert eventually(lambda: equal(scene), 60), _difference(scene)


def _difference(scene: Scene) -> str:
    pushed, scraped = comparable(scene.pushed), comparable(scene.scraped)
    other = sorted({key for key in pushed.keys() | scraped.keys() if pushed.get(key) != scraped.get(key)})
    return f"{len(pushed)} pushed, {len(scraped)} scraped; differ:\n" + "\n".join(
        f"{key}: {pushed.get(key)} {scraped.get(key)}" for key in other[:20]
    )


def own(output: Output) -> dict[tuple[str, Key], tuple[Any, ...]]:
    """The series of the exporter itself, without their values, which change all the time."""
    names = "datarobot_exporter_", "process_", "python_"
    return {key: value[:-1] for key, value in output.of(*names).items() if not key[0].startswith(DROPPED)}


def test_the_exporter_itself_has_the_same_series_of_the_same_types(scene: Scene) -> None:
    assert eventually(lambda: own(scene.pushed) == own(scene.scraped), 60)
    assert len(own(scene.pushed)) > 200


def test_what_the_receiver_has_no_type_for_is_pushed_under_the_names_of_the_page(scene: Scene) -> None:
    names = {name for name, _ in scene.pushed.of(*DROPPED)}
    assert names == {*DROPPED[:2], *(AGES + end for end in ("_bucket", "_gcount", "_gsum"))}


def test_series_that_are_no_longer_served_end_in_both(scene: Scene) -> None:
    def ended(output: Output) -> set[tuple[str, Key]]:
        return {key for key, value in comparable(output).items() if value[-1] == "ended"}

    assert eventually(lambda: equal(scene), 60)
    scene.change(profile="minimal")
    try:
        assert eventually(lambda: ended(scene.pushed) and ended(scene.pushed) == ended(scene.scraped), 60)
    finally:
        scene.change(profile="full")  # for the other tests, in whichever order they run


def test_the_resource_names_the_exporter(scene: Scene) -> None:
    (first, *_) = scene.pushed.file.read_text().splitlines()
    resource = json.loads(first)["resourceMetrics"][0]["resource"]
    found = dict(each.split("=", 1) for each in attributes(resource["attributes"]))
    assert (found["service.name"], "service.instance.id" in found) == ("workload-exporter", True)
