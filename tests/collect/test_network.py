"""The client against raw sockets that behave badly, in real time: memory, deadlines, TLS."""

import asyncio
import contextlib
import functools
import gzip
import resource
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from exporter.collect.body import unpacked
from exporter.collect.client import MAX_BODY_BYTES, ApiError, ApiResponse, Client
from exporter.http_client import start_of_body
from exporter.web.server import Server
from exporter.web.web_config import WebSecurity
from tests.collect.test_client import World, always
from tests.web.serving import Served
from tests.web.test_web_config import TLS, certificate

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
packed_as = functools.partial(gzip.compress, mtime=0)
"""The same at all times: the names of tests contain it."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def request(peer: Peer, timeout: float = 5.0, body_limit: int = MAX_BODY_BYTES) -> ApiResponse | ApiError:
    """What one GET brings from a server that talks as `peer` does."""

    async def inside() -> ApiResponse | ApiError:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            begun.append(True)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await peer(reader, writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            ended.append(True)

        begun: list[bool] = []
        ended: list[bool] = []
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        world = World(always(500))
        port = server.sockets[0].getsockname()[1]
        async with Client(
            f"http://127.0.0.1:{port}/api/v2", lambda: "t", world, timeout=timeout, rate=100, body_limit=body_limit
        ) as client:
            result: ApiResponse | ApiError
            try:
                result = await client.get("/workloads")
            except ApiError as error:
                result = error
        while len(ended) < len(begun):  # noqa: ASYNC110 — asyncio streams have no event for it
            await asyncio.sleep(0.01)  # between two checks
        server.close()
        return result

    return asyncio.run(inside())


def reason(result: ApiResponse | ApiError) -> str:
    assert isinstance(result, ApiError)
    return result.reason


def test_an_answer_of_two_gigabytes_is_given_up_on_without_holding_it() -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _mb in range(2 * 1024):
            writer.write(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert reason(request(peer)) == "too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # kilobytes


def test_a_length_of_two_gigabytes_is_refused_before_the_body() -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 2000000000\r\n\r\n")
        await writer.drain()

    assert reason(request(peer)) == "too_large"


def test_a_small_answer_that_unpacks_to_a_large_one_counts_by_what_it_unpacks_to() -> None:
    packed = packed_as(b" " * (64 << 20))

    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed)
        await writer.drain()

    assert reason(request(peer)) == "too_large"


GOOD = b'{"data": []}'


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("status", [200, 503])
def test_a_body_that_unpacks_to_a_gigabyte_takes_no_memory(levels: int, status: int) -> None:
    packed = packed_as(bytes(1 << 24)) * 64
    for _ in range(levels - 1):
        packed = packed_as(packed)
    head = b"HTTP/1.1 %d X\r\ncontent-encoding: %s\r\n" % (status, b", ".join([b"gzip"] * levels))

    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"content-length: %d\r\n\r\n" % len(packed) + packed)
        await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    expected = "server_error" if status == 503 else "too_large" if levels == 1 else "decode"
    assert reason(request(peer)) == expected
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024  # kilobytes


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("gzip", packed_as(GOOD), GOOD),
        ("GZIP", packed_as(GOOD), GOOD),
        ("x-gzip", packed_as(GOOD[:5]) + packed_as(GOOD[5:]), GOOD),
        ("identity", GOOD, GOOD),
        ("", GOOD, GOOD),
        ("gzip", b"", b""),
        ("gzip", packed_as(GOOD)[:-9], "decode"),
        ("gzip", GOOD, "decode"),
        ("gzip", packed_as(GOOD) + b"x", "decode"),
        ("br", GOOD, "decode"),
        ("deflate", zlib.compress(GOOD), "decode"),
        ("gzip, gzip", packed_as(packed_as(GOOD)), "decode"),
    ],
    # Compressed bytes contain the time, and every process must collect the same names.
    ids=[
        "gzip",
        "capitals",
        "two members",
        "identity",
        "no encoding",
        "empty",
        "cut off",
        "not compressed",
        "more after it",
        "brotli",
        "deflate",
        "two levels",
    ],
)
def test_one_level_of_gzip_is_unpacked_and_nothing_else(encoding: str, body: bytes, expected: bytes | str) -> None:
    world = World(lambda _: httpx.Response(200, headers={"content-encoding": encoding}, stream=httpx.ByteStream(body)))
    result: object
    try:
        result = world.get().body
    except ApiError as error:
        result = error.reason
    assert result == expected
    assert world.sent[0][1].headers["accept-encoding"] == "gzip"


async def turns_while(reading: Awaitable[object]) -> int:
    """How often another task runs meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)  # a turn of the loop

    other = asyncio.create_task(count())
    await reading
    other.cancel()
    return turns


def test_a_body_of_many_tiny_parts_that_have_arrived_lets_other_tasks_run() -> None:
    async def tiny() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b" "

    async def inside() -> tuple[int, int]:
        response = httpx.Response(500, content=tiny())
        return await turns_while(unpacked(tiny(), "", 20_000)), await turns_while(start_of_body(response, 65_536))

    assert min(asyncio.run(inside())) >= 90


def test_an_endless_body_that_unpacks_to_nothing_is_not_read_on() -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-encoding: gzip\r\n\r\n")
        for _part in range(100_000):
            writer.write(packed_as(b"") * 100)
            await writer.drain()

    assert reason(request(peer, body_limit=10_000)) == "decode"


def test_a_refusal_with_an_endless_body_is_a_refusal_with_its_pause() -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nretry-after: 300\r\ntransfer-encoding: chunked\r\n\r\n")
        for _mb in range(100):
            writer.write(b"100000\r\n" + b"<" * (1 << 20) + b"\r\n")
            await writer.drain()

    error = request(peer)
    assert isinstance(error, ApiError)
    assert (error.reason, error.retry_after) == ("server_error", 300.0)
    assert error.pause is not None


def test_a_server_that_drips_is_given_up_on_after_the_time_of_a_whole_request() -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 1000\r\n\r\n")
        for _byte in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)  # a server that drips: the slowness is what is tried

    assert reason(request(peer, timeout=0.2)) == "timeout"


@pytest.mark.parametrize("said", [b"", HEAD + b"content-length: 100\r\n\r\n{", b"\x00\x01garbage\r\n\r\n"])
def test_a_connection_that_is_cut_or_talks_nonsense_is_no_connection(said: bytes) -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    assert reason(request(peer)) == "connect"


def test_a_certificate_is_verified_and_a_private_authority_can_be_trusted(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "web.yml").write_text(TLS)

    async def inside() -> list[str]:
        security = WebSecurity(tmp_path / "web.yml")
        server = Server(Served().application, ["127.0.0.1:0"], lambda: security.tls)
        running = asyncio.create_task(server.run_until_stopped())
        result = []
        for ca_file in (None, str(tmp_path / "server.pem")):
            base = f"https://127.0.0.1:{server.addresses[0][1]}/api/v2"
            async with Client(base, lambda: "t", World(always(500)), ca_file=ca_file) as client:
                try:
                    await client.get("/version")
                except ApiError as error:
                    result.append(error.reason)
        server.stop()
        await running
        return result

    assert asyncio.run(inside()) == ["tls", "not_found"]  # trusted, the server is one that has no such path
