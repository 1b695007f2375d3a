"""Commands that send requests, against an API without a socket, in a time that passes at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate

import httpx

from exporter.cli.verification import MeasuringClient, Verified, verified
from exporter.simulator.oddities import SimulatedResponse
from tests.stage import START, VirtualLoop

Respond = Callable[[str, str, Mapping[str, str]], SimulatedResponse]
"""Responds to a path, a query and headers."""


class _Filled(httpx.AsyncByteStream):
    def __init__(self, response: SimulatedResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._response.fill // len(self._response.body)):
            yield self._response.body


class _Wire(httpx.AsyncBaseTransport):
    def __init__(self, respond: Respond, now: Callable[[], float]) -> None:
        self._respond, self._now = respond, now

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        path, query = request.url.raw_path.decode().partition("?")[::2]
        await asyncio.sleep(0.01)  # virtual time
        headers = {name.lower(): value for name, value in request.headers.items()}
        response = self._respond(path, query, headers)
        await asyncio.sleep(response.delay)  # virtual time
        if response.cut:
            raise httpx.RemoteProtocolError("peer closed connection")
        sent = {"date": formatdate(self._now(), usegmt=True)} | dict(response.headers)
        if response.fill:
            return httpx.Response(response.status, headers=sent, stream=_Filled(response), request=request)
        return httpx.Response(response.status, headers=sent, content=response.body, request=request)


class _NoReport:
    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...
    def paused(self, endpoint: str, seconds: float) -> None: ...
    def resumed(self, endpoint: str) -> None: ...


def verify(respond: Respond, token: str = "demo-token", sample: int = 20) -> Verified:
    """What ``verify`` finds about an API. `respond` may use `START` as the beginning of time."""
    random.seed(7)

    async def inside() -> Verified:
        loop = asyncio.get_running_loop()

        def wall() -> float:
            return START + loop.time()

        client = MeasuringClient(
            "http://api.test/api/v2",
            lambda: token,
            _NoReport(),
            patience=30.0,
            transport=_Wire(respond, wall),
            steady=loop.time,
            wall=wall,
        )
        async with client:
            return await verified(client, sample, 2.0, wall=wall)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(inside())
