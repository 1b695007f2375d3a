"""A server with real sockets whose application a test controls, and clients for it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import httpx
import uvloop

from exporter.metrics.exposition import Body
from exporter.web.application import Application, ServerLimits
from exporter.web.metrics_page import Published, Publisher
from exporter.web.responses import Rows, encoded
from exporter.web.server import Server
from exporter.web.silence_form import Tokens

PAGE = Publisher().publish(
    [Body("a", b"# TYPE a gauge\n", b"# TYPE a gauge\n", (b"a 1.0\n" * 1000,)), Body("b", b"# B\n", b"# B2\n", ())],
    b"own 2.0\n",
    b"own 2.0\n",
)


async def no_silences(_method: str, _parameters: Mapping[str, str]) -> Rows:
    return []


class Served:
    """An application whose inputs a test may change, and what it counted."""

    def __init__(self, page: Published = PAGE, limits: ServerLimits = ServerLimits()) -> None:  # noqa: B008 — immutable
        self.age, self.reason, self.problems = 0.0, "", list[str]()
        self.config: str | None = None
        self.episodes: list[dict[str, object]] | None = None
        self.reloads, self.silenced = 0, list[str]()
        self.counted: list[tuple[str, str]] = []
        self.refused, self.closed = Counter[str](), Counter[str]()
        self.page_ready: asyncio.Event | None = None
        self.application = Application(
            metrics_path="/metrics",
            reload=self.reload,
            heartbeat_age=lambda: self.age,
            not_ready=lambda: self.reason,
            status_page=self.status_page,
            workload_page=self.workload_page,
            workload_json=self.workload_json,
            workloads_csv=self.status_page,
            workloads_json=self.status_page,
            config=lambda: self.config,
            episodes=self.open_episodes,
            targets=self.targets,
            silences=self.silences,
            count=lambda path, code: self.counted.append((path, code)),
            refused=lambda reason: self.refused.update([reason]),
            closed=lambda reason: self.closed.update([reason]),
            limits=limits,
        )
        self.application.publish(page)

    async def open_episodes(self) -> bytes | None:
        return None if self.episodes is None else encoded(self.episodes)

    async def targets(self) -> bytes:
        return b"[]"

    async def silences(self, method: str, _: Mapping[str, str]) -> Rows:
        if method != "GET":
            self.silenced.append(method)
        return []

    async def reload(self) -> list[str]:
        self.reloads += 1
        return self.problems

    async def status_page(self, query: str) -> bytes:
        if self.page_ready is not None:
            await self.page_ready.wait()
        return f"<p>{query}".encode()

    async def workload_page(self, workload_id: str, query: str, tokens: Tokens | None) -> tuple[int, bytes]:
        form = "" if tokens is None else f" token={tokens('eu', workload_id)} "
        return (404 if workload_id == "unknown" else 200), f"<p>{workload_id} {query}{form}".encode()

    async def workload_json(self, workload_id: str, query: str) -> tuple[int, bytes]:
        return (404 if workload_id == "unknown" else 200), f'"{workload_id} {query}"'.encode()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[str, int]]:
        server = self.server = Server(self.application, ["127.0.0.1:0"])
        (address, *_) = server.addresses
        running = asyncio.create_task(server.run_until_stopped())
        try:
            yield address
        finally:
            server.stop()
            await running

    def serve(self, work: Callable[[str, int], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with self.serving() as (host, port):
                return await work(host, port)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
            return runner.run(inside())

    async def idle(self) -> None:
        """Wait until the server has received a request and closed all connections."""
        while not self.counted or self.server.server_state.connections:  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0.01)  # polling interval: real sockets take real time

    def request(self, method: str, path: str, **headers: str) -> httpx.Response:
        async def work(host: str, port: int) -> httpx.Response:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
                return await client.request(method, path, headers=headers)

        response: httpx.Response = self.serve(work)
        return response


class Client:
    """A connection of a test, from an address of its choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def response(self) -> tuple[int, int]:
        """The status of the next response, and the size of its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = 0 if b"content-length" not in head else len(await self.reader.readexactly(size))
        return int(head.split()[1]), body

    async def request(self, request: bytes) -> int:
        self.writer.write(request)
        return (await self.response())[0]

    async def is_closed(self) -> bool:
        """Whether the server has closed it. Waits forever for one that stays open and idle."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


class Connect(Protocol):
    """Opens a connection and sends something; it is closed at the end of the test."""

    async def __call__(self, sent: bytes = b"", address: str = "127.0.0.1") -> Client: ...


@contextlib.asynccontextmanager
async def connecting(served: Served) -> AsyncIterator[Connect]:
    """A running server; yields the function that connects clients to it."""
    clients: list[Client] = []
    async with served.serving() as (host, port):

        async def connect(sent: bytes = b"", address: str = "127.0.0.1") -> Client:
            clients.append(Client(*await asyncio.open_connection(host, port, local_addr=(address, 0))))
            clients[-1].writer.write(sent)
            return clients[-1]

        try:
            yield connect
        finally:
            for each in clients:
                each.writer.transport.abort()


def run_clients(served: Served, work: Callable[[Connect], Awaitable[Any]]) -> Any:
    """Run `work` with a server; returns its result."""

    async def inside() -> Any:
        async with connecting(served) as connect, asyncio.timeout(60):
            return await work(connect)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
        return runner.run(inside())


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "host: x", *headers, "", ""]).encode("latin-1")


CLOSE = "connection: close"
PRIORITISED = ("/metrics", "/-/healthy", "/-/ready")
LIMIT, ORDINARY = ServerLimits().connections, ServerLimits().connections - ServerLimits().reserved
LARGE = Publisher().publish([Body("a", b"", b"", (b"x" * 25_000_000,))], b"", b"")
READ_LARGE = get("/metrics", "accept-encoding: identity")


async def prioritised_statuses(connect: Connect) -> set[int]:
    """Status codes of requests of new clients for metrics and health, in every form."""
    requests = [get(path, *close) for path in PRIORITISED for close in ((), (CLOSE,))]
    requests += [get(path, method="HEAD") for path in PRIORITISED] + [get(path, version="1.0") for path in PRIORITISED]
    statuses = set()
    for request in requests:
        client = await connect(request)
        head = await client.reader.readuntil(b"\r\n\r\n")
        statuses.add(int(head.split()[1]))
    return statuses
