"""Rows of FAMILIES by example: what a workload says, and what is served of it."""

import pytest

from exporter.core.families import FAMILIES, samples_of, served
from exporter.core.family import PROFILES, Profile, Samples
from exporter.core.model import Autoscaling, Group, Policy, RequestStats, Runtime, Workload
from tests.make import sight


def told(name: str, workload: Workload) -> Samples:
    """The samples of one family."""
    place = next(n for n, family in enumerate(FAMILIES) if family.name == f"datarobot_workload_{name}")
    return samples_of(FAMILIES, sight(workload, 20.0, 10.0))[place]


def scaled(**policies: float | None) -> Workload:
    given = tuple(Policy(scaling_metric=metric, target=target) for metric, target in policies.items())
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
def test_what_a_workload_says_is_what_is_served(name: str, workload: Workload, samples: Samples) -> None:
    assert told(name, workload) == samples


@pytest.mark.parametrize(("status", "label"), [("ERRORED", "errored"), ("Hibernating", "other"), (None, "unknown")])
def test_a_vanished_workload_is_told_with_its_last_status_and_its_totals(status: str | None, label: str) -> None:
    gone = sight(Workload(id="w", status=status), 20.0, 10.0, vanished=30.0)
    named = dict(zip([f.name for f in FAMILIES], samples_of(FAMILIES, gone), strict=True))
    assert named["datarobot_workload_vanished_timestamp_seconds"] == (((label, ""), 30.0),)
    assert {name for name, samples in named.items() if samples} == {
        "datarobot_workload_vanished_timestamp_seconds",
        "datarobot_workload_transitions_total",
    }


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
    sizes = [len(served(each)) for each in PROFILES]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(FAMILIES)
