"""What a workload costs, whether it is idle, and whether another resource bundle fits what it uses."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal, NamedTuple

from exporter.api import models
from exporter.api.models import Bundle
from exporter.fleet import workload_state
from exporter.fleet.usage import CPU, MEMORY, RESOURCES
from exporter.fleet.workload_state import WorkloadState

HOURS_PER_MONTH = 730.0
FULL_SHARE = 0.9
"""Share of a bundle above which the use of a workload, for more than 5 % of a week, shows that it is too small."""
FIT_SHARE = 0.8
"""Share of a bundle that the use may take if the bundle is to fit: the rest is for growth."""

_CPU, _MEMORY = RESOURCES.index(CPU), RESOURCES.index(MEMORY)


class Sizing(NamedTuple):
    """A bundle that does not fit what a workload uses. `fitting`: the id of one that does; empty: there is none."""

    finding: Literal["oversized", "undersized"]
    fitting: str


class Waste(NamedTuple):
    """What a workload costs for nothing, in the currency of the prices."""

    reason: Literal["idle", "oversized"]
    per_month: float


def cost_per_hour(state: WorkloadState) -> float | None:
    """The price of the live pods; None if their number, their bundle or its price is not known."""
    prices = state.costs.bundles
    live = workload_state.live_by_bundle(state) if prices else None
    if live is None or any(bundle.id not in prices for bundle in live):
        return None
    return round(sum(prices[bundle.id or ""] * count for bundle, count in live.items()), 6)


def idle_since(state: WorkloadState) -> float | None:
    """Since when a workload with ready pods has had no request, if that is `costs.idle_after` ago; else None.

    The latest statistics have to report no requests: unknown traffic is not idle. A start and, if no request was ever
    reported, a change of the workload or a reset of its statistics count like a request.
    """
    latest = max(workload_state.windows(state).values(), key=lambda window: window.end, default=None)
    if latest is None or latest.metrics.total_requests != 0 or not workload_state.is_up(state):
        return None
    counted, proton, workload = workload_state.serving(state), workload_state.active(state), state.workload
    if counted is None or not counted.ready or proton is None:
        return None
    stats = workload.request_stats
    requests = [state.at(workload.last_response), state.at(stats.last_request_at) if stats is not None else None]
    started = state.at(proton.running_since)
    times = [*requests, state.ledger.since if started is None else started]
    if requests == [None, None]:
        if stats is None or stats.total_requests != 0:
            return None
        times += [state.at(workload.created_at), state.at(workload.updated_at), state.ledger.reset_at]
    since = max(at for at in times if at is not None)
    return since if latest.end - since >= state.costs.idle_after else None


def sizing(state: WorkloadState) -> Sizing | None:
    """Whether the bundle is too large or too small for what was used in the last seven days; None: neither is known.

    CPU counts at the 95th percentile, memory at its peak, because more memory than the bundle has ends a container.
    GPUs stay the same: how much of their memory is used is not reported.
    """
    history, bundle = state.ledger.usage, workload_state.only_bundle(state)
    if history is None or bundle is None or bundle.id != history.bundle:
        return None
    if history.last - history.first < state.costs.min_history:
        return None
    cores, size = models.finite(bundle.cpu_count), models.finite(bundle.memory_bytes)
    cpu_use, memory_use, memory_peak = history.p95[_CPU], history.p95[_MEMORY], history.peak[_MEMORY]
    if cores is None or size is None or cpu_use is None or memory_use is None or memory_peak is None:
        return None
    needed_cores, needed_size, gpus, prices = cpu_use * cores, memory_peak * size, _gpus(bundle), state.costs.bundles
    fitting = [
        each
        for each in (state.catalogue or {}).values()
        if (each.cpu_count or 0) * FIT_SHARE >= needed_cores
        and (each.memory_bytes or 0) * FIT_SHARE >= needed_size
        and _gpus(each) == gpus
    ]
    small = max(cpu_use, memory_use) > FULL_SHARE
    if not small:
        fitting = [each for each in fitting if _is_less(prices, each, bundle)]
    best = min(fitting, key=lambda each: _rank(prices, each), default=None)
    if best is None:
        return Sizing("undersized", "") if small else None
    return Sizing("undersized" if small else "oversized", best.id or "")


def _gpus(bundle: Bundle) -> tuple[float, str, str]:
    return float(bundle.gpu_count or 0), bundle.gpu_maker or "", bundle.gpu_type_label or ""


def _is_less(prices: Mapping[str, float], bundle: Bundle, than: Bundle) -> bool:
    """Whether a bundle costs less than another one; if a price is not known, whether it is smaller."""
    price, other = prices.get(bundle.id or ""), prices.get(than.id or "")
    if price is not None and other is not None:
        return price < other
    cores, size = bundle.cpu_count or 0, bundle.memory_bytes or 0
    most_cores, most_size = than.cpu_count or 0, than.memory_bytes or 0
    return cores <= most_cores and size <= most_size and (cores, size) != (most_cores, most_size)


def _rank(prices: Mapping[str, float], bundle: Bundle) -> tuple[float, float, float, str]:
    """The cheapest bundle first, then the smallest."""
    return prices.get(bundle.id or "", inf), bundle.cpu_count or 0, bundle.memory_bytes or 0, bundle.id or ""


def _per_month(per_hour: float) -> float:
    return round(per_hour * HOURS_PER_MONTH, 4)


def waste(state: WorkloadState) -> Waste | None:
    """What an idle workload costs, or what one in too large a bundle costs more than in one that fits.

    None if there is no waste, or if a price is not known.
    """
    cost = cost_per_hour(state)
    if not cost:
        return None
    if idle_since(state) is not None:
        return Waste("idle", _per_month(cost))
    found, prices = sizing(state), state.costs.bundles
    live = workload_state.live_by_bundle(state)
    if found is None or found.finding != "oversized" or found.fitting not in prices or live is None or len(live) > 1:
        return None
    saved = cost - prices[found.fitting] * sum(live.values())
    return Waste("oversized", _per_month(saved)) if saved > 0 else None
