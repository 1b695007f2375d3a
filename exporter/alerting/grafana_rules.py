"""ALERTS as alert rules that Grafana evaluates itself, in the format of its file provisioning.

The queries are those of the rules for Prometheus. Source: Grafana's documentation of file provisioning and of alert
rules, and its source code of both (`pkg/services/provisioning/alerting`, `pkg/services/ngalert/state`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from exporter.alerting.alerts import BY_NAME
from exporter.alerting.expressions import duration
from exporter.alerting.rules import DEFAULT, Options, rules

INTERVAL_SECONDS = 30.0
"""How often Grafana evaluates a group; a multiple of ten seconds."""
FOLDER = "DataRobot alerts"
_QUERY, _CONDITION, _EXPRESSIONS = "query", "condition", "__expr__"
_RANGE = {"from": 600, "to": 0}
_READS_PROMETHEUS = "DataRobotExporterDown"
"""The alert that also reports a data source that cannot be read."""


def grafana_rules(options: Options = DEFAULT, datasource_uid: str = "prometheus") -> dict[str, object]:
    """The groups of alerts, with a folder for each severity: a title is unique in its folder, and is the label
    alertname.
    """
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    listed: Any = rules(options)["groups"]
    for group in listed:
        for each in group["rules"]:
            severity = each["labels"][options.severity_label]
            rows = groups.setdefault((severity, group["name"]), [])
            rows.append(_rule(each, severity, options, datasource_uid))
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": name,
                "folder": f"{FOLDER}: {severity}",
                "interval": duration(INTERVAL_SECONDS),
                "rules": rows,
            }
            for (severity, name), rows in groups.items()
        ],
    }


def _rule(rule: Mapping[str, Any], severity: str, options: Options, datasource_uid: str) -> dict[str, object]:
    name, keep = rule["alert"], options.keep(BY_NAME[rule["alert"]], severity)
    return {
        "uid": f"{name.removeprefix('DataRobot')}-{severity}",  # at most 40 characters
        "title": name,
        "condition": _CONDITION,
        "data": [_query(rule["expr"], datasource_uid), _any_sample()],
        "noDataState": "OK",  # a query without a result means that no condition is met
        # A data source that cannot be read ends no alert, and is reported once, not by every rule.
        "execErrState": "Error" if name == _READS_PROMETHEUS else "KeepLast",
        "for": rule.get("for", "0s"),
        "keepFiringFor": rule.get("keep_firing_for", "0s"),
        # Grafana keeps an alert for that time only if its query has no result at all. If it has others, the alert is
        # missing in the result, and ends after so many evaluations.
        "missing_series_evals_to_resolve": 1 + math.ceil(keep / INTERVAL_SECONDS),
        "labels": {label: value.replace("$", "$$") for label, value in rule["labels"].items()},  # no variables
        "annotations": {key: _template(text) for key, text in rule["annotations"].items()},
    }


def _query(expression: str, datasource_uid: str) -> dict[str, object]:
    model = {
        "refId": _QUERY,
        "datasource": {"type": "prometheus", "uid": datasource_uid},
        "expr": expression,
        "instant": True,
        "range": False,
    }
    return {"refId": _QUERY, "relativeTimeRange": dict(_RANGE), "datasourceUid": datasource_uid, "model": model}


def _any_sample() -> dict[str, object]:
    """The condition of rules in Prometheus: any sample fires, whatever its value."""
    model = {
        "refId": _CONDITION,
        "datasource": {"type": _EXPRESSIONS, "uid": _EXPRESSIONS},
        "type": "math",
        "expression": f"is_number(${_QUERY}) || is_nan(${_QUERY}) || is_inf(${_QUERY})",
    }
    return {"refId": _CONDITION, "relativeTimeRange": dict(_RANGE), "datasourceUid": _EXPRESSIONS, "model": model}


def _template(text: str) -> str:
    """A template of Prometheus as one of Grafana, where `$value` is a text about all queries.

    Grafana replaces ``${NAME}`` in provisioned files by environment variables.
    """
    inside = re.sub(r"\{\{.*?\}\}", lambda found: found[0].replace("$value", f"$values.{_QUERY}.Value"), text)
    return inside.replace("${", '{{ "$" }}{')
