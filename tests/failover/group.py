"""Replicas of the daemon in virtual time, with a real PostgreSQL whose clock is virtual too."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent import futures
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import yaml

from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.settings.loader import load
from exporter.state.database import Session, StateError
from exporter.state.leases import LeaseTable, Turn
from exporter.state.postgresql import Postgresql
from exporter.state.store import Store
from tests.e2e.servers import free_port
from tests.failover.freezing import Freezer, factory
from tests.postgresql import Server
from tests.receivers import HttpReceiver
from tests.reliability import virtual
from tests.reliability.observed import Observed, Scrape, samples
from tests.reliability.servers import Peer, Reply, Request, reply
from tests.reliability.world import END, simulated

START, UNIT = 1_795_000_000.0, 60.0
REFRESH_SECONDS = 10.0
SETTLED_UNITS = 3.0
"""After which no account moves without a fault."""
PORTS = [free_port() for _ in range(5)]
"""Of the APIs, the same in each run: the ids of traces depend on them."""


class VirtualLoop(virtual.VirtualLoop):
    """What would be done in a thread is done before time can move on: PostgreSQL takes no virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(factory)
        self._threads = futures.ThreadPoolExecutor(1)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]  # narrower, for these tests
        return asyncio.wrap_future(_completed(self._threads.submit(func, *args)), loop=self)


def _completed(future: Future[Any]) -> Future[Any]:
    futures.wait([future])
    return future


class Cut(Postgresql):
    """A database that may not be reachable."""

    cut = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        self._check()
        with super().transaction() as db:
            yield db

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        self._check()
        with super().reading() as db:
            yield db

    def _check(self) -> None:
        if self.cut:
            raise StateError("the network is cut")


class Replica:
    """One daemon. `freezer`: stops its tasks. `serves`: accounts of which its page contains a complete sweep."""

    def __init__(self, group: Group, name: str) -> None:
        self._group, self.name = group, name
        self.freezer = Freezer()
        self.databases = [Cut(group.url, shared=True) for _ in range(2)]
        loaded = load(group.file, {})
        group_clock = Clock(lambda: START + group.now, lambda: 1000.0 + group.now, asyncio.sleep)

        class Leases(LeaseTable):
            def turn(self, *given: Any) -> Turn:
                group.set_clock()
                return super().turn(*given)

        table = Leases(self.databases[1], name, f"http://{name}", steady=group_clock.steady)
        self.daemon = Daemon(loaded, lambda: loaded, clock=group_clock, store=Store(self.databases[0]), leases=table)

    @property
    def ended(self) -> bool:
        return self.freezer.dead

    @property
    def serves(self) -> frozenset[str]:
        if self.ended or self.freezer.frozen:
            return frozenset()
        return self.daemon.publication._complete & self.daemon.accounts.monitors.keys()

    async def live(self) -> None:
        """As the process does, without a web server; APScheduler knows no virtual time."""
        daemon = self.daemon
        new = Prepared(daemon.settings)
        daemon.prepare(new)
        daemon.running = True
        daemon.traces.replace(new)
        daemon.replace_accounts(new)
        daemon.accounts.start_polling()
        await daemon.paging.replace(new.settings, new.take_notifiers())
        await new.aclose()
        assert daemon.leases is not None
        tasks = [asyncio.create_task(each) for each in (daemon.leases.run(), self._sweeps(), self._refreshes())]
        await asyncio.gather(*tasks)

    async def _sweeps(self) -> None:
        begun: dict[object, float] = {}
        while True:
            for name, monitor in self.daemon.accounts.monitors.items():
                if self._group.now - begun.get(monitor, -UNIT) >= UNIT:
                    begun[monitor] = self._group.now
                    self.daemon.tasks.start(self.daemon.sweep(name))
            await asyncio.sleep(1.0)  # virtual time

    async def _refreshes(self) -> None:
        while True:
            await self.daemon.refresh_page()
            await asyncio.sleep(REFRESH_SECONDS)  # virtual time

    def kill(self) -> None:
        """End it as SIGKILL does; the server notices the end of the connections."""
        self.freezer.kill()
        for each in self.databases:
            each.close()
        self._close_transport()

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        daemon = self.daemon
        assert daemon.leases is not None

        async def stopping() -> None:
            for task in self.freezer.tasks - {asyncio.current_task()}:
                if "Replica" in repr(task) or "Leases.run" in repr(task):
                    task.cancel()
            assert daemon.leases is not None
            await daemon.leases.stop()
            await daemon.accounts.aclose()
            await daemon.state.commit()
            await asyncio.gather(daemon.paging.aclose(), daemon.traces.aclose())
            await daemon.leases.leave()

        await self.freezer.start(stopping())
        self.kill()

    def _close_transport(self) -> None:
        if self.daemon.traces.sender is not None:
            self.daemon.traces.sender._transport.close()

    async def page(self) -> dict[str, str]:
        """The samples that it serves; none, if it does not respond."""
        if self.ended or self.freezer.frozen:
            return {}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.daemon.application({"type": "http", "method": "GET", "path": "/metrics", "headers": []}, None, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return samples(body.decode()) if sent[0]["status"] == 200 else {}


class Group:
    """`replicas` that share accounts. `gaps`: account, and from when until when no replica served it.

    `requests_settled`: number of requests to the APIs after `SETTLED_UNITS`.
    """

    def __init__(self, folder: Path, server: Server, accounts: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.names = [f"account-{number}" for number in range(accounts)]
        self.observed = Observed()
        self.replicas: list[Replica] = []
        self.requests_settled = 0
        self.gaps: list[tuple[str, float, float]] = []
        self._unserved: dict[str, float] = {}
        self._admin = psycopg.connect(
            f"host={server.folder} port={server.port} user=postgres dbname=postgres", autocommit=True
        )
        self._schema, self.url = self._made_schema(server)
        self.set_clock()
        self._simulators = [simulated(UNIT, START) for _ in self.names]
        for each in self._simulators:
            each.clock = lambda: START + self.now
        wall = self._simulators[0].clock
        self._apis = [
            Peer(self._api(each), wall, port=port) for each, port in zip(self._simulators, PORTS, strict=False)
        ]
        self.hook = Peer(self._page, wall)
        self.collector = HttpReceiver()
        self.file = folder / "exporter.yaml"

    def _made_schema(self, server: Server) -> tuple[str, str]:
        url = server.url()
        schema = url.rpartition("%3D")[2]
        self._admin.execute(f"CREATE SCHEMA {schema}_clock")
        self._admin.execute(f"GRANT USAGE ON SCHEMA {schema}_clock TO exporter")
        self._admin.execute(f"CREATE TABLE {schema}_clock.at (now timestamptz)")
        self._admin.execute(f"INSERT INTO {schema}_clock.at VALUES (to_timestamp(0))")
        self._admin.execute(f"GRANT SELECT ON {schema}_clock.at TO exporter")
        self._admin.execute(
            f"CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE "
            f"AS 'SELECT now FROM {schema}_clock.at'"
        )
        return schema, f"{url}%2Cpg_catalog"

    def set_clock(self) -> None:
        """Set the database's clock to the virtual time."""
        self._admin.execute(f"UPDATE {self._schema}_clock.at SET now = to_timestamp({START + self.now})")

    @property
    def now(self) -> float:
        return self._loop.time()

    def _api(self, simulator: Any) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Reply:
            self.requests_settled += self.now > SETTLED_UNITS * UNIT
            return reply(simulator.respond(request.method, request.path, request.query, request.headers))

        return answer

    async def _page(self, request: Request) -> Reply:
        self.observed.paged(self.now, "hook", request.content)
        return Reply()

    def _settings(self) -> dict[str, Any]:
        interval = f"{UNIT:g}s"
        return {
            "accounts": [
                {"name": name, "endpoint": api.url, "token": simulator.token}
                for name, api, simulator in zip(self.names, self._apis, self._simulators, strict=True)
            ],
            "select": {"shard": "auto"},
            "state": {"url": self.url},
            "sweep": {"interval": interval},
            "detail": {"parts": ["pods", "events", "replacement"], "interval": interval},
            "alerts": {"wait": {"DataRobotWorkloadErrored": interval, "DataRobotContainerCrashLooping": interval}},
            "paging": {
                "who": "direct",
                "receivers": [{"name": "hook", "kind": "webhook", "url": self.hook.url, "timeout": "5s"}],
            },
            "traces": {"endpoint": self.collector.url, "self_traces": False},
        }

    def start(self) -> Replica:
        """One more replica."""
        replica = Replica(self, f"replica-{len(self.replicas)}")
        self.replicas.append(replica)
        replica.freezer.start(replica.live())
        return replica

    @property
    def alive(self) -> list[Replica]:
        """The replicas that work."""
        return [each for each in self.replicas if not each.ended]

    async def _watch(self) -> None:
        """Which accounts are served, each second, and two scrapes in each unit."""
        second = 0
        while True:
            await asyncio.sleep(1.0)  # virtual time
            second += 1
            served = frozenset().union(*(each.serves for each in self.alive)) if self.alive else frozenset()
            for name in self.names:
                if name in served and name in self._unserved:
                    self.gaps.append((name, self._unserved.pop(name), self.now))
                elif name not in served:
                    self._unserved.setdefault(name, self.now)
            if second % (UNIT / 2) == 0:
                merged: dict[str, str] = {}
                for replica in self.alive:
                    for series, value in (await replica.page()).items():
                        merged[series] = max(merged.get(series, value), value, key=float)
                self.observed.scrapes.append(Scrape(self.now, merged))

    async def reach(self, units: float) -> None:
        await asyncio.sleep(max(0.0, units * UNIT - self.now))  # virtual time

    @contextlib.asynccontextmanager
    async def running(self, replicas: int) -> AsyncIterator[None]:
        """All peers, and so many replicas."""
        with self.collector:
            for each in (*self._apis, self.hook):
                await each.up()
            self.file.write_text(yaml.safe_dump(self._settings()))
            for _ in range(replicas):
                self.start()
            watching = asyncio.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()
                for replica in self.alive:
                    replica.kill()
                for each in (*self._apis, self.hook):
                    await each.close()
                self._admin.close()
            for request in self.collector.received:
                self.observed.collected(0.0, request.body)


def calm(folder: Path, server: Server, accounts: int, replicas: int = 1) -> Group:
    """A run without faults."""

    async def inside() -> Group:
        group = Group(folder, server, accounts)
        async with group.running(replicas):
            await group.reach(END)
        return group

    return run(inside)


def run(work: Callable[[], Coroutine[Any, Any, Group]]) -> Group:
    """Run in virtual time."""
    random.seed(7)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())
