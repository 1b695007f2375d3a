"""What a person on call expects of each further story, by the API's contract and docs/alerts.md.

It was written before any of the stories was played, but for what the history of this file says. One incident is one
notification.
"""

from typing import Any

from tests.outside.expecting import ACCOUNT, Expected, Incident, page, ticket

ERRORS = ("5xx", "server error")
GPU = ("nvidia.com/gpu",)
UNREADY = ("readiness", "not ready", "0 of 1", "0 of 2")


def exit_code(code: int) -> tuple[str, ...]:
    return (f"exit code {code}", f"exited with {code}", f"exits with {code}", f"code {code}")


def quiet(because: str) -> Expected:
    return Expected(because)


def one(because: str, *incidents: Incident) -> Expected:
    return Expected(because, incidents)


def shared_no_more(name: str) -> Incident:
    return ticket(name, 20.5, 25, "disappear", "no longer shared", "deleted", until=22, resolved=54)


def dead(subject: str, after: float, by: float, code: int = 1, **more: Any) -> Incident:
    return page(subject, after, by, *exit_code(code), **more)


EXPECTED: dict[str, Expected] = {
    # pods
    "half_of_four_pods_exit": one(
        "Half of the replicas serve everything: by day.", ticket("credit-scorer", 12, 18, *exit_code(2))
    ),
    "three_of_four_pods_exit": one(
        "Less than half of the replicas of an important service is left.", dead("credit-scorer", 12, 18, 127)
    ),
    "moderate_service_down_under_traffic": one(
        "Most requests fail, whatever the importance; one page, and no ticket about the same fact beside it.",
        dead("mail-router", 12, 18, 3, until=35, resolved=56),
    ),
    "low_service_without_requests_exits": one("No user suffers: by day.", ticket("playground", 12, 18, *exit_code(1))),
    "sidecar_exits_in_one_of_two_pods": one(
        "Half of the replicas serve everything; it is the sidecar that exits.",
        ticket("photo-tagger", 12, 18, "metrics-agent"),
    ),
    "sidecar_image_is_denied_in_both_pods": one(
        "Total outage of a critical service, by the image of a sidecar.",
        page("teller", 12, 17, "auth-proxy", "denied"),
    ),
    "init_step_never_finishes": one(
        "Total outage of a critical service: NoReadyReplica promises three minutes.",
        page("teller", 12, 17, "PodInitializing", "init"),
    ),
    "registry_throttles_while_nodes_are_drained": quiet(
        "Three of four pods serve at any time, and no pull fails for four minutes."
    ),
    "mistyped_image_of_a_new_service": one(
        "Its creator has to correct the name, by day.", ticket("trial", 8, 14, "InvalidImageName", "parse image")
    ),
    "no_gpu_for_a_new_nim": one("Important, no replica ready, no room for ten minutes.", page("llama", 13, 18, *GPU)),
    "gpu_node_comes_after_eight_minutes": quiet("Within ten minutes there was room, and within 45 it serves."),
    "third_gpu_replica_finds_no_room": one("Two of three serve: by day.", ticket("llama", 18, 23, *GPU)),
    "third_replica_is_never_created": one(
        "Fewer replicas than it should have for ten minutes.", ticket("thumbnails", 19, 28, "2 of 3", "3 desired")
    ),
    "taint_keeps_the_only_pod_away": one(
        "Total outage of a critical service; one page, with the taint as its cause.",
        page("teller", 12, 17, "taint"),
    ),
    "configmap_missing_for_six_minutes": one(
        "Total outage of an important service, and over after six minutes.",
        page("teller", 12, 17, "model-settings", "CreateContainerConfigError", until=16, resolved=35),
    ),
    "volume_never_mounts": one(
        "Total outage of a critical service.", page("archive", 12, 17, "ContainerCreating", "volume")
    ),
    "entry_point_is_not_executable": one(
        "No user calls it: by day.", ticket("trial", 12, 18, "RunContainerError", "permission denied")
    ),
    "one_pod_runs_out_of_memory_twice": one(
        "One ticket for both kills, which are a quarter of an hour apart; half an hour after the second it is over.",
        ticket("resizer", 10, 17, "OOMKilled", "out of memory", until=25, resolved=62),
    ),
    "memory_stays_near_the_limit": one(
        "It will be killed sooner or later: by day.", ticket("resizer", 24, 38, "memory")
    ),
    "memory_is_near_the_limit_for_ten_minutes": quiet("Less than a quarter of an hour."),
    "evicted_pod_is_replaced": quiet("Two of three pods served, and the third is back."),
    "outage_of_two_minutes": quiet("It is over before a person could act."),
    "ready_only_every_other_two_minutes": one(
        "Half of the requests of a critical service fail for an hour: one incident.",
        page("teller", 12, 26, *ERRORS, *UNREADY, until=66, resolved=88),
    ),
    "down_and_up_every_five_minutes": one(
        "What recovers for a few minutes and fails again is one incident.",
        page("teller", 12, 17, *UNREADY, *ERRORS, until=45, resolved=64),
    ),
    "slow_start_of_a_new_service": quiet("A start may take fifteen minutes."),
    "new_service_never_becomes_ready": one(
        "A start is stuck after fifteen minutes; only for a critical one somebody is woken.",
        ticket("digest", 20, 25, *UNREADY),
    ),
    "old_server_shows_no_reasons": one(
        "Total outage of a critical service; its restarts are all that is known.", page("teller", 12, 18, "restart")
    ),
    # rollouts
    "candidate_with_a_missing_image": one(
        "The old version serves: by day, with the reason.",
        ticket("roller", 15, 18, "manifest unknown", "image", until=17, resolved=48),
    ),
    "retry_of_a_replacement_completes": one(
        "A later success ends the failure; a ticket of this failure is soon over.",
        ticket("roller", 15, 18, needed=False, until=15.5, resolved=24),
    ),
    "person_cancels_a_replacement": quiet("A cancel is no failure."),
    "replacement_never_ends": one("A replacement takes minutes, not half an hour.", ticket("roller", 25, 50, *UNREADY)),
    "candidate_warms_up_for_twenty_minutes": quiet("The warm-up belongs to it."),
    "replacement_ends_without_a_record": one(
        "The silent return to the old version is the failure.",
        ticket("roller", 15, 22, *exit_code(3), until=17, resolved=50),
    ),
    "new_version_fails_its_requests": one(
        "Users see an outage; the page should say that the version is new.",
        page("roller", 13.5, 22, "new version", "version is new", "replacement", "replaced", until=37, resolved=57),
    ),
    "four_replacements_in_an_hour": quiet("All of them completed."),
    "settings_change_without_a_bundle": one(
        "A failed replacement, with its message.",
        ticket("roller", 10.5, 17, "ResourceBundleInferenceError", "bundle", until=12, resolved=46),
    ),
    "replacement_failed_before_the_beginning": quiet("What was before the first reading is no news."),
    "draining_version_cannot_be_read": quiet("The other versions were readable all the time."),
    "two_versions_serve_for_good": quiet("Several versions may serve for good."),
    "event_of_a_failed_replacement_is_late": one(
        "One failure: found at once by the return to the old version, or by its event.",
        ticket("roller", 15, 24, *exit_code(78), until=17, resolved=55),
    ),
    # people
    "important_service_is_stopped_by_mistake": one(
        "An important service was stopped; the start ends it.",
        ticket("teller", 14.5, 18, "stopped", until=22, resolved=25),
    ),
    "moderate_services_are_stopped_and_suspended": quiet("Not important, and on purpose."),
    "stopped_while_it_fails": one(
        "Who stops it knows; the page ends, and a ticket about the stop is the most that may follow.",
        dead("teller", 12, 17, until=25, resolved=43),
        ticket("teller", 29, 60, needed=False, alerts=("WorkloadStopped",), until=25, resolved=60),
    ),
    "deleted_while_it_fails": one(
        "Who deletes it knows; the page ends.",
        page("teller", 12, 17, "not found", "image", until=22, resolved=40),
    ),
    "running_service_disappears": one(
        "It served a moment before: deleted or no longer shared.",
        ticket("teller", 12.5, 17, "disappear", "no longer shared", "deleted", until=14, resolved=46),
    ),
    "three_services_are_no_longer_shared": one(
        "Each of them is no longer watched.", *(shared_no_more(each) for each in ("cats", "dogs", "birds"))
    ),
    "older_of_two_with_one_name_is_deleted": quiet("It is stopping before: its owner deleted it."),
    "importance_is_raised_while_it_fails": one(
        "The same incident, which now has to wake someone.",
        ticket("trial", 12, 18, *exit_code(1), until=25),
        dead("trial", 25, 29),
    ),
    "importance_is_lowered_while_it_fails": one(
        "The incident goes on with the lower severity, which need not be sent again.",
        dead("trial", 12, 17, until=25),
        ticket("trial", 25, 60, needed=False),
    ),
    "draft_reaches_its_end": one(
        "An hour before; the end itself is no news.", ticket("demo", 11, 15, "draft", until=71, resolved=76)
    ),
    "draft_is_promoted_in_time": one(
        "An hour before; the promotion ends it.", ticket("demo", 21, 25, "draft", until=40, resolved=44)
    ),
    "started_after_its_image_was_pruned": one(
        "A restart cannot help; no user calls it: by day.", ticket("trial", 14, 19, "not found", "image")
    ),
    "stopping_takes_45_minutes": one(
        "Twenty minutes are enough to stop.", ticket("trial", 29, 35, "stopping", until=55, resolved=64)
    ),
    "low_service_is_preempted": one(
        "No user suffers: by day.", ticket("trial", 12, 16, "interrupted", "preempt", until=30, resolved=42)
    ),
    "critical_service_is_preempted": one(
        "Total outage of a critical service until somebody starts it.",
        page("teller", 12, 16, "interrupted", "preempt"),
    ),
    "preempted_service_is_back_soon": quiet("It is back after a minute and a half."),
    "important_service_is_terminated": one(
        "Final: it has to be created again; after an hour it is old.",
        page("teller", 10.5, 14, "terminated", until=68, resolved=74),
    ),
    # traffic
    "callers_send_wrong_requests": quiet("The callers' fault; the alert is off by default."),
    "responses_are_slow_for_half_an_hour": one(
        "Slow, but it responds: by day.",
        ticket("teller", 17, 30, "p95", "95th", "14 s", "14.0 s", until=40, resolved=52),
    ),
    "responses_are_slow_for_five_minutes": quiet("It is over soon."),
    "each_of_few_requests_fails": one(
        "Too few requests for a page; the error budget of a day is spent at a multiple.",
        ticket("quotes", 20, 115, *ERRORS),
    ),
    "few_errors_at_a_low_rate": quiet("Four errors endanger no budget."),
    "all_requests_fail_for_a_minute": quiet("A minute of an hour, and over before a person could act."),
    "tenth_of_the_requests_fails_for_an_hour": one(
        "A tenth for an hour uses the budget of days.",
        page("teller", 45, 62, *ERRORS, until=70, resolved=86),
    ),
    "requests_fail_in_two_of_six_minutes": one(
        "A third of the requests fails for an hour: one incident.",
        page("teller", 12, 30, *ERRORS, until=58, resolved=78),
    ),
    "errors_double_every_ten_minutes": one(
        "The budget of an hour's alert is used up soon after minute 60.", page("teller", 55, 73, *ERRORS)
    ),
    "evening_without_requests": quiet("No user works in the evening; the alert is off by default."),
    "autoscaler_has_no_more_replicas": one(
        "More than twice the load that its maximum is made for.", ticket("teller", 24, 36, "concurren", "2.5 times")
    ),
    "autoscaler_adds_and_removes_replicas": quiet("The autoscaler does its work."),
    "wakes_up_within_five_minutes": quiet("A cold start may take a while."),
    "no_replica_is_shown_as_stopped": quiet("It is scaled to zero, whatever the word."),
    "no_gpu_to_wake_up": one(
        "Important, callers wait, and there is no room for ten minutes.", page("wiki", 21, 33, *GPU)
    ),
    "statistics_are_deleted_during_an_incident": one(
        "Nothing changed for the users: the incident goes on.", page("teller", 22, 33, *ERRORS)
    ),
    # api
    "list_is_away_for_eighty_seconds": quiet("Three gaps of little more than a minute."),
    "list_is_away_for_twenty_minutes": one(
        "Nothing is watched meanwhile; one page, which says why.",
        page(ACCOUNT, 12, 17, "502", *ERRORS, until=30, resolved=43),
    ),
    "token_is_rejected_for_half_an_hour": one(
        "Nothing is watched meanwhile.",
        page(ACCOUNT, 11.5, 16, "401", "Invalid API key", until=40, resolved=55),
    ),
    "feature_is_switched_off": one("Nothing is watched any more.", page(ACCOUNT, 12, 17, "403", "not enabled")),
    "role_of_the_exporter_is_reduced": one(
        "Whether it serves is not known any more, although its status is: by day.",
        ticket("teller", 14, 28, "403", "not permitted"),
    ),
    "events_and_limits_are_missing": quiet("Routes that are missing say nothing about workloads."),
    "monitor_is_silent_about_a_new_service": one(
        "One ticket: no pods are reported for fifteen minutes.",
        ticket("digest", 18, 25, "no pods", "snapshot", "monitor"),
    ),
    "monitor_shows_nothing_new_of_a_healthy_service": quiet("A snapshot moves only if something changes."),
    "monitor_is_frozen_while_a_service_dies": one(
        "Responses prove the outage, although pods seem ready.", page("teller", 13.5, 20, *ERRORS)
    ),
    "pages_are_shorter_than_requested": one("The newest one is on the last page.", dead("newest", 12, 17)),
    "order_changes_between_pages": quiet("No workload is gone, and it is over after two minutes."),
    "malformed_items_beside_a_failure": one(
        "Odd items hide no outage, and wake no one themselves.", dead("teller", 14, 19, 64)
    ),
    "nulls_in_each_optional_field": quiet("Unknown values do not fire alerts."),
    "new_status_hides_an_outage": one("An unknown status hides no outage.", dead("teller", 12, 18)),
    "new_status_of_a_healthy_service": quiet("Pods and responses prove that it serves, not the word."),
    "errored_is_shown_although_all_is_well": one(
        "It serves: by day.", ticket("teller", 14.5, 18, "errored", until=30, resolved=39)
    ),
    "clock_of_the_server_is_ahead": quiet("The clocks differ, and all is well."),
    "clock_of_the_server_is_behind": one("Total outage of a critical service.", page("teller", 12, 17, *UNREADY)),
    "list_is_throttled_for_twenty_minutes": one(
        "Nothing is watched meanwhile.", page(ACCOUNT, 12, 18, "429", "rate limit", until=30, resolved=48)
    ),
    "some_details_are_throttled": quiet("Retries absorb it."),
    "two_of_seven_requests_fail": quiet("Retries absorb it."),
    "empty_page_that_claims_more": one(
        "Such a list is incomplete: no workload is gone, and nothing is watched.",
        page(ACCOUNT, 12.5, 17, "empty", "incomplete", "no read is complete", until=22, resolved=35),
    ),
    "list_is_away_during_an_open_incident": one(
        "Two incidents; the open one is held for the eight minutes and not sent again.",
        dead("teller", 12, 17),
        page(ACCOUNT, 27.5, 32, "502", *ERRORS, until=33, resolved=46),
    ),
    "versions_are_empty_for_a_moment": quiet("A list of versions may be empty for a moment."),
    "failing_service_has_no_importance": one(
        "The importance is low unless stated: by day.", ticket("trial", 12, 18, *exit_code(1))
    ),
    "statistics_are_away_while_a_service_dies": one("The pods prove the outage.", page("teller", 12, 17, *UNREADY)),
    # fleets
    "registry_is_away_for_a_quarter_of_the_fleet": one(
        "One cause, one page for the account, and none for its parts.",
        page(ACCOUNT, 10.5, 14, "image", "registry", until=35, resolved=54),
    ),
    "four_unrelated_failures_among_forty": one(
        "Four incidents of four causes.",
        ticket("model-00", 12, 18, *exit_code(1)),
        page("model-03", 14, 19, "bank-login", "CreateContainerConfigError"),
        page("model-02", 16, 21, "not found", "image"),
        page("model-07", 17, 24, *ERRORS),
    ),
    "tiny_account_fails_as_a_whole": one(
        "Fewer than five are separate incidents.", *(dead(each, 12, 17) for each in ("north", "south", "west"))
    ),
    "all_workloads_of_a_gpu_bundle_fail": one(
        "One page for the account, with what they have in common.", page(ACCOUNT, 10.5, 14, "gpu.l4.small")
    ),
    "forty_workloads_on_a_good_day": quiet("All of it is daily business."),
    "node_with_one_pod_of_each_dies": quiet("The other pod of each served, and the platform replaced the lost ones."),
    "bundle_is_only_for_other_uses": one("Its next start will fail: by day.", ticket("ledger", 55, 70, "cpu.legacy")),
    "catalogue_is_empty": quiet("An empty catalogue proves nothing."),
    "account_is_at_its_limit": one(
        "Deployments will soon be refused: by day.",
        ticket(ACCOUNT, 24, 36, "19 of", "19 active", "19 workloads"),
    ),
    "stopped_workloads_do_not_count": quiet("Eight of twelve are in use."),
    "each_workload_has_the_most_replicas": quiet("The limit is one of each workload, and the alert is off by default."),
}
