"""ALERTS as Prometheus rule groups, in the grammar of Prometheus 2.42, which has `keep_firing_for`.

A rule about a workload contains its condition twice: for the current samples, and, only while Prometheus has no recent
data about the workload, for the last ones. So neither a failed scrape nor a new exporter resolves an alert or restarts
its wait time, and an alert whose condition is no longer met resolves at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from textwrap import indent
from typing import Any, NamedTuple

from exporter.alerting.alerts import ALERTS, Alert
from exporter.alerting.expressions import NOW, WORKLOAD, Condition, Writing, duration
from exporter.alerting.limits import DEFAULTS
from exporter.alerting.recording import recording_rules
from exporter.fleet.objectives import WINDOW_SECONDS
from exporter.metrics.registry import TAGS

LABELS = ("alertname", *WORKLOAD, "component", "job")
"""Labels that identify alerts, in addition to the severity label and those of the settings."""
_SAME_WORKLOAD = ("account", "workload_id")
_LATER_THAN_ANY_TIME = "1e12"
RUNBOOKS = "alerts/runbooks/"
"""Prefix of ``NAME.md`` without a URL in the settings: the folder in the repository."""
GROUPS = {"workload": "workloads", "account": "accounts", "exporter": "exporter"}


class Options(NamedTuple):
    """How rules are generated, and alerts evaluated.

    `selector`: matchers added to every selector. `waits`, `keeps`: name of an alert -> seconds, instead of its own.
    `on`, `off`: names of alerts to add or to leave out. `labels` are set on every alert; `severity_label` is the name
    of the severity label. `runbooks`: prefix of ``NAME.md`` in links. `dashboards`: base URL of Grafana. `console`:
    base URL of DataRobot. `status`: base URL of this exporter. `traces`: URL of the traces of ``{workload_id}``. Empty:
    no such link. `notes`: name of an alert, or ``default`` for all others -> a text of the users. `owner_tags`: names
    of the tags whose values name the owner of a workload; rules cannot read all tags, so only direct paging shows them.
    `tag_labels`: names of labels of ``datarobot_workload_tags`` that alerts about workloads have, too. `hold`: seconds
    for which an alert keeps its state without recent data. `objective_windows`: the windows of
    objectives, in seconds, of which rules record ratios. `scale` divides every duration, to test in less time.
    """

    selector: str = 'job="datarobot"'
    thresholds: Mapping[str, float] = DEFAULTS
    waits: Mapping[str, float] = {}
    keeps: Mapping[str, float] = {}
    on: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    labels: Mapping[str, str] = {}
    severity_label: str = "severity"
    runbooks: str = RUNBOOKS
    dashboards: str = ""
    console: str = ""
    status: str = ""
    traces: str = ""
    notes: Mapping[str, str] = {}
    owner_tags: tuple[str, ...] = ()
    tag_labels: tuple[str, ...] = ()
    hold: float = 600.0
    objective_windows: tuple[float, ...] = (WINDOW_SECONDS,)
    scale: float = 1.0

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of all labels that an alert may have."""
        return (*LABELS, self.severity_label, *self.labels, *self.tag_labels)

    def runbook(self, alert: str) -> str:
        """Where the runbook of an alert is: its link, or the command that prints it."""
        return f"{self.runbooks}{alert}.md" if self.runbooks != RUNBOOKS else f"workload-exporter runbook {alert}"

    def keep(self, alert: Alert, severity: str) -> float:
        """For how many seconds an alert keeps firing with this severity after its condition was last met."""
        return self.keeps.get(alert.name, alert.keep_of(severity)) / self.scale


DEFAULT = Options()
BRACES = '{{ "{{" }}'
"""A template that prints two opening braces, which in a text would begin a template."""
_SUBJECT = {
    "workload": "Workload {{ $labels.workload }} ({{ $labels.workload_id }}) of account {{ $labels.account }} ",
    "account": "Account {{ $labels.account }} ",
    "exporter": "",
}


def in_force(options: Options) -> tuple[Alert, ...]:
    """The alerts that are on with these options, each with the wait of the options in `wait` or in its condition."""
    return _in_force(options.on, options.off, tuple(options.waits.items()), options.scale)


@lru_cache(8)  # every evaluation uses them, and every diagnosis
def _in_force(
    on: frozenset[str], off: frozenset[str], waits: tuple[tuple[str, float], ...], scale: float
) -> tuple[Alert, ...]:
    alerts = [alert for alert in ALERTS if alert.name not in off and (not alert.opt_in or alert.name in on)]
    return tuple(_waiting(alert, dict(waits).get(alert.name, alert.wait), scale) for alert in alerts)


def _waiting(alert: Alert, wait: float, scale: float) -> Alert:
    if alert.since is None:
        return alert._replace(wait=wait)
    return alert._replace(wait=0.0, condition=alert.condition & (NOW - alert.since >= wait / scale))


def expression(alert: Alert, condition: Condition, options: Options) -> str:
    """The PromQL of one level of an alert."""
    writing = Writing(options.selector, options.thresholds, options.scale)
    now = condition.promql(writing)
    if alert.component == "exporter":
        return now
    held = condition.promql(writing._replace(held=duration(options.hold / options.scale)))
    found = f"(\n{indent(now, '  ')}\n)\nor\n(\n{indent(held, '  ')}\n)\n{_unless_recent(alert, options)}"
    return _labelled(found, alert, options) if options.tag_labels and alert.component == "workload" else found


def _labelled(expression: str, alert: Alert, options: Options) -> str:
    """The expression with labels from tags, and without them for workloads that have none.

    An alert keeps the labels with which it began, because Prometheus identifies it by all of its labels: another value
    would be another alert. `topk`: a join with two series of a workload would fail, and with it the rule.
    """
    by, on = ", ".join((*_SAME_WORKLOAD, *options.tag_labels)), ", ".join(_SAME_WORKLOAD)
    current = f"timestamp({TAGS}{{{options.selector}}})"
    begun = f'ALERTS{{alertname="{alert.name}"}} * {_LATER_THAN_ANY_TIME}'
    tags = f"group by ({by}) (\n  topk by ({on}) (1, max by ({by}) ({begun} or {current}))\n)"
    indented = f"(\n{indent(expression, '  ')}\n)"
    return f"{indented}\n* on ({on}) group_left ({', '.join(options.tag_labels)}) {tags}\nor on ({on})\n{indented}"


def _unless_recent(alert: Alert, options: Options) -> str:
    if alert.component == "account":
        return f"unless on (account) max by (account) (datarobot_account_workloads_active{{{options.selector}}})"
    more = f"{options.selector}, " if options.selector else ""
    recent = (
        f'datarobot_workload_fresh{{{more}part="pods"}} == 1'
        if alert.pods
        else f"datarobot_workload_info{{{options.selector}}}"
    )
    gone = f"datarobot_workload_vanished_timestamp_seconds{{{options.selector}}}"
    return f"unless on (account, workload_id) max by (account, workload_id) ({recent} or {gone})"


def levels(alert: Alert) -> Iterator[tuple[str, Condition]]:
    """Each severity of an alert and its condition. At most one of the conditions is met at a time."""
    condition = alert.condition
    for level in alert.levels:
        yield level.severity, condition if level.when is None else condition & level.when
        if level.when is not None:
            condition = condition.unless(level.when)


def rules(options: Options = DEFAULT) -> dict[str, object]:
    """The groups of alerts."""
    groups: dict[str, list[dict[str, object]]] = {}
    for alert in in_force(options):
        for severity, condition in levels(alert):
            rows = groups.setdefault(GROUPS[alert.component], [])
            rows.append(_rule(alert, severity, condition, options))
    return {
        "groups": [
            {"name": f"datarobot-{name}{f'-{part}' if part else ''}", "rules": rows[begin : begin + 20]}
            for name, rows in groups.items()
            for part, begin in enumerate(range(0, len(rows), 20))
        ]
    }


def rule_file(options: Options = DEFAULT) -> dict[str, object]:
    """The groups of alerts, and one of recording rules about objectives."""
    recording = [*recording_rules(options.selector, options.objective_windows)]
    groups: Any = rules(options)["groups"]
    return {"groups": [*groups, {"name": "datarobot-objectives", "rules": recording}]}


def _rule(alert: Alert, severity: str, condition: Condition, options: Options) -> dict[str, object]:
    found: dict[str, object] = {"alert": alert.name, "expr": expression(alert, condition, options)}
    if alert.wait:
        found["for"] = duration(alert.wait / options.scale)
    if keep := options.keep(alert, severity):
        found["keep_firing_for"] = duration(keep)
    found["labels"] = {options.severity_label: severity, "component": alert.component, **options.labels}
    found["annotations"] = annotation_templates(alert, options)
    return found


def annotation_templates(alert: Alert, options: Options) -> dict[str, str]:
    """The annotations of an alert, as templates."""
    found = {
        "summary": alert.summary,
        "description": _SUBJECT[alert.component] + alert.description,
        "runbook_url": f"{options.runbooks}{alert.name}.md",
    }
    note = options.notes.get(alert.name) or options.notes.get("default")
    if note:
        found["note"] = note.replace("{{", BRACES)
    if alert.component == "workload":
        workload = "{{ $labels.workload_id | urlquery }}"
        if options.status:
            account = "{{ $labels.account | urlquery }}"
            found["status_url"] = f"{options.status}/workloads/{workload}?account={account}"
        if options.dashboards:
            account = "{{ $labels.account | urlquery }}"
            path = f"d/datarobot-workload?var-account={account}&var-workload={workload}"
            found["dashboard_url"] = f"{options.dashboards}/{path}"
        if options.console:
            found["console_url"] = f"{options.console}/console-nextgen/workloads/{workload}/overview"
        if options.traces:
            found["trace_url"] = options.traces.replace("{workload_id}", workload)
    return found
