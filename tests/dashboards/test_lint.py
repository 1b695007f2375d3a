"""Rules for all dashboards: those of grafana/dashboard-linter, implemented again, and our own.

Exclusions from the linter's rules are in ``dashboards/.lint`` in the linter's format, with reasons. The linter itself
is run if it is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models

from dashboards import FILES
from dashboards.links import TAG
from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import Options, annotation_templates
from tests import promql
from tests.dashboards.files import (
    DASHBOARDS,
    EVERY_PANEL,
    EVERY_TARGET,
    FOLDER,
    Target,
    addresses,
    panels,
    targets,
    variables,
)

register_default_plugins()
Found = Iterator[tuple[str, str]]
"""Violations of a rule: the panel's title, empty for the dashboard itself, and a description."""
FITS = {
    "time": {"s", "dateTimeFromNow", "dateTimeAsIso"},
    "bytes": {"bytes"},
    "ratio": {"percentunit"},
    "cores": {"short"},
    "number": {"short", "none", "reqpm"},
    "rate": {"reqps", "cpm", "reqpm"},
}


# -- the linter's rules


def _template(uid: str, name: str) -> Found:
    variable = variables(uid).get(name)
    if variable is None:
        yield "", f"no variable {name}"
        return
    actual = {key: variable.get(key) for key in ("type", "label", "multi", "allValue", "datasource")}
    expected = {"type": "query", "label": name, "multi": True, "allValue": ".+", "datasource": _DATASOURCE}
    if actual != expected:
        yield "", f"{name}: {actual}"


def _template_datasource(uid: str) -> Found:
    found = [v for v in variables(uid).values() if v["type"] == "datasource"]
    if [(v["name"], v["label"], v["query"]) for v in found] != [("datasource", "Data Source", "prometheus")]:
        yield "", "not one variable datasource"


def _template_promql(uid: str) -> Found:
    for name, variable in variables(uid).items():
        if variable["type"] == "query":
            try:
                promql.parsed(promql_of(variable))
            except ValueError as error:
                yield "", f"{name}: {error}"


def _template_reload(uid: str) -> Found:
    for name, variable in variables(uid).items():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield "", name


def _panel_datasource(uid: str) -> Found:
    for panel in panels(uid):
        if any(part["datasource"] != _DATASOURCE for part in (panel, *panel["targets"])):
            yield panel["title"], "not the datasource variable"


def _panel_words(uid: str) -> Found:
    for panel in panels(uid):
        if not panel["title"] or not panel["description"].rstrip().endswith("."):
            yield panel["title"], "no title, or a description that is not a sentence"


def _panel_units(uid: str) -> Found:
    for panel in panels(uid):
        if panel["fieldConfig"]["defaults"]["unit"] not in set().union(*FITS.values()):
            yield panel["title"], "no unit"


def _panel_targets(uid: str) -> Found:
    for panel in panels(uid):
        if not panel["targets"]:
            yield panel["title"], "no query"


def _each_target(broken: Callable[[Any, tuple[Any, ...]], str]) -> Callable[[str], Found]:
    """A rule about each selector of each query."""

    def rule(uid: str) -> Found:
        for target in targets(uid):
            for selector, above in promql.selectors(promql.parsed(target.expr)):
                words = broken(selector, above)
                if words:
                    yield target.panel["title"], f"{target.ref}: {selector}: {words}"

    return rule


def _target_promql(uid: str) -> Found:
    for target in targets(uid):
        try:
            promql.parsed(target.expr)
        except ValueError as error:
            yield target.panel["title"], str(error)


def _target_interval(uid: str) -> Found:
    for target in targets(uid):
        for called in re.findall(r"\b(?:rate|irate|increase)\([^\[]*\[([^\]]*)\]", target.expr):
            if called != "$__rate_interval":
                yield target.panel["title"], f"{target.ref}: [{called}]"


def _counter(selector: Any, above: tuple[Any, ...]) -> str:
    counted = any(getattr(getattr(node, "func", None), "name", "") in promql.COUNTING for node in above)
    return "a counter without rate or increase" if selector.name.endswith("_total") and not counted else ""


def _has(label: str) -> Callable[[Any, tuple[Any, ...]], str]:
    def broken(selector: Any, above: tuple[Any, ...]) -> str:
        return "" if promql.matchers(selector).get(label) == '=~"x"' else f"does not use the variable {label}"

    return broken


def _uneditable(uid: str) -> Found:
    if DASHBOARDS[uid]["editable"] is not False:
        yield "", "editable"


_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RULES: dict[str, Callable[[str], Found]] = {
    "template-datasource-rule": _template_datasource,
    "template-job-rule": lambda uid: _template(uid, "job"),
    "template-instance-rule": lambda uid: _template(uid, "instance"),
    "template-label-promql-rule": _template_promql,
    "template-on-time-change-reload-rule": _template_reload,
    "panel-datasource-rule": _panel_datasource,
    "panel-title-description-rule": _panel_words,
    "panel-units-rule": _panel_units,
    "panel-no-targets-rule": _panel_targets,
    "target-promql-rule": _target_promql,
    "target-rate-interval-rule": _target_interval,
    "target-job-rule": _each_target(_has("job")),
    "target-instance-rule": _each_target(_has("instance")),
    "target-counter-agg-rule": _each_target(_counter),
    "uneditable-dashboard": _uneditable,
}
EXCLUSIONS: dict[str, Any] = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]


def promql_of(variable: dict[str, Any]) -> str:
    """The PromQL of a variable's query."""
    query: str = variable["query"]["query"]
    match = re.fullmatch(r"(?:label_values\((.*), [\w$]+\)|(?:query_result|label_names)\((.*)\))", query)
    assert match, query
    return match[1] or match[2]


def _excluded(rule: str, uid: str, panel: str) -> dict[str, str] | None:
    for entry in EXCLUSIONS.get(rule, {}).get("entries", []):
        if entry["dashboard"] == DASHBOARDS[uid]["title"] and entry.get("panel", panel) == panel:
            return dict(entry)
    return None


@pytest.mark.parametrize("uid", DASHBOARDS)
@pytest.mark.parametrize("rule", RULES)
def test_dashboards_comply_with_the_rules_of_the_linter(rule: str, uid: str) -> None:
    assert [(panel, how) for panel, how in RULES[rule](uid) if _excluded(rule, uid, panel) is None] == []


@pytest.mark.parametrize("rule", EXCLUSIONS)
def test_each_exclusion_has_a_reason_and_is_needed(rule: str) -> None:
    broken = [(uid, panel) for uid in DASHBOARDS for panel, _ in RULES[rule](uid)]
    used = [_excluded(rule, uid, panel) for uid, panel in broken]
    assert len(EXCLUSIONS[rule]["reason"]) > 40
    assert [entry for entry in EXCLUSIONS[rule]["entries"] if entry not in used] == []


@pytest.mark.real
@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_linter_itself_reports_nothing(uid: str) -> None:
    """Also skipped in CI: no system package contains the linter."""
    linter = shutil.which("dashboard-linter")
    if linter is None:
        pytest.skip("dashboard-linter is missing; with Go: go install github.com/grafana/dashboard-linter@latest")
    command = [linter, "lint", "--strict", "--config", str(FOLDER / ".lint"), str(FOLDER / f"{uid}.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- our own


@pytest.mark.parametrize("name", FILES)
def test_a_dashboard_file_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == FILES[name], "run `make dashboards`"


def test_there_are_no_other_dashboard_files() -> None:
    assert {f"{uid}.json" for uid in DASHBOARDS} == {*FILES}


def test_uids_do_not_change() -> None:
    """Links of alerts and bookmarks contain them."""
    names = ("fleet", "workload", "capacity", "lifecycle", "objectives", "exporter")
    assert {*DASHBOARDS} == {f"datarobot-{name}" for name in names}
    for uid, content in DASHBOARDS.items():
        assert (content["uid"], content["tags"], content["schemaVersion"]) == (uid, [TAG], 42)
        assert len(uid) <= 40


def test_exemplars_are_queried_where_they_exist_and_a_panel_can_draw_them() -> None:
    queries = [(uid, panel, query["expr"]) for uid, panel in EVERY_PANEL for query in panel["targets"]
               if query.get("exemplar")]  # fmt: skip
    assert {uid for uid, _, _ in queries} == {"datarobot-lifecycle"}
    for _, panel, expr in queries:
        names = {selector.name for selector, _ in promql.selectors(promql.parsed(expr))}
        assert names == {"datarobot_exporter_episode_duration_seconds_bucket"}
        assert panel["type"] == "timeseries"
        assert "exemplar storage" in panel["description"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_models_of_grafana_know_every_key(uid: str) -> None:
    """They drop unknown keys, so a misspelt option would be lost."""
    again = json.loads(json.dumps(models.Dashboard.from_json(DASHBOARDS[uid]), cls=JSONEncoder))
    for link in again["links"]:
        assert link.pop("placement") == "inControlsMenu"
    assert again == DASHBOARDS[uid]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_have_unique_ids_and_do_not_overlap(uid: str) -> None:
    every = DASHBOARDS[uid]["panels"]
    assert [panel["id"] for panel in every] == list(range(1, len(every) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len(panels(uid)) <= 25


def test_every_panel_has_a_text_for_no_data() -> None:
    for uid, panel in EVERY_PANEL:
        assert isinstance(panel["fieldConfig"]["defaults"]["noValue"], str), (uid, panel["title"])


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_can_be_provisioned_unchanged(uid: str) -> None:
    """It has no inputs that only a manual import sets, and no host except the one in a variable."""
    text = (FOLDER / f"{uid}.json").read_text()
    assert "__inputs" not in text
    assert "${DS_" not in text
    hosts = re.findall(r"https?://[^\"/]*", text)
    console = variables(uid).get("console", {"query": ""})["query"]
    assert {*hosts} == ({console} if console else set())


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_several_values_are_matched_as_a_regular_expression(uid: str) -> None:
    several = {name: variable for name, variable in variables(uid).items() if variable.get("multi")}
    # All values of a tag include that a workload does not have it.
    assert {variable["allValue"] for name, variable in several.items() if name != "tag_value"} == {".+"}
    queries = [target.expr for target in targets(uid)] + [
        mark["expr"] for mark in DASHBOARDS[uid]["annotations"]["list"]
    ]
    queries += [variable["query"]["query"] for variable in variables(uid).values() if variable["type"] == "query"]
    for name in several:
        uses = {use for expr in queries for use in re.findall(rf'([=!~]+)"\${name}\|?"', expr)}
        assert uses, name
        assert uses <= {"=~", "!~"}, name
    used = {name for expr in queries for name in re.findall(r"\$(\w+)", expr)} - {*promql.TIMES}
    assert used <= {*variables(uid)}


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_query_uses_only_existing_metrics(target: Target) -> None:
    assert {selector.name for selector, _ in promql.selectors(promql.parsed(target.expr))} <= {*promql.UNITS}


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_sum_counts_what_two_exporters_report_once(target: Target) -> None:
    assert [*promql.summed_twice(promql.parsed(target.expr))] == []


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_a_legend_uses_labels_that_the_query_keeps(target: Target) -> None:
    kept = promql.labels(promql.parsed(target.expr))
    assert {*re.findall(r"{{(\w+)}}", target.legend)} <= kept
    assert "*" not in kept, "aggregate the series of several exporters"


@pytest.mark.parametrize("target", EVERY_TARGET, ids=lambda target: target.place)
def test_the_unit_of_a_panel_is_that_of_its_metrics(target: Target) -> None:
    tree = promql.parsed(target.expr)
    shown = _shown(target)
    if shown is None:
        return
    assert shown["unit"] in FITS[promql.unit(tree)]
    assert shown["unit"].startswith("dateTime") == target.expr.startswith("1000 *"), "dates are milliseconds"


def _shown(target: Target) -> dict[str, Any] | None:
    """The display settings of a query's value; None if only its labels are shown."""
    defaults: dict[str, Any] = target.panel["fieldConfig"]["defaults"]
    if target.panel["type"] != "table":
        return defaults
    single = len(target.panel["targets"]) == 1
    options = target.panel["transformations"][-1]["options"]
    name = "Value" if single else f"Value #{target.ref}"
    if options["excludeByName"].get(name):
        return None
    title = options["renameByName"].get(name)
    if title is None:
        return None
    override = next(o for o in target.panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == title)
    return defaults | {each["id"]: each["value"] for each in override["properties"]}


@pytest.mark.parametrize("panel", [p for _, p in EVERY_PANEL if p["type"] == "table"], ids=lambda p: p["title"])
def test_every_column_of_a_table_is_configured(panel: dict[str, Any]) -> None:
    """Each label and value has a column with a title, or is excluded by name."""
    single = len(panel["targets"]) == 1
    available = {"Time"} | {"Value" if single else f"Value #{query['refId']}" for query in panel["targets"]}
    for query in panel["targets"]:
        available |= promql.labels(promql.parsed(query["expr"]))
    options = panel["transformations"][-1]["options"]
    assert available == {*options["renameByName"]} | {*options["excludeByName"]}
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} == {
        *options["renameByName"].values()
    }
    assert panel["options"]["sortBy"][0]["displayName"] in options["renameByName"].values()


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_link_opens_an_existing_dashboard_and_sets_existing_variables(uid: str) -> None:
    found = [url for url in addresses(DASHBOARDS[uid]) if url.startswith("/")]
    for url in found:
        parts = urlsplit(url.replace("${", "").replace("}", ""))
        other = parts.path.removeprefix("/d/")
        assert other in DASHBOARDS, url
        assert "${__url_time_range}" in url
        kept = {*re.findall(r"\${(\w+):queryparam}", url)}
        given = {name.removeprefix("var-") for name in parse_qs(parts.query) if name.startswith("var-")}
        assert kept <= {*variables(uid)}, url
        assert kept | given <= {*variables(other)}, url
        assert {"datasource", "job"} <= kept, url
    for link in DASHBOARDS[uid]["links"]:
        assert link["type"] == "link" or (link["tags"], link["includeVars"], link["keepTime"]) == ([TAG], True, True)


def test_a_row_of_a_workload_links_to_its_dashboard() -> None:
    for _, panel in EVERY_PANEL:
        if panel["type"] == "table":
            named = [o for o in panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == "Workload"]
            for override in named:
                links = [p["value"] for p in override["properties"] if p["id"] == "links"]
                gone = panel["title"] == "No longer listed"
                assert bool(links) != gone, panel["title"]


def test_the_link_of_an_alert_opens_the_dashboard_of_its_workload() -> None:
    alert = next(alert for alert in ALERTS if alert.component == "workload")
    parts = urlsplit(annotation_templates(alert, Options(dashboards="https://grafana.test"))["dashboard_url"])
    assert parts.path == "/d/datarobot-workload"
    assert {name.removeprefix("var-") for name in parse_qs(parts.query)} == {"account", "workload"}
    assert {"account", "workload"} <= {*variables("datarobot-workload")}
