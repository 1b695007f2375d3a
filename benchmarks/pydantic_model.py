"""The rival for decoding: the object of the list as pydantic models, the usual way in Python."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class Artifact(_Model):
    """As spec 11.5 ArtifactInfoFormatted."""

    id: str
    artifact_repository_id: str | None = None
    name: str | None = None
    status: str | None = None
    type: str | None = None
    version: int | None = None


class Policy(_Model):
    """One autoscaling policy."""

    scaling_metric: str | None = None
    target: float | None = None
    min_count: int | None = None
    max_count: int | None = None


class Autoscaling(_Model):
    """Autoscaling of a group."""

    enabled: bool | None = True
    min_replica_count: int | None = None
    max_replica_count: int | None = None
    cooldown_period_minutes: float | None = None
    policies: list[Policy] | None = None


class Bundle(_Model):
    """A resolved bundle."""

    id: str | None = None
    cpu_count: float | None = None
    memory_bytes: int | None = None
    gpu_count: float | None = None
    gpu_maker: str | None = None
    gpu_type_label: str | None = None


class Allocation(_Model):
    """Resource requests of one container."""

    cpu: float | None = None
    gpu: float | None = None
    memory: int | str | None = None
    gpu_memory: int | str | None = None


class Container(_Model):
    """One container's settings."""

    name: str | None = None
    resource_allocation: Allocation | None = None


class Group(_Model):
    """One container group's settings."""

    name: str | None = None
    replica_count: int | None = None
    autoscaling: Autoscaling | None = None
    resource_bundles: list[str] | None = None
    bundle_selection_policy: str | None = None
    resolved_bundle: Bundle | None = None
    containers: list[Container] | None = None


class Runtime(_Model):
    """Runtime settings."""

    container_groups: list[Group] | None = None


class Stats(_Model):
    """Request statistics of the list."""

    total_requests: int | None = None
    error_rate: float | None = None
    error_rates: list[int] | None = None
    request_rates: list[int] | None = None
    response_time: float | None = None
    concurrent_requests: float | None = None
    last_request_at: datetime | None = None


class User(_Model):
    """A user."""

    id: str
    email: str | None = None
    full_name: str | None = None
    userhash: str | None = None
    username: str | None = None


class Tag(_Model):
    """A tag."""

    id: str | None = None
    name: str
    value: str


class Workload(_Model):
    """As spec 11.5 WorkloadFormatted."""

    id: str
    name: str
    description: str | None = None
    status: str | None = None
    type: str | None = None
    importance: str | None = None
    artifact_id: str | None = None
    proton_id: str | None = None
    artifact: Artifact | None = None
    endpoint: str | None = None
    replacement: dict[str, object] | None = None
    request_stats: Stats | None = None
    last_response: datetime | None = None
    runtime: Runtime | None = None
    creator: User | None = None
    owners: list[User] | None = None
    permissions: list[str] | None = None
    tags: list[Tag] | None = None
    created_at: datetime
    updated_at: datetime


class Listed(_Model):
    """The whole page."""

    count: int | None = None
    total_count: int | None = None
    next: str | None = None
    previous: str | None = None
    data: list[Workload]
