"""Rules that Grafana evaluates itself: the same alerts as for Prometheus, in the format of file provisioning."""

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting as sdk

from exporter.alerting.grafana_rules import grafana_rules
from exporter.alerting.rules import DEFAULT, Options, rules
from tests.cli.test_main import run

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^\d+(ms|[smhdw])(\d+(ms|[smhdw]))*$"}
QUERY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["refId", "datasourceUid", "model"],
    "properties": {
        "refId": TEXT,
        "queryType": {"type": "string"},
        "relativeTimeRange": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}},
        },
        "datasourceUid": TEXT,
        "model": {"type": "object"},
    },
}
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["uid", "title", "condition", "data"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "title": {"type": "string", "minLength": 1, "maxLength": 190},
        "condition": TEXT,
        "data": {"type": "array", "minItems": 1, "items": QUERY},
        "dashboardUid": TEXT,
        "panelId": {"type": "integer"},
        "noDataState": {"enum": ["Alerting", "NoData", "OK", "KeepLast"]},
        "execErrState": {"enum": ["Alerting", "Error", "OK", "KeepLast"]},
        "for": DURATION,
        "keepFiringFor": DURATION,
        "missing_series_evals_to_resolve": {"type": "integer", "minimum": 1},
        "annotations": TEXTS,
        "labels": TEXTS,
        "isPaused": {"type": "boolean"},
        "notification_settings": {"type": "object"},
        "record": {"type": "object"},
    },
}
FILE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "groups"],
    "properties": {
        "apiVersion": {"const": 1},
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["orgId", "name", "folder", "interval", "rules"],
                "properties": {
                    "orgId": {"type": "integer", "minimum": 1},
                    "name": TEXT,
                    "folder": TEXT,
                    "interval": DURATION,
                    "rules": {"type": "array", "minItems": 1, "items": RULE},
                },
            },
        },
    },
}
"""Fields, types and limits of the format, from Grafana's documentation of it and the types that read it."""


def groups(options: Options = DEFAULT, **more: Any) -> list[Any]:
    made: Any = grafana_rules(options, **more)["groups"]
    return list(made)


def written(options: Options = DEFAULT) -> dict[tuple[str, str], Any]:
    """Each rule by its alert and its severity."""
    return {
        (rule["title"], group["folder"].rpartition(" ")[2]): rule
        for group in groups(options)
        for rule in group["rules"]
    }


def test_the_file_has_the_fields_that_grafana_reads() -> None:
    jsonschema.validate(grafana_rules(), FILE)


def test_grafanas_models_know_every_field_of_a_rule_and_its_queries() -> None:
    plugins.register_default_plugins()
    names = {"missing_series_evals_to_resolve": "missingSeriesEvalsToResolve", "keepFiringFor": "keep_firing_for"}
    for group in groups():
        for rule in group["rules"]:
            given = {names.get(name, name): value for name, value in rule.items()}
            given |= {"orgID": 1, "folderUID": "f", "ruleGroup": group["name"]}
            known = json.loads(JSONEncoder().encode(sdk.Rule.from_json(given)))
            assert known == given


def test_every_rule_of_prometheus_is_one_of_grafana_with_the_same_query_wait_and_labels() -> None:
    listed: Any = rules()["groups"]
    expected = {
        (rule["alert"], rule["labels"]["severity"]): (
            rule["expr"],
            rule.get("for", "0s"),
            rule.get("keep_firing_for", "0s"),
            rule["labels"],
        )
        for group in listed
        for rule in group["rules"]
    }
    found = {
        key: (rule["data"][0]["model"]["expr"], rule["for"], rule["keepFiringFor"], rule["labels"])
        for key, rule in written().items()
    }
    assert found == expected


def test_a_rule_fires_for_any_sample_of_its_query() -> None:
    query, condition = written()["DataRobotWorkloadErrored", "critical"]["data"]
    assert query["model"] | {"expr": ""} == {
        "refId": "query",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "expr": "",
        "instant": True,
        "range": False,
    }
    assert condition == {
        "refId": "condition",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": "condition",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "math",
            "expression": "is_number($query) || is_nan($query) || is_inf($query)",
        },
    }


def test_the_data_source_is_an_option() -> None:
    listed = [rule for group in groups(datasource_uid="mimir") for rule in group["rules"]]
    assert {query["datasourceUid"] for rule in listed for query in rule["data"]} == {"mimir", "__expr__"}


def test_titles_are_unique_in_their_folder_and_uids_everywhere() -> None:
    made = groups()
    titles = [(group["folder"], rule["title"]) for group in made for rule in group["rules"]]
    uids = [rule["uid"] for group in made for rule in group["rules"]]
    assert (len({*titles}), len({*uids})) == (len(titles), len(uids))
    severities = ("critical", "warning", "info", "none")
    assert {group["folder"] for group in made} == {f"DataRobot alerts: {severity}" for severity in severities}


@pytest.mark.parametrize(
    ("keep", "evaluations"),
    [(0, 1), (1, 2), (30, 2), (90, 4)],
)
def test_an_alert_that_is_missing_among_others_is_kept_as_long_as_alone(keep: float, evaluations: int) -> None:
    rule = written(Options(keeps={"DataRobotWorkloadErrored": keep}))["DataRobotWorkloadErrored", "critical"]
    assert rule["missing_series_evals_to_resolve"] == evaluations


def test_a_data_source_that_cannot_be_read_is_reported_by_one_alert_and_ends_none() -> None:
    states = {(rule["execErrState"], name == "DataRobotExporterDown") for (name, _), rule in written().items()}
    assert states == {("KeepLast", False), ("Error", True)}
    assert {rule["noDataState"] for rule in written().values()} == {"OK"}


def test_the_value_in_a_text_is_that_of_the_query() -> None:
    texts = " ".join(text for rule in written().values() for text in rule["annotations"].values())
    assert "{{ $values.query.Value | humanizePercentage }}" in texts
    assert "$value " not in texts
    functions = {*re.findall(r"\| (\w+)", " ".join(re.findall(r"\{\{.*?\}\}", texts)))}
    assert functions <= {"humanize", "humanizeDuration", "humanizePercentage", "urlquery"}  # Grafana has them, too


def test_what_users_write_is_neither_a_variable_of_the_environment_nor_a_template() -> None:
    options = Options(notes={"default": "Ask ${TEAM} about {{ $value }}; costs $5."}, labels={"cost": "$5"})
    rule = written(options)["DataRobotWorkloadErrored", "critical"]
    assert rule["annotations"]["note"] == 'Ask {{ "$" }}{TEAM} about {{ "{{" }} $value }}; costs $5.'
    assert rule["labels"]["cost"] == "$$5"


def test_the_command_prints_them_for_a_data_source() -> None:
    status, out, err = run("rules", "--format=grafana", "--grafana.datasource-uid=mimir")
    assert (status, err) == (0, "")
    assert yaml.safe_load(out) == grafana_rules(DEFAULT, "mimir")
    assert "&id" not in out
