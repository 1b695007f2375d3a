"""Interpretation of API values: texts, statuses and settings, and which of them are ignored."""

import itertools
from typing import get_args

import msgspec
import pytest

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import active_alerts
from exporter.alerting.expressions import WorkloadContext
from exporter.alerting.limits import DEFAULTS
from exporter.api import models
from exporter.api.decoding import workload_page
from exporter.api.models import Autoscaling, Group, Runtime, ScalingPolicy, Workload
from exporter.fleet.reconcile import unknown_values
from tests.examples import page, payload
from tests.make import sight


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00+00:00", 60.0),
        ("1970-01-01T02:01:00+02:00", 60.0),
        ("1970-01-01 00:01:00.500000+00:00", 60.5),
        ("1970-01-01T00:01:00.123456789Z", 60.123456),
        ("1970-01-01T00:01:00", 60.0),
        ("1900-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("1970-01-01T00:00:00.001Z", 0.001),
        ("", None),
        (None, None),
        ("soon", None),
    ],
)
def test_timestamps_are_read_in_every_known_spelling(text: str | None, seconds: float | None) -> None:
    assert models.timestamp(text) == seconds


@pytest.mark.parametrize(
    ("quantity", "size"),
    [
        (512000000, 512e6),
        ("2GB", 2e9),
        ("512MiB", 536870912),
        ("1.5 kB", 1500),
        ("64Mi", 67108864),
        ("7", 7),
        (None, None),
        ("lots", None),
        ("3 parsecs", None),
        ("9" * 400, None),
        (f"{10**300}Pi", None),
        (-1, None),
        (10**400, None),
    ],
)
def test_memory_is_read_as_numbers_and_with_suffixes(quantity: int | str | None, size: float | None) -> None:
    assert models.memory_bytes(quantity) == size


@pytest.mark.parametrize(
    ("status", "group"),
    [
        ("running", "up"),
        (" Running ", "up"),
        ("LAUNCHING", "starting"),
        ("draining", "leaving"),
        ("stopped", "off"),
        ("errored", "failed"),
        ("Hibernating", "indeterminate"),
        ("unknown", "indeterminate"),
        (None, "indeterminate"),
        ("", "indeterminate"),
    ],
)
def test_a_status_belongs_to_a_group_and_a_new_one_is_never_healthy(status: str | None, group: str) -> None:
    assert models.status_group(status) == group


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("awaiting-promotion", "awaiting_promotion"),
        ("Awaiting Promotion", "awaiting_promotion"),
        ("ERRORED", "errored"),
    ],
)
def test_enum_values_fold_to_one_spelling(text: str, name: str) -> None:
    assert models.folded(text) == name


def test_autoscaling_bounds_of_the_older_policies_are_their_extremes() -> None:
    (workload,) = workload_page(page({"id": "w"} | payload("P17"))).items
    (group,) = models.groups(workload)
    scaling = models.autoscaled(group)
    assert scaling is not None
    assert models.replica_bounds(scaling) == (2, 6)


def test_autoscaling_bounds_of_the_group_win_over_its_policies() -> None:
    scaling = Autoscaling(min_replica_count=0, max_replica_count=3, policies=(ScalingPolicy(min_count=1, max_count=9),))
    assert models.replica_bounds(scaling) == (0, 3)


def test_autoscaling_without_policies_has_no_bounds() -> None:
    assert models.replica_bounds(Autoscaling()) == (None, None)


@pytest.mark.parametrize(("enabled", "on"), [(True, True), (None, True), (False, False)])
def test_autoscaling_is_on_unless_disabled(enabled: bool | None, on: bool) -> None:
    assert (models.autoscaled(Group(autoscaling=Autoscaling(enabled=enabled))) is not None) is on


def test_a_flat_runtime_is_one_group() -> None:
    assert models.groups(Workload(id="w", runtime=Runtime(replica_count=2))) == (Group(replica_count=2),)


@pytest.mark.parametrize("runtime", [None, Runtime(), Runtime(container_groups=())])
def test_a_workload_without_settings_has_no_group(runtime: Runtime | None) -> None:
    assert models.groups(Workload(id="w", runtime=runtime)) == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0.0), (2.5, 2.5), (None, None), (-1, None), (float("inf"), None), (float("nan"), None)],
)
def test_a_negative_or_infinite_number_is_ignored(value: float | None, expected: float | None) -> None:
    assert models.finite(value) == expected


LISTED = (
    "unknown submitted initializing provisioning launching running warming draining stopping stopped errored "
    "terminated suspended interrupted restarting updating failed scheduled pending"
).split()
"""Every status in a source of the API."""


def test_every_status_that_is_known_has_a_group_a_series_and_no_other_is_taken_for_known() -> None:
    assert {*models.STATUSES} == {*LISTED}
    assert len(models.STATUSES) == len(LISTED)
    assert sorted(itertools.chain(*map(models.of_group, get_args(models.StatusGroup)))) == sorted(LISTED)
    assert models.of_group("indeterminate") == ("unknown",)
    fleet = [Workload(id=status, status=status) for status in (*LISTED, "Quarantined")]
    assert unknown_values(fleet)["status"] == {"Quarantined": 1}


def alerts_of(status: str, age: float) -> set[tuple[str, str]]:
    """Names and severities of the alerts about a critical workload that has had a status for `age` seconds."""
    workload = Workload(id="w", name="n", status=status, importance="critical")
    state = sight(workload, since=1000.0, first=100.0)
    state = state._replace(ledger=msgspec.structs.replace(state.ledger, starting=1000.0))
    alerts = [alert for alert in ALERTS if alert.component == "workload"]
    active = active_alerts(alerts, WorkloadContext(state, 1000.0 + age, DEFAULTS))
    return {(each.alert, each.severity) for each in active}


@pytest.mark.parametrize("status", models.of_group("failed"))
def test_each_status_that_means_failure_pages_for_a_critical_workload(status: str) -> None:
    assert "critical" in {severity for _, severity in alerts_of(status, 100.0)}


@pytest.mark.parametrize(
    ("status", "alert"),
    [
        *((status, "DataRobotWorkloadStuckStarting") for status in models.of_group("starting")),
        *((status, "DataRobotWorkloadStuckStopping") for status in models.of_group("leaving")),
    ],
)
def test_each_status_of_a_start_or_a_stop_has_an_alert_if_it_lasts_too_long(status: str, alert: str) -> None:
    assert alert in {name for name, _ in alerts_of(status, 3000.0)}
