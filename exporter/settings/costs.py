"""Settings of costs, idleness and sizes of workloads."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from exporter.fleet.workload_state import Costs
from exporter.settings.section import Duration, DurationOrZero, Section

MAX_PRICE = 1_000_000.0
"""Most that an hour of one replica may cost."""
Price = Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False)]
BundleId = Annotated[str, Field(min_length=1, max_length=256)]


def _currency(given: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", given):
        raise ValueError("not a currency; use its three letters, such as EUR")
    return given


class CostSettings(Section):
    """What replicas cost, and when a workload counts as idle or as wrongly sized. See docs/capacity-and-cost.md."""

    currency: Annotated[str, AfterValidator(_currency)] = Field(
        "EUR", description="Currency of the prices, three letters as in ISO 4217."
    )
    bundles: Annotated[dict[BundleId, Price], Field(max_length=1000)] = Field(
        default_factory=dict,
        description="Price of one replica per hour, by id of its resource bundle. Workloads in other bundles have no "
        "cost metrics.",
    )
    idle_after: Duration = Field(
        3 * 86400.0,
        description="Time without a request after which a workload with live replicas counts as idle. The default "
        "covers a weekend.",
    )
    min_history: DurationOrZero = Field(
        86400.0,
        description="How long use must have been observed before a size is judged, and the number of workloads before "
        "it is forecast. 7 days are kept.",
    )

    @property
    def policy(self) -> Costs:
        """These settings as the fleet's values use them."""
        return Costs(self.currency, self.bundles, self.idle_after, self.min_history)
