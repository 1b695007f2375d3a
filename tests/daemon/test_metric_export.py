"""The push of metrics in a daemon: what arrives is what is served, and reloads start, change and end it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from exporter.settings.metrics import MetricPushSettings
from exporter.settings.model import Settings
from exporter.simulator import Simulator
from tests.daemon.test_daemon import START, Scene, play
from tests.otlp.test_metric_encoding import attributes, points_of
from tests.otlp.test_sender import eventually
from tests.receivers import HANG, HttpReceiver, Received


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(workloads=20, clock=lambda: START) as made:
        yield made


def pushing(scene: Scene, **otlp: Any) -> Settings:
    metrics = scene.settings.metrics.model_copy(update={"otlp": MetricPushSettings.model_validate(otlp)})
    return scene.settings.model_copy(update={"metrics": metrics})


def gauges(received: list[Received]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The gauges and totals of workloads and accounts."""
    return {
        (metric.name, frozenset(attributes(point))): point.as_double
        for each in received
        for part in ExportMetricsServiceRequest.FromString(each.body).resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
        for point in points_of(metric)
        if metric.WhichOneof("data") != "histogram" and not metric.name.startswith(OWN)
    }


OWN = "datarobot_exporter_", "process_", "python_"


def test_what_is_served_is_pushed(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        with HttpReceiver() as receiver:
            await scene.sweep()
            scene.next = pushing(scene, endpoint=receiver.url, interval=3600, resource_attributes={"team": "ml"})
            assert await scene.daemon.reload() == []
            await eventually(lambda: bool(gauges(receiver.accepted)))
            served = {
                (name, frozenset(label for label in labels if label[1])): value
                for (name, labels), value in (await scene.page("datarobot_")).items()
                if not name.startswith(OWN) and not name.endswith(("_bucket", "_sum", "_count"))
            }
            assert gauges(receiver.accepted) == served
            (part,) = ExportMetricsServiceRequest.FromString(receiver.accepted[0].body).resource_metrics
            resource = {each.key: each.value.string_value for each in part.resource.attributes}
            assert (resource["service.name"], resource["team"]) == ("workload-exporter", "ml")
            assert resource["service.instance.id"].endswith(":10142")
            await scene.daemon.metric_export.aclose()

    play(simulator, work)


def test_a_collector_that_hangs_delays_neither_sweeps_nor_scrapes_nor_reloads(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        with HttpReceiver() as hanging, HttpReceiver() as good:
            hanging.answer = HANG
            await scene.sweep()
            scene.next = pushing(scene, endpoint=hanging.url, timeout=60)
            assert await scene.daemon.reload() == []
            await eventually(lambda: bool(hanging.received))
            await scene.sweep(after=30)
            assert await scene.workloads() > 10
            scene.next = pushing(scene, endpoint=good.url)
            assert await scene.daemon.reload() == []
            up = "datarobot_exporter_metric_endpoint_up", {"protocol": "http/protobuf"}
            await eventually(lambda: scene.daemon.report.registry.get_sample_value(*up) == 1)
            assert good.accepted
            scene.next = pushing(scene, endpoint=good.url, certificate=__file__)
            (problem,) = await scene.daemon.reload()
            assert "metrics.otlp.certificate: cannot be used" in problem
            scene.next = pushing(scene)
            assert await scene.daemon.reload() == []
            await scene.daemon.tasks.join()
            await scene.daemon.publish()
            assert await scene.value("datarobot_exporter_metric_endpoint_up") is None

    play(simulator, work)


def deltas(received: list[Received]) -> Counter[tuple[str, frozenset[tuple[str, str]]]]:
    """The sum of what was added to each total."""
    added: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
    for each in received:
        for part in ExportMetricsServiceRequest.FromString(each.body).resource_metrics:
            for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
                for point in metric.sum.data_points if metric.sum.is_monotonic else ():
                    added[metric.name, frozenset(attributes(point))] += point.as_double
    return added


def test_deltas_continue_after_a_reload(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        with HttpReceiver() as first, HttpReceiver() as second:
            for receiver, interval in (first, 3600), (second, 1800):
                await scene.sweep()
                scene.next = pushing(scene, endpoint=receiver.url, interval=interval, temporality="delta")
                assert await scene.daemon.reload() == []
                await eventually(lambda: bool(deltas(receiver.accepted)))  # noqa: B023
            await scene.daemon.metric_export.aclose()
            added = deltas([*first.accepted, *second.accepted])
            await scene.daemon.publish()
            served = {
                (name, frozenset(label for label in labels if label[1])): value
                for (name, labels), value in (await scene.page("datarobot_exporter_")).items()
            }
            compared = {key: (added[key], served[key]) for key in added.keys() & served.keys()}
            assert len(compared) > 10
            assert {key: both for key, both in compared.items() if both[0] > both[1]} == {}

    play(simulator, work)


def test_a_reload_that_changes_only_the_push_keeps_what_is_rendered(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        before = scene.daemon.publication.page
        scene.next = pushing(scene, endpoint="http://127.0.0.1:9")
        assert await scene.daemon.reload() == []
        after = scene.daemon.publication.page
        assert before is not None
        assert after is not None
        same = [new is old for new, old in zip(after.bodies, before.bodies, strict=True)]
        assert sum(same) > 0.5 * len(same)
        await asyncio.wait_for(scene.daemon.metric_export.aclose(), 30)

    play(simulator, work)
