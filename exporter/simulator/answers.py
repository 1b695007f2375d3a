"""What a Workload API answers: (world, path, query, now) -> status and JSON, each route one row of `ROUTES`.

Shapes are those of real servers of late 2026; `strict` gives the published description 11.5 to the letter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from exporter.simulator.stories import Pods
from exporter.simulator.world import Actor, Moment, Rollout, World, identity

PREFIX = "/api/v2"
GIB = 1024**3
BUNDLES: dict[str, dict[str, Any]] = {
    "cpu.small": {"cpuCount": 1.0, "memoryBytes": GIB // 2, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "cpu.medium": {"cpuCount": 2.0, "memoryBytes": 4 * GIB, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "cpu.legacy": {"cpuCount": 2.0, "memoryBytes": 3 * GIB, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "gpu.l4.small": {
        "cpuCount": 4.0,
        "memoryBytes": 16 * GIB,
        "gpuCount": 1,
        "gpuMaker": "nvidia",
        "gpuTypeLabel": "nvidia-l4",
    },
    "gpu.a10g.medium": {
        "cpuCount": 8.0,
        "memoryBytes": 32 * GIB,
        "gpuCount": 1,
        "gpuMaker": "nvidia",
        "gpuTypeLabel": "nvidia-a10g",
    },
}
WITHDRAWN = frozenset({"cpu.legacy"})
"""Bundles that workloads still have and the catalogue has not."""

Query = Mapping[str, Sequence[str]]
Json = dict[str, Any]


class Refused(Exception):
    """An answer other than 200: a status and a JSON body."""

    def __init__(self, status: int, body: Json | None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Asked(NamedTuple):
    """One question: the world, the query, the reader's clock, the host to name in links, and how to answer."""

    world: World
    query: Query
    now: float
    base: str
    strict: bool = False


def stamp(at: float) -> str:
    """A timestamp as the platform writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def _missing(what: str) -> Refused:
    return Refused(404, {"detail": f"no such {what}"})


def _number(asked: Asked, name: str, default: int, least: int, most: int) -> int:
    text = asked.query.get(name, [str(default)])[-1]
    value = int(text) if re.fullmatch(r"-?\d{1,9}", text) else None
    if value is None or not least <= value <= most:
        kind, bound = ("less_than_equal", most) if value is not None and value > most else ("greater_than_equal", least)
        raise Refused(
            422,
            {
                "detail": [
                    {"loc": ["query", name], "msg": f"must be {kind}: {bound}", "type": kind, "input": text, "ctx": {}}
                ]
            },
        )
    return value


def _enveloped(asked: Asked, items: Sequence[Any], render: Callable[[Any], Any], path: str, most: int = 100) -> Json:
    offset, limit = _number(asked, "offset", 0, 0, 10**9), _number(asked, "limit", 10, 1, most)
    data = [render(item) for item in items[offset : offset + limit]]
    more = offset + limit < len(items)
    following = f"{asked.base}{PREFIX}{path}/?limit={limit}&offset={offset + limit}" if more else None
    return {"totalCount": len(items), "count": len(data), "next": following, "previous": None, "data": data}


# -- pieces


def _group(asked: Asked, actor: Actor, *, resolved: bool) -> Json:
    story = actor.story
    scaling: Json | None = None
    if story.bounds:
        low, high = story.bounds
        policy: Json = {"scalingMetric": story.scaling[0], "target": story.scaling[1]}
        if asked.strict:
            scaling = {"enabled": True, "policies": [policy | {"minCount": low, "maxCount": high, "priority": None}]}
        else:
            scaling = {
                "enabled": True,
                "minReplicaCount": low,
                "maxReplicaCount": high,
                "cooldownPeriodMinutes": None,
                "policies": [policy],
            }
    group: Json = {
        "name": "default",
        "replicaCount": (story.replicas or 1) if asked.strict else story.replicas,
        "autoscaling": scaling,
        "resourceBundles": [story.bundle],
        "bundleSelectionPolicy": "availability",
        "containers": [
            {
                "name": "primary",
                "resourceAllocation": {"cpu": 1.0, "gpu": None, "memory": 2147483648, "gpuMemory": None},
            }
        ],
    }
    if resolved:
        group["resolvedBundle"] = {"id": story.bundle, **BUNDLES[story.bundle]}
    return group


def _artifact(actor: Actor, moment: Moment, ahead: int = 0) -> Json:
    story = actor.story
    version = 1 if story.settings_only else moment.round * story.protons + moment.step.proton + ahead + 1
    draft = story.draft and not moment.step.locked
    return {
        "id": identity(actor.world.seed, actor.number, "artifact", version),
        "artifactRepositoryId": identity(actor.world.seed, actor.number, "repository"),
        "name": story.name,
        "status": "draft" if draft else "locked",
        "type": story.type,
        "version": None if draft else max(1, version),
    }


def _user(seed: int) -> Json:
    return {
        "id": identity(seed, "user"),
        "email": "simulated@example.test",
        "fullName": "Simulated Person",
        "userhash": None,
        "username": "simulated@example.test",
    }


def _replacement(asked: Asked, actor: Actor, moment: Moment) -> Json | None:
    rollout = actor.rollout(moment.round) if moment.step.replacement else None
    if rollout is None:
        return None
    candidates = [rollout.proton] if moment.step.candidate else []
    brief: Json = {"status": moment.step.replacement, "strategy": "rolling", "candidateProtonIds": candidates}
    return brief if asked.strict else brief | _record(asked, actor, rollout) | {"message": None}


def _record(asked: Asked, actor: Actor, rollout: Rollout) -> Json:
    """The replacement record from its start to its end, and afterwards."""
    return {
        "id": rollout.id,
        "workloadId": actor.id(rollout.began),
        "candidateArtifactId": _artifact(actor, rollout.began, 1)["id"],
        "config": {"warmupDurationMinutes": 1, "keepOldVersionMinutes": 0},
        "createdAt": stamp(rollout.began.since),
        "switchedAt": stamp(rollout.switched) if rollout.switched <= asked.now else None,
    }


def _workload(asked: Asked, actor: Actor, *, stats: bool) -> Json:
    moment = actor.moment(asked.now)
    story, workload = actor.story, actor.id(moment)
    created = stamp(actor.created(actor.life(moment)))
    if story.bare:
        nulls = (
            "description artifact artifactId protonId creator endpoint lastResponse replacement requestStats".split()
        )
        return {
            "id": workload,
            "name": actor.name,
            **dict.fromkeys(nulls),
            "runtime": {},
            "tags": [],
            "owners": [],
            "permissions": [],
            "status": "unknown",
            "createdAt": created,
            "updatedAt": created,
        }
    last = _last_response(actor, moment, asked.now)
    status = moment.step.status
    strict_status = status if status.islower() and status not in ("suspended", "interrupted") else "unknown"
    odd = asked.strict and (story.type not in ("service", "nim"))
    artifact = _artifact(actor, moment)
    if odd:
        artifact["type"] = "service"
    return {
        "id": workload,
        "name": actor.name,
        "description": f"A simulation: {story.shows}.",
        "status": strict_status if asked.strict else status,
        "type": "service" if odd else story.type,
        "importance": "low" if asked.strict and actor.importance == "urgent" else actor.importance,
        "artifactId": artifact["id"],
        "protonId": actor.proton(moment),
        "artifact": artifact,
        "endpoint": f"{asked.base}{PREFIX}/endpoints/workloads/{workload}",
        "replacement": _replacement(asked, actor, moment),
        "requestStats": _list_stats(actor, asked.now, last) if stats else None,
        "lastResponse": last,
        "runtime": {"containerGroups": [_group(asked, actor, resolved=True)]},
        "creator": _user(actor.world.seed),
        "owners": [],
        "permissions": ["CAN_VIEW"],
        "tags": [{"id": identity(actor.number, "tag"), "name": "team", "value": f"team-{actor.number % 5}"}],
        "createdAt": created,
        "updatedAt": stamp(max(moment.since, actor.created(actor.life(moment)))),
    }


def _last_response(actor: Actor, moment: Moment, now: float) -> str | None:
    if actor.requests_until(now) <= 0:
        return None
    return stamp(now - now % 5 if moment.step.serves else actor.since(moment, lambda there: there.step.serves))


def _list_stats(actor: Actor, now: float, last: str | None) -> Json:
    week = [_counts(actor, now - (day + 1) * 86400, now - day * 86400) for day in range(7)]
    total = sum(day["totalRequests"] for day in week)
    errors = sum(day["serverErrors"] for day in week)
    return {
        "totalRequests": total,
        "errorRate": round(100 * errors / total, 2) if total else 0.0,
        "errorRates": [day["serverErrors"] for day in week],
        "requestRates": [day["totalRequests"] for day in week],
        "responseTime": int(actor.story.latency) if total else 0,
        "concurrentRequests": int(actor.story.concurrency) if actor.moment(now).step.serves else 0,
        "lastRequestAt": last,
    }


def _counts(actor: Actor, start: float, end: float, reset: float = -math.inf) -> Json:
    """Counts of a window; those of two adjacent windows add up. Nothing from before `reset` counts."""
    start, end = max(start, reset), max(end, reset)
    before, after = actor.requests_until(start), actor.requests_until(end)
    story = actor.story

    def of(share: float) -> int:
        return math.floor(share * after) - math.floor(share * before)

    return {
        "totalRequests": after - before,
        "serverErrors": of(story.server_errors),
        "userErrors": of(story.client_errors),
        "slowRequests": of(story.slow),
    }


def _proton(asked: Asked, actor: Actor, moment: Moment, proton: str) -> Json:
    def runs(there: Moment) -> bool:
        seat = actor.seats(there).get(proton)
        return seat is not None and seat.status in ("running", "draining")

    ahead, status, _ = actor.seats(moment)[proton]
    running = runs(moment)
    artifact = _artifact(actor, moment, ahead)
    told: Json = {
        "id": proton,
        "name": f"{actor.name}-v{artifact['version'] or 0}",
        "status": status,
        "role": {0: "active", 1: "candidate", -1: None}[ahead],
        "artifactId": artifact["id"],
        "workloadId": actor.id(moment),
        "runningSince": stamp(actor.since(moment, runs)) if running else None,
        "endpoint": f"{asked.base}{PREFIX}/endpoints/workloads/{actor.id(moment)}?protonId={proton}"
        if running
        else None,
        "runtime": {"containerGroups": [_group(asked, actor, resolved=False)]},
        "statusDetails": {"logTail": None},
        "creator": None,
        "createdAt": stamp(actor.born(moment, proton)),
        "updatedAt": stamp(max(moment.since, actor.created(actor.life(moment)))),
    }
    if not asked.strict:
        told["deployedImages"] = {"primary": f"registry.example.test/{actor.story.name.replace(' ', '-')}:1"}
        if ahead == -1:
            del told["role"]
    return told


def _condition(asked: Asked, kind: str, truth: bool, at: float, reason: str = "", message: str = "") -> Json:
    if asked.strict:
        return {"type": kind, "met": truth, "since": stamp(at)}
    return {"type": kind, "value": truth, "lastTransitionTime": stamp(at), "reason": reason, "message": message}


def _replica(asked: Asked, actor: Actor, moment: Moment, proton: str, number: int, pod: Pods) -> Json:
    def since(look: Callable[[Pods], object]) -> float:
        """Since when this very pod has been like this; one that found a node never loses it."""

        def seen(there: Moment) -> object:
            then = actor.pod(there, proton, number)
            return then and (then.scheduled, look(then))

        return actor.since(moment, seen)

    came = since(lambda _: None)
    turned = since(lambda then: then.ready)
    unready = "PodCompleted" if pod.phase == "succeeded" else "ContainersNotReady"
    conditions = [
        ("PodScheduled", pod.scheduled, came, "Unschedulable", pod.message if not pod.scheduled else ""),
        ("PodReadyToStartContainers", pod.scheduled, came, "", ""),
        ("Initialized", pod.scheduled, came, "", ""),
        ("ContainersReady", pod.ready, turned, unready, ""),
        ("Ready", pod.ready, turned, unready, ""),
    ]
    told: Json = {
        "name": f"lrs-{proton}-{identity(proton, 'set')[:6]}-{identity(proton, came, number)[:5]}",
        "status": pod.phase,
        "address": "10.1.2.3" if pod.scheduled else "",
        "nodeAddress": "10.1.0.9" if pod.scheduled else "",
        "startedAt": stamp(came) if pod.scheduled else None,
        "conditions": [
            _condition(asked, kind, truth, at, "" if truth else reason, "" if truth else message)
            for kind, truth, at, reason, message in conditions
        ],
        "containers": [],
    }
    if not pod.scheduled:
        if not asked.strict:
            del told["containers"]
        return told
    restarts, restarted = actor.restarts(moment, pod), actor.restarted(moment, pod)
    began = restarted if pod.restart_every else since(lambda then: then.state)
    container: Json = {
        "name": f"lrs-{proton}-primary",
        "image": "registry.example.test/simulated:1",
        "status": pod.state,
        "ready": pod.ready,
        "restartCount": restarts,
        "startedAt": stamp(began) if pod.state == "running" else None,
    }
    if not asked.strict:
        container |= {
            "reason": pod.reason,
            "exitCode": pod.exit_code,
            "message": pod.message,
            "lastState": {
                "status": "terminated",
                "reason": pod.last[0],
                "exitCode": pod.last[1],
                "message": "",
                "startedAt": stamp(restarted - min(2.0, pod.restart_every / actor.world.speed)),
                "finishedAt": stamp(restarted),
            }
            if restarts and pod.last
            else None,
        }
    told["containers"].append(container)
    return told


def _status_details(asked: Asked, actor: Actor, moment: Moment, proton: str) -> Json:
    _, state, pods = actor.seats(moment)[proton]
    if pods is None:
        raise Refused(204, None)

    def seen(there: Moment) -> object:
        seat = actor.seats(there).get(proton)
        return seat and (seat.status, seat.pods)

    each = ((n, actor.pod(moment, proton, n)) for n in range(actor.live(pods)))
    return {
        "overallStatus": {
            "state": state if not asked.strict or state.islower() else "unknown",
            "summary": f"state {state}, derived from pods",
            "lastUpdated": stamp(actor.restarted(moment, pods) if pods.restart_every else actor.since(moment, seen)),
        },
        "replicas": [_replica(asked, actor, moment, proton, n, pod) for n, pod in each if pod],
    }


def _event(asked: Asked, actor: Actor, rollout: Rollout) -> Json:
    step = rollout.end.step
    evidence = None
    if step.evidence:
        container = {
            "name": f"lrs-{rollout.proton}-primary",
            "ready": False,
            "restartCount": 2,
            "reason": "CrashLoopBackOff",
            "lastState": {"reason": "Error", "exitCode": 1},
        }
        evidence = {rollout.proton: {"replicas": [{"containers": [container]}]}}
    record = _record(asked, actor, rollout)
    return {
        "id": rollout.id,
        "workloadId": record["workloadId"],
        "timestamp": stamp(rollout.end.since),
        "eventType": step.event,
        "actorId": identity(actor.world.seed, "user"),
        "details": {
            "replacementId": rollout.id,
            "artifactId": record["candidateArtifactId"],
            "message": step.message or "the replacement is complete",
            "candidateProtonIds": [rollout.proton] if step.evidence or not step.message else [],
            "protonStatuses": evidence,
        },
    }


ROLES = {0: "active", 1: "candidate", -1: "outgoing"}
"""The role of a proton by how far it is ahead of the active one."""


def situation(world: World, ids: Sequence[str], now: float) -> tuple[str, tuple[str, ...]]:
    """The role of the proton that a request is about, empty if it is about none; the oddities of its workload now."""
    actor = world.find(ids[0], now) if ids else None
    if actor is None:
        return "", ()
    moment = actor.moment(now)
    seat = actor.seats(moment).get(ids[1]) if len(ids) > 1 else None
    return ROLES[seat.ahead] if seat is not None else "", moment.step.odd


# -- routes


def _there(asked: Asked, workload: str) -> Actor:
    actor = asked.world.find(workload, asked.now)
    if actor is None:
        raise _missing("workload")
    if actor.moment(asked.now).step.hidden:
        raise Refused(403, {"detail": "you have no access to this workload"})
    return actor


def _inside(asked: Asked, workload: str) -> Actor:
    """The workload, if the token may read it."""
    actor = _there(asked, workload)
    if actor.story.consumer:
        raise Refused(403, {"detail": "a consumer may not read this"})
    return actor


def _version(_: Asked) -> Json:
    return {"major": 2, "minor": 50, "versionString": "2.50.0", "releasedVersion": "2.49.0", "simulated": True}


def _workloads(asked: Asked) -> Json:
    world, query = asked.world, asked.query
    numbers = world.listed(asked.now)
    if query.get("orderBy", ["createdAt"])[-1] == "-createdAt":
        numbers.reverse()
    tests: list[Callable[[Actor, Moment], bool]] = []
    if wanted := query.get("ids"):
        tests.append(lambda actor, moment: actor.id(moment) in wanted)
    if statuses := query.get("status"):
        tests.append(lambda _, moment: moment.step.status in statuses)
    if importances := query.get("importance"):
        tests.append(lambda actor, _: actor.importance in importances)
    if search := query.get("search"):
        tests.append(lambda actor, _: search[-1].casefold() in actor.name.casefold())
    if drafts := query.get("artifactStatus"):
        tests.append(lambda actor, _: ("draft" if actor.story.draft else "locked") in drafts)
    if tests:
        there = ((n, world.actor(n)) for n in numbers)
        numbers = [n for n, a in there if all(test(a, a.moment(asked.now)) for test in tests)]
    stats = query.get("serviceStats", ["false"])[-1].casefold() == "true"
    return _enveloped(asked, numbers, lambda n: _workload(asked, world.actor(n), stats=stats), "/workloads")


def _aggregate(asked: Asked) -> Json:
    actors = [asked.world.actor(n) for n in asked.world.listed(asked.now)[:2000]]
    counts = [_counts(actor, asked.now - 7 * 86400, asked.now) for actor in actors]
    total, failed = sum(c["totalRequests"] for c in counts), sum(c["serverErrors"] for c in counts)
    active = sum(actor.moment(asked.now).step.status == "running" for actor in actors)
    return {
        "workloads": {"active": active, "total": len(asked.world.listed(asked.now))},
        "requests": {"total": total, "succeeded": total - failed, "failed": failed, "trend": -3.1},
        "errorRate": {"rate": round(100 * failed / total, 3) if total else 0.0, "trend": 12.0},
        "responseTime": {"millis": 188, "trend": 0},
        "concurrentRequests": {"count": int(sum(actor.story.concurrency for actor in actors)), "trend": None},
    }


def _one(asked: Asked, workload: str) -> Json:
    return _workload(asked, _there(asked, workload), stats=False)


def _window(asked: Asked) -> tuple[float, float]:
    def read(name: str, default: float) -> float:
        text = asked.query.get(name, [""])[-1].replace(" ", "+")
        if not text:
            return default
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            detail = [{"loc": ["query", name], "msg": "no datetime", "type": "datetime_parsing", "input": text}]
            raise Refused(422, {"detail": detail}) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    end = read("endTime", asked.now)
    return read("startTime", end - 7 * 86400), end


def _metrics(asked: Asked, actor: Actor, start: float, end: float) -> Json:
    counts, story = _counts(actor, start, end, actor.reset(actor.moment(asked.now))), actor.story
    total = counts["totalRequests"]
    quantile = float(asked.query.get("responseTimeQuantile", ["0.5"])[-1])
    minutes = max((end - start) / 60, 1 / 60)

    def rate(part: int) -> float:
        return round(part / total, 4) if total else 0.0

    return counts | {
        "requestsPerMinute": round(total / minutes),
        "concurrentRequests": int(story.concurrency) if total else 0,
        "responseTime": int(story.latency * (0.6 + 0.8 * quantile + 3 * quantile**8)) if total else 0,
        "serverErrorRate": rate(counts["serverErrors"]),
        "userErrorRate": rate(counts["userErrors"]),
        "totalErrorRate": rate(counts["serverErrors"] + counts["userErrors"]),
    }


def _stats(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    start, end = _window(asked)
    return {"period": {"start": stamp(start), "end": stamp(end)}, "metrics": _metrics(asked, actor, start, end)}


_RESOLUTIONS = {"PT1M": 60, "PT5M": 300, "PT1H": 3600, "P1D": 86400, "P7D": 604800, "P1M": 2592000}
_SERIES = (
    "totalRequests",
    "requestsOverN",
    "requestsPerMinute",
    "concurrentRequests",
    "responseTime",
    "totalErrorRate",
)


def _series(asked: Asked, workload: str, metric: str) -> Json:
    actor = _inside(asked, workload)
    resolution = asked.query.get("resolution", ["P1D"])[-1]
    if metric not in _SERIES or resolution not in _RESOLUTIONS:
        raise Refused(422, {"detail": [{"loc": ["path", "metric"], "msg": "not one of the names", "type": "enum"}]})
    start, end = _window(asked)
    width = max(_RESOLUTIONS[resolution], (end - start) / 500)
    buckets = []
    at = start
    while at < end:
        to = min(at + width, end)
        value = _metrics(asked, actor, at, to).get({"requestsOverN": "slowRequests"}.get(metric, metric))
        buckets.append({"period": {"start": stamp(at), "end": stamp(to)}, "value": value})
        at = to
    moment = actor.moment(asked.now)
    summary = {"period": {"start": stamp(start), "end": stamp(end)}, "protonId": actor.proton(moment)}
    return {"metric": metric, "summary": summary, "buckets": buckets}


def _events(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    for key in asked.query:
        if key not in ("offset", "limit"):
            detail = [{"loc": ["query", key], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]
            raise Refused(422, {"detail": detail})
    events = actor.told(asked.now)
    if len(events) > 1:
        events[0], events[1] = events[1], events[0]  # newest first by intent, with inversions
    return _enveloped(asked, events, lambda event: _event(asked, actor, event), f"/workloads/{workload}/events")


def _history(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)

    def record(rollout: Rollout) -> Json:
        step, ended = rollout.end.step, stamp(rollout.end.since)
        return _record(asked, actor, rollout) | {
            "name": actor.name,
            "tenantId": "00000000-0000-4000-8000-000000000001",
            "userId": identity(actor.world.seed, "user"),
            "candidateProtonIds": [rollout.proton],
            "previousProtonIds": None,
            "runtime": {},
            "status": "completed" if step.event == "Replacement Completed" else "errored",
            "strategy": "rolling",
            "message": step.message or None,
            "isDeleted": True,
            "deletedAt": ended,
            "updatedAt": ended,
        }

    return _enveloped(asked, actor.told(asked.now), record, f"/workloads/{workload}/history")


def _replacement_of(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    record = _replacement(asked, actor, actor.moment(asked.now))
    if record is None or asked.strict:
        raise Refused(404, {"detail": "no replacement is active here"})
    return record


def _proton_list(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    moment = actor.moment(asked.now)
    told = _enveloped(
        asked,
        list(actor.seats(moment)),
        lambda proton: _proton(asked, actor, moment, proton),
        f"/workloads/{workload}/protons",
    )
    if not asked.strict:
        del told["next"], told["previous"]
    return told


def _proton_there(asked: Asked, workload: str, proton: str) -> tuple[Actor, Moment]:
    actor = _inside(asked, workload)
    moment = actor.moment(asked.now)
    if proton not in actor.seats(moment):
        raise _missing("proton")
    return actor, moment


def _proton_one(asked: Asked, workload: str, proton: str) -> Json:
    return _proton(asked, *_proton_there(asked, workload, proton), proton)


def _details(asked: Asked, workload: str, proton: str) -> Json:
    return _status_details(asked, *_proton_there(asked, workload, proton), proton)


def _settings(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    runtime = {"runtime": {"containerGroups": [_group(asked, actor, resolved=True)]}}
    return runtime if asked.strict else runtime | {"replacement": None}


def _related(asked: Asked, workload: str) -> Json:
    actor = _there(asked, workload)
    moment = actor.moment(asked.now)
    artifact, proton = _artifact(actor, moment), actor.proton(moment)

    def related(kind: str, name: str, key: str, born: float) -> Json:
        return {"id": key, "type": kind, "name": name, "createdAt": stamp(born), "updatedAt": stamp(born)}

    data = [
        related("artifact", artifact["name"], artifact["id"], actor.created(actor.life(moment))),
        related("proton", actor.name, proton, actor.born(moment, proton)),
    ]
    return {"count": len(data), "data": data}


def _shared(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    roles = [{"role": "OWNER", "shareRecipientType": "user"}, {"role": "CONSUMER", "shareRecipientType": "group"}]
    kept = roles[1:] if actor.number % 17 == 16 else roles[: 1 + actor.number % 2]
    data = [{"id": identity(actor.number, "share", n), "name": f"Somebody {n}", **r} for n, r in enumerate(kept)]
    return _enveloped(asked, data, lambda item: item, f"/workloads/{workload}/sharedRoles")


def _account(asked: Asked) -> Json:
    return {
        "uid": identity(asked.world.seed, "user"),
        "email": "simulated@example.test",
        "orgId": identity(asked.world.seed, "org"),
        "tenantId": "00000000-0000-4000-8000-000000000001",
        "limits": {"maxConcurrentWorkloads": math.ceil(asked.world.size * 1.05), "maxWorkloadReplicas": 0},
    }


def _bundles(asked: Asked) -> Json:
    items = [
        {"id": name, "name": name, "description": None, **facts, "useCases": ["workload"]}
        for name, facts in BUNDLES.items()
        if name not in WITHDRAWN
    ]
    return _enveloped(asked, items, lambda item: item, "/mlops/compute/bundles")


def _autocollected(asked: Asked, workload: str) -> Json:
    actor = _inside(asked, workload)
    story, moment = actor.story, actor.moment(asked.now)
    up = moment.step.serves and moment.step.pods is not None
    bundle = BUNDLES[story.bundle]
    wobble = 0.98 + 0.04 * math.sin(asked.now / 300 + actor.number)

    def value(name: str, shown: str, unit: str, amount: float) -> Json:
        now = round(amount * wobble) if up else None
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


def _logs(asked: Asked, workload: str) -> Json:
    actor = _there(asked, workload)
    moment = actor.moment(asked.now)
    at = datetime.fromtimestamp(asked.now - 5, UTC).isoformat(sep=" ", timespec="microseconds")
    failing = moment.step.status == "errored"
    line = {
        "timestamp": at,
        "level": "ERROR" if failing else "INFO",
        "message": f"simulated: {actor.story.shows}",
        "stacktrace": None,
        "spanId": None,
        "traceId": None,
    }
    return _enveloped(asked, [line], lambda item: item, f"/otel/workload/{workload}/logs", 1000)


def _traces(asked: Asked, workload: str) -> Json:
    actor = _there(asked, workload)
    trace = {
        "traceId": identity(actor.number, "trace").ljust(32, "0"),
        "rootSpanName": "POST /score",
        "rootServiceName": actor.name,
        "duration": int(actor.story.latency * 1e6),
        "spansCount": 6,
        "errorSpansCount": 0,
    }
    return {"count": 1, "total": 1, "data": [trace]}


def _quotas(asked: Asked) -> Json:
    kind, resource = (asked.query.get(name, [""])[-1] for name in ("resourceType", "resourceId"))
    actor = asked.world.find(resource, asked.now) if kind == "workload" else None
    items = []
    if actor is not None and actor.number % 3 == 0:
        rules = [{"rule": "requests", "limit": 300, "window": "min"}, {"rule": "concurrentRequests", "limit": 0}]
        quota = {"id": identity(actor.number, "quota"), "resourceType": kind, "resourceId": resource}
        items.append(quota | {"defaultRules": rules, "policies": []})
    return _enveloped(asked, items, lambda item: item, "/quotas")


def _endpoint(asked: Asked, workload: str) -> Json:
    """The workload itself, as its callers get it."""
    if not _there(asked, workload).moment(asked.now).step.serves:
        raise Refused(503, {"message": "no replica is ready"})
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
    """The template, the handler and the ids of a path below `PREFIX`. Raises `Refused` with 404."""
    for template, pattern, handler in _PATTERNS:
        match = pattern.fullmatch(path)
        if match:
            return template, handler, match.groups()
    raise Refused(404, {"detail": "Not Found"})
