"""Settings of paging."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporter.settings.receivers import AnyReceiver
from exporter.settings.section import Section


class PagingSettings(Section):
    """Who tells people of alerts: rules in a Prometheus, or this exporter itself."""

    who: Literal["rules", "direct", "both"] = Field(
        "rules",
        description="`rules`: Prometheus, with the rules that this exporter writes; `direct`: this exporter tells "
        "`receivers`; `both`: so that the one may be compared with the other, and people are told twice.",
    )
    receivers: tuple[Annotated[AnyReceiver, Field(discriminator="kind")], ...] = Field((), description="Whom to tell.")
    log_lines: int = Field(
        0,
        ge=0,
        le=20,
        description="Last lines of a workload's log that a page about it carries; 0: none. What looks like a secret is "
        "masked, but what applications log may be personal all the same, and a receiver keeps it.",
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.who != "rules" and not self.receivers:
            raise ValueError(f"who is {self.who}, but there are no receivers; list one, or leave it to rules")
        return self
