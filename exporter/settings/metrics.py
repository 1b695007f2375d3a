"""Settings of metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from exporter.fleet.tag_labels import TagSelection
from exporter.settings.collector import (
    PAIRS,
    PATH,
    PATH_DESCRIPTION,
    Attributes,
    CollectorSettings,
    CollectorUrl,
    PlainPath,
)
from exporter.settings.section import Duration, Section


def _few_wildcards(given: str) -> str:
    if given.count("*") > 2:
        raise ValueError("a name may contain * twice at most")
    return given


TagName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_few_wildcards)]


class MetricPushSettings(CollectorSettings):
    """Push of all metrics by OTLP. None without an `endpoint`."""

    endpoint: Annotated[str, CollectorUrl] = Field(
        "",
        description="URL of an OpenTelemetry collector to which all metrics are pushed, such as "
        "`http://collector:4318`. Empty: no push. See docs/otlp.md.",
    )
    path: Annotated[str, PlainPath] = Field("/v1/metrics", pattern=PATH, description=PATH_DESCRIPTION)
    interval: Duration = Field(60.0, ge=1, description="Time between the starts of two pushes.")
    temporality: Literal["cumulative", "delta"] = Field(
        "cumulative",
        description="Whether counters and histograms are pushed as totals or as what was added since the last push.",
    )
    service_name: str = Field(
        "",
        description="`service.name` of the metrics; empty: `OTEL_SERVICE_NAME`, or `workload-exporter`.",
    )
    resource_attributes: Annotated[Attributes, PAIRS] = Field(
        default_factory=dict, description="Additional resource attributes of the metrics."
    )


class MetricsSettings(Section):
    """Which metric families are served."""

    profile: Literal["minimal", "standard", "full"] = Field(
        "standard",
        description="`minimal` limits the number of series, `full` adds raw values with undocumented meaning.",
    )
    series_limit: int = Field(
        2_000_000,
        ge=0,
        le=1_000_000_000,
        description="Maximum workload series per account; workloads beyond it are omitted, counted and logged. "
        "0: no limit.",
    )
    tags: Annotated[tuple[TagName, ...], Field(max_length=20)] = Field(
        (),
        description='Names of tags that become labels of `datarobot_workload_tags`, such as `[team, env, "cost-*"]`; '
        "`*` stands for any text, at most twice in a name. Case, blanks and hyphens in names do not matter. Everyone "
        "who can query Prometheus reads the values: choose no tags with personal data. Values that contain an e-mail "
        "address (an `@` between two characters that are no blanks) are left out, as are tags with such a name.",
    )
    tag_values: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Maximum number of distinct values of each tag and account that become labels; further values are "
        "left out, counted and logged, their workloads are not. Values stay as long as they are in use; free places "
        "are for those whose oldest workload was created first.",
    )

    otlp: MetricPushSettings = Field(
        default_factory=lambda: MetricPushSettings.model_validate({}), description="Push of all metrics by OTLP."
    )

    @property
    def page(self) -> tuple[object, ...]:
        """The settings that decide what is served."""
        return self.profile, self.series_limit, self.tags, self.tag_values

    @property
    def tag_selection(self) -> TagSelection:
        """The tags that become labels."""
        return TagSelection(self.tags, self.tag_values)
