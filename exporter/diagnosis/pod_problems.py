"""Problems of containers, and of the scheduling of pods, from pod reports and from what the exporter recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from exporter.api import models
from exporter.api.details import Event, event_kind
from exporter.api.pods import (
    TERMINATED_REASONS,
    WAITING_REASONS,
    Container,
    Proton,
    Replica,
    StatusDetails,
    container_name,
    replica_live,
    stopped,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from exporter.diagnosis.changes import CLOCK_SLACK_SECONDS, event_time
from exporter.diagnosis.facts import NO_REASON, RECENT_SECONDS, ContainerProblem, SchedulingProblem
from exporter.diagnosis.pod_causes import PULLS
from exporter.fleet import episodes, observations, workload_state
from exporter.fleet.replacements import candidate_pods
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import scrubbed

_POD_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
"""RFC 1123. Such names are not masked: their random end looks like a secret."""
MAX_TERMINATION_SECONDS = 3600.0
"""Age up to which the termination of a container that is ready again is mentioned."""
_NO_NODE = "Unschedulable"
"""The problem of an unscheduled pod, as episodes record it."""
_ROLE_ORDER = {"active": 0, "serving": 0, "candidate": 1, "reverted": 9}

Snapshot = tuple[str, str, StatusDetails]
"""The role and the id of a version, and the report of its pods."""


def snapshots(state: WorkloadState) -> Iterator[Snapshot]:
    """The pod reports of the versions that serve and the candidate, or of all versions if none is known to be active.

    An outgoing version is expected to become not ready.
    """
    pods = state.details.pods
    if pods is None:
        return
    roles = {proton.id: workload_state.role(state, proton) for proton in pods.protons}
    shown = ("active", "serving", "candidate") if "active" in roles.values() else tuple(roles.values())
    for proton in pods.protons:
        snapshot = pods.details.get(proton.id)
        if snapshot is not None and roles[proton.id] in shown:
            yield roles[proton.id], proton.id, snapshot


def rolled_back(
    state: WorkloadState, now: float, events: Iterable[Event]
) -> tuple[tuple[Snapshot, ...], tuple[episodes.PodFacts, ...]]:
    """The pods of a version that was rolled back recently: as an event reports them, else as recorded."""
    failed, ledger = _failed_replacement(state, events, now), state.ledger
    reports = failed.details.proton_statuses if failed is not None and failed.details is not None else None
    if reports:
        return tuple(("reverted", proton, snapshot) for proton, snapshot in reports.items()), ()
    if ledger.rollout is not None and ledger.rollout.ended is not None and not ledger.rollout.counted:
        # It has ended and how is not known yet: its record and its pods may be gone.
        return (), tuple(observations.failing(candidate_pods(ledger)).values())
    recent = ledger.rollout_failed is not None and now - ledger.rollout_failed < RECENT_SECONDS
    return (), tuple(ledger.failed_pods.values()) if recent else ()


def _failed_replacement(state: WorkloadState, events: Iterable[Event], now: float) -> Event | None:
    """The event of a recent failed replacement, unless a later one completed."""
    ends = [event for event in events if event_kind(event).startswith("replacement_")]
    last = max(ends, key=lambda event: event_time(state, event), default=None)
    if last is None or event_kind(last) != "replacement_errored":
        return None
    return last if now - event_time(state, last) < RECENT_SECONDS else None


def container_problems(
    state: WorkloadState, now: float, reports: Iterable[Snapshot], recorded: Iterable[episodes.PodFacts]
) -> tuple[ContainerProblem, ...]:
    """The containers with problems, those of the active version first."""
    protons = {proton.id: proton for proton in (state.details.pods.protons if state.details.pods is not None else ())}
    containers = [
        _without_stop(_container_problem(role, proton, replica, container), protons.get(proton), container)
        for role, proton, snapshot in reports
        for replica in snapshot.replicas or ()
        for container in replica.containers or ()
    ]
    containers += [_recorded_problem(pod) for pod in recorded if pod.problem != _NO_NODE]
    containers = [
        each._replace(
            at=None if each.at is None else each.at - state.ahead,
            since=None if each.since is None else each.since - state.ahead,
            latest=None if each.since is None else each.since - state.ahead,
        )
        for each in containers
    ]
    off = workload_state.status_group(state) == "off" or models.folded(state.workload.status) == "terminated"
    found: dict[tuple[object, ...], ContainerProblem] = {}
    for each in containers:
        recent = each.waits or each.at is None or now - each.at < MAX_TERMINATION_SECONDS
        one = each if recent else each._replace(ended="", code=None)
        healthy = not one.waits and one.ready is not False and not one.ended and not one.cut_off
        if healthy or (off and one.ended in ("", "Completed")):
            continue
        key = (one.container, one.role, one.waits, one.ready, one.ended, one.code, one.lost, one.cut_off)
        other = found.get(key)
        found[key] = one if other is None else other._replace(
            at=max((at for at in (one.at, other.at) if at is not None), default=None),
            restarts=max(one.restarts, other.restarts),
            pods=other.pods + 1,
            message=other.message or one.message,
            since=min((at for at in (one.since, other.since) if at is not None), default=None),
            latest=max((at for at in (one.latest, other.latest) if at is not None), default=None),
        )  # fmt: skip
    return tuple(
        sorted(found.values(), key=lambda one: (_ROLE_ORDER.get(one.role, 2), one.ready is True, one.container))
    )


def log_is_mixed(state: WorkloadState) -> bool:
    """Whether its log may contain lines of containers without its problem: its lines do not name theirs.

    So it is with several versions, with several containers in a pod, if only some are ready, and if that is unknown.
    """
    pods = state.details.pods
    if pods is None or workload_state.unread(state):
        return True
    kinds = {
        (proton, container_name(container.name, proton), container.ready)
        for proton, snapshot in pods.details.items()
        for replica in (snapshot.replicas if snapshot is not None else None) or ()
        for container in replica.containers or ()
    }
    return len(kinds) > 1


def _without_stop(problem: ContainerProblem, proton: Proton | None, container: Container) -> ContainerProblem:
    """The problem without a termination that is the stop of its version."""
    ended = proton is not None and stopped(proton, container)
    return problem._replace(ended="", code=None, at=None) if ended else problem


def _recorded_problem(pod: episodes.PodFacts) -> ContainerProblem:
    """The problem of a pod, with times as reported."""
    run = max(pod.runs, key=lambda each: each.finished, default=None)
    code = pod.exit_code if pod.exit_code is not None or run is None else run.exit_code
    return ContainerProblem(
        container=scrubbed(pod.container),
        role="reverted",
        waits=pod.problem if pod.problem in WAITING_REASONS else "",
        ready=False,
        ended=next(filter(None, map(_documented, (pod.ended, run.reason if run is not None else "", pod.problem))), ""),
        code=code,
        at=run.finished if run is not None else None,
        restarts=pod.restarts,
        pods=1,
        message=scrubbed(pod.message),
    )


def _documented(reason: str) -> str:
    return reason if reason in TERMINATED_REASONS else ""


def _container_problem(role: str, proton: str, replica: Replica, container: Container) -> ContainerProblem:
    """The problem of a container, with times as reported."""
    last, began, since = container.last_state, models.timestamp(container.started_at), _unready_since(replica)
    waits = waiting_reason(container) or (NO_REASON if models.folded(container.status) == "waiting" else "")
    if role == "reverted" and container.reason in WAITING_REASONS:
        waits = container.reason or ""  # events report the reason without the status
    return ContainerProblem(
        container=scrubbed(container_name(container.name, proton)),
        role=role,
        waits=waits,
        ready=container.ready,
        ended=terminated_reason(container) or "",
        code=container.exit_code if last is None else last.exit_code,
        at=models.timestamp(last.finished_at) if last is not None else None,
        restarts=container.restarts or 0,
        pods=1,
        message=scrubbed(container.message or (last.message if last is not None else "") or ""),
        since=since,
        # A pod becomes not ready when it is created and when its container ends. Later, it must have been ready.
        lost=not waits
        and container.ready is False
        and since is not None
        and since - (began or since) > CLOCK_SLACK_SECONDS,
        cut_off=since is not None and cut_off(replica),
        image=scrubbed(container.image or "") if waits in PULLS else "",
        pod=(replica.name or "") if _POD_NAME.fullmatch(replica.name or "") else "",
    )


_GATES = "ReadinessGatesNotReady"
"""The reason of a pod that is not ready because of a condition that its containers do not decide."""


def cut_off(replica: Replica) -> bool:
    """Whether a pod is not ready although all of its containers were ready when they were last reported.

    Kubernetes sets the condition Ready of all pods on a node that it has lost contact with to False; what the node
    reported of their containers stays.
    """
    ready = next((each for each in replica.conditions or () if each.kind == "Ready"), None)
    containers = replica.containers or ()
    return (
        replica_live(replica)
        and ready is not None
        and ready.truth is False
        and ready.reason != _GATES
        and bool(containers)
        and all(each.ready is True and models.folded(each.status) == "running" for each in containers)
    )


def _unready_since(replica: Replica) -> float | None:
    ready = next((each for each in replica.conditions or () if each.kind == "Ready"), None)
    if ready is None or ready.truth is not False:
        return None
    return models.timestamp(ready.last_transition_time or ready.since)


def scheduling_problems(
    reports: Iterable[Snapshot], recorded: Iterable[episodes.PodFacts]
) -> tuple[SchedulingProblem, ...]:
    """The pods that cannot be scheduled, by version and missing resource."""
    found: dict[tuple[str, str], SchedulingProblem] = {}
    pods = [
        (role, lack, next((c.message for c in replica.conditions or () if c.kind == "PodScheduled"), None))
        for role, _, snapshot in reports
        for replica in snapshot.replicas or ()
        if (lack := unschedulable(replica)) is not None
    ]
    pods += [("reverted", "other", None) for pod in recorded if pod.problem == _NO_NODE]
    for role, lack, message in pods:
        other = found.get((role, lack), SchedulingProblem(role, lack, 0, scrubbed(message or "")))
        found[role, lack] = other._replace(pods=other.pods + 1)
    return tuple(sorted(found.values(), key=lambda one: (_ROLE_ORDER.get(one.role, 2), one.lacks)))
