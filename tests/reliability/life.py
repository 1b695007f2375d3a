"""One run: a daemon with its API, receivers and collector in virtual time, until all of its pages have ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporter.clock import Clock
from exporter.daemon import lifetime
from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.settings.loader import load
from exporter.simulator.oddities import SimulatedResponse
from exporter.state.opened import open_store
from exporter.state.store import Store
from exporter.web.server import Server
from exporter.web.web_config import WebSecurity
from tests.e2e.servers import free_port
from tests.reliability.observed import Observed
from tests.reliability.scraper import scraped
from tests.reliability.servers import Peer, Reply, Request, reply
from tests.reliability.virtual import VirtualLoop
from tests.reliability.world import END, FAULT_BEGINS, simulated

if TYPE_CHECKING:
    from tests.postgresql import Server as Postgresql
    from tests.reliability.fault import Fault, Injection

START = 1_795_000_000.0
UNIT = 60.0
"""Seconds of a unit of the world, and between two polls of the list and of details; there are two scrapes in each."""
REFRESH_LEAD_SECONDS = 3.0
API_PORT, PORT = free_port(), free_port()
"""Of the API and of the exporter, the same in each run: the ids of traces depend on the first."""
Answer = Callable[[Request, SimulatedResponse], Reply | SimulatedResponse]
"""What the API answers in place of a response."""


class Life:
    """The parts of a run, for a fault to break: `api`, `hook` and `other` (receivers), `collector`, `daemon`, `file`.

    `answers` replaces responses of the API. `ahead`: seconds by which our wall clock was set. `tls`: how the scraper
    connects; None: without TLS.
    """

    api_port, port = API_PORT, PORT

    def __init__(self, folder: Path, fault: Fault, start: float = START, unit: float = UNIT) -> None:
        self._loop = asyncio.get_running_loop()
        self.folder, self._fault, self._start, self.unit = folder, fault, start, unit
        self.scrape_timeout = unit / 6  # as Prometheus, a third of the interval
        self._serves = fault.serves
        self._security: WebSecurity | None = None
        self.tls: ssl.SSLContext | None = None
        self.observed = Observed()
        self.answers: Answer = lambda _, response: response
        self.simulator = simulated(unit, start)
        self.simulator.clock = lambda: start + self.now
        self.ahead = 0.0
        self.clock = Clock(lambda: start + self.now + self.ahead, lambda: 1000.0 + self.now, asyncio.sleep)
        wall = self.simulator.clock
        self.api = Peer(self._api, lambda: wall() + self.simulator.ahead, port=self.api_port)
        self.hook, self.other = Peer(self.accept_page("hook"), wall), Peer(self.accept_page("other"), wall)
        self.collector = Peer(self.accept_spans, wall)
        self._servers = self.api, self.hook, self.other, self.collector
        self._own: set[asyncio.Task[Any]] = set()
        """Tasks of the run that are neither of a peer nor of the daemon."""
        self._lives = False
        self.file, self.token = folder / "exporter.yaml", folder / "token"
        self.more: Mapping[str, Any] = fault.settings
        self.stack = contextlib.ExitStack()
        """What ends with the run."""
        self.postgresql: Postgresql | None = None
        self.account: Mapping[str, Any] = {}
        self.requests: list[tuple[float, str]] = []
        self.store: Store
        self.daemon: Daemon
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._loop.time()

    @property
    def endpoint(self) -> str:
        """The URL of the API. The ids of traces depend on it."""
        return self.api.url

    # -- the peers

    async def _api(self, request: Request) -> Reply:
        self.requests.append((self.now, request.path))
        response = self.simulator.respond(request.method, request.path, request.query, request.headers)
        answer = self.answers(request, response)
        return reply(answer) if isinstance(answer, SimulatedResponse) else answer

    def accept_page(self, receiver: str) -> Callable[[Request], Any]:
        """What a receiver does with a notification."""

        async def accept(request: Request) -> Reply:
            self.observed.paged(self.now, receiver, request.content)
            return Reply()

        return accept

    async def accept_spans(self, request: Request) -> Reply:
        """What the collector does with a request."""
        self.observed.collected(self.now, request.content)
        return Reply()

    # -- the daemon

    def settings(self) -> dict[str, Any]:
        """The settings of the run."""
        hook, interval = {"kind": "webhook", "timeout": "5s"}, f"{self.unit:g}s"
        made: dict[str, Any] = {
            "web": {"listen_address": [f"127.0.0.1:{self.port}"]},
            "accounts": [{"name": "eu", "endpoint": self.endpoint, "token_file": str(self.token), **self.account}],
            "sweep": {"interval": interval},
            "detail": {"parts": ["pods", "events", "replacement"], "interval": interval},
            "alerts": {"wait": {"DataRobotWorkloadErrored": interval, "DataRobotContainerCrashLooping": interval}},
            "state": {"path": str(self.folder / "state.db")},
            "paging": {
                "who": "direct",
                "receivers": [
                    {"name": "hook", "url": self.hook.url, **hook},
                    {"name": "other", "url": self.other.url, **hook},
                ],
            },
            "traces": {
                "endpoint": self.collector.url,
                "self_traces": False,
            },
        }
        for section, value in self.more.items():
            made[section] = made[section] | value if isinstance(made.get(section), dict) else value
        return made

    def write(self, settings: Mapping[str, Any] | None = None) -> None:
        """Write the settings file."""
        self.file.write_text(yaml.safe_dump(dict(settings or self.settings())))

    async def start(self) -> None:
        """Start the daemon, as its process does."""
        loaded = load(self.file, {})
        self.store = await asyncio.to_thread(open_store, loaded.state)
        self.daemon = daemon = Daemon(
            loaded, lambda: load(self.file, {}), clock=self.clock, store=self.store, settings_files=[self.file]
        )
        new = Prepared(loaded)
        await asyncio.to_thread(daemon.prepare, new)
        daemon.files.in_force = new.contents
        daemon.running = True
        daemon.traces.replace(new)
        daemon.replace_accounts(new)
        daemon.accounts.start_polling()
        await daemon.paging.replace(loaded, new.take_notifiers())
        await new.aclose()
        work = [self._sweeps(), self._refreshes(), self._watches()]
        if self._serves:
            self._server, self._security = lifetime._server(daemon)
            work.append(self._serve(self._server))
        self._tasks = [asyncio.create_task(each) for each in work]
        self._lives = True

    async def _sweeps(self) -> None:
        """The schedule: a sweep at each interval, never two at once. APScheduler knows no virtual time."""
        begins = self.now
        while True:
            await self.daemon.sweep("eu")
            begins += self.unit * (1 + max(0.0, self.now - begins) // self.unit)
            await asyncio.sleep(begins - self.now)  # virtual time

    async def _serve(self, server: Server) -> None:
        try:
            await server.run_until_stopped()
        finally:
            for each in server._sockets:
                asyncio.get_running_loop().remove_reader(each)
                each.close()
            for connection in [*server.server_state.connections]:
                connection.transport.abort()

    async def _watches(self) -> None:
        """The timer of files."""
        while True:
            await asyncio.sleep(lifetime.REFRESH_SECONDS)  # virtual time
            await self.daemon.watch_files()
            if self._security is not None:
                await self._security.refresh()

    async def _refreshes(self) -> None:
        """The timer of pages: before each scrape, not every five seconds, which would take longer."""
        await asyncio.sleep(self.unit / 2 - REFRESH_LEAD_SECONDS)  # virtual time
        while True:
            self.daemon.schedule.follow_clock()
            await self.daemon.refresh_page()
            await asyncio.sleep(self.unit)  # virtual time

    async def stop(self) -> None:
        """Stop the daemon, as SIGTERM does."""
        self._lives = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.daemon.accounts.aclose()
        await self.daemon.state.commit()
        await asyncio.gather(self.daemon.paging.aclose(), self.daemon.traces.aclose())
        self.store.close()

    async def kill(self) -> None:
        """End the daemon as SIGKILL does: what is not in the state file now is lost."""
        self._lives = False
        files = [Path(f"{self.store.path}{suffix}") for suffix in ("", "-wal", "-shm")]
        kept = {file: file.read_bytes() for file in files if file.exists()}
        peers = {task for server in self._servers for task in server.tasks}
        for task in asyncio.all_tasks() - peers - self._own - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait({task})
        for monitor in self.daemon.accounts.monitors.values():
            await monitor.client.aclose()
        if self.daemon.traces.sender is not None:
            self.daemon.traces.sender._transport.close()
        self.store.close()  # writes what a killed process would not have written
        for file in files:
            file.unlink(missing_ok=True)
        for file, content in kept.items():
            file.write_bytes(content)

    async def scrape(self) -> str | None:
        """The page of /metrics; None: there is none."""
        if not self._lives:
            return None
        if self._serves:
            return await scraped(self.port, self.tls)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.daemon.application({"type": "http", "method": "GET", "path": "/metrics", "headers": []}, None, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return body.decode() if sent[0]["status"] == 200 else None

    async def _scrapes(self) -> None:
        for number in itertools.count(1):
            at = number * self.unit / 2
            await asyncio.sleep(max(0.0, at - self.now))  # virtual time
            try:
                async with asyncio.timeout(self.scrape_timeout):
                    page = await self.scrape()
            except (TimeoutError, OSError):
                page = None
            self.observed.scraped(at, page)

    async def reach(self, units: float) -> None:
        """Wait until so many units after the start."""
        await asyncio.sleep(max(0.0, units * self.unit - self.now))  # virtual time

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All peers and the daemon."""
        current = asyncio.current_task()
        assert current is not None
        self._own.add(current)
        try:
            self._fault.prepare(self)
            for each in self._servers:
                await each.up()
            self.token.write_text(self.simulator.token)
            self.write()
            await self.start()
            self._own.add(asyncio.create_task(self._scrapes()))
            yield
        finally:
            for task in self._own - {current}:
                task.cancel()
            if self._lives:
                await self.stop()
            for each in self._servers:
                await each.close()
            self.stack.close()

    # -- faults

    @contextmanager
    def odd(self, *names: str) -> Iterator[None]:
        """Oddities of the simulated API."""
        self.simulator.odd = names
        yield
        self.simulator.odd = ()

    @contextmanager
    def answering(self, answers: Answer) -> Iterator[None]:
        """Responses of the API other than those of the simulator."""
        before, self.answers = self.answers, answers
        yield
        self.answers = before


async def enter(stack: contextlib.AsyncExitStack, injection: Injection) -> None:
    """Begin a fault, which ends with the stack."""
    if isinstance(injection, contextlib.AbstractAsyncContextManager):
        await stack.enter_async_context(injection)
    else:
        stack.enter_context(injection)


async def lived(life: Life, fault: Fault) -> Observed:
    """Run from the start to the end, with a fault."""
    async with life.running(), contextlib.AsyncExitStack() as stack:
        await life.reach(FAULT_BEGINS)
        await enter(stack, fault.inject(life))
        await life.reach(FAULT_BEGINS + fault.minutes)
        await stack.aclose()
        life.observed.ended = life.now
        await life.reach(END)
    return life.observed


def live(folder: Path, fault: Fault) -> Observed:
    """The same in virtual time."""
    random.seed(7)

    async def inside() -> Observed:
        return await lived(Life(folder, fault), fault)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(inside())
