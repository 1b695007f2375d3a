"""Settings of sweeps."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from exporter.settings.section import Duration, Section


class SweepSettings(Section):
    """How often the API is swept."""

    interval: Duration = Field(30.0, ge=1, description="Time between the starts of two sweeps of the workload list.")
    stale_after: Duration = Field(
        900.0, description="After this time without a complete sweep the workload metrics of the account are withdrawn."
    )

    @model_validator(mode="after")
    def _longer(self) -> Self:
        if self.stale_after < 3 * self.interval:
            raise ValueError(
                f"stale_after ({self.stale_after:g}s) is below three times interval ({self.interval:g}s): one failed "
                "sweep would withdraw metrics; raise stale_after or lower interval"
            )
        return self
