"""Settings of metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from exporter.fleet.tag_labels import TagSelection
from exporter.settings.section import Section


def _few_wildcards(given: str) -> str:
    if given.count("*") > 2:
        raise ValueError("a name may contain * twice at most")
    return given


TagName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_few_wildcards)]


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

    @property
    def tag_selection(self) -> TagSelection:
        """The tags that become labels."""
        return TagSelection(self.tags, self.tag_values)
