"""Rules about rules: what promtool, pint and mixtool look for, and what Prometheus 2.42 does not know yet."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser as p
import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from tests import promql
from tests.alerts.history import SIZES
from tests.alerts.receivers import ALERTS as FOLDER
from tests.alerts.trials import ROWS, written
from tests.components import component

FILE = FOLDER / "rules.yml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["groups"]
EVERY = [rule for rules in written().values() for rule in rules]
NAMES = [f"{rule['alert']}-{rule['labels']['severity']}" for rule in EVERY]
SCRAPE = 60
"""The longest interval of scrapes that the rules are written for, in seconds."""
each_rule = pytest.mark.parametrize("rule", EVERY, ids=NAMES)
COMPARING = {"==", "!=", ">", "<", ">=", "<="}


@pytest.mark.real
def test_promtool_has_no_remark() -> None:
    command = [component("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(FILE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_file_is_of_the_grammar_of_2_42_and_its_groups_are_small() -> None:
    for group in GROUPS:
        assert group.keys() == {"name", "rules"}
        assert len(group["rules"]) <= 20
        assert re.fullmatch(r"[a-z0-9-]{1,40}", group["name"])


@each_rule
def test_a_rule_has_its_keys_its_severity_and_its_words(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    assert re.fullmatch(r"DataRobot([A-Z][A-Za-z]*)+", rule["alert"])
    assert len(rule["alert"]) <= 40
    assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert not any("{{" in value for value in rule["labels"].values()), "a label that changes is another alert"
    notes = rule["annotations"]
    assert notes.keys() >= {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z][^{}]*\.", notes["summary"]), "the same for all, a sentence"
    assert rule["alert"] in ("DataRobotExporterReloadFailed", "DataRobotExporterStateNotKept", "DataRobotWatchdog") or (
        "{{" in notes["description"]
    )
    assert rule.get("for") not in ("0s", "0m")
    assert rule.get("keep_firing_for") not in ("0s", "0m")


def _tree(rule: dict[str, Any]) -> Any:
    return p.parse(rule["expr"])


def _above(rule: dict[str, Any]) -> Iterator[tuple[Any, list[str]]]:
    """Every selector, and the functions and aggregations that contain it."""
    for selector, nodes in promql.selectors(_tree(rule)):
        names = [node.func.name if isinstance(node, p.Call) else str(node.op)
                 for node in nodes if isinstance(node, p.Call | p.AggregateExpr)]  # fmt: skip
        yield selector, names


@each_rule
def test_every_selector_names_the_job_and_a_family_of_ours(rule: dict[str, Any]) -> None:
    for selector, _ in promql.selectors(_tree(rule)):
        assert promql.matchers(selector).get("job") == '="datarobot"', str(selector)
        assert selector.name in promql.UNITS, selector.name


@each_rule
def test_a_counter_is_only_read_by_how_it_grows_and_a_gauge_never(rule: dict[str, Any]) -> None:
    for selector, names in _above(rule):
        grown = bool({*names} & {*promql.COUNTING})
        assert grown == selector.name.endswith("_total"), str(selector)


@each_rule
def test_every_series_is_aggregated_by_our_labels_or_absent(rule: dict[str, Any]) -> None:
    for selector, names in _above(rule):
        assert {*names} & {"max", "min", "sum", "count", "absent"}, str(selector)
        assert not {*names} & {"topk", "bottomk", "quantile", "limitk", "count_values"}


@each_rule
def test_a_sum_counts_what_two_exporters_report_once(rule: dict[str, Any]) -> None:
    assert [*promql.summed_twice(_tree(rule))] == []


@each_rule
def test_a_range_spans_more_than_two_scrapes(rule: dict[str, Any]) -> None:
    for length in re.findall(r"\[(\d+)([smhd])\]", rule["expr"]):
        assert int(length[0]) * SIZES[length[1]] >= 2 * SCRAPE


@each_rule
def test_an_alert_compares_and_one_about_absence_waits(rule: dict[str, Any]) -> None:
    assert rule["alert"] == "DataRobotWatchdog" or any(
        isinstance(node, p.BinaryExpr) and str(node.op) in COMPARING for node, _ in promql.walked(_tree(rule))
    )
    if "absent(" in rule["expr"]:
        assert int(rule["for"][:-1]) * SIZES[rule["for"][-1]] >= 2 * SCRAPE


@each_rule
def test_a_pattern_is_needed_and_not_anchored(rule: dict[str, Any]) -> None:
    for pattern in re.findall(r'=~"([^"]*)"', rule["expr"]):
        assert re.search(r"[|.+*\[]", pattern), pattern
        assert not re.search(r"^\^|\$$", pattern), pattern


@each_rule
def test_no_division_stands_within_an_aggregation(rule: dict[str, Any]) -> None:
    """There it would make one NaN of all; a count of a condition has compared before."""
    for node, above in promql.walked(_tree(rule)):
        if isinstance(node, p.BinaryExpr) and str(node.op) == "/":
            aggregations = [each for each in above if isinstance(each, p.AggregateExpr)]
            assert all(str(each.op) == "count" for each in aggregations)


LABELS = {"workload": {"account", "workload", "workload_id"}, "account": {"account"}}


@each_rule
def test_words_use_labels_that_are_there(rule: dict[str, Any]) -> None:
    alert = ROWS[rule["alert"]]
    there = LABELS.get(alert.component) or {"account", "part", "instance"}
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= there
    if alert.component == "exporter":
        assert all(re.search(rf"by \([^)]*\b{label}\b", rule["expr"]) for label in used)


def test_no_alert_is_written_twice() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({rule["expr"] for rule in EVERY}) == len(EVERY)
    assert len({alert.summary for alert in ALERTS}) == len(ALERTS)
