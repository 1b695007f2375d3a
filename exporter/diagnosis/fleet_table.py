"""The fleet table: a row per workload with the alert conditions that are met now, worst first.

The conditions are those of the alert rules, without wait times: a condition may be met here before its alert fires. One
that has to be met for a minimum duration is pending until then.
Alerts that only Prometheus can evaluate, such as that the exporter is down, are not included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.alerting.alerts import BY_NAME, Alert
from exporter.alerting.evaluation import ActiveAlert, active_alerts
from exporter.alerting.expressions import AccountContext, EvaluationContext, WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.api import models
from exporter.api.pods import UNREAD_REASONS, terminated_reason, unschedulable, waiting_reason
from exporter.diagnosis.owner import owner
from exporter.fleet import workload_state
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts

GROUPS = ("failed", "indeterminate", "starting", "leaving", "up", "off", "vanished")
"""The groups of statuses, and ``vanished``."""
PAGE = 100
"""Maximum number of rows on one page."""
_GONE = {
    "not_found": "deleted: the API no longer finds it",
    "forbidden": "no longer shared with the token's user",
    "found": "no longer listed, but the API still finds it",
    "": "no longer listed",
}


class Row(NamedTuple):
    """One workload. `since` is in seconds since the epoch; `longer`: its status is older than that.

    `ready` and `unknown` count pods of the serving version, `least` and `most` are the minimum and maximum number of
    replicas; None: not reported. `urgency` is 0 for what pages someone; up to `NEEDS_ATTENTION`, someone should check.
    `owner`: values of its owner tags; empty: none. `tags`: all its tags, which are not shown. `pending`: conditions
    that are met, but not yet for their minimum duration.
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
    owner: str = ""
    tags: tuple[models.Tag, ...] = ()
    pending: tuple[ActiveAlert, ...] = ()


_SEVERITY_URGENCY: Mapping[str, int] = {"critical": 0, "warning": 1, "info": 6}
_GROUP_URGENCY = {"failed": 2, "indeterminate": 3, "starting": 4, "leaving": 5, "vanished": 5, "up": 7, "off": 8}
NEEDS_ATTENTION = 3
_PENDING_URGENCY = 1
"""At least, for a condition of a page: that it lasts is not known yet."""
ATTENTION = "trouble"
"""The state, in URLs of the status page, of rows that need attention."""


def row(
    state: WorkloadState, context: EvaluationContext, alerts: Iterable[Alert], owner_tags: Iterable[str] = ()
) -> Row:
    """The row of a workload. `context` is of the same workload, `alerts` are those about workloads."""
    workload, counted = state.workload, workload_state.serving(state)
    in_force = tuple(alerts)
    met = active_alerts(in_force, context)
    fired = {each.alert for each in met}
    waiting = [BY_NAME[each.name] for each in in_force if each.since is not None and each.name not in fired]
    pending = active_alerts(waiting, context)
    gone = state.vanished is not None
    group = "vanished" if gone else workload_state.status_group(state)
    reasons = tuple(_reasons(state, bool(met or pending)))
    # A workload without recent data may be down, so someone should check.
    up = not gone and workload_state.is_up(state)
    no_data = up and state.details.fresh.get("pods") is False
    has_problem = bool(state.held) or no_data or (up and any(workload_state.pod_problems(state)))
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
        workload_state.min_replicas(state),
        workload_state.max_replicas(state),
        met,
        reasons,
        min(
            [
                _GROUP_URGENCY[group],
                NEEDS_ATTENTION if has_problem else 9,
                *(_SEVERITY_URGENCY[each.severity] for each in met),
                *(max(_PENDING_URGENCY, _SEVERITY_URGENCY[each.severity]) for each in pending),
            ]
        ),
        owner(state, owner_tags),
        workload.tags or (),
        pending,
    )


def _reasons(state: WorkloadState, has_alerts: bool) -> Iterator[str]:
    """Reasons in addition to the status, from a fixed set of texts."""
    if state.vanished is not None:
        yield _GONE[state.gone_because]
        return
    if workload_state.status_group(state) == "indeterminate":
        yield "its status is unknown"
    if models.folded(state.workload.status) == "terminated":
        yield "final: it cannot be started again, only deleted or created again"
    if state.held:
        yield f"not readable in the list: {workload_state.held(state)}"
    yield from _pod_reasons(state, has_alerts)
    replacement = state.workload.replacement
    if replacement is not None and replacement_active(state.workload):
        yield f"replacement: {models.folded(replacement.status)}"
    if workload_state.scaled_to_zero(state):
        yield "scaled to zero: no requests"
    yield from _unknown_pods(state)


def _pod_reasons(state: WorkloadState, has_alerts: bool) -> Iterator[str]:
    pods = state.details.pods
    listed = [replica for _, replica in pods.replicas()] if pods is not None else []
    containers = [container for replica in listed for container in replica.containers or ()]
    reasons = Counter(f"no node has enough {lack}" for replica in listed if (lack := unschedulable(replica)))
    reasons.update(f"waiting: {reason}" for each in containers if (reason := waiting_reason(each)))
    if has_alerts or workload_state.unsteady(state):
        reasons.update(f"last terminated: {reason}" for each in containers if (reason := terminated_reason(each)))
    if workload_state.is_up(state):
        reasons.update({reason for reason in workload_state.pod_problems(state) if reason != "a container waits"})
    yield from (f"{reason} (x{times})" if times > 1 else reason for reason, times in reasons.items())


def _unknown_pods(state: WorkloadState) -> Iterator[str]:
    counted = workload_state.serving(state)
    if counted is not None and counted.unknown and workload_state.is_up(state):
        yield f"readiness not known (x{counted.unknown})"
    yield from (f"pods not read: {one.text}" for one in workload_state.unread(state))
    if "pods" in state.details.refused:
        yield "this token is not allowed to read its pods"
    elif state.details.fresh.get("pods") is False and not workload_state.unread(state):
        failed = UNREAD_REASONS.get(state.details.failed.get("pods", ""), "")
        yield f"pods not reported recently: {failed}" if failed else "pods not reported recently"


def lasted(seconds: float) -> str:
    """A readable duration: ``45 s``, ``12 min``, ``3 h 20 min``, ``4 d 2 h``."""
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
    """All rows at `at` (seconds since the epoch), worst first, and the alerts met for each account, by its name."""

    at: float
    rows: tuple[Row, ...]
    accounts: Mapping[str, tuple[ActiveAlert, ...]]


def fleet_table(
    fleets: Iterable[tuple[AccountFacts, Iterable[WorkloadState]]], options: Options, now: float
) -> FleetTable:
    """The table of several accounts, each with its workloads."""
    alerts = in_force(options)
    of_workloads = [alert for alert in alerts if alert.component == "workload"]
    of_accounts = [alert for alert in alerts if alert.component == "account"]
    rows: list[Row] = []
    accounts = {}
    for known, fleet in fleets:
        states = tuple(fleet)
        rows.extend(
            row(state, WorkloadContext(state, now, options.thresholds), of_workloads, options.owner_tags)
            for state in states
        )
        accounts[known.account.name] = active_alerts(
            of_accounts, AccountContext(known, states, now, options.thresholds)
        )
    return FleetTable(now, tuple(sorted(rows, key=_worst)), accounts)


def _importance(row: Row) -> int:
    known = row.importance in models.IMPORTANCES
    return models.IMPORTANCES.index(row.importance) if known else len(models.IMPORTANCES)


def _worst(row: Row) -> tuple[int, int, float, str, str]:
    return row.urgency, _importance(row), -row.since, row.name, row.id


def _readiness(row: Row) -> tuple[bool, float]:
    """Sort key by the share of ready replicas, lowest first, unknown last."""
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
"""Sort keys, in addition to worst first, which also orders equal rows."""


class Choice(NamedTuple):
    """Which rows to show. A row must contain all `words`.

    `state`: a group, `ATTENTION`, or empty for all. `sort`: a key of `SORTS`, with a minus for descending order;
    otherwise worst first. `page` begins at 1. `tags`: a row must have all of these tags, each ``name=value``, or
    ``name`` for any value. Case does not matter.
    """

    words: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1
    tags: tuple[str, ...] = ()


class Chosen(NamedTuple):
    """The rows of one page, beginning with number `first` of `total`, counted from 1.

    `counts`: state -> number of rows with that state, the words and the tags; the empty state is all of them.
    """

    rows: tuple[Row, ...]
    first: int
    total: int
    page: int
    pages: int
    counts: Mapping[str, int]


def _has(row: Row, words: Iterable[str]) -> bool:
    fields = (
        row.account,
        row.id,
        row.name,
        row.status,
        row.importance,
        row.owner,
        *(each.alert for each in (*row.alerts, *row.pending)),
    )
    text = "\n".join((*fields, *row.reasons)).casefold()
    return all(word in text for word in words)


def _has_tag(row: Row, wanted: str) -> bool:
    name, given, value = wanted.partition("=")
    return any(
        models.folded(tag.name) == models.folded(name)
        and (not given or (tag.value or "").strip().casefold() == value.strip().casefold())
        for tag in row.tags
    )


def _states(row: Row) -> tuple[str, ...]:
    return ("", row.group, ATTENTION) if row.urgency <= NEEDS_ATTENTION else ("", row.group)


def _found(table: FleetTable, choice: Choice) -> list[Row]:
    """The rows with all words and tags, worst first."""
    words = choice.words.casefold().split()
    found = [row for row in table.rows if not words or _has(row, words)]
    return [row for row in found if all(_has_tag(row, tag) for tag in choice.tags)] if choice.tags else found


def _in_state(rows: Iterable[Row], choice: Choice) -> list[Row]:
    """The rows with the chosen state, in the chosen order."""
    found = [row for row in rows if choice.state in _states(row)]
    key = SORTS.get(choice.sort.removeprefix("-"))
    if key is not None:
        found.sort(key=key, reverse=choice.sort.startswith("-"))
    return found


def matching(table: FleetTable, choice: Choice) -> list[Row]:
    """All rows that a choice selects, in its order, whatever its page."""
    return _in_state(_found(table, choice), choice)


def choose(table: FleetTable, choice: Choice) -> Chosen:
    """The rows to show. A page after the last one is the last one."""
    found = _found(table, choice)
    counts = Counter(state for row in found for state in _states(row))
    rows = _in_state(found, choice)
    pages = max(1, -(-len(rows) // PAGE))
    page = min(max(1, choice.page), pages)
    begin = (page - 1) * PAGE
    return Chosen(tuple(rows[begin : begin + PAGE]), begin + 1, len(rows), page, pages, counts)


def alert_counts(table: FleetTable) -> list[tuple[ActiveAlert, int]]:
    """The alerts met, each with its number of workloads: by severity, then by number."""
    counts = Counter(each for row in table.rows for each in row.alerts)
    return sorted(counts.items(), key=lambda item: (_SEVERITY_URGENCY[item[0].severity], -item[1], item[0].alert))
