"""The compared servers as processes: ``python -m benchmarks.servers ours|busy|prometheus_client PORT SERIES [FOLDER]``.

Each serves the same series. ``ours`` also writes the page and its gzip form into FOLDER, for nginx; ``busy`` updates
its page continuously. ``held ours|prometheus_client SERIES`` prints the resident bytes per series.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from benchmarks.fleet import SERIES_PER_WORKLOAD, fleet, workload
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import COMMON_LABELS
from exporter.metrics.registry import FAMILIES, samples_of
from exporter.web.application import Application
from exporter.web.metrics_page import Publisher
from exporter.web.server import Server

KINDS: dict[str, Callable[..., Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "summary": SummaryMetricFamily,
}


class PreparedCollector(Collector):
    """An exporter as usually written with prometheus_client: a collector that returns its families at each scrape.

    The samples are prepared; only the library's own work is measured.
    """

    def __init__(self, states: Iterable[WorkloadState]) -> None:
        prepared = [(each, samples_of(FAMILIES, each)) for each in states]
        self._families = [
            (
                row,
                [(each.account, each.workload.name or "", each.workload.id, samples[n]) for each, samples in prepared],
            )
            for n, row in enumerate(FAMILIES)
        ]

    def collect(self) -> Iterator[Metric]:
        """Each family, built now."""
        for row, workloads in self._families:
            names = (*COMMON_LABELS, *row.labels)
            family = KINDS[row.kind](row.name, row.help, labels=names)
            for account, name, workload_id, samples in workloads:
                for labels, value in samples:
                    label_values = dict(zip(names, (account, name, workload_id, *labels), strict=True))
                    family.add_sample(row.name, label_values, value)
            yield family


def rendered(series: int) -> Exposition:
    """A page of about `series` series."""
    exposition = Exposition()
    exposition.update(fleet(series // SERIES_PER_WORKLOAD))
    return exposition


def registry(series: int) -> CollectorRegistry:
    """The same series in a registry of prometheus_client."""
    collectors = CollectorRegistry()
    collectors.register(PreparedCollector(fleet(series // SERIES_PER_WORKLOAD)))
    return collectors


def serve_rival(port: int, series: int) -> None:
    """Serve with ``start_http_server`` until the process is stopped."""
    collectors = registry(series)
    gc.collect()
    gc.freeze()
    start_http_server(port, "127.0.0.1", collectors)
    print("ready", flush=True)
    threading.Event().wait()


async def keep_refreshing(application: Application, exposition: Exposition, size: int) -> None:
    """Update the page continuously like the daemon, each time with a tenth of the workloads changed."""
    publisher = Publisher()
    states = [fleet(size)]
    for number in range(1, 11):
        moved = {
            n: WorkloadState("bench", workload(n, number), Ledger(1.7e9, 1.7e9 + number))
            for n in range(number % 10, size, 10)
        }
        states.append([moved.get(n, unchanged) for n, unchanged in enumerate(states[-1])])
    gc.collect()
    gc.freeze()
    for state in itertools.cycle([*states, *reversed(states)]):
        for _ in exposition.steps(state):
            await asyncio.sleep(0)  # let the other tasks run
        page = await asyncio.to_thread(publisher.publish, exposition.bodies(), b"", b"")
        application.publish(page)


def serve_ours(port: int, series: int, folder: Path | None) -> None:
    """Serve like the daemon; without a folder the page is updated continuously."""
    exposition = rendered(series)
    page = Publisher().publish(exposition.bodies(), b"", b"")
    if folder is not None:
        (folder / "page").write_bytes(b"".join(page.text))
        (folder / "page.gz").write_bytes(page.text_gzip)

    async def nothing() -> list[str]:
        return []

    async def blank(_: str) -> bytes:
        return b""

    async def blank_workload(*_: object) -> tuple[int, bytes]:
        return 200, b""

    async def no_list() -> bytes:
        return b"[]"

    async def no_silences(_method: str, _query: object) -> tuple[int, str]:
        return 200, ""

    application = Application(
        metrics_path="/metrics",
        reload=nothing,
        heartbeat_age=lambda: 0.0,
        not_ready=lambda: "",
        status_page=blank,
        workload_page=blank_workload,
        workload_json=blank_workload,
        workloads_csv=blank,
        workloads_json=blank,
        config=lambda: None,
        episodes=no_list,
        targets=no_list,
        silences=no_silences,
        count=lambda path, code: None,  # noqa: ARG005 — a counter costs nothing here
    )
    application.publish(page)

    async def serve() -> None:
        refreshing = keep_refreshing(application, exposition, series // SERIES_PER_WORKLOAD)
        task = asyncio.create_task(refreshing) if folder is None else refreshing.close()
        await Server(application, (f"127.0.0.1:{port}",)).run_until_stopped()
        if task is not None:
            task.cancel()

    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    uvloop.run(serve())


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


def held(rival: str, series: int) -> None:
    """Print the resident bytes per series, of our blocks and page or of the children of prometheus_client."""
    size = series // SERIES_PER_WORKLOAD
    states = fleet(size)
    samples = [samples_of(FAMILIES, each) for each in states]
    gc.collect()
    before = resident()
    kept: list[object] = []
    if rival == "ours":
        exposition = Exposition()
        exposition.update(states)
        kept += [exposition, Publisher().publish(exposition.bodies(), b"", b"")]
    else:
        collectors = CollectorRegistry()
        for place, row in enumerate(FAMILIES):
            gauge = Gauge(row.name, row.help, [*COMMON_LABELS, *row.labels], registry=collectors)
            for each, families in zip(states, samples, strict=True):
                for labels, value in families[place]:
                    gauge.labels(each.account, each.workload.name, each.workload.id, *labels).set(value)
        kept.append(collectors)
    gc.collect()
    print((resident() - before) / series, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "held":
        held(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "prometheus_client":
        serve_rival(int(sys.argv[2]), int(sys.argv[3]))
    else:
        serve_ours(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if sys.argv[1] == "ours" else None)
