"""Which requests of an account are paused after the API refused some (401, 429, or 503 with Retry-After): pure rules.

A pause requested by the API applies to what refused, and lasts as long as requested. If nothing succeeds after it, the
next ones grow: a server may request no time, or always too little. A pause that is inferred from several refusals
covers more than what refused. It is short and grows only while nothing succeeds, because the rest may be healthy: a few
broken workloads must not stop the details of all others. The workload list is paused only by its own refusals, so that
no detail route makes the account appear unreachable.

| Refusal | What is paused | How long |
|---|---|---|
| 503 on a route with ids in its path | this object on this route | Retry-After |
| 401 on a route with ids in its path | this object on this route | `TOKEN_PAUSE_SECONDS` |
| … by `OBJECTS_TO_ROUTE` workloads at the same time | and the route | growing |
| 429, or 401 or 503 on a route without ids | the route | Retry-After, later at least growing |
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


class Pauses:
    """The pauses of one account. All times are seconds of one steady clock, which the caller reads.

    `route` is the template of a path, `ids` the values that fill it, the workload's id first.
    """

    def __init__(self) -> None:
        self._paused: dict[str, _Paused] = {}
        self._objects: dict[tuple[str, tuple[str, ...]], float] = {}
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
            return self._extended(DETAIL_ROUTES, MAX_PAUSE_SECONDS, sent, now)
        if route == LIST:
            return self._extended(ALL_ROUTES, requested, sent, now)
        of_object = TOKEN_PAUSE_SECONDS if status == 401 else requested or 0.0
        if status != 429 and ids and self._object_paused(route, ids, of_object, now):
            workloads = {of[0] for there, of in self._objects if there == route}
            if len(workloads) < OBJECTS_TO_ROUTE:
                return {}
            requested = None  # the API requested pauses of the workloads; that of the route is inferred
        changed = self._extended(route, requested, sent, now)
        routes = [
            name for name, each in self._paused.items() if name not in (ALL_ROUTES, DETAIL_ROUTES) and each.until > now
        ]
        if len(routes) >= ROUTES_TO_DETAILS:
            changed |= self._extended(DETAIL_ROUTES, None, sent, now)
        return changed

    def succeeded(self, route: str, sent: float) -> list[str]:
        """Record a success of a request that was sent at `sent`. Returns the routes whose pauses end;
        `ALL_ROUTES` and `DETAIL_ROUTES` count as routes.
        """
        names = (ALL_ROUTES,) if route == LIST else (route, DETAIL_ROUTES)
        # A request sent before the pause started does not show that the pause was long enough.
        ended = [name for name in names if name in self._paused and sent >= self._paused[name].until]
        if route == LIST and self._token_refused:
            self._token_refused = False
            ended += [name for name in (DETAIL_ROUTES,) if name in self._paused]
        for name in ended:
            del self._paused[name]
        return ended

    def of(self, route: str, ids: tuple[str, ...], now: float) -> Pause | None:
        """The longest pause that applies to a request; None: it may be sent."""
        scopes: tuple[tuple[Scope, str], ...] = (("account", ALL_ROUTES), ("details", DETAIL_ROUTES), ("route", route))
        found = [
            Pause(scope, paused.until - now)
            for scope, name in (scopes if route != LIST else scopes[:1])
            if (paused := self._paused.get(name)) is not None
        ]
        found.append(Pause("object", self._objects.get((route, ids), now) - now))
        longest = max(found, key=lambda pause: pause.seconds)
        return longest if longest.seconds > 0 else None

    def _object_paused(self, route: str, ids: tuple[str, ...], seconds: float, now: float) -> bool:
        """Pause an object on a route; False if too many are paused already. Forgets pauses that have ended."""
        key = route, ids
        self._objects[key] = max(now + seconds, self._objects.get(key, now))
        self._objects = {each: until for each, until in self._objects.items() if until > now}
        if len(self._objects) <= MAX_PAUSED_OBJECTS:
            return True
        self._objects.pop(key, None)
        return False

    def _extended(self, name: str, requested: float | None, sent: float, now: float) -> dict[str, float]:
        paused = self._paused.setdefault(name, _Paused())
        before = paused.until
        if sent >= paused.until:  # else it was in progress when the pause started: the pause could not help
            paused.times += 1
            # The exponent is bounded: 2 ** 1024 is out of range of a float.
            insufficient = paused.times - (2 if requested else 1)
            growing = min(FIRST_PAUSE_SECONDS * 2 ** min(insufficient, 16), MAX_PAUSE_SECONDS)
            paused.until = now + max(requested or 0.0, growing if insufficient >= 0 else 0.0)
        elif requested is not None:
            paused.until = max(paused.until, now + requested)
        return {name: paused.until - now} if paused.until > max(before, now) else {}
