"""What in a response is evidence for a reading of the API, and what is not: it fits several, or too little is known."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from exporter.api.assumptions import BY_ID, Indication
from exporter.api.details import Event, OtelValue, Quota, RequestMetrics, RequestTotals
from exporter.api.models import Artifact, Autoscaling, Bundle, Group, RequestStats, Runtime, Workload
from exporter.api.pods import OverallStatus, Pods, Proton, Replica, StatusDetails
from exporter.fleet import evidence
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark
from exporter.fleet.evidence import FleetTotals
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import Account, Details, Window, WorkloadState, ended_as_draft
from exporter.timestamps import rfc3339
from tests.make import replica

NOW = 1_795_000_000.0
HOUR = 3600.0


def at(hours: float) -> str:
    """The time so many hours ago."""
    return rfc3339(NOW - hours * HOUR)


def workload(**facts: Any) -> Workload:
    return Workload(**({"id": "w", "status": "running", "proton_id": "p", "created_at": at(100)} | facts))


NO_LEDGER = Ledger(0.0, 0.0)


def state(listed: Workload | None = None, ledger: Ledger = NO_LEDGER, **details: Any) -> WorkloadState:
    return WorkloadState("acme", listed or workload(), ledger, Details(**details))


def found(judged: Iterable[Indication]) -> list[str]:
    """The readings for which there is evidence."""
    judged = list(judged)
    for each in judged:
        assert each.reading in [reading.name for reading in BY_ID[each.assumption].readings]
        assert each.text
    return [each.reading for each in judged]


def part(name: str, after: WorkloadState, before: WorkloadState | None = None, value: object = None) -> list[str]:
    return found(evidence.of_part(before or state(), after, name, value, NOW))


# -- response times


def window(requests: int | None, *quantiles: tuple[float, float]) -> dict[str, Any]:
    return {"windows": {"5m": Window(NOW - 300, NOW, RequestMetrics(total_requests=requests), quantiles)}}


@pytest.mark.parametrize(
    ("requests", "quantiles", "expected"),
    [
        (500, [(0.5, 0.12), (0.95, 0.4)], ["response_time_quantile"]),
        (500, [(0.5, 0.12), (0.95, 0.12)], ["response_time_mean"]),
        (500, [(0.5, 0.12), (0.95, 0.13)], []),
        (500, [(0.5, 0.005), (0.95, 0.005)], []),
        (500, [(0.9, 0.12), (0.95, 0.12)], []),
        (500, [(0.5, 0.12)], []),
        (20, [(0.5, 0.12), (0.95, 0.12)], []),
        (None, [(0.5, 0.12), (0.95, 0.12)], []),
    ],
)
def test_two_quantiles_of_one_window(
    requests: int | None, quantiles: list[tuple[float, float]], expected: list[str]
) -> None:
    assert part("stats_5m", state(**window(requests, *quantiles))) == expected


def test_without_a_window_there_is_no_evidence() -> None:
    assert part("stats_5m", state()) == []


def test_a_part_that_rests_on_no_assumption_has_no_evidence() -> None:
    assert part("sharing", state()) == []


# -- usage of cores

ONE_CORE = Runtime(container_groups=(Group(replica_count=1, resolved_bundle=Bundle("b", cpu_count=1)),))


@pytest.mark.parametrize(
    ("value", "requests", "expected"),
    [
        (400_000_000.0, 1000, ["nanocores_are_billionths"]),
        (400.0, 1000, ["nanocores_are_thousandths"]),
        (400.0, 0, []),  # idle
        (400.0, None, []),
        (1500.0, 1, []),
        (9e12, 1000, []),  # neither
        (0.0, 1000, []),
        (None, 1000, []),
    ],
)
def test_a_value_of_cpu_usage(value: float | None, requests: int | None, expected: list[str]) -> None:
    used = (
        OtelValue("memory", "bytes"),
        OtelValue("container.cpu.usage", "nanocores", aggregated_value=value, current_value=value),
    )
    known = state(workload(runtime=ONE_CORE), usage=used, **window(requests))
    assert part("usage", known) == expected


def test_usage_without_a_bundle_or_a_window() -> None:
    used = (OtelValue("cpu", "nanocores", aggregated_value=400.0),)
    assert part("usage", state(usage=used, **window(1000))) == []
    now_idle = (OtelValue("cpu", "nanocores", current_value=400.0),)
    assert part("usage", state(workload(runtime=ONE_CORE), usage=now_idle, **window(1000))) == []
    assert part("usage", state(workload(runtime=ONE_CORE), usage=used)) == []
    assert part("usage", state(workload(runtime=ONE_CORE))) == []


# -- quotas and events


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [(None, []), ((), []), ((Quota("q", resource_id="w"),), ["quotas_of_workloads"]), ((Quota("q"),), [])],
)
def test_a_quota_with_the_id_of_the_workload(quotas: tuple[Quota, ...] | None, expected: list[str]) -> None:
    assert part("quotas", state(quotas=quotas)) == expected


@pytest.mark.parametrize(
    ("name", "reason", "expected"),
    [("quotas", "bad_request", ["quotas_refused"]), ("quotas", "forbidden", []), ("pods", "bad_request", [])],
)
def test_a_failure(name: str, reason: str, expected: list[str]) -> None:
    assert found(evidence.of_failure("w", name, reason)) == expected


EVENT = Event("6afd1b3c0000000000000001", timestamp=at(1), event_type="Replacement Completed")
MADE = float(int(EVENT.id[:8], 16))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"updated": at(0.9)}, ["event_id_has_time"]),
        ({}, ["event_id_without_time"]),
        ({"id": "e1"}, ["event_id_without_time"]),
        ({"timestamp": rfc3339(MADE)}, []),  # the event has no timestamp of its own
        ({"timestamp": None}, []),
        ({"event_type": "Created"}, []),
    ],
)
def test_the_id_of_an_event(event: dict[str, Any], expected: list[str]) -> None:
    assert part("events", state(), value=(msgspec.structs.replace(EVENT, **event),)) == expected


def test_only_some_events_of_a_list_are_judged() -> None:
    assert len(part("events", state(), value=(EVENT,) * 50)) == evidence.EVENTS
    assert part("events", state(), value=None) == []
    assert part("events", state(workload(created_at=None)), value=(EVENT,)) == []


# -- drafts


def draft(created: float, started: float | None, status: str = "running", kind: str = "draft") -> WorkloadState:
    proton = Proton("p", status="running", running_since=None if started is None else at(started))
    listed = workload(status=status, artifact=Artifact(status=kind), created_at=at(created))
    return state(listed, pods=Pods((proton,), {"p": None}))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (draft(9, 9), ["draft_time_other"]),
        (draft(20, 4), ["draft_time_from_start"]),
        (draft(8.2, 8.2), []),
        (draft(20, 9, "launching"), []),
        (draft(20, 9, kind="locked"), []),
        (draft(20, None), []),
        (state(workload(artifact=Artifact(status="draft"))), []),
    ],
)
def test_a_draft_that_runs(known: WorkloadState, expected: list[str]) -> None:
    assert part("pods", known) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (draft(12, 8), "stopped", ["drafts_are_stopped", "draft_time_from_start"]),
        (draft(12, 8), "stopping", ["drafts_are_stopped", "draft_time_from_start"]),
        (draft(8, 4), "stopped", ["drafts_are_stopped", "draft_time_from_creation"]),
        (draft(8.1, 8), "stopped", ["drafts_are_stopped"]),  # at a time that fits both
        (draft(3, 2), "stopped", []),  # somebody stopped it
        (draft(12, 8), "errored", []),
        (draft(12, 8, "launching"), "stopped", []),
        (draft(12, 8, kind="locked"), "stopped", []),
    ],
)
def test_a_workload_that_stops(before: WorkloadState, after: str, expected: list[str]) -> None:
    assert found(evidence.of_change(before, state(workload(status=after)), NOW)) == expected


@pytest.mark.parametrize(
    ("known", "answer", "expected"),
    [
        (draft(12, 8), "not_found", ["drafts_are_deleted"]),
        (draft(12, 8), "forbidden", []),
        (draft(12, 8), "", []),
        (draft(12, 5), "not_found", []),
        (draft(12, 8, kind="locked"), "not_found", []),
    ],
)
def test_a_workload_that_is_no_longer_listed(known: WorkloadState, answer: str, expected: list[str]) -> None:
    assert found(evidence.of_gone(known._replace(vanished=NOW, gone_because=answer))) == expected


def test_a_workload_that_is_listed_has_not_ended() -> None:
    assert not ended_as_draft(draft(12, 8))


# -- starts


def started(since: float | None, *episodes: Episode, life: Episode | None = None) -> WorkloadState:
    proton = Proton("p", status="running", running_since=None if since is None else at(since))
    ledger = Ledger(0.0, 0.0, tracker=EpisodeTracker(life=life, over=episodes))
    return state(ledger=ledger, pods=Pods((proton,), {"p": None}))


START = Episode("start", Mark(NOW - HOUR, NOW - HOUR - 30), before="stopped")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (started(0.9, START), ["start_resets_running_since"]),
        (started(0.9, life=START), ["start_resets_running_since"]),
        (started(9.0, START), ["start_keeps_running_since"]),
        (started(None, START), []),
        (started(0.9), []),
        (started(0.9, msgspec.structs.replace(START, before="errored")), []),
        (started(0.9, msgspec.structs.replace(START, opened=Mark(NOW - HOUR))), []),
        (started(0.9, msgspec.structs.replace(START, kind="stop")), []),
    ],
)
def test_the_start_of_a_workload_that_was_off(known: WorkloadState, expected: list[str]) -> None:
    assert part("pods", known) == expected


# -- no replicas


def asleep(status: str = "running", low: int | None = 0, since: float = 5.0, **facts: Any) -> WorkloadState:
    scaling = Autoscaling(min_replica_count=low, max_replica_count=3)
    listed = workload(status=status, runtime=Runtime(container_groups=(Group(autoscaling=scaling),)), **facts)
    pods = Pods((Proton("p", role="active"),), {"p": StatusDetails(replicas=facts.pop("replicas", ()))})
    return state(listed, Ledger(0.0, NOW - since * HOUR), pods=pods)


IDLE: dict[str, Any] = {"request_stats": RequestStats(total_requests=0)}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (asleep(), ["zero_replicas_without_start"]),
        (asleep("stopped"), ["zero_replicas_without_start"]),
        (asleep("Hibernating"), ["zero_replicas_without_start"]),
        (asleep("launching", **IDLE), ["zero_replicas_starting"]),
        (asleep("launching", last_response=at(3)), ["zero_replicas_starting"]),
        (asleep("launching", last_response=at(0.5)), []),  # a request may have woken it
        (asleep("launching"), []),
        (asleep("launching", since=0.5, **IDLE), []),
        (asleep("errored"), []),
        (asleep(low=1), []),
        (asleep(low=None), []),
    ],
)
def test_a_workload_without_pods(known: WorkloadState, expected: list[str]) -> None:
    assert part("pods", known) == expected


def test_the_status_of_a_workload_with_pods_says_nothing_about_one_without() -> None:
    known = asleep()
    pods = Pods((Proton("p", role="active"),), {"p": StatusDetails(replicas=(replica(),))})
    assert part("pods", known._replace(details=Details(pods=pods))) == []


# -- the time of a report


def reported(hours: float | None, *pods: Replica, overall: bool = True) -> WorkloadState:
    summary = OverallStatus(last_updated=None if hours is None else at(hours)) if overall else None
    return state(pods=Pods((Proton("p", role="active"),), {"p": StatusDetails(summary, pods)}))


POD, OTHER_POD = replica(), replica(name="other")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (reported(2, POD), reported(2, POD), ["pod_report_time_of_change"]),
        (reported(0.2, POD), reported(0, POD), ["pod_report_time_of_report"]),
        (reported(0.2, POD), reported(0.2, POD), []),  # too soon
        (reported(2, POD), reported(0, OTHER_POD), []),
        (reported(2), reported(2), []),
        (reported(None, POD), reported(2, POD), []),
        (reported(2, POD), reported(None, POD), []),
        (reported(2, POD, overall=False), reported(2, POD), []),
        (reported(2, POD), reported(2, POD, overall=False), []),
        (state(), reported(2, POD), []),
        (reported(2, POD), state(), []),
        (reported(2, POD), state(pods=Pods((Proton("q", role="active"),), {"q": StatusDetails()})), []),
    ],
)
def test_two_reports_of_pods(before: WorkloadState, after: WorkloadState, expected: list[str]) -> None:
    assert part("pods", after, before) == expected


# -- routes


def test_routes_that_took_another_form_than_expected() -> None:
    assert found(evidence.of_routes((), NOW)) == ["routes_end_with_slash"]
    (each,) = evidence.of_routes(("/quotas", "/account/info"), NOW)
    assert (each.reading, each.text) == ("routes_end_otherwise", "/account/info, /quotas")


# -- accounts


FLEET = FleetTotals(not_stopped=8, running=6, listed=10, replicas=20, over=0, requests=9000.0, errors=900.0, rate=0.5)


def account(fleet: FleetTotals = FLEET, **facts: Any) -> list[str]:
    return found(evidence.of_account(Account("acme", **facts), fleet, NOW))


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (8, ["active_unless_stopped"]),
        (6, ["active_if_running"]),
        (10, ["active_always"]),
        (7, []),
        (None, []),
    ],
)
def test_the_number_of_active_workloads(reported: int | None, expected: list[str]) -> None:
    assert account(active_reported=reported) == expected
    assert account(FleetTotals(8, 8, 8), active_reported=8) == []  # fits all


@pytest.mark.parametrize(
    ("limit", "over", "expected"),
    [
        (5, 0, ["replica_limit_of_workload"]),
        (3, 3, ["replica_limit_other"]),
        (3, 2, []),  # it may have been lowered since
        (20, 0, []),
        (0, 0, []),
        (-1, 0, []),
        (None, 0, []),
    ],
)
def test_the_limit_of_replicas(limit: int | None, over: int, expected: list[str]) -> None:
    assert account(FLEET._replace(over=over), replicas_limit=limit) == expected


@pytest.mark.parametrize(
    ("listed", "requests", "protons", "expected"),
    [
        (1000, 3000, ("p",), ["list_window_shorter"]),
        (1000, 3000, (), ["list_window_shorter"]),
        (1000, 3000, ("p", "q"), []),  # the list may have the requests to one of them
        (1000, 1100, ("p",), []),
        (100, 150, ("p",), []),
        (None, 3000, ("p",), []),
        (1000, None, ("p",), []),
    ],
)
def test_a_window_with_more_requests_than_the_list(
    listed: int | None, requests: int | None, protons: tuple[str, ...], expected: list[str]
) -> None:
    known = state(workload(request_stats=RequestStats(total_requests=listed)))
    read = Window(NOW - 259200, NOW, RequestMetrics(total_requests=requests), protons=protons)
    assert part("stats_3d", known, value=read) == expected
    assert part("stats_3d", state(), value=read) == part("stats_3d", known, value=None) == []


WEEK, SHARE, PERCENT = "list_window_week", "list_error_rate_fraction", "list_error_rate_percent"


@pytest.mark.parametrize(
    ("total", "failed", "fleet", "expected"),
    [
        (9000, 900, {}, [WEEK, SHARE]),
        (9000, 9, {}, [WEEK]),  # too few
        (9000, None, {}, [WEEK]),
        (9000, 900, {"errors": 90000.0}, [WEEK, PERCENT]),
        (9000, 900, {"errors": 9000.0}, [WEEK]),  # between both
        (9000, 900, {"rate": 40.0, "errors": 90000.0}, [PERCENT, WEEK]),
        (3000, 300, {}, ["list_window_longer", SHARE]),
        (90000, 9000, {}, [SHARE]),
        (6500, 0, {}, []),  # between both
        (500, 50, {}, []),
        (None, 50, {}, []),
        (9000, 900, {"requests": 0.0}, []),
    ],
)
def test_the_requests_of_the_list_and_those_of_seven_days(
    total: int | None, failed: int | None, fleet: dict[str, Any], expected: list[str]
) -> None:
    facts = RequestTotals(total=total, failed=failed)
    assert account(FLEET._replace(**fleet), requests_reported=facts) == expected


def test_the_totals_of_a_fleet() -> None:
    runs = Runtime(container_groups=(Group(replica_count=3),))
    states = [
        state(workload(runtime=runs, request_stats=RequestStats(total_requests=100, error_rate=2.0))),
        state(workload(request_stats=RequestStats(total_requests=100, error_rate=400.0))),
        state(workload(status="launching", request_stats=RequestStats())),
        state(workload(status="suspended")),
        state(workload(status="terminated")),
    ]
    assert evidence.totals(states, 2) == FleetTotals(3, 2, 5, 3, 1, 100.0, 200.0, 2.0)
    assert evidence.totals(states[:1], 2).plus(evidence.totals(states[1:], 2)) == evidence.totals(states, 2)


@pytest.mark.parametrize(
    ("reading", "counted"),
    [("", ["running", "launching"]), ("active_if_running", ["running"]), ("active_always", None)],
)
def test_a_workload_counts_as_active_by_the_reading_in_force(reading: str, counted: list[str] | None) -> None:
    statuses = ["running", "launching", "stopped", "terminated"]
    states = [state(workload(status=status))._replace(readings=frozenset({reading} - {""})) for status in statuses]
    active = [s for s, each in zip(statuses, states, strict=True) if evidence.counts_as_active(each)]
    assert active == (statuses if counted is None else counted)
