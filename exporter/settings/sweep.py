"""Settings of sweeps."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from exporter.settings.section import Duration, Section


class SweepSettings(Section):
    """Schedule of sweeps."""

    interval: Duration = Field(30.0, ge=1, description="Time between the starts of two sweeps.")
    stale_after: Duration = Field(
        900.0, description="Time without a complete sweep after which the account's workload metrics are withdrawn."
    )

    @model_validator(mode="after")
    def _longer(self) -> Self:
        if self.stale_after < 3 * self.interval:
            raise ValueError(
                f"stale_after ({self.stale_after:g}s) is less than three times interval ({self.interval:g}s), so one "
                "failed sweep could withdraw metrics; raise stale_after or lower interval"
            )
        return self
