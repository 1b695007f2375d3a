"""Responds to requests as the Workload API would, from what the workloads of a story do at that moment."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from tests.outside.containers import Moment
from tests.outside.harness import START, Answer
from tests.outside.world import DAY, Event, Pod, Rollout, Version, Workload, identifier

HERE = "https://here.test"  # replaced by the host that the request was sent to
USER = identifier(-300 * DAY * 60, "user")
TENANT = "0b7e0c1e-0000-4000-8000-000000000001"
INGEST = 20.0
SIZES = {  # cores, bytes, GPUs
    "cpu.small": (1.0, 536870912, 0), "cpu.medium": (2.0, 4294967296, 0), "cpu.xlarge": (4.0, 17179869184, 0),
    "gpu.l4.small": (4.0, 17179869184, 1), "gpu.a10g.medium": (8.0, 34359738368, 1),
}  # fmt: skip


class Fault(NamedTuple):
    """Requests whose path matches get this answer from one second of the play until another."""

    path: re.Pattern[str]
    since: float
    until: float
    answer: Callable[[int], Answer | None]


class World:
    """A DataRobot installation with workloads, catalogue and limits, and with the habits that a story gives it."""

    def __init__(self) -> None:
        self.token = "api-token-of-the-outside"
        self.ahead = 0.0
        self.clock: Callable[[], float] = lambda: START
        self.workloads: list[Workload] = []
        self.faults: list[Fault] = []
        self.bundles: Sequence[str] = tuple(SIZES)
        self.bundle_page = 100
        self.list_page = 100
        self.limits: dict[str, int] | None = {"maxConcurrentWorkloads": 500, "maxWorkloadReplicas": 10}
        self.order: Callable[[list[Workload], float], list[Workload]] = lambda listed, _: listed
        self.extra_items: Callable[[float], list[Any]] = lambda _: []
        self.plain_pods = False
        self.requests = 0

    def workload(self, name: str, **given: Any) -> Workload:
        one = Workload(name, **given)
        self.workloads.append(one)
        return one

    def fault(self, path: str, minute: float, until: float, *answers: Answer | None) -> None:
        """Requests whose path matches get these answers in turn; None: the usual one."""
        self.faults.append(
            Fault(re.compile(path), minute * 60, until * 60, lambda number: answers[number % len(answers)])
        )

    # routing

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        answer = self._respond(method, path, query, headers)
        host = f"https://{headers.get('host', 'here.test')}"
        return answer._replace(body=answer.body.replace(HERE.encode(), host.encode()))

    def _respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        now = self.clock() - START
        self.requests += 1
        assert method == "GET", f"{method} {path}"
        if headers.get("authorization") != f"Bearer {self.token}":
            return _json({"message": "Invalid API key"}, 401)
        for fault in self.faults:
            if fault.since <= now < fault.until and fault.path.search(path):
                answer = fault.answer(self.requests)
                if answer is not None:
                    return answer
        pairs = parse_qsl(query)
        parts = [each for each in path.removeprefix("/api/v2").split("/") if each]
        if not path.startswith("/api/v2/") or not parts:
            return _json({"version": "11.14.0"}) if path.rstrip("/") == "/config" else NOT_FOUND
        return self._route(parts, pairs, now)

    def _route(self, parts: list[str], pairs: list[tuple[str, str]], now: float) -> Answer:
        wanted = dict(pairs)
        match parts:
            case ["workloads"]:
                return self._list(pairs, now)
            case ["workloads", "stats"]:
                return _json(self._aggregate(now))
            case ["workloads", id_, *rest]:
                found = [each for each in self.workloads if each.id == id_ and each.listed.at(now)]
                return self._of_workload(found[0], rest, wanted, now) if found else NOT_FOUND
            case ["otel", "workload", id_, *rest]:
                return self._otel([each for each in self.workloads if each.id == id_], rest, now)
            case ["artifacts", id_]:
                return self._artifact(id_, now)
        return self._of_account(parts, wanted)

    def _of_account(self, parts: list[str], wanted: dict[str, str]) -> Answer:
        match parts:
            case ["account", "info"]:
                account = {"uid": USER, "email": "ops@example.test", "orgId": identifier(-400 * DAY * 60, "org"),
                           "tenantId": TENANT}  # fmt: skip
                return _json(account | ({"limits": self.limits} if self.limits is not None else {}))
            case ["mlops", "compute", "bundles"]:
                return _page(
                    "mlops/compute/bundles", [_bundle(each) for each in self.bundles], wanted, self.bundle_page
                )
            case ["version"]:
                return _json({"major": 2, "minor": 49, "versionString": "2.49.0"})
            case ["quotas" | "quotaTemplates" as route]:
                return _page(route, [], wanted, 100)
        return NOT_FOUND

    def _list(self, pairs: list[tuple[str, str]], now: float) -> Answer:
        wanted = dict(pairs)
        known = {"offset", "limit", "orderBy", "serviceStats", "ids", "status", "search", "importance", "createdBy",
                 "artifactStatus", "artifactId", "repositoryId", "tagKeys", "tagValues", "type"}  # fmt: skip
        if set(wanted) - known:
            return _unprocessable(sorted(set(wanted) - known)[0], "extra inputs are not permitted")
        listed = [each for each in self.workloads if each.listed.at(now)]
        order = wanted.get("orderBy", "name")
        key: Callable[[Workload], Any] = (
            (lambda each: each.created) if "createdAt" in order else (lambda each: each.name)
        )
        listed = self.order(sorted(listed, key=key, reverse=order.startswith("-")), now)
        ids = {value for name, value in pairs if name == "ids"}
        words = {value for name, value in pairs if name == "status"}
        stats = wanted.get("serviceStats", "").lower() == "true"
        items: list[Any] = []
        for each in listed:
            item = _workload(each, now, stats=stats)
            if (not ids or each.id in ids) and (not words or item.get("status") in words):
                items.append(item)
        return _page("workloads", items + self.extra_items(now), wanted, self.list_page)

    def _of_workload(self, one: Workload, rest: list[str], wanted: dict[str, str], now: float) -> Answer:
        match rest:
            case []:
                return _json(_workload(one, now, stats=False))
            case ["stats"]:
                return _stats(one, wanted, now)
            case ["stats", metric]:
                return _series(one, metric, wanted, now)
            case ["events"]:
                if set(wanted) - {"offset", "limit"}:
                    return _unprocessable(
                        sorted(set(wanted) - {"offset", "limit"})[0], "extra inputs are not permitted"
                    )
                happened = [each for each in one.events if each.since <= now]
                return _page(
                    f"workloads/{one.id}/events", [_event(one, each, now) for each in happened[::-1]], wanted, 100
                )
            case ["history"]:
                records = [_history(one, each, now) for each in one.rollouts[::-1] if each.began <= now]
                return _page(f"workloads/{one.id}/history", records, wanted, 100)
            case ["sharedRoles"]:
                role = {"id": USER, "name": "ops@example.test", "role": "OWNER", "shareRecipientType": "user"}
                return _page(f"workloads/{one.id}/sharedRoles", [role], wanted, 100)
            case ["protons", *more]:
                return self._protons(one, more, now)
        return self._change(one, rest, now)

    def _change(self, one: Workload, rest: list[str], now: float) -> Answer:
        match rest:
            case ["replacement"]:
                active = one.replacement(now)
                return _json(_record(one, *active, now)) if active else _json({"detail": "no active replacement"}, 404)
            case ["settings"]:
                active = one.replacement(now)
                record = _record(one, *active, now) if active else None
                return _json({"runtime": _runtime(one, now, resolved=True), "replacement": record})
        return NOT_FOUND

    def _protons(self, one: Workload, rest: list[str], now: float) -> Answer:
        listed = [each for each in one.versions if each.since <= now and each.listed.at(now)]
        if not rest:
            items = [_proton(one, each, now) for each in listed[::-1]]
            return _json({"totalCount": len(items), "count": len(items), "data": items})
        found = [each for each in listed if each.id == rest[0]]
        match found, rest[1:]:
            case [[version], []]:
                return _json(_proton(one, version, now))
            case [[version], ["statusDetails"]]:
                return Answer(204) if _fresh(version, now) else _json(self._pods(version, now))
        return NOT_FOUND

    def _pods(self, version: Version, now: float) -> dict[str, Any]:
        details = _details(version, now)
        return _plain(details) if self.plain_pods else details

    def _otel(self, found: list[Workload], rest: list[str], now: float) -> Answer:
        if not found:
            return NOT_FOUND
        one = found[0]
        if rest == ["metrics", "autocollectedValues"]:
            share = one.memory.at(now)
            if share is None:
                return _json({"data": []})
            used = share * SIZES[one.bundle.at(now)][1]
            return _json({"data": [
                {"otelName": "container.cpu.usage", "displayName": "CPU", "aggregation": "average", "unit": "nanocores",
                 "aggregatedValue": 412000000, "currentValue": 655000000},
                {"otelName": "container.memory.working_set", "displayName": "Memory", "aggregation": "average",
                 "unit": "bytes", "aggregatedValue": used * 0.99, "currentValue": used, "level": "pod"},
            ]})  # fmt: skip
        return _json({"count": 0, "total": 0, "data": [], "next": None, "previous": None})

    def _artifact(self, id_: str, now: float) -> Answer:
        for one in self.workloads:
            for version in one.versions:
                if version.artifact == id_:
                    draft = one.draft.at(now)
                    container = {"name": "primary", "imageUri": version.image, "port": 8080}
                    return _json(
                        {"id": id_, "name": one.name, "status": "draft" if draft else "locked", "type": one.kind,
                         "version": None if draft else version.number,
                         "spec": {"containerGroups": [{"containers": [container]}]}}
                    )  # fmt: skip
        return NOT_FOUND

    def _aggregate(self, now: float) -> dict[str, Any]:
        total, failed, alive = 0.0, 0.0, 0
        for each in self.workloads:
            if each.listed.at(now):
                sums = each.counts(now - 7 * DAY * 60, now, each.serving.at(now).id)
                total, failed, alive = total + sums.requests, failed + sums.failed, alive + (not each.off.at(now))
        listed = sum(each.listed.at(now) for each in self.workloads)
        rate = 100 * failed / total if total else 0
        return {"workloads": {"active": alive, "total": listed},
                "requests": {"total": int(total), "succeeded": int(total - failed), "failed": int(failed), "trend": 0},
                "errorRate": {"rate": round(rate, 2), "trend": 0}, "responseTime": {"millis": 140, "trend": 0},
                "concurrentRequests": {"count": 4, "trend": None}}  # fmt: skip


# bodies


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


NOT_FOUND = _json({"detail": "Not Found"}, 404)


def _unprocessable(key: str, words: str) -> Answer:
    return _json({"detail": [{"loc": ["query", key], "msg": words, "type": "extra_forbidden"}]}, 422)


def _page(path: str, items: Sequence[Any], wanted: dict[str, str], most: int) -> Answer:
    limit, offset = int(wanted.get("limit", 10)), int(wanted.get("offset", 0))
    if not 1 <= limit <= 100:
        return _unprocessable("limit", "must be at most 100")
    size = min(limit, most)
    data = list(items[offset : offset + size])
    rest = "".join(f"&{key}={value}" for key, value in wanted.items() if key not in {"limit", "offset"})

    def url(at: int) -> str:
        return f"{HERE}/api/v2/{path}/?limit={limit}&offset={at}{rest}"

    return _json(
        {"totalCount": len(items), "count": len(data), "data": data,
         "next": url(offset + size) if offset + size < len(items) else None,
         "previous": url(max(offset - size, 0)) if offset else None}
    )  # fmt: skip


def stamp(seconds: float | None) -> str | None:
    """A time as the API writes it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(START + seconds, UTC).isoformat(timespec="microseconds")


def _nanos(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.118273645Z")


def _short(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bundle(name: str) -> dict[str, Any]:
    cores, memory, gpus = SIZES.get(name, (2.0, 4294967296, 0))
    item = {"id": name, "name": name, "description": None, "cpuCount": cores, "memoryBytes": memory, "gpuCount": gpus,
            "hasGpu": gpus > 0, "useCases": ["workload", "customModel"]}  # fmt: skip
    return item | ({"gpuMaker": "nvidia", "gpuTypeLabel": "nvidia-l4"} if gpus else {})


def _runtime(one: Workload, now: float, *, resolved: bool) -> dict[str, Any]:
    bundle, autoscaling = one.bundle.at(now), one.autoscaling.at(now)
    cores, memory, gpus = SIZES.get(bundle, (2.0, 4294967296, 0))
    group: dict[str, Any] = {
        "name": "default",
        "replicaCount": None if autoscaling else one.count.at(now),
        "autoscaling": autoscaling,
        "resourceBundles": [bundle],
        "bundleSelectionPolicy": "availability",
        "containers": [
            {"name": each, "resourceAllocation": {"cpu": cores / 2, "gpu": None, "memory": memory // 2}}
            for each in one.containers
        ],
    }
    if resolved:
        group["resolvedBundle"] = {
            "id": bundle, "cpuCount": cores, "memoryBytes": memory, "gpuCount": gpus,
            "gpuMaker": "nvidia" if gpus else None, "gpuTypeLabel": "nvidia-l4" if gpus else None,
        }  # fmt: skip
    return {"containerGroups": [group]}


def _workload(one: Workload, now: float, *, stats: bool) -> dict[str, Any]:
    version, draft = one.active.at(now), one.draft.at(now)
    active = one.replacement(now)
    week = one.counts(now - 7 * DAY * 60, now - INGEST, one.serving.at(now).id)
    load = one.load.at(now)
    answered = stamp(now - INGEST) if week.requests and load.rpm else (stamp(now - 3600) if week.requests else None)
    item: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "description": f"{one.name} of the ML team",
        "status": one.word(now),
        "type": one.kind,
        "importance": one.importance.at(now),
        "artifactId": version.artifact,
        "protonId": version.id,
        "artifact": {
            "id": version.artifact,
            "artifactRepositoryId": identifier(one.created - 900, f"repository {one.name}"),
            "name": one.name,
            "status": "draft" if draft else "locked",
            "type": one.kind,
            "version": None if draft else version.number,
        },
        "endpoint": f"{HERE}/api/v2/endpoints/workloads/{one.id}",
        "replacement": _record(one, *active, now) if active else None,
        "requestStats": None,
        "lastResponse": answered,
        "runtime": _runtime(one, now, resolved=False),
        "creator": {
            "id": USER,
            "email": "ops@example.test",
            "fullName": "Ops Person",
            "userhash": None,
            "username": "ops@example.test",
        },
        "owners": [],
        "permissions": ["*"],
        "tags": [{"id": identifier(one.created, f"tag {one.name}"), "name": "team", "value": "ml"}],
        "createdAt": stamp(one.created),
        "updatedAt": stamp(one.updated.at(now)),
    }
    if item["importance"] is None:
        del item["importance"]
    if stats:
        requests = week.requests
        item["requestStats"] = {
            "totalRequests": int(requests),
            "errorRate": round(100 * (week.failed + week.refused) / requests, 2) if requests else 0.0,
            "errorRates": [0] * 7,
            "requestRates": [int(load.rpm * DAY)] * 7,
            "responseTime": int(week.ms / requests) if requests else 0,
            "concurrentRequests": int(_concurrent(one, now)),
            "lastRequestAt": answered,
        }
    for since, until, change in one.patches:
        if since <= now < until:
            item = change(item)
    return item


def _concurrent(one: Workload, now: float) -> float:
    load = one.load.at(now)
    return load.concurrent if load.concurrent is not None else load.rpm / 60 * load.ms / 1000


def _record(one: Workload, rollout: Rollout, word: str, now: float) -> dict[str, Any]:
    record = {
        "id": rollout.id,
        "workloadId": one.id,
        "status": word,
        "strategy": "rolling",
        "candidateProtonIds": [rollout.candidate.id] if rollout.candidate else [],
        "config": rollout.config,
        "runtime": _runtime(one, now, resolved=False),
        "message": rollout.message.at(now),
        "createdAt": stamp(rollout.began),
        "updatedAt": stamp(min(now, rollout.over or now)),
    }
    return record if rollout.artifact is None else record | {"candidateArtifactId": rollout.artifact}


def _history(one: Workload, rollout: Rollout, now: float) -> dict[str, Any]:
    over = rollout.over is not None and rollout.over <= now
    switched = rollout.switched is not None and rollout.switched <= now
    return {
        "id": rollout.id, "name": one.name, "tenantId": TENANT, "userId": USER, "workloadId": one.id,
        "candidateArtifactId": rollout.artifact or one.versions[0].artifact,
        "candidateProtonIds": [rollout.candidate.id] if rollout.candidate else [], "previousProtonIds": None,
        "config": rollout.config, "runtime": {}, "status": rollout.status.at(now), "strategy": "rolling",
        "message": rollout.message.at(now), "switchedAt": stamp(rollout.switched) if switched else None,
        "isDeleted": over, "deletedAt": stamp(rollout.over) if over else None, "createdAt": stamp(rollout.began),
        "updatedAt": stamp(rollout.over if over else now),
    }  # fmt: skip


def _event(one: Workload, event: Event, now: float) -> dict[str, Any]:
    return {"id": event.id, "workloadId": one.id, "timestamp": stamp(event.recorded.at(now)), "eventType": event.kind,
            "actorId": USER if event.person else None, "details": event.details()}  # fmt: skip


def _proton(one: Workload, version: Version, now: float) -> dict[str, Any]:
    item = {
        "id": version.id, "name": f"{one.name}-v{version.number}", "status": version.word(now),
        "artifactId": version.artifact, "workloadId": one.id,
        "endpoint": f"{HERE}/api/v2/endpoints/workloads/{one.id}?protonId={version.id}", "creator": None,
        "statusDetails": {"logTail": None}, "runtime": _runtime(one, now, resolved=False),
        "deployedImages": dict.fromkeys(one.containers, version.image),
        "createdAt": stamp(version.since), "updatedAt": stamp(version.since + 60),
    }  # fmt: skip
    since, role = version.running_since.at(now), version.role.at(now)
    if since is not None:
        item["runningSince"] = stamp(since)
    return item if role is None else item | {"role": role}


def _fresh(version: Version, now: float) -> bool:
    """The monitor has not reported yet."""
    return not version.snapshot.at(now) or version.seen(now) < version.since + 5


def _details(version: Version, now: float) -> dict[str, Any]:
    then = version.seen(now)
    pods = [_replica(each, then) for each in version.now_pods(then)]
    moved = max((at for each in pods for at in each[1] if at <= then), default=version.since)
    word = version.word(now)
    summary = f"state {word}, derived from pods"
    return {
        "overallStatus": {"state": word, "summary": summary, "lastUpdated": _nanos(moved)},
        "replicas": [each[0] for each in pods],
    }


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    """As an old server shows it: conditions without reasons, containers without reasons, exit codes and last states."""
    for replica in details["replicas"]:
        replica["conditions"] = [
            {"type": each["type"], "met": each["value"], "since": each["lastTransitionTime"]}
            for each in replica["conditions"]
        ]
        for each in replica.get("containers", []):
            for key in ("reason", "message", "exitCode", "lastState"):
                del each[key]
    return details


def _condition(kind: str, value: bool, at: float, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": kind, "value": value, "lastTransitionTime": _short(at), "reason": reason, "message": message}


def _replica(pod: Pod, now: float) -> tuple[dict[str, Any], list[float]]:
    """The pod as the API shows it, and the moments at which something in it changed."""
    moments = pod.moments(now)
    moved = [since for since, _ in moments.values()]
    phases = {moment.phase for _, moment in moments.values()}
    changed = max(moved)
    if "unscheduled" in phases:
        text = next(moment.message for _, moment in moments.values() if moment.phase == "unscheduled")
        conditions = [_condition("PodScheduled", value=False, at=pod.since, reason="Unschedulable", message=text)]
        return {"name": pod.name, "status": "pending", "address": "", "nodeAddress": "", "startedAt": None,
                "conditions": conditions}, moved  # fmt: skip
    ready = all(moment.ready for _, moment in moments.values())
    containers = []
    for name, (since, moment) in moments.items():
        shown = _container(pod, name, since, moment)
        containers.append(shown)
        moved += [since + at for at in (moment.began, moment.last.ended if moment.last else None) if at is not None]
    status = "running"
    if phases & {"failed", "stopped"}:
        status = "failed" if "failed" in phases else "succeeded"
        if any(moment.code for _, moment in moments.values()):
            status = "failed"
    elif any(moment.status == "waiting" and moment.last is None for _, moment in moments.values()):
        status = "pending"
    unready = [f"{_prefix(pod)}-{name}" for name, (_, moment) in moments.items() if not moment.ready]
    reason = "PodCompleted" if phases & {"stopped"} else "ContainersNotReady"
    cause = ("", "") if ready else (reason, f"containers with unready status: {unready}")
    conditions = [
        _condition("PodReadyToStartContainers", value=True, at=pod.since + 6),
        _condition("Initialized", value=True, at=pod.since + 5),
        _condition("Ready", ready, changed, *cause),
        _condition("ContainersReady", ready, changed, *cause),
        _condition("PodScheduled", value=True, at=pod.since + 4),
    ]
    return {"name": pod.name, "status": status, "address": f"10.1.2.{len(pod.name)}", "nodeAddress": pod.node,
            "startedAt": _short(pod.since + 4), "conditions": conditions, "containers": containers}, moved  # fmt: skip


def _prefix(pod: Pod) -> str:
    return pod.name.rsplit("-", 2)[0]


def _container(pod: Pod, name: str, since: float, moment: Moment) -> dict[str, Any]:
    last = moment.last
    return {
        "name": f"{_prefix(pod)}-{name}",
        "image": pod.image if name == "primary" else f"registry.example.test/ml/{name}:3",
        "status": moment.status,
        "ready": moment.ready,
        "restartCount": moment.restarts,
        "startedAt": _short(since + moment.began) if moment.began is not None and moment.status == "running" else None,
        "reason": moment.reason,
        "exitCode": moment.code,
        "message": moment.message,
        "lastState": None if last is None else {
            "status": "terminated", "reason": last.reason, "exitCode": last.code, "message": last.message,
            "startedAt": _short(since + last.began), "finishedAt": _short(since + last.ended),
        },
    }  # fmt: skip


def _window(wanted: dict[str, str], now: float) -> tuple[float, float]:
    def seconds(name: str, default: float) -> float:
        text = wanted.get(name)
        return default if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - START

    return seconds("startTime", now - 7 * DAY * 60), seconds("endTime", now)


def _metrics(one: Workload, proton: str, start: float, end: float, now: float, quantile: float) -> dict[str, Any]:
    sums = one.counts(start, min(end, now - INGEST), proton)
    requests, failed, refused = round(sums.requests), round(sums.failed), round(sums.refused)
    took = (sums.p95 if quantile > 0.8 else sums.ms) / sums.requests if sums.requests else 0
    return {
        "totalRequests": requests,
        "serverErrors": failed,
        "userErrors": refused,
        "slowRequests": round(sums.slow),
        "requestsPerMinute": round(sums.requests / max((end - start) / 60, 1)),
        "concurrentRequests": round(_concurrent(one, now)),
        "responseTime": int(took),
        "serverErrorRate": round(failed / requests, 4) if requests else 0.0,
        "userErrorRate": round(refused / requests, 4) if requests else 0.0,
        "totalErrorRate": round((failed + refused) / requests, 4) if requests else 0.0,
    }


def _stats(one: Workload, wanted: dict[str, str], now: float) -> Answer:
    start, end = _window(wanted, now)
    proton = wanted.get("protonId", one.active.at(now).id)
    quantile = float(wanted.get("responseTimeQuantile", 0.5))
    metrics = _metrics(one, proton, start, end, now, quantile)
    return _json({"period": {"start": stamp(start), "end": stamp(end)}, "metrics": metrics})


def _series(one: Workload, metric: str, wanted: dict[str, str], now: float) -> Answer:
    steps = {"PT1M": 60.0, "PT5M": 300.0, "PT1H": 3600.0, "P1D": 86400.0, "P7D": 7 * 86400.0}
    step = steps.get(wanted.get("resolution", "P1D"), 86400.0)
    start, end = _window(wanted, now)
    proton = wanted.get("protonId", one.active.at(now).id)
    buckets: list[dict[str, Any]] = []
    at = start
    while at < end and len(buckets) < 1000:
        values = _metrics(one, proton, at, min(at + step, end), now, 0.5)
        buckets.append({"period": {"start": stamp(at), "end": stamp(at + step)}, "value": values.get(metric, 0)})
        at += step
    summary = {"period": {"start": stamp(start), "end": stamp(end)}, "protonId": proton}
    return _json({"metric": metric, "summary": summary, "buckets": buckets})
