"""What of a response stays in a recording: names of fields, and for each the values that are known to the project.

Everything else is replaced. A text stays only as the value of a field listed here, and only if it is one of its values,
whatever its case (`exporter.api.models.folded`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import msgspec

from exporter.api import details, models, pods
from exporter.api.models import ApiObject, folded

TAG_KEYS = "team owner env environment stage tier service project department cost-center cost-centre".split()
"""Names of tags that stay. Values of tags never do."""


def _folded(*texts: str) -> frozenset[str]:
    return frozenset(map(folded, texts))


_STATUSES = (*models.STATUSES, *models.REPLACEMENT_STATUSES, *pods.PHASES, *pods.CONTAINER_STATES, "draft", "locked")
_CONDITIONS = (*pods.CONDITIONS, "DisruptionTarget")
_EVENTS = (
    *(f"replacement {status}" for status in models.REPLACEMENT_STATUSES),
    *"created started stopped scaled promoted deleted warning normal".split(),
    *(f"workload.{word}" for word in "created started stopped scaled promoted deleted failed".split()),
)
_REASONS = (
    *(*pods.WAITING_REASONS, *pods.TERMINATED_REASONS),
    *"Unschedulable ContainersNotReady ContainersNotInitialized PodCompleted PodFailed BackOff NodeLost".split(),
)
_METRICS = "container.cpu.usage container.memory.working_set container.memory.usage gpu.utilization".split()
_LEVELS = "trace debug info notice warn warning error critical fatal".split()
_SCALING = (
    "cpuAverageUtilization httpRequestsConcurrency gpuUtilization requestsPerMinute vllm:kv_cache_usage_perc".split()
)
_SERIES = "totalRequests requestsOverN requestsPerMinute concurrentRequests responseTime totalErrorRate".split()
_ORDERS = "name createdAt updatedAt status importance".split()
_RESOLUTIONS = "PT1M PT5M PT1H P1D P7D P1M".split()
_USES = "workload workloads job customModel customApplication service deployment".split()
_BOOLEANS = _folded("true", "false")

VALUES: Mapping[str, frozenset[str]] = {
    "status": _folded(*_STATUSES) | _BOOLEANS,
    "state": _folded(*_STATUSES),
    "type": _folded("service", "nim", "agent", "mcp", "artifact", "proton", *_CONDITIONS, *_EVENTS),
    "eventType": _folded(*_EVENTS),
    "reason": _folded(*_REASONS),
    "importance": _folded(*models.IMPORTANCES),
    "role": _folded(*"active candidate outgoing serving retiring OWNER USER CONSUMER EDITOR READ_ONLY".split()),
    "shareRecipientType": _folded("user", "group", "organization"),
    "strategy": _folded("rolling", "recreate", "blue_green"),
    "scalingMetric": _folded(*_SCALING),
    "bundleSelectionPolicy": _folded("availability", "manual", "cost", "priority"),
    "enclaveSelectionPolicy": _folded("availability", "manual", "automatic"),
    "useCases": _folded(*_USES),
    "gpuTypeLabel": _folded(*(f"nvidia-{name}" for name in "t4 v100 l4 l40s a10 a10g a100 h100 h200 b200".split())),
    "gpuMaker": _folded("nvidia", "amd", "intel"),
    "permissions": _folded("*", "CAN_VIEW", "CAN_EDIT", "CAN_DELETE", "CAN_SHARE"),
    "name": _folded("default", "primary", *_CONDITIONS, *TAG_KEYS),
    "value": _BOOLEANS,
    "met": _BOOLEANS,
    "otelName": _folded(*_METRICS),
    "otel_name": _folded(*_METRICS),
    "unit": _folded(*details.UNITS),
    "aggregation": _folded("average", "sum", "max", "min", "last"),
    "level": _folded(
        "workload", "pod", "container", *"trace debug info notice warn warning error critical fatal".split()
    ),
    "metric": _folded(*_SERIES),
    "rule": _folded("requests", "token", "tokens", "concurrentRequests", "inputSequenceLength"),
    "window": _folded("min", "hour", "day"),
    "resourceType": _folded("workload", "deployment"),
    "resolution": _folded(*_RESOLUTIONS),
    "orderBy": _folded(*_ORDERS, *(f"-{name}" for name in _ORDERS)),
    "serviceStats": _BOOLEANS,
}
"""Values that stay, folded, by the name of the field or of the parameter."""

TIMES = frozenset(
    "createdAt updatedAt timestamp lastTransitionTime since startedAt finishedAt lastUpdated lastResponse "
    "lastRequestAt switchedAt deletedAt runningSince start end startTime endTime".split()
)
"""Fields and parameters that are times: they stay, moved by a constant."""
NUMBERS = frozenset("limit offset responseTimeQuantile slowRequestsThreshold".split())
"""Parameters that are numbers: they stay."""
TEXTS = frozenset("message detail msg summary body eventType type reason title stacktrace".split())
"""Fields of text: of an unknown value, the phrases in `PHRASES` stay."""
IMAGES = frozenset(("image", "deployedImages"))
URLS = frozenset(("next", "previous", "endpoint"))
QUANTITIES = frozenset(("memory", "gpuMemory", "cpu"))
"""Fields with a number and a unit, such as ``2GB``."""
VERSIONS = frozenset(("version", "versionString", "releasedVersion", "release"))
MAPS = frozenset(("protonStatuses", "deployedImages"))
"""Fields with objects of which the keys are ids or names."""
LOG_TEXTS = frozenset(("message", "body"))
"""Fields with a log line, in responses of `LOGS`."""
LOGS = "/otel/workload/{id}/logs"

PHRASES = (
    *"manifest unknown|not found|notfound|unauthorized|denied|forbidden".split("|"),
    *"insufficient cpu|insufficient memory|gpu|volume".split("|"),
    *"resourcebundleinference|placement".split("|"),
    *"replacement|complete|error|fail|cancel|created|started|stopped|scaled|promoted|deleted".split("|"),
)
"""Words of texts that the diagnosis depends on: `exporter.diagnosis.pod_causes`, `exporter.diagnosis.causes`,
`exporter.api.pods.unschedulable` and `exporter.api.details.event_kind`.
"""

LOG_LINES: Mapping[str, str] = {
    "GPU out of memory": "cuda out of memory",
    "out of memory": "out of memory",
    "no space left on the disk": "no space left on device",
    "GPU not usable": "cuda error",
    "certificate not accepted": "certificate verify failed",
    "host name not found": "no such host",
    "connection refused": "connection refused",
    "connection lost": "connection reset",
    "time-out": "timed out",
    "credentials refused (401 or 403)": "unauthorized",
    "rate limit or quota reached": "too many requests",
    "too many connections": "too many connections",
    "port already in use": "address already in use",
    "permission denied": "permission denied",
    "built for another CPU architecture": "exec format error",
    "module or library missing": "importerror",
    "file or command missing": "no such file or directory",
    "setting missing or invalid": "validationerror",
    "error in its code": "keyerror",
    "exception": "unhandled exception",
    "traceback": "traceback (most recent call last)",
    "still loading": "loading model",
    "listening for requests": "listening on",
    "another error": "error",
}
"""A line for each sign of `exporter.diagnosis.log_signs`, which stands for all lines with this sign."""

PATH_WORDS = frozenset(
    "api v2 version config workloads stats events history replacement protons statusDetails settings related "
    "sharedRoles account info mlops compute bundles otel workload metrics autocollectedValues logs traces quotas "
    "endpoints artifacts rateLimitUsage".split()
) | frozenset(_SERIES)
"""Parts of paths that stay; all others are ids."""
PARAMETERS = (
    frozenset(VALUES)
    | NUMBERS
    | TIMES
    | frozenset(
        "protonId resourceId ids search tagKeys tagValues createdBy artifactId artifactStatus repositoryId "
        "cursor".split()
    )
)
"""Names of parameters that stay."""
CONTENT_TYPES = ("application/json", "text/html", "text/plain", "application/problem+json")


def _read_by_exporter(base: type[ApiObject]) -> Iterator[msgspec.structs.FieldInfo]:
    for kind in base.__subclasses__():
        yield from msgspec.structs.fields(kind)
        yield from _read_by_exporter(kind)


def _has_numbers(kind: Any) -> bool:
    return kind in (int, float) or any(map(_has_numbers, get_args(kind)))


_READ = tuple(_read_by_exporter(ApiObject))
_FURTHER_NUMBERS: Iterable[str] = (
    "count totalCount errorRates requestRates rate millis tokensPerMinute duration spansCount errorSpansCount "
    "serverErrorRate userErrorRate totalErrorRate major minor le"
).split()
_FURTHER: Iterable[str] = (
    "next previous data detail message loc msg input ctx error title body stacktrace spanId traceId versionString "
    "releasedVersion release description displayName owners permissions email fullName userhash username address "
    "nodeAddress logTail statusDetails metric buckets resolution uid tenantId priority hasGpu rootSpanName "
    "rootServiceName artifactRepositoryId actorId userId"
).split()
NUMERIC = frozenset((*_FURTHER_NUMBERS, *(field.encode_name for field in _READ if _has_numbers(field.type))))
"""Fields of which numbers stay; in all others, such as names and ids, a number is replaced."""
FIELDS = frozenset(
    (*_FURTHER, *NUMERIC, *(field.encode_name for field in _READ), *VALUES, *TIMES - {"startTime", "endTime"})
)
"""Names of fields that stay: those that the exporter reads, and others of the API. What another field contains is left
out.
"""
