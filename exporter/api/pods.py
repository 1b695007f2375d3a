"""Protons and their pods as the API reports them, and how to interpret them.

Sources: spec 11.5 ProtonFormatted and ReplicaStatusesSnapshot, and additions of servers: reasons, exit codes and the
last state of a container, conditions with `value` instead of `met`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from exporter.api.models import ApiObject, Integer, Runtime, Workload, folded, may_run, status_group

WAITING_REASONS = (
    "CrashLoopBackOff ImagePullBackOff ErrImagePull InvalidImageName CreateContainerConfigError CreateContainerError "
    "RunContainerError ContainerCreating PodInitializing"
).split()
TERMINATED_REASONS = "OOMKilled Error Completed ContainerCannotRun StartError DeadlineExceeded Evicted".split()
STOP_EXIT_CODES = (137, 143)
"""Exit codes of a process that is killed (SIGKILL) or terminated (SIGTERM)."""
PHASES = ("pending", "running", "succeeded", "failed", "unknown")
CONTAINER_STATES = ("running", "waiting", "terminated", "unknown")
CONDITIONS = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


class PodCondition(ApiObject, frozen=True):
    """A pod condition. Its status is the first of `value`, `met` and `status` that is reported."""

    type: str | None = None
    name: str | None = None
    value: bool | str | None = None
    met: bool | str | None = None
    status: bool | str | None = None
    last_transition_time: str | None = None
    since: str | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def kind(self) -> str:
        """Type of the condition, such as ``Ready``; empty if it is not reported or has an invalid character."""
        kind = self.type or self.name or ""
        return "" if "\ufffd" in kind else kind

    @property
    def truth(self) -> bool | None:
        """True, False, or None if not reported or unknown."""
        reported = next((v for v in (self.value, self.met, self.status) if v is not None), None)
        if isinstance(reported, str):
            return {"true": True, "false": False}.get(reported.strip().casefold())
        return reported


class LastState(ApiObject, frozen=True):
    """The previous termination of a container."""

    status: str | None = None
    reason: str | None = None
    exit_code: Integer | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class StateReason(ApiObject, frozen=True):
    """The reason of a nested ``state.waiting`` or ``state.terminated``."""

    reason: str | None = None
    exit_code: Integer | None = None


class NestedState(ApiObject, frozen=True):
    """A container's state as Kubernetes nests it; no server is known to send it, but some tools write it."""

    waiting: StateReason | None = None
    terminated: StateReason | None = None


class Container(ApiObject, frozen=True):
    """One container of a pod. `restart_count` counts within this pod."""

    name: str | None = None
    image: str | None = None
    status: str | None = None
    ready: bool | None = None
    restart_count: Integer | None = None
    started_at: str | None = None
    reason: str | None = None
    exit_code: Integer | None = None
    message: str | None = None
    last_state: LastState | None = None
    state: NestedState | None = None

    @property
    def restarts(self) -> int | None:
        """The restart count if it is a possible one (an int32 of Kubernetes), else None."""
        return self.restart_count if self.restart_count is not None and 0 <= self.restart_count < 2**31 else None


class Replica(ApiObject, frozen=True):
    """One pod. `status` is its phase, which does not indicate health; empty: not reported, None: not known.

    Addresses are not read.
    """

    name: str | None = None
    status: str | None = ""
    started_at: str | None = None
    conditions: tuple[PodCondition, ...] | None = None
    containers: tuple[Container, ...] | None = None


class OverallStatus(ApiObject, frozen=True):
    """The platform's own summary of the pods; `last_updated` changes only when the pods do."""

    state: str | None = None
    summary: str | None = None
    last_updated: str | None = None


class StatusDetails(ApiObject, frozen=True):
    """The snapshot of a proton's pods; a 204 means that there is none yet."""

    overall_status: OverallStatus | None = None
    replicas: tuple[Replica, ...] | None = None


class Proton(ApiObject, frozen=True):
    """One proton: a deployed version of a workload. An outgoing one has no role."""

    id: str
    name: str | None = None
    status: str | None = None
    role: str | None = None
    artifact_id: str | None = None
    workload_id: str | None = None
    running_since: str | None = None
    runtime: Runtime | None = None
    deployed_images: dict[str, str] | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("the id is empty")


def active_proton(protons: Sequence[Proton], workload: Workload, *, complete: bool = True) -> Proton | None:
    """The serving proton: by its role, else the one the workload names, else the newest running one; if none is known
    to run, the newest of unknown status.

    The last is a guess, and not made if the list is not `complete`: the serving proton may be missing from it.
    """
    by_role = [p for p in protons if folded(p.role) == "active"]
    named = [p for p in protons if p.id == workload.proton_id]
    running = sorted(
        (p for p in protons if may_run(p.status)), key=lambda p: (status_group(p.status) == "up", p.created_at or "")
    )
    return next(iter((*by_role, *named, *(reversed(running) if complete else ()))), None)


def container_name(name: str | None, proton: str) -> str:
    """The configured name: ``lrs-<proton>-primary`` is ``primary``."""
    return (name or "").removeprefix(f"lrs-{proton}-")


def waiting_reason(container: Container) -> str | None:
    """Waiting reason of a container: one of `WAITING_REASONS`, ``other``, or None if it is not waiting or reports no
    reason.
    """
    nested = container.state.waiting if container.state else None
    if nested is None and folded(container.status) != "waiting":
        return None
    return _closed(container.reason or (nested.reason if nested else None), WAITING_REASONS)


def terminated_reason(container: Container) -> str | None:
    """Reason of a container's last termination: one of `TERMINATED_REASONS`, ``other``, or None if it never terminated
    or reports none.
    """
    if container.last_state is not None and container.last_state.reason:
        return _closed(container.last_state.reason, TERMINATED_REASONS)
    nested = container.state.terminated if container.state else None
    if nested is None and folded(container.status) != "terminated":
        return None
    return _closed(container.reason or (nested.reason if nested else None), TERMINATED_REASONS)


def stopped(proton: Proton, container: Container) -> bool:
    """Whether the last termination of a container is the stop of its proton, which ends processes by a signal.

    Such a termination is not a fault.
    """
    last = container.last_state
    code = container.exit_code if last is None else last.exit_code
    leaving = status_group(proton.status) in ("leaving", "off")
    return leaving and code in STOP_EXIT_CODES and terminated_reason(container) in (None, "Error", "Completed")


def _closed(reason: str | None, known: Sequence[str]) -> str | None:
    if not reason:
        return None
    return next((name for name in known if name.casefold() == reason.strip().casefold()), "other")


def replica_live(replica: Replica) -> bool:
    """Whether a pod still exists: one that succeeded or failed stays listed."""
    return folded(replica.status) not in ("succeeded", "failed")


def replica_ready(replica: Replica) -> bool | None:
    """Whether a pod receives traffic: its Ready condition, else all of its containers; None if neither is reported.

    A pending pod does not: not all of its containers have started, and an unscheduled one reports none. Ready
    containers prove nothing if Ready is null or the phase is unknown: that may be the last state reported before the
    node was lost. A condition of unknown type may be Ready.
    """
    if not replica_live(replica):
        return False
    conditions = [c.truth if c.kind else None for c in replica.conditions or () if c.kind in ("Ready", "")]
    ready_condition = next((truth for truth in conditions if truth is not None), None)
    if ready_condition is not None:
        return ready_condition
    phase = folded(replica.status)
    ready = [container.ready for container in replica.containers or ()]
    if phase == "pending" or False in ready:
        return False
    if conditions or (replica.status != "" and phase != "running"):
        return None
    return True if ready and None not in ready else None


_SHORTAGES = (("gpu", "gpu"), ("insufficient cpu", "cpu"), ("insufficient memory", "memory"), ("volume", "volume"))


def unschedulable(replica: Replica) -> str | None:
    """The resource no node has enough of: gpu, cpu, memory, volume or other; None if the pod is scheduled or nothing is
    reported.
    """
    for condition in replica.conditions or ():
        if condition.kind == "PodScheduled" and condition.truth is False:
            words = (condition.message or "").casefold()
            return next((kind for word, kind in _SHORTAGES if word in words), "other")
    return None


class Overview(msgspec.Struct, frozen=True):
    """Numbers of pods: live, ready, and of unknown readiness."""

    live: int
    ready: int
    unknown: int


def overview(details: StatusDetails) -> Overview:
    """Count the pods of a snapshot."""
    live = [replica for replica in details.replicas or () if replica_live(replica)]
    ready = [replica_ready(replica) for replica in live]
    return Overview(len(live), ready.count(True), ready.count(None))


def total(counts: Iterable[Overview]) -> Overview:
    """The sum of several counts."""
    each = list(counts)
    return Overview(sum(one.live for one in each), sum(one.ready for one in each), sum(one.unknown for one in each))


UNLISTED = ""
"""The id in `Pods.unread` of protons that are missing from `Pods.protons`."""
UNREAD_REASONS: Mapping[str, str] = {
    "timeout": "the API does not respond in time",
    "dns": "the host name of the API cannot be resolved",
    "connect": "the connection to the API fails",
    "tls": "the TLS connection to the API fails",
    "auth": "the API does not accept the token (401)",
    "forbidden": "access is denied (403); give the token's user the role `user` on the workload",
    "not_found": "not found (404)",
    "absent": "the server does not have this route",
    "redirect": "the API responds with a redirect, which is not followed",
    "throttled": "the API throttles the requests",
    "server_error": "server error (5xx)",
    "bad_request": "the API rejects the request",
    "too_large": "the response is too large",
    "decode": "the response cannot be decoded",
    "incomplete": "the list of versions is longer than the exporter reads",
    "internal": "the exporter itself failed; see its log",
}
"""Reasons of failed requests, each with a description, and its remedy if there is one."""


class Pods(msgspec.Struct, frozen=True):
    """All protons of a workload and their pod snapshots by proton id; None if the API reports none (204).

    `unread`: proton id -> reason its snapshot could not be read, a key of `UNREAD_REASONS`. The id `UNLISTED` means
    that `protons` is incomplete: an item had no readable id, or there are more than are read.
    """

    protons: tuple[Proton, ...] = ()
    details: Mapping[str, StatusDetails | None] = {}
    unread: Mapping[str, str] = {}

    @property
    def complete(self) -> bool:
        """Whether all protons are listed: only then is one that is not listed gone."""
        return UNLISTED not in self.unread

    def replicas(self) -> Iterator[tuple[Proton, Replica]]:
        """Every listed pod with its proton."""
        for proton in self.protons:
            snapshot = self.details.get(proton.id)
            for replica in (snapshot.replicas or ()) if snapshot is not None else ():
                yield proton, replica
