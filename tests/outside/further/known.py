"""Known deviations of the exporter from the further expectations: what is wrong with it, until it is mended."""

from tests.outside.known import Known

KNOWN: dict[str, Known] = {
    "ready_only_every_other_two_minutes": Known(
        "No notification at all, although half of the requests of a critical service fail for an hour: the pods are"
        " never unready for three minutes, and never ready for `ready_seconds`.",
        ("missing: critical of teller",),
    ),
    "no_gpu_to_wake_up": Known(
        "A ticket instead of a page, although the workload is important, no replica is ready and all requests fail; its"
        " statistics are not read while it starts.",
        (
            "unexpected: warning DataRobotWorkloadUnschedulable of wiki",
            "missing: critical of wiki",
        ),
    ),
    "statistics_are_deleted_during_an_incident": Known(
        "The page ends with the deleted statistics and does not come again in the following half hour, although 30 % of"
        " the requests go on failing.",
        ("resolved too early: DataRobotErrorBudgetBurnFast of teller",),
    ),
    "node_with_one_pod_of_each_dies": Known(
        "A page about many failing workloads, although each of them serves with its other pod: the status errored"
        " counts, whatever the pods prove.",
        ("unexpected: critical DataRobotFleetManyFailing of account",),
    ),
    "third_gpu_replica_finds_no_room": Known(
        "After the ticket, a page in minute 58 that the workload has been starting for too long, although it serves"
        " with two of three replicas.",
        ("unexpected: critical DataRobotWorkloadStuckStarting of llama",),
    ),
    "role_of_the_exporter_is_reduced": Known(
        "No ticket although every route of the workload but the list is refused.",
        ("missing: warning of teller",),
    ),
    "each_of_few_requests_fails": Known(
        "The ticket comes in minute 136: the day's statistics are read only every hour, and the wait of an hour is"
        " added.",
        (
            "unexpected: warning DataRobotErrorBudgetBurnSlow of quotes",
            "missing: warning of quotes",
        ),
    ),
    "settings_change_without_a_bundle": Known(
        "The ticket says that the API reports no reason, although the record in the list and the event do.",
        ("cause not named: DataRobotReplacementFailed of roller",),
    ),
}
