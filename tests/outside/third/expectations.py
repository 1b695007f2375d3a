"""What a careful person on call expects of each third story.

It was written before any of the stories was played, but for what the history of this file says. One incident is one
notification.
"""

from typing import Any

from tests.outside.expecting import ACCOUNT, Expected, Incident, page, ticket

ERRORS = ("5xx", "server error")
GPU = ("nvidia.com/gpu",)
GONE = ("disappear", "no longer shared", "deleted")


def quiet(because: str) -> Expected:
    return Expected(because)


def one(because: str, *incidents: Incident) -> Expected:
    return Expected(because, incidents)


def exits(code: int) -> tuple[str, ...]:
    return (f"exit code {code}", f"exited with {code}", f"exits with {code}", f"code {code}")


def dead(subject: str, after: float, by: float, code: int = 1, **more: Any) -> Incident:
    return page(subject, after, by, *exits(code), **more)


EXPECTED: dict[str, Expected] = {
    # capacity
    "quota_leaves_no_pod": one(
        "Total outage of a critical service, whatever the status says; that there is no pod at all is the clue.",
        page("ledger", 12, 18, "no pod", "0 of 1", "no replica"),
    ),
    "spot_nodes_are_reclaimed_one_by_one": one(
        "With two of three left there is time until morning; with one of three of a critical one there is not. Who is "
        "awake since minute 40 needs no second page in minute 50.",
        ticket("llama", 18, 29, *GPU, until=30),
        page("llama", 30.5, 46, *GPU),
    ),
    "large_model_wakes_up": quiet("A GPU at zero replicas takes such a time to wake up; who sets zero accepts that."),
    "registry_throttles_a_wake_up": one(
        "Important, callers wait, and no pull can succeed until the registry allows it.",
        page("wiki", 17, 30, "pull rate limit", "toomanyrequests", until=35, resolved=58),
    ),
    "disk_of_the_node_is_full": one(
        "It comes back each time and is gone again, and a quarter of its requests fail, for good. One notification; "
        "that of the error budget does not depend on the importance.",
        page("cache", 12, 45, "evicted from its node"),
    ),
    # rollouts
    "half_of_the_candidate_fails": one(
        "The old version serves: by day, with the exit code of the new one.",
        ticket("mixer", 12, 29, *exits(134), until=25, resolved=60),
    ),
    "person_reverts_a_version_with_errors": one(
        "A third of the requests fails, and the person who can repair it is at work: a page is right, but not needed.",
        page("mixer", 13.5, 30, *ERRORS, needed=False, until=24, resolved=46),
    ),
    "second_replacement_supersedes_the_first": quiet("A cancel is no failure, and the second one completes."),
    "platform_is_upgraded": quiet("One pod of each service served at any time; the API was away for a moment."),
    "failed_replacement_is_repaired": one(
        "One ticket, which the success ends.", ticket("mixer", 14.9, 20, *exits(2), until=25, resolved=36)
    ),
    # traffic
    "latency_grows_for_two_hours": one(
        "Nothing breaks at any moment; when each twentieth caller waits 12 s and more, a ticket, by day.",
        ticket("search", 40, 125, "p95", "95th", "slow", until=150, resolved=178),
    ),
    "one_replica_has_a_broken_gpu": one(
        "Each third request of a critical service fails, for good: twenty minutes are the most that a page may take.",
        page("llama", 12, 30, *ERRORS, until=55, resolved=80),
    ),
    "clients_retry_without_a_pause": one(
        "An important service fails most requests; overload is a consequence and no second notification.",
        page("search", 11, 18, *ERRORS, until=30, resolved=55),
    ),
    "first_requests_of_the_morning": quiet("Nights have no requests, and three errors are not worth a ticket."),
    "scanner_hides_an_outage": one(
        "Each request of a real caller fails; requests that are rejected say nothing about the service.",
        page("desk", 11, 30, *ERRORS),
    ),
    "requests_hang": one(
        "A critical service with hundreds of open requests that has finished none for ten minutes is down.",
        page("llama", 12, 35, "concurrent", "in flight", "open requests", "no response", "no request"),
    ),
    # people
    "team_stops_its_services_at_evening": one(
        "On purpose; a ticket about the important one is the most that may come.",
        ticket("editor", 12, 30, "stopped", needed=False, until=10, resolved=135),
    ),
    "service_is_created_again_under_its_name": quiet("It was stopped and deleted by its owner; the new one starts."),
    "failing_service_is_renamed": one("The same workload, the same incident: one page.", dead("teller", 12, 18)),
    "access_to_a_failing_service_ends": one(
        "One page; the loss of access is a ticket at most, and what is not listed must not stay open for ever.",
        dead("teller", 12, 18, until=25, resolved=70),
        ticket("teller", 25, 60, *GONE, needed=False),
    ),
    "importance_is_raised_while_there_is_no_room": one(
        "By day, until it is important; then it has to wake someone.",
        ticket("llama", 12, 27, *GPU, until=35),
        page("llama", 35, 40, *GPU),
    ),
    "replicas_are_saved": one(
        "That it has one replica is as configured; that a third of the requests fails is an outage.",
        page("search", 13, 31, *ERRORS),
    ),
    # api
    "pages_overlap": one("Twice in the list is once in the account.", dead("newest", 12, 17)),
    "statistics_are_ten_minutes_late": one(
        "The errors are counted from minute 20 on; late statistics must not hide an outage.",
        page("teller", 20, 36, *ERRORS, until=40, resolved=76),
    ),
    "nulls_during_an_open_incident": one("What is not known ends no incident and begins none.", dead("teller", 12, 18)),
    "details_are_throttled_during_an_open_incident": one(
        "One page, which ends after the pods can be read again; a ticket about the throttling is right.",
        dead("teller", 12, 18, until=30, resolved=66),
        ticket(ACCOUNT, 18, 50, needed=False, until=35),
    ),
    "server_is_a_quarter_of_an_hour_ahead": one(
        "Ages are counted from the clock that wrote them: the start is in time, and the outage is found as usual.",
        dead("teller", 27, 33, 3),
    ),
    "list_omits_a_workload_for_a_moment": one(
        "A gap of one sweep is no loss, and ends no incident.", dead("teller", 12, 18)
    ),
    "snapshot_stays_old_after_the_repair": one(
        "One page; it ends when pods or responses prove the repair.", dead("teller", 12, 18, until=25, resolved=65)
    ),
    # slow
    "memory_grows_for_six_hours": one(
        "Each kill deserves a ticket at most, and before the next ones the growth of the memory is visible.",
        ticket("resizer", 19, 30, "OOMKilled", "out of memory", "memory", until=20, resolved=60),
        ticket("resizer", 330, 379, "memory", until=380, resolved=420),
        ticket("resizer", 379.5, 395, "OOMKilled", "memory", needed=False, until=380, resolved=420),
        ticket("resizer", 690, 739, "memory", until=740, resolved=780),
        ticket("resizer", 739.5, 755, "OOMKilled", "memory", needed=False, until=740, resolved=780),
    ),
    "crash_every_fifty_minutes": one(
        "Forty seconds wake no one; but an important service that exits each hour needs a ticket after the third time.",
        ticket("vision", 19, 180, *exits(139), "restart"),
    ),
    "readiness_of_one_pod_flaps": one(
        "The other pod serves everything: a ticket is the most.", ticket("editor", 15, 75, needed=False)
    ),
    # healthy
    "batch_is_started_and_stopped": quiet("A scheduler at work."),
    "pods_are_replaced_with_surge": quiet("Three pods were ready at any time."),
    "autoscaler_oscillates": quiet("Never fewer than its minimum were ready; a starting replica is no failed one."),
    "probes_fail_for_forty_seconds": quiet("Each time it was over before a person could act."),
    "large_model_loads_for_38_minutes": quiet("A large model on a GPU may take that long, with one attempt lost."),
    # fleets
    "node_takes_five_workloads_with_it": one(
        "One cause: one page for the account, which names it, and none for its parts.",
        page(ACCOUNT, 10.5, 18, "Insufficient memory", "node", until=40, resolved=62),
    ),
    "shared_database_refuses_connections": one(
        "One cause: one page for the account and none for its parts.",
        page(ACCOUNT, 11, 20, *ERRORS, until=35, resolved=62),
    ),
    "second_wave_during_a_first_one": one(
        "One page for the first wave; when it is over, the three that still fail must not stay hidden.",
        dead(ACCOUNT, 10.5, 16, until=25, resolved=62),
        *(page(f"unit-{number:02}", 20, 60, "vault-token") for number in (6, 7, 8)),
    ),
}
