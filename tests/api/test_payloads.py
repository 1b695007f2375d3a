"""Example responses P05 to P32 of the API, decoded. P01 to P04 are in `test_decoding`."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api import pods
from exporter.api.decoding import NotDecodable, Reject, one, page
from exporter.api.details import (
    AccountInfo,
    AccountLimits,
    AggregateStats,
    ComputeBundle,
    Event,
    LogRecord,
    OtelValue,
    Quota,
    QuotaRule,
    SharedRole,
    Stats,
    base_value,
    event_kind,
)
from exporter.api.models import (
    Replacement,
    Workload,
    autoscaled,
    folded,
    groups,
    memory_bytes,
    replica_bounds,
    timestamp,
)
from exporter.api.pods import (
    Container,
    Overview,
    PodCondition,
    Proton,
    Replica,
    StatusDetails,
    active_proton,
    container_name,
    overview,
    replica_live,
    replica_ready,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from tests.examples import page as listed
from tests.examples import payload


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def details(name: str) -> StatusDetails:
    found = one(body(payload(name)), StatusDetails)
    assert found.rejects == ()
    return found.value


def replicas(name: str) -> tuple[Replica, ...]:
    return details(name).replicas or ()


def containers(name: str) -> tuple[Container, ...]:
    return tuple(container for replica in replicas(name) for container in replica.containers or ())


def workload(**fields: Any) -> Workload:
    return one(body({"id": "w"} | fields), Workload).value


def test_p06_a_null_replacement_is_no_replacement() -> None:
    found = one(body(payload("P06")), Replacement).value
    assert (found.id, found.candidate_artifact_id) == (None, None)


def test_p07_the_active_proton_is_known_by_its_role_or_else_by_the_workload() -> None:
    protons = page(body(payload("P07")), Proton)
    assert (protons.next, protons.total, protons.rejects) == (None, 2, ())
    active, outgoing = protons.items
    assert [(p.status, p.role) for p in protons.items] == [("running", "active"), ("draining", None)]
    assert active.deployed_images == {"primary": "registry.example.test/roller:8"}
    named = workload(protonId=outgoing.id)
    assert active_proton(protons.items, named) is active
    roleless = [Proton(id=p.id, status=p.status, created_at=p.created_at) for p in protons.items]
    assert active_proton(roleless, named) is roleless[1]
    assert active_proton(roleless, workload()) is roleless[0]
    assert active_proton([], workload()) is None
    odd = [msgspec.structs.replace(proton, role=None, status="Hibernating") for proton in protons.items]
    assert active_proton(odd, workload()) in odd
    assert active_proton([*odd, roleless[0]], workload()) is roleless[0]
    # With an incomplete list, the newest running proton may not be the serving one.
    assert active_proton(roleless, workload(), complete=False) is None
    assert active_proton(roleless, named, complete=False) is roleless[1]
    assert active_proton(protons.items, workload(), complete=False) is active


def test_p08_a_candidate_that_warms_up_does_not_run() -> None:
    found = one(body(payload("P08")), Proton).value
    assert (found.status, found.role, found.running_since) == ("warming", "candidate", None)


def test_p09_a_healthy_pod() -> None:
    (replica,) = replicas("P09")
    assert overview(details("P09")) == Overview(1, 1, 0)
    assert replica_ready(replica) is True
    overall = details("P09").overall_status
    assert overall is not None
    assert timestamp(overall.last_updated) == 1794994262.118273
    (container,) = containers("P09")
    assert container_name(container.name, "70ac00000000000000000001") == "primary"
    assert (waiting_reason(container), terminated_reason(container)) == (None, None)


def test_p10_the_older_conditions_are_read_and_a_null_one_is_unknown() -> None:
    (replica,) = replicas("P10")
    assert [(c.kind, c.truth) for c in replica.conditions or ()] == [
        ("PodScheduled", True),
        ("Ready", False),
        ("Initialized", None),
    ]
    assert [waiting_reason(container) for container in containers("P10")] == [None]


def test_p11_a_crash_loop_is_not_ready_though_its_pod_runs() -> None:
    (replica,) = replicas("P11")
    (container,) = containers("P11")
    assert (replica.status, replica_live(replica), replica_ready(replica)) == ("running", True, False)
    assert (waiting_reason(container), terminated_reason(container)) == ("CrashLoopBackOff", "Error")
    assert container.last_state is not None
    assert (container.restart_count, container.exit_code, container.last_state.exit_code) == (6, None, 1)


def test_p12_an_out_of_memory_kill_shows_in_the_last_state_of_a_container_that_runs_again() -> None:
    assert overview(details("P12")) == Overview(2, 2, 0)
    assert [terminated_reason(container) for container in containers("P12")] == ["OOMKilled", None, None]


def test_p13_an_image_that_cannot_be_pulled() -> None:
    (replica,) = replicas("P13")
    assert replica_ready(replica) is False  # by its container: the condition Ready is not reported
    assert [waiting_reason(container) for container in containers("P13")] == ["ImagePullBackOff"]
    assert [c.truth for c in replica.conditions or ()] == [False]


def test_p14_a_pod_that_no_node_takes_has_no_containers() -> None:
    (replica,) = replicas("P14")
    assert (replica.containers, unschedulable(replica), replica_ready(replica)) == (None, "gpu", False)
    assert overview(details("P14")) == Overview(1, 0, 0)


def test_p15_a_succeeded_pod_is_listed_and_not_live() -> None:
    (replica,) = replicas("P15")
    assert (replica_live(replica), replica_ready(replica)) == (False, False)
    assert overview(details("P15")) == Overview(0, 0, 0)
    assert [terminated_reason(container) for container in containers("P15")] == ["Completed"]


def test_p16_scaled_to_zero_is_an_autoscaler_that_may_go_to_zero_and_no_pod() -> None:
    both = payload("P16")
    (group,) = groups(workload(**both["settings"]))
    scaling = autoscaled(group)
    assert scaling is not None
    assert replica_bounds(scaling) == (0, 3)
    assert group.resolved_bundle is not None
    assert (group.resolved_bundle.cpu_count, group.resolved_bundle.memory_bytes) == (1.0, 536870912)
    assert overview(one(body(both["statusDetails"]), StatusDetails).value) == Overview(0, 0, 0)


def test_p17_older_bounds_are_in_the_policy_and_memory_is_text() -> None:
    (group,) = groups(workload(**payload("P17")))
    scaling = autoscaled(group)
    assert scaling is not None
    assert replica_bounds(scaling) == (2, 6)
    allocation = (group.containers or ())[0].resource_allocation
    assert allocation is not None
    assert memory_bytes(allocation.memory) == 2e9


def test_p18_statistics_are_counts_and_milliseconds() -> None:
    found = one(body(payload("P18")), Stats).value
    assert found.metrics is not None
    assert (found.metrics.total_requests, found.metrics.server_errors, found.metrics.user_errors) == (1200, 84, 31)
    assert (found.metrics.slow_requests, found.metrics.response_time) == (19, 812)


def test_p19_an_idle_workload_has_counts_of_zero_and_no_response_time() -> None:
    found = one(body(payload("P19")), Stats)
    assert found.rejects == ()
    assert found.value.metrics is not None
    assert (found.value.period, found.value.metrics.total_requests, found.value.metrics.response_time) == (
        None,
        0,
        None,
    )


def test_p21_aggregate_statistics() -> None:
    found = one(body(payload("P21")), AggregateStats).value
    assert found.workloads is not None
    assert found.requests is not None
    assert (found.workloads.active, found.workloads.total, found.requests.failed) == (14, 22, 2244)


def test_p22_events_are_read_in_any_order_with_their_evidence() -> None:
    events = page(body(payload("P22")), Event)
    assert events.rejects == ()
    assert [event_kind(event) for event in events.items] == [
        "replacement_completed",
        "replacement_errored",
        "replacement_errored",
    ]
    evidence = events.items[1].details
    assert evidence is not None
    (statuses,) = (evidence.proton_statuses or {}).values()
    (container,) = ((statuses.replicas or ())[0].containers) or ()
    assert (container.reason, terminated_reason(container)) == ("CrashLoopBackOff", "Error")
    assert events.items[2].text == "ResourceBundleInferenceError: no resource signal"


def test_p23_events_of_the_older_shape() -> None:
    events = page(body(payload("P23")), Event).items
    assert [(event.reported_type, event_kind(event), event.text) for event in events] == [
        ("workload.started", "started", "started"),
        ("Warning", "other", "restarting"),
    ]


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        ("Replacement Completed", "replacement_completed"),
        ("replacement-failed", "replacement_errored"),
        ("Replacement Queued", "other"),
        ("Created", "created"),
        ("Workload Stopped", "stopped"),
        ("Scaled", "scaled"),
        ("Promoted", "promoted"),
        ("workload.deleted", "deleted"),
        ("Start Failed", "failed"),
        ("Replacement Cancelled", "replacement_cancelled"),
        ("replacement.canceled", "replacement_cancelled"),
        ("Replacement Cancel Failed", "replacement_errored"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_each_event_is_of_a_closed_set_of_kinds(expected: str | None, kind: str) -> None:
    assert event_kind(Event(id="e", event_type=expected)) == kind


def test_p24_account_limits_may_be_zero_or_missing() -> None:
    found = one(body(payload("P24")), AccountInfo).value
    assert found == AccountInfo("70c000000000000000000001", AccountLimits(25, 0))
    assert one(b'{"uid": "u"}', AccountInfo).value.limits is None


def test_p25_compute_bundles() -> None:
    bundles = page(body(payload("P25")), ComputeBundle).items
    assert [(b.id, b.cpu_count, b.memory_bytes, b.gpu_count) for b in bundles] == [
        ("cpu.small", 1.0, 536870912, 0),
        ("gpu.l4.small", 4, 17179869184, 1),
    ]
    assert bundles[1].use_cases == ("workload", "customModel")


def test_p26_resource_values_in_base_units_null_where_idle() -> None:
    values = page(body(payload("P26")), OtelValue).items
    assert [(v.name, base_value(v.unit, v.current), base_value(v.unit, v.mean)) for v in values] == [
        ("container.cpu.usage", pytest.approx(0.655), pytest.approx(0.412)),
        ("container.memory.working_set", 943718400.0, 901775360.0),
        ("gpu.utilization", None, None),
    ]


def test_resource_values_in_snake_case_are_read_too() -> None:
    found = one(b'{"otel_name": "cpu", "aggregated_value": 1, "current_value": 2, "unit": "cores"}', OtelValue).value
    assert (found.name, found.mean, found.current) == ("cpu", 1, 2)
    assert OtelValue().name == ""


@pytest.mark.parametrize(
    ("unit", "value", "most", "expected"),
    [
        ("nanocores", 5e8, 2.0, 0.5),
        ("nanocores", 5e9, 2.0, None),  # more than twice the bundle: not nanocores
        ("percentage", 50, None, 0.5),
        ("furlongs", 1, None, None),
        (None, 1, None, None),
        ("bytes", -1, None, None),
        ("bytes", float("inf"), None, None),
        ("bytes", None, None, None),
    ],
)
def test_unknown_units_and_impossible_values_are_ignored(
    unit: str | None, value: float | None, most: float | None, expected: float | None
) -> None:
    assert base_value(unit, value, most) == expected


def test_p27_log_lines_have_times_of_two_shapes() -> None:
    lines = page(body(payload("P27")), LogRecord).items
    assert [timestamp(line.timestamp) for line in lines] == [1795169877.101233, 1795169877.0]
    assert [line.level for line in lines] == ["ERROR", None]


def test_p28_the_size_of_a_list_may_be_called_total() -> None:
    assert page(body(payload("P28")), LogRecord).total == 1


def test_p29_quotas() -> None:
    (quota,) = page(body(payload("P29")), Quota).items
    assert quota.default_rules == (QuotaRule("requests", 300, "min"), QuotaRule("concurrentRequests", 0))


def test_p32_a_record_of_a_replacement_that_failed() -> None:
    (record,) = page(body(payload("P32")), Replacement).items
    assert (folded(record.status), record.is_deleted, record.switched_at) == ("errored", True, None)
    assert record.candidate_proton_ids == ("70ac00000000000000000061",)


def test_a_grant_is_read_without_the_name_of_its_recipient() -> None:
    grants = page(listed({"id": "s", "name": "Somebody", "role": "OWNER", "shareRecipientType": "user"}), SharedRole)
    assert grants.items == (SharedRole("s", "OWNER", "user"),)


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (PodCondition(value=True, met=False), True),
        (PodCondition(met=False, status="True"), False),
        (PodCondition(status="True"), True),
        (PodCondition(value="False"), False),
        (PodCondition(value="Unknown"), None),
        (PodCondition(), None),
    ],
)
def test_the_status_of_a_condition_is_the_first_reported_value(condition: PodCondition, truth: bool | None) -> None:
    assert condition.truth is truth


UNKNOWN_READY = PodCondition(type="Ready")


@pytest.mark.parametrize(
    ("replica", "ready"),
    [
        (Replica(containers=(Container(ready=True), Container(ready=True))), True),
        (Replica(containers=(Container(ready=True), Container(ready=None))), None),
        (Replica(containers=(Container(ready=False), Container(ready=None))), False),
        (Replica(containers=()), None),
        (Replica(status="Pending", containers=()), False),
        (Replica(conditions=(PodCondition(type="Ready", value=True),), containers=(Container(ready=False),)), True),
        (Replica(status="FAILED", conditions=(PodCondition(type="Ready", value=True),)), False),
        (Replica(status="running", containers=(Container(ready=True),)), True),
        # The containers may be reported as before the node was lost.
        (Replica(status="unknown", containers=(Container(ready=True),)), None),
        (
            Replica(status="unknown", conditions=(UNKNOWN_READY,), containers=(Container(ready=True),)),
            None,
        ),
        (Replica(status="Terminating", containers=(Container(ready=True),)), None),
        (
            Replica(status="running", conditions=(UNKNOWN_READY,), containers=(Container(ready=True),)),
            None,
        ),
        (Replica(conditions=(PodCondition(type="Ready", value="?"),), containers=(Container(ready=True),)), None),
        (
            Replica(status="unknown", conditions=(UNKNOWN_READY,), containers=(Container(ready=False),)),
            False,
        ),
        (Replica(status="unknown", conditions=(PodCondition(type="Ready", value=True),)), True),
    ],
)
def test_a_replica_is_ready_by_its_condition_or_else_by_all_its_containers(
    replica: Replica, ready: bool | None
) -> None:
    assert replica_ready(replica) is ready


TRUTHS = st.sampled_from([None, True, False, "True", "False", "Unknown", "", "yes"])


@given(
    st.sampled_from([None, "running", "Running", "pending", "unknown", "Terminating", ""]),
    st.lists(st.tuples(st.sampled_from(["Ready", "ContainersReady"]), TRUTHS), max_size=3),
    st.lists(st.sampled_from([None, True, False]), max_size=3),
)
def test_null_or_unknown_values_do_not_make_a_replica_ready(
    phase: str | None, conditions: list[tuple[str, bool | str | None]], containers: list[bool | None]
) -> None:
    of = Replica(
        status=phase,
        conditions=tuple(PodCondition(type=kind, value=truth) for kind, truth in conditions),
        containers=tuple(Container(ready=ready) for ready in containers),
    )
    said = [truth for kind, truth in conditions if kind == "Ready"]
    by_condition = next((truth for truth in said if truth in (True, False, "True", "False")), None) in (True, "True")
    by_containers = not said and phase in ("", "running", "Running") and bool(containers) and all(containers)
    assert (replica_ready(of) is True) == (by_condition or by_containers)


@pytest.mark.parametrize(
    ("container", "waiting", "ended"),
    [
        (Container(status="waiting", reason="imagepullbackoff"), "ImagePullBackOff", None),
        (Container(status="waiting", reason="SomethingNew"), "other", None),
        (Container(state=pods.NestedState(waiting=pods.StateReason(reason="ErrImagePull"))), "ErrImagePull", None),
        (Container(status="terminated", reason="OOMKilled"), None, "OOMKilled"),
        (Container(state=pods.NestedState(terminated=pods.StateReason(reason="Error"))), None, "Error"),
        (Container(status="terminated"), None, None),
        (Container(status="running", reason="odd"), None, None),
    ],
)
def test_reasons_are_of_a_closed_set(container: Container, waiting: str | None, ended: str | None) -> None:
    assert (waiting_reason(container), terminated_reason(container)) == (waiting, ended)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("0/9 nodes are available: 9 Insufficient nvidia.com/gpu.", "gpu"),
        ("3 Insufficient cpu", "cpu"),
        ("3 Insufficient memory", "memory"),
        ("had volume node affinity conflict", "volume"),
        ("had taints", "other"),
        (None, "other"),
    ],
)
def test_the_missing_resource_is_of_a_closed_set(message: str | None, kind: str) -> None:
    found = unschedulable(Replica(conditions=(PodCondition(type="PodScheduled", value=False, message=message),)))
    assert found == kind


def test_a_pod_that_is_scheduled_is_not_unschedulable() -> None:
    assert unschedulable(Replica(conditions=(PodCondition(type="PodScheduled", value=True), PodCondition()))) is None


def test_an_unreadable_leaf_loses_only_that_leaf() -> None:
    found = one(
        body(
            {
                "overallStatus": {"state": 5, "lastUpdated": "2026-11-20T10:00:00Z"},
                "replicas": [
                    7,
                    {"name": "a", "status": "running", "containers": [{"name": "c", "restartCount": "many"}, "x"]},
                    {"name": "b", "conditions": {"odd": 1}},
                ],
            }
        ),
        StatusDetails,
    )
    assert [(reject.path, reject.reason) for reject in found.rejects] == [
        ("$.overallStatus.state", "type"),
        ("$.replicas[]", "type"),
        ("$.replicas[].containers[].restartCount", "type"),
        ("$.replicas[].containers[]", "type"),
        ("$.replicas[].conditions", "type"),
    ]
    # An unreadable pod or container counts: without it, only healthy ones would remain.
    assert [(r.name, len(r.containers or ())) for r in found.value.replicas or ()] == [(None, 0), ("a", 2), ("b", 0)]


def test_an_unreadable_value_of_a_mapping_loses_only_that_value() -> None:
    found = one(body({"id": "e", "details": {"protonStatuses": {"a": 5, "b": {"replicas": []}}}}), Event)
    assert found.rejects == (Reject("$.details.protonStatuses{}", "type", "e"),)
    assert found.value.details is not None
    assert list(found.value.details.proton_statuses or {}) == ["b"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b"{", "json"),
        (b'{"id": "\xff"}', "missing"),
        (b"[" * 100000, "json"),
        (b"5", "no_data"),
        (b"[]", "no_data"),
        (b'{"name": "no id"}', "missing"),
        (b'{"id": ""}', "missing"),
        (b'{"id": 5.0}', "missing"),
        (b'{"id": true}', "missing"),
    ],
)
def test_a_body_that_is_not_the_object_has_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(NotDecodable) as raised:
        one(text, Event)
    assert raised.value.reason == reason


def test_a_proton_without_an_id_is_left_out() -> None:
    protons = page(listed({"id": "", "name": "a"}, {"id": "p", "status": 5}), Proton)
    assert [proton.id for proton in protons.items] == ["p"]
    assert [(r.path, r.reason) for r in protons.rejects] == [("$.id", "missing"), ("$.status", "type")]


def test_a_container_without_a_name_has_an_empty_one() -> None:
    assert container_name(None, "p") == ""
