"""HTTP client for the servers that the settings name: API, receivers and collector."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Self

import httpcore
import httpx

CHUNKS_PER_TURN = 100
"""Parts of a body after which other tasks run: those that have arrived are read without waiting, however many."""
MAX_HEAD_BYTES = 131_072
"""Bytes that a server may send before the body: its head, and any number of heads with a status of 1xx."""
HEAD_STEP_BYTES = 4096
"""Bytes of heads after which other tasks run: the HTTP library reads all heads that it has without a pause."""


class HttpClient:
    """Follows no redirects, keeps no cookies, and leaves no connection open.

    httpx loses a connection if the request is cancelled during the TLS handshake, or the client is closed before the
    request is connected: it stays open until a garbage collection. Here it is closed at the end of the request.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        timeout: float,
        trusted: ssl.SSLContext,
        limits: httpx.Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=timeout,
            follow_redirects=False,
            verify=trusted,
            transport=transport,
            limits=limits or httpx.Limits(),
        )
        self._http._cookies = _NoCookies()  # noqa: SLF001 — httpx has no option for it
        # httpx has no option for it, and a transport of ours would not use the proxies of the environment.
        for each in (self._http._transport, *self._http._mounts.values()):  # noqa: SLF001 — see above
            if isinstance(each, httpx.AsyncHTTPTransport):
                pool = each._pool  # noqa: SLF001 — see above
                pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 — see above

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, and those of requests in progress when these end."""
        await self._http.aclose()

    @property
    def closed(self) -> bool:
        """Whether no more requests can be sent."""
        return self._http.is_closed

    def stream(self, method: str, url: str, **request: Any) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a request; the body of the response is read within the context."""
        return self.sent(self._http.build_request(method, url, **request))

    @asynccontextmanager
    async def sent(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The same for a request that has all headers; it has no timeout."""
        opened: list[Any] = []
        succeeded = False

        async def trace(event: str, details: Mapping[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                opened.append(details["return_value"])
            if event.endswith("receive_response_headers.started"):
                _head.set(_Head())
            elif ".receive_response_headers." in event:
                _head.set(None)

        request.extensions["trace"] = trace
        try:
            response = await self._http.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
            succeeded = True
        finally:
            if not succeeded or self._http.is_closed:
                for connection in opened:
                    await connection.aclose()


class _NoCookies(httpx.Cookies):
    """Stays empty. A jar that refuses all cookies would read the headers of each response, which takes 25 µs of CPU."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep none."""


async def start_of_body(response: httpx.Response, least: int) -> bytes:
    """The body of a response, or more than `least` bytes of it."""
    body, number = bytearray(), 0
    async for chunk in response.aiter_raw():
        body += chunk
        number += 1
        if len(body) > least:
            break
        if number % CHUNKS_PER_TURN == 0:
            await asyncio.sleep(0)  # let the other tasks run
    return bytes(body)


class _Head:
    """Number of bytes that may still be received before the body."""

    left = MAX_HEAD_BYTES


_head: ContextVar[_Head | None] = ContextVar("head", default=None)
"""Set while a task receives what comes before a body."""


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that receives no more than a limit before a body, in small steps."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 — of the base class
        """See `httpcore.AsyncNetworkStream`. Raises `httpcore.RemoteProtocolError` for heads that are too long."""
        if (head := _head.get()) is None:
            return await self._stream.read(max_bytes, timeout)
        if head.left < MAX_HEAD_BYTES:
            await asyncio.sleep(0)  # let the other tasks run: TLS returns what it has without a pause
        data = await self._stream.read(min(max_bytes, HEAD_STEP_BYTES), timeout)
        head.left -= len(data)
        if head.left < 0:
            raise httpcore.RemoteProtocolError(f"the server sent more than {MAX_HEAD_BYTES} bytes of headers")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 — of the base class
        """See `httpcore.AsyncNetworkStream`."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """See `httpcore.AsyncNetworkStream`."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """See `httpcore.AsyncNetworkStream`."""
        return self._stream.get_extra_info(info)

    async def start_tls(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        """See `httpcore.AsyncNetworkStream`."""
        return _Stream(await self._stream.start_tls(*arguments, **named))


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens such connections."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        """See `httpcore.AsyncNetworkBackend`."""
        return _Stream(await self._backend.connect_tcp(*arguments, **named))
