"""From a number to its trace: a real Prometheus keeps exemplars of episodes, and each names a trace that was sent.

It takes more than a minute: so long does an episode settle before it is counted.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.e2e.servers import Prometheus, demo, eventually, free_port, prometheus
from tests.receivers import HttpReceiver

pytestmark = [pytest.mark.real, pytest.mark.long]
COUNTER, HISTOGRAM = "datarobot_exporter_episodes_total", "datarobot_exporter_episode_duration_seconds_bucket"


class Exemplar(NamedTuple):
    """An exemplar as Prometheus keeps it: the labels of its series, its own, and its value."""

    series: dict[str, str]
    labels: dict[str, str]
    value: float


class Scene(NamedTuple):
    collector: HttpReceiver
    prometheus: Prometheus

    def exemplars(self, metric: str) -> list[Exemplar]:
        now = time.time()
        series = self.prometheus.get(f"query_exemplars?query={metric}&start={now - 600:.0f}&end={now + 60:.0f}")
        return [Exemplar(s["seriesLabels"], e["labels"], float(e["value"])) for s in series for e in s["exemplars"]]

    def root(self, trace_id: str) -> Any:
        """The root span of a trace that the collector has taken; None if there is none."""
        spans = (span for each in self.collector.accepted for span in each.spans)
        return next((s for s in spans if s.trace_id.hex() == trace_id and not s.parent_span_id), None)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, port = tmp_path_factory.mktemp("exemplars"), free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    with HttpReceiver() as collector:
        settings = folder / "exporter.yaml"
        settings.write_text(f"sweep: {{interval: 1s, stale_after: 1m}}\ntraces: {{endpoint: '{collector.url}'}}\n")
        fleet = f"--config.file={settings}", "--demo.workloads=20", "--demo.speed=120"
        kept = "--enable-feature=exemplar-storage"
        with demo(folder, port, *fleet), prometheus(folder, config, kept) as server:
            made = Scene(collector, server)
            assert eventually(lambda: made.exemplars(COUNTER), 100), (folder / "demo.log").read_text()[-2000:]
            yield made


def attributes(span: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


def test_a_counted_episode_leads_to_its_trace(scene: Scene) -> None:
    for exemplar in scene.exemplars(COUNTER):
        assert exemplar.labels.keys() == {"trace_id"}
        root = eventually(partial(scene.root, exemplar.labels["trace_id"]), 20)
        assert root is not None, exemplar
        values = attributes(root)
        assert root.name == f"workload {exemplar.series['kind']}"
        assert values["datarobot.workload.episode.outcome"] == exemplar.series["outcome"]


def test_a_bucket_of_durations_leads_to_a_trace_that_took_as_long(scene: Scene) -> None:
    found = scene.exemplars(HISTOGRAM)
    assert found
    for exemplar in found:
        root = eventually(partial(scene.root, exemplar.labels["trace_id"]), 20)
        assert root is not None, exemplar
        assert root.name == f"workload {exemplar.series['kind']}"
        assert exemplar.value <= float(exemplar.series["le"])
        # What is reported of a child may widen the root beyond what the episode is counted with.
        assert (root.end_time_unix_nano - root.start_time_unix_nano) / 1e9 >= exemplar.value - 1e-6


def test_no_gauge_has_an_exemplar(scene: Scene) -> None:
    for gauge in ("datarobot_exporter_trace_outbox_traces", "datarobot_workload_status"):
        assert eventually(partial(scene.prometheus.query, gauge), 30)  # a scrape may fail
        assert scene.exemplars(gauge) == []
