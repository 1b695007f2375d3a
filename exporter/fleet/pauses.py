"""Which requests of an account are paused after the API refused some (401, 429, or 503 with Retry-After): pure rules.

A pause applies to what refused, and lasts at least as long as requested. If nothing succeeds after it, the next ones
grow: a server may request no time, or always too little. The refusals of one workload pause nothing of another one.
Those of several are taken for refusals of their route: then a 429 that requests a time requests it for the route, and
otherwise the pause is short and grows only while nothing succeeds, because the rest may be healthy. The workload list
is paused only by its own refusals, so that no detail route makes the account appear unreachable.

| Refusal | What is paused | How long |
|---|---|---|
| 429 or 503 on a route with ids in its path | this object on this route | Retry-After, later at least growing |
| 401 on a route with ids in its path | this object on this route | `TOKEN_PAUSE_SECONDS`, later at least growing |
| … by `OBJECTS_TO_ROUTE` workloads at the same time | and the route | Retry-After of a 429, or growing |
| 401, 429 or 503 on a route without ids | the route | Retry-After, later at least growing |
| … by `ROUTES_TO_DETAILS` routes at the same time | and all routes but the workload list | growing |
| 429 or 503 on the workload list | all requests of the account | Retry-After, later at least growing |
| 401 on the workload list | all routes but the workload list | until it succeeds, or `MAX_PAUSE_SECONDS` |
"""

from __future__ import annotations

from typing import Literal, NamedTuple

LIST = "/workloads"
"""The route of the workload list."""
ALL_ROUTES, DETAIL_ROUTES = "*", "details"
"""Instead of a route: all requests of the account; all requests except for the workload list."""
OBJECTS_TO_ROUTE = 3
"""Number of workloads paused on a route at which the route is paused: fewer may be broken themselves."""
ROUTES_TO_DETAILS = 2
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 5.0, 300.0
"""Seconds of the first growing pause, and of the longest pause; each growing pause is twice the one before."""
TOKEN_PAUSE_SECONDS = 60.0
"""Seconds for which one object is paused that does not accept the token, although others may."""
MAX_PAUSED_OBJECTS = 2000
"""Paused objects that are remembered; if more refuse, their route is paused instead."""

Scope = Literal["object", "route", "details", "account"]


class Pause(NamedTuple):
    """A pause that applies to a request: its scope and its remaining seconds."""

    scope: Scope
    seconds: float


class _Paused:
    """The pauses of one thing since it last succeeded: how many, and when the last one ends."""

    __slots__ = ("times", "until")

    def __init__(self) -> None:
        self.times = 0
        self.until = float("-inf")

    def extend(self, requested: float | None, sent: float, now: float) -> bool:
        """Pause after a refusal; whether that lasts longer than before."""
        before = self.until
        if sent >= self.until:  # else it was in progress when the pause started: the pause could not help
            self.times += 1
            # The exponent is bounded: 2 ** 1024 is out of range of a float.
            insufficient = self.times - (2 if requested else 1)
            growing = min(FIRST_PAUSE_SECONDS * 2 ** min(insufficient, 16), MAX_PAUSE_SECONDS)
            self.until = now + max(requested or 0.0, growing if insufficient >= 0 else 0.0)
        elif requested is not None:
            self.until = max(self.until, now + requested)
        return self.until > max(before, now)


class Pauses:
    """The pauses of one account. All times are seconds of one steady clock, which the caller reads.

    `route` is the template of a path, `ids` the values that fill it, the workload's id first.
    """

    def __init__(self) -> None:
        self._routes: dict[str, _Paused] = {}
        self._objects: dict[tuple[str, tuple[str, ...]], _Paused] = {}
        self._token_refused = False
        """Whether the workload list did not accept the token."""

    def refused(
        self, route: str, ids: tuple[str, ...], status: int, retry_after: float | None, sent: float, now: float
    ) -> dict[str, float]:
        """Record a refusal of a request that was sent at `sent`. Returns the routes that are paused, or paused for
        longer than before, and for how many seconds from now; `ALL_ROUTES` and `DETAIL_ROUTES` count as routes.
        """
        requested = None if retry_after is None else min(retry_after, MAX_PAUSE_SECONDS)
        if route == LIST and status == 401:
            self._token_refused = True
            return self._route_paused(DETAIL_ROUTES, MAX_PAUSE_SECONDS, sent, now)
        if route == LIST:
            return self._route_paused(ALL_ROUTES, requested, sent, now)
        if ids and self._remembers(route, ids, now):
            self._objects[route, ids].extend(TOKEN_PAUSE_SECONDS if status == 401 else requested, sent, now)
            workloads = {of[0] for (there, of), each in self._objects.items() if there == route and each.until > now}
            if len(workloads) < OBJECTS_TO_ROUTE:
                return {}
            if status != 429:  # a 429 is about how much is requested, anything else about what is
                requested = None
        changed = self._route_paused(route, requested, sent, now)
        routes = [
            name for name, each in self._routes.items() if name not in (ALL_ROUTES, DETAIL_ROUTES) and each.until > now
        ]
        if len(routes) >= ROUTES_TO_DETAILS:
            changed |= self._route_paused(DETAIL_ROUTES, None, sent, now)
        return changed

    def succeeded(self, route: str, ids: tuple[str, ...], sent: float) -> list[str]:
        """Record a success of a request that was sent at `sent`. Returns the routes whose pauses end;
        `ALL_ROUTES` and `DETAIL_ROUTES` count as routes.
        """
        names = (ALL_ROUTES,) if route == LIST else (route, DETAIL_ROUTES)
        # A request sent before the pause started does not show that the pause was long enough.
        ended = [name for name in names if name in self._routes and sent >= self._routes[name].until]
        if route == LIST and self._token_refused:
            self._token_refused = False
            ended += [name for name in (DETAIL_ROUTES,) if name in self._routes]
        for name in ended:
            del self._routes[name]
        if (of_object := self._objects.get((route, ids))) is not None and sent >= of_object.until:
            del self._objects[route, ids]
        return ended

    def of(self, route: str, ids: tuple[str, ...], now: float) -> Pause | None:
        """The longest pause that applies to a request; None: it may be sent."""
        scopes: tuple[tuple[Scope, str], ...] = (("account", ALL_ROUTES), ("details", DETAIL_ROUTES), ("route", route))
        found = [
            Pause(scope, paused.until - now)
            for scope, name in (scopes if route != LIST else scopes[:1])
            if (paused := self._routes.get(name)) is not None
        ]
        if (of_object := self._objects.get((route, ids))) is not None:
            found.append(Pause("object", of_object.until - now))
        longest = max(found, key=lambda pause: pause.seconds, default=None)
        return longest if longest is not None and longest.seconds > 0 else None

    def _remembers(self, route: str, ids: tuple[str, ...], now: float) -> bool:
        """Make room for the pauses of an object on a route; False if too many are paused at the same time."""
        if (route, ids) not in self._objects and len(self._objects) >= MAX_PAUSED_OBJECTS:
            self._objects = {key: each for key, each in self._objects.items() if each.until > now}
        if (route, ids) not in self._objects and len(self._objects) >= MAX_PAUSED_OBJECTS:
            return False
        self._objects.setdefault((route, ids), _Paused())
        return True

    def _route_paused(self, name: str, requested: float | None, sent: float, now: float) -> dict[str, float]:
        paused = self._routes.setdefault(name, _Paused())
        return {name: paused.until - now} if paused.extend(requested, sent, now) else {}
