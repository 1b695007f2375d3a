"""LIMITS: the thresholds of alerts, which settings may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Limit(NamedTuple):
    """A threshold that settings may change, and the reason for its default. Names in ``_seconds`` are times."""

    name: str
    default: float
    reason: str


LIMITS: tuple[Limit, ...] = (
    Limit("starting_seconds", 900, "most starts take about five minutes; after fifteen, a start is stuck"),
    Limit("starting_gpu_seconds", 2700, "GPU nodes are added on demand, and NIM images are large"),
    Limit("stopping_seconds", 1200, "an outgoing version drains for up to twelve minutes"),
    Limit("terminated_seconds", 3600, "terminated is final: after an hour it is no longer news"),
    Limit("stopped_seconds", 900, "an accidental stop is noticed soon; after that, the stop is assumed to be intended"),
    Limit("vanished_seconds", 1800, "long enough to be noticed, and limited so that the alert ends"),
    Limit("draft_seconds", 3600, "an hour is enough to promote the draft or to let it end"),
    Limit("forgotten_seconds", 2_592_000, "after thirty days without a request or a change, no one misses a workload"),
    Limit("full_seconds", 604_800, "a week is enough to clean up, or to have the limit raised"),
    Limit(
        "replacement_failed_seconds",
        1800,
        "the previous version still serves, so it is enough that the alert fires for half an hour",
    ),
    Limit("snapshot_seconds", 900, "while a workload starts, its pods change every few minutes"),
    Limit("crashed_seconds", 600, "the back-off between two starts of a container grows to five minutes"),
    Limit("restarts_seconds", 1800, "three restarts of one container within half an hour are no accident"),
    Limit("recoveries_seconds", 1800, "three recoveries within half an hour are one lasting outage"),
    Limit(
        "oom_seconds",
        1800,
        "a container that was killed once for using too much memory is worth a ticket, but not one that stays open",
    ),
    Limit("unstable_seconds", 300, "what serves for a few minutes between two crashes cannot wait until morning"),
    Limit("degraded_ratio", 0.5, "with half of the replicas lost, it cannot wait until morning"),
    Limit("memory_ratio", 0.9, "one large request can use the last tenth"),
    Limit("limit_ratio", 0.9, "beyond the limit, deployments are refused with 403"),
    Limit("server_error_ratio", 0.5, "if every other request fails, users see an outage"),
    Limit("client_error_ratio", 0.5, "every other request rejected is more than the usual noise of callers"),
    Limit("requests", 20, "with fewer requests in a window, a ratio is not meaningful"),
    Limit("burn_errors", 10, "with fewer server errors in the long window, no error budget is in danger"),
    Limit("burn_requests", 50, "with fewer requests in a window of half an hour or more, a ratio is not meaningful"),
    Limit(
        "ready_seconds",
        300,
        "until then, most of the last five minutes of requests may be from before it became ready",
    ),
    Limit("running_seconds", 180, "until then, a workload that became running may be ready and its pods not read yet"),
    Limit("waking_seconds", 900, "a workload without a minimum of replicas may take as long as any start to serve"),
    Limit(
        "error_budget",
        0.005,
        "an objective of 99.5 % of requests without a server error, for workloads without one",
    ),
    Limit("burn_fast", 14.4, "2 % of a month's budget in an hour"),
    Limit("burn_steady", 6, "5 % of a month's budget in six hours"),
    Limit("burn_slow", 3, "10 % of a month's budget in a day"),
    Limit("burn_trickle", 1, "the whole budget by the end of the month"),
    Limit("p95_response", 10, "seconds at the 95th percentile; set it to what your callers accept"),
    Limit("daily_requests", 1000, "a workload with this many requests a day has some every hour"),
    Limit("fleet_workloads", 5, "fewer failures are separate incidents"),
    Limit(
        "fleet_ratio",
        0.2,
        "if a fifth of the workloads fails at once, or cannot be read, there is a common cause",
    ),
    Limit("unread_workloads", 3, "the details of fewer workloads are separate tickets"),
    Limit("stale_sweeps", 5, "in intervals without a complete sweep; a single slow sweep is not an incident"),
    Limit("notify_seconds", 300, "a receiver may be unavailable for a minute or two"),
    Limit("throttled_ratio", 0.05, "retries absorb a few throttled requests"),
)
TIMES = frozenset(limit.name for limit in LIMITS if limit.name.endswith("_seconds") or limit.name == "p95_response")
"""The names of thresholds that are times, in seconds."""
DEFAULTS: Mapping[str, float] = {limit.name: limit.default for limit in LIMITS}
