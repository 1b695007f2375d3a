"""The simulated API as the transport of a client: nothing is sent over a network."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import httpx

from exporter.simulator import SimulatedApi


class SimulatedTransport(httpx.AsyncBaseTransport):
    """The simulated API without a network."""

    def __init__(self, api: SimulatedApi) -> None:
        self._api = api

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.url.raw_path.decode().partition("?")
        found = self._api.respond(request.method, path, query, headers)
        if found.delay:
            await asyncio.sleep(found.delay)  # the oddities `slow` and `hanging`
        sent = {"date": formatdate(self._api.clock(), usegmt=True)} | dict(found.headers)
        return httpx.Response(found.status, headers=sent, content=found.body, request=request)
