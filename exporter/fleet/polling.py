"""Polling policy, a pure function: which details of which workloads to request now, within a request budget.

Each part of a workload's details is one row of `DETAIL_PARTS`. Workloads with problems or changes go first, but a
quarter of the budget is reserved for the others, the longest overdue first, so that none starves and missing freshness
is spread evenly. If the budget is too small for everything, expensive optional requests are dropped, for the least
important workloads first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from exporter.api import models
from exporter.fleet import workload_state
from exporter.fleet.workload_state import WorkloadState

SHORT_WINDOWS = ("5m", "30m", "1h", "2h")
"""While one of these has more server errors than the error budget allows, all windows are requested."""
MANY_ERRORS, MANY_ERRORS_SHARE = 5, 0.05
"""From how many server errors on, and from which share of the requests, the shortest window is polled promptly."""
LASTING_ERRORS = 0.6
"""Errors last if the share of an hour is at least this part of the shares of five and of thirty minutes: more than half
an hour of them, and not only because the share of five minutes falls at their end.
"""
LASTING_TIMES = 5
"""And if the hour has at least this many times the errors of five minutes, which may be all requests of the hour."""
STEADY_SHARE = 0.25
"""Share of the budget reserved for steady workloads while others have problems."""
IMPORTANT_SHARE = 0.5
"""The interval of the pods of an important workload, as a share of that of others: the list does not show that a
workload whose status stays `running` has lost its last ready replica.
"""
DURING_ERRORS = {"pods": 1, "stats_5m": 1, "stats_1h": 2, "stats_1d": 30}
"""The parts that are polled promptly while there are many errors, and how many status intervals apart."""
LASTING_SECONDS, LASTING_FACTOR = 3600.0, 4
"""From which age a problem is polled less often, and the factor by which its interval grows."""

MIN_USED_SECONDS = 300.0
"""Seconds for which a response is used at least."""


class Policy(NamedTuple):
    """Settings: the status interval and the interval of steady details, in seconds, and what to request.

    `error_budget`: share of requests that may have server errors, of workloads without an objective.
    """

    status_interval: float = 30.0
    interval: float = 300.0
    quantiles: tuple[float, ...] = (0.5, 0.95, 0.99)
    parts: frozenset[str] = frozenset()
    """The parts to poll; empty: all."""
    error_budget: float = 0.005


class DetailPart(NamedTuple):
    """One part of the details: its name, the factor of its interval to `Policy.interval`, and where it applies.

    `prompt`: polled at the status interval while the workload is not steady. `extra`: the name under which it is
    dropped if the budget is too small; empty: never.
    """

    name: str
    times: float
    applies: Callable[[WorkloadState, Policy], bool]
    prompt: bool = False
    extra: str = ""


def _always(_: WorkloadState, __: Policy) -> bool:
    return True


def _up(state: WorkloadState, _: Policy) -> bool:
    return workload_state.is_up(state)


def _called(state: WorkloadState, policy: Policy) -> bool:
    """Whether it may have callers: it is up, or it should be and has no ready replica."""
    return _up(state, policy) or state.ledger.serving.down is not None


def _over_budget(state: WorkloadState, policy: Policy) -> bool:
    """Whether a short window has more server errors, or more slow requests, than an error budget allows."""
    windows, objective = workload_state.windows(state), state.objective
    target, latency = (objective.availability, objective.latency) if objective is not None else (None, None)
    budget = policy.error_budget if target is None else 1 - target
    shown = [windows.get(name) for name in SHORT_WINDOWS]
    shares = [(workload_state.error_share(window), budget) for window in shown]
    if latency is not None:
        shares += [(workload_state.slow_share(window), 1 - latency) for window in shown]
    return _up(state, policy) and any(share is not None and share > allowed for share, allowed in shares)


def _important(state: WorkloadState, policy: Policy) -> bool:
    """Whether the longest windows are requested: always for important workloads, else only with errors."""
    return _often(state) or _over_budget(state, policy)


def _rolling(state: WorkloadState, _: Policy) -> bool:
    return state.ledger.rollout is not None and state.ledger.rollout.ended is None


def _counted(state: WorkloadState, policy: Policy) -> bool:
    return state.objective is not None and state.objective.counts_requests and _called(state, policy)


DETAIL_PARTS = (
    DetailPart("pods", 1, _always, prompt=True),
    DetailPart("events", 1, _always, prompt=True),
    DetailPart("replacement", 1, _rolling, prompt=True),
    DetailPart("stats_5m", 1, _called, prompt=True),
    DetailPart("usage", 1, _up),
    DetailPart("stats_30m", 1, _over_budget, extra="windows"),
    DetailPart("stats_1h", 2, _called),
    DetailPart("stats_2h", 2, _over_budget, extra="windows"),
    DetailPart("requests", 2, _counted),
    DetailPart("stats_6h", 6, _important, extra="windows"),
    DetailPart("stats_1d", 12, _important, extra="windows"),
    DetailPart("stats_3d", 24, _important, extra="windows"),
    DetailPart("sharing", 12, _always),
    DetailPart("quotas", 12, _always),
)
ACCOUNT_PARTS = {"limits": 900.0, "totals": 300.0, "bundles": 3600.0, "platform": 3600.0}
"""Parts of an account, and their intervals in seconds."""
PART_NAMES = tuple(part.name for part in DETAIL_PARTS)
_PLACE = {name: place for place, name in enumerate((*ACCOUNT_PARTS, *PART_NAMES))}
EXTRAS = (
    ("quantiles", "low"),
    ("windows", "low"),
    ("quantiles", "moderate"),
    ("windows", "moderate"),
    ("quantiles", "high"),
    ("windows", "high"),
    ("pods", "high"),
    ("quantiles", "critical"),
    ("windows", "critical"),
    ("pods", "critical"),
)
"""What is dropped if the budget is too small, in this order."""
Extra = tuple[str, str]


class DetailRequest(NamedTuple):
    """One request to make: workload id (empty: the account), part, number of API requests, and interval.

    `urgent`: the workload is not steady. A lower `rank` is more important.
    """

    workload: str
    part: str
    cost: int
    every: float
    urgent: bool = False
    rank: int = 0


def importance(state: WorkloadState) -> str:
    """The importance, of a closed set: an unknown one counts as low."""
    reported = models.folded(state.workload.importance)
    return reported if reported in models.IMPORTANCES else "low"


def cost(part: str, state: WorkloadState, policy: Policy, dropped: frozenset[Extra]) -> int:
    """Number of API requests for a part: one per proton, and one per extra quantile."""
    pods = state.details.pods
    protons = max(1, len(pods.protons)) if pods is not None else 1
    if part == "pods":
        return 1 + protons
    if part == "requests":
        return protons
    if part.startswith("stats_"):
        return protons + len(quantiles(part, state, policy, dropped)) - 1
    return 1


def server_errors(state: WorkloadState) -> tuple[bool, bool]:
    """Whether the workload responds with many server errors at present, and whether it has for at least half an hour.

    While it does, its shortest window is polled at the status interval: both an outage and its end are noticed soon.
    """
    windows = workload_state.windows(state)
    latest = windows.get("5m")
    share, half, hour = (workload_state.error_share(windows.get(name)) for name in ("5m", "30m", "1h"))
    errors = models.finite(latest.metrics.server_errors) if latest is not None else None
    if share is None or errors is None or errors < MANY_ERRORS or share < MANY_ERRORS_SHARE:
        return False, False
    of_hour = models.finite(windows["1h"].metrics.server_errors) if hour is not None else None
    many_more = of_hour is not None and of_hour >= LASTING_TIMES * errors
    return True, many_more and hour is not None and hour >= LASTING_ERRORS * max(share, half or 0.0)


def quantiles(part: str, state: WorkloadState, policy: Policy, dropped: frozenset[Extra]) -> tuple[float, ...]:
    """The quantiles to request; each but the first is a request of its own, so only the shortest window has several."""
    if part != "stats_5m" or ("quantiles", importance(state)) in dropped:
        return policy.quantiles[:1] or (0.5,)
    return policy.quantiles or (0.5,)


def requests(
    state: WorkloadState, policy: Policy, now: float, dropped: frozenset[Extra] = frozenset()
) -> tuple[DetailRequest, ...]:
    """All requests for one workload. `now` is seconds since the epoch, as in the ledger."""
    urgent = workload_state.unsteady(state)
    factor = LASTING_FACTOR if urgent and now - state.ledger.since > LASTING_SECONDS else 1
    many, lasting = server_errors(state)
    rank = models.IMPORTANCES.index(importance(state))
    found = []
    for part in DETAIL_PARTS:
        unwanted = policy.parts and part.name not in policy.parts
        if unwanted or not part.applies(state, policy) or (part.extra, importance(state)) in dropped:
            continue
        every = part.times * policy.interval
        prompt = part.prompt and urgent
        if prompt:
            every = min(every, policy.status_interval * factor)
        elif part.name == "pods" and _often(state) and ("pods", importance(state)) not in dropped:
            every *= IMPORTANT_SHARE
        if part.name in DURING_ERRORS and many:
            intervals = DURING_ERRORS[part.name] * (LASTING_FACTOR if lasting else 1)
            prompt, every = True, min(every, policy.status_interval * intervals)
        found.append(
            DetailRequest(state.workload.id, part.name, cost(part.name, state, policy, dropped), every, prompt, rank)
        )
    return tuple(found)


def _often(state: WorkloadState) -> bool:
    """Whether its pods are polled more often than others: it is important and up."""
    return importance(state) in ("critical", "high") and workload_state.is_up(state)


def plan(waiting: Iterable[tuple[DetailRequest, float]], now: float, budget: int) -> list[DetailRequest]:
    """The requests to send now, in order, for at most `budget` API requests in total.

    `waiting` are requests with the time of their last response, on the clock of `now`; minus infinity: the workload has
    changed since. Urgent requests go first once the others had their share (`STEADY_SHARE`); within each group the
    longest overdue, relative to its interval, is next.
    """
    urgent: list[tuple[float, int, int, DetailRequest]] = []
    others: list[tuple[float, int, int, DetailRequest]] = []
    for request, polled in waiting:
        overdue = (now - polled) / request.every
        if overdue >= 1:
            (urgent if request.urgent else others).append((overdue, -_PLACE[request.part], -request.rank, request))
    most = max(1, budget)
    first = [row[-1] for row in heapq.nlargest(most, urgent)][::-1]
    then = [row[-1] for row in heapq.nlargest(most, others)][::-1]
    chosen: list[DetailRequest] = []
    spent = {True: 0, False: 0}
    while first or then:
        turn = bool(first) and (not then or spent[False] > STEADY_SHARE * (spent[True] + spent[False]))
        request = (first if turn else then)[-1]
        if spent[True] + spent[False] + request.cost > budget:
            break
        (first if turn else then).pop()
        spent[turn] += request.cost
        chosen.append(request)
    return chosen


def load(wanted: Iterable[DetailRequest], rate: float) -> float:
    """API requests per second of these requests, divided by the rate: above 1, intervals grow."""
    return sum(request.cost / request.every for request in wanted) / rate


def affordable(
    needed: float, extras: Mapping[Extra, float], rate: float, before: frozenset[Extra] = frozenset()
) -> frozenset[Extra]:
    """The extras to drop: `needed` requests per second without any, `extras` the requests of each.

    A dropped extra returns only if a fifth of the rate stays free, to avoid flapping.
    """
    kept = needed + sum(extras.values())
    dropped: set[Extra] = set()
    for extra in EXTRAS:
        if kept <= rate * (0.8 if extra in before else 1.0):
            break
        if extras.get(extra):
            dropped.add(extra)
            kept -= extras[extra]
    return frozenset(dropped)


def extras(state: WorkloadState, policy: Policy) -> Mapping[Extra, float]:
    """The extras of one workload, and the API requests per second that each costs."""
    which = importance(state)
    costs: dict[Extra, float] = {}
    if _often(state) and (not policy.parts or "pods" in policy.parts):
        more = 1 / IMPORTANT_SHARE - 1
        costs["pods", which] = more * cost("pods", state, policy, frozenset()) / policy.interval
    if _up(state, policy) and (not policy.parts or "stats_5m" in policy.parts):
        costs["quantiles", which] = max(0, len(policy.quantiles) - 1) / policy.interval
    for part in DETAIL_PARTS:
        if part.extra and part.applies(state, policy) and (not policy.parts or part.name in policy.parts):
            costs[part.extra, which] = costs.get((part.extra, which), 0.0) + 1 / (part.times * policy.interval)
    return costs


def lasts(request: DetailRequest, load: float) -> float:
    """Seconds for which a response is used before it is too old: three intervals, at least `MIN_USED_SECONDS`."""
    return max(MIN_USED_SECONDS, 3 * request.every * max(1.0, load))
