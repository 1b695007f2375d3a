"""``make bench``: performance claims, mostly ratios of two measurements that are interleaved in one run.

Prints a table, writes ``benchmarks/RESULTS.md``, and exits with 1 if a gate is missed. ``python -m benchmarks NAME``
runs one part, such as ``status_page``, and writes nothing.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client import generate_latest
from pydantic import TypeAdapter

from benchmarks.client import Scraper
from benchmarks.fleet import SERIES_PER_WORKLOAD, fleet
from benchmarks.installation import first_metrics, install, starts
from benchmarks.metric_push import measured as pushed
from benchmarks.recording import hour, sweeps
from benchmarks.servers import registry, rendered
from benchmarks.status_page import measured
from benchmarks.traces import SPANS, against_the_library, kept, quiet
from exporter.api.decoding import workload_page
from exporter.api.models import Workload
from exporter.collect.account_state import AccountState
from exporter.fleet.reconcile import Snapshot, Sweep, step, visible
from exporter.fleet.tag_labels import TagSelection
from exporter.metrics.exposition import Exposition
from exporter.metrics.registry import served
from exporter.simulator import list_page
from exporter.simulator.api import TOKEN
from exporter.state.leases import LEASE_SECONDS
from exporter.web.metrics_page import Publisher

SERIES = 100_000
ROUNDS = 9
HERE = Path(__file__).parent


class Row(NamedTuple):
    """One claim: a measured number, its gate, and how it was measured. `least`: the gate is a lower bound."""

    claim: str
    measured: float
    gate: float
    least: bool
    detail: str

    @property
    def good(self) -> bool:
        """Whether the gate is met."""
        return self.measured >= self.gate if self.least else self.measured <= self.gate


def free_port() -> int:
    """A port that is probably free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(*command: str, ready: str = "") -> Iterator[subprocess.Popen[str]]:
    """A child process that has printed `ready`; it is stopped at the end."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if ready:
            assert child.stdout is not None
            for line in child.stdout:
                if ready in line:
                    break
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def reachable(port: int) -> None:
    """Wait until the port accepts connections."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # another process does not signal that it listens
    raise TimeoutError(f"no process listens on port {port}")


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}; default_type text/plain; }} }}
"""


def scrapes() -> list[Row]:
    """Scrapes of the same series from prometheus_client and the exporter, and of the same bytes from nginx."""
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        ours, rival, static = free_port(), free_port(), free_port()
        python = (sys.executable, "-m", "benchmarks.servers")
        stack.enter_context(process(*python, "ours", str(ours), str(SERIES), str(folder), ready="ready"))
        stack.enter_context(process(*python, "prometheus_client", str(rival), str(SERIES), ready="ready"))
        if nginx:
            configuration = folder / "nginx.conf"
            configuration.write_text(NGINX.format(folder=folder, port=static))
            stack.enter_context(process(nginx, "-c", str(configuration), "-p", str(folder)))
            reachable(static)
        for port in (ours, rival):
            reachable(port)
        rows: list[Row] = []
        for form, gate in (("identity", 60.0), ("gzip", 500.0)):
            gzip = form == "gzip"
            scrapers = {"ours": Scraper(ours, "/metrics", gzip), "prometheus_client": Scraper(rival, "/metrics", gzip)}
            if nginx:
                scrapers["nginx"] = Scraper(static, "/page.gz" if gzip else "/page", gzip=False)
            times, sizes = interleaved(scrapers)
            p50 = {name: statistics.median(seconds) for name, seconds in times.items()}
            shown = ", ".join(f"{name} {p50[name] * 1000:.2f} ms" for name in scrapers)
            size = f"{sizes['ours'] / 1e6:.1f} MB"
            rows.append(
                Row(f"scrape, {form}: start_http_server ÷ ours", p50["prometheus_client"] / p50["ours"], gate, True,
                    f"{shown}; {size}")
            )  # fmt: skip
            if nginx:
                rows.append(
                    Row(f"scrape, {form}: ours ÷ nginx, same bytes", p50["ours"] / p50["nginx"], 1.25, False, shown)
                )
            for scraper in scrapers.values():
                scraper.close()
        return rows


def interleaved(scrapers: dict[str, Scraper]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Times and body size of each server, in rounds that scrape all of them; fast servers are scraped more often."""
    times: dict[str, list[float]] = {name: [] for name in scrapers}
    sizes: dict[str, int] = {}
    for number in range(ROUNDS + 1):
        for name, scraper in scrapers.items():
            for _ in range(1 if name == "prometheus_client" else 15):
                seconds, sizes[name] = scraper.scrape()
                if number:  # the first round warms up
                    times[name].append(seconds)
    return times, sizes


def timed(work: Callable[[], object]) -> float:
    """Duration of one call in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def refresh() -> list[Row]:
    """An incremental update of the page, compared with rendering all of it with prometheus_client."""
    size = SERIES // SERIES_PER_WORKLOAD
    exposition = rendered(SERIES)
    library = registry(SERIES)
    assert generate_latest(library) == exposition.text()
    rows = []
    before = fleet(size)
    gc.collect()
    gc.freeze()  # like the daemon after its first page
    for percent, gate in ((1, 200.0), (10, 50.0)):
        ours, theirs = [], []
        for number in range(1, ROUNDS + 1):
            changed = range(number, size, 100 // percent)
            exposition.update(before)
            moved = {place: state for place, state in enumerate(fleet(size, changed, number)) if place in changed}
            # Unchanged workloads are the same objects as before, as after a real sweep.
            states = [moved.get(place, unchanged) for place, unchanged in enumerate(before)]
            ours.append(timed(lambda: exposition.update(states)))  # noqa: B023 — called immediately
            theirs.append(timed(lambda: generate_latest(library)))
        a, b = statistics.median(ours), statistics.median(theirs)
        rows.append(
            Row(f"refresh, {percent} % changed: generate_latest of all ÷ ours", b / a, gate, True,
                f"ours {a * 1000:.2f} ms, generate_latest {b * 1000:.0f} ms, {exposition.series} series")
        )  # fmt: skip
    return rows


def decoding() -> list[Row]:
    """Decoding one page of the list, compared with json and a pydantic model of the whole object."""
    from benchmarks.pydantic_model import Listed

    body = list_page(workloads=100)
    whole = TypeAdapter(Listed)
    ours = statistics.median(timed(lambda: workload_page(body)) for _ in range(50))
    theirs = statistics.median(timed(lambda: whole.validate_python(json.loads(body))) for _ in range(50))
    return [
        Row("page decode: ours ÷ (json + pydantic)", ours / theirs, 0.2, False,
            f"ours {ours * 1e6:.0f} µs, json + pydantic {theirs * 1e6:.0f} µs, {len(body) / 1000:.0f} kB")
    ]  # fmt: skip


def while_refreshing() -> list[Row]:
    """Scrapes of a page that is updated continuously, compared with scrapes of a constant page."""
    p99 = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for kind in ("ours", "busy"):
            port = free_port()
            stack.enter_context(
                process(sys.executable, "-m", "benchmarks.servers", kind, str(port), str(SERIES), folder, ready="ready")
            )
            reachable(port)
            scraper = Scraper(port, "/metrics", gzip=True)
            times = sorted(scraper.scrape()[0] for _ in range(1000))
            scraper.close()
            p99[kind] = times[990] * 1000
    shown = f"p99 idle {p99['ours']:.2f} ms, while refreshing {p99['busy']:.2f} ms"
    return [
        Row("scrape p99 while refreshing ÷ idle, gzip", p99["busy"] / p99["ours"], 8.0, False, shown),
        Row("scrape p99 while refreshing, ms", p99["busy"], 15.0, False, "a tenth of the workloads changes each time"),
    ]


def stalled() -> list[Row]:
    """Memory used for clients that request the page and do not read it."""
    with ExitStack() as stack:
        folder, port = stack.enter_context(tempfile.TemporaryDirectory()), free_port()
        child = stack.enter_context(
            process(sys.executable, "-m", "benchmarks.servers", "ours", str(port), "200000", folder, ready="ready")
        )
        reachable(port)
        status = Path(f"/proc/{child.pid}/status")

        def resident() -> int:
            return int(status.read_text().split("VmRSS:")[1].split()[0]) * 1024

        before = resident()
        for _ in range(10):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(2)  # until the socket buffers of the clients are full
        grown, body = (resident() - before) / 10, (Path(folder) / "page").stat().st_size
    return [
        Row(
            "memory per stalled scrape ÷ page", grown / body, 0.1, False, f"{grown / 1e6:.2f} MB of {body / 1e6:.0f} MB"
        )
    ]


def pages(size: int, number: int) -> list[bytes]:
    """All pages of a fleet in which a tenth of the workloads change, 31 s apart."""
    old, new = (
        {item["id"]: item for offset in range(0, size, 100) for item in _listed(size, offset, 1.7e9 + 31 * later)}
        for later in (0, number)
    )
    items = [new.get(name, old[name]) if n % 10 == number % 10 else old[name] for n, name in enumerate(old)]
    return [json.dumps({"data": items[n : n + 100], "next": None}).encode() for n in range(0, size, 100)]


def _listed(size: int, offset: int, now: float) -> list[dict[str, str]]:
    items: list[dict[str, str]] = json.loads(list_page(workloads=size, offset=offset, now=now))["data"]
    return items


def cycle(size: int) -> float:
    """CPU seconds of one cycle without HTTP: decode, reconcile, render, publish; a fifth of the workloads changed."""
    rounds = [pages(size, number) for number in range(5)]
    known, exposition, publisher = Snapshot("bench"), Exposition(served("standard")), Publisher()
    spent = []
    for number, bodies in enumerate(rounds):
        began = time.process_time()
        workloads = tuple(workload for body in bodies for workload in workload_page(body).items)
        known = step(known, Sweep(workloads, ()), 1.7e9 + 30 * number)
        exposition.update(visible(known, 0.0, 900.0))
        publisher.publish(exposition.bodies(), b"", b"")
        spent.append(time.process_time() - began)
        if not number:
            gc.collect()
            gc.freeze()
    return statistics.median(spent[1:])


def cycles() -> list[Row]:
    """CPU time of a cycle, and its growth with the fleet."""
    small, large = cycle(1000), cycle(10_000)
    grown = large / 10 / small
    return [
        Row(
            "CPU of a cycle of 1,000 workloads, ms",
            small * 1000,
            20.0,
            False,
            "a fifth changed; no HTTP",
        ),
        Row("CPU per workload, 10,000 ÷ 1,000", grown, 1.6, False, f"{small * 1e3:.1f} µs and {large * 1e2:.1f} µs"),
    ]


def held() -> list[Row]:
    """Resident memory per series, compared with the children of prometheus_client."""
    bytes_of = {
        rival: float(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.servers", "held", rival, str(SERIES)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for rival in ("ours", "prometheus_client")
    }
    ratio = bytes_of["ours"] / bytes_of["prometheus_client"]
    shown = f"ours {bytes_of['ours']:.0f} bytes, prometheus_client {bytes_of['prometheus_client']:.0f} bytes"
    return [Row("memory per series ÷ prometheus_client's children", ratio, 0.65, False, shown)]


TAGS = TagSelection(("team", "env", "cost-*"))
"""The tags of simulated workloads."""


def sweeps_with(selection: TagSelection, rounds: Sequence[Sequence[Workload]]) -> list[float]:
    """CPU seconds of applying, rendering and publishing each of these lists, without HTTP and decoding."""
    state, publisher = AccountState(Snapshot("bench")), Publisher()
    state.select_tags(selection)
    exposition, spent = Exposition(served("standard", tags=bool(selection.names))), list[float]()
    for number, workloads in enumerate(rounds):
        began = time.process_time()
        state.apply_sweep(Sweep(tuple(workloads), ()), 1.7e9 + 30 * number)
        exposition.update(visible(state.snapshot, 0.0, 900.0))
        publisher.publish(exposition.bodies(), b"", b"")
        spent.append(time.process_time() - began)
    return spent[1:]


def tags() -> list[Row]:
    """Cost of three tags as labels of each of 10,000 workloads."""
    bodies = [pages(10_000, number) for number in range(5)]
    rounds = [[workload for body in each for workload in workload_page(body).items] for each in bodies]
    without, labelled = (
        statistics.median(seconds for _ in range(3) for seconds in sweeps_with(selection, rounds))
        for selection in (TagSelection(), TAGS)
    )
    cost = f"{without * 1000:.0f} ms and {labelled * 1000:.0f} ms; a fifth changed; no HTTP, no decoding"
    resident, lag, p99, parts = running(10, 150, TAGS.names)
    shown = f"default settings for 150 s: {parts:.0f} detail parts"
    return [
        Row("10,000 workloads, 3 tags: CPU of a cycle ÷ without tags", labelled / without, 1.25, False, cost),
        Row("10,000 workloads, 3 tags: resident memory, MB", resident, 600.0, False, shown),
        Row("10,000 workloads, 3 tags: event loop lag p99, ms, at most", lag, 50.0, False, "from its own histogram"),
        Row("10,000 workloads, 3 tags: scrape p99, ms", p99, 15.0, False, "during sweeps, polling and refreshes"),
    ]


def running(rate: int, seconds: float, tags: Sequence[str] = ()) -> tuple[float, float, float, float]:
    """The daemon on 10,000 workloads with a budget of `rate`: MB, p99 of event loop lag and of a scrape in ms.

    The last value is the number of detail parts that were read. The simulator is another process.
    """
    api, web = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(
            process(sys.executable, "-m", "exporter.simulator", f"--port={api}", "--workloads=10000", "--seed=7")
        )
        reachable(api)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "exporter.yaml").write_text(
            f"accounts: [{{endpoint: 'http://127.0.0.1:{api}', token: demo-token, requests_per_second: {rate}}}]\n"
            f"state: {{path: {folder / 'state.db'}}}\n"
            f"metrics: {{tags: {json.dumps([*tags])}}}\n"
        )
        daemon = stack.enter_context(
            process(
                *(sys.executable, "-m", "exporter", "run", f"--config.file={folder / 'exporter.yaml'}"),
                *(f"--web.listen-address=127.0.0.1:{web}", "--log.level=error"),
            )
        )
        reachable(web)
        scraper, times = Scraper(web, "/metrics", gzip=True), list[float]()
        began = time.monotonic()
        while time.monotonic() - began < seconds:  # several sweeps of a changing fleet
            time.sleep(0.2)  # interval of the measured scrapes
            if time.monotonic() - began > 30:
                times.append(timed(scraper.scrape))
        scraper.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=30) as response:
            page = response.read().decode()
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rsplit(" ", 1)[1]))
        for line in page.splitlines()
        if line.startswith("datarobot_exporter_event_loop_lag_seconds_bucket")
    ]
    lag = next(bound for bound, count in buckets if count >= 0.99 * buckets[-1][1])
    parts = page.count("\ndatarobot_workload_fresh{")
    return resident, lag * 1000, statistics.quantiles(times, n=100)[98] * 1000, parts


def memory() -> list[Row]:
    """Memory with 10,000 workloads: with default settings, and with a budget for all details."""
    resident, lag, p99, parts = running(10, 150)
    full, full_lag, full_p99, full_parts = running(500, 400)
    shown = f"default settings for 150 s: {parts:.0f} detail parts"
    fuller = f"500 requests/s for 400 s, as after hours at 10 requests/s: {full_parts:.0f} detail parts"
    return [
        Row("10,000 workloads: resident memory, MB", resident, 600.0, False, shown),
        Row("10,000 workloads: event loop lag p99, ms, at most", lag, 50.0, False, "from its own histogram"),
        Row("10,000 workloads: scrape p99, ms", p99, 15.0, False, "during sweeps, polling and refreshes"),
        Row("10,000 workloads, all details: resident memory, MB", full, 600.0, False, fuller),
        Row("10,000 workloads, all details: event loop lag p99, ms, at most", full_lag, 50.0, False, fuller),
        Row("10,000 workloads, all details: scrape p99, ms", full_p99, 100.0, False, "both cores are busy"),
    ]


def status_page() -> list[Row]:
    """Rendering time of the status page and of that of a workload, and the event loop lag during the former."""
    runs = [measured(10_000) for _ in range(5)]
    first, repeated, lag, idle, workload, meanwhile = (statistics.median(values) for values in zip(*runs, strict=True))
    return [
        Row("status page of 10,000 workloads, s", first, 3.0, False, "rendered outside the event loop"),
        Row("repeated with another search, s", repeated, 0.3, False, "within five seconds of the first"),
        Row("event loop lag p99 while it is rendered, ms", lag * 1000, 50.0, False,
            f"idle {idle * 1000:.1f} ms"),
        Row("page of a workload among 10,000, p99, ms", workload * 1000, 200.0, False,
            "ten pods and a full timeline, one request after the other"),
        Row("the same while the status page is rendered, p99, ms", meanwhile * 1000, 200.0, False,
            "in a thread of its own"),
    ]  # fmt: skip


def traces() -> list[Row]:
    """Cost of lifecycle traces, compared with the tracer of the OpenTelemetry SDK where it does the same."""
    times, sweep = against_the_library(), quiet(10_000)
    microseconds = {name: f"{seconds * 1e6:.0f} µs" for name, seconds in times.items()}
    making = f"ours {microseconds['ours']} including ids and times, SDK start_span … encode {microseconds['library']}"
    encoding = f"ours {microseconds['our encoding']}, encode_spans {microseconds['its encoding']}; {SPANS} spans"
    settling = f"on {sweep['on'] * 1000:.0f} ms, off {sweep['off'] * 1000:.0f} ms; 10,000 workloads, no HTTP"
    return [
        Row("build and encode a trace of 8 spans: ours ÷ OpenTelemetry SDK", times["ours"] / times["library"],
            0.8, False, making),
        Row("encode a trace of 8 spans: ours ÷ encode_spans", times["our encoding"] / times["its encoding"],
            0.8, False, encoding),
        Row("from episode to committed outbox row, per span, µs", kept() * 1e6,
            50.0, False, "500 workloads with their ledgers in one commit"),
        Row("CPU of a sweep without changes: traces on ÷ off", sweep["on"] / sweep["off"],
            1.1, False, settling),
        Row("check for open episodes ÷ that sweep", sweep["check"] / sweep["on"],
            0.03, False, f"{sweep['check'] * 1000:.1f} ms, also spent without traces"),
    ]  # fmt: skip


def installation() -> list[Row]:
    """The wheel in an environment of its own: sizes, and how quickly commands start."""
    with tempfile.TemporaryDirectory() as folder:
        found = install(Path(folder))
        python, version, help_ = starts(found.program).values()
        metrics = first_metrics(found.program, free_port())
    largest = sorted(found.installed, key=found.installed.__getitem__, reverse=True)[:6]
    shown = ", ".join(f"{name} {found.installed[name] / 2**20:.1f}" for name in largest)
    return [
        Row("wheel, MB", found.wheel / 1e6, 1.5, False, "modules, dashboards, provisioning, manifests, documents"),
        Row("plain installation, MiB", sum(found.installed.values()) / 2**20, 60, False,
            f"with bytecode, without pip and setuptools; {shown}"),
        Row("--version ÷ Python alone", version / python, 8, False,
            f"{version * 1000:.0f} ms and {python * 1000:.0f} ms"),
        Row("--help ÷ Python alone", help_ / python, 8, False, f"{help_ * 1000:.0f} ms"),
        Row("demo until the first /metrics with workloads ÷ Python alone", metrics / python, 100, False,
            f"{metrics * 1000:.0f} ms; a sweep of 60 workloads included"),
    ]  # fmt: skip


def metric_push() -> list[Row]:
    """A push of all series by OTLP."""
    found = pushed(SERIES)
    shown = f"{found.points} data points in {found.requests} requests of {found.size / 1e6:.1f} MB together"
    return [
        Row("push by OTLP: CPU seconds", found.ours, 1.0, False,
            f"all workloads changed; the data points alone with opentelemetry-proto: {found.library:.1f} s"),
        Row("push by OTLP ÷ rendering all of the page", found.ours / found.page, 2.0, False,
            f"ours {found.ours * 1000:.0f} ms, page {found.page * 1000:.0f} ms"),
        Row("push by OTLP: MB sent", found.compressed / 1e6, 3.0, False, f"with gzip; {shown}"),
    ]  # fmt: skip


def replicas() -> list[Row]:
    """Replicas that share 20 accounts of 500 workloads."""
    return shared(20, 500, 30.0)


def many_accounts() -> list[Row]:
    """Replicas that share 200 accounts of 500 workloads. Takes a quarter of an hour on a machine of its own."""
    return shared(200, 500, 60.0)


def shared(accounts: int, workloads: int, interval: float) -> list[Row]:
    """Replicas that share accounts: one holder each, what it costs, and how long moves take.

    `workloads` of each account; `interval`: seconds between two sweeps.
    """
    from benchmarks.replicas import measured

    found = measured(accounts, workloads, interval)
    one, two, four = (found.windows[count] for count in (1, 2, 4))
    costs = [1e6 * each.cpu / (each.sweeps * workloads) for each in (one, two, four)]
    shown = f"CPU µs per workload and sweep, with 1, 2, 4 replicas: {', '.join(f'{cost:.0f}' for cost in costs)}"
    memory = ", ".join(f"{max(each.resident):.0f}" for each in (one, two, four))
    swept = ", ".join(f"{each.sweeps}" for each in (one, two, four))
    fleet = f"{accounts} accounts of {workloads} workloads"
    samples = sum(each.samples for each in found.windows.values())
    return [
        Row("replicas: lease changes without a new epoch, or epochs of two holders", found.unlawful, 0.0, False,
            f"{found.changes} changes, all recorded by a trigger; {fleet}, no details, a sweep every {interval:g} s"),
        Row("replicas: samples in which an account has not exactly one holder",
            sum(each.uneven for each in found.windows.values()), 0.0, False,
            f"unit_held of all replicas in {samples} samples while nothing moves"),
        Row("replicas: API requests, 4 ÷ 1", four.requests / one.requests, 1.05, False,
            f"{one.requests}, {two.requests}, {four.requests} requests and {swept} sweeps in {interval:g} s"),
        Row("replicas: CPU per workload and sweep, 2 ÷ 1", costs[1] / costs[0], 1.2, False, shown),
        Row("replicas: CPU per workload and sweep, 4 ÷ 1", costs[2] / costs[0], 1.2, False, shown),
        Row("replicas: resident memory of the largest, 4 ÷ 1", max(four.resident) / max(one.resident), 1.0, False,
            f"{memory} MB with 1, 2, 4 replicas"),
        Row("replicas: s from the end of the lease of a killed one until all is served", found.takeover, 10.0, False,
            f"its {found.taken} accounts were taken, swept and published"),
        Row("replicas: s from its new start until even", found.even, 15.0 + 2 * accounts / 4, False,
            f"one account moves per second; {found.joined:.0f} s after 3 joined, {found.left:.0f} s after 2 of 4 left"),
        Row("replicas: s between two renewals, at most", found.slowest_renewal, 5.0, False,
            f"leases last {LEASE_SECONDS:g} s"),
        Row("replicas: commits per second, 4", four.commits, 40.0, False,
            f"{one.commits:.1f}, {two.commits:.1f}, {four.commits:.1f} with 1, 2, 4 replicas, of the whole server"),
        Row("replicas: bytes of the database per workload", found.bytes / (accounts * workloads), 4000.0, False,
            f"{found.bytes / 1e6:.1f} MB with indexes and what vacuum has not freed"),
    ]  # fmt: skip


def recording() -> list[Row]:
    """Cost of recording 1,000 workloads."""
    port = free_port()
    with process(sys.executable, "-m", "exporter.simulator", f"--port={port}", "--workloads=1000", "--seed=7"):
        reachable(port)
        plain, recorded = map(statistics.median, sweeps(f"http://127.0.0.1:{port}", TOKEN))
    cost = f"{plain * 1000:.0f} ms and {recorded * 1000:.0f} ms of CPU, with HTTP and decoding"
    recorded_hour = hour(1000)
    shown = f"{recorded_hour.responses} responses at the default budget, a sweep every 30 s"
    share = recorded_hour.seconds / 3600
    return [
        Row("1,000 workloads: sweep while recording ÷ without", recorded / plain, 6.0, False, cost),
        Row("1,000 workloads: CPU of recording, share of a core", share, 0.03, False, shown),
        Row("1,000 workloads: an hour's recording, MB", recorded_hour.packed / 1e6, 40.0, False, shown),
    ]


PARTS = (
    refresh,
    cycles,
    decoding,
    scrapes,
    while_refreshing,
    stalled,
    held,
    status_page,
    traces,
    metric_push,
    memory,
    tags,
    recording,
    replicas,
    installation,
)
BY_NAME = (many_accounts,)
"""Parts that are run only if they are named."""


def main(names: Sequence[str]) -> int:
    """Run all parts, or the named ones; return 0 if every gate is met. Results are written if all parts were run."""
    rows: list[Row] = []
    for part in [part for part in (*PARTS, *BY_NAME) if part.__name__ in names] if names else PARTS:
        print(f"measuring: {part.__name__} …", file=sys.stderr, flush=True)
        rows += part()
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": unknown")
    machine = f"{os.cpu_count()} cores ({model.split(': ')[1]}), Python {platform.python_version()}, Linux"
    table = "\n".join(
        [
            "| Claim | Measured | Gate | | How |",
            "|---|---|---|---|---|",
            *(
                f"| {row.claim} | {row.measured:.3g} | {'≥' if row.least else '≤'} {row.gate:g} "
                f"| {'met' if row.good else 'MISSED'} | {row.detail} |"
                for row in rows
            ),
        ]
    )
    print(table)
    if names:
        return 0 if all(row.good for row in rows) else 1
    (HERE / "RESULTS.md").write_text(
        "# Results\n\nWritten by `make bench`: ratios of medians, interleaved in one run over loopback. "
        f"{SERIES:,} series unless a row says otherwise. prometheus_client serves the same bytes from a custom "
        "collector with prepared values. The comparison of cached bytes with rendering is intended."
        f"\n\nMachine: {machine}.\n\n{table}\n"
    )
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
