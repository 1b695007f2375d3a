"""Every query, variable and annotation of the dashboards, asked of a real Prometheus that saw a good and a bad day.

Variables are put in as Grafana would, for all, one and two of their values. An answer is a success, its numbers are
finite, and there is one: what may be missing on a good day stands in `QUIET`, with its reason, and is there on the bad
one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.troubles import TROUBLES
from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import Options, words
from tests import promql
from tests.dashboards.boards import BOARDS, EVERY_TARGET, Target, targets, variables
from tests.dashboards.days import END, EVERY, named
from tests.e2e.servers import Prometheus
from tests.stage import START

pytestmark = [pytest.mark.real, pytest.mark.long]
Chosen = dict[str, str]
SELDOM = 600.0
QUIET: Mapping[str, str] = {
    # nothing is wrong
    "datarobot-fleet: What is wrong now, the worst first: click a name to see why [A-E]": "nobody is in trouble",
    "datarobot-fleet: Alerts that fire A": "none fires",
    "datarobot-fleet: By (importance|type|resource bundle) C": "nobody has failed",
    "datarobot-workload: What is wrong A": "nothing is wrong",
    "datarobot-workload: Alerts about it [AB]": "none fires",
    "datarobot-workload: Pods that are not right A": "every pod is right",
    "datarobot-capacity: Find no node A": "every pod has a node",
    "datarobot-capacity: Bundles that are not on offer A": "every bundle is on offer",
    "datarobot-lifecycle: Did not make it [AB]": "every replacement completed",
    "datarobot-lifecycle: Hang [AB]": "nothing hangs",
    "datarobot-lifecycle: No longer listed A": "nobody has gone",
    "datarobot-lifecycle: Restarts an hour: the five worst A": "nothing was restarted",
    "datarobot-lifecycle: How containers ended A": "no container ended",
    "datarobot-workload: Containers [CDE]": "no container waits or has ended",
    "datarobot-exporter: Sweeps that were not complete A": "every sweep was complete",
    "datarobot-exporter: Share that is throttled A": "no answer was a 429",
    "datarobot-exporter: Tried again, and held back A": "nothing was tried again",
    "datarobot-exporter: Left out of answers A": "every answer was understood",
    # nobody there has it
    "datarobot-capacity: GPUs by bundle A": "nobody has a GPU",
}
WATCHED = ("crash loop", "replacement", "reverted replacement", "saturated autoscaler", "autoscaled", "promoted",
           "unschedulable GPU", "healthy", "not ready", "out of memory")  # fmt: skip
"""Stories for the dashboard of one workload: each of its queries has an answer for one of them."""


TOLD = {
    "healthy": None,
    "scaled to zero": None,
    "suspended": None,
    "crash loop": "crashes again and again",
    "image pull": "image cannot be pulled",
    "unschedulable GPU": "finds no node",
    "nobody ready": "no replica is ready",
    "outage": "answers with errors",
    "degraded": "too few replicas ready",
    "silent revert": "new version did not make it",
    "not ready": "start hangs",
    "server errors": "too many errors",
    "out of memory": "ran out of memory",
    "saturated autoscaler": "autoscaler at its most",
    "memory near its bundle": "memory nearly used up",
    "bundle withdrawn": "bundle not on offer",
}
"""Story -> what is told first of the workload that plays it."""


def values(prometheus: Prometheus, uid: str, name: str, account: str = ".+") -> dict[str, str]:
    """The values that Grafana would offer for a variable, and what it would show for each."""
    variable = variables(uid)[name]
    told = variable["query"]["query"]
    everything = dict.fromkeys(variables(uid), ".+") | {"account": account}
    asked = re.fullmatch(r"(label_values|query_result)\((.*)\)", told)
    assert asked, told
    expression, _, label = asked[2].rpartition(", ") if asked[1] == "label_values" else (asked[2], "", "")
    found = prometheus.query(f"last_over_time({_put(expression, everything)}[90m])" if label else
                             _put(expression, everything), END)  # fmt: skip
    if label:
        return {row["metric"][label]: row["metric"][label] for row in found}
    named = variable["regex"].strip("/").replace("?<", "?P<")
    lines = [
        "{" + ",".join(f'{key}="{value}"' for key, value in sorted(row["metric"].items())) + "} 1 1" for row in found
    ]
    matched = [re.search(named, line) for line in lines]
    return {match["value"]: match["text"] for match in matched if match}


def _put(expression: str, chosen: Mapping[str, str]) -> str:
    return promql.filled_in(expression, chosen)


def _as_grafana_does(options: list[str]) -> str:
    """Several values of a variable as a regular expression."""
    quoted = [re.sub(r"([.*+?^${}()|\[\]\\])", r"\\\\\1", option) for option in options]
    return quoted[0] if len(quoted) == 1 else f"({'|'.join(quoted)})"


def _answers(prometheus: Prometheus, target: Target, chosen: Chosen) -> list[list[Any]]:
    """The samples that a query gets, as (time, value): over the day, every ten minutes where it asks for one moment."""
    expression = _put(target.expr, chosen)
    if target.instant:
        return [row["values"] for row in prometheus.range(expression, START + SELDOM, END, SELDOM)]
    return [row["values"] for row in prometheus.range(expression, START, END, EVERY)]


def _chosen_at_first(prometheus: Prometheus, uid: str) -> list[Chosen]:
    """What is chosen when a dashboard is opened: everything; of the one of a workload, one after another."""
    everything = dict.fromkeys(variables(uid), ".+")
    if "workload" not in everything:
        return [everything]
    ids = {name: number for number, name in values(prometheus, uid, "workload").items()}
    return [everything | {"workload": ids[named(story)]} for story in WATCHED if named(story) in ids]


def _quiet(place: str) -> bool:
    return any(re.fullmatch(pattern, place) for pattern in QUIET)


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_query_has_an_answer_on_a_good_day(good: Prometheus, target: Target) -> None:
    found = [row for chosen in _chosen_at_first(good, target.uid) for row in _answers(good, target, chosen)]
    assert [value for row in found for _, value in row if not math.isfinite(float(value))] == []
    assert found or _quiet(target.place)


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_query_has_an_answer_on_a_bad_day(bad: Prometheus, target: Target) -> None:
    found = [row for chosen in _chosen_at_first(bad, target.uid) for row in _answers(bad, target, chosen)]
    assert [value for row in found for _, value in row if not math.isfinite(float(value))] == []
    assert found


@pytest.mark.parametrize("uid", BOARDS)
def test_queries_take_one_value_and_two(bad: Prometheus, uid: str) -> None:
    (everything, *_) = _chosen_at_first(bad, uid)
    several = [name for name, variable in variables(uid).items() if variable.get("multi")]
    offered = {name: [*values(bad, uid, name), "nobody-(else)."] for name in several}
    for count in (1, 2):
        chosen = everything | {name: _as_grafana_does(options[:count]) for name, options in offered.items()}
        found = {target.place: _answers(bad, target, chosen) for target in targets(uid)}
        broken = [place for place, rows in found.items() for row in rows for _, v in row if not math.isfinite(float(v))]
        assert broken == []
        assert any(found.values())


def test_a_choice_of_importance_narrows_what_is_shown(bad: Prometheus) -> None:
    (count,) = [target for target in targets("datarobot-fleet") if target.panel["title"] == "Workloads"]
    everything = dict.fromkeys(variables("datarobot-fleet"), ".+")
    shown = {
        importance: float(_answers(bad, count, everything | {"importance": importance})[0][-1][1])
        for importance in (".+", "critical", "(critical|high)", "other", "nobody")
    }
    assert 0 < shown["critical"] < shown["(critical|high)"] < shown[".+"]
    assert shown["nobody"] == 0
    total = bad.query("count(group by (workload_id) (datarobot_workload_info))", END)[0]["value"][1]
    assert shown[".+"] == float(total), "a workload whose importance nobody knows is shown too"


@pytest.mark.parametrize("uid", BOARDS)
def test_every_variable_offers_values(bad: Prometheus, uid: str) -> None:
    offered = {name: values(bad, uid, name) for name, told in variables(uid).items() if told["type"] == "query"}
    assert {name for name, found in offered.items() if not found} == set()
    assert offered["account"] == {"acme": "acme"}


@pytest.mark.parametrize("uid", BOARDS)
def test_every_annotation_marks_something_on_a_bad_day(bad: Prometheus, uid: str) -> None:
    (everything, *more) = _chosen_at_first(bad, uid)
    for mark in BOARDS[uid]["annotations"]["list"]:
        rows = [
            row for chosen in (everything, *more) for row in bad.range(_put(mark["expr"], chosen), START, END, EVERY)
        ]
        assert rows, mark["name"]
        for row in rows:
            shown = {*re.findall(r"{{(\w+)}}", mark["titleFormat"]), *filter(None, mark["tagKeys"].split(","))}
            assert shown <= {*row["metric"]}, mark["name"]
            if mark["useValueForTime"]:
                assert all(START - 90 * 86400 < float(value) / 1000 <= END for _, value in row["values"]), mark["name"]


def test_the_worst_that_is_told_of_a_workload_is_its_story(bad: Prometheus) -> None:
    (shown,) = [t for t in targets("datarobot-fleet") if t.panel["title"].startswith("What is wrong") and t.ref == "A"]
    everything = dict.fromkeys(variables("datarobot-fleet"), ".+")
    number = {float(len(TROUBLES) - place): trouble.words for place, trouble in enumerate(TROUBLES)}
    told: dict[str, set[str]] = {}
    for row in bad.range(_put(shown.expr, everything), START + SELDOM, END, SELDOM):
        told.setdefault(row["metric"]["workload"], set()).update(number[float(value)] for _, value in row["values"])
    assert [story for story, words in TOLD.items() if words and words not in told.get(named(story), ())] == []
    assert [story for story, words in TOLD.items() if not words and named(story) in told] == []


def test_the_link_of_a_page_opens_the_dashboard_on_its_workload(bad: Prometheus) -> None:
    """What a rule's annotation says, as Prometheus would write it, chooses values that the variables have."""
    (alert,) = [alert for alert in ALERTS if alert.name == "DataRobotContainerCrashLooping"]
    template = words(alert, Options(dashboards="https://grafana.test"))["dashboard_url"]
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
