"""Fetches the parts of the details: one function per part, returning the input of `exporter.fleet.apply`.

Each returns the value and the rejects, and raises `ApiError` or `NotDecodable`. None as a value means that the response
has no data yet; it is requested again soon.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from exporter.api import models
from exporter.api.decoding import Item, NotDecodable, One, Reject, incomplete, one, page
from exporter.api.details import (
    AccountInfo,
    AggregateStats,
    ComputeBundle,
    Event,
    OtelValue,
    Quota,
    RequestMetrics,
    SharedRole,
    Stats,
)
from exporter.api.models import Replacement, Workload
from exporter.api.pods import UNLISTED, Pods, Proton, StatusDetails, active_proton
from exporter.collect.client import ApiError, Client, Params
from exporter.fleet import workload_state
from exporter.fleet.apply import Shared
from exporter.fleet.polling import WINDOWS
from exporter.fleet.workload_state import Window, WorkloadState

PAGE, EVENT_PAGES, PROTONS = 100, 5, 8
OF_ALL = frozenset({"timeout", "dns", "connect", "tls", "auth", "throttled"})
"""Reasons of a failed request that are about the connection or the account: the next request would fail as well."""
PASSING = frozenset({"timeout", "dns", "connect", "server_error", "throttled"})
"""Reasons of a failed request that may be gone soon."""
LAG = 90.0
"""A window of statistics ends so long ago at the least: those of the last minute are not complete yet."""
Rejects = tuple[Reject, ...]


class Question(NamedTuple):
    """One part of one workload. `quantiles` of the response time; `slow` is the threshold of slow requests, seconds."""

    client: Client
    state: WorkloadState
    now: float
    quantiles: tuple[float, ...] = (0.5,)
    slow: float = 2.0

    @property
    def id(self) -> str:
        """The workload's id."""
        return self.state.workload.id


EvaluationContext = Callable[[Question], Awaitable[tuple[Any, Rejects]]]


async def _pods(asked: Question) -> tuple[Pods | None, Rejects]:
    """Every proton and the snapshot of its pods, that of the proton that serves first."""
    answer = await asked.client.get("/workloads/{id}/protons", {"limit": PAGE}, id=asked.id)
    told = page(answer.body, Proton)
    lost = incomplete(told.rejects)
    if lost and not told.items:
        raise NotDecodable("missing", "no item of the list of protons has a readable id")
    if not told.items and (before := asked.state.details.pods) is not None and before.protons:
        return None, told.rejects  # between one proton and the next the list is empty for a moment
    newest = sorted(told.items, key=lambda proton: proton.created_at or "", reverse=True)
    serving = active_proton(told.items, asked.state.workload)
    ids = [*dict.fromkeys(proton.id for proton in (*(() if serving is None else (serving,)), *newest))]
    details, unread, rejects = await _snapshots(asked, ids[:PROTONS])
    if lost:
        unread[UNLISTED] = "decode"
    elif len(ids) > PROTONS or told.next is not None:
        unread[UNLISTED] = "incomplete"
    protons = tuple(proton for proton in told.items if proton.id in details)
    return Pods(protons, details, unread), (*told.rejects, *rejects)


async def _snapshots(
    asked: Question, protons: Sequence[str]
) -> tuple[dict[str, StatusDetails | None], dict[str, str], Rejects]:
    """The snapshots of protons, and why some could not be read. Raises the first error where none could be read."""
    details: dict[str, StatusDetails | None] = dict.fromkeys(protons)
    unread: dict[str, str] = {}
    rejects: list[Reject] = []
    error: ApiError | NotDecodable | None = None
    read, of_all = 0, ""
    for proton in protons:
        if of_all:
            unread[proton] = of_all  # not requested: it would fail in the same way, and take as long
            continue
        try:
            details[proton], left_out = await _snapshot(asked, proton)
        except (ApiError, NotDecodable) as failure:
            if isinstance(failure, ApiError) and failure.status == 404:
                continue  # it was taken away since it was listed
            error, unread[proton] = error or failure, problem(failure)
            of_all = unread[proton] if unread[proton] in OF_ALL else ""
            if isinstance(failure, NotDecodable):
                rejects.append(Reject("$", failure.reason, proton))
        else:
            read += 1
            rejects.extend(left_out)
    if error is not None and not read:
        raise error
    return details, unread, tuple(rejects)


async def _snapshot(asked: Question, proton: str) -> tuple[StatusDetails | None, Rejects]:
    """The pods of one proton; None: the platform has no snapshot of them (204), or one without a list of pods."""
    answer = await asked.client.get("/workloads/{id}/protons/{pid}/statusDetails", id=asked.id, pid=proton)
    if answer.status == 204:
        return None, ()
    read = one(answer.body, StatusDetails)
    if any(reject.path == "$.replicas" for reject in read.rejects):
        raise NotDecodable("type", "the list of pods cannot be read: that is not a list without pods")
    return (None if read.value.replicas is None else read.value), read.rejects


async def _events(asked: Question) -> tuple[tuple[Event, ...], Rejects]:
    known = frozenset(asked.state.ledger.seen_events or ())
    found: list[Event] = []
    rejects: list[Reject] = []
    for number in range(EVENT_PAGES):
        params: Params = {"limit": PAGE, "offset": number * PAGE}
        told = page((await asked.client.get("/workloads/{id}/events", params, id=asked.id)).body, Event)
        found.extend(told.items)
        rejects.extend(told.rejects)
        if told.size < PAGE or any(event.id in known for event in told.items):
            break
    return tuple(found), tuple(rejects)


async def _replacement(asked: Question) -> tuple[Replacement | None, Rejects]:
    try:
        answer = await asked.client.get("/workloads/{id}/replacement", id=asked.id)
    except ApiError as error:
        if error.status == 404 or error.reason == "absent":
            return None, ()  # none is under way, or the server does not tell
        raise
    return one(answer.body, Replacement)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def window_of(name: str, now: float) -> tuple[float, float]:
    """Start and end of the last complete window: whole minutes, so that two exporters request the same."""
    end = math.floor((now - LAG) / 60) * 60.0
    return end - WINDOWS[name], end


def _stats(name: str) -> EvaluationContext:
    async def look(asked: Question) -> tuple[Window, Rejects]:
        start, end = window_of(name, asked.now)
        protons = _serving(asked.state)
        window: Params = {"startTime": _stamp(start), "endTime": _stamp(end)}
        parts: list[RequestMetrics] = []
        times: list[tuple[float, float]] = []
        rejects: list[Reject] = []
        active = workload_state.active(asked.state)
        for proton in protons or (None,):
            told = proton is None or (active is not None and proton == active.id)
            for number, quantile in enumerate(asked.quantiles if told else asked.quantiles[:1]):
                params = {"responseTimeQuantile": f"{quantile:g}", "slowRequestsThreshold": f"{asked.slow * 1000:.0f}"}
                params |= {} if proton is None else {"protonId": proton}
                answer = await asked.client.get("/workloads/{id}/stats", {**window, **params}, id=asked.id)
                read = one(answer.body, Stats)
                rejects.extend(read.rejects)
                metrics = _metrics(read.value, start, end)
                if number == 0:
                    parts.append(metrics)
                milliseconds = models.finite(metrics.response_time)
                if told and metrics.total_requests and milliseconds is not None:
                    times.append((quantile, milliseconds / 1000))
        return Window(start, end, _sum(parts), tuple(times), tuple(protons)), tuple(rejects)

    return look


def _serving(state: WorkloadState) -> tuple[str, ...]:
    """The protons that may have served in the window; none where not all are known, and the server chooses."""
    pods = state.details.pods
    if pods is None or not pods.complete:
        return ()
    told = [proton for proton in pods.protons if workload_state.role(state, proton) in ("active", "outgoing")]
    return tuple(proton.id for proton in told)


def _metrics(stats: Stats, start: float, end: float) -> RequestMetrics:
    period = stats.period
    for told, asked in ((period.start, start), (period.end, end)) if period is not None else ():
        at = models.timestamp(told)
        if at is not None and abs(at - asked) > 60:
            raise NotDecodable("value", "the statistics are of another window than was asked for")
    if stats.metrics is None:
        raise NotDecodable("no_data", "the response has no `metrics`")
    return stats.metrics


def _sum(parts: list[RequestMetrics]) -> RequestMetrics:
    if len(parts) == 1:
        return parts[0]

    def total(name: str) -> Any:
        told = [getattr(part, name) for part in parts]
        return None if None in told else sum(told)

    counts = "total_requests server_errors user_errors slow_requests requests_per_minute concurrent_requests".split()
    return RequestMetrics(**{name: total(name) for name in counts})


class _Values(models.ApiObject, frozen=True):
    data: tuple[OtelValue, ...] | None = None


async def _usage(asked: Question) -> tuple[tuple[OtelValue, ...], Rejects]:
    end = math.floor((asked.now - 30) / 60) * 60.0
    params: Params = {"startTime": _stamp(end - 300), "endTime": _stamp(end)}
    route = "/otel/workload/{id}/metrics/autocollectedValues"
    read = one((await asked.client.get(route, params, id=asked.id)).body, _Values)
    return read.value.data or (), read.rejects


async def _sharing(asked: Question) -> tuple[Shared, Rejects]:
    grants, rejects = await _all(asked.client, "/workloads/{id}/sharedRoles", SharedRole, id=asked.id)
    marks = [hashlib.blake2b(f"{g.id}/{g.role}".encode(), digest_size=6).hexdigest() for g in grants]
    return Shared(grants, tuple(marks)), rejects


async def _quotas(asked: Question) -> tuple[tuple[Quota, ...], Rejects]:
    params: Params = {"resourceType": "workload", "resourceId": asked.id, "limit": PAGE}
    told = page((await asked.client.get("/quotas", params)).body, Quota)
    return tuple(quota for quota in told.items if quota.resource_id in (None, asked.id)), told.rejects


async def _all(client: Client, route: str, kind: type[Item], **places: str) -> tuple[tuple[Item, ...], Rejects]:
    """All items of a list. Raises `NotDecodable` where one cannot be read: what the list lacks then proves nothing."""
    found: dict[str, Item] = {}
    rejects: list[Reject] = []
    for number in range(EVENT_PAGES):
        told = page((await client.get(route, {"limit": PAGE, "offset": number * PAGE}, **places)).body, kind)
        if incomplete(told.rejects):
            raise NotDecodable("missing", f"GET {route} answered 200, but with an item that cannot be read")
        rejects.extend(told.rejects)
        found.update((getattr(item, "id"), item) for item in told.items)  # noqa: B009 — every kind asked for has one
        if told.size < PAGE:
            break
    return tuple(found.values()), tuple(rejects)


FETCHERS: dict[str, EvaluationContext] = {
    "pods": _pods,
    "events": _events,
    "replacement": _replacement,
    "usage": _usage,
    "sharing": _sharing,
    "quotas": _quotas,
    **{f"stats_{name}": _stats(name) for name in WINDOWS},
}


Notified = dict[str, Any]
"""Fields of `exporter.fleet.workload_state.Account` in a response."""


async def _limits(client: Client) -> tuple[Notified, Rejects]:
    read = one((await client.get("/account/info")).body, AccountInfo)
    limits = read.value.limits
    return {
        "org_id": read.value.org_id or "",
        "workloads_limit": limits.max_concurrent_workloads if limits is not None else None,
        "replicas_limit": limits.max_workload_replicas if limits is not None else None,
    }, read.rejects


async def _totals(client: Client) -> tuple[Notified, Rejects]:
    read = one((await client.get("/workloads/stats")).body, AggregateStats)
    counts = read.value.workloads
    return {"active_reported": counts.active if counts is not None else None}, read.rejects


async def _bundles(client: Client) -> tuple[Notified, Rejects]:
    bundles, rejects = await _all(client, "/mlops/compute/bundles", ComputeBundle)
    return {"bundles": tuple(sorted(bundles, key=lambda bundle: bundle.id))}, rejects


ACCOUNT_FETCHERS: dict[str, Callable[[Client], Awaitable[tuple[Notified, Rejects]]]] = {
    "limits": _limits,
    "totals": _totals,
    "bundles": _bundles,
}


async def by_id(client: Client, workload_id: str) -> tuple[One[Workload] | None, str]:
    """A workload by its own route, else why there is none: a reason of `ApiError`, or ``decode``."""
    try:
        read = one((await client.get("/workloads/{id}", id=workload_id)).body, Workload)
    except (ApiError, NotDecodable) as error:
        return None, problem(error)
    return (read, "") if read.value.id == workload_id else (None, "decode")


async def gone_because(client: Client, workload_id: str) -> str:
    """Result of requesting a workload that is no longer listed: ``not_found``, ``forbidden``, ``found``, or empty."""
    read, why = await by_id(client, workload_id)
    return "found" if read is not None else why if why in ("not_found", "forbidden") else ""


async def history(client: Client, workload_id: str) -> tuple[tuple[Replacement, ...], tuple[Proton, ...]]:
    """The last replacements of a workload, and its protons. Raises `ApiError` or `NotDecodable`."""
    records = page((await client.get("/workloads/{id}/history", {"limit": PAGE}, id=workload_id)).body, Replacement)
    protons = page((await client.get("/workloads/{id}/protons", {"limit": PAGE}, id=workload_id)).body, Proton)
    return records.items, protons.items


def problem(error: ApiError | NotDecodable | msgspec.MsgspecError) -> str:
    """The reason of a failed poll, of a closed set."""
    return error.reason if isinstance(error, ApiError) else "decode"
