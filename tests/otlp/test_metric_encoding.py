"""The page of /metrics as OTLP metrics: every sample once, with the name, labels, type, unit and value of the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter import __version__
from exporter.api.models import Workload
from exporter.fleet.ledger import Durations, Ledger, Tally
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Account, WorkloadState
from exporter.metrics.account_families import ACCOUNTS, AccountFacts
from exporter.metrics.exposition import Body, Exposition, account_bodies
from exporter.otlp.metric_encoding import Encoder, Request, ServedPage, Temporality, requests, resource
from exporter.telemetry.report import Report
from tests.metrics.test_exposition import FLEETS

STARTED, NOW = 1000.0, 5000.0
SECOND = 10**9
Attributes = tuple[tuple[str, str], ...]


def decoded(sent: Sequence[Request]) -> list[Metric]:
    """All metrics of the requests."""
    messages = [ExportMetricsServiceRequest.FromString(request.body(resource({"a": "b"}))) for request in sent]
    return [
        metric for each in messages for part in each.resource_metrics for scope in part.scope_metrics
        for metric in scope.metrics
    ]  # fmt: skip


def points_of(metric: Metric) -> Sequence[Any]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def attributes(point: Any) -> Attributes:
    return tuple((each.key, each.value.string_value) for each in point.attributes)


def samples(metrics: Sequence[Metric]) -> dict[tuple[str, Attributes], Any]:
    """The data points by name and attributes; each is there once."""
    found = [((metric.name, attributes(point)), point) for metric in metrics for point in points_of(metric)]
    assert len(dict(found)) == len(found)
    return dict(found)


class Stage:
    """Pages made of texts, encoded one after the other, and accepted unless said otherwise."""

    def __init__(self, temporality: Temporality = "cumulative") -> None:
        self.encoder = Encoder(temporality)

    def push(
        self,
        own: str = "",
        *,
        bodies: Sequence[Body] = (),
        workloads: Sequence[WorkloadState] = (),
        accounts: Sequence[tuple[str, AccountFacts]] = (),
        now: float = NOW,
        accepted: bool = True,
    ) -> list[Metric]:
        page = ServedPage(bodies, own.encode(), workloads, accounts, STARTED)
        sent = [*requests(self.encoder.chunks(page, int(now * SECOND)))]
        if accepted:
            for request in sent:
                self.encoder.accepted(request)
        return decoded(sent)

    def values(self, *args: Any, **more: Any) -> dict[str, float | str]:
        """Value by name and labels; ``ended`` for a series that is over."""
        return {
            f"{name}{dict(labels) or ''}": "ended" if point.flags else point.as_double
            for (name, labels), point in samples(self.push(*args, **more)).items()
        }


def family(name: str, kind: str, *lines: str, unit: str = "") -> str:
    end = f"# UNIT {name} {unit}\n" if unit else ""
    return f"# HELP {name} Some help.\n# TYPE {name} {kind}\n{end}" + "".join(f"{line}\n" for line in lines)


def test_a_gauge_has_the_name_help_unit_type_labels_and_value_of_the_page_and_no_start() -> None:
    (metric,) = Stage().push(family("a_seconds", "gauge", 'a_seconds{x="1",y="ü"} 2.5', unit="seconds"))
    assert (metric.name, metric.description, metric.unit) == ("a_seconds", "Some help.", "s")
    assert [(each.key, each.value.string_value) for each in metric.metadata] == [("prometheus.type", "gauge")]
    (point,) = metric.gauge.data_points
    assert (attributes(point), point.as_double) == ((("x", "1"), ("y", "ü")), 2.5)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (0, NOW * SECOND)


def test_a_counter_is_a_monotonic_cumulative_sum_whose_name_ends_with_total_as_its_samples_do() -> None:
    (metric,) = Stage().push(family("a", "counter", 'a_total{x="1"} 3.0'))
    assert (metric.name, metric.sum.is_monotonic, metric.sum.aggregation_temporality) == ("a_total", True, 2)
    (point,) = metric.sum.data_points
    assert (point.as_double, point.start_time_unix_nano) == (3.0, STARTED * SECOND)


BUCKETS = family(
    "h", "histogram",
    'h_bucket{le="1.0",x="1"} 2.0 # {trace_id="0123456789abcdef0123456789abcdef",span_id="0123456789abcdef"} 0.5 4.25',
    'h_bucket{le="5.0",x="1"} 2.0', 'h_bucket{le="+Inf",x="1"} 5.0 # {y="z"} 9.0', 'h_count{x="1"} 5.0',
    'h_sum{x="1"} 30.5',
)  # fmt: skip


def test_a_histogram_has_bounds_without_infinity_counts_between_them_and_exemplars() -> None:
    (metric,) = Stage().push(BUCKETS)
    assert (metric.name, metric.histogram.aggregation_temporality) == ("h", 2)
    (point,) = metric.histogram.data_points
    assert attributes(point) == (("x", "1"),)
    assert ([*point.explicit_bounds], [*point.bucket_counts]) == ([1.0, 5.0], [2, 0, 3])
    assert (point.count, point.sum, point.start_time_unix_nano) == (5, 30.5, STARTED * SECOND)
    first, second = point.exemplars
    assert (first.trace_id.hex(), first.span_id.hex()) == ("0123456789abcdef0123456789abcdef", "0123456789abcdef")
    assert (first.as_double, first.time_unix_nano, second.time_unix_nano) == (0.5, 4.25 * SECOND, 0)
    assert [(each.key, each.value.string_value) for each in second.filtered_attributes] == [("y", "z")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            family("s", "summary", 's{quantile="0.5"} 1.0', 's{quantile="0.9"} 2.0'),
            {"s{'quantile': '0.5'}": 1.0, "s{'quantile': '0.9'}": 2.0},
        ),
        (
            family("g", "gaugehistogram", 'g_bucket{le="+Inf"} 3.0', "g_gcount 3.0", "g_gsum 7.0"),
            {"g_bucket{'le': '+Inf'}": 3.0, "g_gcount": 3.0, "g_gsum": 7.0},
        ),
    ],
)
def test_what_otlp_has_no_type_for_is_gauges_named_like_the_samples(text: str, expected: Mapping[str, float]) -> None:
    metrics = Stage().push(text)
    assert {metric.WhichOneof("data") for metric in metrics} == {"gauge"}
    assert Stage().values(text) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (r'x="a\"b\\c\nd"', {"x": 'a"b\\c\nd'}),
        (r'x="a\",y=\"b",y="c"', {"x": 'a",y="b', "y": "c"}),
        ('x=",",y=",1",z="1="', {"x": ",", "y": ",1", "z": "1="}),
        ('x="",y="1"', {"y": "1"}),  # a label without value is the same as none
        ('x="a b, c=d # {e}"', {"x": "a b, c=d # {e}"}),
    ],
)
def test_attributes_are_the_labels_without_escapes(labels: str, expected: Mapping[str, str]) -> None:
    for kind, name in (("gauge", "a"), ("counter", "a_total")):
        (metric,) = Stage().push(family("a", kind, f"{name}{{{labels}}} 1.0"))
        (point,) = points_of(metric)
        assert dict(attributes(point)) == expected


@given(FLEETS)
@settings(deadline=None, max_examples=20)
def test_every_sample_of_the_page_is_one_data_point(fleet: list[WorkloadState]) -> None:
    exposition, report = Exposition(), Report(STARTED)
    exposition.update(fleet)
    report.count("api_requests", "eu", "/workloads", "200", exemplar={"trace_id": "ab"})
    facts = AccountFacts(Account("eu", workloads_limit=3), None, Tally(Durations().with_one(31.0)))
    bodies = [*exposition.bodies(), *account_bodies(ACCOUNTS, [("eu", facts)])]
    page = ServedPage(bodies, report.openmetrics(), fleet, [("eu", facts)], STARTED)
    text = (
        b"".join(part for body in bodies for part in (body.openmetrics_header, *body.samples)) + page.own + b"# EOF\n"
    )
    expected = {
        (sample.name, frozenset((key, value) for key, value in sample.labels.items() if value)): str(sample.value)
        for each in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]  # the library has no types
        for sample in each.samples
        if each.type != "histogram" or sample.name.endswith("_count")
    }
    found = {
        (
            (metric.name, frozenset(attributes(point)))
            if metric.WhichOneof("data") != "histogram"
            else (f"{metric.name}_count", frozenset(attributes(point)))
        ): str(point.as_double if metric.WhichOneof("data") != "histogram" else float(point.count))
        for metric in decoded([*requests(Encoder().chunks(page, int(NOW * SECOND)))])
        for point in points_of(metric)
    }
    assert found == expected


def test_a_request_has_the_resource_and_the_scope_and_is_split_by_size() -> None:
    text = family("a", "gauge", "a 1.0") + family("b", "gauge", "b 1.0") + family("c", "gauge", "c 1.0")
    chunks = Encoder().chunks(ServedPage((), text.encode(), (), (), STARTED), 1)
    (whole,) = requests(chunks)
    (part,) = ExportMetricsServiceRequest.FromString(whole.body(resource({"service.name": "x"}))).resource_metrics
    assert [(each.key, each.value.string_value) for each in part.resource.attributes] == [("service.name", "x")]
    assert (part.scope_metrics[0].scope.name, part.scope_metrics[0].scope.version) == (
        "datarobot_exporter.metrics", __version__
    )  # fmt: skip
    size = len(chunks[0].content)
    assert [request.points for request in requests(chunks, limit=2 * size)] == [2, 1]
    assert [request.points for request in requests(chunks, limit=1)] == [1, 1, 1]
    assert [request.points for request in whole.halves()] == [1, 2]
    assert decoded(whole.halves()) == decoded([whole])


def test_a_family_without_samples_is_left_out() -> None:
    assert Stage().push(family("a", "gauge") + family("b", "counter") + family("c", "histogram")) == []


# -- starts

OBJECTIVE = Objective(0.999, None, None, None)


def workload(first: float, name: str = "w", since: float | None = None, **ledger: Any) -> WorkloadState:
    counts = None if since is None else ObjectiveCounts(since, NOW, Totals(5, 1), until=NOW)
    return WorkloadState(
        "eu", Workload(id=name, name=name), Ledger(first, first, objectives=counts, **ledger), objective=OBJECTIVE
    )


def workload_page(*fleet: WorkloadState) -> dict[str, Any]:
    exposition = Exposition()
    exposition.update(fleet)
    return {"bodies": exposition.bodies(), "workloads": fleet}


def starts_of(metrics: Sequence[Metric]) -> dict[str, set[float]]:
    found = dict[str, set[float]]()
    for metric in metrics:
        found.setdefault(metric.name, set()).update(each.start_time_unix_nano / SECOND for each in points_of(metric))
    return found


def test_totals_of_a_workload_start_with_its_ledger_which_survives_restarts() -> None:
    starts = starts_of(Stage().push(**workload_page(workload(10.0, since=20.0))))
    assert starts["datarobot_workload_transitions_total"] == {10.0}
    assert starts["datarobot_workload_requests_total"] == {20.0}  # its objective is newer
    assert starts["datarobot_workload_status"] == {0.0}


def test_a_new_ledger_is_a_new_start() -> None:
    stage = Stage()
    stage.push(**workload_page(workload(10.0)))
    assert starts_of(stage.push(**workload_page(workload(4000.0))))["datarobot_workload_transitions_total"] == {4000.0}


def test_totals_of_an_account_start_with_its_tally_and_those_of_the_exporter_with_the_process() -> None:
    facts = AccountFacts(Account("eu"), None, Tally(since=30.0))
    bodies = account_bodies(ACCOUNTS, [("eu", facts)])
    own = family("own", "counter", 'own_total{account="eu"} 1.0')
    starts = starts_of(Stage().push(own, bodies=bodies, accounts=[("eu", facts)]))
    assert starts["datarobot_account_start_duration_seconds"] == {30.0}
    assert starts["own_total"] == {STARTED}


def test_no_start_is_after_the_time_of_the_point() -> None:
    starts = starts_of(Stage().push(**workload_page(workload(NOW + 9)), now=NOW))
    assert starts["datarobot_workload_transitions_total"] == {NOW}


# -- ends

ONE, TWO = 'a{x="1"} 1.0', 'a{x="2"} 2.0'


def test_a_series_that_is_no_longer_on_the_page_is_marked_as_ended_once() -> None:
    stage = Stage()
    stage.push(family("a", "gauge", ONE, TWO))
    assert stage.values(family("a", "gauge", ONE)) == {"a{'x': '1'}": 1.0, "a{'x': '2'}": "ended"}
    assert stage.values(family("a", "gauge", ONE)) == {"a{'x': '1'}": 1.0}
    assert stage.values() == {"a{'x': '1'}": "ended"}
    assert stage.values() == {}


def test_an_end_that_was_not_accepted_is_sent_again_unless_the_series_is_back() -> None:
    stage = Stage()
    stage.push(family("a", "gauge", ONE, TWO))
    assert stage.values(accepted=False) == {"a{'x': '1'}": "ended", "a{'x': '2'}": "ended"}
    assert stage.values(family("a", "gauge", TWO)) == {"a{'x': '1'}": "ended", "a{'x': '2'}": 2.0}
    assert stage.values(family("a", "gauge", TWO)) == {"a{'x': '2'}": 2.0}


def test_a_histogram_ends_as_one_point() -> None:
    stage = Stage()
    stage.push(BUCKETS)
    (metric,) = stage.push()
    (point,) = metric.histogram.data_points
    assert (attributes(point), point.flags, point.time_unix_nano) == ((("x", "1"),), 1, NOW * SECOND)


def test_a_workload_that_moves_to_another_piece_of_the_page_does_not_end() -> None:
    fleet = [workload(10.0, f"w{number}") for number in range(4)]
    exposition, stage = Exposition(shelf=2), Stage()
    exposition.update(fleet[:2])
    stage.push(bodies=exposition.bodies(), workloads=fleet[:2])
    exposition.update([*fleet, workload(10.0, "w00")])
    metrics = stage.push(bodies=exposition.bodies(), workloads=fleet)
    assert not [point for metric in metrics for point in points_of(metric) if point.flags]


# -- deltas


def counter(*values: tuple[str, float]) -> str:
    return family("a", "counter", *(f'a_total{{x="{x}"}} {value}' for x, value in values))


def deltas(metrics: Sequence[Metric]) -> dict[str, tuple[float, float, float]]:
    """Value, start and time by the label x."""
    return {
        dict(attributes(point)).get("x", ""): (
            point.as_double, point.start_time_unix_nano / SECOND, point.time_unix_nano / SECOND
        )
        for metric in metrics for point in points_of(metric)
    }  # fmt: skip


def test_a_delta_is_what_was_added_since_the_last_accepted_push() -> None:
    stage = Stage("delta")
    (metric,) = stage.push(counter(("1", 3.0)), now=2000.0)
    assert metric.sum.aggregation_temporality == 1
    assert deltas([metric]) == {"1": (3.0, STARTED, 2000.0)}  # since the start of the process
    assert deltas(stage.push(counter(("1", 5.0)), now=2010.0, accepted=False)) == {"1": (2.0, 2000.0, 2010.0)}
    assert deltas(stage.push(counter(("1", 6.0)), now=2020.0)) == {"1": (3.0, 2000.0, 2020.0)}
    assert deltas(stage.push(counter(("1", 6.0), ("2", 1.0)), now=2030.0)) == {
        "1": (0.0, 2020.0, 2030.0), "2": (1.0, STARTED, 2030.0)
    }  # fmt: skip


def test_a_total_that_was_reset_counts_from_zero() -> None:
    stage = Stage("delta")
    stage.push(counter(("1", 3.0)), now=2000.0)
    assert deltas(stage.push(counter(("1", 1.0)), now=2010.0)) == {"1": (1.0, 2000.0, 2010.0)}


def transitions(metrics: Sequence[Metric]) -> list[float]:
    return [
        point.as_double for metric in metrics if metric.name == "datarobot_workload_transitions_total"
        for point in points_of(metric) if dict(attributes(point))["transition"] == "started"
    ]  # fmt: skip


def test_what_a_ledger_counted_before_this_process_started_is_only_the_base_of_later_deltas() -> None:
    stage = Stage("delta")
    assert transitions(stage.push(**workload_page(workload(10.0, transitions={"started": 7})))) == []
    assert transitions(stage.push(**workload_page(workload(10.0, transitions={"started": 9})))) == [2.0]
    new = workload(4000.0, "new", transitions={"started": 1})
    old = workload(10.0, transitions={"started": 9})
    assert transitions(stage.push(**workload_page(new, old))) == [1.0, 0.0]


def test_a_series_that_appears_later_in_a_known_ledger_counts_from_zero() -> None:
    def page(restarts: Mapping[str, int]) -> dict[str, Any]:
        return workload_page(workload(10.0, restarts={"main": 5, **restarts}))

    def restarts(metrics: Sequence[Metric]) -> dict[str, float]:
        (metric,) = [metric for metric in metrics if metric.name == "datarobot_container_restarts_total"]
        return {dict(attributes(point))["container"]: point.as_double for point in metric.sum.data_points}

    stage = Stage("delta")
    stage.push(**page({}), now=4000.0)
    assert restarts(stage.push(**page({"side": 2}), now=4010.0)) == {"main": 0.0, "side": 2.0}


def test_deltas_of_a_histogram() -> None:
    def text(first: int, count: int, bound: str = "1.0") -> str:
        lines = (
            f'h_bucket{{le="{bound}"}} {first}',
            f'h_bucket{{le="+Inf"}} {count}',
            f"h_count {count}",
            f"h_sum {count}",
        )
        return family("h", "histogram", *lines)

    def counts(metrics: Sequence[Metric]) -> tuple[list[int], float]:
        (point,) = metrics[0].histogram.data_points
        return [*point.bucket_counts], point.sum

    stage = Stage("delta")
    assert counts(stage.push(text(2, 5))) == ([2, 3], 5.0)
    assert counts(stage.push(text(3, 7))) == ([1, 1], 2.0)
    assert counts(stage.push(text(1, 1))) == ([1, 0], 1.0)  # reset
    assert counts(stage.push(text(1, 4, bound="2.0"))) == ([1, 3], 4.0)  # another histogram
