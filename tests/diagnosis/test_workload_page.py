"""The page of a workload as values: what it shows of pods and containers, and which texts of the diagnosis."""

from dataclasses import dataclass
from typing import Any

import pytest

from exporter.alerting.rules import DEFAULT
from exporter.api.models import Group, Runtime, Tag, Workload
from exporter.api.pods import Container, PodCondition, Pods, Proton, Replica, StatusDetails
from exporter.diagnosis.workload_page import MAX_PODS, ContainerRow, PodRow, WorkloadPage, workload_page
from exporter.fleet.serving import pods_read
from exporter.fleet.workload_state import Details, WorkloadState
from tests.make import container, pods, replica, sight

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC
OPTIONS = DEFAULT._replace(console="https://dr.test", status="https://exporter.test", owner_tags=("team",))
TWO = Runtime(container_groups=(Group(replica_count=2),))
ENDED = ("OOMKilled", 137, "2026-11-18T11:00:00Z")
LOST = replica(container(), status="unknown", conditions=(PodCondition(type="Ready"),), name="lost")
NO_GPU = replica(
    status="pending",
    conditions=(PodCondition(type="PodScheduled", value=False, message="Insufficient nvidia.com/gpu"),),
)


def state(reported: Pods | None = None, *, ahead: float = 0.0, **facts: Any) -> WorkloadState:
    parts = {name: facts.pop(name) for name in ("vanished", "gone_because") if name in facts}
    workload = Workload(**{"id": "w", "name": "front", "status": "running", "proton_id": "p", "runtime": TWO, **facts})
    made = sight(workload, NOW - 3600, 1.0, details=Details(pods=reported), ahead=ahead, **parts)
    return made if reported is None else pods_read(made, NOW - 600)


def shown(reported: Pods | None = None, **facts: Any) -> WorkloadPage:
    return workload_page(state(reported, **facts), NOW, OPTIONS)


def test_the_cause_whether_it_serves_its_state_and_the_next_step_come_first() -> None:
    crashing = replica(container(status="waiting", reason="CrashLoopBackOff", ready=False, ended=ENDED))
    page = shown(pods(crashing, replica(container())), tags=(Tag("team", "claims"),))
    assert page.first == (
        (
            "Likely cause",
            "A container was killed because it used more memory than its resource bundle provides.",
        ),
        ("Serving", "partly (1 of 2 replicas ready)"),
        ("State", "running since 10:06 UTC (1 h)"),
        ("Next step", "Choose a bundle with more memory, or reduce memory use: fewer workers, smaller batches."),
    )
    assert [title for title, _ in page.evidence] == ["Owner", "Containers", "Changes", "Unknown"]
    assert "DataRobotWorkloadReplicasDegraded" in [each.alert for each in page.row.alerts]
    assert page.diagnosis.links[-1] == ("Console", "https://dr.test/console-nextgen/workloads/w/overview")


def test_pods_that_are_not_ready_come_first_then_those_of_unknown_readiness() -> None:
    bad = replica(container(ready=False), name="z-bad")
    page = shown(pods(replica(container(), name="a-good"), LOST, bad))
    assert [(pod.name, pod.ready) for pod in page.pods or ()] == [("z-bad", False), ("lost", None), ("a-good", True)]


@dataclass
class Case:
    given: Container
    row: ContainerRow


@pytest.mark.parametrize(
    "case",
    [
        Case(container(restart_count=3), ContainerRow("main", "running", True, 3, "")),
        Case(container(ready=None), ContainerRow("main", "running", None, None, "")),
        Case(container("lrs-p-main"), ContainerRow("main", "running", True, None, "")),
        Case(container(""), ContainerRow("?", "running", True, None, "")),
        Case(
            container(status="waiting", reason="CrashLoopBackOff", ready=False, restart_count=7, ended=ENDED),
            ContainerRow(
                "main", "waiting: CrashLoopBackOff", False, 7, "OOMKilled, exit code 137, 11:00 UTC, 6 min ago"
            ),
        ),
        Case(container(status="waiting", ready=False), ContainerRow("main", "waiting", False, None, "")),
        Case(container(status="novel"), ContainerRow("main", "unknown", True, None, "")),
        Case(
            container(status="terminated", reason="Error", exit_code=1, ready=False),
            ContainerRow("main", "terminated", False, None, "Error, exit code 1"),
        ),
        Case(container(ended=("", 1, None)), ContainerRow("main", "running", True, None, "exit code 1")),
    ],
    ids=lambda case: f"{case.row.state} {case.row.last_end}",
)
def test_a_container_shows_its_state_and_its_last_exit(case: Case) -> None:
    (pod,) = shown(pods(replica(case.given))).pods or ()
    assert pod.containers == (case.row,)


def test_times_of_exits_are_by_the_local_clock() -> None:
    page = workload_page(state(pods(replica(container(ended=ENDED))), ahead=300.0), NOW, OPTIONS)
    assert [pod.containers[0].last_end for pod in page.pods or ()] == [
        "OOMKilled, exit code 137, 10:55 UTC, 11 min ago"
    ]


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        (replica(container()), "running"),
        (replica(status="novel"), "unknown"),
        (NO_GPU, "pending: not scheduled (gpu)"),
    ],
)
def test_a_pod_shows_its_phase_and_what_no_node_has(given: Replica, phase: str) -> None:
    assert [pod.phase for pod in shown(pods(given)).pods or ()] == [phase]


def test_each_pod_shows_the_role_of_its_version() -> None:
    roles = {"p": "active", "new": "candidate", "old": "outgoing", "failed": ""}
    protons = tuple(
        Proton(name, status="errored" if name == "failed" else "running", role=role or None)
        for name, role in roles.items()
    )
    snapshots = {name: StatusDetails(replicas=(replica(container(), name=f"pod-{name}"),)) for name in roles}
    page = shown(Pods(protons, snapshots))
    assert {pod.name: pod.version for pod in page.pods or ()} == {
        "pod-p": "serving",
        "pod-new": "new",
        "pod-old": "outgoing",
        "pod-failed": "other",
    }


def test_the_list_of_pods_is_bounded() -> None:
    many = [replica(container(), name=f"pod-{number:04}") for number in range(MAX_PODS + 7)]
    page = shown(pods(*many))
    assert (len(page.pods or ()), page.more_pods) == (MAX_PODS, 7)


def test_pods_without_a_name_or_containers_are_rows() -> None:
    assert shown(pods(Replica(status="pending"))).pods == (PodRow("serving", "?", "pending", False, ()),)


def test_pods_that_are_not_known_are_no_empty_list() -> None:
    assert shown(None).pods is None
    assert shown(pods()).pods == ()


def test_a_vanished_workload_shows_the_reason_and_neither_its_pods_nor_the_console() -> None:
    page = shown(pods(replica(container())), vanished=NOW - 7200, gone_because="not_found")
    assert page.pods is None
    assert dict(page.first)["State"] == "no longer listed since 09:06 UTC (2 h); the API responds with 404"
    assert page.row.reasons == ("deleted: the API no longer finds it",)
    assert [title for title, _ in page.diagnosis.links] == ["Runbook DataRobotWorkloadVanished"]
