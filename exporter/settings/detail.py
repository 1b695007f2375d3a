"""Settings of detail polling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporter.settings.section import Duration, Section


class DetailSettings(Section):
    """Polling of details of each workload, within the account's budget."""

    enabled: bool = Field(
        True, description="Whether to poll details: pods, events, statistics, resource usage, sharing, quotas."
    )
    interval: Duration = Field(
        300.0,
        ge=10,
        description="Polling interval of steady workloads; those that change or have a problem are polled every "
        "`sweep.interval`. Pods of important workloads are polled twice as often, statistics of long windows, quotas "
        "and sharing proportionally less often. The windows 6h, 1d and 3d are polled for important workloads, and "
        "together with 30m and 2h for each workload with more server errors, or slow requests, than its objective, or "
        "the threshold `error_budget`, allows.",
    )
    parts: tuple[
        Literal[
            "pods", "events", "replacement", "stats_5m", "stats_30m", "stats_1h", "stats_2h", "stats_6h", "stats_1d",
            "stats_3d", "usage", "sharing", "quotas", "requests",
        ],
        ...,
    ] = Field((), description="Parts to poll; empty: all.")  # fmt: skip
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.95, 0.99),
        min_length=1,
        description="Quantiles of the response time; each one after the first costs an additional request.",
    )
    slow_requests: Duration = Field(2.0, description="Response time above which a request counts as slow.")
