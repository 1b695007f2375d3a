"""The bytes of /metrics equal those of prometheus_client, and are independent of the order of changes."""

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from exporter.api import models
from exporter.api.decoding import workload_page
from exporter.api.details import ComputeBundle, OtelValue, Quota, QuotaRule, RequestMetrics, SharedRole
from exporter.api.models import Bundle, Workload
from exporter.fleet.ledger import DURATION_BUCKETS, Durations, Ledger, Tally
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Account, Details, Window, WorkloadState
from exporter.metrics import exposition
from exporter.metrics.account_families import ACCOUNTS, AccountFacts, Use
from exporter.metrics.exposition import Exposition, account_bodies, bounded
from exporter.metrics.family import COMMON_LABELS, Family, unit_in
from exporter.metrics.family import row as new_row
from exporter.metrics.registry import FAMILIES, samples_of
from tests.examples import page, payload
from tests.make import container, pods, replica, sight

TIMES = st.sampled_from(["1900-01-01T00:00:00Z", "2026-11-20T10:00:00.5Z", "", "later"]) | st.none()
NUMBERS = st.none() | st.integers(-5, 2**40) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=300)
GROUPS = st.fixed_dictionaries(
    {},
    optional={
        "replicaCount": st.none() | st.integers(-2, 9),
        "autoscaling": st.none()
        | st.fixed_dictionaries(
            {"enabled": st.booleans(), "minReplicaCount": st.none() | st.integers(0, 3)},
            optional={
                "cooldownPeriodMinutes": NUMBERS,
                "policies": st.lists(st.fixed_dictionaries({"scalingMetric": TEXTS, "target": NUMBERS}), max_size=2),
            },
        ),
        "resolvedBundle": st.none()
        | st.fixed_dictionaries({"id": TEXTS, "cpuCount": NUMBERS, "memoryBytes": NUMBERS, "gpuCount": NUMBERS}),
        "containers": st.lists(
            st.fixed_dictionaries({"resourceAllocation": st.fixed_dictionaries({"cpu": NUMBERS, "memory": NUMBERS})}),
            max_size=2,
        ),
    },
)
ITEMS = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", "c"]), "name": TEXTS},
    optional={
        "status": st.sampled_from(models.STATUSES) | TEXTS,
        "type": TEXTS,
        "importance": st.sampled_from(models.IMPORTANCES) | TEXTS,
        "artifact": st.fixed_dictionaries({"status": st.sampled_from(["draft", "locked"]), "name": TEXTS}),
        "replacement": st.none() | st.fixed_dictionaries({"status": st.sampled_from(["ERRORED", "switching", "new"])}),
        "createdAt": TIMES,
        "updatedAt": TIMES,
        "lastResponse": TIMES,
        "runtime": st.fixed_dictionaries({"containerGroups": st.lists(GROUPS, max_size=2)}),
    },
)


def read(item: Any) -> Workload:
    (workload,) = workload_page(page(item)).items
    return workload


WORKLOADS = ITEMS.filter(lambda item: json.dumps(item).isascii()).map(read)
PODS = st.sampled_from(
    [
        None,
        pods(),
        pods(replica(container())),
        pods(
            replica(container(ended=("OOMKilled", 137, "2026-11-20T10:00:00Z"))),
            replica(status="pending"),
            role="active",
        ),
        pods(replica(container(status="waiting", ready=False, reason="CrashLoopBackOff")), status="errored"),
    ]
)
DETAILS = st.builds(
    Details,
    pods=PODS,
    windows=st.sampled_from(
        [{}, {"5m": Window(0.0, 300.0, RequestMetrics(total_requests=9, server_errors=3), ((0.5, 0.1), (0.99, 2.0)))}]
    ),
    usage=st.sampled_from([None, (OtelValue("cpu.usage", "nanocores", current_value=5e8, level="pod"),)]),
    quotas=st.sampled_from([None, (Quota(id="q", default_rules=(QuotaRule("requests", 300, "min"),)),)]),
    grants=st.sampled_from([None, (SharedRole(id="s", role="OWNER", share_recipient_type="user"),)]),
    fresh=st.sampled_from([{}, {"pods": True, "events": False}]),
    refused=st.sampled_from([frozenset(), frozenset({"stats_5m", "pods"})]),
    polled=st.sampled_from([{}, {"pods": 7.5}]),
)
LEDGERS = st.builds(
    Ledger,
    first=st.just(7.0),
    since=st.just(7.0),
    transitions=st.sampled_from([{}, {"errored": 2}]),
    seen_events=st.sampled_from([None, ("e",)]),
    newest=st.sampled_from([{}, {"other": 7.0}]),
    restarts=st.sampled_from([{}, {"main": 4}]),
    terminations=st.sampled_from([{}, {"main": {"OOMKilled": 1}}]),
    reset_at=st.sampled_from([None, 0.0, 100.0]),
    objectives=st.sampled_from([None, ObjectiveCounts(7.0, 9.0, Totals(9, 1, 2, 5, 5), 8.0, 9.0, True)]),
)
SEEN = st.builds(
    WorkloadState,
    st.just("acme"),
    WORKLOADS,
    LEDGERS,
    DETAILS,
    vanished=st.sampled_from([None, None, 9.0]),
    catalogue=st.sampled_from([None, {"cpu.medium": Bundle("cpu.medium", 2.0, 4096)}]),
    replicas_limit=st.sampled_from([None, 0, 3]),
    held=st.sampled_from([{}, {"status": 7.0}]),
    tag_labels=st.none()
    | st.lists(st.tuples(st.sampled_from(["tag_env", "tag_z"]), TEXTS), unique_by=lambda each: each[0]).map(tuple),
    objective=st.sampled_from([None, Objective(0.999, 0.99, 0.9, 2.0)]),
)
FLEETS = st.lists(SEEN, max_size=3, unique_by=lambda state: state.workload.id)


class Reference:
    """The same families through prometheus_client, sample by sample."""

    def __init__(self, fleet: list[WorkloadState], rows: Sequence[Family]) -> None:
        self.rows = rows
        self.fleet = sorted(fleet, key=lambda state: (state.account, state.workload.id))

    def collect(self) -> Any:
        for row in self.rows:
            kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "summary": SummaryMetricFamily}
            names = [*COMMON_LABELS, *row.labels]
            family = kinds[row.kind](row.name, row.help, labels=names, unit=unit_in(row.name.removesuffix("_total")))
            for state in self.fleet:
                (samples,) = samples_of((row,), state)
                for labels, value in samples:
                    if row.dynamic:
                        names, labels = [*COMMON_LABELS, *labels[::2]], labels[1::2]
                    common = [state.account, state.workload.name or "", state.workload.id]
                    found = dict(zip(names, [bounded(text) for text in [*common, *labels]], strict=True))
                    family.add_sample(row.name, found, value)
            yield family


def line(family: str, name: str, workload_id: str, value: str, **extra: str) -> str:
    """A sample line of a workload family, its labels sorted."""
    labels = {"account": "acme", "workload": name, "workload_id": workload_id} | extra
    pairs = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"datarobot_workload_{family}{{{pairs}}} {value}"


def registry(fleet: list[WorkloadState], rows: Sequence[Family] = FAMILIES) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Reference(fleet, rows))
    return made


def rendered(fleet: list[WorkloadState], rows: Sequence[Family] = FAMILIES) -> Exposition:
    page = Exposition(rows)
    page.update(fleet)
    return page


def render(fleet: list[WorkloadState]) -> bytes:
    return rendered(fleet).text()


ODD = Family(
    "datarobot_workload_odd_things_total",
    "counter",
    ("zone",),
    'Help with a "quote", a \\ and a\nnewline.',
    "",
    "",
    lambda view: (((view.workload.name or "",), view.state.ledger.since),),
)


@given(FLEETS)
@settings(deadline=None)
def test_a_full_render_is_byte_equal_to_prometheus_client(fleet: list[WorkloadState]) -> None:
    page, library = rendered(fleet), registry(fleet)
    assert page.text() == generate_latest(library)
    assert page.openmetrics() + b"# EOF\n" == generate_openmetrics(library)  # type: ignore[no-untyped-call]  # the library has no types


@given(FLEETS)
@settings(deadline=None)
def test_a_counter_is_written_as_prometheus_client_writes_it(fleet: list[WorkloadState]) -> None:
    page, library = rendered(fleet, (ODD,)), registry(fleet, (ODD,))
    assert page.text() == generate_latest(library)
    assert page.openmetrics() + b"# EOF\n" == generate_openmetrics(library)  # type: ignore[no-untyped-call]  # the library has no types


@given(st.lists(FLEETS, min_size=1, max_size=5))
@settings(deadline=None)
def test_after_any_sequence_of_changes_the_page_is_the_full_render(fleets: list[list[WorkloadState]]) -> None:
    page = Exposition()
    for fleet in fleets:
        page.update(fleet)
        assert page.text() == render(fleet)
        assert page.series == sum(len(samples) for state in fleet for samples in samples_of(FAMILIES, state))


@given(st.lists(st.dictionaries(st.integers(0, 30), st.sampled_from(["running", "errored"])), min_size=2, max_size=6))
def test_after_adding_and_removing_workloads_the_page_is_the_full_render(
    fleets: list[dict[int, str]],
) -> None:
    page = Exposition(shelf=4)
    for fleet in fleets:
        there = [sight(Workload(id=f"{n:02}", name="n" * n, status=status)) for n, status in fleet.items()]
        page.update(there)
        assert page.text() == render(there)


@given(FLEETS)
@settings(deadline=None)
def test_an_unchanged_fleet_changes_no_bytes(fleet: list[WorkloadState]) -> None:
    page = rendered(fleet)
    before = list(page.bodies())
    page.update(fleet)
    assert all(a is b for a, b in zip(before, page.bodies(), strict=True))


@pytest.mark.parametrize(("before", "after"), [(-1.0, -2.0), (1.0, 2.0**61), (4.0, 2.0**63), (float("inf"), 314159.0)])
@pytest.mark.parametrize("labels", [(), ("part",)])
def test_values_with_the_same_hash_are_a_change(before: float, after: float, labels: tuple[str, ...]) -> None:
    assert hash(before) == hash(after)
    values = ("pods",) if labels else ()
    reads = new_row(
        "workload_new", "New.", lambda view: ((values, view.state.ledger.since),), source="", absence="", labels=labels,
        reads=("ledger",)
    )  # fmt: skip
    page = Exposition((reads,))
    page.update([sight(Workload(id="w"), before)])
    page.update([sight(Workload(id="w"), after)])
    assert page.text() == rendered([sight(Workload(id="w"), after)], (reads,)).text()


def test_a_change_of_status_changes_only_the_families_that_read_it() -> None:
    page = Exposition()
    before = Workload(id="w", name="n", status="running")
    page.update([sight(before, 1.0)])
    bodies = page.bodies()
    page.update([sight(Workload(id="w", name="n", status="errored"), 1.0)])
    changed = [new.name for old, new in zip(bodies, page.bodies(), strict=True) if old is not new]
    assert changed == ["datarobot_workload_info", "datarobot_workload_status"]


def test_a_second_change_of_the_same_kind_changes_the_same_families() -> None:
    page = Exposition()
    seen = []
    for status in ("running", "errored", "stopped"):
        before = page.bodies()
        page.update([sight(Workload(id="w", name="n", status=status), 1.0)])
        seen.append([new.name for old, new in zip(before, page.bodies(), strict=True) if old is not new])
    assert seen[1] == seen[2] == ["datarobot_workload_info", "datarobot_workload_status"]


def test_an_update_yields_often_and_shows_nothing_until_its_end() -> None:
    page = Exposition()
    fleet = [sight(Workload(id=str(number)), 1.0) for number in range(2000)]
    empty, full = Exposition().text(), render(fleet)
    for workloads, before, after in ((fleet, empty, full), ([], full, empty)):
        between = [page.text() for _ in page.steps(workloads)]
        assert len(between) > 10
        assert set(between) == {before}
        assert page.text() == after


def test_an_interrupted_update_is_completed_by_the_next() -> None:
    page = rendered([sight(Workload(id="0", status="running"), 1.0)])
    fleet = [sight(Workload(id=str(number), status="errored"), 2.0) for number in range(1000)]
    next(page.steps(fleet))
    page.update(fleet)
    assert page.text() == render(fleet)


@pytest.mark.parametrize(
    ("item", "lines"),
    [
        (
            payload("P03"),
            [
                line("status", "from-the-future", "70aa00000000000000000004", "1.0", status="other"),
                line("status", "from-the-future", "70aa00000000000000000004", "0.0", status="running"),
                line("autoscaling_replicas_max", "from-the-future", "70aa00000000000000000004", "4.0"),
                line("autoscaling_cooldown_seconds", "from-the-future", "70aa00000000000000000004", "1800.0"),
            ],
        ),
        (
            payload("P05"),
            [
                line("replacement_active", "roller2", "70aa00000000000000000006", "0.0"),
                line("replacement_status", "roller2", "70aa00000000000000000006", "1.0", status="errored"),
            ],
        ),
        (
            {"id": "w", "name": "n", "artifact": {"status": "draft"}, "createdAt": "1970-01-01T00:00:01Z"},
            [line("draft_expiry_timestamp_seconds", "n", "w", "28801.0")],
        ),
    ],
)
def test_a_workload_is_rendered_as_these_lines(item: Any, lines: list[str]) -> None:
    text = render([sight(read(item), 0.0)]).decode().splitlines()
    assert [line for line in lines if line not in text] == []


def test_a_value_that_is_not_reported_has_no_sample() -> None:
    text = render([sight(read(payload("P02")), 0.0)]).decode()
    found = {f.name for f in text_string_to_metric_families(text) if f.samples}
    assert found == {
        "datarobot_workload_info",
        "datarobot_workload_status",
        "datarobot_workload_status_since_timestamp_seconds",
        "datarobot_workload_first_observed_timestamp_seconds",
        "datarobot_workload_importance",
        "datarobot_workload_created_timestamp_seconds",
        "datarobot_workload_fresh",
        "datarobot_workload_updated_timestamp_seconds",
        "datarobot_workload_replacement_active",
        "datarobot_workload_replacements",
        "datarobot_workload_stats_resets",
        "datarobot_workload_transitions",
    }


@given(st.floats())
def test_numbers_are_written_as_prometheus_client_writes_them(value: float) -> None:
    assert exposition.number(value) == floatToGoString(value)  # type: ignore[no-untyped-call]  # the library has no types here


@pytest.mark.parametrize(
    ("value", "text"),
    [(1763632800.0, "1.7636328e+09"), (0.0, "0.0"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_a_number_is_written_as(value: float, text: str) -> None:
    assert exposition.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b', 'a\\"b'),
        ("a\nb", "a\\nb"),
        ("a\\b", "a\\\\b"),
        ("a\x00b", "a\ufffdb~ffc151170352baa3"),
        ("x" * 999, "x" * 239 + "~ae3bb9a17179a0ad"),
    ],
)
def test_a_label_is_bounded_cleaned_and_escaped(value: str, text: str) -> None:
    assert exposition.label(value) == text


def test_long_ids_whose_checksums_are_equal_are_different_series() -> None:
    one, other = ("x" * 300 + end for end in ("fee72ef6c8dd", "547c1be46ecd"))
    assert zlib.crc32(one.encode()) == zlib.crc32(other.encode())
    assert exposition.label(one) != exposition.label(other)


def test_family_rows_have_unique_names_and_labels_in_order() -> None:
    assert len({row.name for row in FAMILIES}) == len(FAMILIES)
    assert all(row.help and row.source and row.absence for row in FAMILIES)


def test_a_value_that_is_no_longer_reported_has_no_sample_and_a_new_name_changes_every_series() -> None:
    page = Exposition()
    page.update([sight(Workload(id="w", name="old", last_response="2026-11-20T10:00:00Z"), 1.0)])
    page.update([sight(Workload(id="w", name="old"), 1.0)])
    assert page.text() == render([sight(Workload(id="w", name="old"), 1.0)])
    page.update([sight(Workload(id="w", name="new"), 1.0)])
    assert page.text() == render([sight(Workload(id="w", name="new"), 1.0)])
    page.update([])
    assert page.text() == render([])


def test_the_families_of_accounts_are_written_as_prometheus_client_writes_them() -> None:
    account = Account("eu", "org", 25, 0, 4, (ComputeBundle(id="cpu.small", cpu_count=1.0),))
    tally = Tally(Durations().with_one(30.0).with_one(31.0).with_one(1e6))
    bodies = account_bodies(ACCOUNTS, [("eu", AccountFacts(account, Use(3, 6, 5), tally))])
    by_name = {body.name: b"".join((body.text_header, *body.samples)) for body in bodies}
    name = "datarobot_account_start_duration_seconds"
    histogram = Histogram(name, ACCOUNTS[-2].help, ["account"], buckets=DURATION_BUCKETS, registry=None)
    for value in (30.0, 31.0, 1e6):
        histogram.labels("eu").observe(value)
    made = CollectorRegistry()
    made.register(histogram)
    library = generate_latest(made).decode().split(f"# HELP {name}_created")[0]
    assert by_name[name].decode() == library
    found = {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(b"".join(by_name.values()).decode())
        for sample in family.samples
        if family.type == "gauge"
    }
    eu = ("account", "eu")
    assert found == {
        ("datarobot_account_info", eu, ("org_id", "org")): 1.0,
        ("datarobot_account_workloads_limit", eu): 25.0,
        ("datarobot_account_workloads_active", eu): 3.0,
        ("datarobot_account_replicas_max", eu): 6.0,
        ("datarobot_account_replicas_live", eu): 5.0,
        ("datarobot_account_workloads_active_reported", eu): 4.0,
        ("datarobot_account_bundle_cpu_cores", eu, ("bundle_id", "cpu.small")): 1.0,
        ("datarobot_account_bundles_offered", eu): 1.0,
    }


def test_an_account_that_reports_nothing_has_only_the_exporters_own_counts() -> None:
    bodies = account_bodies(ACCOUNTS, [("eu", AccountFacts(Account("eu"), None, Tally()))])
    assert [body.name for body in bodies if body.samples] == [family.name for family in ACCOUNTS[-2:]]


def test_workloads_beyond_the_limit_of_their_account_are_left_out_until_there_is_room() -> None:
    one = rendered([sight(Workload(id="a", status="running"))])
    page = Exposition(limit=2 * one.series)
    fleet = [sight(Workload(id=i, status="running")) for i in "abc"]
    other = sight(Workload(id="d", status="running"), account="other")
    page.update([*fleet, other])
    assert (page.left_out, page.series) == (1, 3 * one.series)
    assert page.text() == render([*fleet[:2], other])
    page.update([*fleet, other])
    assert page.left_out == 1
    page.update([*fleet[1:], other])
    page.update([*fleet[1:], other])
    assert page.left_out == 0
    assert page.text() == render([*fleet[1:], other])
    page.update([])
    assert (page.left_out, page.series) == (0, 0)
