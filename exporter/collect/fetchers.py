"""Fetches the parts of the details: one function per part, which returns the input of `exporter.fleet.apply`.

Each returns the value and the rejects, and raises `ApiError` or `NotDecodable`. None as a value means that the response
has no data yet; it is requested again soon.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from exporter.api import models
from exporter.api.decoding import Item, NotDecodable, One, Reject, incomplete
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
    dated,
)
from exporter.api.models import Replacement, Workload, may_run
from exporter.api.pods import UNLISTED, Pods, Proton, StatusDetails, active_proton
from exporter.api.versions import api_version, platform_release
from exporter.collect.client import ApiError, Client, Params
from exporter.collect.decoded import one
from exporter.collect.lists import Listed, read_list, whole_list
from exporter.fleet import workload_state
from exporter.fleet.apply import Shared
from exporter.fleet.objective_counts import MAX_REQUESTS_SECONDS, RequestCount
from exporter.fleet.polling import DURING_ERRORS
from exporter.fleet.workload_state import WINDOWS, Window, WorkloadState
from exporter.threads import calculated
from exporter.timestamps import rfc3339

MAX_PROTONS = 8
"""Protons of one workload of which pods are read."""
COMMON_REASONS = frozenset({"timeout", "dns", "connect", "tls", "auth", "throttled"})
"""Reasons that concern the connection or the account: the next request would fail as well."""
TRANSIENT_REASONS = frozenset({"timeout", "dns", "connect", "server_error", "throttled"})
"""Reasons that may be gone soon."""
STATS_DELAY_SECONDS = 90.0
"""Minimum age of the end of a window of statistics: those of the last minute are not complete yet."""
EARLY_SECONDS = 10.0
"""The same while a workload responds with many errors, and the step of the end of such a window. A window that lacks
some requests of its last minute has about the same share of errors, and shows an outage more than a minute sooner.
"""
Rejects = tuple[Reject, ...]


class Poll(NamedTuple):
    """A poll of one part of one workload at `now`, in seconds since the epoch on the local clock.

    `quantiles` of the response time; `slow` is the threshold of slow requests, in seconds. `early`: the shortest window
    of statistics ends now (`EARLY_SECONDS`).
    """

    client: Client
    state: WorkloadState
    now: float
    quantiles: tuple[float, ...] = (0.5,)
    slow: float = 2.0
    early: bool = False

    @property
    def id(self) -> str:
        """The workload's id."""
        return self.state.workload.id

    @property
    def slow_seconds(self) -> float:
        """The response time from which on a request is slow: that of the workload's objective, if it has one."""
        objective = self.state.objective
        return self.slow if objective is None or objective.slower is None else objective.slower

    @property
    def api_now(self) -> float:
        """The present on the API's clock."""
        return self.now + self.state.ahead


Fetcher = Callable[[Poll], Awaitable[tuple[Any, Rejects]]]
"""Fetches one part: its value and the rejects."""


async def _pods(poll: Poll) -> tuple[Pods | None, Rejects]:
    """Every proton and the snapshot of its pods, that of the serving proton first."""
    listed = await read_list(poll.client, "/workloads/{id}/protons", Proton, id=poll.id)
    lost = incomplete(listed.rejects)
    if lost and not listed.items:
        raise NotDecodable("missing", "no item of the list of protons has a readable id")
    if not listed.items and (before := poll.state.details.pods) is not None and before.protons:
        return None, listed.rejects  # between one proton and the next the list is empty for a moment
    newest = sorted(listed.items, key=lambda proton: proton.created_at or "", reverse=True)
    serving = active_proton(listed.items, poll.state.workload)
    ids = [*dict.fromkeys(proton.id for proton in (*(() if serving is None else (serving,)), *newest))]
    details, unread, rejects = await _snapshots(poll, ids[:MAX_PROTONS])
    if lost:
        unread[UNLISTED] = "decode"
    elif len(ids) > MAX_PROTONS or listed.problem:
        unread[UNLISTED] = "incomplete"
    protons = tuple(proton for proton in listed.items if proton.id in details)
    return Pods(protons, details, unread), (*listed.rejects, *rejects)


async def _snapshots(
    poll: Poll, protons: Sequence[str]
) -> tuple[dict[str, StatusDetails | None], dict[str, str], Rejects]:
    """The snapshots of protons, and why some could not be read. Raises the first error if none could be read."""
    details: dict[str, StatusDetails | None] = dict.fromkeys(protons)
    unread: dict[str, str] = {}
    rejects: list[Reject] = []
    error: ApiError | NotDecodable | None = None
    read, common = 0, ""
    for proton in protons:
        if common:
            unread[proton] = common  # not requested: it would fail in the same way, and as slowly
            continue
        try:
            details[proton], left_out = await _snapshot(poll, proton)
        except (ApiError, NotDecodable) as failure:
            if isinstance(failure, ApiError) and failure.status == 404:
                continue  # removed since it was listed
            error, unread[proton] = error or failure, failure_reason(failure)
            common = unread[proton] if unread[proton] in COMMON_REASONS else ""
            if isinstance(failure, NotDecodable):
                rejects.append(Reject("$", failure.reason, proton))
        else:
            read += 1
            rejects.extend(left_out)
    if error is not None and not read:
        raise error
    return details, unread, tuple(rejects)


async def _snapshot(poll: Poll, proton: str) -> tuple[StatusDetails | None, Rejects]:
    """The pods of one proton; None: the platform has no snapshot of them (204), or one without a list of pods."""
    response = await poll.client.get("/workloads/{id}/protons/{pid}/statusDetails", id=poll.id, pid=proton)
    if response.status == 204:
        return None, ()
    read = await one(response.body, StatusDetails)
    if any(reject.path == "$.replicas" for reject in read.rejects):
        raise NotDecodable("type", "the list of pods cannot be read")
    return (None if read.value.replicas is None else read.value), read.rejects


async def _events(poll: Poll) -> tuple[tuple[Event, ...], Rejects]:
    """The events up to the page that has one that is known."""
    known = frozenset(poll.state.ledger.seen_events or ())

    def reached(events: tuple[Event, ...]) -> bool:
        return any(event.id in known for event in events)

    listed = await whole_list(poll.client, "/workloads/{id}/events", Event, until=reached, id=poll.id)
    created = poll.state.workload.created_at
    return tuple(dated(event, created, poll.api_now) for event in listed.items), listed.rejects


async def _replacement(poll: Poll) -> tuple[Replacement | None, Rejects]:
    try:
        response = await poll.client.get("/workloads/{id}/replacement", id=poll.id)
    except ApiError as error:
        if error.status == 404 or error.reason == "absent":
            return None, ()  # none is in progress, or the server does not report any
        raise
    return await one(response.body, Replacement)


def window_of(name: str, now: float, *, early: bool = False, shown: float = 0.0) -> tuple[float, float]:
    """Start and end of the last complete window on the API's clock, on which it is `now`.

    Whole minutes, so that two exporters request the same. `early`: it ends now. It never ends before the window that is
    shown, which ends at `shown`, or an outage that has ended would return.
    """
    end = math.floor((now - STATS_DELAY_SECONDS) / 60) * 60.0
    if early or shown > end:
        end = math.floor((now - EARLY_SECONDS) / EARLY_SECONDS) * EARLY_SECONDS
    return end - WINDOWS[name], end


def _stats(name: str) -> Fetcher:
    async def fetch(poll: Poll) -> tuple[Window, Rejects]:
        ahead, prompt = poll.state.ahead, f"stats_{name}" in DURING_ERRORS
        before = poll.state.details.windows.get(name) if prompt else None
        shown = before.end + ahead if before is not None else 0.0
        start, end = window_of(name, poll.api_now, early=poll.early and prompt, shown=shown)
        protons = _serving(poll.state)
        window: Params = {"startTime": rfc3339(start), "endTime": rfc3339(end)}
        parts: list[RequestMetrics] = []
        times: list[tuple[float, float]] = []
        rejects: list[Reject] = []
        active, slow = workload_state.active(poll.state), f"{poll.slow_seconds * 1000:.0f}"
        for proton in protons or (None,):
            shown = proton is None or (active is not None and proton == active.id)
            for number, quantile in enumerate(poll.quantiles if shown else poll.quantiles[:1]):
                params = {"responseTimeQuantile": f"{quantile:g}", "slowRequestsThreshold": slow}
                params |= {} if proton is None else {"protonId": proton}
                response = await poll.client.get("/workloads/{id}/stats", {**window, **params}, id=poll.id)
                read = await one(response.body, Stats)
                rejects.extend(read.rejects)
                metrics = _metrics(read.value, start, end)
                if number == 0:
                    parts.append(metrics)
                milliseconds = models.finite(metrics.response_time)
                if shown and metrics.total_requests and milliseconds is not None:
                    times.append((quantile, milliseconds / 1000))
        return Window(start - ahead, end - ahead, _sum(parts), tuple(times), tuple(protons)), tuple(rejects)

    return fetch


async def _requests(poll: Poll) -> tuple[RequestCount, Rejects]:
    """The requests since those that were counted last, which may be long ago."""
    ahead, counts = poll.state.ahead, poll.state.ledger.objectives
    end = math.floor((poll.api_now - STATS_DELAY_SECONDS) / 60) * 60.0
    start = max(math.floor(counts.until + ahead) if counts is not None else 0.0, end - MAX_REQUESTS_SECONDS)
    if start >= end:
        return RequestCount(start - ahead, start - ahead, 0.0, 0.0, 0.0), ()
    slow = f"{poll.slow_seconds * 1000:.0f}"
    params: Params = {"startTime": rfc3339(start), "endTime": rfc3339(end), "slowRequestsThreshold": slow}
    parts: list[RequestMetrics] = []
    rejects: list[Reject] = []
    for proton in _serving(poll.state) or (None,):
        of: Params = {} if proton is None else {"protonId": proton}
        response = await poll.client.get("/workloads/{id}/stats", {**params, **of}, id=poll.id)
        read = await one(response.body, Stats)
        rejects.extend(read.rejects)
        parts.append(_metrics(read.value, start, end))
    found = _sum(parts)
    counted = (models.finite(n) for n in (found.total_requests, found.server_errors, found.slow_requests))
    return RequestCount(start - ahead, end - ahead, *counted), tuple(rejects)


def _serving(state: WorkloadState) -> tuple[str, ...]:
    """The protons that may have served in the window; none if not all are known, and the server selects them."""
    pods = state.details.pods
    if pods is None or not pods.complete:
        return ()
    roles = ((proton, workload_state.role(state, proton)) for proton in pods.protons)
    serving = [
        proton
        for proton, role in roles
        if role in ("active", "serving", "outgoing") or (role == "other" and may_run(proton.status))
    ]
    return tuple(proton.id for proton in serving)


def _metrics(stats: Stats, start: float, end: float) -> RequestMetrics:
    period = stats.period
    for reported, requested in ((period.start, start), (period.end, end)) if period is not None else ():
        at = models.timestamp(reported)
        if at is not None and abs(at - requested) > 60:
            raise NotDecodable("value", "the statistics are of another window than requested")
    if stats.metrics is None:
        raise NotDecodable("no_data", "the response has no `metrics`")
    return stats.metrics


def _sum(parts: list[RequestMetrics]) -> RequestMetrics:
    if len(parts) == 1:
        return parts[0]

    def total(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if None in values else sum(values)

    counts = "total_requests server_errors user_errors slow_requests requests_per_minute concurrent_requests".split()
    return RequestMetrics(**{name: total(name) for name in counts})


class _Values(models.ApiObject, frozen=True):
    data: tuple[OtelValue, ...] | None = None


async def _usage(poll: Poll) -> tuple[tuple[OtelValue, ...], Rejects]:
    end = math.floor((poll.api_now - 30) / 60) * 60.0
    params: Params = {"startTime": rfc3339(end - 300), "endTime": rfc3339(end)}
    route = "/otel/workload/{id}/metrics/autocollectedValues"
    read = await one((await poll.client.get(route, params, id=poll.id)).body, _Values)
    return read.value.data or (), read.rejects


async def _sharing(poll: Poll) -> tuple[Shared, Rejects]:
    route = "/workloads/{id}/sharedRoles"
    grants, rejects = _all(route, await whole_list(poll.client, route, SharedRole, id=poll.id))
    marks = [hashlib.blake2b(f"{g.id}/{g.role}".encode(), digest_size=6).hexdigest() for g in grants]
    return Shared(grants, tuple(marks)), rejects


async def _quotas(poll: Poll) -> tuple[tuple[Quota, ...], Rejects]:
    params: Params = {"resourceType": "workload", "resourceId": poll.id}
    listed = await whole_list(poll.client, "/quotas", Quota, params)
    return tuple(quota for quota in listed.items if quota.resource_id in (None, poll.id)), listed.rejects


def _all(route: str, listed: Listed[Item]) -> tuple[tuple[Item, ...], Rejects]:
    """All items of a list. Raises `NotDecodable` if one cannot be read: a list without it proves nothing."""
    if incomplete(listed.rejects):
        raise NotDecodable("missing", f"GET {route} returned 200, but with an item that cannot be read")
    return listed.items, listed.rejects


FETCHERS: dict[str, Fetcher] = {
    "pods": _pods,
    "events": _events,
    "replacement": _replacement,
    "usage": _usage,
    "requests": _requests,
    "sharing": _sharing,
    "quotas": _quotas,
    **{f"stats_{name}": _stats(name) for name in WINDOWS},
}


AccountFields = dict[str, Any]
"""Fields of `exporter.fleet.workload_state.Account` by name."""


async def _limits(client: Client) -> tuple[AccountFields, Rejects]:
    read = await one((await client.get("/account/info")).body, AccountInfo)
    limits = read.value.limits
    return {
        "org_id": read.value.org_id or "",
        "workloads_limit": limits.max_concurrent_workloads if limits is not None else None,
        "replicas_limit": limits.max_workload_replicas if limits is not None else None,
    }, read.rejects


async def _totals(client: Client) -> tuple[AccountFields, Rejects]:
    read = await one((await client.get("/workloads/stats")).body, AggregateStats)
    counts = read.value.workloads
    active = counts.active if counts is not None else None
    return {"active_reported": active, "requests_reported": read.value.requests}, read.rejects


async def _bundles(client: Client) -> tuple[AccountFields, Rejects]:
    route = "/mlops/compute/bundles"
    bundles, rejects = _all(route, await whole_list(client, route, ComputeBundle))
    return {"bundles": tuple(sorted(bundles, key=lambda bundle: bundle.id))}, rejects


async def _platform(client: Client) -> tuple[AccountFields, Rejects]:
    """The versions that can be read. A server without these routes has none; that does not count as a failure."""
    fields: AccountFields = {}
    error: ApiError | None = None
    for field, route, read in (("api_version", "/version", api_version), ("release", "/config", platform_release)):
        try:
            fields[field] = await calculated(read, (await client.get(route)).body)
        except ApiError as failure:
            error = error if not failure.transient else error or failure
    if error is not None and not fields:
        raise error
    return fields, ()


ACCOUNT_FETCHERS: dict[str, Callable[[Client], Awaitable[tuple[AccountFields, Rejects]]]] = {
    "limits": _limits,
    "totals": _totals,
    "bundles": _bundles,
    "platform": _platform,
}


async def by_id(client: Client, workload_id: str) -> tuple[One[Workload] | None, str]:
    """A workload by its own route, else the reason why there is none: one of `ApiError`, or ``decode``."""
    try:
        read = await one((await client.get("/workloads/{id}", id=workload_id)).body, Workload)
    except (ApiError, NotDecodable) as error:
        return None, failure_reason(error)
    return (read, "") if read.value.id == workload_id else (None, "decode")


async def gone_because(client: Client, workload_id: str) -> str:
    """Result of requesting a workload that is no longer listed: ``not_found``, ``forbidden``, ``found``, or empty."""
    read, reason = await by_id(client, workload_id)
    return "found" if read is not None else reason if reason in ("not_found", "forbidden") else ""


async def history(client: Client, workload_id: str) -> tuple[tuple[Replacement, ...], tuple[Proton, ...]]:
    """The last replacements of a workload, and its protons. Raises `ApiError` or `NotDecodable`."""
    records = await whole_list(client, "/workloads/{id}/history", Replacement, id=workload_id)
    protons = await whole_list(client, "/workloads/{id}/protons", Proton, id=workload_id)
    return records.items, protons.items


def failure_reason(error: ApiError | NotDecodable | msgspec.MsgspecError) -> str:
    """The reason of a failed poll, one of `exporter.failures.REASONS`."""
    return error.reason if isinstance(error, ApiError) else "decode"
