"""The command `objectives`: the objectives on a page of metrics as a table, JSON and OpenSLO."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.api.details import RequestMetrics
from exporter.api.models import Workload
from exporter.cli.objectives import ObjectiveStatus, _as_json, footnote, openslo, rows, table
from exporter.fleet.ledger import Ledger
from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Details, Window, WorkloadState
from exporter.metrics.exposition import Exposition

DAY = 86400.0
WINDOWS = {"1h": Window(0.0, 3600.0, RequestMetrics(total_requests=1500, server_errors=3, slow_requests=0))}


def state(name: str, objective: Objective, totals: Totals | None, windows: dict[str, Window]) -> WorkloadState:
    counts = ObjectiveCounts(0.0, 28 * DAY, totals, until=1.0, read=1.0) if totals is not None else None
    return WorkloadState(
        "eu", Workload(id=f"id-{name}", name=name, status="running"), Ledger(0.0, 0.0, objectives=counts),
        Details(windows=windows), objective=objective, tag_labels=(("tag_team", name),),
    )  # fmt: skip


def page(*states: WorkloadState) -> str:
    exposition = Exposition()
    exposition.update(states)
    return exposition.text().decode()


EXAMPLE = state("score", Objective(0.999), Totals(1_000_000, 400), WINDOWS)
ODD = state('a"b\\c\nd', Objective(readiness=0.99, window=30 * DAY), Totals(ready=900, down=100), {})
NEW = state("new", Objective(latency=0.9, slower=1.0), None, {})


def test_an_objective_has_its_values_from_the_page_for_any_name_of_the_workload() -> None:
    (odd,) = rows(page(ODD))
    assert odd == ObjectiveStatus(
        "eu",
        'a"b\\c\nd',
        'id-a"b\\c\nd',
        "readiness",
        0.99,
        30 * DAY,
        0.9,
        odd.budget,
        odd.burn,
        {"team": 'a"b\\c\nd'},
    )
    assert odd.budget is not None
    assert round(odd.budget, 6) == -9.0
    assert odd.lasts == 0.0, "it is used up, whatever the burn rate"


def test_the_table_shows_what_is_unknown_as_such() -> None:
    assert [*table(rows(page(EXAMPLE, NEW)))] == [
        "WORKLOAD  ACCOUNT  OBJECTIVE     TARGET  RATIO    BUDGET LEFT  BURN 1h  BURN 6h  BURN 1d  LASTS  TAGS        ID",  # noqa: E501 — a table
        "new       eu       latency       90%     -        -            -        -        -        -      team=new    id-new",  # noqa: E501 — a table
        "score     eu       availability  99.9%   99.960%  60.0%        2        -        -        8.4 d  team=score  id-score",  # noqa: E501 — a table
    ]
    assert [*table(())] == ["no workload has an objective; see docs/objectives.md"]


def test_json_has_null_for_what_is_unknown() -> None:
    (new,) = rows(page(NEW))
    assert json.loads(json.dumps(_as_json(new))) == {
        "account": "eu", "workload": "new", "workload_id": "id-new", "objective": "latency", "target": 0.9,
        "window_seconds": 28 * DAY, "ratio": None, "budget_remaining": None, "burn_rates": {},
        "budget_lasts_seconds": None, "tags": {"team": "new"},
    }  # fmt: skip


def test_openslo_has_a_document_for_each_objective() -> None:
    first, second = yaml.safe_load_all(openslo(rows(page(EXAMPLE, ODD))))
    slo = next(each for each in (first, second) if "score" in each["metadata"]["displayName"])
    assert slo["apiVersion"] == "openslo/v1"
    assert slo["kind"] == "SLO"
    assert slo["metadata"] == {"name": "id-score-availability", "displayName": "score availability"}
    assert slo["spec"]["timeWindow"] == [{"duration": "28d", "isRolling": True}]
    assert slo["spec"]["objectives"] == [{"displayName": "availability", "target": 0.999}]
    ratio = slo["spec"]["indicator"]["spec"]["ratioMetric"]
    assert {name: ratio[name]["metricSource"]["spec"]["query"] for name in ("bad", "total")} == {
        "bad": 'max(datarobot_workload_server_errors_total{account="eu", workload_id="id-score"})',
        "total": 'max(datarobot_workload_requests_total{account="eu", workload_id="id-score"})',
    }


def test_a_footnote_says_how_many_workloads_have_no_objective() -> None:
    bare = WorkloadState("eu", Workload(id="w", name="w", status="running"), Ledger(0.0, 0.0))
    same_id = WorkloadState("us", Workload(id="id-new", name="w", status="running"), Ledger(0.0, 0.0))

    def found(*states: WorkloadState) -> list[str]:
        text = page(*states)
        return [*footnote(text, rows(text))]

    assert found(EXAMPLE, NEW, bare, same_id) == ["2 of 4 workloads have no objective; see docs/objectives.md"]
    assert found(EXAMPLE, NEW) == []
    assert found(bare) == [], "the table says so"


NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _source(given: Any) -> bool:
    """Whether a metric has a source with a type and a query."""
    source = given["metricSource"]
    return source.keys() == {"type", "spec"} and bool(source["type"]) and isinstance(source["spec"]["query"], str)


def _names(document: Any) -> list[str]:
    spec = document["spec"]
    return [document["metadata"]["name"], spec["service"], spec["indicator"]["metadata"]["name"]]


def _ratio(document: Any) -> Any:
    return document["spec"]["indicator"]["spec"]["ratioMetric"]


OPENSLO: Mapping[str, Callable[[Any], bool]] = {
    "it is an SLO of v1": lambda slo: (slo["apiVersion"], slo["kind"]) == ("openslo/v1", "SLO"),
    "it has these parts": lambda slo: slo.keys() == {"apiVersion", "kind", "metadata", "spec"},
    "its specification has known parts": lambda slo: (
        slo["spec"].keys()
        <= {"description", "service", "indicator", "timeWindow", "budgetingMethod", "objectives", "alertPolicies"}
    ),
    "its description is short enough": lambda slo: len(slo["spec"]["description"]) <= 1050,
    "names are labels of DNS": lambda slo: all(map(NAME.fullmatch, _names(slo))),
    "the name that is shown is not empty": lambda slo: slo["metadata"]["displayName"] != "",
    "a ratio is of what is good or bad, and a total": lambda slo: (
        _ratio(slo).keys() - {"good", "bad"} == {"counter", "total"} and len(_ratio(slo)) == 3
    ),
    "it says whether it counts": lambda slo: isinstance(_ratio(slo)["counter"], bool),
    "each metric has a source": lambda slo: all(
        _source(_ratio(slo)[part]) for part in _ratio(slo).keys() - {"counter"}
    ),
    "one window, which rolls": lambda slo: [each["isRolling"] for each in slo["spec"]["timeWindow"]] == [True],
    "its duration": lambda slo: bool(re.fullmatch(r"[1-9]\d*[mhdwMQY]", slo["spec"]["timeWindow"][0]["duration"])),
    "its method": lambda slo: slo["spec"]["budgetingMethod"] in ("Occurrences", "Timeslices", "RatioTimeslices"),
    "targets are ratios": lambda slo: [0 < each["target"] < 1 for each in slo["spec"]["objectives"]] == [True],
}
"""What OpenSLO v1 demands of an SLO: the part of its schema and specification that is used here, in our words."""


@given(st.text(max_size=3000), st.text(max_size=300))
@example("score", "id-score")
@example("", "UPPER_case/1")
@example("x" * 3000, "---")
def test_openslo_is_as_its_schema_says_for_any_name_and_id(workload: str, workload_id: str) -> None:
    found = [
        ObjectiveStatus("eu", workload, workload_id, objective, 0.99, days * DAY, None, None, {})
        for objective, days in (("availability", 28), ("readiness", 7), ("latency", 90))
    ]
    documents = [*yaml.safe_load_all(openslo(found))]
    assert len(documents) == 3
    assert [rule for each in documents for rule, is_met in OPENSLO.items() if not is_met(each)] == []
