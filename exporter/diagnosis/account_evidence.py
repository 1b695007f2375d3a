"""The evidence of a page about an account: how many workloads fail and why, what is at its limit, why sweeps fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle

from exporter.alerting.alerts import BY_NAME
from exporter.alerting.expressions import Arithmetic, AtLeast, Both, Comparison, Condition, Count, Term, WorkloadContext
from exporter.alerting.rules import Options
from exporter.alerting.subjects import SWEEP_ALERTS, AccountFleet
from exporter.api import models
from exporter.api.pods import UNREAD_REASONS
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.fleet_causes import FLEET_CAUSES, Failing, FailingGroup, common, failing, traits
from exporter.diagnosis.fleet_table import lasted
from exporter.diagnosis.owner import printable
from exporter.diagnosis.phrases import MAX_EVIDENCE_CHARACTERS, clock, cut, percent
from exporter.fleet import workload_state
from exporter.fleet.workload_state import WorkloadState

MAX_EXAMINED = 200
"""Failing workloads that are diagnosed for one page, the most important ones."""
MAX_NAMES, MAX_NAME_CHARACTERS = 10, 40
SAME_TIME_SECONDS = 600.0
"""Failures that begin within this time began together."""
Lines = Iterator[tuple[str, str]]


def account_evidence(alert: str, fleet: AccountFleet, options: Options, now: float) -> tuple[tuple[str, str], ...]:
    """Pairs of a title and a text of at most 300 characters, most relevant first; empty: nothing is known."""
    condition = BY_NAME[alert].condition
    counted = next(_counted(condition), None)
    if alert == "DataRobotAccountDetailsUnreadable" and counted is not None:
        lines = _unread_lines(counted, fleet, options, now)
    elif counted is not None:
        lines = _failing_lines(counted, fleet, options, now)
    elif alert in SWEEP_ALERTS:
        lines = _sweep_lines(fleet, now)
    elif alert in ("DataRobotAccountWorkloadLimitNear", "DataRobotAccountFullSoon"):
        lines = _limit_lines(fleet)
    else:
        return ()
    return tuple((title, cut(text, MAX_EVIDENCE_CHARACTERS)) for title, text in lines if text)


def _counted(part: Condition | Term) -> Iterator[Condition]:
    """The conditions that an alert counts workloads by."""
    if isinstance(part, Count):
        yield part.condition
    elif isinstance(part, Both | Comparison | Arithmetic | AtLeast):
        yield from _counted(part.left)
        yield from _counted(part.right)


# -- many workloads fail


def _failing_lines(condition: Condition, fleet: AccountFleet, options: Options, now: float) -> Lines:
    found, others = _split(condition, fleet, options, now)
    wanted = [each for each in others if _should_run(each)]
    if not found:
        yield "Failing", f"none at {clock(now, now)}"
        return
    examined = [failing(diagnosis(state, now, options), state) for state in found[:MAX_EXAMINED]]
    group = FailingGroup(examined, common(examined, [traits(each) for each in others]))
    cause = next(row for row in FLEET_CAUSES if row.is_met(group))
    total = len(found) + len(wanted)
    share = percent(len(found) / total)
    yield "Failing", f"{len(found)} of {total} workloads ({share}): {_kinds(found, examined, now)}"
    shared = group.problem.text
    yield "Likely cause", f"{cause.text} {shared}" if cause.name == "one_problem" else cause.text
    yield "Next step", cause.next_step
    yield "Workloads", _names(found, examined)
    yield "In common", "; ".join(f"{name} {value}" for name, value in group.common.items() if name != "change")
    if cause.name != "evicted":
        yield "Problems", _problems(examined)
    if options.owner_tags:
        owners = Counter(each.owner or "unknown" for each in examined)
        yield "Owner", ", ".join(f"{name} ({number})" for name, number in owners.most_common(6))
    yield "Not counted", _unknown(others)


def _split(
    condition: Condition, fleet: AccountFleet, options: Options, now: float
) -> tuple[list[WorkloadState], list[WorkloadState]]:
    """The workloads for which a condition is met, the most important first, and the others."""
    found: list[WorkloadState] = []
    others: list[WorkloadState] = []
    for state in fleet.workloads:
        met = condition.is_met(WorkloadContext(state, now, options.thresholds))
        (found if met else others).append(state)
    found.sort(key=lambda state: (_rank(state), state.workload.name or "", state.workload.id))
    return found, others


def _should_run(state: WorkloadState) -> bool:
    return workload_state.status_group(state) != "off" and models.folded(state.workload.status) != "terminated"


def _indeterminate(state: WorkloadState) -> bool:
    return workload_state.status_group(state) == "indeterminate"


def _rank(state: WorkloadState) -> int:
    importance = models.folded(state.workload.importance)
    return models.IMPORTANCES.index(importance) if importance in models.IMPORTANCES else len(models.IMPORTANCES)


def _kinds(found: Sequence[WorkloadState], examined: Sequence[Failing], now: float) -> str:
    """The statuses, each with its number and the time since which."""
    numbers = Counter(each.kind for each in examined)
    parts = [
        f"{number} {kind}{_since([each.since for each in examined if each.kind == kind], now)}"
        for kind, number in numbers.most_common()
    ]
    more = len(found) - len(examined)
    return ", ".join(parts) + (f", and {more} more" if more else "")


def _since(times: Sequence[float | None], now: float) -> str:
    known = [at for at in times if at is not None and at <= now]
    if not known or len(known) < len(times):
        return ""
    first, last = min(known), max(known)
    if last - first < SAME_TIME_SECONDS:
        return f" since {clock(first, now)} ({lasted(now - first)})"
    return f", the first since {clock(first, now)}, the last since {clock(last, now)}"


def _names(found: Sequence[WorkloadState], examined: Sequence[Failing]) -> str:
    """The names of the most important ones, each with its status if they differ."""
    same = len({each.kind for each in examined}) == 1
    return _name_list([each.name for each in examined], len(found), [""] if same else [each.kind for each in examined])


def _name_list(all_names: Sequence[str], number: int, notes: Sequence[str] = ("",)) -> str:
    """The first names of so many workloads, each with its note."""
    names = [
        cut(name, MAX_NAME_CHARACTERS) + (f" ({note})" if note else "")
        for name, note in zip(all_names[:MAX_NAMES], cycle(notes), strict=False)
    ]
    while len("; ".join(names)) > MAX_EVIDENCE_CHARACTERS - 20:
        names.pop()
    more = number - len(names)
    return ", ".join(names) + (f"; and {more} more" if more else "")


def _problems(examined: Sequence[Failing]) -> str:
    """The most frequent problem, and the number of workloads with others."""
    (text, number), *rest = Counter(each.text for each in examined).most_common()
    others = sum(each for _, each in rest)
    different = f" {others} with {len(rest)} other problem{'s' if len(rest) > 1 else ''}." if rest else ""
    return f"{number} of {len(examined)}: {text}{different}"


def _unknown(others: Sequence[WorkloadState]) -> str:
    """Workloads that may fail too, but about which too little is known."""
    number = sum(_indeterminate(each) or bool(workload_state.unreadable(each)) for each in others)
    return f"{number} more whose status or pods are unknown" if number else ""


# -- many workloads cannot be read

_CALL = "Call the endpoints of the most important ones: the list still shows their status, but not whether they serve. "
_UNREADABLE: dict[str, tuple[str, str]] = {
    "forbidden": ("The API denies this token the pods and events of these workloads (403): the role of its user was "
                  "reduced, or the routes were disabled for the account.",
                  "Give the token's user the role `user` on them again."),
    "server_error": ("The API responds with server errors (5xx) to requests about single workloads.",
                     _CALL + "Then inform the platform administrators."),
    "decode": ("The API's responses about single workloads cannot be read: a proxy may answer instead of it.",
               _CALL + "Then run `workload-exporter check --online`, and report its responses."),
    "too_large": ("The API's responses about single workloads are too large.",
                  _CALL + "Then report it to the platform administrators."),
}  # fmt: skip


def _unread_lines(condition: Condition, fleet: AccountFleet, options: Options, now: float) -> Lines:
    found, others = _split(condition, fleet, options, now)
    if not found:
        yield "Unreadable", f"none at {clock(now, now)}"
        return
    reasons = Counter(each.details.failed.get("pods", "forbidden") for each in found)
    (most, _), *_ = reasons.most_common(1)
    cause, step = _UNREADABLE[most]
    total = len(found) + sum(map(_should_run, others))
    each = "; ".join(f"{number} of them: {UNREAD_REASONS[reason]}" for reason, number in reasons.most_common())
    yield "Unreadable", f"the pods and events of {len(found)} of {total} workloads"
    yield "Likely cause", cause
    yield "Next step", step
    names = [printable(each.workload.name or each.workload.id) for each in found]
    yield "Workloads", _name_list(names, len(found))
    yield "Reasons", each if len(reasons) > 1 else ""
    yield "Effect", "their replicas, crashes and requests are not monitored; their status still is"


# -- limits


_LIMIT_STEP = (
    "Stop or delete workloads that are not needed, or ask for a higher limit: beyond it, creating and starting "
    "workloads is refused with 403."
)


def _limit_lines(fleet: AccountFleet) -> Lines:
    use, limit = fleet.known.use, fleet.known.account.workloads_limit
    yield "Next step", _LIMIT_STEP
    if use is not None and limit:
        share = percent(use.active / limit)
        yield "Limits", f"at least {use.active} of {limit} active workloads ({share}); those not shared are not counted"


# -- sweeps

_RENEW = (
    "Create an API token for the same user in DataRobot and replace the old one in the file or variable that the "
    "settings name. A changed file is read without a restart."
)
_NETWORK = "Run `workload-exporter check --online` where the exporter runs, and check the network, proxy and endpoint."
_WAIT = "Check DataRobot's status page, or ask the platform administrators. Sweeps continue once the API responds."
_REPORT = "Run `workload-exporter check --online`: it shows the responses. Report them to the platform administrators."
_FAILURES: dict[str, tuple[str, str]] = {
    "auth": ("The API rejects the token (401): it was revoked or has expired.", _RENEW),
    "forbidden": ("The API denies this token the workload list (403): its user lacks a permission, or the Workload API "
                  "is not enabled for the account.",
                  "Check with the administrators of the account what changed for the token's user."),
    "throttled": ("The API throttles the exporter (429).",
                  "Lower `requests_per_second` of the account, and check what else uses the same token."),
    "timeout": ("The API does not respond within the timeout.", _WAIT),
    "server_error": ("The API responds with server errors (5xx).", _WAIT),
    "dns": ("The host name of the API cannot be resolved.", _NETWORK),
    "connect": ("No connection to the API: refused, closed, or blocked on the way.", _NETWORK),
    "tls": ("The TLS handshake fails: a certificate has expired, or a proxy replaces it.", _NETWORK),
    "redirect": ("The API redirects to another address, which is not followed.",
                 "Correct `endpoint` of the account."),
    "not_found": ("The API has no workload list at this address (404).", "Correct `endpoint` of the account."),
    "absent": ("The API has no workload list at this address.", "Correct `endpoint` of the account."),
    "decode": ("The API's responses cannot be read: a proxy may answer instead of it.", _REPORT),
    "incomplete": ("The workload list changes or ends while it is read, so that no read is complete.", _REPORT),
    "internal": ("An error of the exporter itself.", "See the exporter's log, and report the error."),
    "": ("Sweeps do not end, or take too long.",
         "Check the exporter's log and CPU, and raise `sweep.interval` if the account is large."),
}  # fmt: skip


def _sweep_lines(fleet: AccountFleet, now: float) -> Lines:
    sweep = fleet.sweep
    text, step = _FAILURES.get(sweep.failure, ("The API refuses the requests of the exporter.", _REPORT))
    yield "Likely cause", text
    yield "Next step", step
    began = now - sweep.age
    yield "Data", f"the last complete sweep was at {clock(began, now)}, {lasted(sweep.age)} ago"
    number = len(tuple(fleet.workloads))
    if number:
        effect = "alerts about them that fire keep firing, and no new ones fire"
        yield "Effect", f"{number} workloads are not monitored meanwhile: {effect}"
