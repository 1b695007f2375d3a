"""Every query, variable and annotation of the dashboards against a real Prometheus with a good and a bad day.

Variables are replaced as by Grafana, for all, one and two of their values. Each query must succeed and return finite
numbers. Queries that may be empty on a good day are listed in `QUIET` with the reason; on the bad day none is empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.problems import PROBLEMS
from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import Options, annotation_templates
from tests import promql
from tests.dashboards.days import END, EVERY, named
from tests.dashboards.files import DASHBOARDS, EVERY_TARGET, Target, targets, variables
from tests.e2e.servers import Prometheus
from tests.stage import START

pytestmark = [pytest.mark.real, pytest.mark.long]
Selected = dict[str, str]
INSTANT_STEP = 600.0
QUIET: Mapping[str, str] = {
    r"datarobot-fleet: Current problems \(click a name for details\) [A-E]": "no workload has problems",
    "datarobot-fleet: Firing alerts A": "no alert fires",
    "datarobot-fleet: By (importance|type|resource bundle) C": "no workload has failed",
    "datarobot-workload: Problem A": "no workload has problems",
    "datarobot-workload: Alerts [AB]": "no alert fires",
    "datarobot-workload: Unmet pod conditions A": "all conditions are met",
    "datarobot-workload: Containers [CDE]": "no container is waiting or was terminated",
    "datarobot-capacity: Unschedulable pods A": "all pods are scheduled",
    "datarobot-capacity: Unavailable bundles A": "all bundles are in the catalogue",
    "datarobot-capacity: (Waste per month|Waste by workload|Bundles that do not fit|Idle workloads) [AB]": "no waste",
    "datarobot-capacity: Cost by team B": "no waste",
    "datarobot-capacity: Full in A": "the account does not grow",
    "datarobot-capacity: Allocated GPUs by bundle A": "no workload has a GPU",
    "datarobot-lifecycle: Last failed replacements [AB]": "all replacements completed",
    "datarobot-lifecycle: Stuck workloads [AB]": "no workload is stuck",
    "datarobot-lifecycle: No longer listed A": "no workload has vanished",
    r"datarobot-lifecycle: Container restarts per hour \(top 5\) A": "no container was restarted",
    "datarobot-lifecycle: Container terminations A": "no container was terminated",
    "datarobot-exporter: Failed sweeps by reason A": "all sweeps were complete",
    "datarobot-exporter: Throttled requests A": "there was no response with 429",
    "datarobot-exporter: Retries by reason A": "no request was retried",
    "datarobot-exporter: Rejects by path A": "all responses could be decoded",
    "datarobot-exporter: Replicas [ABC]": "no leases are in use",
}
WORKLOAD_STORIES = ("crash loop", "replacement", "reverted replacement", "saturated autoscaler", "autoscaled",
                    "promoted", "unschedulable GPU", "healthy", "not ready", "out of memory",
                    "stop and start")  # fmt: skip
"""Stories for the dashboard of one workload: each of its queries has a result for at least one of them."""


FIRST_PROBLEMS = {
    "healthy": None,
    "scaled to zero": None,
    "suspended": None,
    "crash loop": "crash loop",
    "image pull": "image cannot be pulled",
    "unschedulable GPU": "cannot be scheduled",
    "nobody ready": "no ready replica",
    "outage": "most requests fail",
    "degraded": "too few ready replicas",
    "silent revert": "replacement failed",
    "not ready": "stuck starting",
    "server errors": "error budget burns fast",
    "out of memory": "out of memory",
    "saturated autoscaler": "autoscaler at its maximum",
    "memory near its bundle": "memory near its limit",
    "bundle withdrawn": "bundle not available",
}
"""Story -> the problem that is shown for its workload."""


def values(prometheus: Prometheus, uid: str, name: str, account: str = ".+") -> dict[str, str]:
    """The values that Grafana would offer for a variable, with their displayed texts."""
    variable = variables(uid)[name]
    query = variable["query"]["query"]
    everything = _everything(uid) | {"account": account}
    if query == "label_names(datarobot_workload_tags)":
        regex = variable["regex"].strip("/")
        names = {name for row in prometheus.query("datarobot_workload_tags", END) for name in row["metric"]}
        return {match[1]: match[1] for name in names if (match := re.search(regex, name))}
    call = re.fullmatch(r"(label_values|query_result)\((.*)\)", query)
    assert call, query
    expression, _, label = call[2].rpartition(", ") if call[1] == "label_values" else (call[2], "", "")
    found = prometheus.query(f"last_over_time({_put(expression, everything)}[90m])" if label else
                             _put(expression, everything), END)  # fmt: skip
    if label:
        label = _put(label, everything)
        return {row["metric"][label]: row["metric"][label] for row in found if label in row["metric"]}
    named = variable["regex"].strip("/").replace("?<", "?P<")
    lines = [
        "{" + ",".join(f'{key}="{value}"' for key, value in sorted(row["metric"].items())) + "} 1 1" for row in found
    ]
    matched = [re.search(named, line) for line in lines]
    return {match["value"]: match["text"] for match in matched if match}


def _everything(uid: str) -> dict[str, str]:
    """All values of each variable, and the first tag."""
    initial = {name: variable.get("allValue") or ".+" for name, variable in variables(uid).items()}
    return initial | ({"tag": "env"} if "tag" in initial else {})


def _put(expression: str, chosen: Mapping[str, str]) -> str:
    return promql.filled_in(expression, chosen)


def _as_grafana_does(options: list[str]) -> str:
    """Several values of a variable as a regular expression."""
    quoted = [re.sub(r"([.*+?^${}()|\[\]\\])", r"\\\\\1", option) for option in options]
    return quoted[0] if len(quoted) == 1 else f"({'|'.join(quoted)})"


def _results(prometheus: Prometheus, target: Target, chosen: Selected) -> list[list[Any]]:
    """The samples of a query over the day as (time, value); every ten minutes for instant queries."""
    expression = _put(target.expr, chosen)
    if target.instant:
        return [row["values"] for row in prometheus.range(expression, START + INSTANT_STEP, END, INSTANT_STEP)]
    return [row["values"] for row in prometheus.range(expression, START, END, EVERY)]


def _initial_selections(prometheus: Prometheus, uid: str) -> list[Selected]:
    """The initial selection of a dashboard: everything; for the dashboard of one workload, several workloads."""
    everything = _everything(uid)
    if "workload" not in everything:
        return [everything]
    ids = {name: number for number, name in values(prometheus, uid, "workload").items()}
    return [everything | {"workload": ids[named(story)]} for story in WORKLOAD_STORIES if named(story) in ids]


def _quiet(place: str) -> bool:
    return any(re.fullmatch(pattern, place) for pattern in QUIET)


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_query_has_a_result_on_a_good_day(good: Prometheus, target: Target) -> None:
    found = [row for chosen in _initial_selections(good, target.uid) for row in _results(good, target, chosen)]
    assert [value for row in found for _, value in row if not math.isfinite(float(value))] == []
    assert found or _quiet(target.place)


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_query_has_a_result_on_a_bad_day(bad: Prometheus, target: Target) -> None:
    found = [row for chosen in _initial_selections(bad, target.uid) for row in _results(bad, target, chosen)]
    assert [value for row in found for _, value in row if not math.isfinite(float(value))] == []
    assert found


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_queries_accept_one_and_two_selected_values(bad: Prometheus, uid: str) -> None:
    (everything, *_) = _initial_selections(bad, uid)
    several = [name for name, variable in variables(uid).items() if variable.get("multi")]
    offered = {name: [*values(bad, uid, name), "other-(value)."] for name in several}
    for count in (1, 2):
        chosen = everything | {name: _as_grafana_does(options[:count]) for name, options in offered.items()}
        found = {target.place: _results(bad, target, chosen) for target in targets(uid)}
        broken = [place for place, rows in found.items() for row in rows for _, v in row if not math.isfinite(float(v))]
        assert broken == []
        assert any(found.values())


def test_a_selected_importance_restricts_the_result(bad: Prometheus) -> None:
    (count,) = [target for target in targets("datarobot-fleet") if target.panel["title"] == "Workloads"]
    everything = _everything("datarobot-fleet")
    shown = {
        importance: float(_results(bad, count, everything | {"importance": importance})[0][-1][1])
        for importance in (".+", "critical", "(critical|high)", "other", "unknown")
    }
    assert 0 < shown["critical"] < shown["(critical|high)"] < shown[".+"]
    assert shown["unknown"] == 0
    total = bad.query("count(group by (workload_id) (datarobot_workload_info))", END)[0]["value"][1]
    assert shown[".+"] == float(total), "workloads of unknown importance are counted too"


def test_a_selected_value_of_a_tag_restricts_the_result_and_without_tags_nothing_does(bad: Prometheus) -> None:
    (count,) = [target for target in targets("datarobot-fleet") if target.panel["title"] == "Workloads"]

    def shown(tag: str, value: str) -> float:
        chosen = _everything("datarobot-fleet") | {"tag": tag, "tag_value": value}
        return float(_results(bad, count, chosen)[0][-1][1])

    assert values(bad, "datarobot-fleet", "tag").keys() == {"env", "team"}
    environments = [shown("env", value) for value in ("prod", "staging", "dev")]
    assert min(environments) > 0
    assert shown("env", "(prod|dev)") == environments[0] + environments[2]
    assert sum(environments) == shown("env", ".*") - 1, "one workload has no tags"
    assert shown("env", "another") == 0
    assert shown("", ".*") == shown("env", ".*"), "`metrics.tags` is not set"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_variable_offers_values(bad: Prometheus, uid: str) -> None:
    offered = {name: values(bad, uid, name) for name, variable in variables(uid).items() if variable["type"] == "query"}
    assert {name for name, found in offered.items() if not found} == set()
    assert offered["account"] == {"acme": "acme"}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_annotation_has_a_result_on_a_bad_day(bad: Prometheus, uid: str) -> None:
    (everything, *more) = _initial_selections(bad, uid)
    for mark in DASHBOARDS[uid]["annotations"]["list"]:
        rows = [
            row for chosen in (everything, *more) for row in bad.range(_put(mark["expr"], chosen), START, END, EVERY)
        ]
        assert rows, mark["name"]
        for row in rows:
            shown = {*re.findall(r"{{(\w+)}}", mark["titleFormat"]), *filter(None, mark["tagKeys"].split(","))}
            assert shown <= {*row["metric"]}, mark["name"]
            if mark["useValueForTime"]:
                assert all(START - 90 * 86400 < float(value) / 1000 <= END for _, value in row["values"]), mark["name"]


def test_the_problem_shown_for_a_workload_is_that_of_its_story(bad: Prometheus) -> None:
    (shown,) = [
        t for t in targets("datarobot-fleet") if t.panel["title"].startswith("Current problems") and t.ref == "A"
    ]
    everything = _everything("datarobot-fleet")
    number = {float(len(PROBLEMS) - place): problem.text for place, problem in enumerate(PROBLEMS)}
    found: dict[str, set[str]] = {}
    for row in bad.range(_put(shown.expr, everything), START + INSTANT_STEP, END, INSTANT_STEP):
        found.setdefault(row["metric"]["workload"], set()).update(number[float(value)] for _, value in row["values"])
    assert [
        story for story, words in FIRST_PROBLEMS.items() if words and words not in found.get(named(story), ())
    ] == []
    assert [story for story, words in FIRST_PROBLEMS.items() if not words and named(story) in found] == []


def test_the_link_of_a_page_opens_the_dashboard_on_its_workload(bad: Prometheus) -> None:
    """The URL of a rule's annotation, expanded as by Prometheus, selects existing values of the variables."""
    (alert,) = [alert for alert in ALERTS if alert.name == "DataRobotContainerCrashLooping"]
    template = annotation_templates(alert, Options(dashboards="https://grafana.test"))["dashboard_url"]
    crashing = named("crash loop")
    firing = f'ALERTS{{alertname="DataRobotContainerCrashLooping",alertstate="firing",workload="{crashing}"}}'
    (fired, *_) = bad.query(f"last_over_time({firing}[90m])", END)
    url = urlsplit(re.sub(r"{{ \$labels\.(\w+) \| urlquery }}", lambda match: fired["metric"][match[1]], template))
    chosen = {name.removeprefix("var-"): value for name, (value,) in parse_qs(url.query).items()}
    uid = url.path.removeprefix("/d/")
    offered = values(bad, uid, "workload", chosen["account"])
    assert chosen.keys() <= variables(uid).keys()
    assert chosen["account"] in values(bad, uid, "account")
    assert offered[chosen["workload"]] == crashing
