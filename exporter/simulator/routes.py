"""The routes of the simulated API: one row of `ROUTES` each, with a handler from (request, ids) to JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from exporter.simulator.objects import (
    BUNDLES,
    USES,
    WITHDRAWN,
    last_update,
    render_artifact,
    render_event,
    render_proton,
    render_record,
    render_replacement,
    render_runtime,
    render_status_details,
    render_workload,
)
from exporter.simulator.request import (
    ErrorResponse,
    Json,
    SimulatedRequest,
    list_response,
    not_found,
    readable_workload,
    stamp,
    time_window,
    visible_workload,
)
from exporter.simulator.request_stats import window_counts, window_metrics
from exporter.simulator.world import Actor, Moment, SimulatedReplacement, World, identity

REPEATED_LINES = 12
"""How often a log contains the same error."""
ROLES = {0: "active", 1: "candidate", -1: "outgoing"}
"""Role of a proton by its position relative to the active one."""


def role_and_oddities(world: World, ids: Sequence[str], now: float) -> tuple[str, tuple[str, ...]]:
    """The role of the requested proton, empty without one, and the current oddities of the requested workload."""
    actor = world.find(ids[0], now) if ids else None
    if actor is None:
        return "", ()
    moment = actor.moment(now)
    proton = actor.protons_at(moment).get(ids[1]) if len(ids) > 1 else None
    return ROLES[proton.ahead] if proton is not None else "", moment.step.odd


def _version(_: SimulatedRequest) -> Json:
    return {"major": 2, "minor": 50, "versionString": "2.50.0", "releasedVersion": "2.49.0", "simulated": True}


def _workloads(request: SimulatedRequest) -> Json:
    world, query = request.world, request.query
    numbers = world.listed(request.now)
    if query.get("orderBy", ["createdAt"])[-1] == "-createdAt":
        numbers.reverse()
    tests: list[Callable[[Actor, Moment], bool]] = []
    if wanted := query.get("ids"):
        tests.append(lambda actor, moment: actor.id(moment) in wanted)
    if statuses := query.get("status"):
        tests.append(lambda _, moment: moment.step.status in statuses)
    if importances := query.get("importance"):
        tests.append(lambda actor, moment: actor.importance_at(moment) in importances)
    if search := query.get("search"):
        tests.append(lambda actor, _: search[-1].casefold() in actor.name.casefold())
    if drafts := query.get("artifactStatus"):
        tests.append(lambda actor, _: ("draft" if actor.story.draft else "locked") in drafts)
    if tests:
        actors = ((n, world.actor(n)) for n in numbers)
        numbers = [n for n, a in actors if all(test(a, a.moment(request.now)) for test in tests)]
    stats = query.get("serviceStats", ["false"])[-1].casefold() == "true"
    return list_response(
        request, numbers, lambda n: render_workload(request, world.actor(n), stats=stats), "/workloads"
    )


def _aggregate(request: SimulatedRequest) -> Json:
    actors = [request.world.actor(n) for n in request.world.listed(request.now)[:2000]]
    counts = [window_counts(actor, request.now - 7 * 86400, request.now) for actor in actors]
    total, failed = sum(c["totalRequests"] for c in counts), sum(c["serverErrors"] for c in counts)
    statuses = [actor.moment(request.now).step.status.casefold() for actor in actors]
    active = sum(status not in ("stopped", "suspended", "interrupted", "terminated") for status in statuses)
    return {
        "workloads": {"active": active, "total": len(request.world.listed(request.now))},
        "requests": {"total": total, "succeeded": total - failed, "failed": failed, "trend": -3.1},
        "errorRate": {"rate": round(100 * failed / total, 3) if total else 0.0, "trend": 12.0},
        "responseTime": {"millis": 188, "trend": 0},
        "concurrentRequests": {"count": int(sum(actor.story.concurrency for actor in actors)), "trend": None},
    }


def _one(request: SimulatedRequest, workload: str) -> Json:
    return render_workload(request, visible_workload(request, workload), stats=False)


def _stats(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    start, end = time_window(request)
    return {"period": {"start": stamp(start), "end": stamp(end)}, "metrics": window_metrics(request, actor, start, end)}


_RESOLUTIONS = {"PT1M": 60, "PT5M": 300, "PT1H": 3600, "P1D": 86400, "P7D": 604800, "P1M": 2592000}
_SERIES = (
    "totalRequests",
    "requestsOverN",
    "requestsPerMinute",
    "concurrentRequests",
    "responseTime",
    "totalErrorRate",
)


def _series(request: SimulatedRequest, workload: str, metric: str) -> Json:
    actor = readable_workload(request, workload)
    resolution = request.query.get("resolution", ["P1D"])[-1]
    if metric not in _SERIES or resolution not in _RESOLUTIONS:
        raise ErrorResponse(
            422, {"detail": [{"loc": ["path", "metric"], "msg": "not one of the names", "type": "enum"}]}
        )
    start, end = time_window(request)
    width = max(_RESOLUTIONS[resolution], (end - start) / 500)
    buckets = []
    at = start
    while at < end:
        to = min(at + width, end)
        value = window_metrics(request, actor, at, to).get({"requestsOverN": "slowRequests"}.get(metric, metric))
        buckets.append({"period": {"start": stamp(at), "end": stamp(to)}, "value": value})
        at = to
    moment = actor.moment(request.now)
    summary = {"period": {"start": stamp(start), "end": stamp(end)}, "protonId": actor.proton(moment)}
    return {"metric": metric, "summary": summary, "buckets": buckets}


def _events(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    for key in request.query:
        if key not in ("offset", "limit"):
            detail = [{"loc": ["query", key], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]
            raise ErrorResponse(422, {"detail": detail})
    events = actor.reported_replacements(request.now)
    if len(events) > 1:
        events[0], events[1] = events[1], events[0]  # real servers do not sort strictly
    return list_response(
        request, events, lambda event: render_event(request, actor, event), f"/workloads/{workload}/events"
    )


def _history(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)

    def record(replacement: SimulatedReplacement) -> Json:
        step, ended = replacement.end.step, stamp(last_update(replacement, request.now))
        return render_record(request, actor, replacement) | {
            "id": replacement.finished_id,
            "name": actor.name,
            "tenantId": "00000000-0000-4000-8000-000000000001",
            "userId": identity(actor.world.seed, "user"),
            "candidateProtonIds": [replacement.proton],
            "previousProtonIds": None,
            "runtime": {},
            "status": step.event.removeprefix("Replacement ").lower(),
            "strategy": "rolling",
            "message": step.message or None,
            "isDeleted": True,
            "deletedAt": ended,
            "updatedAt": ended,
        }

    return list_response(request, actor.reported_replacements(request.now), record, f"/workloads/{workload}/history")


def _replacement_of(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    record = render_replacement(request, actor, actor.moment(request.now))
    if record is None or request.strict:
        raise ErrorResponse(404, {"detail": "no replacement is active here"})
    return record


def _proton_list(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    moment = actor.moment(request.now)
    body = list_response(
        request,
        list(actor.protons_at(moment)),
        lambda proton: render_proton(request, actor, moment, proton),
        f"/workloads/{workload}/protons",
    )
    if not request.strict:
        del body["next"], body["previous"]
    return body


def _existing_proton(request: SimulatedRequest, workload: str, proton: str) -> tuple[Actor, Moment]:
    actor = readable_workload(request, workload)
    moment = actor.moment(request.now)
    if proton not in actor.protons_at(moment):
        raise not_found("proton")
    return actor, moment


def _proton_one(request: SimulatedRequest, workload: str, proton: str) -> Json:
    return render_proton(request, *_existing_proton(request, workload, proton), proton)


def _details(request: SimulatedRequest, workload: str, proton: str) -> Json:
    return render_status_details(request, *_existing_proton(request, workload, proton), proton)


def _settings(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    runtime = {"runtime": render_runtime(request, actor, resolved=True)}
    return runtime if request.strict else runtime | {"replacement": None}


def _related(request: SimulatedRequest, workload: str) -> Json:
    actor = visible_workload(request, workload)
    moment = actor.moment(request.now)
    artifact, proton = render_artifact(actor, moment), actor.proton(moment)

    def related(kind: str, name: str, key: str, created: float) -> Json:
        return {"id": key, "type": kind, "name": name, "createdAt": stamp(created), "updatedAt": stamp(created)}

    data = [
        related("artifact", artifact["name"], artifact["id"], actor.created(actor.life(moment))),
        related("proton", actor.name, proton, actor.born(moment, proton)),
    ]
    return {"count": len(data), "data": data}


def _shared(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    roles = [{"role": "OWNER", "shareRecipientType": "user"}, {"role": "CONSUMER", "shareRecipientType": "group"}]
    kept = roles[1:] if actor.number % 17 == 16 else roles[: 1 + actor.number % 2]
    data = [{"id": identity(actor.number, "share", n), "name": f"Somebody {n}", **r} for n, r in enumerate(kept)]
    return list_response(request, data, lambda item: item, f"/workloads/{workload}/sharedRoles")


def _account(request: SimulatedRequest) -> Json:
    return {
        "uid": identity(request.world.seed, "user"),
        "email": "simulated@example.test",
        "orgId": identity(request.world.seed, "org"),
        "tenantId": "00000000-0000-4000-8000-000000000001",
        "limits": {"maxConcurrentWorkloads": math.ceil(request.world.size * 1.05), "maxWorkloadReplicas": 0},
    }


def _bundles(request: SimulatedRequest) -> Json:
    items = [
        {"id": name, "name": name, "description": None, **facts, "useCases": USES.get(name, ["workload"])}
        for name, facts in BUNDLES.items()
        if name not in WITHDRAWN
    ]
    return list_response(request, items, lambda item: item, "/mlops/compute/bundles")


def _autocollected(request: SimulatedRequest, workload: str) -> Json:
    actor = readable_workload(request, workload)
    story, moment = actor.story, actor.moment(request.now)
    up = moment.step.serves and moment.step.pods is not None
    bundle = BUNDLES[story.bundle]
    variation = 0.98 + 0.04 * math.sin(request.now / 300 + actor.number)

    def value(name: str, shown: str, unit: str, amount: float) -> Json:
        now = round(amount * variation) if up else None
        mean = round(amount) if up else None
        return {
            "otelName": name,
            "displayName": shown,
            "aggregation": "average",
            "unit": unit,
            "aggregatedValue": mean,
            "currentValue": now,
            "level": "pod",
        }

    return {
        "data": [
            value("container.cpu.usage", "CPU", "nanocores", story.cpu_share * bundle["cpuCount"] * 1e9),
            value("container.memory.working_set", "Memory", "bytes", story.memory_share * bundle["memoryBytes"]),
            value("gpu.utilization", "GPU", "percentage", 70.0 if bundle["gpuCount"] else 0.0),
        ]
    }


def _logs(request: SimulatedRequest, workload: str) -> Json:
    actor = visible_workload(request, workload)
    step = actor.moment(request.now).step
    pods = (step.pods, step.candidate[1] if step.candidate else None)
    errors = [each for each in (step.log, *(each.log for each in pods if each is not None)) if each]
    level = "ERROR" if errors or step.status == "errored" else "INFO"
    lines = [
        {
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="microseconds"),
            "level": level,
            "message": message,
            "stacktrace": None,
            "spanId": None,
            "traceId": None,
        }
        for number, message in enumerate([f"simulated: {actor.story.shows}", *errors * REPEATED_LINES])
        if (at := request.now - 5 - 2 * number) > 0
    ]
    return list_response(request, lines, lambda item: item, f"/otel/workload/{workload}/logs", 1000)


def _traces(request: SimulatedRequest, workload: str) -> Json:
    actor = visible_workload(request, workload)
    trace = {
        "traceId": identity(actor.number, "trace").ljust(32, "0"),
        "rootSpanName": "POST /score",
        "rootServiceName": actor.name,
        "duration": int(actor.story.latency * 1e6),
        "spansCount": 6,
        "errorSpansCount": 0,
    }
    return {"count": 1, "total": 1, "data": [trace]}


def _quotas(request: SimulatedRequest) -> Json:
    kind, resource = (request.query.get(name, [""])[-1] for name in ("resourceType", "resourceId"))
    actor = request.world.find(resource, request.now) if kind == "workload" else None
    items = []
    if actor is not None and actor.number % 3 == 0:
        rules = [{"rule": "requests", "limit": 300, "window": "min"}, {"rule": "concurrentRequests", "limit": 0}]
        quota = {"id": identity(actor.number, "quota"), "resourceType": kind, "resourceId": resource}
        items.append(quota | {"defaultRules": rules, "policies": []})
    return list_response(request, items, lambda item: item, "/quotas")


def _endpoint(request: SimulatedRequest, workload: str) -> Json:
    """A request to the workload itself."""
    if not visible_workload(request, workload).moment(request.now).step.serves:
        raise ErrorResponse(503, {"message": "no replica is ready"})
    return {"simulated": True}


ID = r"([^/]+)"
ROUTES: tuple[tuple[str, Callable[..., Json]], ...] = (
    ("/version", _version),
    ("/workloads", _workloads),
    ("/workloads/stats", _aggregate),
    ("/workloads/{id}", _one),
    ("/workloads/{id}/stats", _stats),
    ("/workloads/{id}/stats/{metric}", _series),
    ("/workloads/{id}/events", _events),
    ("/workloads/{id}/history", _history),
    ("/workloads/{id}/replacement", _replacement_of),
    ("/workloads/{id}/protons", _proton_list),
    ("/workloads/{id}/protons/{pid}", _proton_one),
    ("/workloads/{id}/protons/{pid}/statusDetails", _details),
    ("/workloads/{id}/settings", _settings),
    ("/workloads/{id}/related", _related),
    ("/workloads/{id}/sharedRoles", _shared),
    ("/account/info", _account),
    ("/mlops/compute/bundles", _bundles),
    ("/otel/workload/{id}/metrics/autocollectedValues", _autocollected),
    ("/otel/workload/{id}/logs", _logs),
    ("/otel/workload/{id}/traces", _traces),
    ("/quotas", _quotas),
    ("/endpoints/workloads/{id}", _endpoint),
)
_PATTERNS = [
    (template, re.compile(re.sub(r"\{[a-z]+\}", ID, template) + "/?"), handler) for template, handler in ROUTES
]


def routed(path: str) -> tuple[str, Callable[..., Json], tuple[str, ...]]:
    """The template, the handler and the ids of a path below `PREFIX`. Raises `ErrorResponse` with 404."""
    for template, pattern, handler in _PATTERNS:
        match = pattern.fullmatch(path)
        if match:
            return template, handler, match.groups()
    raise ErrorResponse(404, {"detail": "Not Found"})
