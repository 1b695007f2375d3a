"""Resource usage of a workload: the reported values, and what its replicas used in the last seven days.

The history is a histogram per resource and day of what one replica uses of its resource bundle. It has a fixed size,
and at most one value per `SAMPLE_SECONDS` is counted, so that the ledger is rarely written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from exporter.api import models
from exporter.api.details import OtelValue, base_value
from exporter.api.models import Bundle, Number
from exporter.fleet import workload_state
from exporter.fleet.ledger import UsageHistory
from exporter.fleet.workload_state import WorkloadState


class Resource(NamedTuple):
    """A resource: the word in names of its usage metrics, the spellings of its units, and what a bundle has of it.

    `amount` None: usage is reported as a ratio.
    """

    name: str
    units: tuple[str, ...]
    amount: Callable[[Bundle], Number | None] | None = None


CPU = Resource("cpu", ("cores", "millicores", "nanocores"), lambda bundle: bundle.cpu_count)
MEMORY = Resource("memory", ("bytes", "by"), lambda bundle: bundle.memory_bytes)
GPU = Resource("gpu", ("ratio", "percentage", "percent"))
RESOURCES = (CPU, MEMORY, GPU)
LEVELS = ("workload", "pod", "container")

DAYS, DAY_SECONDS = 7, 86400
SAMPLE_SECONDS = 900.0
"""Minimum time between two values that are counted: 96 a day, so that a count fits into a byte."""
BOUNDS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0)
"""Upper bounds of the buckets, as shares of a bundle. Greater values count in the last one."""
_DAY_BYTES = len(RESOURCES) * len(BOUNDS)


def by_level(state: WorkloadState, resource: Resource) -> dict[str, float]:
    """The reported usage by level, in the base unit; an impossible value has a misunderstood unit."""
    found: dict[str, float] = {}
    for reported in state.details.usage or ():
        value = _used(reported, resource, state) if resource.name in reported.name.casefold() else None
        if value is not None:
            level = models.folded(reported.level)
            found.setdefault(level if level in LEVELS else "other", value)
    return found


def _used(reported: OtelValue, resource: Resource, state: WorkloadState) -> float | None:
    if models.folded(reported.unit) not in resource.units:
        return None
    thousandths = "nanocores_are_thousandths" in state.readings and models.folded(reported.unit) == "nanocores"
    return base_value("millicores" if thousandths else reported.unit, reported.current, most(state, resource))


def most(state: WorkloadState, resource: Resource) -> float | None:
    """Maximum possible usage of the pods, to check the unit; None if unknown."""
    if resource.amount is None:
        return 1.0
    replicas = workload_state.max_replicas(state)
    amounts = [models.finite(resource.amount(bundle)) for bundle in workload_state.bundles(state)]
    each = [value for value in amounts if value is not None]
    protons = max(1, len(workload_state.serving_protons(state)))
    return max(each) * max(1, replicas) * protons if each and replicas is not None else None


def share(state: WorkloadState, resource: Resource) -> float | None:
    """What one replica uses of its bundle; None if it is not known."""
    used, bundle = by_level(state, resource), workload_state.only_bundle(state)
    if resource.amount is None:
        return used.get("pod", used.get("workload")) if bundle is not None and bundle.gpu_count != 0 else None
    amount = models.finite(resource.amount(bundle)) if bundle is not None else None
    if not amount:
        return None
    if "pod" in used:
        return used["pod"] / amount
    counted = workload_state.serving(state)
    return used["workload"] / counted.live / amount if "workload" in used and counted and counted.live else None


def sampled(state: WorkloadState, now: float) -> UsageHistory | None:
    """The history after the current usage was counted, if that is due. It starts again with another bundle."""
    history, bundle = state.ledger.usage, workload_state.only_bundle(state)
    if bundle is None or not bundle.id:
        return history
    if history is not None and history.bundle == bundle.id and now - history.last < SAMPLE_SECONDS:
        return history
    shares = [share(state, resource) for resource in RESOURCES]
    if all(each is None for each in shares):
        return history
    if history is None or history.bundle != bundle.id:
        history = UsageHistory(bundle.id, now, now, bytes(DAYS * _DAY_BYTES))
    counts, today = bytearray(history.counts), int(now // DAY_SECONDS)
    for day in range(max(int(history.last // DAY_SECONDS), today - DAYS) + 1, today + 1):
        counts[(begin := day % DAYS * _DAY_BYTES) : begin + _DAY_BYTES] = bytes(_DAY_BYTES)
    for place, each in enumerate(shares):
        if each is not None:
            bucket = min(bisect_left(BOUNDS, each), len(BOUNDS) - 1)
            at = today % DAYS * _DAY_BYTES + place * len(BOUNDS) + bucket
            counts[at] = min(counts[at] + 1, 255)
    sums = [_sums(counts, place) for place in range(len(RESOURCES))]
    first = max(history.first, float((today - DAYS + 1) * DAY_SECONDS))
    p95, peak = (tuple([_quantile(each, share) for each in sums]) for share in (0.95, 1.0))
    return UsageHistory(history.bundle, first, now, bytes(counts), p95, peak)


def _sums(counts: Sequence[int], place: int) -> list[int]:
    """The counts of a resource by bucket, over all days."""
    return [sum(counts[place * len(BOUNDS) + bucket :: _DAY_BYTES]) for bucket in range(len(BOUNDS))]


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """The upper bound of the bucket with a quantile; None without values."""
    wanted, below = share * sum(counts), 0
    for bound, count in zip(BOUNDS, counts, strict=True):
        below += count
        if count and below >= wanted:
            return bound
    return None
