"""JSON objects of the simulated API.

Their shapes are those of real servers of late 2026, or with `strict` those of the published description 11.5.
"""

from __future__ import annotations

from typing import Any

from exporter.simulator.request import PREFIX, ErrorResponse, Json, SimulatedRequest, stamp
from exporter.simulator.request_stats import last_response_time, list_stats
from exporter.simulator.stories import SimulatedPods
from exporter.simulator.world import Actor, Moment, SimulatedReplacement, identity

GIB = 1024**3
BUNDLES: dict[str, dict[str, Any]] = {
    "cpu.small": {"cpuCount": 1.0, "memoryBytes": GIB // 2, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "cpu.medium": {"cpuCount": 2.0, "memoryBytes": 4 * GIB, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "cpu.legacy": {"cpuCount": 2.0, "memoryBytes": 3 * GIB, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
    "cpu.job": {"cpuCount": 2.0, "memoryBytes": 4 * GIB, "gpuCount": 0, "gpuMaker": None, "gpuTypeLabel": None},
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
"""Bundles that workloads still use but the catalogue no longer contains."""
USES = {"cpu.job": ["job"]}
"""The uses for which the catalogue offers bundles that are not for workloads."""

_ENVIRONMENTS = ("prod", "staging", "dev")
"""Values of the tag `env`."""


def render_group(request: SimulatedRequest, actor: Actor, *, resolved: bool) -> Json:
    """The container group of a workload's runtime. `resolved` adds the bundle that was selected at scheduling."""
    story = actor.story
    scaling: Json | None = None
    if story.bounds:
        low, high = story.bounds
        policy: Json = {"scalingMetric": story.scaling[0], "target": story.scaling[1]}
        if request.strict:
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
        "replicaCount": (story.replicas or 1) if request.strict else story.replicas,
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


def render_runtime(request: SimulatedRequest, actor: Actor, *, resolved: bool) -> Json:
    """The runtime of a workload or a proton."""
    groups: Json = {"containerGroups": [render_group(request, actor, resolved=resolved)]}
    if not actor.story.enclave or request.strict:
        return groups
    return groups | {"enclaves": [actor.story.enclave], "enclaveSelectionPolicy": "manual"}


def _endpoint(request: SimulatedRequest, actor: Actor, workload: str) -> str:
    """The URL for requests to the workload; in an enclave, on a host of its own that has another path."""
    if actor.story.enclave:
        return f"https://{actor.story.enclave}.example.test/serve/{actor.name}/"
    return f"{request.base}{PREFIX}/endpoints/workloads/{workload}"


def render_artifact(actor: Actor, moment: Moment, ahead: int = 0) -> Json:
    """The artifact of the active proton, or of one `ahead` versions newer."""
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


def render_user(seed: int) -> Json:
    """The user who created all workloads."""
    return {
        "id": identity(seed, "user"),
        "email": "simulated@example.test",
        "fullName": "Simulated Person",
        "userhash": None,
        "username": "simulated@example.test",
    }


def render_replacement(request: SimulatedRequest, actor: Actor, moment: Moment) -> Json | None:
    """The replacement in progress, if there is one."""
    replacement = actor.replacement_at(moment)
    if replacement is None:
        return None
    candidates = [replacement.proton] if moment.step.candidate else []
    brief: Json = {"status": moment.step.replacement, "strategy": "rolling", "candidateProtonIds": candidates}
    return brief if request.strict else brief | render_record(request, actor, replacement) | {"message": None}


def render_record(request: SimulatedRequest, actor: Actor, replacement: SimulatedReplacement) -> Json:
    """The replacement record from its start to its end, and afterwards."""
    return {
        "id": replacement.id,
        "workloadId": actor.id(replacement.began),
        "candidateArtifactId": render_artifact(actor, replacement.began, 1)["id"],
        "config": {"warmupDurationMinutes": actor.story.warmup, "keepOldVersionMinutes": 0},
        "createdAt": stamp(replacement.began.since),
        "switchedAt": stamp(replacement.switched) if replacement.switched <= request.now else None,
    }


def render_workload(request: SimulatedRequest, actor: Actor, *, stats: bool) -> Json:
    """A workload as in the list. `stats`: with `requestStats`."""
    moment = actor.moment(request.now)
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
    last = last_response_time(actor, moment, request.now)
    status = moment.step.status
    strict_status = status if status.islower() and status not in ("suspended", "interrupted") else "unknown"
    importance = actor.importance_at(moment)
    odd = request.strict and (story.type not in ("service", "nim"))
    artifact = render_artifact(actor, moment)
    if odd:
        artifact["type"] = "service"
    return {
        "id": workload,
        "name": actor.name,
        "description": f"A simulation: {story.shows}.",
        "status": strict_status if request.strict else status,
        "type": "service" if odd else story.type,
        "importance": "low" if request.strict and importance == "urgent" else importance,
        "artifactId": artifact["id"],
        "protonId": actor.proton(moment),
        "artifact": artifact,
        "endpoint": _endpoint(request, actor, workload),
        "replacement": render_replacement(request, actor, moment),
        "requestStats": list_stats(actor, request.now, last) if stats else None,
        "lastResponse": last,
        "runtime": render_runtime(request, actor, resolved=True),
        "creator": render_user(actor.world.seed),
        "owners": [],
        "permissions": ["CAN_VIEW"],
        "tags": [
            {"id": identity(actor.number, "tag"), "name": "team", "value": f"team-{actor.number % 5}"},
            {"id": identity(actor.number, "env"), "name": "env", "value": _ENVIRONMENTS[actor.number % 3]},
            {"id": identity(actor.number, "cost"), "name": "cost-center", "value": f"{4000 + actor.number % 40}"},
        ],
        "createdAt": created,
        "updatedAt": stamp(max(moment.since, actor.created(actor.life(moment)))),
    }


def render_proton(request: SimulatedRequest, actor: Actor, moment: Moment, proton: str) -> Json:
    """A proton of a workload."""

    def runs(at: Moment) -> bool:
        found = actor.protons_at(at).get(proton)
        return found is not None and found.status in ("running", "draining")

    ahead, status, _ = actor.protons_at(moment)[proton]
    running = runs(moment)
    artifact = render_artifact(actor, moment, ahead)
    body: Json = {
        "id": proton,
        "name": f"{actor.name}-v{artifact['version'] or 0}",
        "status": status,
        "role": {0: "active", 1: "candidate", -1: actor.story.second_role or None}[ahead],
        "artifactId": artifact["id"],
        "workloadId": actor.id(moment),
        "runningSince": stamp(actor.since(moment, runs)) if running else None,
        "endpoint": f"{_endpoint(request, actor, actor.id(moment))}?protonId={proton}" if running else None,
        "runtime": render_runtime(request, actor, resolved=False),
        "statusDetails": {"logTail": None},
        "creator": None,
        "createdAt": stamp(actor.born(moment, proton)),
        "updatedAt": stamp(max(moment.since, actor.created(actor.life(moment)))),
    }
    if not request.strict:
        body["deployedImages"] = {"primary": f"registry.example.test/{actor.story.name.replace(' ', '-')}:1"}
        if ahead == -1 and not actor.story.second_role:
            del body["role"]
    return body


def _condition(
    request: SimulatedRequest, kind: str, truth: bool | None, at: float, reason: str = "", message: str = ""
) -> Json:
    if request.strict:
        return {"type": kind, "met": truth, "since": stamp(at)}
    return {"type": kind, "value": truth, "lastTransitionTime": stamp(at), "reason": reason, "message": message}


def _replica(
    request: SimulatedRequest, actor: Actor, moment: Moment, proton: str, number: int, pod: SimulatedPods
) -> Json:
    history = actor.pod_history(moment, proton, number)
    created, changed = history.created, history.ready_since
    unready = "PodCompleted" if pod.phase == "succeeded" else "ContainersNotReady"
    conditions = [
        ("PodScheduled", pod.scheduled, created, "Unschedulable", pod.message if not pod.scheduled else ""),
        ("PodReadyToStartContainers", pod.scheduled, created, "", ""),
        ("Initialized", pod.scheduled, created, "", ""),
        ("ContainersReady", pod.container_ready, history.container_ready_since, unready, ""),
        ("Ready", pod.ready, changed, "" if pod.cut_off else unready, ""),
    ]
    body: Json = {
        "name": f"lrs-{proton}-{identity(proton, 'set')[:6]}-{identity(proton, created, number)[:5]}",
        "status": pod.phase,
        "address": "10.1.2.3" if pod.scheduled else "",
        "nodeAddress": "10.1.0.9" if pod.scheduled else "",
        "startedAt": stamp(created) if pod.scheduled else None,
        "conditions": [
            _condition(request, kind, truth, at, "" if truth else reason, "" if truth else message)
            for kind, truth, at, reason, message in conditions
        ],
        "containers": [],
    }
    if not pod.scheduled:
        if not request.strict:
            del body["containers"]
        return body
    now = actor.restarts(moment, pod)
    restarts, last = history.restarts + now, pod.last if now else history.last
    finished = actor.restarted(moment, pod) if now else history.finished
    began = max(history.state_since, finished or 0.0) if restarts else history.state_since
    container: Json = {
        "name": f"lrs-{proton}-{'sidecar' if actor.story.sidecar else 'primary'}",
        "image": "registry.example.test/simulated:1",
        "status": pod.state,
        "ready": pod.container_ready,
        "restartCount": restarts,
        "startedAt": stamp(began) if pod.state == "running" else None,
    }
    if not request.strict:
        container |= {
            "reason": pod.reason,
            "exitCode": pod.exit_code,
            "message": pod.message,
            "lastState": {
                "status": "terminated",
                "reason": last[0],
                "exitCode": last[1],
                "message": "",
                "startedAt": stamp(max(created, finished - min(2.0, (pod.restart_every or 2.0) / actor.world.speed))),
                "finishedAt": stamp(finished),
            }
            if last and finished is not None
            else None,
        }
    if actor.story.sidecar:
        body["containers"].append(_serving_container(request, proton, created))
    body["containers"].append(container)
    return body


def _serving_container(request: SimulatedRequest, proton: str, since: float) -> Json:
    """The container of a workload beside a failing sidecar."""
    container: Json = {
        "name": f"lrs-{proton}-primary",
        "image": "registry.example.test/simulated:1",
        "status": "running",
        "ready": True,
        "restartCount": 0,
        "startedAt": stamp(since),
    }
    return (
        container if request.strict else container | {"reason": "", "exitCode": None, "message": "", "lastState": None}
    )


def render_status_details(request: SimulatedRequest, actor: Actor, moment: Moment, proton: str) -> Json:
    """The pod report of a proton. Raises `ErrorResponse` with 204 if the platform has none yet."""
    _, state, pods = actor.protons_at(moment)[proton]
    if pods is None:
        raise ErrorResponse(204, None)

    def report(at: Moment) -> object:
        found = actor.protons_at(at).get(proton)
        return found and (found.status, found.pods)

    each = [(n, pod) for n in range(actor.live(pods)) if (pod := actor.pod(moment, proton, n))]
    finished = [actor.pod_history(moment, proton, n).finished or 0.0 for n, _ in each]
    restarted = actor.restarted(moment, pods) if pods.restart_every else 0.0
    return {
        "overallStatus": {
            "state": state if not request.strict or state.islower() else "unknown",
            "summary": f"state {state}, derived from pods",
            "lastUpdated": stamp(max(actor.since(moment, report), restarted, *finished)),
        },
        "replicas": [_replica(request, actor, moment, proton, n, pod) for n, pod in each],
    }


def last_update(replacement: SimulatedReplacement, now: float) -> float:
    """Time of the last update of a finished replacement: its end, or the cleanup that follows."""
    cleaned = replacement.end.since + replacement.end.step.cleanup
    return cleaned if cleaned <= now else replacement.end.since


def render_event(request: SimulatedRequest, actor: Actor, replacement: SimulatedReplacement) -> Json:
    """The event that records the end of a replacement."""
    step = replacement.end.step
    evidence = None
    if step.evidence:
        container = {
            "name": f"lrs-{replacement.proton}-primary",
            "ready": False,
            "restartCount": 2,
            "reason": "CrashLoopBackOff",
            "lastState": {"reason": "Error", "exitCode": 1},
        }
        evidence = {replacement.proton: {"replicas": [{"containers": [container]}]}}
    record = render_record(request, actor, replacement)
    return {
        "id": replacement.finished_id,
        "workloadId": record["workloadId"],
        "timestamp": stamp(last_update(replacement, request.now)),
        "eventType": step.event,
        "actorId": identity(actor.world.seed, "user"),
        "details": {
            "replacementId": replacement.finished_id,
            "artifactId": record["candidateArtifactId"],
            "message": step.message or "the replacement is complete",
            "candidateProtonIds": [replacement.proton] if step.evidence or not step.message else [],
            "protonStatuses": evidence,
        },
    }
