"""The simulated API without a server: it responds to requests that are passed to it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

from exporter.simulator.oddities import ODDITIES, RequestFacts, SimulatedResponse, active
from exporter.simulator.request import PREFIX, ErrorResponse, SimulatedRequest, moved
from exporter.simulator.routes import role_and_oddities, routed
from exporter.simulator.stories import STORIES, Story
from exporter.simulator.world import World

JSON = (("content-type", "application/json"),)
RELEASE = "11.14.0"
"""The platform's release."""
TOKEN = "demo-token"  # noqa: S105 — of a simulation


class SimulatedApi:
    """A Workload API with its own fleet. `url`: that of the server, in links of responses.

    `odd` may be set to other names of `ODDITIES` at any time, `clock` to another source of seconds since the epoch,
    and `ahead`. The first workloads play one of `stories` each.
    `requests` counts (template, status); `non_get_requests` counts requests with other methods. Raises ValueError for
    an unknown oddity.
    """

    def __init__(
        self,
        *,
        workloads: int = 50,
        seed: int = 7,
        speed: float = 1.0,
        token: str = TOKEN,
        strict: bool = False,
        odd: Iterable[str] = (),
        stories: Sequence[Story] = STORIES,
        clock: Callable[[], float] = time.time,
        url: str = "http://simulated.test",
    ) -> None:
        self.token, self.strict, self.clock, self.url = token, strict, clock, url
        self.world = World(workloads, seed, speed, clock(), stories)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.non_get_requests = 0
        self._odd: frozenset[str] = frozenset()
        self.odd = frozenset(odd)

    @property
    def odd(self) -> frozenset[str]:
        """The names of the active oddities."""
        return self._odd

    @odd.setter
    def odd(self, names: Iterable[str]) -> None:
        wanted = frozenset(names)
        try:
            active(wanted, "")
        except KeyError as error:
            raise ValueError(f"Unknown oddity {error}. Oddities: {', '.join(ODDITIES)}") from None
        self._odd = wanted

    @property
    def ahead(self) -> float:
        """Seconds that the API's clock is ahead of the client's, in all timestamps and in Date headers."""
        return self.world.ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self.world.ahead = seconds

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        """The response to one request; header names are in lower case."""
        if path == "/":
            return SimulatedResponse(200, (("content-type", "text/plain; charset=utf-8"),), self._landing().encode())
        if method != "GET":
            self.non_get_requests += 1
            return _json(405, {"detail": "Method Not Allowed"})
        if path == "/config":  # needs no token
            self.requests["/config", 200] += 1
            return _json(200, {"release": RELEASE})
        below = path.removeprefix(PREFIX)
        try:
            template, handler, ids = routed(below)
        except ErrorResponse as error:
            return _json(error.status, error.body)
        response = self._routed(template, handler, ids, below, parse_qs(query), headers)
        self.requests[template, response.status] += 1
        return response

    def _routed(
        self,
        template: str,
        handler: Callable[..., Any],
        ids: tuple[str, ...],
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
    ) -> SimulatedResponse:
        if headers.get("authorization") != f"Bearer {self.token}":
            return _json(401, {"message": "Invalid API key"})
        now = self.clock()
        role, odd = role_and_oddities(self.world, ids, now)
        names = active((*self._odd, *odd), template, path, role)
        if "repeating" in names:
            query = query | {"offset": ["0"]}
        if "mean-response-time" in names and template.endswith("/stats"):
            query = query | {"responseTimeQuantile": ["0.5"]}
        if "short-pages" in names and query.get("limit", ["10"])[-1].isdecimal():
            query = query | {"limit": [str(min(2, int(query.get("limit", ["10"])[-1])))]}
        offset = query.get("offset", ["0"])[-1]
        facts = RequestFacts(template, PREFIX + path, path.endswith("/"), int(offset) if offset.isdecimal() else 0, now)
        if ahead := self.ahead:
            query = {name: [moved(text, -ahead) for text in texts] for name, texts in query.items()}
        try:
            body = handler(SimulatedRequest(self.world, query, now, self.url, self.strict), *ids)
            if ahead:
                body = moved(body, ahead)
            for name in names:
                reshape = ODDITIES[name].reshape
                body = reshape(body, facts) if reshape else body
            response = _json(200, body)
        except ErrorResponse as error:
            response = SimulatedResponse(204, (), b"") if error.status == 204 else _json(error.status, error.body)
        for name in names:
            replace = ODDITIES[name].replace
            response = replace(response, facts) if replace else response
        return response

    def _landing(self) -> str:
        now = self.clock()
        lines = ["A SIMULATION of DataRobot's Workload API. No workload here exists.", ""]
        for number in range(min(self.world.size, len(self.world.stories))):
            actor = self.world.actor(number)
            lines.append(f"{actor.name:32} {actor.moment(now).step.status:13} {actor.story.shows}")
        return "\n".join(lines) + "\n"


def _json(status: int, body: Any) -> SimulatedResponse:
    return SimulatedResponse(status, JSON, json.dumps(body).encode())


def list_page(*, workloads: int, offset: int = 0, seed: int = 7, now: float = 1.7e9) -> bytes:
    """One page of the workload list of a fleet that started at 1.7e9, for benchmarks."""
    query = {"limit": ["100"], "offset": [str(offset)], "serviceStats": ["true"]}
    request = SimulatedRequest(World(workloads, seed, 1.0, 1.7e9), query, now, "https://dr.test")
    return json.dumps(routed("/workloads")[1](request)).encode()
