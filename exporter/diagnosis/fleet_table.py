"""The board: each workload as one row that a person reads, what holds of it now, the worst first.

What holds is asked of the same conditions that rules are made from, but without their wait: a condition may hold here
and not fire yet. What only Prometheus can tell, as that the exporter is down, is not on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.alerting.alerts import Alert
from exporter.alerting.evaluation import ActiveAlert, active_alerts
from exporter.alerting.expressions import AccountContext, EvaluationContext, WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.api import models
from exporter.api.pods import UNREAD_REASONS, terminated_reason, unschedulable, waiting_reason
from exporter.fleet import workload_state
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts

GROUPS = ("failed", "indeterminate", "starting", "leaving", "up", "off", "vanished")
"""The groups of statuses, and ``vanished``."""
PAGE = 100
"""Rows shown at once."""
_GONE = {
    "not_found": "deleted: the API no longer finds it",
    "forbidden": "no longer shared with the token's user",
    "": "no longer listed",
}


class Row(NamedTuple):
    """One workload. `since` in seconds since the epoch; `longer`: it was so already when it was first seen.

    `ready` and `unknown` count pods of the version that serves, `least` and `most` are how many there should and may
    be; None: not told. `urgency` is 0 for what wakes somebody; up to `TROUBLE` a person should look.
    """

    account: str
    id: str
    name: str
    status: str
    group: str
    importance: str
    since: float
    longer: bool
    ready: int | None
    unknown: int
    least: int | None
    most: int | None
    alerts: tuple[ActiveAlert, ...]
    reasons: tuple[str, ...]
    urgency: int


_OF_SEVERITY: Mapping[str, int] = {"critical": 0, "warning": 1, "info": 6}
_OF_GROUP = {"failed": 2, "indeterminate": 3, "starting": 4, "leaving": 5, "vanished": 5, "up": 7, "off": 8}
TROUBLE = 3


def row(state: WorkloadState, context: EvaluationContext, alerts: Iterable[Alert]) -> Row:
    """One workload as a row; `context` is the same workload, `alerts` are those about workloads."""
    workload, counted = state.workload, workload_state.serving(state)
    met = active_alerts(alerts, context)
    gone = state.vanished is not None
    group = "vanished" if gone else workload_state.status_group(state)
    reasons = tuple(_reasons(state, bool(met)))
    # One of which nothing is known any more may be down: a person should look.
    blind = group == "up" and state.details.fresh.get("pods") is False
    troubled = bool(state.held) or blind or (group == "up" and any(workload_state.pod_problems(state)))
    return Row(
        state.account,
        workload.id,
        workload.name or "",
        "vanished" if gone else models.folded(workload.status),
        group,
        models.folded(workload.importance),
        state.ledger.since if state.vanished is None else state.vanished,
        not gone and state.ledger.since <= state.ledger.first,
        counted.ready if counted is not None and not gone else None,
        counted.unknown if counted is not None else 0,
        workload_state.least_replicas(state),
        workload_state.most_replicas(state),
        met,
        reasons,
        min([_OF_GROUP[group], TROUBLE if troubled else 9, *(_OF_SEVERITY[each.severity] for each in met)]),
    )


def _reasons(state: WorkloadState, told_of: bool) -> Iterator[str]:
    """What a person should know beside the status, in words of a closed set."""
    if state.vanished is not None:
        yield _GONE[state.gone_because]
        return
    if workload_state.status_group(state) == "indeterminate":
        yield "its status is unknown"
    if state.held:
        yield f"not readable in the list: {workload_state.held(state)}"
    yield from _pod_reasons(state, told_of)
    replacement = state.workload.replacement
    if replacement is not None and replacement_active(state.workload):
        yield f"replacement: {models.folded(replacement.status)}"
    if workload_state.scaled_to_zero(state):
        yield "scaled to zero: no requests"
    yield from _unknown_pods(state)


def _pod_reasons(state: WorkloadState, told_of: bool) -> Iterator[str]:
    pods = state.details.pods
    listed = [replica for _, replica in pods.replicas()] if pods is not None else []
    containers = [container for replica in listed for container in replica.containers or ()]
    told = Counter(f"no node has enough {lack}" for replica in listed if (lack := unschedulable(replica)))
    told.update(f"waiting: {why}" for each in containers if (why := waiting_reason(each)))
    if told_of or workload_state.unsteady(state):
        told.update(f"last terminated: {why}" for each in containers if (why := terminated_reason(each)))
    if workload_state.status_group(state) == "up":
        told.update({why for why in workload_state.pod_problems(state) if why != "a container waits"})
    yield from (f"{why} (x{times})" if times > 1 else why for why, times in told.items())


def _unknown_pods(state: WorkloadState) -> Iterator[str]:
    counted = workload_state.serving(state)
    if counted is not None and counted.unknown and workload_state.status_group(state) == "up":
        yield f"readiness not known (x{counted.unknown})"
    yield from (f"pods not read: {one.text}" for one in workload_state.unread(state))
    if "pods" in state.details.refused:
        yield "this token is not allowed to read its pods"
    elif state.details.fresh.get("pods") is False and not workload_state.unread(state):
        failed = UNREAD_REASONS.get(state.details.failed.get("pods", ""), "")
        yield f"pods not reported recently: {failed}" if failed else "pods not reported recently"


def lasted(seconds: float) -> str:
    """A duration for a person: ``45 s``, ``12 min``, ``3 h 20 min``, ``4 d 2 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    big, small, units = (whole // 3600, whole % 3600 // 60, "h min") if whole < 86400 else (
        whole // 86400, whole % 86400 // 3600, "d h")  # fmt: skip
    first, second = units.split()
    return f"{big} {first} {small} {second}" if small else f"{big} {first}"


class FleetTable(NamedTuple):
    """All rows as of `at` (seconds since the epoch), the worst first; what holds of each account, by its name."""

    at: float
    rows: tuple[Row, ...]
    accounts: Mapping[str, tuple[ActiveAlert, ...]]


def fleet_table(
    fleets: Iterable[tuple[AccountFacts, Iterable[WorkloadState]]], options: Options, now: float
) -> FleetTable:
    """The board of several accounts, each with the workloads that are shown of it."""
    alerts = in_force(options)
    of_workloads = [alert for alert in alerts if alert.component == "workload"]
    of_accounts = [alert for alert in alerts if alert.component == "account"]
    rows: list[Row] = []
    accounts = {}
    for known, fleet in fleets:
        there = tuple(fleet)
        rows.extend(row(state, WorkloadContext(state, now, options.thresholds), of_workloads) for state in there)
        accounts[known.account.name] = active_alerts(of_accounts, AccountContext(known, there, now, options.thresholds))
    return FleetTable(now, tuple(sorted(rows, key=_worst)), accounts)


def _importance(row: Row) -> int:
    told = row.importance
    return models.IMPORTANCES.index(told) if told in models.IMPORTANCES else len(models.IMPORTANCES)


def _worst(row: Row) -> tuple[int, int, float, str, str]:
    return row.urgency, _importance(row), -row.since, row.name, row.id


def _readiness(row: Row) -> tuple[bool, float]:
    """The share of replicas that is ready, the least first; what is not told comes last."""
    if row.ready is None:
        return True, 0.0
    return False, row.ready / row.least if row.least else 1.0


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "state": lambda row: (GROUPS.index(row.group), row.status),
    "workload": lambda row: (row.name.casefold(), row.id),
    "since": lambda row: -row.since,
    "replicas": _readiness,
    "importance": _importance,
}
"""What rows may be sorted by, beside the worst first; among equals the worst stays first."""


class Choice(NamedTuple):
    """Which rows to show. `words` must all be found in a row; `state`: a group, ``trouble``, or empty for all.

    `sort`: a key of `SORTS`, with a minus before it for the other way round; else the worst first. `page` is from 1 on.
    """

    words: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1


class Chosen(NamedTuple):
    """The rows of one page; the first of them is number `first` of `total`, counted from 1.

    `counts`: state -> how many rows have it among those with the words; empty: all of them.
    """

    rows: tuple[Row, ...]
    first: int
    total: int
    page: int
    pages: int
    counts: Mapping[str, int]


def _has(row: Row, words: Iterable[str]) -> bool:
    told = (row.account, row.id, row.name, row.status, row.importance, *(each.alert for each in row.alerts))
    text = "\n".join((*told, *row.reasons)).casefold()
    return all(word in text for word in words)


def _states(row: Row) -> tuple[str, ...]:
    return ("", row.group, "trouble") if row.urgency <= TROUBLE else ("", row.group)


def choose(told: FleetTable, choice: Choice) -> Chosen:
    """The rows to show. A page beyond the last is the last."""
    words = choice.words.casefold().split()
    found = [row for row in told.rows if not words or _has(row, words)]
    counts = Counter(state for row in found for state in _states(row))
    rows = [row for row in found if choice.state in _states(row)]
    key = SORTS.get(choice.sort.removeprefix("-"))
    if key is not None:
        rows.sort(key=key, reverse=choice.sort.startswith("-"))
    pages = max(1, -(-len(rows) // PAGE))
    page = min(max(1, choice.page), pages)
    begin = (page - 1) * PAGE
    return Chosen(tuple(rows[begin : begin + PAGE]), begin + 1, len(rows), page, pages, counts)


def held(told: FleetTable) -> list[tuple[ActiveAlert, int]]:
    """What holds of workloads, and of how many: the loudest first, then what holds of most."""
    counts = Counter(each for row in told.rows for each in row.alerts)
    return sorted(counts.items(), key=lambda item: (_OF_SEVERITY[item[0].severity], -item[1], item[0].alert))
