"""What is wrong with one workload, why, and what to do next, for somebody who was woken: facts, a cause, links.

The likely cause is the first row of `exporter.diagnosis.causes.CAUSES` that holds of the facts;
`exporter.diagnosis.wording` puts it all into words. What is not told is told as such: never as zero, and never with a
time that nobody gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import active_alerts
from exporter.alerting.expressions import Metric, Threshold, WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.api import models
from exporter.api.details import Event, event_kind
from exporter.api.pods import (
    TERMINATED_REASONS,
    UNREAD_REASONS,
    WAITING_REASONS,
    Container,
    Replica,
    StatusDetails,
    container_name,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from exporter.diagnosis.causes import (
    ABOUT,
    CAUSES,
    NO_REASON,
    PARTS,
    PULLS,
    RECENT,
    Cause,
    Change,
    Diagnosis,
    Facts,
    Lack,
    Replicas,
    Requests,
    State,
    Trouble,
)
from exporter.fleet import episodes, workload_state
from exporter.fleet.episodes import ObservedEvent
from exporter.fleet.replacements import replacement_active
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import scrubbed

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
"""A name of a pod (RFC 1123): scrubbing would take its random end for a secret."""
LATELY = 3600.0
"""A container that ended so long ago, and is ready again, is still told of."""


def diagnosis(state: WorkloadState, now: float, options: Options, events: tuple[Event, ...] = ()) -> Diagnosis:
    """What is wrong with a workload. `events`: those of the API, where they are at hand; in whatever order."""
    told = _facts(state, now, options, events)
    cause = next(row for row in CAUSES if row.is_met(told))
    return Diagnosis(told, cause, tuple(_links(told, cause, options)))


_OF_WORKLOADS = tuple(alert for alert in ALERTS if alert.component == "workload")


def _facts(state: WorkloadState, now: float, options: Options, events: tuple[Event, ...]) -> Facts:
    context = WorkloadContext(state, now, options.thresholds)
    met, workload = active_alerts(_OF_WORKLOADS, context), state.workload
    wanted = {alert.name for alert in in_force(options)}
    gone, shown, version = state.vanished is not None, _state(state, now), _version(state)
    reverted, lost = ((), ()) if replacement_active(workload) else _reverted(state, now, events)
    snapshots = (*_snapshots(state), *reverted)
    return Facts(
        at=now,
        account=state.account,
        id=_printable(workload.id),
        name=_printable(workload.name or workload.id),
        importance=_enum(workload.importance),
        state=shown,
        replicas=_replicas(state),
        containers=() if gone else _containers(state, now, snapshots, lost),
        lacks=() if gone else _lacks(snapshots, lost),
        event=_last_event(state, events),
        changes=_changes(state, now, events, version),
        requests=None if gone else _requests(state, context),
        limits=() if gone else tuple(_limits(state, context, {each.alert for each in met})),
        draft_ends=None if gone else workload_state.draft_expiry(state),
        untold={} if gone else dict(_untold(state)),
        alerts=tuple(each for each in met if each.alert in wanted),
        met=frozenset(each.alert for each in met),
        gone=(state.gone_because or "unknown") if gone else "",
        draft_over=not gone and _draft_over(state, version, now if shown.longer else shown.since or now),
        rolling=replacement_active(workload),
        snapshot=not gone and _snapshot(state),
        unread=()
        if gone
        else tuple(one._replace(proton=_printable(one.proton)) for one in workload_state.unread(state)),
        unreadable="" if gone else workload_state.unreadable(state),
    )


def _version(state: WorkloadState) -> float | None:
    """When the newest version was created; None where it may be one that is not listed."""
    pods = state.details.pods
    there = pods.protons if pods is not None and pods.complete else ()
    created = [models.timestamp(proton.created_at) for proton in there]
    return max((at for at in created if at is not None), default=None)


def _draft_over(state: WorkloadState, version: float | None, ended: float) -> bool:
    """Whether a draft is stopped, and had its time: as seen, or because it is old enough."""
    artifact = state.workload.artifact
    if (
        models.folded(state.workload.status) != "stopped"
        or artifact is None
        or models.folded(artifact.status) != "draft"
    ):
        return False
    began = version if version is not None else models.timestamp(state.workload.created_at)
    old = began is not None and ended - began >= models.DRAFT_LIFETIME_SECONDS - 60
    return old or "draft_expired" in state.ledger.transitions


def _enum(text: str | None) -> str:
    return models.folded(scrubbed(text or ""))  # in this order: what is folded looks less like a secret


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:256]


def _state(state: WorkloadState, now: float) -> State:
    """Since when: as seen, else since when its version runs; at first sight nobody knows."""
    ledger, group = state.ledger, workload_state.status_group(state)
    if state.vanished is not None:
        return State("vanished", "vanished", state.vanished)
    status, failures = _enum(state.workload.status), ledger.transitions.get("errored", 0)
    if ledger.since > ledger.first:
        return State(status, group, ledger.since, failures=failures)
    proton = workload_state.active(state) if group == "up" else None
    running = models.timestamp(proton.running_since) if proton is not None else None
    if running is not None and running <= now:
        return State(status, group, running, failures=failures)
    return State(status, group, ledger.since if now - ledger.since >= 60 else None, longer=True, failures=failures)


def _replicas(state: WorkloadState) -> Replicas:
    counted = workload_state.serving(state) if state.vanished is None else None
    return Replicas(
        counted.ready if counted is not None else None,
        counted.unknown if counted is not None else 0,
        counted.live if counted is not None else None,
        workload_state.least_replicas(state),
        workload_state.most_replicas(state),
        counted is not None and bool(workload_state.scaled_to_zero(state)),
    )


Snapshot = tuple[str, str, StatusDetails]
"""The role and the id of a version, and its pods."""


def _snapshots(state: WorkloadState) -> Iterator[Snapshot]:
    """The pods of the versions that serve or are to serve; of all, if none is known to serve.

    A version that leaves is not ready as a matter of course.
    """
    pods = state.details.pods
    if pods is None:
        return
    roles = {proton.id: workload_state.role(state, proton) for proton in pods.protons}
    shown = ("active", "candidate") if "active" in roles.values() else tuple(roles.values())
    for proton in pods.protons:
        snapshot = pods.details.get(proton.id)
        if snapshot is not None and roles[proton.id] in shown:
            yield roles[proton.id], proton.id, snapshot


def _snapshot(state: WorkloadState) -> bool:
    """Whether pods were told of the version that serves; of any, where none is known to serve."""
    serves, pods = workload_state.active(state), state.details.pods
    if pods is None or workload_state.unreadable(state):
        return False
    return any(_snapshots(state)) if serves is None else pods.details.get(serves.id) is not None


_NO_NODE = "Unschedulable"
"""What is wrong with a pod that no node took, as episodes remember it."""
_RANK = {"active": 0, "candidate": 1, "reverted": 9}


def _reverted(
    state: WorkloadState, now: float, events: Iterable[Event]
) -> tuple[tuple[Snapshot, ...], tuple[episodes.PodFacts, ...]]:
    """The pods of a version that was taken back lately: as an event tells them, else as we saw them ourselves."""
    failed, at, pods = _failed(events, now), state.ledger.rollout_failed, state.details.pods
    if failed is not None:
        told = failed.details.proton_statuses if failed.details is not None else None
        return tuple(("reverted", proton, snapshot) for proton, snapshot in (told or {}).items()), ()
    if at is None or now - at >= RECENT or pods is None or not pods.complete:
        return (), ()
    listed = {proton.id for proton in pods.protons}
    there = {**state.ledger.tracker.lost, **state.ledger.tracker.pods}.values()
    return (), tuple(pod for pod in there if pod.problem and not pod.ready and pod.proton not in listed)


def _containers(
    state: WorkloadState, now: float, snapshots: Iterable[Snapshot], lost: Iterable[episodes.PodFacts]
) -> tuple[Trouble, ...]:
    """The containers in trouble, those of the version that serves first."""
    told = [
        _trouble(role, proton, replica, container)
        for role, proton, snapshot in snapshots
        for replica in snapshot.replicas or ()
        for container in replica.containers or ()
    ]
    told += [_remembered(pod) for pod in lost if pod.problem != _NO_NODE]
    over = workload_state.status_group(state) == "off" or models.folded(state.workload.status) == "terminated"
    found: dict[tuple[object, ...], Trouble] = {}
    for each in told:
        one = each if each.waits or each.at is None or now - each.at < LATELY else each._replace(ended="", code=None)
        fine = not one.waits and one.ready is not False and not one.ended
        if fine or (over and one.ended in ("", "Completed")):
            continue
        key = (one.container, one.role, one.waits, one.ready, one.ended, one.code, one.lost)
        other = found.get(key)
        found[key] = one if other is None else other._replace(
            at=max((at for at in (one.at, other.at) if at is not None), default=None),
            restarts=max(one.restarts, other.restarts),
            pods=other.pods + 1,
            message=other.message or one.message,
            since=min((at for at in (one.since, other.since) if at is not None), default=None),
        )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda one: (_RANK.get(one.role, 2), one.ready is True, one.container)))


def _remembered(pod: episodes.PodFacts) -> Trouble:
    run = max(pod.runs, key=lambda each: each.finished, default=None)
    return Trouble(
        container=scrubbed(pod.container),
        role="reverted",
        waits=pod.problem if pod.problem in WAITING_REASONS else "",
        ready=False,
        ended=(_closed(run.reason) if run is not None else "") or _closed(pod.problem),
        code=run.exit_code if run is not None else None,
        at=run.finished if run is not None else None,
        restarts=pod.restarts,
        pods=1,
        message=scrubbed(pod.message),
    )


def _closed(reason: str) -> str:
    return reason if reason in TERMINATED_REASONS else ""


def _trouble(role: str, proton: str, replica: Replica, container: Container) -> Trouble:
    last, began, since = container.last_state, models.timestamp(container.started_at), _unready_since(replica)
    waits = waiting_reason(container) or (NO_REASON if models.folded(container.status) == "waiting" else "")
    if role == "reverted" and container.reason in WAITING_REASONS:
        waits = container.reason or ""  # an event tells the reason without the status
    return Trouble(
        container=scrubbed(container_name(container.name, proton)),
        role=role,
        waits=waits,
        ready=container.ready,
        ended=terminated_reason(container) or "",
        code=container.exit_code if last is None else last.exit_code,
        at=models.timestamp(last.finished_at) if last is not None else None,
        restarts=max(0, container.restart_count or 0),
        pods=1,
        message=scrubbed(container.message or (last.message if last is not None else "") or ""),
        since=since,
        # A pod turns to not ready when it comes and when its container ends: later, only what was ready can.
        lost=not waits and container.ready is False and since is not None and since - (began or since) > SLACK,
        image=scrubbed(container.image or "") if waits in PULLS else "",
        pod=(replica.name or "") if _NAME.fullmatch(replica.name or "") else "",
    )


def _unready_since(replica: Replica) -> float | None:
    ready = next((each for each in replica.conditions or () if each.kind == "Ready"), None)
    if ready is None or ready.truth is not False:
        return None
    return models.timestamp(ready.last_transition_time or ready.since)


def _lacks(snapshots: Iterable[Snapshot], lost: Iterable[episodes.PodFacts]) -> tuple[Lack, ...]:
    found: dict[tuple[str, str], Lack] = {}
    told = [
        (role, what, next((c.message for c in replica.conditions or () if c.kind == "PodScheduled"), None))
        for role, _, snapshot in snapshots
        for replica in snapshot.replicas or ()
        if (what := unschedulable(replica)) is not None
    ]
    told += [("reverted", "other", None) for pod in lost if pod.problem == _NO_NODE]
    for role, what, words in told:
        other = found.get((role, what), Lack(role, what, 0, scrubbed(words or "")))
        found[role, what] = other._replace(pods=other.pods + 1)
    return tuple(sorted(found.values(), key=lambda one: (_RANK.get(one.role, 2), one.what)))


def _at(event: Event) -> float:
    return models.timestamp(event.timestamp) or 0.0


def _failed(events: Iterable[Event], now: float) -> Event | None:
    """The event of a replacement that failed lately, unless another went well since."""
    ends = [event for event in events if event_kind(event).startswith("replacement_")]
    last = max(ends, key=_at, default=None)
    recent = last is not None and event_kind(last) == "replacement_errored" and now - _at(last) < RECENT
    return last if recent else None


def _last_event(state: WorkloadState, events: Iterable[Event]) -> ObservedEvent | None:
    told = [ObservedEvent(each.reported_type, models.timestamp(each.timestamp), each.text) for each in events]
    last = max(told, key=lambda each: each.at or 0.0, default=state.ledger.tracker.last)
    return None if last is None else ObservedEvent(scrubbed(last.type), last.at, scrubbed(last.message))


# -- what changed

_OF_EVENTS = {"replacement_completed": "replaced", "replacement_errored": "reverted"} | {
    name: name for name in ("promoted", "started", "stopped", "scaled")
}
_OF_EPISODES = {"replacement": "replaced", "failure": "failure", "start": "start", "stop": "stop"}
BRIEF, SLACK = 60.0, 60.0
"""A failure so short is none that needs to be told; clocks differ by so much."""
_SAME = 300.0
"""Two tellings of one change are at most so far apart."""


def _changes(state: WorkloadState, now: float, events: Iterable[Event], version: float | None) -> tuple[Change, ...]:
    """What changed, the latest first; one that goes on before all."""
    ledger = state.ledger
    newest = dict(ledger.newest)
    for event in events:
        newest[event_kind(event)] = max(newest.get(event_kind(event), 0.0), _at(event))
    going_on = tuple(_going_on(state))
    found = [*going_on, *(Change(_OF_EVENTS[kind], at) for kind, at in newest.items() if kind in _OF_EVENTS and at)]
    # What we saw ourselves is added where no event tells the same.
    own = [("reverted", ledger.rollout_failed), ("reset", ledger.reset_at), *_ended(state), ("version", version)]
    for kind, at in own:
        if at is not None and at <= now + SLACK and not any(_same(kind, at, each) for each in found):
            found.append(Change(kind, at))
    return (*going_on, *sorted(found[len(going_on) :], key=lambda each: -(each.at or 0.0)))


def _going_on(state: WorkloadState) -> Iterator[Change]:
    """The replacement under way."""
    workload, rollout = state.workload, state.ledger.rollout
    record = state.details.replacement or workload.replacement
    if record is None or not replacement_active(workload):
        return
    at = models.timestamp(record.created_at)
    if at is None and rollout is not None and rollout.whole:
        at = rollout.since
    same = record.candidate_artifact_id is not None and record.candidate_artifact_id == workload.artifact_id
    status = _enum(record.status).replace("_", " ")
    yield Change("new_settings" if same else "replacing", at, status)


def _ended(state: WorkloadState) -> Iterator[tuple[str, float]]:
    """What began and ended in its life, as we saw it, but for crashes that were over at once."""
    tracker = state.ledger.tracker
    for each in tracker.over:
        if each.ended is not None and each.kind in _OF_EPISODES and each.cause != "crashed":
            yield _OF_EPISODES[each.kind], each.ended.reported or each.ended.at
    for past in tracker.past:
        brief = past.kind == "failure" and past.ended - past.opened < BRIEF
        if past.kind in _OF_EPISODES and not brief:
            yield _OF_EPISODES[past.kind], past.ended


def _same(kind: str, at: float, other: Change) -> bool:
    """Whether another change tells the same: a version is created for its replacement."""
    if kind == "version" and other.kind in ("replacing", "new_settings", "replaced"):
        return other.at is None or abs(at - other.at) < 2 * _SAME
    return ABOUT.get(kind, kind) == ABOUT.get(other.kind, other.kind) and abs(at - (other.at or 0.0)) < _SAME


# -- requests, limits, and what is not known


def _requests(state: WorkloadState, context: WorkloadContext) -> Requests | None:
    def of(name: str, window: str = "5m", **where: str) -> float | None:
        return Metric(f"workload_window_{name}", "max", window=window, **where).value(context)

    total, window = of("requests"), state.details.windows.get("5m")
    if total is None or window is None:
        return None
    return Requests(
        window.end,
        total,
        of("server_error_ratio"),
        of("client_error_ratio"),
        of("slow_ratio"),
        of("response_seconds", quantile="0.95"),
        of("server_error_ratio", "1h"),
    )


_OFFERED, _LOAD = Metric("workload_bundle_offered"), Metric("workload_autoscaling_load_ratio")
_MEMORY = Metric("workload_memory_usage_bytes", level="pod") / Metric("workload_replica_memory_bytes")
_MEMORIES = Metric("workload_memory_usage_bytes", level="workload") / (
    Metric("workload_replica_memory_bytes") * Metric("proton_replicas_live", role="active")
)


def _limits(state: WorkloadState, context: WorkloadContext, met: set[str]) -> Iterator[tuple[str, str]]:
    """What is at its limit, by the conditions of the alerts."""
    if "DataRobotBundleNotOffered" in met:
        missing = ", ".join(scrubbed(name) for (name,), there in context.samples(_OFFERED) if not there)
        yield "bundle", f"its resource bundle {missing} is no longer in the catalogue"
    if "DataRobotAutoscalerSaturated" in met:
        most, load = workload_state.most_replicas(state), _LOAD.value(context)
        yield "autoscaler", f"the autoscaler runs its maximum of {most} replicas, at {load:.1f} times its target"
    if "DataRobotWorkloadMemoryNearLimit" in met:
        used = max(value for term in (_MEMORY, _MEMORIES) if (value := term.value(context)) is not None)
        yield "memory", f"{100 * used:.0f}% of the memory of its resource bundle is in use{_bundle(context)}"
    if met & {"DataRobotErrorBudgetBurnFast", "DataRobotErrorBudgetBurnSlow"}:
        shares = [
            (w, Metric("workload_window_server_error_ratio", window=w).value(context)) for w in ("1h", "6h", "1d", "3d")
        ]
        told = ", ".join(f"{share:.2%} over {window}" for window, share in shares if share is not None)
        allowed = Threshold("error_budget").value(context)
        yield "errors", f"server errors {told}; {allowed:.2%} allowed"


def _bundle(context: WorkloadContext) -> str:
    """How much memory a replica has, by its resource bundle."""
    size = Metric("workload_replica_memory_bytes").value(context)
    return f" ({size / (1 << 30):.3g} GiB per replica)" if size else ""


def _untold(state: WorkloadState) -> Iterator[tuple[str, str]]:
    details, group = state.details, workload_state.status_group(state)
    if state.held:
        yield (
            "list",
            f"{workload_state.held(state)} not readable; the last readable value is shown for at most 15 minutes",
        )
    for part in PARTS:
        failed = UNREAD_REASONS.get(details.failed.get(part, ""), "")
        if part in details.refused:
            yield part, "the API responds with 403: this token is not allowed to read them"
        elif part == "pods" and (unread := workload_state.unread(state)):
            yield part, _printable("; ".join(one.text for one in unread))
        elif details.fresh.get(part) is False:
            yield (
                part,
                f"not reported recently; {failed}" if failed else "not reported recently; the last values are too old",
            )
        elif part == "pods" and details.pods is None:
            yield part, f"not reported yet; {failed}" if failed else "not reported yet"
        elif part == "pods" and group not in ("off", "failed") and not _snapshot(state):
            yield part, "the platform reports nothing about them (204)"
        elif part == "stats_5m" and group == "up" and "5m" not in details.windows:
            yield part, "not reported yet"


# -- links


def _links(facts: Facts, cause: Cause, options: Options) -> Iterator[tuple[str, str]]:
    loudest = sorted(facts.alerts, key=lambda each: ("critical", "warning", "info").index(each.severity))
    names = dict.fromkeys([*filter(None, [cause.alert]), *(each.alert for each in loudest)])
    for name in list(names)[:2]:
        yield f"Runbook {name}", f"{options.runbooks}{name}.md"
    place = quote(facts.id, safe="")
    if options.dashboards:
        account = quote(facts.account, safe="")
        yield "Dashboard", f"{options.dashboards}/d/datarobot-workload?var-account={account}&var-workload={place}"
    if options.console:
        yield "Console", f"{options.console}/console-nextgen/workloads/{place}/overview"
    if options.traces:
        yield "Traces", options.traces.replace("{workload_id}", place)
