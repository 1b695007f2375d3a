"""Rows of FAMILIES by example: a workload with its samples."""

import pytest

from exporter.api.details import ComputeBundle, OtelValue, Quota, QuotaRule, RequestMetrics
from exporter.api.models import (
    Allocation,
    Artifact,
    Autoscaling,
    Bundle,
    ContainerRuntime,
    Group,
    RequestStats,
    Runtime,
    ScalingPolicy,
    Workload,
)
from exporter.api.pods import PodCondition, Pods, Proton, Replica
from exporter.fleet import counting
from exporter.fleet.ledger import Ledger, Tally, UsageHistory
from exporter.fleet.tag_labels import Labels
from exporter.fleet.workload_state import Account, Costs, Details, Window, WorkloadState
from exporter.metrics.account_families import ACCOUNTS, AccountFacts, Use
from exporter.metrics.family import PROFILES, Profile, Samples
from exporter.metrics.registry import FAMILIES, samples_of, served, served_accounts
from tests.make import container, pods, replica, sight


def samples_of_family(name: str, workload: Workload) -> Samples:
    """The samples of one family."""
    place = next(n for n, family in enumerate(FAMILIES) if family.name == f"datarobot_workload_{name}")
    return samples_of(FAMILIES, sight(workload, 20.0, 10.0))[place]


def scaled(**policies: float | None) -> Workload:
    given = tuple(ScalingPolicy(scaling_metric=metric, target=target) for metric, target in policies.items())
    return Workload(id="w", runtime=Runtime(container_groups=(Group(autoscaling=Autoscaling(policies=given)),)))


@pytest.mark.parametrize(
    ("name", "workload", "samples"),
    [
        ("autoscaling_target_cpu_ratio", scaled(cpuAverageUtilization=70), (((), 0.7),)),
        ("autoscaling_target_cpu_ratio", scaled(httpRequestsConcurrency=4), ()),
        ("autoscaling_target_concurrency", scaled(httpRequestsConcurrency=4), (((), 4.0),)),
        (
            "autoscaling_target",
            scaled(cpuAverageUtilization=70, gpuRequestQueueDepth=3),
            ((("gpuRequestQueueDepth",), 3.0),),
        ),
        ("autoscaling_target", scaled(gpuRequestQueueDepth=None), ()),
        ("list_requests", Workload(id="w", request_stats=RequestStats(total_requests=0)), (((), 0.0),)),
        ("list_requests", Workload(id="w", request_stats=RequestStats()), ()),
        ("list_requests", Workload(id="w"), ()),
        (
            "placement_info",
            Workload(
                id="w",
                runtime=Runtime(enclaves=("south", "north"), enclave_selection_policy="Manual"),
                use_case_id="u",
            ),
            ((("north,south", "manual", "u"), 1.0),),
        ),
        (
            "placement_info",
            Workload(id="w", runtime=Runtime(enclaves=("north",), enclave_selection_policy="nearest")),
            ((("north", "other", ""), 1.0),),
        ),
        ("placement_info", Workload(id="w", use_case_id="u"), ((("", "", "u"), 1.0),)),
        ("placement_info", Workload(id="w", runtime=Runtime(enclaves=())), ()),
        ("placement_info", Workload(id="w"), ()),
        ("list_response_seconds", Workload(id="w", request_stats=RequestStats(response_time=143)), (((), 0.143),)),
        ("list_response_seconds", Workload(id="w", request_stats=RequestStats(response_time=-1)), ()),
        (
            "last_request_timestamp_seconds",
            Workload(id="w", request_stats=RequestStats(last_request_at="1970-01-01T00:00:07Z")),
            (((), 7.0),),
        ),
        ("status_since_timestamp_seconds", Workload(id="w"), (((), 20.0),)),
        ("first_observed_timestamp_seconds", Workload(id="w"), (((), 10.0),)),
        ("vanished_timestamp_seconds", Workload(id="w"), ()),
    ],
)
def test_samples_of_a_workload(name: str, workload: Workload, samples: Samples) -> None:
    assert samples_of_family(name, workload) == samples


@pytest.mark.parametrize(
    ("readings", "vanished", "samples"),
    [
        (frozenset(), 8 * 3600.0, 1),
        (frozenset({"drafts_are_deleted"}), 8 * 3600.0, 0),
        (frozenset({"drafts_are_deleted"}), 5 * 3600.0, 1),
    ],
)
def test_a_draft_that_the_api_deletes_at_its_end_has_not_vanished(
    readings: frozenset[str], vanished: float, samples: int
) -> None:
    draft = Workload(id="w", status="running", artifact=Artifact(status="draft"), created_at="1970-01-01T00:00:01Z")
    gone = sight(draft, 20.0, 10.0, vanished=vanished, readings=readings)
    place = next(n for n, family in enumerate(FAMILIES) if family.name.endswith("_vanished_timestamp_seconds"))
    assert len(samples_of(FAMILIES, gone)[place]) == samples


@pytest.mark.parametrize(("status", "label"), [("ERRORED", "errored"), ("Hibernating", "other"), (None, "unknown")])
def test_a_vanished_workload_has_its_last_status_and_its_totals(status: str | None, label: str) -> None:
    gone = sight(Workload(id="w", status=status), 20.0, 10.0, vanished=30.0, tag_labels=())
    named = dict(zip([f.name for f in FAMILIES], samples_of(FAMILIES, gone), strict=True))
    assert named["datarobot_workload_vanished_timestamp_seconds"] == (((label, ""), 30.0),)
    assert {name for name, samples in named.items() if samples} == {
        "datarobot_workload_vanished_timestamp_seconds",
        "datarobot_workload_transitions_total",
        "datarobot_workload_tags",
    }


@pytest.mark.parametrize(
    ("labels", "samples"),
    [
        ((("tag_env", "prod"), ("tag_team", "claims")), ((("tag_env", "prod", "tag_team", "claims"), 1.0),)),
        ((), (((), 1.0),)),  # it has none of the selected tags
        (None, ()),  # unknown
    ],
)
def test_tags_are_the_labels_of_one_series(labels: Labels | None, samples: Samples) -> None:
    (family,) = (each for each in FAMILIES if each.name == "datarobot_workload_tags")
    assert samples_of((family,), sight(Workload(id="w"), tag_labels=labels)) == (samples,)


@pytest.mark.parametrize(
    ("profile", "has", "lacks"),
    [
        ("minimal", "status", "artifact_info"),
        ("standard", "artifact_info", "list_requests"),
        ("full", "list_requests", "nothing"),
    ],
)
def test_a_profile_serves_its_families_and_those_of_the_smaller_ones(profile: Profile, has: str, lacks: str) -> None:
    names = {family.name.removeprefix("datarobot_workload_") for family in served(profile)}
    assert has in names
    assert lacks not in names
    sizes = [len(served(each, tags=True)) for each in PROFILES]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(FAMILIES)


@pytest.mark.parametrize("profile", PROFILES)
def test_tags_are_served_only_if_some_are_selected(profile: Profile) -> None:
    (tags,) = {*served(profile, tags=True)} - {*served(profile)}
    assert tags.name == "datarobot_workload_tags"


def test_a_larger_profile_serves_more_families_of_an_account_and_the_largest_serves_all() -> None:
    minimal, standard, full = ({family.name for family in served_accounts(each)} for each in PROFILES)
    assert "datarobot_account_workloads_limit" in minimal
    assert minimal < standard <= full == {family.name for family in ACCOUNTS}


def detailed(name: str, details: Details, **workload: object) -> Samples:
    """The samples of a family of details; `name` lacks ``datarobot_``."""
    place = next(n for n, family in enumerate(FAMILIES) if family.name == f"datarobot_{name}")
    of = Workload(**({"id": "w", "status": "running", "proton_id": "p"} | workload))  # type: ignore[arg-type]  # fields by name
    return samples_of(FAMILIES, sight(of, details=details))[place]


def with_pods(*replicas: Replica) -> Details:
    return Details(pods=pods(*replicas))


UNREADY = PodCondition(type="Ready", value=False, reason="ContainersNotReady")
LACKING = PodCondition(
    type="PodScheduled", value=False, message="0/9 nodes: Insufficient memory", reason="Unschedulable"
)
ODD = PodCondition(type="Ready", value=None, reason="SomethingNew")
MET = PodCondition(type="Ready", value=True, reason="ContainersReady")
WITHOUT_REASON = PodCondition(type="Ready", value=False)
SCALED = scaled(httpRequestsConcurrency=4, cpuAverageUtilization=50).runtime


@pytest.mark.parametrize(
    ("name", "details", "samples"),
    [
        ("proton_replicas_unmet_reason", with_pods(replica(conditions=(UNREADY, ODD, LACKING))), (
            (("PodScheduled", "p", "Unschedulable", "active"), 1.0),
            (("Ready", "p", "ContainersNotReady", "active"), 1.0),
            (("Ready", "p", "other", "active"), 1.0),
        )),
        ("proton_replicas_unmet_reason", with_pods(replica(conditions=(MET, WITHOUT_REASON))), ()),
        ("proton_replicas_unmet_reason", Details(pods=Pods((Proton(id="p"),), {"p": None})), ()),
        ("proton_unreadable", with_pods(replica()), ()),
        ("proton_unreadable", Details(), ()),
        ("proton_unreadable", Details(pods=Pods(
            (Proton(id="p"), Proton(id="o", status="draining"), Proton(id="q", status="draining"), Proton(id="r")),
            {"p": None, "o": None, "q": None, "r": None},
            {"o": "server_error", "q": "server_error", "r": "a new reason", "": "decode"},
        )), (
            (("decode", "unknown"), 1.0), (("other", "other"), 1.0), (("server_error", "outgoing"), 2.0),
        )),
        ("workload_detail_failing", Details(failed={"pods": "server_error", "events": "decode"}), (
            (("events", "decode"), 1.0), (("pods", "server_error"), 1.0),
        )),
        ("workload_detail_failing", Details(), ()),
        ("container_replicas_ready", with_pods(replica(container(ready=None))), ()),
        ("container_replicas_ready", with_pods(replica(container()), replica(container(ready=False))), (
            (("main", "p", "active"), 1.0),
        )),
        ("container_last_exit_code", with_pods(
            replica(container(ended=("Error", 1, "2026-01-01T00:00:00Z"))),
            replica(container(ended=("OOMKilled", 137, "2026-01-02T00:00:00Z"))),
            replica(container(ended=("Error", 2, "2025-01-02T00:00:00Z"))),
        ), ((("main",), 137.0),)),
        ("workload_quota_limit", Details(quotas=(Quota(id="q", default_rules=(
            QuotaRule("requests", 300, None), QuotaRule("sleep", 3, "week"), QuotaRule("token", None, "min"),
        )),)), ((("other", "other"), 3.0), (("requests", "min"), 300.0))),
        ("workload_cpu_usage_cores", Details(usage=(OtelValue("cpu", "nanocores", current_value=5e8),)), (
            (("other",), 0.5),
        )),
        ("workload_cpu_usage_cores", Details(usage=(OtelValue("cpu", "furlongs", current_value=5),)), ()),
        ("workload_cpu_usage_cores", Details(usage=(OtelValue("cpu", "nanocores", current_value=None),)), ()),
        ("workload_memory_usage_bytes", Details(usage=(OtelValue("memory", "percentage", current_value=5),)), ()),
        ("workload_window_server_error_ratio", Details(windows={"5m": Window(0, 300, RequestMetrics(0, 0))}), ()),
    ],
)  # fmt: skip
def test_samples_of_details(name: str, details: Details, samples: Samples) -> None:
    assert detailed(name, details) == samples


def test_a_bundle_of_unknown_size_has_no_allocated_cores() -> None:
    runtime = Runtime(container_groups=(Group(resolved_bundle=Bundle("b", None, 4096, 0)),))
    live = with_pods(replica())
    assert detailed("workload_allocated_cpu_cores", live, runtime=runtime) == ()
    assert detailed("workload_allocated_memory_bytes", live, runtime=runtime) == ((("b",), 4096.0),)


def test_usage_beyond_the_bundle_is_a_misunderstood_unit() -> None:
    runtime = Runtime(container_groups=(Group(replica_count=2, resolved_bundle=Bundle("b", 2.0, 4096, 0)),))
    much = Details(usage=(OtelValue("cpu", "nanocores", current_value=9e9),))
    assert detailed("workload_cpu_usage_cores", much, runtime=runtime) == ()


@pytest.mark.parametrize(
    ("refused", "seen", "samples"),
    [
        ({"pods", "events"}, (), (((), 1.0),)),
        ({"pods", "events", "sharing"}, ("e",), (((), 1.0),)),
        ({"pods", "events"}, None, ()),
        ({"pods"}, (), ()),
        (set(), (), ()),
    ],
)
def test_access_is_reduced_if_pods_and_events_are_denied_and_events_were_read_before(
    refused: set[str], seen: tuple[str, ...] | None, samples: Samples
) -> None:
    ledger = Ledger(0.0, 0.0, seen_events=seen)
    state = WorkloadState("acme", Workload(id="w"), ledger, Details(refused=frozenset(refused)))
    place = next(n for n, family in enumerate(FAMILIES) if family.name == "datarobot_workload_access_reduced")
    assert samples_of(FAMILIES, state)[place] == samples


def test_load_is_divided_by_the_autoscalers_target() -> None:
    requested = Group(
        autoscaling=(SCALED.container_groups or ())[0].autoscaling if SCALED is not None else None,
        containers=(ContainerRuntime("main", Allocation(cpu=2.0)),),
    )
    details = Details(
        pods=pods(replica(), replica()),
        windows={"5m": Window(0, 300, RequestMetrics(concurrent_requests=12))},
        usage=(OtelValue("cpu", "nanocores", current_value=3e9, level="workload"),),
    )
    found = detailed("workload_autoscaling_load_ratio", details, runtime=Runtime(container_groups=(requested,)))
    assert found == ((("cpuAverageUtilization",), 1.5), (("httpRequestsConcurrency",), 1.5))
    no_pods = details._replace(pods=pods())
    assert detailed("workload_autoscaling_load_ratio", no_pods, runtime=Runtime(container_groups=(requested,))) == ()
    odd = scaled(gpuRequestQueueDepth=3).runtime
    assert detailed("workload_autoscaling_load_ratio", details, runtime=odd) == ()


@pytest.mark.parametrize(
    ("restarts", "since"),
    [
        ({0: 0, 200: 1, 400: 2, 600: 3}, 200.0),
        ({0: 0, 200: 1, 400: 2, 600: 3, 900: 4}, 400.0),
        ({0: 0, 200: 1, 400: 2}, None),
        ({0: 0, 200: 1, 300: 2, 499: 3}, None),  # three within five minutes: a start that needs some attempts
        ({0: 0, 200: 9}, None),
        ({0: 5, 200: 0, 400: 1, 600: 2}, None),  # a new pod
    ],
)
def test_a_container_restarts_again_and_again_since_the_third_last_restart(
    restarts: dict[int, int], since: float | None
) -> None:
    ledger = Ledger(0.0, 0.0)
    for now, count in restarts.items():
        read = pods(replica(container(restart_count=count)))
        ledger = counting.with_pods(ledger, read, float(now))
    state = WorkloadState("acme", Workload(id="w", proton_id="p"), ledger, Details(pods=read))
    place = next(
        n for n, each in enumerate(FAMILIES) if each.name == "datarobot_workload_restarting_since_timestamp_seconds"
    )
    assert samples_of(FAMILIES, state)[place] == (() if since is None else (((), since),))


PRICED = Group(replica_count=1, resolved_bundle=Bundle("cpu.medium", 2.0, 4096))
SMALLER = {"cpu.small": Bundle("cpu.small", 1.0, 2048)}
OBSERVED = UsageHistory("cpu.medium", 0.0, 2 * 86400.0, b"", (0.25, 0.3, None), (0.5, 0.4, 0.01))


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("cost_per_hour", ((("USD",), 1.0),)),
        ("idle_since_timestamp_seconds", (((), 10 * 86400.0),)),
        ("week_usage_ratio", (
            (("0.95", "cpu"), 0.25), (("0.95", "memory"), 0.3),
            (("1", "cpu"), 0.5), (("1", "memory"), 0.4), (("1", "gpu"), 0.01),
        )),
        ("sizing_info", ((("oversized", "cpu.small"), 1.0),)),
        ("waste_per_month", ((("USD", "idle"), 730.0),)),
    ],
)  # fmt: skip
def test_samples_of_costs(name: str, samples: Samples) -> None:
    workload = Workload(
        id="w",
        status="running",
        proton_id="p",
        runtime=Runtime(container_groups=(PRICED,)),
        last_response="1970-01-11T00:00:00Z",
    )
    details = Details(pods=pods(replica(container())), windows={"5m": Window(0.0, 20 * 86400.0, RequestMetrics(0))})
    costs = Costs("USD", {"cpu.medium": 1.0, "cpu.small": 0.5})
    ledger = Ledger(1.0, 1.0, usage=OBSERVED)
    place = next(n for n, family in enumerate(FAMILIES) if family.name == f"datarobot_workload_{name}")
    state = WorkloadState("acme", workload, ledger, details, catalogue=SMALLER, costs=costs)
    assert samples_of(FAMILIES, state)[place] == samples
    unknown = state._replace(ledger=Ledger(1.0, 1.0), details=Details())
    assert samples_of(FAMILIES, unknown)[place] == ()


@pytest.mark.parametrize(
    ("name", "use", "prices", "samples"),
    [
        ("workloads_full_timestamp_seconds", Use(full=7.0), {}, (((), 7.0),)),
        ("workloads_full_timestamp_seconds", Use(), {}, ()),
        ("workloads_full_timestamp_seconds", None, {}, ()),
        ("forecast_start_timestamp_seconds", Use(forecast_from=7.0), {}, (((), 7.0),)),
        ("forecast_start_timestamp_seconds", Use(), {}, ()),
        ("forecast_start_timestamp_seconds", None, {}, ()),
        ("bundle_price_per_hour", Use(bundles=frozenset({"old"})), {"a": 1.0, "old": 2.0, "typo": 3.0}, (
            (("a", "EUR"), 1.0), (("old", "EUR"), 2.0),
        )),
        ("bundle_price_per_hour", None, {"a": 1.0, "old": 2.0}, ((("a", "EUR"), 1.0),)),
        ("price_unused", Use(bundles=frozenset({"old"})), {"a": 1.0, "old": 2.0, "typo": 3.0}, ((("typo",), 1.0),)),
        ("price_unused", None, {"typo": 3.0}, ()),
    ],
)  # fmt: skip
def test_samples_of_the_costs_of_an_account(
    name: str, use: Use | None, prices: dict[str, float], samples: Samples
) -> None:
    (family,) = (each for each in ACCOUNTS if each.name == f"datarobot_account_{name}")
    account = Account("acme", bundles=(ComputeBundle("a"), ComputeBundle("b")))
    assert family.samples(AccountFacts(account, use, Tally(), Costs(bundles=prices))) == samples
    unread = AccountFacts(Account("acme"), Use(bundles=frozenset({"old"})), Tally(), Costs(bundles={"typo": 1.0}))
    assert family.samples(unread) == ()
