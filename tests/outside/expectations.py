"""What a person on call expects of each story, written before any of them was played.

A page means that somebody must act now, a ticket that somebody must act by day; nothing comes where no one must act.
"""

from tests.outside.expecting import ACCOUNT, Expected, Incident, page, ticket

EXIT_1 = ("exit code 1", "exited with 1", "code 1", "exits with 1")
IMAGE = ("image",)
ROOM = ("insufficient", "schedul")
MEMORY = ("out of memory", "oom", "memory")
ERRORS = ("5xx", "server error", "500")
NOT_READY = ("ready",)
STRANGE: Incident = ticket(ACCOUNT, 5, 45, needed=False, alerts=("ApiUnknownAnswers",))


def quiet(because: str) -> Expected:
    return Expected(because)


EXPECTED: dict[str, Expected] = {
    # outages
    "image_pruned_before_a_node_drain": Expected(
        "Total outage of an important service that a restart does not end.",
        (page("claims-scorer", 12, 18, *IMAGE),),
    ),
    "registry_login_expired_for_one_pod": Expected(
        "Two of three pods serve without an error: the third one can wait until the day.",
        (ticket("pricing", 12, 25, *IMAGE),),
    ),
    "registry_away_for_three_minutes": quiet("It is over before a person could act, and one pod served all the time."),
    "secret_deleted_under_the_only_pod": Expected(
        "Total outage of an important service; only a person can restore the secret.",
        (page("support-chat", 14, 20, "secret", "CreateContainerConfigError", until=40, resolved=46),),
    ),
    "memory_leak_kills_both_pods_again_and_again": Expected(
        "An important service is down for more than half of the time. The first kill may be a ticket of its own.",
        (
            ticket("summaries", 10, 16, *MEMORY, needed=False, alerts=("ContainerOOMKilled",)),
            page("summaries", 12, 30, *MEMORY),
        ),
    ),
    "one_large_request_kills_one_pod_once": Expected(
        "The service did not suffer, but somebody should look at its memory by day.",
        (ticket("summaries", 15, 18, *MEMORY, alerts=("ContainerOOMKilled",), until=16, resolved=52),),
    ),
    "every_pod_exits_at_once": Expected("Total outage of a critical service.", (page("fraud-check", 14, 19, *EXIT_1),)),
    "crashes_every_four_minutes": Expected(
        "The only pod of an important service is down half of the time, and more and more.",
        (page("vision", 12, 35, "139", "segmentation"),),
    ),
    "crash_loop_is_over_after_three_exits": quiet("It is over after a minute."),
    "job_instead_of_a_server": Expected(
        "Its creator has to learn that a job is no server, by day.",
        (ticket("nightly-export", 7, 20, "exit code 0", "code 0", "completed", "finish"),),
    ),
    "liveness_probe_kills_under_load": Expected(
        "An important service is down for more than half of the time.",
        (page("search", 12, 30, "137", "probe", "killed", until=44, resolved=60),),
    ),
    "database_down_no_pod_is_ready": Expected(
        "No pod of a critical service is ready for 25 minutes.",
        (page("orders", 16.5, 21, *NOT_READY, until=40, resolved=46),),
    ),
    "readiness_fails_for_ninety_seconds": quiet("It is over before a person could act."),
    "no_pod_ready_but_status_stays_running": Expected(
        "No pod of an important service is ready, whatever its status says.",
        (page("orders", 12, 17, *NOT_READY),),
    ),
    "no_gpu_node_after_a_node_failure": Expected(
        "A critical model is down, and only a person can find a GPU.",
        (page("llama", 12, 23, "gpu", *ROOM, until=50, resolved=61),),
    ),
    "new_node_takes_six_minutes": quiet("Nodes are added on demand, which takes minutes; then it runs."),
    "no_room_for_two_more_pods": Expected(
        "The two old pods serve as before; somebody should find room by day.",
        (ticket("batch-scorer", 17, 26, *ROOM),),
    ),
    "low_importance_evicted": Expected(
        "Of low importance, but nothing brings it back.",
        (ticket("lab", 13, 21, "evict", "interrupted", "preempt"),),
    ),
    "important_workload_preempted": Expected(
        "An important service is down until a person starts it.",
        (page("risk", 13, 19, "evict", "interrupted", "preempt"),),
    ),
    "preempted_and_back_in_two_minutes": quiet("It came back by itself."),
    "volume_does_not_come": Expected(
        "A start that does not end; the workload is of moderate importance.",
        (ticket("notes", 15, 28, "ContainerCreating", "volume", "starting", "provisioning"),),
    ),
    "broken_sidecar": Expected(
        "Total outage of an important service, though its own container runs.",
        (page("quotes", 12, 18, "log-shipper", "exit code 2"),),
    ),
    "status_flaps_over_healthy_pods": quiet("The callers are served, the pods are ready: the status is wrong."),
    "one_of_three_crashes": Expected(
        "Two of three pods serve everything.", (ticket("claims-scorer", 12, 25, *EXIT_1),)
    ),
    "two_of_three_crash": Expected(
        "One of three pods is left of a critical service, and callers get errors.",
        (page("claims-scorer", 12, 25, *EXIT_1, until=40, resolved=52),),
    ),
    "status_word_of_the_future": Expected(
        "It serves. At most a ticket that the exporter does not know the word.", (STRANGE,)
    ),
    "status_word_of_the_future_and_no_pod_lives": Expected(
        "No pod of a critical service lives, whatever the word for it.",
        (page("recommender", 12, 19, *EXIT_1), STRANGE),
    ),
    "status_errored_for_three_minutes": quiet("Errored can heal by itself, and here the pods served all the time."),
    "status_lags_fifteen_minutes_behind_the_pods": Expected(
        "Total outage of an important service, which the pods show at once. A second notification says nothing new.",
        (page("geocoder", 12, 18, "127", "not found"),),
    ),
    "slow_start_reads_errored_for_a_while": quiet("A start that took two minutes longer."),
    "terminated": Expected(
        "An important service is gone for good.",
        (page("old-scorer", 10.5, 14, "terminated", alerts=("WorkloadTerminated",)),),
    ),
    "low_and_absent_importance_crash": Expected(
        "Neither is important; both need somebody by day.",
        (ticket("toy", 12, 20, *EXIT_1), ticket("unrated", 12, 20, *EXIT_1)),
    ),
    "image_name_with_a_typing_error": Expected(
        "A new workload that cannot start; moderate.", (ticket("newcomer", 7, 15, *IMAGE),)
    ),
    "built_for_another_processor": Expected(
        "A critical service was started and does not run.", (page("edge-model", 7, 13, "255"),)
    ),
    "pod_monitor_is_down": Expected(
        "The start seems to be stuck, and nothing is known of its pods. By day: high, not critical.",
        (ticket("planner", 14, 32, "snapshot", "pods", "monitor", "starting"),),
    ),
    "status_failed": Expected("Total outage of a critical service.", (page("scorer", 12, 18, "126"),)),
    "a_node_dies_and_everything_moves": quiet("All pods moved within three minutes, and the other pods served."),
    "gpu_image_takes_twenty_minutes": quiet("GPU starts take up to 45 minutes."),
    "never_gets_ready_after_a_start": Expected(
        "A critical workload has not become ready after a quarter of an hour.",
        (page("wrong-port", 18, 27, "ready", "starting", "launching"),),
    ),
    "an_outage_comes_back_after_ten_minutes": Expected(
        "Two total outages of a critical service, a quarter of an hour apart: two pages.",
        (
            page("fraud-check", 12, 18, *EXIT_1, until=22.4, resolved=29),
            page("fraud-check", 38.5, 44, *EXIT_1),
        ),
    ),
    "one_pod_restarts_each_hour": quiet("One restart, the other pod served."),
    "dead_from_the_beginning": Expected(
        "An important service is down; the exporter has just been started.",
        (page("fraud-check", 0, 12, *EXIT_1),),
    ),
    # traffic
    "every_request_fails": Expected(
        "Total outage for the callers of an important service.",
        (page("checkout", 11.5, 18, *ERRORS, until=30, resolved=40),),
    ),
    "eight_percent_fail": Expected(
        "Sixteen times the error budget: a page, after the hour that the objective gives it.",
        (page("checkout", 12, 74, *ERRORS, "budget"),),
    ),
    "two_minutes_of_errors": quiet("Over before a person could act, two percent of an hour's requests."),
    "ninety_seconds_of_nothing_but_errors": quiet("Over before a person could act."),
    "five_bursts_of_one_minute": quiet("A fifth of the requests of one minute in ten, of moderate importance."),
    "cold_starts_with_a_few_errors": quiet("A cold start costs a few requests; that is what scaling to zero means."),
    "four_requests_and_two_fail": quiet("Too few requests to say anything."),
    "two_percent_fail_for_hours": Expected(
        "Four times the budget: a ticket, and not necessarily within two hours.",
        (ticket("checkout", 30, 120, *ERRORS, "budget", needed=False),),
    ),
    "responses_take_fourteen_seconds": Expected(
        "Slow, but it responds: by day.",
        (ticket("reports", 18, 30, "slow", "respon", alerts=("WorkloadLatencyHigh",), until=45, resolved=57),),
    ),
    "callers_without_rights": quiet("The callers are wrong, not the workload; the alert is off by default."),
    "traffic_ends": quiet("No fault; the alert is off by default."),
    "a_quiet_night_then_the_morning": quiet("It is the morning."),
    "outage_of_a_service_that_is_rarely_called": Expected(
        "Total outage for the callers of a critical service; 30 requests in five minutes are enough to know.",
        (page("tax", 12, 21, *ERRORS, until=35, resolved=46),),
    ),
    "low_importance_fails_most_requests": Expected(
        "docs/alerts.md promises a page for any importance if most requests fail.",
        (page("playground", 11.5, 20, *ERRORS),),
    ),
    "errors_while_the_pods_restart": quiet("One minute, a tenth of the requests."),
    "errors_of_a_stopped_workload_are_old": quiet("Stopped by somebody who knows, two minutes later."),
    # rollouts
    "rollout_succeeds": quiet("A rollout as it should be."),
    "rollout_of_high_importance_fails": Expected(
        "The old version serves; somebody has to repair the new one by day. The moved time of the event is no news.",
        (ticket("pricing", 13, 20, *EXIT_1, "crash", until=40, resolved=55),),
    ),
    "rollout_of_a_critical_service_fails": Expected(
        "docs/alerts.md promises a page for critical workloads; a ticket about the candidate may come before it.",
        (
            ticket("pricing", 13, 20, *IMAGE, until=20, needed=False),
            page("pricing", 19.5, 25, *IMAGE, "manifest", alerts=("ReplacementFailed",), until=45, resolved=60),
        ),
    ),
    "failed_rollout_is_retried_after_ten_seconds": Expected(
        "The retry succeeds, so no one has to act; a ticket that ends with the success does no harm.",
        (ticket("pricing", 13, 15, until=13, resolved=22, needed=False),),
    ),
    "rollout_cancelled_by_a_person": quiet("The person knows."),
    "settings_change_succeeds": quiet("A settings change as it should be."),
    "settings_change_fails_before_any_pod": Expected(
        "The change did not happen; by day.",
        (ticket("pricing", 10, 15, "bundle", until=35, resolved=55),),
    ),
    "warms_up_for_twenty_five_minutes": quiet("As configured."),
    "rollout_does_not_finish": Expected(
        "The old version serves; the new one has no room. One ticket is enough.",
        (ticket("ranker", 13, 42, *ROOM),),
    ),
    "new_version_serves_only_errors": Expected(
        "Total outage for the callers of an important service.",
        (page("pricing", 13.5, 20, *ERRORS, until=32.7, resolved=43),),
    ),
    "rollout_in_words_of_another_release": quiet("A rollout as it should be, in other words."),
    "failed_record_stays_for_an_hour": Expected(
        "The old version serves. One failure, one ticket; that the record stays is no news.",
        (ticket("pricing", 13, 20, *EXIT_1, "crash", "readiness", until=40, resolved=80),),
    ),
    "rolled_forward_out_of_an_outage": Expected(
        "Total outage of a critical service until the fix takes over.",
        (page("fraud-check", 12, 17, *EXIT_1, until=26.5, resolved=35),),
    ),
    "rollout_failed_before_the_exporter_started": quiet("Old news."),
    "three_failures_in_a_row": Expected(
        "The pipeline fails all the time: one ticket, not three.",
        (ticket("pricing", 12, 19, *EXIT_1, "crash", until=40, resolved=65),),
    ),
    "details_of_the_draining_version_are_refused": quiet("The new version serves; the old one goes anyway."),
    "two_versions_serve_for_good": quiet("As configured."),
    "candidate_starts_slowly_and_restarts_twice": quiet("The rollout succeeds."),
    "enclave_rollout_has_no_placement": Expected(
        "The old version serves; somebody has to ask for a placement by day.",
        (ticket("ranker", 10, 15, "placement", until=35, resolved=55),),
    ),
    # people
    "moderate_workload_is_stopped": quiet("On purpose."),
    "stop_ends_with_exit_code_137": quiet("On purpose; the exit code is that of the stop."),
    "critical_workload_is_stopped": Expected(
        "Probably on purpose, but critical: a ticket, which ends when the stop is assumed to be intended.",
        (ticket("pricing", 14, 20, "stopped", alerts=("WorkloadStopped",), until=20, resolved=35),),
    ),
    "stopped_and_started": quiet("A restart of three minutes by a person."),
    "moderate_workload_is_deleted": quiet("On purpose: it was stopped, then it was gone."),
    "critical_workload_is_no_longer_shared": Expected(
        "Deleted or no longer shared: somebody should know by day.",
        (ticket("pricing", 10, 17, "deleted", "shared", alerts=("WorkloadVanished",), until=30, resolved=50),),
    ),
    "workload_is_suspended": quiet("A deliberate pause of a moderate workload."),
    "draft_is_promoted": quiet("On purpose, nothing restarted."),
    "scaled_up_and_down": quiet("On purpose."),
    "importance_is_raised_in_an_outage": Expected(
        "A ticket, then a page as soon as it is critical.",
        (ticket("pricing", 12, 20, *EXIT_1), page("pricing", 25, 31, *EXIT_1)),
    ),
    "importance_is_lowered_in_an_outage": Expected(
        "A page; that it is only a ticket from minute 30 on may be said or not.",
        (page("pricing", 12, 18, *EXIT_1), ticket("pricing", 30, 38, *EXIT_1, needed=False)),
    ),
    "started_again_with_a_pruned_image": Expected(
        "A start that cannot succeed; moderate.", (ticket("quarterly", 12, 20, *IMAGE),)
    ),
    "two_workloads_of_one_name": quiet("A pipeline that works so."),
    "scaled_to_zero_and_woken": quiet("As configured."),
    "scaled_to_zero_reads_stopped": quiet("As configured, whatever the word for it."),
    "waking_up_fails": Expected(
        "An important service does not wake up, and callers get errors.",
        (page("thumbnails", 17, 23, *EXIT_1),),
    ),
    "draft_of_high_importance_ends": Expected(
        "Somebody can still promote it, within the hour.",
        (ticket("planner", 8, 16, "draft", alerts=("DraftExpiring",), until=60, resolved=80),),
    ),
    "draft_of_low_importance_ends": Expected(
        "docs/alerts.md names no importance; for a trial, nothing would do as well.",
        (ticket("trial", 8, 16, "draft", alerts=("DraftExpiring",), until=60, resolved=80, needed=False),),
    ),
    "autoscaler_at_its_maximum": Expected(
        "Overloaded, but it serves: by day.",
        (ticket("search", 25, 38, "maximum", "overload", alerts=("AutoscalerSaturated",), until=55, resolved=66),),
    ),
    "autoscaler_at_work": quiet("As configured."),
    "account_is_full": Expected(
        "Eleven of twelve workloads from the beginning: the next deployments are going to be refused.",
        (ticket(ACCOUNT, 13, 30, "limit", alerts=("AccountWorkloadLimitNear",)),),
    ),
    "memory_is_nearly_used_up": Expected(
        "One large request more, and it is killed: by day.",
        (ticket("cache", 22, 35, "memory", alerts=("WorkloadMemoryNearLimit",)),),
    ),
    "bundle_is_no_longer_offered": Expected(
        "It runs, but its next start may be refused: by day.",
        (ticket("legacy", 55, 75, "bundle", alerts=("BundleNotOffered",)),),
    ),
    "catalogue_is_empty_for_an_hour": quiet("An empty catalogue proves nothing, and pages may be short."),
    "node_pool_is_renewed": quiet("One pod of three at a time, for 90 seconds."),
    "single_pod_is_moved": quiet("Two minutes."),
    "half_of_the_fleet_is_stopped_for_the_night": quiet("On purpose."),
    "twelve_of_twenty_fail_at_once": Expected(
        "A common cause: one page for the account, not twelve.",
        (page(ACCOUNT, 11, 18, *EXIT_1, "team-", alerts=("FleetManyFailing",), until=40, resolved=49),),
    ),
    "registry_down_during_a_node_renewal": Expected(
        "A common cause: a page for the account; the two critical ones may page before it.",
        (
            page(ACCOUNT, 11, 22, *IMAGE, "team-", alerts=("FleetManyFailing",), until=44, resolved=56),
            page("team-0", 12, 22, *IMAGE, needed=False),
            page("team-1", 12, 22, *IMAGE, needed=False),
        ),
    ),
    "three_of_twenty_fail_in_an_hour": Expected(
        "docs/alerts.md promises a page if most requests of a workload fail, and each one gets ten a minute.",
        (
            ticket("team-0", 10, 16, *EXIT_1, needed=False),
            page("team-0", 10, 17, *EXIT_1),
            page("team-1", 16, 27, *ROOM),
            page("team-2", 22, 28, *NOT_READY),
        ),
    ),
    "friday_deployment_of_everything": quiet("All rollouts succeed."),
    "ten_new_workloads_in_ten_minutes": quiet("Starts of five minutes."),
    # habits
    "statistics_are_forbidden": quiet("A feature that the install does not have."),
    "install_without_protons": Expected(
        "A critical workload has failed; the status is all that is known.",
        (page("pricing", 22.5, 29, "errored", "failed", *ERRORS),),
    ),
    "events_fail_for_an_hour": Expected(
        "The workloads are fine; that a route fails for an hour may be a ticket.",
        (ticket(ACCOUNT, 20, 70, needed=False),),
    ),
    "rollout_fails_and_events_cannot_be_read": Expected(
        "docs/alerts.md promises a page for critical workloads; the record and the pods prove it without events.",
        (page("pricing", 14.5, 21, until=40, resolved=60),),
    ),
    "pod_details_come_and_go": quiet("Two of three requests succeed."),
    "no_snapshots_of_running_workloads": Expected(
        "They run and serve; that no pods are known for 45 minutes may be a ticket.",
        (ticket(ACCOUNT, 30, 60, needed=False),),
    ),
    "nearly_everything_is_null": Expected("It runs; the nulls may be a ticket.", (STRANGE,)),
    "words_and_fields_of_the_future": Expected("They run; the new words may be a ticket.", (STRANGE,)),
    "server_clock_is_five_minutes_ahead": quiet("Nothing is wrong but the clock."),
    "outage_under_a_clock_five_minutes_behind": Expected(
        "Total outage of a critical service.",
        (page("pricing", 14, 20, *EXIT_1, until=35.3, resolved=44),),
    ),
    "api_is_down_for_an_hour": Expected(
        "The workloads are out of sight for an hour: one page. What was hidden is a page as soon as it is known.",
        (
            page(ACCOUNT, 12.5, 17, "503", "api", alerts=("ApiUnreachable", "DataStale"), until=70, resolved=77),
            page("pricing", 70, 80, *EXIT_1),
        ),
    ),
    "api_is_down_for_an_hour_and_all_is_well_after": Expected(
        "The workloads are out of sight for an hour: one page.",
        (page(ACCOUNT, 12.5, 17, "502", "api", alerts=("ApiUnreachable", "DataStale"), until=70, resolved=77),),
    ),
    "api_restarts_for_two_minutes": quiet("Two minutes."),
    "list_stutters": quiet("Two of three requests succeed."),
    "token_is_refused": Expected(
        "No one is notified of anything until the token is replaced.",
        (page(ACCOUNT, 11, 16, "token", "401", alerts=("TokenRejected",)),),
    ),
    "token_is_renewed_in_time": quiet("One minute."),
    "throttled_for_an_hour": Expected(
        "The workloads are fine. The ticket comes from Prometheus, which keeps the history of counters: not from here.",
        (ticket(ACCOUNT, 18, 32, alerts=("ApiRateLimited",), until=55, resolved=72, needed=False),),
    ),
    "list_in_pages_whose_order_changes": quiet("All workloads are there, on one page or another."),
    "one_item_is_malformed": quiet("Five minutes."),
    "malformed_item_hides_nothing": Expected(
        "Total outage of a critical service; the broken item may be a ticket.",
        (page("pricing", 22, 28, *EXIT_1), STRANGE),
    ),
    "routes_without_a_slash_only": Expected(
        "No pod of a critical service is ready.", (page("pricing", 22, 28, *NOT_READY),)
    ),
    "old_server_without_reasons": Expected(
        "Total outage of an important service; the restarts are all that is known.",
        (page("pricing", 12, 19, "restart", "crash", "ready"),),
    ),
    "one_workload_cannot_be_read": Expected(
        "It runs, says the list; that is all that is known: by day.",
        (ticket("pricing", 13, 24, "read", alerts=("WorkloadUnreadable",)),),
    ),
    "status_becomes_unknown": Expected(
        "docs/alerts.md promises a page if the status of a critical workload is no longer known.",
        (page("pricing", 14, 22, "unknown", "read", "known", until=40, resolved=47),),
    ),
    "empty_list_for_a_minute": quiet("One minute."),
}
