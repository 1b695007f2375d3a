"""Known deviations of the exporter from the expectations: what is wrong with it in each story, until it is mended."""

from typing import NamedTuple


class Known(NamedTuple):
    reason: str
    deviations: tuple[str, ...]


KNOWN: dict[str, Known] = {
    "rollout_fails_and_events_cannot_be_read": Known(
        "A ticket instead of a page: docs/alerts.md promised a page when the expectation was written.",
        (
            "unexpected: warning DataRobotReplacementFailed of pricing",
            "missing: critical of pricing",
        ),
    ),
    "outage_under_a_clock_five_minutes_behind": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of pricing",),
    ),
    "api_is_down_for_an_hour": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotApiUnreachable of account",),
    ),
    "api_is_down_for_an_hour_and_all_is_well_after": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotApiUnreachable of account",),
    ),
    "status_becomes_unknown": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadUnreadable of pricing",),
    ),
    "secret_deleted_under_the_only_pod": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of support-chat",),
    ),
    "database_down_no_pod_is_ready": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of orders",),
    ),
    "no_gpu_node_after_a_node_failure": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of llama",),
    ),
    "two_of_three_crash": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotContainerCrashLooping of claims-scorer",),
    ),
    "an_outage_comes_back_after_ten_minutes": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of fraud-check",),
    ),
    "autoscaler_at_its_maximum": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotAutoscalerSaturated of search",),
    ),
    "twelve_of_twenty_fail_at_once": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotFleetManyFailing of account",),
    ),
    "registry_down_during_a_node_renewal": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotFleetManyFailing of account",),
    ),
    "rollout_of_a_critical_service_fails": Known(
        "A ticket instead of a page: docs/alerts.md promised a page when the expectation was written.",
        ("unexpected: warning DataRobotReplacementFailed of pricing", "missing: critical of pricing"),
    ),
    "new_version_serves_only_errors": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNotServing of pricing",),
    ),
    "rolled_forward_out_of_an_outage": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNoReadyReplica of fraud-check",),
    ),
    "every_request_fails": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNotServing of checkout",),
    ),
    "outage_of_a_service_that_is_rarely_called": Known(
        "It ends later than expected: docs/alerts.md names a time, but did not when the expectation was written.",
        ("not resolved in time: DataRobotWorkloadNotServing of tax",),
    ),
}
