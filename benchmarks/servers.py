"""The rivals as processes: ``python -m benchmarks.servers ours|prometheus_client PORT SERIES [FOLDER]``.

Each serves the very same series. ``ours`` also writes the page and its gzip form into FOLDER, for nginx.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from benchmarks.fleet import SERIES_PER_WORKLOAD, fleet
from exporter.core.exposition import Exposition
from exporter.core.families import COMMON_LABELS, FAMILIES, Seen, samples_of
from exporter.shell.page import Publisher
from exporter.shell.server import Application, Server, Status


class Written(Collector):
    """An exporter as one writes it with prometheus_client: a collector that tells its families at each scrape.

    The samples are worked out already; only the library's own work is measured.
    """

    def __init__(self, seen: Iterable[Seen]) -> None:
        there = [(each, samples_of(FAMILIES, each)) for each in seen]
        self._told = [
            (row, [(each.account, each.workload.name or "", each.workload.id, samples[n]) for each, samples in there])
            for n, row in enumerate(FAMILIES)
        ]

    def collect(self) -> Iterator[Metric]:
        """Each family, built now."""
        for row, told in self._told:
            family = GaugeMetricFamily(row.name, row.help, labels=[*COMMON_LABELS, *row.labels])
            for account, workload, workload_id, samples in told:
                for labels, value in samples:
                    family.add_metric([account, workload, workload_id, *labels], value)
            yield family


def rendered(series: int) -> Exposition:
    """A page of about `series` series."""
    exposition = Exposition()
    exposition.update(fleet(series // SERIES_PER_WORKLOAD))
    return exposition


def registry(series: int) -> CollectorRegistry:
    """The same page by prometheus_client."""
    made = CollectorRegistry()
    made.register(Written(fleet(series // SERIES_PER_WORKLOAD)))
    return made


def serve_rival(port: int, series: int) -> None:
    """Serve with ``start_http_server``, for ever."""
    made = registry(series)
    gc.collect()
    gc.freeze()
    start_http_server(port, "127.0.0.1", made)
    print("ready", flush=True)
    threading.Event().wait()


def serve_ours(port: int, series: int, folder: Path) -> None:
    """Serve as the daemon does, for ever."""
    page = Publisher().publish(rendered(series).bodies(), b"", b"")
    (folder / "page").write_bytes(b"".join(page.text))
    (folder / "page.gz").write_bytes(page.text_gzip)

    async def nothing() -> list[str]:
        return []

    application = Application(
        metrics_path="/metrics",
        reload=nothing,
        heartbeat_age=lambda: 0.0,
        not_ready=lambda: "",
        status=lambda: Status("", (), 0.0, 0.0),
        config=lambda: None,
        count=lambda path, code: None,  # noqa: ARG005 — a counter costs nothing here
    )
    application.publish(page)

    async def serve() -> None:
        await Server(application, (f"127.0.0.1:{port}",)).run_until_stopped()

    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    uvloop.run(serve())


if __name__ == "__main__":
    rival, port, series = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if rival == "ours":
        serve_ours(port, series, Path(sys.argv[4]))
    else:
        serve_rival(port, series)
