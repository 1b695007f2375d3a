"""Notifications about alarms, with the labels and annotations of the Prometheus rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote
from types import MappingProxyType
from urllib.parse import quote_plus

from exporter.alerting.alarms import Alarm
from exporter.alerting.alerts import BY_NAME
from exporter.alerting.notification import Notification
from exporter.alerting.rules import BRACES, Options, annotation_templates

_LINKS = (
    ("Runbook", "runbook_url"),
    ("Status", "status_url"),
    ("Dashboard", "dashboard_url"),
    ("Console", "console_url"),
    ("Traces", "trace_url"),
)


def labels(alarm: Alarm, options: Options) -> dict[str, str]:
    """The labels that the Prometheus rules give the same alert."""
    found = {
        "alertname": alarm.alert,
        **alarm.labels,
        options.severity_label: alarm.severity,
        "component": BY_NAME[alarm.alert].component,
    }
    job = re.search(r'\bjob="([^"]*)"', options.selector)
    if not alarm.labels and job is not None and alarm.alert != "DataRobotWatchdog":
        found["job"] = job[1]  # these rules are aggregated by job
    tags = {name: alarm.tags[name] for name in options.tag_labels if name in alarm.tags}
    return {**found, **options.labels, **tags}


def texts(alarm: Alarm, options: Options) -> dict[str, str]:
    """The annotations with their templates filled in, and two commands: `explain` shows more of a workload, `silence`
    silences the alert about the same subject in direct paging.

    A value of Prometheus in parentheses is left out; a description that needs one otherwise is replaced by the summary.
    """
    templates = annotation_templates(BY_NAME[alarm.alert], options)
    templates["description"] = re.sub(r" \(\{\{ \$value.*?\}\}\)", "", templates["description"])
    if "$value" in templates["description"]:
        templates["description"] = templates["summary"]
    filled = {name: _filled(template, alarm.labels) for name, template in templates.items()}
    workload = alarm.labels.get("workload_id")
    if workload:
        filled["explain"] = f"workload-exporter explain {quote(workload)} --log-lines=20"
    subject = (
        quote(f"{label}={alarm.labels[label]}") for label in ("account", "workload_id") if alarm.labels.get(label)
    )
    silence = ("workload-exporter silence add", f"alertname={alarm.alert}", *subject, "--for=2h")
    return filled if alarm.severity == "none" else filled | {"silence": " ".join(silence)}


def _filled(template: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        text = values.get(match[1], "")
        return quote_plus(text) if match[2] else text

    return re.sub(r"\{\{ \$labels\.(\w+) (\| urlquery )?\}\}", value, template).replace(BRACES, "{{")


def notification(
    alarm: Alarm, options: Options, importance: str = "", tags: Mapping[str, str] = MappingProxyType({})
) -> Notification:
    """The notification about an alarm that fires or has ended, without evidence.

    `importance` and `tags` are those of its workload, if it is about one.
    """
    assert alarm.fired is not None
    text = texts(alarm, options)
    links = tuple((title, text[name]) for title, name in _LINKS if text.get(name, "").startswith("http"))
    return Notification(
        alarm.key,
        labels(alarm, options),
        text,
        alarm.fired,
        alarm.ended,
        links=links,
        importance=importance,
        tags=tags,
    )
