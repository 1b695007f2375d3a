"""A simulated DataRobot and a watch on it, in a time that passes as fast as the machine can: no socket, no sleep."""

import asyncio
import random
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, NamedTuple

import httpx

from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import Snapshot
from exporter.metrics.exposition import Exposition, account_bodies
from exporter.metrics.registry import FAMILIES, served_accounts
from exporter.simulator import SimulatedApi
from exporter.telemetry.report import Report

START = 1_795_000_000.0


class _Selector(selectors.DefaultSelector):
    """Where the loop would wait, its time moves on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Of a loop without sockets only its own pipe is registered, which nothing is written to.
        ready = super().select(0) if len(self.get_map()) > 1 else []
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self.now += timeout
        return ready


class _AtOnce(ThreadPoolExecutor):
    """What would be done in a thread is done before time can move on."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **named))
        except Exception as error:  # noqa: BLE001 — it is the caller's
            done.set_exception(error)
        return done


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of which time passes only while everybody waits."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self.set_default_executor(_AtOnce())

    def time(self) -> float:
        return self._clock.now

    def _write_to_self(self) -> None:
        """Wake nothing: the loop never waits."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]  # the base class types it with type variables
        """A thread of its own would take real time too."""
        return super().run_in_executor(None, func, *args)

    async def shutdown_default_executor(self, *_: object, **__: object) -> None:
        """There is no thread to wait for; the default implementation starts one, for which the loop cannot wait."""


class Sent(NamedTuple):
    """One request: when (virtual seconds), its path, and the status of its answer."""

    at: float
    path: str
    status: int


class _Filled(httpx.AsyncByteStream):
    """A body repeated up to a size."""

    def __init__(self, body: bytes, size: int) -> None:
        self._body, self._size = body, size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._size // len(self._body)):
            yield self._body


class _Wire(httpx.AsyncBaseTransport):
    def __init__(self, stage: "Stage") -> None:
        self._stage = stage

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stage = self._stage
        at = stage.now
        await asyncio.sleep(stage.latency)  # virtual time
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, query = request.url.raw_path.decode().partition("?")[::2]
        answer = stage.simulator.respond(request.method, path, query, headers)
        stage.sent.append(Sent(at, path.rstrip("/"), answer.status))
        if answer.delay:
            await asyncio.sleep(answer.delay)  # virtual time
        if answer.cut:
            raise httpx.RemoteProtocolError("peer closed connection")
        sent = {"date": formatdate(START + stage.now + stage.ahead, usegmt=True)} | dict(answer.headers)
        if answer.fill:
            return httpx.Response(
                answer.status, headers=sent, stream=_Filled(answer.body, answer.fill), request=request
            )
        return httpx.Response(answer.status, headers=sent, content=answer.body, request=request)


class Stage:
    """`monitor` sweeps the simulator; `run` lets time pass. Call inside `played`.

    `ahead`: seconds that the API's clock is ahead of ours. `step`: seconds by which ours was set since the beginning.
    """

    step = 0.0

    def __init__(
        self,
        simulator: SimulatedApi,
        *,
        rate: float = 100.0,
        concurrency: int = 4,
        latency: float = 0.01,
        interval: float = 30.0,
        known: Snapshot | None = None,
        policy: Policy | None = None,
        report: Report | None = None,
        **plan: Any,
    ) -> None:
        self.simulator, self.latency, self.sent = simulator, latency, list[Sent]()
        self._loop = asyncio.get_running_loop()
        simulator.clock = lambda: START + self.now
        self.report = report or Report(START)
        account = self.report.account("acme", interval, rate, lambda: self.wall)
        self.client = Client(
            "http://simulated.test/api/v2",
            lambda: simulator.token,
            account,
            rate=rate,
            concurrency=concurrency,
            transport=_Wire(self),
            steady=lambda: self.now,
        )
        settings = Plan(900.0, details=policy or Policy(), rate=rate, concurrency=concurrency)._replace(**plan)
        clock = Clock(lambda: self.wall, lambda: self.now)
        self.monitor = AccountMonitor(AccountState(known or Snapshot("acme")), self.client, account, settings, clock)
        self.exposition = Exposition(FAMILIES)

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self._loop.time()

    @property
    def ahead(self) -> float:
        return self.simulator.ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self.simulator.ahead = seconds

    @property
    def wall(self) -> float:
        """Seconds since the epoch, by our clock."""
        return START + self.now + self.step

    async def run(
        self, until: float, each: Callable[[], Awaitable[None]] | None = None, interval: float = 30.0
    ) -> None:
        """Sweep at the interval, with the poller running, until a moment; `each` is called after every sweep."""
        self.monitor.start()
        while self.now < until:
            began = self.now
            with self.monitor.traced():
                await self.monitor.sweep()
            if each is not None:
                await each()
            await asyncio.sleep(max(0.0, min(began + interval, until) - self.now))  # virtual time

    async def rest(self, seconds: float) -> None:
        """Let time pass without sweeps."""
        await asyncio.sleep(seconds)  # virtual time

    def page(self) -> str:
        """What would be on /metrics now, our own metrics left out."""
        self.exposition.update(self.monitor.visible())
        accounts = account_bodies(served_accounts("full"), [("acme", self.monitor.facts)])
        return (
            self.exposition.text() + b"".join(b"".join((body.text_header, *body.samples)) for body in accounts)
        ).decode()

    def samples(self) -> dict[str, str]:
        """The sample lines of the page: series -> value."""
        return dict(line.rsplit(" ", 1) for line in self.page().splitlines() if not line.startswith("#"))


def simulated(workloads: int, **facts: Any) -> SimulatedApi:
    """A fleet of which the stories begin when virtual time does."""
    return SimulatedApi(workloads=workloads, clock=lambda: START, **facts)


def played(play: Callable[[Stage], Awaitable[None]], simulator: SimulatedApi, **stage: Any) -> None:
    """Run `play` on a stage in virtual time: the same each time, though clients wait at random before a retry."""
    random.seed(7)

    async def inside() -> None:
        made = Stage(simulator, **stage)
        try:
            await play(made)
        finally:
            await made.monitor.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(inside())
