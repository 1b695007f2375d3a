"""HTTP client for the servers that the settings name: API, receivers and collector."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self

import httpx

CHUNKS_PER_TURN = 100
"""Parts of a body after which other tasks run: those that have arrived are read without waiting, however many."""


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
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=timeout,
            follow_redirects=False,
            verify=trusted,
            transport=transport,
            limits=limits or httpx.Limits(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, and those of requests in progress when these end."""
        await self._http.aclose()

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
