"""Settings of metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


class MetricsSettings(Section):
    """Which families are served."""

    profile: Literal["minimal", "standard", "full"] = Field(
        "standard", description="`minimal` for users billed by series, `full` adds raw values of undocumented meaning."
    )
    series_limit: int = Field(
        2_000_000,
        ge=0,
        le=1_000_000_000,
        description="Most series of workloads per account; workloads beyond it are left out, counted and logged. "
        "0: no limit.",
    )
