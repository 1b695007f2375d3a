"""The HTTP client of all outgoing requests: which connections stay open, and what it remembers of responses."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from exporter.http_client import HEAD_STEP_BYTES, MAX_HEAD_BYTES, HttpClient
from tests.web.test_web_config import certificate

LIMIT_SECONDS = 10.0
"""Until both ends of a connection must be closed."""
MAX_TURNS = 200
"""Turns of the loop within which a request ends."""


@pytest.fixture(autouse=True)
def without_garbage_collection() -> Iterator[None]:
    """It would close connections that nothing refers to any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Server:
    """Answers each request, after `before`, and keeps the connection open until the client closes it."""

    def __init__(self, folder: Path, scheme: str, before: bytes = b"") -> None:
        self.received: list[bytes] = []
        self._before = before
        self.scheme, self.trusted = scheme, ssl.create_default_context()
        self._context: ssl.SSLContext | None = None
        if scheme == "https":
            certificate(folder)
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(folder / "server.pem", folder / "server.key")
            self.trusted.load_verify_locations(folder / "server.pem")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.received.append(data)
                writer.write(self._before + b"HTTP/1.1 200 OK\r\nset-cookie: seen=1\r\ncontent-length: 2\r\n\r\n{}")
        except OSError:
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve meanwhile; its URL."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._context)
        yield f"{self.scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        server.close()


async def get(http: HttpClient, url: str) -> bytes:
    async with http.stream("GET", url) as response:
        return await response.aread()


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def cancelled(http: HttpClient, request: asyncio.Task[bytes]) -> None:
    request.cancel()
    await asyncio.wait({request})
    await http.aclose()


async def closed(http: HttpClient, request: asyncio.Task[bytes]) -> None:
    await http.aclose()
    await asyncio.wait({request})


@pytest.mark.parametrize("end", [cancelled, closed])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_connection_stays_open_whenever_a_request_is_cancelled_or_its_client_closed(
    scheme: str, end: Callable[[HttpClient, asyncio.Task[bytes]], Awaitable[None]], tmp_path: Path
) -> None:
    async def inside() -> None:
        server = Server(tmp_path, scheme)
        async with server.serving() as url:
            for turns in range(MAX_TURNS):
                before = descriptors()
                http = HttpClient({}, timeout=LIMIT_SECONDS, trusted=server.trusted)
                request = asyncio.create_task(get(http, url))
                for _ in range(turns):
                    await asyncio.sleep(0)  # one turn of the loop
                done = request.done()
                await end(http, request)
                async with asyncio.timeout(LIMIT_SECONDS):
                    while descriptors() > before:  # noqa: ASYNC110 — no event says that both ends are closed
                        await asyncio.sleep(0.001)  # real time for the peer's thread
                if done:
                    return
        raise AssertionError("the request did not end")

    asyncio.run(inside())


def test_a_connection_is_used_again_and_no_cookie_is_sent_back(tmp_path: Path) -> None:
    async def inside() -> None:
        server = Server(tmp_path, "http")
        async with server.serving() as url:
            http = HttpClient({"x-own": "1"}, timeout=LIMIT_SECONDS, trusted=server.trusted)
            before = descriptors()
            assert [await get(http, url) for _ in range(3)] == [b"{}"] * 3
            assert descriptors() == before + 2
            await http.aclose()
        assert all(b"x-own: 1" in each and b"cookie" not in each.lower() for each in server.received)
        assert len(server.received) == 3

    asyncio.run(inside())


def test_a_redirect_is_not_followed() -> None:
    async def inside() -> int:
        sent: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(302, headers={"location": "http://elsewhere.test/"})

        http = HttpClient({}, timeout=1, trusted=ssl.create_default_context(), transport=httpx.MockTransport(answer))
        async with http.stream("GET", "http://here.test/") as response:
            assert response.status_code == 302
        return len(sent)

    assert asyncio.run(inside()) == 1


INFORMATIONAL = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102 without a reason": b"HTTP/1.1 102 \n\n",
    "103 with headers": b"HTTP/1.1 103 Early Hints\r\n" + b"link: </style.css>\r\n" * 40 + b"\r\n",
}
"""Heads that come before that of the response."""


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("head", INFORMATIONAL.values(), ids=INFORMATIONAL)
def test_a_server_that_sends_heads_without_end_is_not_read_for_long_and_lets_other_tasks_run(
    head: bytes, scheme: str, tmp_path: Path
) -> None:
    async def inside() -> None:
        server = Server(tmp_path, scheme, head * (2 * MAX_HEAD_BYTES // len(head)))
        async with server.serving() as url, HttpClient({}, timeout=LIMIT_SECONDS, trusted=server.trusted) as http:
            turns, request = 0, asyncio.create_task(get(http, url))
            while not request.done():
                await asyncio.sleep(0)  # one turn of the loop
                turns += 1
            with pytest.raises(httpx.RemoteProtocolError, match="more than 131072 bytes of headers"):
                await request
            assert turns >= MAX_HEAD_BYTES / HEAD_STEP_BYTES

    asyncio.run(inside())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("head", INFORMATIONAL.values(), ids=INFORMATIONAL)
def test_heads_of_each_response_of_a_connection_may_have_the_whole_limit(
    head: bytes, scheme: str, tmp_path: Path
) -> None:
    async def inside() -> None:
        server = Server(tmp_path, scheme, head * (2 * MAX_HEAD_BYTES // 3 // len(head)))
        async with server.serving() as url, HttpClient({}, timeout=LIMIT_SECONDS, trusted=server.trusted) as http:
            assert [await get(http, url) for _ in range(3)] == [b"{}"] * 3

    asyncio.run(inside())


def test_a_proxy_of_the_environment_has_the_same_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside() -> None:
        server = Server(tmp_path, "http", INFORMATIONAL["100"] * MAX_HEAD_BYTES)
        async with server.serving() as url:
            monkeypatch.setenv("http_proxy", url)
            async with HttpClient({}, timeout=LIMIT_SECONDS, trusted=server.trusted) as http:
                with pytest.raises(httpx.RemoteProtocolError, match="more than 131072 bytes of headers"):
                    await get(http, "http://dr.test/")

    asyncio.run(inside())
