"""Settings of detail polling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporter.settings.section import Duration, Section


class DetailSettings(Section):
    """What is asked about each workload beside the list, in turn and under the account's budget."""

    enabled: bool = Field(True, description="Ask for details at all: pods, events, statistics, resource use, sharing.")
    interval: Duration = Field(
        300.0,
        ge=10,
        description="Time between two looks at a workload that is steady; one in trouble, or changing, is looked at "
        "at `sweep.interval`. Statistics of long windows, quotas and sharing are looked at less often in proportion.",
    )
    parts: tuple[
        Literal[
            "pods", "events", "replacement", "stats_5m", "stats_1h", "stats_6h", "stats_1d", "stats_3d", "usage",
            "sharing", "quotas",
        ],
        ...,
    ] = Field((), description="The parts to ask for; empty: all.")  # fmt: skip
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.95, 0.99), min_length=1, description="Quantiles of the response time; each but the first is a request."
    )
    slow_requests: Duration = Field(2.0, description="A request that takes longer counts as slow.")
