"""Settings of OpenTelemetry traces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from exporter.settings.collector import (
    PAIRS,
    PATH,
    PATH_DESCRIPTION,
    Attributes,
    CollectorSettings,
    CollectorUrl,
    PlainPath,
)
from exporter.settings.section import SECONDS, Duration, DurationOrZero, Importance


def _template(*names: str) -> AfterValidator:
    """A text in which only these names may be in braces."""

    def check(given: str) -> str:
        try:
            given.format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError, AttributeError):
            known = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"only {known} may be in braces") from None
        return given

    return AfterValidator(check)


class TraceSettings(CollectorSettings):
    """OpenTelemetry traces of episodes of workloads, and where to send them. No traces without an `endpoint`."""

    endpoint: Annotated[str, CollectorUrl] = Field(
        "", description="URL of an OpenTelemetry collector, such as `http://collector:4318`. Empty: no traces."
    )
    path: Annotated[str, PlainPath] = Field("/v1/traces", pattern=PATH, description=PATH_DESCRIPTION)
    service_name: Annotated[str, _template("id", "name")] = Field(
        "workload-{id}",
        min_length=1,
        description="`service.name` of a workload's traces; `{id}` and `{name}` are replaced by those of the workload.",
    )
    environment: str = Field("", description="`deployment.environment.name` of all traces; empty: not set.")
    resource_attributes: Annotated[Attributes, PAIRS] = Field(
        default_factory=dict, description="Additional resource attributes of all traces."
    )
    kinds: tuple[Literal["start", "stop", "failure", "replacement", "deletion"], ...] = Field(
        ("start", "stop", "failure", "replacement", "deletion"), description="Kinds of episodes that become traces."
    )
    importance: frozenset[Importance] = Field(
        frozenset(), description="Only traces of workloads with these importance values; empty: all."
    )
    sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of traces to keep, from 0 to 1, chosen by trace id; failures are always kept.",
    )
    min_duration: DurationOrZero = Field(0.0, description="Successful starts shorter than this get no trace.")
    crashes: bool = Field(
        False, description="Also create a trace of each container crash while the workload stays running."
    )
    checkpoint_after: DurationOrZero = Field(
        0.0, description="Interval at which an open episode gets an intermediate trace; 0: never."
    )
    backfill: Annotated[float, SECONDS, Field(ge=0, le=604800)] = Field(
        0.0,
        description="How far back the very first sweep searches for completed replacements and starts; 0: not at all.",
    )
    max_bytes: int = Field(
        50_000_000,
        gt=0,
        le=1_000_000_000_000,
        description="Maximum bytes of traces that wait to be sent; beyond it, the oldest are dropped.",
    )
    max_age: Duration = Field(
        604800.0, le=2592000, description="How long a trace may wait to be sent before it is dropped."
    )
    self_traces: bool = Field(
        True, description="Also send traces of the exporter's own sweeps if they fail, are slow, or are sampled."
    )

    @property
    def resource(self) -> Attributes:
        """Resource attributes of all traces."""
        named: Attributes = {"deployment.environment.name": self.environment}
        return self.resource_attributes | (named if self.environment else {})
