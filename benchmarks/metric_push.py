"""Cost of a push of metrics by OTLP: from the served page to compressed requests, without the network."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from benchmarks.fleet import SERIES_PER_WORKLOAD, fleet
from benchmarks.servers import rendered
from exporter.metrics.exposition import Exposition
from exporter.otlp.metric_encoding import Encoder, ServedPage, requests, resource
from exporter.otlp.metric_points import lines, pairs
from exporter.otlp.transport import gzipped
from exporter.telemetry.report import Report

ROUNDS = 5


class Push(NamedTuple):
    """CPU seconds of a push, of rendering the page, and of making the data points with the library; numbers, bytes."""

    ours: float
    page: float
    library: float
    points: int
    size: int
    compressed: int
    requests: int


def measured(series: int) -> Push:
    """Medians of some rounds. All workloads change between two pushes, so no piece of the page stays the same."""
    size = series // SERIES_PER_WORKLOAD
    pages = []
    for change in (0, 1):
        exposition = rendered(series) if not change else _rendered(size, change)
        own = Report(1.7e9).openmetrics()
        pages.append(ServedPage(exposition.bodies(), own, fleet(size), (), 1.7e9))
    encoder, attributes = Encoder(), resource({"service.name": "workload-exporter"})
    ours, page, sent = [], [], []
    gc.collect()
    gc.freeze()
    for number in range(ROUNDS):
        now = 1_800_000_000_000_000_000 + number
        began = time.process_time()
        made = [*requests(encoder.chunks(pages[number % 2], now))]
        sent = [(len(body), len(gzipped(body))) for body in (request.body(attributes) for request in made)]
        ours.append(time.process_time() - began)
        page.append(_cpu(lambda: _rendered(size, 1)))
    samples = _read(pages[0])
    library = _cpu(lambda: _with_library(samples))
    points = sum(request.points for request in made)
    total, compressed = (sum(column) for column in zip(*sent, strict=True))
    return Push(statistics.median(ours), statistics.median(page), library, points, total, compressed, len(made))


def _rendered(size: int, change: int) -> Exposition:
    exposition = Exposition()
    exposition.update(fleet(size, range(size), change))
    return exposition


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _read(page: ServedPage) -> list[tuple[list[tuple[str, str]], float]]:
    """Labels and values of all samples."""
    samples = (line for body in page.bodies for piece in body.samples for line in lines(piece))
    return [
        ([(key.decode(), value.decode()) for key, value in pairs(line.labels)], float(line.value)) for line in samples
    ]


def _with_library(samples: Iterable[tuple[list[tuple[str, str]], float]]) -> int:
    """The size of the same data points, made with the classes of opentelemetry-proto."""
    points = [
        pb.NumberDataPoint(
            attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in labels],
            time_unix_nano=1,
            as_double=number,
        )
        for labels, number in samples
    ]
    return len(pb.Gauge(data_points=points).SerializeToString())
