"""Settings of objectives of workloads."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from exporter.fleet.objectives import WINDOW_SECONDS, Objective, ObjectiveRow
from exporter.settings.section import Duration, Importance, Section, Tag
from exporter.settings.values import tag_values

Target = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class LatencySettings(Section):
    """An objective of response times."""

    target: Target = Field(description="Share of requests that should be fast enough, such as 0.99.")
    faster_than: Duration = Field(
        ge=0.001, le=600, description="Response time above which a request is slow, without the network."
    )


class ObjectiveSettings(Section):
    """The objectives of the workloads that match all of `accounts`, `importance`, `tags` and `name`; empty: any."""

    accounts: frozenset[str] = Field(frozenset(), description="Names of accounts.")
    importance: frozenset[Importance] = Field(frozenset(), description="Importance of workloads.")
    tags: tuple[Tag, ...] = Field(
        (), description="Tags that a workload must have, all of them: `name=value`, or `name` for any value."
    )
    name: str = Field("", description="Name of workloads, with the wildcards `*` and `?`.")
    availability: Target | None = Field(
        None, description="Share of requests that should have no server error (5xx), such as 0.999."
    )
    readiness: Target | None = Field(
        None,
        description="Share of the time in which a replica should be ready, while the workload should serve. For "
        "workloads without regular requests.",
    )
    latency: LatencySettings | None = Field(None, description="Share of requests that should be fast enough.")
    window: Duration = Field(
        WINDOW_SECONDS, ge=7 * 86400, le=90 * 86400, description="Time over which the share is calculated."
    )

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if self.availability is None and self.readiness is None and self.latency is None:
            raise ValueError("no target; set availability, readiness or latency, such as availability: 0.999")
        return self

    @property
    def row(self) -> ObjectiveRow:
        """The row of the table of objectives."""
        latency = self.latency
        target, slower = (latency.target, latency.faster_than) if latency is not None else (None, None)
        objective = Objective(self.availability, self.readiness, target, slower, self.window)
        return ObjectiveRow(objective, tag_values(self.tags), self.importance, self.name, self.accounts)
