"""The fleet table: its rows, the alerts that are met, and the order, worst first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import ActiveAlert
from exporter.alerting.expressions import WorkloadContext
from exporter.alerting.rules import DEFAULT, levels
from exporter.api import models
from exporter.api.models import Autoscaling, Group, Replacement, Runtime, Tag, Workload
from exporter.api.pods import PodCondition, Pods, Proton
from exporter.diagnosis.fleet_table import (
    NEEDS_ATTENTION,
    PAGE,
    SORTS,
    Choice,
    FleetTable,
    Row,
    alert_counts,
    choose,
    fleet_table,
    lasted,
    matching,
)
from exporter.fleet.ledger import Tally
from exporter.fleet.serving import pods_read
from exporter.fleet.workload_state import GONE_REASONS, Account, Details, WorkloadState
from exporter.metrics.account_families import AccountFacts, use
from tests.make import container, pods, replica, sight

NOW = 10_000.0
TWO = Runtime(container_groups=(Group(replica_count=2),))
NONE_TO_THREE = Runtime(container_groups=(Group(autoscaling=Autoscaling(min_replica_count=0, max_replica_count=3)),))
READY = replica(container())
NO_GPU = replica(
    status="pending",
    conditions=(PodCondition(type="PodScheduled", value=False, message="Insufficient nvidia.com/gpu"),),
)
CRASHED = container(ready=False, status="waiting", reason="CrashLoopBackOff", ended=("OOMKilled", 137, None))


def state(status: str | None = "running", reported: Pods | None = None, **facts: Any) -> WorkloadState:
    """A workload of two replicas that has had its status since second 9000, and was there from second 1 on."""
    details = {"fresh": facts.pop("fresh", {}), "refused": facts.pop("refused", frozenset())}
    parts = {name: facts.pop(name) for name in ("vanished", "gone_because", "account", "held") if name in facts}
    details["failed"] = facts.pop("failed", {})
    workload = Workload(**{"id": "w", "name": "name", "status": status, "proton_id": "p", "runtime": TWO, **facts})
    seen = sight(workload, 9000.0, 1.0, details=Details(pods=reported, **details), **parts)
    return seen if reported is None else pods_read(seen, 9100.0)


LOST = replica(container(), status="unknown", conditions=(PodCondition(type="Ready"),))


def unread(**reasons: str) -> Pods:
    """Two pods that are ready of a proton that serves, and none of one that drains, but for what could not be read."""
    result = {"p": pods(READY, READY).details["p"], "o": pods().details["p"]}
    protons = Proton("p", status="running", role="active"), Proton("o", status="draining")
    return Pods(protons, {i: None if i in reasons else each for i, each in result.items()}, reasons)


def table(*fleet: WorkloadState, account: Account = Account("acme")) -> FleetTable:  # noqa: B008 — immutable
    return fleet_table([(AccountFacts(account, use(fleet), Tally()), fleet)], DEFAULT, NOW)


def row(of: WorkloadState) -> Row:
    (only,) = table(of).rows
    return only


def names(of: FleetTable, **choice: Any) -> list[str]:
    return [each.name for each in choose(of, Choice(**choice)).rows]


@pytest.mark.parametrize("reason", GONE_REASONS)
def test_every_response_for_one_that_is_gone_has_its_reason(reason: str) -> None:
    assert row(state(vanished=9000.0, gone_because=reason)).reasons


def test_a_row_has_what_is_known_of_a_workload() -> None:
    assert row(state("Running", pods(READY, READY), importance="HIGH")) == Row(
        account="acme",
        id="w",
        name="name",
        status="running",
        group="up",
        importance="high",
        since=9000.0,
        longer=False,
        ready=2,
        unknown=0,
        least=2,
        most=2,
        alerts=(),
        reasons=(),
        urgency=7,
    )


def test_unreported_values_are_none_and_neither_zero_nor_healthy() -> None:
    bare = row(sight(Workload(id="w"), 1.0, 1.0))
    assert (bare.name, bare.status, bare.group, bare.importance) == ("", "unknown", "indeterminate", "unknown")
    assert (bare.ready, bare.least, bare.most) == (None, None, None)
    assert bare.longer
    assert bare.urgency == NEEDS_ATTENTION


def test_pods_of_unknown_readiness_are_counted_separately() -> None:
    assert row(state("running", pods(READY, replica(container(ready=None)))))[8:10] == (1, 1)


@pytest.mark.parametrize(
    ("of", "reasons"),
    [
        (state("running", pods(READY, READY)), ()),
        (state("hibernating"), ("its status is unknown",)),
        (state("submitted", pods(NO_GPU, NO_GPU)), ("no node has enough gpu (x2)",)),
        (
            state("running", pods(READY, replica(CRASHED))),
            ("waiting: CrashLoopBackOff", "last terminated: OOMKilled", "pods not ready"),
        ),
        (state("running", pods(replica(container(ended=("OOMKilled", 137, None))), READY)), ()),
        (state("errored", pods(replica(container(ended=("Error", 1, None))))), ("last terminated: Error",)),
        (state("running", pods()), ("no live pod",)),
        (state("running", pods(), runtime=NONE_TO_THREE), ("scaled to zero: no requests",)),
        (
            state("running", pods(READY, READY), replacement=Replacement(status="Switching")),
            ("replacement: switching",),
        ),
        (state("running", pods(READY, READY), replacement=Replacement(status="completed")), ()),
        (state("running", refused=frozenset({"pods"})), ("this token is not allowed to read its pods",)),
        (state("running", fresh={"pods": False}), ("pods not reported recently",)),
        (state("running", held={"$": 1.0}), ("not readable in the list: item",)),
        (state("running", held={"status": 1.0, "name": 1.0}), ("not readable in the list: name, status",)),
        (
            state("running", fresh={"pods": False}, failed={"pods": "server_error"}),
            ("pods not reported recently: server error (5xx)",),
        ),
        (
            state("running", unread(p="server_error"), fresh={"pods": False}),
            ("pods not read: serving version p: server error (5xx)",),
        ),
        (
            state("running", unread(o="server_error")),
            ("pods not read: outgoing version o: server error (5xx), which is common while a version drains",),
        ),
        (state("running", pods(READY, LOST)), ("readiness not known (x1)",)),
        (state("stopped", pods(LOST)), ()),
        (state("running", vanished=9500.0), ("no longer listed",)),
        (state("running", vanished=9500.0, gone_because="not_found"), ("deleted: the API no longer finds it",)),
        (state("running", vanished=9500.0, gone_because="forbidden"), ("no longer shared with the token's user",)),
    ],
)
def test_the_reasons_are_words_of_a_closed_set(of: WorkloadState, reasons: tuple[str, ...]) -> None:
    assert row(of).reasons == reasons


def test_a_workload_that_is_up_without_recent_data_needs_attention() -> None:
    assert row(state("running", unread(o="server_error"), fresh={"pods": True})).urgency == 7
    assert row(state("running", unread(p="server_error"), fresh={"pods": False})).urgency == NEEDS_ATTENTION
    assert row(state("running", fresh={"pods": False})).urgency == NEEDS_ATTENTION
    assert row(state("stopped", fresh={"pods": False})).urgency == 8


def test_the_end_of_a_container_is_shown_if_there_is_a_problem() -> None:
    ended = container(ended=("OOMKilled", 137, "1970-01-01T02:45:00Z"))
    calm = row(state("running", pods(replica(ended), READY)))
    assert (calm.alerts, calm.reasons) == (
        (ActiveAlert("DataRobotContainerOOMKilled", "warning"),),
        ("last terminated: OOMKilled",),
    )


def test_a_vanished_workload_shows_since_when_and_nothing_of_its_pods() -> None:
    gone = row(state("running", pods(READY, READY), vanished=9500.0))
    assert (gone.status, gone.group, gone.since, gone.longer, gone.ready) == (
        "vanished",
        "vanished",
        9500.0,
        False,
        None,
    )
    assert gone.alerts == (ActiveAlert("DataRobotWorkloadVanished", "warning"),)


@pytest.mark.parametrize(
    ("of", "is_met"),
    [
        (state("errored", importance="low"), {ActiveAlert("DataRobotWorkloadErrored", "warning")}),
        (state("errored", importance="high"), {ActiveAlert("DataRobotWorkloadErrored", "critical")}),
        (
            state("running", pods(replica(container(ready=False)))),
            {ActiveAlert("DataRobotWorkloadNoReadyReplica", "critical")},
        ),
        (state("running", None), set()),
        (state("stopped", None), set()),
    ],
)
def test_a_condition_is_met_without_its_wait_with_the_severity_of_its_first_level(
    of: WorkloadState, is_met: set[ActiveAlert]
) -> None:
    assert set(row(of).alerts) == is_met


@given(
    st.sampled_from(["running", "errored", "interrupted", "launching", "draining", "terminated"]),
    st.sampled_from(["critical", "high", "moderate", "low", None]),
    st.sampled_from([None, pods(), pods(READY), pods(READY, READY), pods(READY, replica(CRASHED)), pods(NO_GPU)]),
)
def test_alerts_met_are_those_of_the_rules(status: str, importance: str | None, reported: Pods | None) -> None:
    """The rules write a condition for each level, of which no two hold at once."""
    of = state(status, reported, importance=importance)
    context = WorkloadContext(of, NOW, DEFAULT.thresholds)
    desired = {
        (alert.name, severity)
        for alert in ALERTS
        if alert.component == "workload" and not alert.opt_in
        for severity, condition in levels(alert)
        if condition.is_met(context)
    }
    assert set(row(of).alerts) == desired


def test_alerts_that_the_settings_turn_off_or_on_are_not_or_are_on_it() -> None:
    failed = state("errored")
    fleets = [(AccountFacts(Account("acme"), None, Tally()), [failed])]
    off = fleet_table(fleets, DEFAULT._replace(off=frozenset({"DataRobotWorkloadErrored"})), NOW)
    assert off.rows[0].alerts == ()


def test_alerts_met_for_an_account_are_listed_by_its_name() -> None:
    failing = [state("errored", id=str(number)) for number in range(5)]
    assert table(*failing).accounts == {"acme": (ActiveAlert("DataRobotFleetManyFailing", "critical"),)}
    assert table(*failing[:4]).accounts == {"acme": ()}


def test_the_worst_come_first_then_the_most_important_then_the_newest() -> None:
    fleet = [
        state("stopped", name="off"),
        state("running", pods(READY, READY), name="up"),
        sight(Workload(id="w", name="starting", status="launching"), 9900.0, 1.0),
        state("running", pods(READY, replica(container(ready=False))), name="not ready", runtime=None),
        sight(Workload(id="w", name="ended", status="terminated"), 1.0, 1.0),
        state("errored", name="low", importance="low"),
        state("errored", name="moderate", importance="moderate"),
        state("errored", name="page", importance="critical"),
    ]
    assert names(table(*fleet)) == ["page", "moderate", "low", "ended", "not ready", "starting", "up", "off"]


FLEET = table(
    state("errored", name="Alpha", id="1", importance="low"),
    state("running", pods(READY, READY), name="beta", id="2", importance="critical"),
    state("running", pods(READY), name="Gamma", id="3", importance="high"),
    state("stopped", name="delta", id="4"),
    state("running", pods(READY), name="epsilon", id="5", runtime=None, importance="novel"),
)


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({}, ["Gamma", "Alpha", "beta", "epsilon", "delta"]),
        ({"words": "GAMMA"}, ["Gamma"]),
        ({"words": "acme running"}, ["Gamma", "beta", "epsilon"]),
        ({"words": "workloaderrored"}, ["Alpha"]),
        ({"words": "pods not ready"}, ["Gamma"]),
        ({"words": "no match here"}, []),
        ({"state": "up"}, ["Gamma", "beta", "epsilon"]),
        ({"state": "trouble"}, ["Gamma", "Alpha"]),
        ({"state": "failed", "words": "beta"}, []),
        ({"sort": "workload"}, ["Alpha", "beta", "delta", "epsilon", "Gamma"]),
        ({"sort": "-workload"}, ["Gamma", "epsilon", "delta", "beta", "Alpha"]),
        ({"sort": "importance"}, ["beta", "Gamma", "Alpha", "epsilon", "delta"]),
        ({"sort": "state"}, ["Alpha", "Gamma", "beta", "epsilon", "delta"]),
        ({"sort": "replicas"}, ["Gamma", "beta", "epsilon", "Alpha", "delta"]),
        ({"sort": "since"}, ["Gamma", "Alpha", "beta", "epsilon", "delta"]),
        ({"sort": "nonsense"}, ["Gamma", "Alpha", "beta", "epsilon", "delta"]),
    ],
)
def test_rows_are_found_by_words_and_state_and_sorted(choice: dict[str, Any], found: list[str]) -> None:
    assert names(FLEET, **choice) == found


def test_counts_are_of_what_the_words_find() -> None:
    assert choose(FLEET, Choice("running", "trouble")).counts == {"": 3, "up": 3, "trouble": 1}


@given(st.integers(0, 3 * PAGE), st.integers(-5, 10), st.sampled_from(["", *SORTS, *(f"-{sort}" for sort in SORTS)]))
def test_pages_are_whole_and_one_beyond_the_last_is_the_last(size: int, page: int, sort: str) -> None:
    rows = tuple(FLEET.rows[0]._replace(id=str(number)) for number in range(size))
    chosen = choose(FleetTable(NOW, rows, {}), Choice(sort=sort, page=page))
    assert 1 <= chosen.page <= chosen.pages == max(1, -(-size // PAGE))
    assert chosen.first == (chosen.page - 1) * PAGE + 1
    assert len(chosen.rows) == min(PAGE, size - chosen.first + 1)
    assert chosen.total == size


def test_alerts_met_in_the_fleet_are_sorted_by_severity() -> None:
    fleet = table(
        state("errored", id="1", importance="low"),
        state("errored", id="2", importance="low"),
        state("errored", id="3", importance="high"),
        state("interrupted", id="4"),
    )
    assert alert_counts(fleet) == [
        (ActiveAlert("DataRobotWorkloadErrored", "critical"), 1),
        (ActiveAlert("DataRobotWorkloadErrored", "warning"), 2),
        (ActiveAlert("DataRobotWorkloadInterrupted", "warning"), 1),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400, "1 d"),
        (360_000, "4 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert lasted(seconds) == words


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ((), ["a", "b", "c"]),
        (("team=claims",), ["a"]),
        (("Team = CLAIMS ",), ["a"]),
        (("team=claim",), []),
        (("team",), ["a", "b"]),
        (("team=",), ["b"]),
        (("team=claims", "env=prod"), ["a"]),
        (("team=claims", "env=test"), []),
        (("env=a=b",), ["b"]),
        (("",), []),
    ],
)
def test_only_rows_with_all_chosen_tags_are_shown_and_counted(tags: tuple[str, ...], found: list[str]) -> None:
    fleet = (
        state(id="a", tags=(Tag("team", "Claims"), Tag("env", "prod"))),
        state(id="b", tags=(Tag("TEAM", None), Tag("env", "a=b"))),
        state(id="c"),
    )
    chosen = choose(table(*fleet), Choice(tags=tags))
    assert sorted(row.id for row in chosen.rows) == found
    assert chosen.counts.get("", 0) == len(found)


def test_all_pages_of_a_choice_together_are_its_list() -> None:
    fleet = table(*(state(id=f"w{number}", name=f"n{number:03}") for number in range(2 * PAGE + 5)), state(id="x"))
    choice = Choice(words="n", sort="-workload")
    pages = [choose(fleet, choice._replace(page=page)).rows for page in (1, 2, 3)]
    assert matching(fleet, choice) == [row for page in pages for row in page]


@pytest.mark.parametrize(
    ("status", "importance", "down_for", "expected", "pending", "urgency"),
    [
        ("running", "high", 60.0, (), (ActiveAlert("DataRobotWorkloadNoReadyReplica", "critical"),), 1),
        ("running", "high", 180.0, (ActiveAlert("DataRobotWorkloadNoReadyReplica", "critical"),), (), 0),
        ("errored", "low", None, (), (ActiveAlert("DataRobotWorkloadErrored", "warning"),), 1),
    ],
)  # fmt: skip
def test_a_condition_that_is_not_met_for_its_minimum_duration_yet_is_pending_and_needs_attention(
    status: str,
    importance: str,
    down_for: float | None,
    expected: tuple[ActiveAlert, ...],
    pending: tuple[ActiveAlert, ...],
    urgency: int,
) -> None:
    seen = sight(Workload(id="w", status=status, proton_id="p", runtime=TWO, importance=importance), NOW - 60, 1.0)
    if down_for is not None:
        seen = pods_read(seen._replace(details=Details(pods=pods(replica(container(ready=False))))), NOW - down_for)
    found = row(seen)
    assert (found.alerts, found.pending, found.urgency) == (expected, pending, urgency)


def test_the_status_that_is_final_is_a_reason() -> None:
    assert row(state("terminated")).reasons == ("final: it cannot be started again, only deleted or created again",)


@pytest.mark.parametrize("status", [*models.STATUSES, "hibernating"])
@pytest.mark.parametrize("importance", models.IMPORTANCES)
def test_what_needs_attention_has_a_reason(status: str, importance: str) -> None:
    found = row(state(status, pods(READY, READY), importance=importance))
    assert found.urgency > NEEDS_ATTENTION or found.alerts or found.pending or found.reasons
