"""Settings of metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


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
