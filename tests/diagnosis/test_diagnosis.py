"""What is said of a workload: facts beside the cause that is found in them, and beside the words."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import DEFAULT, Options
from exporter.api.details import Event, EventDetails, OtelValue, RequestMetrics
from exporter.api.models import (
    STATUSES,
    Artifact,
    Autoscaling,
    Bundle,
    Creator,
    Group,
    Replacement,
    Runtime,
    ScalingPolicy,
    Tag,
    Workload,
)
from exporter.api.pods import Container, LastState, PodCondition, Pods, Proton, Replica, StatusDetails
from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.diagnosis import Diagnosis, diagnosis
from exporter.diagnosis.facts import CHANGES, PARTS
from exporter.diagnosis.log_signs import FoundSign, LogSigns
from exporter.diagnosis.wording import as_json, evidence, text
from exporter.fleet import episodes
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, ObservedEvent, Past, Run
from exporter.fleet.ledger import Ledger, ReplacementCursor, ServingRecord, UsageHistory
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import GONE_REASONS, Details, Window, WorkloadState
from tests.make import container, pods, replica

NOW = 1_800_000_000.0  # 08:00 UTC
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(NOW - seconds, UTC).isoformat()


def runtime(least: int = 1, most: int | None = None, **group: Any) -> Runtime:
    scaling = Autoscaling(min_replica_count=least, max_replica_count=most, policies=group.pop("policies", None))
    facts = {"replica_count": least} if most is None else {"autoscaling": scaling}
    return Runtime(container_groups=(Group(**facts, **group),))


def stats(total: int = 1000, p95: float = 0.1, at: float = NOW - 100, **counts: int) -> dict[str, Window]:
    metrics = RequestMetrics(**({"total_requests": total, "server_errors": 0, "user_errors": 0} | counts))
    return {"5m": Window(at - 300, at, metrics, ((0.95, p95),)), "1h": Window(at - 3600, at, metrics)}


READY = pods(replica(container()))
UNREADY = pods(replica(container(ready=False)))


def unready(since: float, began: float, *others: Replica) -> Pods:
    """A pod that is not ready since so many seconds, though its container runs since so many."""
    turned = PodCondition(type="Ready", value=False, last_transition_time=ago(since))
    return pods(replica(container(ready=False, started_at=ago(began)), conditions=(turned,)), *others)


def unready_pod(since: float, began: float) -> tuple[Replica, ...]:
    """Another such pod."""
    return tuple(unready(since, began).details["p"].replicas or ())  # type: ignore[union-attr]  # the example has it


def on_lost_node(since: float, *others: Replica, reason: str = "") -> Pods:
    """A pod that Kubernetes set to not ready so many seconds ago, as its node no longer reports its container."""
    turned = PodCondition(type="Ready", value=False, last_transition_time=ago(since), reason=reason)
    return pods(replica(container(), conditions=(turned,)), *others)


def waiting(reason: str | None, **facts: Any) -> Pods:
    return pods(replica(container(ready=False, status="waiting", reason=reason, **facts)))


def crashing(code: int, reason: str = "Error") -> Pods:
    return waiting("CrashLoopBackOff", ended=(reason, code, ago(30)), restart_count=4)


def lacking(message: str) -> Pods:
    unmet = PodCondition(type="PodScheduled", value=False, message=message)
    return pods(replica(status="pending", conditions=(unmet,)))


def state(
    status: str | None = "running",
    reported: Pods | None = READY,
    *,
    since: float = 20 * MINUTE,
    first: float = DAY,
    ledger: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
    parts: dict[str, Any] | None = None,
    **facts: Any,
) -> WorkloadState:
    """A workload that has had its status for twenty minutes and was first seen a day ago."""
    workload: dict[str, Any] = {"id": "w", "name": "name", "status": status, "proton_id": "p", "importance": "moderate"}
    return WorkloadState(
        "acme",
        Workload(**(workload | {"runtime": runtime()} | facts)),
        Ledger(NOW - first, NOW - since, **({"starting": NOW - since} | (ledger or {}))),
        Details(pods=reported, **({"windows": stats()} | (details or {}))),
        **(parts or {}),
    )


IDLE = state(
    reported=pods(replica(container()), running_since=ago(60 * DAY)),
    details={"windows": {"5m": Window(NOW - 300, NOW, RequestMetrics(total_requests=0))}},
    last_response=ago(20 * DAY),
)


def sized(use: float, **facts: Any) -> WorkloadState:
    """A workload whose replicas used this share of CPU and memory of their bundle for two days."""
    shares = (use, use, None)
    return state(
        runtime=runtime(resolved_bundle=Bundle("big", 4.0, 4 << 30)),
        ledger={"usage": UsageHistory("big", NOW - 2 * DAY, NOW, b"", shares, shares)},
        parts={"catalogue": {"small": Bundle("small", 1.0, 1 << 30)}},
        **facts,
    )


def lost(ready: bool | str | None = None) -> Pods:
    """A pod on a node that does not report any more; its container was ready before."""
    return pods(replica(container(), status="unknown", conditions=(PodCondition(type="Ready", value=ready),)))


def unread(reported: Pods, **reasons_by_id: str) -> Pods:
    """Pods of which some could not be read, `_` those of a proton that is not in the list."""
    reasons = {name.replace("_", ""): reason for name, reason in reasons_by_id.items()}
    return Pods(reported.protons, {i: None if i in reasons else each for i, each in reported.details.items()}, reasons)


def both(own: Pods, candidate: Pods) -> Pods:
    """The pods of the version that serves, and of one that is to."""
    (new,) = candidate.protons
    proton = msgspec.structs.replace(new, id="c", role="candidate")
    active = msgspec.structs.replace(own.protons[0], role="active")
    return Pods((active, proton), {"p": own.details["p"], "c": candidate.details["p"]})


ROLLING = Replacement(status="awaiting_promotion", id="r", candidate_proton_ids=("c",), created_at=ago(300))
REVERTED = Event("e", ago(600), "Replacement Errored")
STARTED: dict[str, Any] = {"newest": {"started": NOW - HOUR}}
FEWER = {"serving": ServingRecord(fewer=NOW - HOUR)}
"""Of a workload that was started an hour ago."""


def failed_with(reported: Pods) -> Event:
    """The event of a replacement that failed, with the pods of its version."""
    status = {"gone": reported.details["p"]}
    return msgspec.structs.replace(REVERTED, details=EventDetails(proton_statuses=status))  # type: ignore[arg-type]  # the parameters are of several types


POD_CAUSES: dict[str, Pods] = {
    "out_of_memory": crashing(137, "OOMKilled"),
    "image_not_there": waiting("ImagePullBackOff", message="manifest unknown"),
    "image_denied": waiting("ErrImagePull", message="pull access denied"),
    "image_pull": waiting("InvalidImageName"),
    "cannot_create": waiting("CreateContainerConfigError", message="secret x is missing"),
    "exit_0": crashing(0, "Completed"),
    "exit_command": crashing(127),
    "exit_arguments": crashing(2),
    "exit_native": crashing(139),
    "exit_killed": crashing(143),
    "exit_error": crashing(1),
    "evicted": pods(replica(container(ready=False, status="terminated", reason="Evicted"), status="failed")),
    "crashing": crashing(42),
    "ended": pods(replica(container(ready=False, ended=("Error", 42, ago(30))))),
    "no_gpu": lacking("Insufficient nvidia.com/gpu"),
    "no_cpu": lacking("Insufficient cpu"),
    "no_memory": lacking("Insufficient memory"),
    "no_volume": lacking("volume node affinity conflict"),
    "no_node": lacking("had untolerated taint"),
}
BIG = Bundle(id="b", memory_bytes=2 << 30)
USED = (OtelValue(otel_name="memory", unit="bytes", level="pod", current_value=0.99 * (2 << 30)),)
BUSY = ScalingPolicy(scaling_metric="httpRequestsConcurrency", target=2)
LOADED = {"windows": stats(concurrent_requests=10)}
DRAFT = Artifact(status="draft")
OLD = pods(replica(container()), created_at=ago(9 * HOUR))

FAILED = {"failed": {"pods": "server_error"}}
CASES: list[tuple[str, WorkloadState, tuple[Event, ...]]] = [
    ("deleted", state(parts={"vanished": NOW - 60, "gone_because": "not_found"}), ()),
    ("not_shared", state(parts={"vanished": NOW - 60, "gone_because": "forbidden"}), ()),
    ("not_listed", state(parts={"vanished": NOW - 60, "gone_because": "found"}), ()),
    ("vanished", state(parts={"vanished": NOW - 60}), ()),
    ("terminated", state("terminated", crashing(1)), ()),
    ("draft_ended", state("stopped", OLD, artifact=DRAFT), ()),
    ("draft_ended", state("stopped", None, artifact=DRAFT, ledger={"transitions": {"draft_expired": 1}}), ()),
    ("draft_ended", state("stopped", None, artifact=DRAFT, since=0, first=0, created_at=ago(9 * HOUR)), ()),
    ("stopped", state("stopped", READY, artifact=DRAFT), ()),
    ("stopped", state("stopped", None, artifact=Artifact(status="locked")), ()),
    ("suspended", state("suspended", pods(replica(status="succeeded"))), ()),
    ("interrupted", state("interrupted", POD_CAUSES["evicted"]), ()),
    # The platform kills what it evicts: no probe failed, and it is not its memory limit that was reached.
    *((cause, state("errored", pods(*(replica(container(ready=False, status="terminated", reason=reason, exit_code=137),
        name=reason, status="failed") for reason in reasons)), ledger=STARTED), ())
      for cause, reasons in (("evicted", ("Evicted",)), ("evicted", ("DeadlineExceeded",)),
                             ("exit_killed", ("Evicted", "Error")))),
    ("process_not_stopping", state("stopping", UNREADY, since=HOUR), ()),
    ("node_lost_stopping", state("stopping", on_lost_node(600), since=HOUR), ()),
    ("not_stopping", state("stopping", pods(), since=HOUR), ()),
    ("stopping", state("draining", UNREADY, since=60), ()),
    *((name, state("errored", reported, ledger=STARTED), ()) for name, reported in POD_CAUSES.items()),
    ("crashing", state("errored", waiting(None, restart_count=3), ledger=STARTED), ()),
    # Nothing was changed in the last days: something that it depends on may have.
    *((f"{name}_unchanged", state("errored", POD_CAUSES[name]), ()) for name in ("exit_error", "crashing", "ended")),
    ("exit_error_unchanged", state("errored", crashing(1), ledger={"newest": {"scaled": NOW - HOUR}}), ()),
    ("exit_error_unchanged", state("errored", crashing(1), ledger={"newest": {"started": NOW - 8 * DAY}}), ()),
    ("exit_error", state("errored", crashing(1), details={"refused": frozenset({"events"})}), ()),
    ("failed_waiting", state("errored", waiting(None, restart_count=0)), ()),
    ("exit_error_since_change", state("errored", crashing(1), ledger={
        "newest": {"replacement_completed": NOW - HOUR}}), ()),
    ("exit_error", state("errored", Pods((Proton("x", status="errored"),), {"x": crashing(1).details["p"]}),
                         ledger=STARTED), ()),
    *(
        (f"new_version_{name}", state(reported=both(READY, reported), replacement=ROLLING), ())
        for name, reported in POD_CAUSES.items()
    ),
    *((f"reverted_{name}", state(), (failed_with(reported),)) for name, reported in POD_CAUSES.items()),
    ("reverted_unready", state(), (msgspec.structs.replace(failed_with(UNREADY), message="not in time"),)),
    # Without the word of an event, it may have been cancelled.
    ("reverted", state(ledger={"rollout_failed": NOW - 60, "failed_pods": {
        "x": episodes.PodFacts("c", started=NOW - 600)}}), ()),
    ("failed_unready", state("errored", UNREADY), ()),
    ("failed_unready_for_long", state("errored", unready(2 * HOUR, 2 * HOUR)), ()),
    # A container that ended days ago, and is not ready for another reason.
    ("failed_unready", state("errored", pods(replica(container(ready=False, ended=("Error", 1, ago(DAY)))))), ()),
    ("start_unready", state("launching", UNREADY, since=60), ()),
    ("start_unready", state("launching", unready(50 * MINUTE, 50 * MINUTE)), ()),
    ("start_unready_for_long", state("launching", unready(2 * HOUR, 2 * HOUR)), ()),
    ("creating_for_long", state("provisioning", waiting("ContainerCreating"), since=HOUR), ()),
    ("creating", state("provisioning", waiting("ContainerCreating"), since=60), ()),
    ("monitor_silent", state("provisioning", Pods((Proton("p"),), {"p": None}), since=HOUR,
                            details={"fresh": {"pods": True}}), ()),
    ("start_unknown", state("submitted", None, since=60), ()),
    ("starting", state("submitted", READY, since=60), ()),
    ("failed_unknown", state("errored", None), ()),
    ("failed_before", state("errored", pods()), ()),
    ("failed_but_ready", state("errored", READY), ()),
    ("no_pod", state("running", pods()), ()),
    ("none_ready", state("running", UNREADY), ()),
    ("none_ready", state("running", unready(600, 600)), ()),
    ("none_ready_for_long", state("running", unready(2 * HOUR, 2 * HOUR)), ()),
    *(("none_ready_any_more", state(status, unready(600, DAY)), ())
      for status in ("running", "launching", "errored", "Quarantined")),
    ("none_ready_any_more", state("running", unready(600, DAY, *unready_pod(300, DAY))), ()),
    ("none_ready_at_once", state("running", unready(600, DAY, *unready_pod(560, DAY))), ()),
    *(("node_lost", state(status, on_lost_node(600)), ()) for status in ("running", "launching", "errored")),
    ("some_nodes_lost", state("running", on_lost_node(600, replica(container(), name="two"))), ()),
    ("some_unready_any_more", state("running", unready(600, DAY, replica(container(), name="two"))), ()),
    ("some_unready", state("running", pods(replica(container(ready=False)), replica(container(), name="two"))), ()),
    ("some_unready_for_long", state("running", unready(2 * HOUR, 2 * HOUR, replica(container(), name="two"))), ()),
    ("too_few_pods", state("running", READY, runtime=runtime(2)), ()),
    ("waking", state("running", waiting("PodInitializing")), ()),
    ("down_unknown", state("running", None, ledger={"serving": ServingRecord(ready=True, down=NOW - 300)}), ()),
    ("list_unreadable", state("running", READY, parts={"held": {"name": NOW - 60}}), ()),
    ("routes_fail", state("running", READY, importance="high", details={
        "failed": {"pods": "server_error", "events": "decode"}}), ()),
    ("well", state("running", READY, details={"failed": {"pods": "server_error", "events": "decode"}}), ()),
    ("well", state("running", READY, importance="high", details={"failed": {"pods": "server_error"}}), ()),
    ("errors_since_change", state(details={"windows": stats(server_errors=600)}, ledger={
        "newest": {"replacement_completed": NOW - HOUR}}), ()),
    ("outage", state(details={"windows": stats(server_errors=600)}), ()),
    ("outage", state(details={"windows": stats(server_errors=600)}, ledger=STARTED), ()),
    ("outage_since_start", state(details={"windows": stats(server_errors=600)}, ledger={
        "newest": {"started": NOW - 10 * MINUTE}}), ()),
    ("errors", state(details={"windows": stats(server_errors=60)}, ledger={
        "newest": {"started": NOW - 10 * MINUTE}}), ()),
    ("errors", state(details={"windows": stats(server_errors=60)}), ()),
    ("errors", state(details={"windows": stats(server_errors=60)}), (Event("e", ago(DAY), "Replacement Completed"),)),
    ("no_bundle", state(), (msgspec.structs.replace(REVERTED, message="ResourceBundleInferenceError: none"),)),
    ("reverted", state(), (REVERTED,)),
    ("reverted_with_reason", state(), (msgspec.structs.replace(REVERTED, message="not ready in time"),)),
    ("no_placement", state(), (msgspec.structs.replace(REVERTED, message="no recorded placement for it"),)),
    *((f"retried_{name}", state(replacement=ROLLING, ledger={"rollout_failed": NOW - 60}), (failed_with(reported),))
      for name, reported in POD_CAUSES.items()),
    ("retried", state(replacement=ROLLING, ledger={"rollout_failed": NOW - 60}), ()),
    ("replacement_unready", state(reported=both(READY, UNREADY), ledger={
        "rollout": ReplacementCursor(NOW - 2 * HOUR, ("r",))},
        replacement=msgspec.structs.replace(ROLLING, created_at=ago(2 * HOUR))), ()),
    ("reverted", state(ledger={"rollout_failed": NOW - 100}), ()),
    ("replicas_limit", state(runtime=runtime(1, 2), parts={"replicas_limit": 2},
                            reported=pods(replica(container()), replica(container(), name="two"))), ()),
    ("saturated", state(runtime=runtime(1, 2, policies=(BUSY,)), details=LOADED,
                       reported=pods(replica(container()), replica(container(), name="two"))), ()),
    ("memory", state(runtime=runtime(resolved_bundle=BIG), details={"usage": USED}), ()),
    ("slow", state(details={"windows": stats(p95=12.0)}), ()),
    ("slow", state(details={"windows": stats(slow_requests=200)}), ()),
    ("refuses", state(details={"windows": stats(user_errors=700)}), ()),
    ("crashed_lately", state(reported=pods(replica(container(ended=("Error", 1, ago(900)), restart_count=1)))), ()),
    ("errors_lately", state(details={"windows": {name: Window(
        NOW - 100, NOW, RequestMetrics(total_requests=50_000, server_errors=errors, user_errors=0))
        for name, errors in (("5m", 0), ("30m", 1000), ("2h", 2000), ("1d", 2000))}}), ()),
    ("slow_lately", state(parts={"objective": Objective(latency=0.95, slower=1.0)}, details={"windows": {name: Window(
        NOW - 100, NOW, RequestMetrics(total_requests=1000, slow_requests=80, server_errors=0, user_errors=0))
        for name in ("30m", "6h", "3d")}}), ()),
    ("down_lately", state(parts={"objective": Objective(readiness=0.99)}, ledger={"objectives": ObjectiveCounts(
        NOW - 4 * DAY, NOW, Totals(ready=900, down=100))}), ()),
    ("draft_ends", state(reported=OLD, artifact=DRAFT), ()),
    ("fewer", state("unknown", READY, runtime=runtime(3), ledger=FEWER), ()),
    ("down", state("unknown", pods(), ledger={"serving": ServingRecord(down=NOW - HOUR)}), ()),
    ("bundle_of_other_use", state(runtime=runtime(resource_bundles=("jobs",)), parts={
        "catalogue": {"new": Bundle("new")}, "other_uses": frozenset({"jobs"})}), ()),
    ("bundle_gone", state(runtime=runtime(resource_bundles=("old",)), parts={"catalogue": {"new": Bundle("new")}}), ()),
    ("replacement_stuck", state(replacement=msgspec.structs.replace(ROLLING, created_at=ago(2 * HOUR)), ledger={
        "rollout": ReplacementCursor(NOW - 2 * HOUR, ("r",))}), ()),
    ("replacing", state(replacement=ROLLING), ()),
    ("traffic_stopped", state(details={"windows": {
        "1h": stats(0)["1h"], "1d": Window(NOW - DAY, NOW, RequestMetrics(total_requests=5000))}}), ()),
    ("idle", IDLE, ()),
    ("undersized", sized(1.0), ()),
    ("oversized", sized(0.1), ()),
    ("zero", state(reported=pods(), runtime=runtime(0, 2)), ()),
    # A container that serves for some minutes between two ends.
    ("exit_error", state(reported=pods(replica(container(ended=("Error", 1, ago(120)), restart_count=9))),
                         runtime=runtime(2), ledger=STARTED | FEWER), ()),
    ("exit_0", state(reported=pods(replica(container(ended=("Completed", 0, ago(120)), restart_count=9))),
                     runtime=runtime(2), ledger=FEWER), ()),
    ("well", state(), ()),
    ("well", state(reported=pods(replica(container(ended=("Error", 1, ago(DAY)), restart_count=1)))), ()),
    # One that failed and went well afterwards is history, and so is one of yesterday.
    ("well", state(), (REVERTED, Event("f", ago(60), "Replacement Completed"))),
    ("well", state(), (msgspec.structs.replace(REVERTED, timestamp=ago(DAY)),)),
    ("well_unknown", state(reported=None), ()),
    # Pods that could not be read are neither well nor gone.
    ("pods_refused", state(reported=None, details={"refused": frozenset({"pods"})}), ()),
    ("pods_refused", state(reported=None, details={"refused": frozenset({"pods", "events"})}), ()),
    *(("access_reduced", state(status, None, details={"refused": frozenset({"pods", "events"})},
                               ledger={"seen_events": ()}), ()) for status in ("running", "Quarantined")),
    ("pods_refused", state(reported=unread(both(READY, READY), p="forbidden")), ()),
    ("pods_failed", state(reported=None, details=FAILED), ()),
    ("pods_failed", state(reported=unread(both(READY, READY), p="server_error")), ()),
    ("pods_failed", state(reported=unread(both(READY, READY), p="server_error"), replacement=ROLLING), ()),
    ("pods_failed", state(reported=unread(both(READY, READY), p="server_error")), (REVERTED,)),
    ("pods_failed", state(reported=unread(both(READY, waiting("ContainerCreating")), p="server_error")), ()),
    ("pods_unread", state(reported=None, details={"failed": {"pods": "timeout"}}), ()),
    ("pods_unread", state(reported=unread(pods(proton="o"), _="decode")), ()),
    ("start_refused", state("launching", None, since=60, details={"refused": frozenset({"pods"})}), ()),
    ("start_failed", state("launching", None, since=60, details=FAILED), ()),
    ("start_unread", state("launching", unread(both(READY, READY), p="decode"), since=60), ()),
    ("failed_unknown", state("errored", unread(both(READY, READY), p="server_error")), ()),
    ("failed_unknown", state("errored", lost()), ()),
    ("failed_but_ready", state("errored", pods(replica(container()), status="errored"), proton_id="gone"), ()),
    ("new_version_fails", state(reported=unread(both(READY, crashing(1)), p="server_error"), replacement=ROLLING), ()),
    ("new_version_exit_error", state(reported=unread(both(READY, crashing(1)), _="decode"), replacement=ROLLING), ()),
    ("outage_pods_unknown", state(reported=lost(), details={"windows": stats(server_errors=600)}), ()),
    ("outage_pods_unknown", state(reported=None, details={"windows": stats(server_errors=600), **FAILED}), ()),
    ("errors_pods_unknown", state(reported=None, details={"windows": stats(server_errors=60)}), ()),
    ("readiness_unknown", state(reported=lost()), ()),
    ("readiness_unknown", state(reported=lost("Unknown")), ()),
    ("readiness_unknown", state(reported=pods(replica(container()), *(lost().details["p"].replicas or ())),  # type: ignore[union-attr]  # the example has it
                               runtime=runtime(2)), ()),
    # One more than needed, or a draining one, may be unknown; a known problem comes first.
    ("well", state(reported=pods(replica(container()), *(lost().details["p"].replicas or ()))), ()),  # type: ignore[union-attr]  # the example has it
    ("well", state(reported=unread(both(READY, READY), c="server_error")), ()),
    ("exit_error", state(reported=unread(both(crashing(1), READY), c="server_error"), ledger=STARTED), ()),
    ("slow", state(reported=None, details={"windows": stats(p95=12.0), **FAILED}), ()),
    ("suspended", state("suspended", None, details=FAILED), ()),
    # The serving version may be unreported while another version is reported.
    ("well_unknown", state(reported=Pods(both(READY, READY).protons, {**both(READY, READY).details, "p": None})), ()),
    # An unknown status hides nothing of what the pods show.
    ("exit_error", state("Quarantined", crashing(1), ledger=STARTED), ()),
    ("unknown_none_ready", state("Quarantined", UNREADY), ()),
    ("unknown_none_ready", state("Quarantined", pods()), ()),
    ("unknown", state("Quarantined", lost()), ()),
    ("unknown", state("Hibernating"), ()),
    ("unknown", state(None, None), ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "of", "events"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_the_cause_is_found(name: str, of: WorkloadState, events: tuple[Event, ...]) -> None:
    assert diagnosis(of, NOW, DEFAULT, events).cause.name == name


@pytest.mark.parametrize(
    "reported",
    [
        on_lost_node(600, reason="ReadinessGatesNotReady"),
        pods(replica(container(), container("sidecar", ready=None), conditions=(
            PodCondition(type="Ready", value=False, last_transition_time=ago(600)),))),
        pods(replica(conditions=(PodCondition(type="Ready", value=False, last_transition_time=ago(600)),))),
        pods(replica(container(), conditions=(PodCondition(type="Ready", value=False),))),
    ],
    ids=["a gate", "a container of unknown readiness", "no container", "an unknown time"],
)  # fmt: skip
def test_a_node_is_lost_only_if_the_condition_alone_says_that_a_pod_is_not_ready(reported: Pods) -> None:
    assert diagnosis(state("running", reported), NOW, DEFAULT).cause.name != "node_lost"


@pytest.mark.parametrize(
    ("status", "reported", "impossible"),
    [
        ("suspended", None, ["start it"]),  # ignored while it is suspended
        ("terminated", None, ["start it"]),  # final
        ("running", pods(), ["then start it"]),  # a start is ignored while it is reported as running
        ("running", waiting("ImagePullBackOff", message="manifest unknown"), ["start it", "restart it"]),
        ("errored", waiting("ImagePullBackOff", message="manifest unknown"), ["start it", "restart it"]),
        ("errored", waiting("ErrImagePull", message="pull access denied"), ["start it", "restart it"]),
        ("provisioning", Pods((Proton("p"),), {"p": None}), ["otherwise start it"]),
    ],
)
def test_a_next_step_can_work(status: str, reported: Pods | None, impossible: list[str]) -> None:
    of = state(status, reported, since=HOUR, details={"fresh": {"pods": True}})
    step = diagnosis(of, NOW, DEFAULT).cause.next_step
    assert not [words for words in impossible if words in step.casefold()], step


@pytest.mark.parametrize("name", POD_CAUSES)
def test_the_next_step_for_a_rolled_back_version_ends_with_a_new_replacement(name: str) -> None:
    """Nothing is retried by itself, and there is nothing left to roll back."""
    step = diagnosis(state(), NOW, DEFAULT, (failed_with(POD_CAUSES[name]),)).cause.next_step
    assert "tart the replacement again during working hours: the previous version still serves." in step
    wrong = ["is retried", "a new pod", "wait", "roll back", "and replace it", "then replace the artifact"]
    assert not [words for words in wrong if words in step.casefold()], step


@pytest.mark.parametrize("name", POD_CAUSES)
def test_the_next_step_for_a_version_that_does_not_serve_yet_is_no_rollback(name: str) -> None:
    rolling = state(reported=both(READY, POD_CAUSES[name]), replacement=ROLLING)
    assert "roll back" not in diagnosis(rolling, NOW, DEFAULT).cause.next_step.casefold()


def test_the_next_step_names_who_can_act_on_a_suspended_workload() -> None:
    step = diagnosis(state("suspended", None), NOW, DEFAULT).cause.next_step
    assert "ask its owner and the platform administrators to lift the suspension" in step
    assert "starting it has no effect" in step


def test_a_page_about_a_condition_that_is_no_longer_met_does_not_say_that_there_is_no_problem() -> None:
    burn, down = "DataRobotErrorBudgetBurnFast", "DataRobotWorkloadNoReadyReplica"
    for alert, name in ((burn, "errors_lately"), (down, "recovering"), ("", "well")):
        assert diagnosis(state(), NOW, DEFAULT, recovering=alert).cause.name == name
    assert diagnosis(state(reported=UNREADY), NOW, DEFAULT, recovering=burn).cause.name == "none_ready"


def test_every_cause_has_a_case_and_a_name_of_its_own() -> None:
    names = [cause.name for cause in CAUSES]
    assert len({*names}) == len(names)
    assert {*names} == {name for name, *_ in CASES} | {"recovering"}


def test_causes_are_sentences_and_their_runbooks_are_those_of_alerts() -> None:
    alerts = {alert.name for alert in ALERTS if alert.component == "workload"}
    for cause in CAUSES:
        for words in (cause.text, cause.next_step):
            assert words[0].isupper(), cause.name
            assert words.endswith("."), cause.name
            assert len(words) <= 200, cause.name
        assert cause.alert in alerts or not cause.alert


# -- the words

OWNED = DEFAULT._replace(owner_tags=("owner", "team"))


@pytest.mark.parametrize(
    ("tags", "options", "words"),
    [
        ((Tag("Team", "claims"), Tag("owner", "jane@example.test")), OWNED, "jane@example.test, claims"),
        ((Tag("team", "claims"), Tag("team", "on call"), Tag("team", "claims")), OWNED, "claims, on call"),
        ((Tag("team", "a\x1b\n\u202eb"),), OWNED, "a   b"),
        ((Tag("team", "x" * 200), Tag("team", "y")), OWNED, "x" * 116 + " ..."),
        ((Tag("team", " "), Tag("team", None), Tag(None, "z"), Tag("stage", "test")), OWNED,
         "unknown: it has no tag owner or team"),
        (None, OWNED, "unknown: it has no tag owner or team"),
        ((Tag("team", "claims"),), DEFAULT, None),
    ],
)  # fmt: skip
def test_the_owner_is_named_by_the_tags_of_the_settings(
    tags: tuple[Tag, ...] | None, options: Options, words: str | None
) -> None:
    assert said(state(tags=tags), options=options).get("Owner") == words
    known = words is not None and not words.startswith("unknown")
    assert as_json(diagnosis(state(tags=tags), NOW, options))["owner"] == (words if known else None)


DOWN = {"serving": ServingRecord(ready=True, down=NOW - 300)}


def said(of: WorkloadState, *events: Event, options: Options = DEFAULT) -> dict[str, str]:
    return dict(evidence(diagnosis(of, NOW, options, events)))


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (state("errored", since=7 * MINUTE), "errored since 07:53 UTC (7 min)"),
        (state("errored", since=2 * DAY, first=5 * DAY), "errored since 2027-01-13 08:00 UTC (2 d)"),
        (state("errored", since=DAY, first=HOUR),
         "errored since before 2027-01-14 08:00 UTC, when it was first observed (1 d ago)"),
        (state("errored", since=30, first=30), "errored; start time unknown"),
        (state("Errored ", ledger={"transitions": {"errored": 3}}),
         "errored since 07:40 UTC (20 min); 3 failures observed"),
        # The API says itself since when a version runs, but not in the future.
        (state(since=0, first=0, reported=pods(running_since=ago(HOUR))), "running since 07:00 UTC (1 h)"),
        (state(since=0, first=0, reported=pods(running_since=ago(-HOUR))), "running; start time unknown"),
        (state(parts={"vanished": NOW - 120}),
         "no longer listed since 07:58 UTC (2 min); reason unknown"),
        (state(parts={"vanished": NOW - 120, "gone_because": "forbidden"}),
         "no longer listed since 07:58 UTC (2 min); the API responds with 403"),
    ],
)  # fmt: skip
def test_the_time_in_the_state_is_reported_or_said_to_be_unknown(of: WorkloadState, words: str) -> None:
    assert said(of)["State"] == words


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (state(), "yes (1 of 1 replicas ready)"),
        (state(reported=UNREADY), "no (0 of 1 replicas ready)"),
        (state("launching", reported=UNREADY), "not yet (0 of 1 replicas ready)"),
        # One that served, and whose status says that it starts.
        (state("launching", reported=UNREADY, ledger=DOWN),
         "no (0 of 1 replicas ready, none for 5 min, since 07:55 UTC)"),
        (state("running", reported=UNREADY, ledger=DOWN),
         "no (0 of 1 replicas ready, none for 5 min, since 07:55 UTC)"),
        # One that was never observed ready: it may be down for longer.
        (state("running", reported=UNREADY, ledger={"serving": ServingRecord(down=NOW - 300)}),
         "no (0 of 1 replicas ready, none since before 07:55 UTC)"),
        (state("running", reported=UNREADY, ledger={"serving": ServingRecord(down=NOW - 1)}),
         "no (0 of 1 replicas ready)"),
        (state("running", reported=lost(), ledger=DOWN), "unknown (0 of 1 replicas ready; readiness of 1 unknown)"),
        (state(runtime=runtime(2)), "partly (1 of 1 replicas ready; 2 desired)"),
        (state(runtime=runtime(1, 4)), "yes (1 of 1 replicas ready; 1 to 4 desired)"),
        (state(runtime=None), "yes (1 of 1 replicas ready; desired number unknown)"),
        (state(details={"windows": stats(server_errors=600)}),
         "barely, 60% of requests get a server error (1 of 1 replicas ready)"),
        (state(details={"windows": stats(server_errors=994)}),
         "barely, 99% of requests get a server error (1 of 1 replicas ready)"),
        (state(details={"windows": stats(server_errors=995)}),
         "no, 100% of requests get a server error (1 of 1 replicas ready)"),
        (state(details={"windows": stats(server_errors=20)}),
         "mostly, 2.0% of requests get a server error (1 of 1 replicas ready)"),
        (state(details={"windows": stats(server_errors=19)}), "yes (1 of 1 replicas ready)"),
        (state(details={"windows": stats(19, server_errors=19)}), "yes (1 of 1 replicas ready)"),  # too few
        (state(reported=None, parts={"vanished": NOW, "gone_because": "not_found"}), "unknown"),
        (state(reported=None, parts={"vanished": NOW, "gone_because": "forbidden"}), "unknown"),
        (state(reported=pods(Replica(name="x", status="running"))),
         "unknown (0 of 1 replicas ready; readiness of 1 unknown)"),
        (state(reported=lost()), "unknown (0 of 1 replicas ready; readiness of 1 unknown)"),
        (state(reported=unread(both(READY, READY), p="server_error")),
         "unknown (ready replicas not reported; 1 desired)"),
        (state(reported=pods()), "no (no live pods; 1 desired)"),
        (state("stopped", reported=pods()), "no (no replicas, as expected while stopped)"),
        (state(reported=pods(), runtime=runtime(0, 3)),
         "yes, on request (scaled to zero because there are no requests, which is normal; 0 to 3 desired)"),
        (state(reported=None), "unknown (ready replicas not reported; 1 desired)"),
    ],
)  # fmt: skip
def test_serving_is_stated_and_unknown_is_not_zero(of: WorkloadState, words: str) -> None:
    assert said(of)["Serving"] == words


def test_another_part_that_could_not_be_fetched_is_named_with_its_reason() -> None:
    found = diagnosis(state(), NOW, DEFAULT).with_unknown("settings", "file not found").with_unknown("events", "503")
    assert found.facts.unknown == {"settings": "file not found", "events": "503"}


@pytest.mark.parametrize("reason", GONE_REASONS)
def test_every_response_for_one_that_is_gone_has_its_words(reason: str) -> None:
    result = diagnosis(state(parts={"vanished": NOW - 120, "gone_because": reason}), NOW, DEFAULT)
    assert dict(evidence(result))["State"].startswith("no longer listed since 07:58 UTC (2 min); ")
    assert text(result)
    assert as_json(result)


def test_nothing_is_said_of_the_replicas_of_one_that_is_gone() -> None:
    result = said(state(reported=crashing(1), parts={"vanished": NOW}))
    assert not {"Containers", "Requests", "Unknown"} & result.keys()


@pytest.mark.parametrize(
    ("reported", "words"),
    [
        (crashing(1),
         "main (pod pod): waiting with CrashLoopBackOff, last terminated with exit code 1 (Error) 30 s ago, 4 "
         "restarts"),
        (waiting(None), "main (pod pod): waiting (no reason reported)"),
        (unready(300, 300), "main (pod pod): running but not ready (for 5 min)"),
        (unready(300, DAY), "main (pod pod): running but no longer ready (for 5 min)"),
        (unready(-300, -300), "main (pod pod): running but not ready"),
        (pods(*[unready(n, DAY).details["p"].replicas[0] for n in (60, 300)]),  # type: ignore[union-attr,index]  # the example has it
         "main (2 pods): running but no longer ready (for 5 min)"),
        (waiting("ErrImagePull", image="registry.test/x:1"),
         "main (pod pod): waiting with ErrImagePull, image registry.test/x:1"),
        (on_lost_node(300),
         "main (pod pod): ready when its node last reported it, but the pod is not ready (for 5 min)"),
        (on_lost_node(300, *on_lost_node(600).details["p"].replicas),  # type: ignore[union-attr,misc]  # it has pods
         "main (2 pods): ready when their nodes last reported it, but the pods are not ready (for 10 min)"),
        (on_lost_node(-300), "main (pod pod): ready when its node last reported it, but the pod is not ready"),
        (UNREADY, "main (pod pod): running but not ready"),
        (pods(replica(container(ready=False, ended=("Error", None, None)))),
         "main (pod pod): not ready, last terminated (Error)"),
        (pods(replica(container("", ready=False, restart_count=1))),
         "a container (pod pod): running but not ready, 1 restart"),
        (waiting("ErrImagePull", message="GET 10.1.2.3: denied\nfor me@example.test"),
         "main (pod pod): waiting with ErrImagePull, message: GET [address]: denied for [e-mail]"),
        (pods(*[replica(container(ready=False, ended=("Error", 1, ago(n))), name=str(n)) for n in (300, 60)]),
         "main (2 pods): not ready, last terminated with exit code 1 (Error) 1 min ago"),
        (pods(*[replica(container(f"c{n}", ready=False)) for n in range(6)]),
         "; ".join(f"c{n} (pod pod): running but not ready" for n in range(4)) + "; and 2 more"),
    ],
)  # fmt: skip
def test_containers_with_problems_are_listed_up_to_a_limit(reported: Pods, words: str) -> None:
    assert said(state(reported=reported))["Containers"] == words


def test_an_outgoing_version_is_no_problem() -> None:
    leaving = msgspec.structs.replace(UNREADY.protons[0], id="old", status="draining")
    result = Pods((*READY.protons, leaving), {**READY.details, "old": UNREADY.details["p"]})
    assert "Containers" not in said(state(reported=result))


@pytest.mark.parametrize(
    ("reported", "words"),
    [
        (lacking("Insufficient nvidia.com/gpu"),
         "1 pod: no node has a free GPU: Insufficient nvidia.com/gpu"),
        (lacking("some taint"), "1 pod: no node accepts it: some taint"),
        (pods(*[lacking("Insufficient cpu").details["p"].replicas[0]] * 2),  # type: ignore[union-attr,index]  # the example has it
         "2 pods: no node has enough CPU: Insufficient cpu"),
    ],
)  # fmt: skip
def test_unschedulable_pods_are_listed_with_the_message_of_the_scheduler(reported: Pods, words: str) -> None:
    assert said(state(reported=reported))["Unschedulable"] == words


def tracker(**facts: Any) -> dict[str, Any]:
    return {"tracker": EpisodeTracker(**facts)}


def over(kind: episodes.EpisodeKind, ended: float, cause: str = "", reported: float | None = None) -> Episode:
    return Episode(kind, Mark(NOW - HOUR), ended=Mark(NOW - ended, reported=reported), cause=cause)


@pytest.mark.parametrize(
    ("of", "events", "words"),
    [
        (state(), (Event("e", ago(60), "Replacement Completed"),), "a replacement completed at 07:59 UTC, 1 min ago"),
        (state(), (REVERTED,), "a replacement failed and was rolled back at 07:50 UTC, 10 min ago"),
        (state(ledger={"newest": {"promoted": NOW - 60, "other": NOW}, "reset_at": NOW - 50}), (),
         "its draft was promoted at 07:59 UTC, 1 min ago"),
        (state(ledger={"reset_at": NOW - 60}), (),
         "its statistics were reset (it was promoted, or they were cleared) at 07:59 UTC, 1 min ago"),
        # The same change is reported once: by the event, by our own watching, by the record of its trace.
        (state(ledger={"rollout_failed": NOW - 590}), (REVERTED,),
         "a replacement failed and was rolled back at 07:50 UTC, 10 min ago"),
        (state(ledger=tracker(over=(over("stop", 60, reported=NOW - 70), over("failure", 300, "crashed"),
                                  over("flapping", 300)))), (),
         "its last run ended at 07:58 UTC, 1 min ago"),
        (state(ledger=tracker(past=(
            Past("", "failure", "", "", NOW - 400, NOW - 390), Past("", "start", "", "", NOW - 400, NOW - 380),
            Past("", "deletion", "", "", NOW - 400, NOW - 380)))), (),
         "it finished starting at 07:53 UTC, 6 min ago"),
        (state(reported=pods(replica(container()), created_at=ago(60))), (),
         "its newest version was created at 07:59 UTC, 1 min ago"),
        (state(reported=pods(replica(container()), created_at=ago(400))),
         (Event("e", ago(60), "Replacement Completed"),),
         "a replacement completed at 07:59 UTC, 1 min ago"),
        (state(replacement=ROLLING), (REVERTED,),
         "a new version is being rolled out (awaiting promotion) since 07:55 UTC, 5 min ago; a replacement failed "
         "and was "
         "rolled back at 07:50 UTC, 10 min ago"),
        (state(artifact_id="a", replacement=Replacement(status="switching", candidate_artifact_id="a"),
              ledger={"rollout": ReplacementCursor(NOW - 60)}), (),
         "new settings are being rolled out (switching) since 07:59 UTC, 1 min ago"),
        (state(replacement=Replacement(status="switching"), reported=pods(replica(container()), created_at=ago(DAY)),
              ledger={"rollout": ReplacementCursor(NOW - 60, whole=False)}), (),
         "a new version is being rolled out (switching) (time unknown)"),
        (state(), (Event("e", ago(8 * DAY), "Scaled"),), "none reported in the last 7 days"),
        (state(), (Event("e", "no time", "Scaled"),), "none reported in the last 7 days"),
    ],
)  # fmt: skip
def test_each_change_is_listed_once(of: WorkloadState, events: tuple[Event, ...], words: str | None) -> None:
    assert said(of, *events).get("Changes") == words


RUN = Run("main", None, NOW - 120, "Error", 3)
FAILING = {
    "one": episodes.PodFacts(
        "gone", problem="CrashLoopBackOff", container="main", restarts=2, runs=(RUN,), message="token=x"
    ),
    "two": episodes.PodFacts("gone", problem="OOMKilled", container="main"),
    "none": episodes.PodFacts("gone", problem="Unschedulable"),
}


def test_that_nothing_changed_is_said_only_if_the_events_could_be_read() -> None:
    assert said(state())["Changes"] == "none reported in the last 7 days"
    for unread in ({"refused": frozenset({"events"})}, {"fresh": {"events": False}}):
        assert said(state(details=unread))["Changes"] == "unknown: the events could not be read"


def test_a_version_that_failed_and_is_still_listed_is_shown_once() -> None:
    """The record of its replacement may stay for a while after the event about its failure."""
    ended = msgspec.structs.replace(ROLLING, status="errored")
    event = msgspec.structs.replace(REVERTED, details=EventDetails(proton_statuses={"c": crashing(1).details["p"]}))  # type: ignore[dict-item]  # the example has it
    result = diagnosis(state(reported=both(READY, crashing(1)), replacement=ended), NOW, DEFAULT, (event,))
    assert result.cause.name == "reverted_exit_error"
    assert dict(evidence(result))["Containers"] == (
        "main of the rolled-back version (pod pod): waiting with CrashLoopBackOff, last terminated with exit code "
        "1 (Error) 30 s ago, 4 restarts"
    )


def test_recorded_pods_of_a_rolled_back_version_are_listed() -> None:
    failed = state(ledger={"rollout_failed": NOW - 60, "failed_pods": FAILING})
    result = diagnosis(failed, NOW, DEFAULT)
    assert result.cause.name == "reverted_out_of_memory"
    assert dict(evidence(result))["Containers"] == (
        "main of the rolled-back version: waiting with CrashLoopBackOff, last terminated with exit code 3 (Error) "
        "2 min ago, 2 restarts, message: token=[…]; main of the rolled-back version: not ready, last terminated "
        "(OOMKilled)"
    )
    assert dict(evidence(result))["Unschedulable"] == "1 pod of the rolled-back version: no node accepts it"
    assert "Containers" not in said(failed._replace(ledger=msgspec.structs.replace(failed.ledger, rollout_failed=None)))


def test_pods_of_a_replacement_that_has_just_ended_are_listed_although_its_record_and_its_pods_are_gone() -> None:
    crashed = episodes.PodFacts("c", problem="CrashLoopBackOff", container="main", ended="Error", exit_code=1)
    ended = ReplacementCursor(NOW - 300, ("r", "c"), "p", ended=NOW - 30)
    seen = tracker(pods={"x": crashed}, rollout=Episode("replacement", Mark(NOW - 300), candidates=("c",)))
    of = state(ledger={"rollout": ended, **seen})
    assert diagnosis(of, NOW, DEFAULT).cause.name == "reverted_exit_error"
    assert said(of)["Containers"] == (
        "main of the rolled-back version: waiting with CrashLoopBackOff, last terminated with exit code 1 (Error)"
    )


def test_without_pods_in_its_event_the_recorded_pods_of_a_failed_replacement_are_listed() -> None:
    bare = Event("e", ago(60), "Replacement Errored")
    assert diagnosis(
        state(ledger={"rollout_failed": NOW - 60, "failed_pods": FAILING}), NOW, DEFAULT, (bare,)
    ).cause.name == ("reverted_out_of_memory")


@pytest.mark.parametrize(
    ("events", "kept", "words"),
    [
        ((Event("a", ago(60), "Scaled"), Event("b", ago(90), "Started")), None, "Scaled: 07:59 UTC, 1 min ago"),
        ((Event("a", None, message="token=abc"),), None, "unknown: time unknown: token=[…]"),
        ((), ObservedEvent("Replacement Errored", NOW - 60, "no luck"),
         "Replacement Errored: 07:59 UTC, 1 min ago: no luck"),
        ((), None, None),
    ],
)  # fmt: skip
def test_the_last_event_is_shown(events: tuple[Event, ...], kept: ObservedEvent | None, words: str | None) -> None:
    assert said(state(ledger=tracker(last=kept)), *events).get("Last event") == words


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (stats(server_errors=71, user_errors=9),
         "1000 in the 5 min before 07:58 UTC, 7.1% server errors (5xx; 1 h: 7.1%), "
         "0.9% client errors (4xx), 95% within 0.10 s"),
        ({"5m": stats(slow_requests=210, p95=30)["5m"]},
         "1000 in the 5 min before 07:58 UTC, 0% server errors (5xx), 21% slow, 95% within 30 s"),
        (stats(0), "none in the 5 min before 07:58 UTC"),
        ({"5m": Window(NOW - 300, NOW, RequestMetrics(total_requests=9))}, "9 in the 5 min before 08:00 UTC"),
        ({"5m": Window(NOW - 300, NOW, RequestMetrics())}, None),
        ({"1h": stats()["1h"]}, None),
    ],
)  # fmt: skip
def test_requests_are_shown_if_they_are_known(windows: dict[str, Window], words: str | None) -> None:
    assert said(state(details={"windows": windows})).get("Requests") == words


@pytest.mark.parametrize(
    ("of", "title", "words"),
    [
        (state(runtime=runtime(resource_bundles=("old", "new")), parts={"catalogue": {"new": Bundle("new")}}),
         "Limits", "the catalogue does not offer its resource bundle old to workloads"),
        (state(runtime=runtime(1, 2, policies=(BUSY,)), details=LOADED,
              reported=pods(replica(container()), replica(container(), name="two"))),
         "Limits", "the autoscaler is at its maximum of 2 replicas, and the load is 2.5 times its target"),
        (state(runtime=runtime(1, 2), parts={"replicas_limit": 2},
               reported=pods(replica(container()), replica(container(), name="two"))),
         "Limits", "its maximum is 2 replicas, and its account allows a workload 2"),
        (state(runtime=runtime(resolved_bundle=BIG), details={"usage": USED}),
         "Limits", "99% of the memory of its resource bundle is in use (2 GiB per replica)"),
        (state(details={"windows": {name: Window(NOW - 100, NOW, RequestMetrics(
            total_requests=50_000, server_errors=2000, user_errors=0)) for name in ("5m", "30m", "2h", "1d")}}),
         "Error budget", "server errors 4.00% over 30m, 4.00% over 2h, 4.00% over 1d; 0.50% allowed"),
        (IDLE, "Use", "no requests since 2026-12-26, although its replicas are ready"),
        (sized(1.0), "Use", "its resource bundle is undersized for the use of the last days; no bundle of the "
                            "catalogue with the same GPUs would fit"),
        (sized(0.1), "Use", "its resource bundle is oversized for the use of the last days; small would fit"),
        (sized(0.1, artifact=DRAFT, reported=pods(replica(container()), running_since=ago(7.5 * HOUR))),
         "Limits", "a draft, which the platform stops at 08:30 UTC, in 30 min"),
        (state(artifact=DRAFT, reported=pods(replica(container()), running_since=ago(7.5 * HOUR))),
         "Limits", "a draft, which the platform stops at 08:30 UTC, in 30 min"),
        (state(), "Limits", None),
    ],
)  # fmt: skip
def test_limits_errors_and_use_are_shown(of: WorkloadState, title: str, words: str | None) -> None:
    assert said(of).get(title) == words


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (state(reported=None, details={"refused": frozenset({"pods", "events"})}),
         "pods, events: the API responds with 403: this token is not allowed to read them"),
        (state(details={"fresh": {"usage": False, "events": True}}),
         "CPU and memory usage: not reported recently; the last values are too old"),
        (state(reported=None, details={"windows": {}}), "pods, requests: not reported yet"),
        (state(reported=Pods((Proton("p"),), {"p": None})), "pods: the platform reports nothing about them (204)"),
        (state()._replace(held={"status": 1.0, "name": 1.0}),
         "item in the workload list: name, status not readable; the last readable value is shown for at most "
         "15 minutes"),
        (state("stopped", reported=Pods((Proton("p"),), {"p": None})), None),
        (state(reported=unread(both(READY, READY), p="server_error")),
         "pods: serving version p: server error (5xx)"),
        (state(reported=unread(both(READY, READY), c="forbidden", _="decode")),
         "pods: new version c: access is denied (403); give the token's user the role `user` on the workload; a "
         "version missing from the list: the response cannot be decoded"),
        (state("stopped", reported=unread(both(READY, READY), p="timeout")),
         "pods: serving version p: the API does not respond in time"),
        (state(reported=None, details=FAILED), "pods: not reported yet; server error (5xx)"),
        (state(reported=None, details={"fresh": {"pods": False}, **FAILED}),
         "pods: not reported recently; server error (5xx)"),
        (state(details={"failed": {"pods": "server_error", "events": "decode"}}),
         "pods: the last request failed, what was reported before is shown; server error (5xx); events: the last "
         "request failed, what was reported before is shown; the response cannot be decoded"),
        (state(details={"windows": {}, "failed": {"stats_5m": "timeout"}}),
         "requests: not reported yet; the API does not respond in time"),
        (state(reported=Pods(both(READY, READY).protons, {**both(READY, READY).details, "p": None})),
         "pods: the platform reports nothing about them (204)"),
        (state(), None),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(of: WorkloadState, words: str | None) -> None:
    assert said(of).get("Unknown") == words


@pytest.mark.parametrize(
    ("of", "known"),
    [
        (state(), True),
        (state(reported=crashing(1)), True),
        (state(reported=unread(both(READY, READY), c="server_error")), True),
        (state(reported=unread(both(READY, READY), p="server_error")), False),
        (state(reported=unread(both(READY, READY), _="decode")), True),
        (state(reported=unread(pods(proton="o"), _="decode")), False),
        (state(reported=lost()), False),
        (state(reported=lost(ready=False)), True),
        (state(reported=pods(replica(container()), *(lost().details["p"].replicas or ()))), True),  # type: ignore[union-attr]  # the example has it
        (state(reported=None), False),
        (state(reported=None, details=FAILED), False),
        (state(reported=Pods((Proton("p"),), {"p": None})), False),
        (state(reported=pods(), runtime=runtime(0, 2)), True),
        (state("launching", None), True),
        (state("launching", None, details=FAILED), False),
        (state("stopped", None, details=FAILED), True),
        (state("terminated", None), True),
        (state("Hibernating"), False),
        (state(reported=None, parts={"vanished": NOW}), True),
    ],
)
def test_whether_enough_is_known_to_say_that_it_is_well(of: WorkloadState, known: bool) -> None:
    result = diagnosis(of, NOW, DEFAULT)
    assert (result.facts.known, as_json(result)["known"]) == (known, known)
    assert known or (result.cause.name != "well" and "Its pods are healthy" not in result.cause.text)


def test_a_newest_version_that_may_not_be_listed_is_unknown() -> None:
    listed = pods(replica(container()), created_at=ago(HOUR))
    assert said(state(reported=listed))["Changes"] == "its newest version was created at 07:00 UTC, 1 h ago"
    assert said(state(reported=unread(listed, _="decode")))["Changes"] == "none reported in the last 7 days"


# -- links, and how loud it is

LINKED = DEFAULT._replace(
    dashboards="https://grafana.test",
    console="https://dr.test",
    status="https://exporter.test",
    traces="https://jaeger.test/search?id={workload_id}",
)


def test_links_lead_to_the_runbooks_of_the_cause_and_the_alert_and_to_the_workload() -> None:
    result = diagnosis(state("errored", crashing(1), importance="high", id="w/1"), NOW, LINKED)
    assert result.severity == "critical"
    assert result.links == (
        ("Runbook DataRobotContainerCrashLooping", "workload-exporter runbook DataRobotContainerCrashLooping"),
        ("Runbook DataRobotWorkloadErrored", "workload-exporter runbook DataRobotWorkloadErrored"),
        ("Status", "https://exporter.test/workloads/w%2F1?account=acme"),
        ("Dashboard", "https://grafana.test/d/datarobot-workload?var-account=acme&var-workload=w%2F1"),
        ("Console", "https://dr.test/console-nextgen/workloads/w%2F1/overview"),
        ("Traces", "https://jaeger.test/search?id=w%2F1"),
    )


def test_a_recovered_container_is_shown_with_its_last_end() -> None:
    back = pods(replica(container(ended=("OOMKilled", 137, ago(300)), restart_count=1)))
    assert (
        said(state(reported=back)).get("Containers")
        == "main (pod pod): last terminated with exit code 137 (OOMKilled) 5 min ago, 1 restart"
    )


def test_an_alert_that_is_off_has_no_severity_but_its_cause_is_found() -> None:
    off = DEFAULT._replace(off=frozenset({"DataRobotBundleNotOffered"}))
    result = diagnosis(state(runtime=runtime(resource_bundles=("old",)), parts={"catalogue": {}}), NOW, off)
    assert (result.severity, result.facts.alerts, result.cause.name) == ("", (), "bundle_gone")


# -- the three renderings

SICK = state("errored", crashing(1), importance="high", ledger={"newest": {"started": NOW - 1300}})


def test_a_terminal_shows_the_headline_first_and_eighty_columns() -> None:
    result = diagnosis(SICK, NOW, LINKED)
    assert (
        text(result)
        == """\
name: errored, 0 of 1 ready [critical]
w, account acme, importance high
as of 2027-01-15 08:00:00 UTC

Likely cause  Its process exits with an error (exit code 1).
State         errored since 07:40 UTC (20 min)
Serving       no (0 of 1 replicas ready)
Next step     Check the end of its log. If a new version or new settings caused
              it, roll back; otherwise fix the artifact.
Containers    main (pod pod): waiting with CrashLoopBackOff, last terminated
              with exit code 1 (Error) 30 s ago, 4 restarts
Changes       it was started at 07:38 UTC, 21 min ago
Requests      1000 in the 5 min before 07:58 UTC, 0% server errors (5xx; 1 h:
              0%), 95% within 0.10 s
Conditions    DataRobotWorkloadErrored (critical),
              DataRobotContainerCrashLooping (critical); importance high

Runbook DataRobotContainerCrashLooping: workload-exporter runbook DataRobotContainerCrashLooping
Runbook DataRobotWorkloadErrored: workload-exporter runbook DataRobotWorkloadErrored
Status: https://exporter.test/workloads/w?account=acme
Dashboard: https://grafana.test/d/datarobot-workload?var-account=acme&var-workload=w
Console: https://dr.test/console-nextgen/workloads/w/overview
Traces: https://jaeger.test/search?id=w
"""
    )
    coloured = text(result, colour=True)
    assert coloured.startswith("\x1b[1;31mname: errored")
    assert "\x1b[1mState         \x1b[0m" in coloured
    assert "\x1b" not in text(result)


def test_the_log_stands_last_a_line_for_each() -> None:
    result = diagnosis(state(), NOW, DEFAULT)._replace(log="one\ntwo")
    assert text(result).endswith("95% within 0.10 s\n\nLog\n  one\n  two\n")
    assert as_json(result)["log"] == ["one", "two"]


def test_a_page_shows_the_cause_since_when_what_is_affected_and_what_to_do_in_this_order() -> None:
    signs = LogSigns(50, (FoundSign("time-out", 12, NOW - 5), FoundSign("permission denied", 1, None)), NOW)
    result = diagnosis(state(), NOW, DEFAULT)._replace(log_signs=signs)
    assert [title for title, _ in evidence(result)][:5] == [
        "Likely cause",
        "State",
        "Serving",
        "Next step",
        "Log shows",
    ]
    assert "time-out in 12 of the last 50 lines; permission denied in 1" in text(result)
    assert as_json(result)["log_signs"] == [
        {"sign": "time-out", "lines": 12, "newest": "2027-01-15T07:59:55Z"},
        {"sign": "permission denied", "lines": 1, "newest": None},
    ]


def test_where_there_is_nothing_to_link_to_nothing_is_linked() -> None:
    result = diagnosis(state(), NOW, DEFAULT)
    assert result.links == ()
    assert text(result).endswith("95% within 0.10 s\n")


def test_a_script_reads_the_same_with_stable_keys() -> None:
    result = json.loads(json.dumps(as_json(diagnosis(SICK, NOW, LINKED, (REVERTED,)))))
    assert result | {"links": result["links"][-2:], "containers": result["containers"][:1]} == {
        "account": "acme",
        "workload_id": "w",
        "workload": "name",
        "importance": "high",
        "owner": None,
        "at": "2027-01-15T08:00:00Z",
        "severity": "critical",
        "likely_cause": {
            "name": "exit_error",
            "text": "Its process exits with an error (exit code 1).",
        },
        "next_step": "Check the end of its log. If a new version or new settings caused it, roll back; otherwise fix "
        "the artifact.",
        "state": {
            "status": "errored",
            "group": "failed",
            "since": "2027-01-15T07:40:00Z",
            "longer_than_known": False,
            "failures": 0,
        },
        "serves": "no",
        "replicas": {"ready": 0, "unknown": 0, "live": 1, "least": 1, "most": 1, "scaled_to_zero": False},
        "containers": [
            {
                "container": "main",
                "version": "active",
                "waits": "CrashLoopBackOff",
                "ready": False,
                "last_end": {"reason": "Error", "exit_code": 1, "at": "2027-01-15T07:59:30Z"},
                "restarts": 4,
                "pods": 1,
                "pod": "pod",
                "not_ready_since": None,
                "was_ready": False,
                "message": "",
            }
        ],
        "unschedulable": [],
        "last_event": {"type": "Replacement Errored", "at": "2027-01-15T07:50:00Z", "message": ""},
        "changes": [
            {"what": "reverted", "at": "2027-01-15T07:50:00Z", "status": None},
            {"what": "started", "at": "2027-01-15T07:38:20Z", "status": None},
        ],
        "requests": {
            "window": "5m",
            "end": "2027-01-15T07:58:20Z",
            "total": 1000.0,
            "server_error_ratio": 0.0,
            "client_error_ratio": 0.0,
            "slow_ratio": None,
            "p95_seconds": 0.1,
            "server_error_ratio_1h": 0.0,
        },
        "limits": [],
        "draft_ends": None,
        "known": True,
        "not_known": {},
        "unreadable": [],
        "holds": [
            {"alert": "DataRobotWorkloadErrored", "severity": "critical"},
            {"alert": "DataRobotContainerCrashLooping", "severity": "critical"},
        ],
        "log_signs": [],
        "log": None,
        "links": [
            {"text": "Console", "url": "https://dr.test/console-nextgen/workloads/w/overview"},
            {"text": "Traces", "url": "https://jaeger.test/search?id=w"},
        ],
    }


def test_unknown_values_are_null_in_json() -> None:
    result = as_json(diagnosis(state(None, None, since=0, first=0, details={"windows": {}}), NOW, DEFAULT))
    assert (result["severity"], result["last_event"], result["requests"], result["state"]["since"]) == (
        None,
        None,
        None,
        None,
    )
    assert result["not_known"] == {"pods": "not reported yet", "stats_5m": "not reported yet"}


def test_json_and_text_show_what_could_not_be_read_and_what_is_not_known() -> None:
    partly = diagnosis(state(reported=unread(both(READY, READY), c="server_error", _="decode")), NOW, DEFAULT)
    assert as_json(partly)["unreadable"] == [
        {"version": "candidate", "proton_id": "c", "reason": "server_error"},
        {"version": "unknown", "proton_id": None, "reason": "decode"},
    ]
    assert text(diagnosis(state(reported=lost()), NOW, DEFAULT)).splitlines()[0] == (
        "name: running, 0 of 1 ready, readiness of 1 unknown [no alert]"
    )


# -- laws

CANARIES = ("canary@example.test", "10.9.8.7", "canary-value", "canary-creator", "canary-tag")
WORDS = st.sampled_from(
    [None, "", "boom", "mail canary@example.test", "from 10.9.8.7:443", "token=canary-value", "\x1b[31m\u202e",
     "Bearer canary-value", "ResourceBundleInferenceError", "x" * 999, "password: canary-value"]
)  # fmt: skip
TIMES = st.sampled_from([None, "", "never", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", ago(60), ago(-60)])
REASONS = st.sampled_from([None, "", "CrashLoopBackOff", "Completed", "OOMKilled", "Evicted", "token=canary-value"])
CONTAINERS = st.builds(
    Container,
    name=WORDS,
    status=st.sampled_from([None, "waiting", "running", "terminated"]),
    ready=st.sampled_from([None, True, False]),
    restart_count=st.sampled_from([None, -1, 0, 3]),
    reason=REASONS,
    exit_code=st.sampled_from([None, 0, 1, 137]),
    message=WORDS,
    last_state=st.none() | st.builds(LastState, reason=REASONS, exit_code=st.integers(), message=WORDS,
                                     finished_at=TIMES),
)  # fmt: skip
CONDITIONS = st.builds(PodCondition, type=st.just("PodScheduled"), value=st.booleans(), message=WORDS)
REPLICAS = st.builds(
    Replica,
    name=WORDS,
    status=st.sampled_from([None, "running", "pending", "failed", "succeeded"]),
    conditions=st.none() | st.tuples(CONDITIONS),
    containers=st.none() | st.lists(CONTAINERS, max_size=3).map(tuple),
)
SNAPSHOTS = st.builds(StatusDetails, replicas=st.none() | st.lists(REPLICAS, max_size=3).map(tuple))
PODS = st.builds(
    Pods,
    protons=st.tuples(st.builds(Proton, id=st.just("p"), role=st.sampled_from([None, "active", "candidate"]),
                                created_at=TIMES, running_since=TIMES)),
    details=st.dictionaries(st.just("p"), st.none() | SNAPSHOTS),
)  # fmt: skip
EVENTS = st.lists(
    st.builds(
        Event,
        id=st.just("e"),
        timestamp=TIMES,
        event_type=st.sampled_from([None, "Replacement Errored", "Replacement Completed", "token=canary-value"]),
        message=WORDS,
        details=st.none() | st.builds(EventDetails, message=WORDS, proton_statuses=st.dictionaries(WORDS.map(str),
                                                                                                   SNAPSHOTS)),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
WORKLOADS = st.builds(
    Workload,
    id=st.just("w"),
    name=st.sampled_from([None, "name", "a\x1b[31m\u202ename"]),
    status=st.sampled_from([*STATUSES, None, "me canary@example.test"]),
    importance=st.sampled_from([None, "critical", "token=canary-value"]),
    artifact=st.none() | st.builds(Artifact, status=st.sampled_from([None, "draft", "locked"])),
    replacement=st.none() | st.builds(Replacement, status=WORDS, created_at=TIMES, message=WORDS),
    runtime=st.sampled_from([None, runtime(), runtime(0, 3, policies=(BUSY,), resolved_bundle=BIG)]),
    creator=st.just(Creator("canary-creator", "canary-creator")),
    tags=st.just((Tag("team", "canary-tag"),)),
    created_at=TIMES,
)
WINDOWS = st.sampled_from([{}, stats(), stats(0), stats(server_errors=900), LOADED["windows"]])
SEEN = st.builds(
    lambda workload, reported, windows, ledger, vanished, usage: WorkloadState(
        "acme", workload, ledger, Details(pods=reported, windows=windows, usage=usage), vanished
    ),
    WORKLOADS,
    st.none() | PODS,
    WINDOWS,
    st.builds(Ledger, first=st.just(NOW - HOUR), since=st.sampled_from([NOW - HOUR, NOW - 60, NOW])),
    st.sampled_from([None, NOW - 60]),
    st.sampled_from([None, USED]),
)


def _all_of(reported: Diagnosis) -> str:
    pages = "\n".join(f"{title}: {words}" for title, words in evidence(reported))
    return "\n".join((pages, text(reported), json.dumps(as_json(reported), ensure_ascii=False)))


@given(SEEN, EVENTS)
def test_any_response_of_the_api_has_a_diagnosis_without_secrets(of: WorkloadState, events: tuple[Event, ...]) -> None:
    result = diagnosis(of, NOW, LINKED, events)
    pages = evidence(result)
    assert len(pages) <= 12
    assert all(title and 0 < len(words) <= 300 for title, words in pages)
    assert [title for title, _ in pages][:2] == ["Likely cause", "State"]
    words = _all_of(result)
    assert not [canary for canary in CANARIES if canary in words]
    assert "\x1b" not in words
    assert all(len(line) <= 80 for line in text(result).splitlines() if "://" not in line and "Runbook" not in line)
    assert {change.kind for change in result.facts.changes} <= CHANGES.keys()
    assert result.facts.unknown.keys() <= PARTS.keys()


QUIET = {"well", "well_unknown", "zero", "replacing"}
"""Causes that say that nothing is wrong, or that nothing is known."""


REPORTS = (None, pods(), READY, UNREADY, unready(600, DAY), lost(), crashing(1), waiting("ContainerCreating"), OLD,
           waiting("ErrImagePull"), lacking("Insufficient cpu"), unread(both(READY, READY), p="server_error"),
           Pods((Proton("p"),), {"p": None}), pods(replica(container(ended=("Error", 1, ago(300)), restart_count=9))),
           pods(replica(container(ended=("OOMKilled", 137, ago(300)), restart_count=1))))  # fmt: skip
ALARMING = st.builds(
    lambda status, reported, least, more, importance, since, down, held, artifact, rollout: state(
        status,
        reported,
        since=since,
        runtime=runtime(least, resolved_bundle=BIG, resource_bundles=("b",)),
        importance=importance,
        artifact=artifact,
        replacement=rollout,
        details={"fresh": {"pods": reported is not None}, **more},
        parts={"held": {"name": NOW - 60} if held else {}, "catalogue": {"b": Bundle("b")}},
        ledger={
            "serving": ServingRecord(down=down, ready=True),
            "rollout": ReplacementCursor(NOW - 2 * HOUR, ("r",)) if rollout else None,
        },
    ),
    st.sampled_from([*STATUSES, "Quarantined", None]),
    st.sampled_from(REPORTS),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([{}, {"windows": stats(server_errors=900)}, {"windows": stats(p95=12.0)}, {"windows": {}},
                     {"usage": USED}, {"windows": stats(server_errors=60)}, FAILED]),
    st.sampled_from(["critical", "high", "moderate", "low", None]),
    st.sampled_from([60.0, 20 * MINUTE, 2 * HOUR]),
    st.sampled_from([None, NOW - 300, NOW - HOUR]),
    st.booleans(),
    st.sampled_from([None, DRAFT]),
    st.sampled_from([None, ROLLING]),
)  # fmt: skip


@given(ALARMING)
@settings(max_examples=20 * settings().max_examples)
def test_a_page_names_a_problem(of: WorkloadState) -> None:
    result = diagnosis(of, NOW, DEFAULT)
    assert result.severity not in ("critical", "warning") or result.cause.name not in QUIET, result.facts.alerts


@given(SEEN, EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_events_is_no_matter(of: WorkloadState, events: tuple[Event, ...], chance: Any) -> None:
    distinct = [msgspec.structs.replace(each, id=str(n), timestamp=ago(100 * n)) for n, each in enumerate(events)]
    shuffled = list(distinct)
    chance.shuffle(shuffled)
    one, other = (diagnosis(of, NOW, DEFAULT, tuple(each)) for each in (distinct, shuffled))
    assert as_json(one) == as_json(other)
