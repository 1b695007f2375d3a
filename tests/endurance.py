"""Memory and file descriptors of a daemon over a day that passes in virtual time: ``python -m tests.endurance``.

Each mode is one process: a daemon with details, direct paging, traces and a state file, that talks to a simulated API,
a receiver and a collector over real sockets. Time passes only while all of them wait. Every ten minutes the resident
memory and the descriptors are read, without a garbage collection or a return of free memory before: what is measured is
what an operator observes. The first hour is the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.daemon.memory import limit_fragmentation
from exporter.daemon.prepared import Prepared
from exporter.fleet.reconcile import MAX_GONE
from exporter.settings.loader import load
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.simulator.world import identity
from exporter.state.store import Store
from tests.reliability.day import FILE, HEAD, TITLE, Day, line, rows_of, section
from tests.stage import START, VirtualLoop

HOUR, SAMPLE_SECONDS = 3600.0, 600.0
SWEEP_SECONDS, REFRESH_SECONDS, SCRAPE_SECONDS = 60.0, 20.0, 30.0
FAILING_AFTER = 900.0
"""Seconds of a normal start before a mode begins to fail."""
CUT_SHARE = 0.2
"""Share of the responses that are cut, in the mode that cuts connections."""
CHURNING, CHURN_SPEED = 35, 4.0
"""Workloads each of which is replaced by another one every five minutes: 10,080 a day."""
REMEMBERED_BYTES = 6000
"""Memory of the ledger of a workload that is deleted: 10,000 of them are kept for a week, in case they come back."""
DELETED = 80
"""Workloads that the stories delete in a day, in the modes without churn."""
LIMIT = 0.05
"""By how much memory and descriptors may differ between the first and the last of six hours."""
DAY_LIMIT = 0.1
"""The same for a day, for which `LIMIT` is the aim."""


class Mode(NamedTuple):
    """What is wrong in a mode. `api` and `receiver`: how they fail, each for one of several ten minutes."""

    api: tuple[str, ...] = ()
    receiver: tuple[str, ...] = ()
    collector: tuple[str, ...] = ()
    churn: bool = False  # its memory grows until the maximum number of deleted workloads is remembered
    reloads: bool = False


MODES: Mapping[str, Mode] = {
    "healthy": Mode(),
    "API down": Mode(api=("refuse", "error", "hang", "cut")),
    "collector down": Mode(collector=("refuse", "error", "cut")),
    "receivers down": Mode(receiver=("refuse", "error", "hang", "cut")),
    "10,000 short-lived workloads a day": Mode(churn=True),
    "reload every minute": Mode(reloads=True),
    "connections cut": Mode(api=("sometimes",), receiver=("sometimes",), collector=("sometimes",)),
}


def remembered(mode: str) -> int:
    """Bytes by which memory grows in a day by design: deleted workloads are remembered."""
    return (MAX_GONE if MODES[mode].churn else DELETED) * REMEMBERED_BYTES


class Sample(NamedTuple):
    """At a time in seconds: resident memory in bytes, open descriptors, and what the garbage collection tracks."""

    at: float
    memory: int
    descriptors: int
    objects: int = 0


class Endured(NamedTuple):
    """The samples of one mode."""

    samples: tuple[Sample, ...]

    def hour(self, first: bool) -> tuple[Sample, ...]:
        """The samples of the hour after the warm-up, or of the last one."""
        end = self.samples[-1].at
        return tuple(each for each in self.samples if (HOUR <= each.at < 2 * HOUR if first else each.at > end - HOUR))

    def mean(self, value: Callable[[Sample], int], *, first: bool) -> float:
        """The mean of a value in the first or the last hour."""
        values = [value(each) for each in self.hour(first)]
        return sum(values) / len(values)

    @classmethod
    def of_json(cls, text: str) -> Endured:
        """The samples that a process has printed."""
        return cls(tuple(Sample(*each) for each in json.loads(text)))

    def growth(self, value: Callable[[Sample], int]) -> float:
        """By which share a value is higher in the last hour than in the first."""
        return self.mean(value, first=False) / self.mean(value, first=True) - 1


class _Waited(ThreadPoolExecutor):
    """Work in a thread is complete before virtual time can pass."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        done = super().submit(fn, *args, **named)
        wait([done])
        return done


class Peer:
    """An HTTP server in the loop of the daemon, so that its answers cost no virtual time. `failure` may be changed."""

    def __init__(self, answer: Callable[[str, str, dict[str, str]], tuple[int, list[tuple[str, str]], bytes]]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._random = random.Random(7)
        self._failure, self.port = "", 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def fail(self, failure: str) -> None:
        """Fail in this way from now on; empty: not at all."""
        if failure == self._failure:
            return
        self._failure = failure
        for each in self._connections:
            each.close()
        if failure == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif failure != "refuse" and self._server is None:
            await self.listen()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._answered(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        if self._failure == "hang":
            await reader.read()  # until the client closes the connection
            return False
        status, sent, body = self._answer(method, target, headers)
        if self._failure == "error":
            status, body = 500, b"failed"
        head = "".join(f"{name}: {value}\r\n" for name, value in [*sent, ("content-length", str(len(body)))])
        whole = f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body
        cut = self._failure == "cut" or (self._failure == "sometimes" and self._random.random() < CUT_SHARE)
        writer.write(whole[: self._random.randrange(len(whole))] if cut else whole)
        await writer.drain()
        return not cut


class Collector:
    """A trace collector in a thread: the daemon sends to it from a thread, which virtual time waits for."""

    def __init__(self) -> None:
        self.failure, self.number = "", 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                collector.number += 1
                bad = collector.failure == "cut" or (collector.failure == "sometimes" and collector.number % 5 == 0)
                if bad:
                    self.close_connection = True
                    return
                self.send_response(503 if collector.failure in ("error", "refuse") else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the library
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Scene:
    """A daemon in virtual time, its peers, and what happens in a mode."""

    def __init__(self, mode: Mode, folder: Path, workloads: int) -> None:
        self.mode, self.folder = mode, folder
        self._loop = asyncio.get_running_loop()
        deleted = next(story for story in STORIES if story.name == "deleted")
        self.simulator = Simulator(
            workloads=CHURNING if mode.churn else workloads,
            clock=lambda: self.wall,
            stories=(deleted,) * CHURNING if mode.churn else STORIES,
            speed=CHURN_SPEED if mode.churn else 1.0,
        )
        self.api, self.receiver, self.collector = Peer(self._respond), Peer(lambda *_: (200, [], b"ok")), Collector()
        self.samples: list[Sample] = []
        self._reloads = 0

    @property
    def wall(self) -> float:
        return START + self._loop.time()

    def _respond(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        path, _, query = target.partition("?")
        answer = self.simulator.respond(method, path, query, headers)
        return answer.status, [("date", formatdate(self.wall, usegmt=True)), *answer.headers], answer.body

    def _write_settings(self) -> None:
        account = {"name": "eu", "endpoint": f"http://127.0.0.1:{self.api.port}", "token": self.simulator.token}
        odd = self._reloads % 2
        hook = f"http://127.0.0.1:{self.receiver.port}/"
        settings = {
            "accounts": [account | {"requests_per_second": 100 - odd}],
            "sweep": {"interval": f"{SWEEP_SECONDS:g}s"},
            "detail": {"interval": f"{300 + odd}s"},
            "traces": {"endpoint": f"http://127.0.0.1:{self.collector.port}", "timeout": f"{5 + odd}s"},
            "paging": {
                "who": "direct",
                "receivers": [
                    {"name": "hook", "kind": "webhook", "url": hook + "hook", "timeout": f"{10 + odd}s"},
                    {"name": "chat", "kind": "slack", "webhook_url": hook + "chat", "repeat_interval": "1h"},
                    {"name": "am", "kind": "alertmanager", "urls": [hook]},
                ],
            },
            "web": {"debug_config": True},
        }
        (self.folder / "exporter.yaml").write_text(yaml.safe_dump(settings))

    async def start(self) -> Daemon:
        await self.api.listen()
        await self.receiver.listen()
        self._write_settings()
        file = self.folder / "exporter.yaml"
        clock = Clock(lambda: self.wall, self._loop.time)
        store = Store(self.folder / "state.db")
        self.daemon = daemon = Daemon(
            load(file, {}), lambda: load(file, {}), clock=clock, store=store, settings_files=[file]
        )
        # Sweeps are started in virtual time. A scheduler that was never started would keep each job that was added.
        daemon.schedule._scheduler.start(paused=True)
        daemon.garbage.start()
        new = Prepared(daemon.settings)
        daemon.prepare(new)
        daemon.files.in_force = new.contents
        daemon.running = True
        daemon.traces.replace(new)
        daemon.replace_accounts(new)
        daemon.accounts.start_polling()
        await daemon.paging.replace(new.settings, new.take_notifiers())
        await new.aclose()
        return daemon

    async def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        while True:
            await work()
            await asyncio.sleep(seconds)  # virtual time

    async def _scrape(self) -> None:
        for path in ("/metrics", "/", "/sd", "/-/ready"):
            sent: list[Any] = []

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"accept-encoding", b"gzip")]}
            await self.daemon.application(scope, None, send)

    async def _fail(self) -> None:
        now = self._loop.time()
        for peer, failures in ((self.api, self.mode.api), (self.receiver, self.mode.receiver)):
            if failures and now >= FAILING_AFTER:
                await peer.fail(failures[int(now / SAMPLE_SECONDS) % len(failures)])
        if self.mode.collector and now >= FAILING_AFTER:
            self.collector.failure = self.mode.collector[int(now / SAMPLE_SECONDS) % len(self.mode.collector)]

    async def _reload(self) -> None:
        if self.mode.reloads and self._loop.time() >= FAILING_AFTER:
            self._reloads += 1
            self._write_settings()
            assert await self.daemon.reload() == []

    def _forget(self) -> None:
        """Free what the simulated API remembers: it is in the same process."""
        identity.cache_clear()
        for number in range(self.simulator.world.size):
            actor = self.simulator.world.actor(number)
            actor.story = actor.story  # forgets its history

    async def live(self, hours: float, note: Callable[[Sample], None]) -> None:
        daemon = await self.start()
        work = [
            (SWEEP_SECONDS, lambda: daemon.sweep("eu")),
            (REFRESH_SECONDS, daemon.refresh_page),
            (REFRESH_SECONDS, daemon.watch_files),
            (SCRAPE_SECONDS, self._scrape),
            (SWEEP_SECONDS, self._fail),
            (SWEEP_SECONDS, self._reload),
        ]
        tasks = [asyncio.create_task(self._every(*each)) for each in work]
        while self._loop.time() < hours * HOUR:
            await asyncio.sleep(SAMPLE_SECONDS)  # virtual time
            for task in tasks:
                assert not task.done(), task.result()
            self._forget()
            note(sample(self._loop.time()))
        for task in tasks:
            task.cancel()
        for peer in (self.api, self.receiver):
            await peer.fail("refuse")
        await daemon.paging.aclose()
        await daemon.accounts.aclose()
        await daemon.traces.aclose()
        daemon.store.close()
        self.collector.close()


def sample(at: float) -> Sample:
    """What this process uses now."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    return Sample(at, resident, len([*Path("/proc/self/fd").iterdir()]) - 1, gc.get_freeze_count())


async def _lived(mode: Mode, folder: Path, workloads: int, hours: float, note: Callable[[Sample], None]) -> None:
    await Scene(mode, folder, workloads).live(hours, note)


def endured(mode: str, hours: float, workloads: int = 20, note: Callable[[Sample], None] = lambda _: None) -> Endured:
    """The samples of a mode over virtual hours."""
    samples: list[Sample] = []

    def noted(each: Sample) -> None:
        samples.append(each)
        note(each)

    limit_fragmentation()
    random.seed(7)
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        _Waited(2) as threads,
    ):
        runner.get_loop().set_default_executor(threads)
        runner.run(_lived(MODES[mode], Path(folder), workloads, hours, noted))
    return Endured(tuple(samples))


def day(mode: str, hours: float, result: Endured) -> Day:
    """A row of the table."""

    def memory(*, first: bool) -> str:
        return f"{result.mean(lambda each: each.memory, first=first) / 1e6:.1f}"

    def files(*, first: bool) -> str:
        return f"{result.mean(lambda each: each.descriptors, first=first):.0f}"

    growth = f"{result.growth(lambda each: each.memory):+.1%}"
    return Day(
        mode, f"{hours:g}", memory(first=True), memory(first=False), growth, files(first=True), files(first=False)
    )


def write(row: Day) -> None:
    """Write this row of the section in docs/reliability.md; the rows of other modes stay."""
    text = FILE.read_text()
    rows = rows_of(text) | {row.mode: row}
    ordered = {mode: rows[mode] for mode in MODES if mode in rows}
    FILE.write_text(text.partition(TITLE)[0] + written(ordered))


def written(rows: Mapping[str, Day]) -> str:
    """The section with these rows."""
    return section(
        rows,
        limit=DAY_LIMIT,
        aim=LIMIT,
        remembered_bytes=REMEMBERED_BYTES,
        most=MAX_GONE,
        churning=CHURNING,
        deleted=DELETED,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="*", default=list(MODES), metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--verbose", action="store_true", help="print each sample")
    parser.add_argument("--write", action="store_true", help="write the rows in docs/reliability.md")
    parser.add_argument("--json", action="store_true", help="print only the samples of one mode, as JSON")
    options = parser.parse_args()

    def note(each: Sample) -> None:
        if options.verbose:
            used = f"{each.memory / 1e6:7.1f} MB {each.descriptors:4d} {each.objects}"
            print(f"{each.at / HOUR:5.1f} h {used}", flush=True)

    if options.json:
        print(json.dumps(endured(options.modes[0], options.hours).samples))
        return
    if len(options.modes) == 1:
        row = day(options.modes[0], options.hours, endured(options.modes[0], options.hours, note=note))
        print(line(row), flush=True)
        if options.write:
            write(row)
        return
    more = ["--write"] if options.write else []
    print(f"{HEAD}\n|{'---|' * len(Day._fields)}", flush=True)
    for mode in options.modes:  # each in a process of its own
        command = [sys.executable, "-m", "tests.endurance", mode, f"--hours={options.hours:g}", *more]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
