"""Families about what workloads cost, and what of it is waste."""

from __future__ import annotations

from exporter.fleet import waste
from exporter.fleet.usage import BOUNDS, RESOURCES
from exporter.metrics.family import Family, Part, Samples, View, one, row

_PRICED: tuple[Part, ...] = ("pods", "runtime", "catalogue", "costs")
_IDLE: tuple[Part, ...] = ("workload", "windows", "pods", "ledger", "costs")


def _cost(view: View) -> Samples:
    cost = waste.cost_per_hour(view.state)
    return () if cost is None else (((view.state.costs.currency,), cost),)


def _waste(view: View) -> Samples:
    found = waste.waste(view.state)
    return () if found is None else (((view.state.costs.currency, found.reason), found.per_month),)


def _use(view: View) -> Samples:
    history = view.state.ledger.usage
    if history is None:
        return ()
    values = [("0.95", history.p95), ("1", history.peak)]
    return tuple(
        ((quantile, resource.name), share)
        for quantile, shares in values
        for resource, share in zip(RESOURCES, shares, strict=True)
        if share is not None
    )


def _sizing(view: View) -> Samples:
    found = waste.sizing(view.state)
    return () if found is None else (((found.finding, found.fitting), 1.0),)


COSTS: tuple[Family, ...] = (
    row("workload_cost_per_hour", "Price of the live pods of a workload per hour, including those of versions that do "
        "not serve.", _cost, labels=("currency",), source="setting costs.bundles, resource bundle, statusDetails",
        absence="no price is set for the bundle, the pods or the bundle are not known, or there are several container "
        "groups", unit="currency per hour", stability="experimental", reads=_PRICED),
    row("workload_idle_since_timestamp_seconds", "Time since when a workload with ready pods has had no request, in "
        "seconds since the epoch, if that is longer than the setting costs.idle_after. A start counts like a request.",
        lambda view: one(waste.idle_since(view.state)),
        source="lastResponse, requestStats.lastRequestAt, stats totalRequests, protons[].runningSince",
        absence="it has requests, no ready pod, or its requests or pods are not known", stability="experimental",
        reads=_IDLE),
    row("workload_week_usage_ratio", "Share of its resource bundle that a replica used in the last seven days, at a "
        "quantile, rounded up to the next of " + ", ".join(f"{bound:g}" for bound in BOUNDS) + ".",
        _use, labels=("quantile", "resource"), source="autocollectedValues, observed every 15 minutes",
        absence="the usage or the bundle were not reported since the workload was first observed",
        stability="experimental", reads=("ledger",)),
    row("workload_sizing_info", "Finding that the resource bundle is oversized or undersized for the usage of the last "
        "seven days, and the bundle of the catalogue that would fit (empty: none); always 1.", _sizing,
        labels=("finding", "fitting_bundle_id"),
        source="autocollectedValues, resource bundle, GET /mlops/compute/bundles",
        absence="the bundle fits, its use was not observed for the setting costs.min_history, or there are several "
        "container groups", stability="experimental", reads=("ledger", "runtime", "catalogue", "costs")),
    row("workload_waste_per_month", "Cost of an idle workload in a month of 730 hours, or what one in an oversized "
        "bundle costs more than in the bundle that would fit.", _waste, labels=("currency", "reason"),
        source="datarobot_workload_cost_per_hour, …_idle_since_timestamp_seconds, …_sizing_info",
        absence="there is no waste, or its cost is not known", unit="currency per month", stability="experimental",
        reads=(*_IDLE, "catalogue")),
)  # fmt: skip
