"""A server that has the routes of the published description 11.5 and nothing else, with responses of its shapes.

Each response has every field that the description lists, and no other: values are examples of their types.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from exporter.simulator.oddities import SimulatedResponse

WORKLOAD, PROTON, ARTIFACT = "70aa00000000000000000001", "70ac00000000000000000001", "70ab00000000000000000001"
TIME = "2026-11-18T09:30:11.445000+00:00"
USER = {"id": "70ae00000000000000000001", "email": None, "fullName": None, "userhash": None, "username": None}
RUNTIME = {
    "containerGroups": [
        {
            "name": "default",
            "replicaCount": 1,
            "autoscaling": {
                "enabled": True,
                "policies": [
                    {"scalingMetric": "cpuAverageUtilization", "target": 7, "minCount": 1, "maxCount": 2, "priority": 0}
                ],
            },
            "resourceBundles": ["cpu.small"],
            "bundleSelectionPolicy": "availability",
            "resolvedBundle": {
                "id": "cpu.small", "cpuCount": 1, "memoryBytes": 1073741824, "gpuCount": 0, "gpuMaker": None,
                "gpuTypeLabel": None,
            },
            "containers": [
                {
                    "name": "main",
                    "resourceAllocation": {"cpu": 1, "gpu": None, "memory": "512MiB", "gpuMemory": None},
                }
            ],
        }
    ]
}  # fmt: skip
REQUEST_STATS = {
    "totalRequests": 0, "errorRate": 0.0, "errorRates": [0] * 7, "requestRates": [0] * 7, "responseTime": 0,
    "concurrentRequests": 0, "lastRequestAt": None,
}  # fmt: skip
OBJECT: dict[str, Any] = {
    "id": WORKLOAD, "name": "an example", "description": None, "status": "running", "type": "service",
    "importance": "low", "artifactId": ARTIFACT, "protonId": PROTON,
    "artifact": {
        "id": ARTIFACT, "artifactRepositoryId": None, "name": "an artifact", "status": "draft", "type": "service",
        "version": None,
    },
    "endpoint": None, "replacement": {"status": "unknown", "strategy": "rolling", "candidateProtonIds": []},
    "requestStats": REQUEST_STATS, "lastResponse": None, "runtime": RUNTIME, "creator": USER, "owners": [USER],
    "permissions": ["CAN_VIEW"], "tags": [{"id": "70af00000000000000000001", "name": "a", "value": "b"}],
    "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
PROTONS: dict[str, Any] = {
    "id": PROTON, "name": "a version", "status": "running", "role": "active", "artifactId": ARTIFACT,
    "workloadId": WORKLOAD, "runningSince": TIME, "endpoint": None, "runtime": RUNTIME,
    "statusDetails": {"logTail": None}, "creator": USER, "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
POD = {
    "name": "a pod", "status": "running", "address": "10.0.0.1", "nodeAddress": "10.0.0.2", "startedAt": TIME,
    "conditions": [{"type": "Ready", "met": True, "since": TIME}],
    "containers": [
        {"name": "main", "image": "an image", "status": "running", "ready": True, "restartCount": 0, "startedAt": TIME}
    ],
}  # fmt: skip
METRICS = dict.fromkeys(
    (
        "totalRequests serverErrors userErrors slowRequests requestsPerMinute concurrentRequests responseTime "
        "serverErrorRate userErrorRate totalErrorRate"
    ).split(),
    0,
)
EVENT = {
    "id": "70b100000000000000000001", "workloadId": WORKLOAD, "timestamp": TIME, "eventType": "an event",
    "actorId": None, "details": None,
}  # fmt: skip
RECORD = {
    "id": "70b000000000000000000001", "name": "an example", "tenantId": "t", "userId": "u", "workloadId": WORKLOAD,
    "candidateArtifactId": ARTIFACT, "candidateProtonIds": [PROTON], "previousProtonIds": None,
    "config": {"warmupDurationMinutes": 0, "keepOldVersionMinutes": 0}, "runtime": RUNTIME, "status": "completed",
    "strategy": "rolling", "message": None, "switchedAt": None, "isDeleted": True, "deletedAt": TIME,
    "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
ROLE = {"id": "70ae00000000000000000001", "name": "a name", "role": "OWNER", "shareRecipientType": "user"}
TOTALS = {
    "workloads": {"active": 1, "total": 1},
    "requests": {"total": 0, "succeeded": 0, "failed": 0, "trend": 0.0},
    "errorRate": {"rate": 0.0, "trend": 0.0},
    "responseTime": {"millis": 0, "trend": 0.0},
    "concurrentRequests": {"count": 0, "trend": 0.0},
}
LISTS: dict[str, Any] = {
    "/workloads": OBJECT,
    f"/workloads/{WORKLOAD}/protons": PROTONS,
    f"/workloads/{WORKLOAD}/events": EVENT,
    f"/workloads/{WORKLOAD}/history": RECORD,
    f"/workloads/{WORKLOAD}/sharedRoles": ROLE,
}
OBJECTS: dict[str, Any] = {
    "/workloads/stats": TOTALS,
    f"/workloads/{WORKLOAD}": OBJECT | {"requestStats": None},
    f"/workloads/{WORKLOAD}/protons/{PROTON}": PROTONS,
    f"/workloads/{WORKLOAD}/protons/{PROTON}/statusDetails": {
        "overallStatus": {"state": "running", "summary": "", "lastUpdated": TIME},
        "replicas": [POD],
    },
    f"/workloads/{WORKLOAD}/settings": {"runtime": RUNTIME},
}


def respond(path: str, query: str, headers: Mapping[str, str]) -> SimulatedResponse:
    """The response to a request; the description has paths without a slash at their end."""
    assert headers["accept"] == "application/json"
    below = path.removeprefix("/api/v2")
    if below in LISTS:
        page = {"totalCount": 1, "count": 1, "next": None, "previous": None, "data": [LISTS[below]]}
        return _json(200, page)
    if below == f"/workloads/{WORKLOAD}/stats":
        window = parse_qs(query)
        return _json(
            200, {"period": {"start": window["startTime"][0], "end": window["endTime"][0]}, "metrics": METRICS}
        )
    return _json(200, OBJECTS[below]) if below in OBJECTS else _json(404, {"detail": "Not Found"})


def _json(status: int, body: Any) -> SimulatedResponse:
    return SimulatedResponse(status, (("content-type", "application/json"),), json.dumps(body).encode())
