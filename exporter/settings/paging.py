"""Settings of paging."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporter.settings.receivers import AnyReceiver
from exporter.settings.section import Section


class PagingSettings(Section):
    """Who sends notifications: a Prometheus with rules, or this exporter."""

    who: Literal["rules", "direct", "both"] = Field(
        "rules",
        description="`rules`: Prometheus, with the rules of this exporter; `direct`: this exporter, to `receivers`; "
        "`both`: for comparison, with duplicate notifications.",
    )
    receivers: tuple[Annotated[AnyReceiver, Field(discriminator="kind")], ...] = Field(
        (), description="Receivers of notifications."
    )
    log_signs: bool = Field(
        True,
        description="Read the last lines of a workload's log when it is paged, and state which known errors they "
        "contain, such as refused connections, in fixed words. No text of the log is included.",
    )
    log_lines: int = Field(
        0,
        ge=0,
        le=20,
        description="Last lines of a workload's log to include in its notifications; 0: none. Likely secrets are "
        "masked, but logs may contain personal data, which receivers store.",
    )

    @model_validator(mode="after")
    def _has_receivers(self) -> Self:
        if self.who != "rules" and not self.receivers:
            raise ValueError(f"who is {self.who}, but there are no receivers; add one, or set who to rules")
        return self
