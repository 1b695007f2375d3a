"""Recording rules: the ratio and the remaining error budget of objectives, computed by Prometheus from the totals.

A total is compared with what it was at the start of the window, which reads two samples of each series however long the
window is. If Prometheus has no sample of then, what was counted since is known only if counting began later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter.alerting.expressions import PREFIX, duration
from exporter.fleet.objectives import ObjectiveKind

_BY = "account, workload_id"
RATIO, BUDGET = "workload:datarobot_objective_ratio", "workload:datarobot_objective_budget_remaining_ratio"
_TOTALS: Sequence[tuple[ObjectiveKind, str, tuple[str, ...]]] = (
    ("availability", "server_errors", ("requests",)),
    ("readiness", "down_seconds", ("ready_seconds", "down_seconds")),
    ("latency", "slow_requests", ("requests",)),
)
"""For each kind, the total of what is bad, and those of which it is a share."""


def recording_rules(selector: str, windows: Sequence[float]) -> Iterator[dict[str, object]]:
    """A ratio of each kind and a budget for each window in seconds; `selector` is added to every selector."""
    for seconds in windows:
        window = duration(seconds)
        for kind, bad, parts in _TOTALS:
            everything = " + ".join(_increase(part, selector, seconds) for part in parts)
            ratio = f"1 - {_increase(bad, selector, seconds)}\n/ ({everything} > 0)"
            of_window = f"{_metric('objective_window_seconds', selector)} == {seconds:g}"
            yield {
                "record": f"{RATIO}:{window}",
                "expr": f"(\n{ratio}\n)\nand on ({_BY}) {of_window}",
                "labels": {"objective": kind},
            }
        target = f"max by ({_BY}, objective) ({PREFIX}workload_objective_target_ratio{{{selector}}})"
        yield {"record": f"{BUDGET}:{window}", "expr": f"1 - (1 - {RATIO}:{window}) / (1 - {target})"}


def _metric(name: str, selector: str, offset: str = "") -> str:
    return f"max by ({_BY}) ({PREFIX}workload_{name}{{{selector}}}{offset})"


def _increase(name: str, selector: str, seconds: float) -> str:
    """How much a total has grown in the window."""
    now = _metric(f"{name}_total", selector)
    before = _metric(f"{name}_total", selector, f" offset {duration(seconds)}")
    since = _metric("objective_since_timestamp_seconds", selector)
    return f"({now} - ({before} <= {now} or {now} * 0 and {since} > time() - {seconds:g}))"
