"""What failing workloads of an account have in common, and its likely cause: the first row whose condition is met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from exporter.api import models
from exporter.diagnosis.diagnosis import Diagnosis
from exporter.diagnosis.facts import MOST_ERRORS, Facts
from exporter.fleet.workload_state import WorkloadState

MOST = 0.8
"""Share of the failing workloads from which on a problem is the common one."""
RECENT_CHANGE_SECONDS = 3600.0


class Failing(NamedTuple):
    """One failing workload. `kind`: its status, and what fails if that does not say so. `since`: since when (None:
    unknown). `problem`: the name of its likely cause, `text` its text. `traits`: a kind of trait -> its value.
    """

    name: str
    importance: str
    kind: str
    since: float | None
    problem: str
    text: str
    traits: Mapping[str, str]
    owner: str = ""


class FailingGroup(NamedTuple):
    """The failing workloads that were examined, and the traits that they, but not all others, have in common."""

    members: Sequence[Failing]
    common: Mapping[str, str] = {}

    def most(self, test: Callable[[Failing], bool]) -> bool:
        """Whether most of them pass a test."""
        return sum(map(test, self.members)) >= MOST * len(self.members)

    @property
    def problem(self) -> Failing:
        """One with the most frequent problem."""
        (name, _), *_ = Counter(each.problem for each in self.members).most_common(1)
        return next(each for each in self.members if each.problem == name)


class FleetCause(NamedTuple):
    """A likely cause of many failures at once."""

    name: str
    is_met: Callable[[FailingGroup], bool]
    text: str
    next_step: str


def failing(found: Diagnosis, state: WorkloadState) -> Failing:
    """A failing workload, from its diagnosis."""
    facts = found.facts
    kind, since = _kind(facts)
    problem = found.cause.name.removeprefix("new_version_")
    registry = next((_registry(each.image) for each in facts.containers if each.image), "")
    seen = {**traits(state), "registry": registry}
    last = next((each.at for each in facts.changes if each.kind in ("replaced", "version")), None)
    if last is not None and facts.at - last < RECENT_CHANGE_SECONDS:
        seen["change"] = "a new version within the last hour"
    return Failing(
        facts.name, facts.importance, kind, since, problem, found.cause.text,
        {name: value for name, value in seen.items() if value}, facts.owner,
    )  # fmt: skip


def _kind(facts: Facts) -> tuple[str, float | None]:
    """What fails, and since when (None: unknown)."""
    status, replicas, requests = facts.state.status, facts.replicas, facts.requests
    if facts.state.group not in ("failed", "off"):
        if facts.down is not None or replicas.ready == 0:
            return f"{status} without a ready replica", facts.down if facts.served else None
        if requests is not None and (requests.server_errors or 0.0) >= MOST_ERRORS:
            return f"{status} with server errors (5xx)", None
    return status, None if facts.state.longer else facts.state.since


def traits(state: WorkloadState) -> dict[str, str]:
    """What a workload may have in common with others, as far as the workload list reports it."""
    workload = state.workload
    bundles = {name for group in models.groups(workload) for name in group.resource_bundles or ()}
    artifact = workload.artifact
    found = {
        "resource bundle": ", ".join(sorted(bundles)),
        "artifact": (artifact.name or workload.artifact_id or "") if artifact is not None else "",
        "type": workload.type or "",
    }
    return {name: value[:64] for name, value in found.items() if value}


def common(members: Sequence[Failing], others: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The traits that all failing workloads have and at least one other workload does not have."""
    if len(members) < 2:
        return {}
    first, *rest = (each.traits for each in members)
    return {
        name: value
        for name, value in first.items()
        if all(each.get(name) == value for each in rest)
        and (name in ("registry", "change") or any(each.get(name) != value for each in others))
    }


def _registry(image: str) -> str:
    """The host of an image's registry."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else "docker.io"


_CAPACITY = ("no_gpu", "no_cpu", "no_memory", "no_volume", "no_node")
_IMAGES = ("image_not_there", "image_denied", "image_pull")
_UNREADY = (
    "failed_unready start_unready none_ready none_ready_any_more none_ready_at_once outage outage_pods_unknown errors "
    "errors_pods_unknown"
).split()
_UNREPORTED = (
    "failed_unknown monitor_silent start_unknown readiness_unknown well_unknown pods_failed pods_unread start_failed "
    "start_unread unknown"
).split()


def _most(*problems: str) -> Callable[[FailingGroup], bool]:
    return lambda group: group.most(lambda each: each.problem in problems)


FLEET_CAUSES: tuple[FleetCause, ...] = (
    FleetCause("evicted", lambda group: group.most(lambda one: one.kind == "interrupted" or one.problem == "evicted"),
        "The platform evicted them: it took their capacity for other workloads, or nodes were removed. The API does "
        "not report which.",
        "Ask the platform administrators what happened to the nodes or the capacity. Then start the most important "
        "ones again: they do not start by themselves."),
    FleetCause("registry", lambda group: _most(*_IMAGES)(group) and "registry" in group.common,
        "The images of all of them come from the same registry, from which they cannot be pulled: it is down, or its "
        "credential is no longer valid.",
        "Check that registry and its credential. Once it works, failed pulls are retried without a restart."),
    FleetCause("images", _most(*_IMAGES),
        "Their images cannot be pulled: either the platform cannot reach the registries, or its credentials are no "
        "longer valid.",
        "Ask the platform administrators whether the cluster can reach the registries."),
    FleetCause("capacity", _most(*_CAPACITY),
        "No node has room for their replicas: nodes were lost, or the cluster is full.",
        "Ask the cluster administrators for the state of the nodes. Until then, stop less important workloads."),
    FleetCause("nodes", _most("node_lost", "some_nodes_lost"),
        "The cluster has lost contact with the nodes of their pods.",
        "Ask the platform administrators about the nodes. After some five minutes, the platform creates new pods on "
        "other nodes, as far as there is room."),
    FleetCause("new_versions", lambda group: "change" in group.common,
        "All of them got a new version within the last hour: what was rolled out is probably the cause.",
        "Find out what was rolled out, and stop it. Replace the most important ones with their previous artifact."),
    FleetCause("dependency", _most(*_UNREADY),
        "Their containers run, but are not ready or respond with errors: a service that all of them call, or the "
        "network, is probably down.",
        "Compare the logs of two of them, and look for the same service. Fix that service, not the workloads."),
    FleetCause("unreported", _most(*_UNREPORTED),
        "The platform does not report their pods: its monitor or the nodes may be down, and the statuses may be "
        "outdated.",
        "Call the endpoints of two of them. Inform the platform administrators."),
    FleetCause("one_problem", lambda group: group.most(lambda each: each.problem == group.problem.problem),
        "Most of them have the same problem:",
        "Compare two of them with `workload-exporter explain NAME`: which image, secret, volume or service do both "
        "use?"),
    FleetCause("several", lambda _: True,
        "They have different problems; a common cause is not known.",
        "Begin with the most important one: `workload-exporter explain NAME` shows its problem."),
)  # fmt: skip
"""The likely causes, most certain first. The condition of the last row is always met."""
