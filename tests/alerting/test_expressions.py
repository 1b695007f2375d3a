"""The language of conditions: each form beside its PromQL and what it comes to."""

import math
from typing import Any

import pytest

from exporter.alerting.expressions import (
    NOW,
    AccountContext,
    Condition,
    Count,
    Metric,
    Raw,
    Term,
    Threshold,
    WorkloadContext,
    Writing,
)
from exporter.alerting.expressions import duration as written
from exporter.alerting.limits import DEFAULTS
from exporter.api.models import Workload
from exporter.fleet.ledger import Tally
from exporter.fleet.workload_state import Account
from exporter.metrics.account_families import AccountFacts, use
from tests.make import sight

WRITING = Writing('job="x"', {"oom_seconds": 1800, "limit_ratio": 0.9}, scale=10)
BY = "by (account, workload, workload_id)"
SEEN = sight(Workload(id="w", name="shop", status="running", importance="high"), since=100.0, first=50.0)
CONTEXT = WorkloadContext(SEEN, 160.0, DEFAULTS)
SINCE, FIRST = Metric("workload_status_since_timestamp_seconds"), Metric("workload_first_observed_timestamp_seconds")
STATUS = Metric("workload_status", status="running|errored")
MISSING = Metric("workload_vanished_timestamp_seconds")
ONE, TWO = STATUS.is_(1), SINCE > 0


@pytest.mark.parametrize(
    ("term", "promql", "value"),
    [
        (SINCE, f'max {BY} (datarobot_workload_status_since_timestamp_seconds{{job="x"}})', 100.0),
        (STATUS, f'max {BY} (datarobot_workload_status{{job="x", status=~"running|errored"}})', 1.0),
        (
            Metric("workload_status", "sum", status="stopped"),
            f"sum {BY} (max by (account, workload, workload_id, status) "
            '(datarobot_workload_status{job="x", status="stopped"}))',
            0.0,
        ),
        (MISSING, f'max {BY} (datarobot_workload_vanished_timestamp_seconds{{job="x"}})', None),
        (NOW, "time()", 160.0),
        (Threshold("oom_seconds"), "180", 1800.0),
        (Threshold("limit_ratio"), "0.9", 0.9),
        (NOW - 10, "time() - 10", 150.0),
        ((NOW - 10) * (NOW + 1), "(time() - 10) * (time() + 1)", 24150.0),
        (NOW / 0, "time() / 0", math.inf),
        ((NOW - 10) / (NOW - 110), "(time() - 10) / (time() - 110)", 3.0),
        ((NOW - 170) / (NOW - 160), "(time() - 170) / (time() - 160)", -math.inf),
        (NOW - MISSING, f'time() - max {BY} (datarobot_workload_vanished_timestamp_seconds{{job="x"}})', None),
    ],
)
def test_a_term(term: Term, promql: str, value: float | None) -> None:
    assert (term.promql(WRITING), term.value(CONTEXT)) == (promql, value)


def test_nothing_by_nothing_is_no_number() -> None:
    value = ((NOW - 160) / (NOW - 160)).value(CONTEXT)
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        (SINCE > FIRST, True),
        (SINCE < FIRST, False),
        (SINCE >= 100, True),
        (SINCE > 100, False),
        (SINCE.is_(100), True),
        (MISSING > 0, False),
        (MISSING < 0, False),
        ((MISSING > 0) | ONE, True),
        (ONE & (MISSING > 0), False),
        (ONE.unless(MISSING > 0), True),
        (ONE.unless(TWO), False),
        (SINCE.reported(), True),
        (MISSING.reported(), False),
        (ONE.unless(MISSING.reported()), True),
    ],
)
def test_a_condition_on_an_unreported_value_is_not_met(condition: Condition, is_met: bool) -> None:
    assert condition.is_met(CONTEXT) is is_met


@pytest.mark.parametrize(
    ("condition", "promql"),
    [
        (ONE & TWO, "A\nand B"),
        ((ONE & TWO) | ONE, "A\nand B\nor A"),
        ((ONE | TWO) & ONE, "(\n  A\n  or B\n)\nand A"),
        (ONE & (TWO | ONE), "A\nand (\n  B\n  or A\n)"),
        (ONE.unless(TWO).unless(ONE), "A\nunless B\nunless A"),
    ],
)
def test_brackets_stand_where_prometheus_would_bind_otherwise(condition: Condition, promql: str) -> None:
    values = condition.promql(WRITING).replace(ONE.promql(WRITING), "A").replace(TWO.promql(WRITING), "B")
    assert values == promql


def test_a_metric_is_reported_if_there_is_a_sample_of_any_value() -> None:
    assert MISSING.reported().promql(WRITING) == MISSING.promql(WRITING)
    assert Metric("workload_status", status="stopped").reported().is_met(CONTEXT)
    assert [*SINCE.reported().metrics()] == [SINCE]


def test_a_held_condition_reads_the_last_sample_of_a_range() -> None:
    held = SINCE.promql(WRITING._replace(held="1m"))
    assert held == f'max {BY} (last_over_time(datarobot_workload_status_since_timestamp_seconds{{job="x"}}[1m]))'


def test_workloads_are_counted_and_none_is_no_number() -> None:
    fleet = [SEEN, SEEN._replace(workload=Workload(id="v", status="errored"))]
    known = AccountFacts(Account("acme", workloads_limit=8), use(fleet), Tally())
    context = AccountContext(known, fleet, 160.0, DEFAULTS)
    assert Count(ONE).value(context) == 2
    assert Count(MISSING > 0).value(context) is None
    assert Metric("account_workloads_limit").value(context) == 8
    assert Count(NOW > 1).promql(WRITING) == "count by (account) (\n  time() > 1\n)"
    assert Count(ONE).value(CONTEXT) is None  # a workload has none


@pytest.mark.parametrize(("least", "value"), [(99, 100.0), (100, 100.0), (101, None), (MISSING, None)])
def test_a_number_counts_if_it_is_not_less(least: float | Term, value: float | None) -> None:
    term = SINCE.if_at_least(least)
    assert term.value(CONTEXT) == value
    assert (term > 1).is_met(CONTEXT) is (value is not None)
    assert MISSING.if_at_least(least).value(CONTEXT) is None


def test_a_number_that_counts_is_compared_like_any_other() -> None:
    condition = SINCE.if_at_least(5) >= NOW - FIRST
    since, first = SINCE.promql(WRITING), FIRST.promql(WRITING)
    assert condition.promql(WRITING) == f"{since} >= 5 >= time() - {first}"
    assert [*condition.metrics()] == [SINCE, FIRST]


def test_the_metrics_of_a_condition_are_those_of_all_its_sides() -> None:
    values = (Count(ONE & TWO) / FIRST > NOW - 1).metrics()
    assert [metric.name.removeprefix("datarobot_workload_") for metric in values] == [
        "status", "status_since_timestamp_seconds", "first_observed_timestamp_seconds",
    ]  # fmt: skip


def test_whether_a_metric_is_reported_is_not_its_value() -> None:
    condition = Count(SINCE.reported().unless(FIRST > 1)) >= NOW - FIRST
    assert [*condition.metrics(reported=False)] == [FIRST, FIRST]
    assert [*(SINCE + 1).metrics(reported=False)] == [SINCE]


def test_raw_promql_is_printed_unchanged() -> None:
    raw = Raw("rate(up{$job}[$900s]) > $limit_ratio")
    assert raw.promql(WRITING) == 'rate(up{job="x"}[90s]) > 0.9'
    assert not list(raw.metrics())
    with pytest.raises(NotImplementedError):
        raw.is_met(CONTEXT)


@pytest.mark.parametrize(("name", "where"), [("workload_colour", {}), ("workload_status", {"colour": "red"})])
def test_no_condition_is_about_what_does_not_exist(name: str, where: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no family datarobot_workload_"):
        Metric(name, **where)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (90, "90s"),
        (750, "12m30s"),
        (60, "1m"),
        (5400, "90m"),
        (7200, "2h"),
        (86400, "1d"),
        (1.5, "1500ms"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert written(seconds) == text
