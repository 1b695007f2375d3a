"""Limits for slow clients, oversized requests, and the number of connections, over real sockets."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.metrics.exposition import Body
from exporter.web.application import ServerLimits
from exporter.web.http_protocol import HttpProtocol
from exporter.web.metrics_page import Publisher
from tests.web.serving import (
    CLOSE,
    LARGE,
    LIMIT,
    ORDINARY,
    PRIORITISED,
    READ_LARGE,
    Connect,
    Served,
    get,
    prioritised_statuses,
    run_clients,
)


async def exchange(host: str, port: int, *sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    for part in sent:
        writer.write(part)
    response = await reader.read()
    writer.close()
    return response


def test_an_oversized_head_is_rejected() -> None:
    long = b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + b"x-odd: " + b"y" * 40_000
    assert Served().serve(lambda host, port: exchange(host, port, long)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("incomplete", [b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nhost: x\r\n"])
def test_a_client_that_never_completes_its_head_is_disconnected(incomplete: bytes) -> None:
    served = Served(limits=ServerLimits(head_seconds=0.05))
    assert served.serve(lambda host, port: exchange(host, port, incomplete)) == b""


def test_a_client_that_does_not_read_is_disconnected() -> None:
    big = Publisher().publish([Body("a", b"", b"", (b"x" * 25_000_000,))], b"", b"")
    served = Served(big, ServerLimits(write_seconds=0.1))

    async def work(host: str, port: int) -> bool:
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: identity\r\n\r\n")
        await served.idle()  # the server closes the connection
        size = 0
        try:
            while part := await reader.read(1 << 20):
                size += len(part)
        except ConnectionResetError:
            return size < 25_000_000
        finally:
            writer.close()
        return size < 25_000_000

    assert served.serve(work)


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        (b"", get("/-/healthy")),
        (b"GET /metrics HTTP/1.1\r\nhost", b": x\r\n\r\n"),
        (get("/-/healthy"), get("/-/healthy")),
    ],
    ids=["nothing sent", "half a head sent", "a request completed"],
)
def test_a_new_connection_is_served_and_the_longest_idle_one_is_closed(sent: bytes, rest: bytes) -> None:
    served = Served()

    async def work(connect: Connect) -> tuple[list[int], list[bool], int]:
        clients = []
        for _ in range(LIMIT):
            clients.append(await connect(sent))
            if sent.endswith(b"\r\n\r\n"):
                await clients[-1].response()
        scrapers = [await connect() for _ in PRIORITISED]
        statuses = [await each.request(get(path)) for each, path in zip(scrapers, PRIORITISED, strict=True)]
        closed = [await each.is_closed() for each in clients[:3]]
        return statuses, closed, await clients[3].request(rest)

    assert run_clients(served, work) == ([200, 200, 200], [True, True, True], 200)
    assert served.closed == {"idle": 3}


@pytest.mark.parametrize("disconnect", [False, True], ids=["clients wait", "clients disconnect"])
def test_slow_requests_leave_room_for_metrics_and_health(disconnect: bool) -> None:
    served = Served()

    async def work(connect: Connect) -> tuple[set[int], list[int]]:
        served.page_ready = asyncio.Event()
        slow = [await connect(get("/")) for _ in range(ORDINARY)]
        while len(served.server.server_state.tasks) < ORDINARY:  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0)  # let the other tasks run
        if disconnect:
            for each in slow:
                each.writer.close()
        found = await prioritised_statuses(connect)
        one_more = await connect(get("/"))
        refused = await one_more.reader.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in refused
        served.page_ready.set()
        return found, [] if disconnect else [(await each.response())[0] for each in slow]

    assert run_clients(served, work) == ({200}, [] if disconnect else [200] * ORDINARY)
    assert (served.refused, served.closed) == ({"busy": 1}, {})
    assert ("/", "503") in served.counted


@pytest.mark.parametrize("request_", [READ_LARGE, get("/metrics", "accept-encoding: identity", CLOSE)])
def test_a_client_that_does_not_read_is_closed_for_a_new_one(request_: bytes) -> None:
    served = Served(LARGE)

    async def work(connect: Connect) -> tuple[set[int], tuple[int, int]]:
        for _ in range(LIMIT):
            await connect(request_)
        while len(served.counted) < LIMIT:  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0)  # let the other tasks run
        response = await (await connect(READ_LARGE)).response()
        assert served.closed == {"unread": 1}
        return await prioritised_statuses(connect), response

    assert run_clients(served, work) == ({200}, (200, 25_000_000))


def test_many_connections_from_one_address_do_not_displace_another_address() -> None:
    served = Served()

    async def work(connect: Connect) -> list[int]:
        scraper = await connect(address="127.0.0.2")
        before = await scraper.request(get("/metrics"))
        strangers = [await connect(get("/-/healthy")) for _ in range(2 * LIMIT)]
        await strangers[-1].response()
        return [before, await scraper.request(get("/metrics"))]

    assert run_clients(served, work) == [200, 200]
    assert served.closed == {"idle": LIMIT + 1}


def test_idle_time_after_a_response_is_not_limited_by_the_read_timeout() -> None:
    served = Served(LARGE, ServerLimits(write_seconds=1.5))

    async def work(connect: Connect) -> int:
        scraper = await connect()
        await scraper.request(READ_LARGE)
        await scraper.request(get("/-/healthy"))
        await connect(READ_LARGE)  # after the scraper, so that it times out later
        while not served.closed:  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0.01)  # polling interval: real sockets take real time
        return await scraper.request(get("/-/healthy"))

    assert run_clients(served, work) == 200
    assert served.closed == {"slow_read": 1}


@pytest.mark.parametrize(
    "more", [get("/metrics"), get("/"), b"GET /met"], ids=["a scrape", "another page", "an incomplete request"]
)
def test_pipelined_requests_extend_no_timeout_and_add_no_responses_in_memory(more: bytes) -> None:
    served = Served(LARGE, ServerLimits(write_seconds=0.2, head_seconds=0.1))

    async def work(connect: Connect) -> int:
        client = await connect(READ_LARGE)
        while not served.counted or served.server.server_state.connections:
            client.writer.write(more)
            await asyncio.sleep(0.01)  # polling interval: real sockets take real time
        return len(served.counted)

    assert run_clients(served, work) == 1


@pytest.mark.parametrize(
    "requests",
    [
        [get("/-/healthy"), get("/metrics"), get("/-/ready")],
        [get("/metrics")] * 5,
        [get("/metrics"), get("/-/healthy")],
        [get("/metrics"), b"G"],
        [get("/-/healthy"), b"no request\r\n\r\n"],
        [get("/metrics"), b"no request\r\n\r\n"],
    ],
    ids=["pages", "scrapes", "a scrape and a page", "half a request", "a page and no request", "a scrape and none"],
)
def test_a_pipelined_request_closes_the_connection_after_the_current_response(requests: list[bytes]) -> None:
    async def work(host: str, port: int) -> bytes:
        return await exchange(host, port, b"".join(requests))

    responses = Served().serve(work)
    assert responses.startswith(b"HTTP/1.1 200 OK")
    assert responses.count(b"HTTP/1.1 ") == 1


def test_a_closed_connection_leaves_no_reference_cycles() -> None:
    """The daemon runs garbage collection once an hour; cycles would accumulate meanwhile."""
    served = Served()

    def alive() -> int:
        return sum(isinstance(each, HttpProtocol) for each in gc.get_objects())

    async def work(connect: Connect) -> tuple[int, int]:
        for request in (get("/metrics"), get("/"), get("/metrics", CLOSE), get("/nothing"), b"GET /met"):
            client = await connect(request)
            if request.endswith(b"\r\n\r\n"):
                await client.response()
            client.writer.transport.abort()
        during = alive()
        while served.server.server_state.connections or served.server.server_state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # polling interval: real sockets take real time
        await asyncio.sleep(0)  # let the other tasks run
        return during, alive()

    gc.collect()
    gc.disable()
    try:
        during, after = run_clients(served, work)
    finally:
        gc.enable()
    assert during > 0
    assert after == 0


@contextlib.contextmanager
def few_descriptors(number: int) -> Iterator[None]:
    """This process can open only so many more file descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    unused = [os.open(os.devnull, os.O_RDONLY) for _ in range(number)]
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    fillers: list[int] = []
    while not fillers or fillers[-1] < highest:  # no number below the limit is free
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    for each in unused:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in fillers:
            os.close(each)


def test_without_a_free_file_descriptor_idle_connections_make_room() -> None:
    served = Served()

    async def work(host: str, port: int) -> bytes:
        idle = [socket.create_connection((host, port)) for _ in range(12)]
        with socket.create_connection((host, port)) as scraper, few_descriptors(4):
            scraper.sendall(get("/metrics", CLOSE))
            scraper.settimeout(5)
            response = await asyncio.to_thread(scraper.recv, 100)
        for each in idle:
            each.close()
        return response

    assert served.serve(work).startswith(b"HTTP/1.1 200 ")
    assert served.closed["idle"] >= 8
