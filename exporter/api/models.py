"""Values of the Workload API: one line per API field in use.

Field names are the API's own in snake_case (``createdAt`` -> ``created_at``). Every field except the id may be missing
or null on some server, so every field has a default; ``None`` means "not reported", never zero. Timestamps stay text;
`timestamp` converts them to seconds.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A larger one is unreadable: neither a sample nor the state file could contain it."""
Number = Integer | float


class ApiObject(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of everything decoded from a response: immutable, camelCase on the wire, unknown keys ignored."""


class Artifact(ApiObject, frozen=True):
    """The artifact a workload runs (spec 11.5 ArtifactInfoFormatted); `version` is null while a draft."""

    id: str | None = None
    name: str | None = None
    status: str | None = None
    type: str | None = None
    version: Integer | str | None = None


class ScalingPolicy(ApiObject, frozen=True):
    """One autoscaling policy; `min_count` and `max_count` are the older place of the bounds."""

    scaling_metric: str | None = None
    target: Number | None = None
    min_count: Integer | None = None
    max_count: Integer | None = None


class Autoscaling(ApiObject, frozen=True):
    """Autoscaling of a container group; present and not ``enabled: false`` means on."""

    enabled: bool | None = True
    min_replica_count: Integer | None = None
    max_replica_count: Integer | None = None
    cooldown_period_minutes: Number | None = None
    policies: tuple[ScalingPolicy, ...] | None = None


class Bundle(ApiObject, frozen=True):
    """The resource bundle chosen at scheduling: cores, bytes and GPUs of one replica."""

    id: str | None = None
    cpu_count: Number | None = None
    memory_bytes: Number | None = None
    gpu_count: Number | None = None
    gpu_maker: str | None = None
    gpu_type_label: str | None = None


class Allocation(ApiObject, frozen=True):
    """Resource requests of one container: cores, GPUs, and memory as bytes or as text such as ``2GB``."""

    cpu: Number | None = None
    gpu: Number | None = None
    memory: Number | str | None = None
    gpu_memory: Number | str | None = None


class ContainerRuntime(ApiObject, frozen=True):
    """Settings of one container of a group."""

    name: str | None = None
    resource_allocation: Allocation | None = None


class Group(ApiObject, frozen=True):
    """Settings of one container group; `replica_count` is null while autoscaled."""

    name: str | None = "default"
    replica_count: Integer | None = None
    autoscaling: Autoscaling | None = None
    resource_bundles: tuple[str, ...] | None = None
    resolved_bundle: Bundle | None = None
    containers: tuple[ContainerRuntime, ...] | None = None


class Runtime(ApiObject, frozen=True):
    """Runtime settings; servers before container groups put a group's fields here directly."""

    container_groups: tuple[Group, ...] | None = None
    enclaves: tuple[str, ...] | None = None
    enclave_selection_policy: str | None = None
    replica_count: Integer | None = None
    autoscaling: Autoscaling | None = None
    resource_bundles: tuple[str, ...] | None = None
    resolved_bundle: Bundle | None = None


class ReplacementConfig(ApiObject, frozen=True):
    """Warm-up and overlap of a rolling replacement, in minutes."""

    warmup_duration_minutes: Number | None = None
    keep_old_version_minutes: Number | None = None


class Replacement(ApiObject, frozen=True):
    """A replacement in progress or just ended; the inline form has the first three fields only."""

    status: str | None = "unknown"
    strategy: str | None = None
    candidate_proton_ids: tuple[str, ...] | None = None
    id: str | None = None
    workload_id: str | None = None
    candidate_artifact_id: str | None = None
    previous_proton_ids: tuple[str, ...] | None = None
    config: ReplacementConfig | None = None
    message: str | None = None
    switched_at: str | None = None
    is_deleted: bool | None = None
    deleted_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class RequestStats(ApiObject, frozen=True):
    """Request statistics of the list; which window they cover is not documented."""

    total_requests: Integer | None = None
    error_rate: Number | None = None
    response_time: Number | None = None
    concurrent_requests: Number | None = None
    last_request_at: str | None = None


class Tag(ApiObject, frozen=True):
    """A user's tag on a workload."""

    name: str | None = None
    value: str | None = None


class Creator(ApiObject, frozen=True):
    """Who created a workload; read to select by it, never shown."""

    id: str | None = None
    username: str | None = None


class Workload(ApiObject, frozen=True):
    """One workload of the list (spec 11.5 WorkloadFormatted). Only the id is required."""

    id: str
    name: str | None = None
    status: str | None = None
    type: str | None = None
    importance: str | None = None
    artifact_id: str | None = None
    proton_id: str | None = None
    artifact: Artifact | None = None
    replacement: Replacement | None = None
    request_stats: RequestStats | None = None
    last_response: str | None = None
    endpoint: str | None = None
    use_case_id: str | None = None
    runtime: Runtime | None = None
    tags: tuple[Tag, ...] | None = None
    creator: Creator | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("the id is empty")


StatusGroup = Literal["up", "starting", "leaving", "off", "failed", "indeterminate"]
_BY_GROUP: tuple[tuple[StatusGroup, str], ...] = (
    ("indeterminate", "unknown"),
    ("starting", "submitted pending scheduled initializing provisioning launching warming updating restarting"),
    ("up", "running"),
    ("leaving", "draining stopping"),
    ("off", "stopped suspended interrupted"),
    ("failed", "errored failed terminated"),
)
STATUS_GROUPS: dict[str, StatusGroup] = {status: group for group, names in _BY_GROUP for status in names.split()}
"""Every status in the specification, the documentation or a response of a server, and its group. Any other counts as
an unknown value.
"""
STATUSES = (*STATUS_GROUPS,)
"""Values of the status metric."""

IMPORTANCES = ("critical", "high", "moderate", "low")
DRAFT_LIFETIME_SECONDS = 8 * 3600.0


@lru_cache(maxsize=4096)
def folded(text: str | None) -> str:
    """An enum value in lower case with underscores: servers vary case, blanks and hyphens. None becomes ``unknown``."""
    return re.sub(r"[-\s]+", "_", text.strip().casefold()) if text and text.strip() else "unknown"


def of_group(group: StatusGroup) -> tuple[str, ...]:
    """The statuses of a group."""
    return tuple(status for status in STATUSES if STATUS_GROUPS[status] == group)


def status_group(status: str | None) -> StatusGroup:
    """The group of a status; an unknown status is indeterminate, never healthy."""
    return STATUS_GROUPS.get(folded(status), "indeterminate")


def may_run(status: str | None) -> bool:
    """Whether a status is that of something that runs, or not known."""
    return status_group(status) in ("up", "indeterminate")


@lru_cache(maxsize=1 << 12)  # of a few hundred bytes each: a larger cache fills for a day
def timestamp(text: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 text.

    Accepts ``Z``, a blank instead of ``T``, any number of fraction digits, and no offset (taken as UTC).
    Returns None if there is no text, it is not a timestamp, or not after the epoch: the zero times of Go (year 1) and
    of Kubernetes (1970) mean "never".
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds if seconds > 0 else None


_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", re.ASCII)
_SUFFIXES = {"": 1, "b": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("kmgtp", 1)
    for suffix, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}


def memory_bytes(quantity: Number | str | None) -> float | None:
    """Bytes of a memory setting, a number or text with a decimal or binary suffix; None if unreadable."""
    if isinstance(quantity, str):
        match = _QUANTITY.fullmatch(quantity)
        factor = _SUFFIXES.get(match[2].casefold()) if match else None
        return finite(float(match[1]) * factor) if match and factor else None
    return finite(quantity)


def groups(workload: Workload) -> tuple[Group, ...]:
    """The container groups of a workload; the older flat runtime counts as one group."""
    runtime = workload.runtime
    if runtime is None:
        return ()
    if runtime.container_groups is not None:
        return runtime.container_groups
    if runtime.replica_count is None and runtime.autoscaling is None and runtime.resolved_bundle is None:
        return ()
    return (
        Group(
            replica_count=runtime.replica_count,
            autoscaling=runtime.autoscaling,
            resource_bundles=runtime.resource_bundles,
            resolved_bundle=runtime.resolved_bundle,
        ),
    )


def autoscaled(group: Group) -> Autoscaling | None:
    """The group's autoscaling if it is on, else None."""
    scaling = group.autoscaling
    return scaling if scaling is not None and scaling.enabled is not False else None


def replica_bounds(scaling: Autoscaling) -> tuple[int | None, int | None]:
    """Minimum and maximum replicas: the group's own bounds, else the extremes over its policies."""
    policies = scaling.policies or ()
    lows = [p.min_count for p in policies if p.min_count is not None]
    highs = [p.max_count for p in policies if p.max_count is not None]
    low = scaling.min_replica_count if scaling.min_replica_count is not None else min(lows, default=None)
    high = scaling.max_replica_count if scaling.max_replica_count is not None else max(highs, default=None)
    return low, high


def finite(value: Number | None) -> float | None:
    """The value if it is a non-negative number in the range of a float, else None."""
    return float(value) if value is not None and 0 <= value <= sys.float_info.max else None


REPLACEMENT_STATUSES = frozenset(
    (
        "unknown submitted initializing awaiting_promotion switching deleting cleaning_up completed errored "
        "staged promoting canceling cancelling canceled cancelled finalizing failed "
        "candidate_warming pending in_progress"
    ).split()
)
