"""Families of the objectives of workloads, and the totals on which they rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from exporter.fleet import workload_state
from exporter.fleet.objective_counts import Compliance, ObjectiveCounts, compliances
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import WINDOWS
from exporter.metrics.family import Family, Samples, View, one, row

READINESS_WINDOWS = ("1d", "3d")
"""Windows of the burn rate of readiness, for which the API reports nothing."""


def _compliances(view: View) -> Iterator[Compliance]:
    return compliances(view.state.objective, view.state.ledger.objectives)


def _each(value: Callable[[Compliance], float | None]) -> Callable[[View], Samples]:
    def samples(view: View) -> Samples:
        found = ((each.kind, value(each)) for each in _compliances(view))
        return tuple(((kind,), number) for kind, number in found if number is not None)

    return samples


def _targets(view: View) -> Samples:
    objective = view.state.objective
    return tuple(((kind,), target) for kind, target in objective.targets) if objective is not None else ()


def _burn_rates(view: View) -> Samples:
    counts, windows = view.state.ledger.objectives, workload_state.windows(view.state)
    found: list[tuple[tuple[str, ...], float]] = []
    for each in _compliances(view):
        for name, seconds in WINDOWS.items():
            if each.kind != "readiness":
                window = windows.get(name)
                share_of = workload_state.error_share if each.kind == "availability" else workload_state.slow_share
                share = share_of(window)
            elif name in READINESS_WINDOWS and counts is not None and counts.at - counts.since >= seconds:
                share = counts.increase(seconds).share("readiness")
            else:
                share = None
            if share is not None:
                found.append(((each.kind, name), each.burn_rate(share)))
    return tuple(found)


def _counted(
    value: Callable[[ObjectiveCounts], float], applies: Callable[[Objective, ObjectiveCounts], bool]
) -> Callable[[View], Samples]:
    """A total, of workloads with an objective for which it counts."""

    def samples(view: View) -> Samples:
        objective, counts = view.state.objective, view.state.ledger.objectives
        shown = objective is not None and counts is not None and applies(objective, counts)
        return one(float(value(counts)) if shown and counts is not None else None)

    return samples


def _requests(objective: Objective, counts: ObjectiveCounts) -> bool:
    return objective.counts_requests and counts.until > 0


def _readiness(objective: Objective, counts: ObjectiveCounts) -> bool:
    return objective.readiness is not None and counts.read > 0


_NONE = "the settings have no objective for the workload"
_UNCOUNTED = f"{_NONE}, or nothing was counted yet"

OBJECTIVES: tuple[Family, ...] = (
    row("workload_objective_target_ratio", "Target of an objective in the settings: the share of requests without a "
        "server error (`availability`), of the time with a ready replica (`readiness`), or of requests that are fast "
        "enough (`latency`).",
        _targets, labels=("objective",), source="settings", absence=_NONE,
        reads=("objective",), profile="minimal"),
    row("workload_objective_window_seconds", "Window of the objectives of a workload, in seconds.",
        lambda view: one(None if view.state.objective is None else view.state.objective.window),
        source="settings", absence=_NONE, reads=("objective",), profile="minimal"),
    row("workload_objective_ratio", "Share of what is good in the window of an objective, or since counting began if "
        "that is later.",
        _each(lambda each: each.ratio), labels=("objective",), source="the totals of the exporter",
        absence=f"{_NONE}, or there were no requests, or no time in which it should serve", profile="minimal",
        reads=("ledger", "objective")),
    row("workload_objective_budget_remaining_ratio", "Remaining part of the error budget of an objective in its "
        "window, as a ratio; negative if more was used than the target allows.",
        _each(lambda each: each.budget), labels=("objective",), source="the totals of the exporter",
        absence=f"{_NONE}, or there were no requests, or no time in which it should serve", profile="minimal",
        reads=("ledger", "objective")),
    row("workload_objective_burn_rate", "Share of what is bad in a sliding window, divided by the share that the "
        "target allows. At 1, the error budget lasts exactly for the window of the objective.",
        _burn_rates, labels=("objective", "window"), source="stats; pods", unit="times",
        absence=f"{_NONE}, the window is not polled, or has no requests; for `readiness`, counting began later",
        reads=("windows", "ledger", "objective")),
    row("workload_objective_since_timestamp_seconds", "Time at which counting for the objectives of a workload began, "
        "in seconds since the epoch. The requests of up to three days before it are counted, too.",
        _counted(lambda counts: counts.since, lambda *_: True), source="observed", absence=_UNCOUNTED,
        reads=("ledger", "objective"), profile="minimal"),
    row("workload_requests_total", "Requests to a workload with an objective of availability or latency. They are "
        "counted once they are 90 seconds old, at intervals of about ten minutes.",
        _counted(lambda counts: counts.totals.requests, _requests), source="stats totalRequests",
        absence=_UNCOUNTED, reads=("ledger", "objective"), profile="minimal"),
    row("workload_server_errors_total", "Responses with status 500 and above of a workload with an objective of "
        "availability or latency.",
        _counted(lambda counts: counts.totals.errors, _requests), source="stats serverErrors",
        absence=_UNCOUNTED, reads=("ledger", "objective"), profile="minimal"),
    row("workload_slow_requests_total", "Requests slower than the objective of latency allows. After a change of the "
        "settings, those of before are counted as they were.",
        _counted(lambda counts: counts.totals.slow, lambda o, counts: o.latency is not None and _requests(o, counts)),
        source="stats slowRequests", absence=_UNCOUNTED, reads=("ledger", "objective"), profile="minimal"),
    row("workload_ready_seconds_total", "Time in which a workload with an objective of readiness had a ready replica, "
        "in seconds. Each report of its pods counts until the next one, for at most 15 minutes.",
        _counted(lambda counts: counts.totals.ready, _readiness), source="statusDetails", absence=_UNCOUNTED,
        unit="seconds", reads=("ledger", "objective"), profile="minimal"),
    row("workload_down_seconds_total", "Time in which a workload with an objective of readiness should have served "
        "and had no ready replica, in seconds.",
        _counted(lambda counts: counts.totals.down, _readiness), source="statusDetails", absence=_UNCOUNTED,
        unit="seconds", reads=("ledger", "objective"), profile="minimal"),
)  # fmt: skip
