"""ALERTS as Prometheus rule groups: grammar of Prometheus 2.42, `keep_firing_for` included.

A condition about a workload is written twice in its rule: as it is now, and, only while Prometheus has nothing recent
of that workload, as it was last. So neither a failed scrape nor a new exporter resolves an alert or starts its wait
anew, and one whose condition ends resolves at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import NamedTuple

from exporter.alerting.alerts import ALERTS, DEFAULTS, Alert
from exporter.alerting.expressions import WORKLOAD, Condition, Writing, duration

LABELS = ("alertname", *WORKLOAD, "component", "job")
"""Labels that alerts have beside that of severity and those of the settings: what they are told apart by."""
GROUPS = {"workload": "workloads", "account": "accounts", "exporter": "exporter"}


class Options(NamedTuple):
    """How rules are written.

    `selector`: matchers in every selector. `waits`: name of an alert -> seconds, instead of its own. `on`, `off`: names
    of alerts to add or to leave out. `labels` are set on every alert; `severity_label` is the name of that one.
    `runbooks` is what stands before ``NAME.md``; `dashboards` the base of Grafana, `console` that of DataRobot,
    `traces` where those of ``{workload_id}`` are found; empty: no such link. `scale` divides every duration, for trials
    in less time.
    """

    selector: str = 'job="datarobot"'
    thresholds: Mapping[str, float] = DEFAULTS
    waits: Mapping[str, float] = {}
    on: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    labels: Mapping[str, str] = {}
    severity_label: str = "severity"
    runbooks: str = "alerts/runbooks/"
    dashboards: str = ""
    console: str = ""
    traces: str = ""
    hold: float = 600.0
    scale: float = 1.0

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels that an alert may have."""
        return (*LABELS, self.severity_label, *self.labels)


DEFAULT = Options()
_WHO = {
    "workload": "Workload {{ $labels.workload }} ({{ $labels.workload_id }}) of account {{ $labels.account }} ",
    "account": "Account {{ $labels.account }} ",
    "exporter": "",
}


def in_force(options: Options) -> tuple[Alert, ...]:
    """The alerts that these options want."""
    return tuple(
        alert for alert in ALERTS if alert.name not in options.off and (not alert.asked or alert.name in options.on)
    )


def expression(alert: Alert, condition: Condition, options: Options) -> str:
    """The PromQL of an alert of one level."""
    writing = Writing(options.selector, options.thresholds, options.scale)
    now = condition.promql(writing)
    if alert.component == "exporter":
        return now
    held = condition.promql(writing._replace(held=duration(options.hold / options.scale)))
    return f"(\n{indent(now, '  ')}\n)\nor\n(\n{indent(held, '  ')}\n)\n{_unless_seen(alert, options)}"


def _unless_seen(alert: Alert, options: Options) -> str:
    if alert.component == "account":
        return f"unless on (account) max by (account) (datarobot_account_workloads_active{{{options.selector}}})"
    more = f"{options.selector}, " if options.selector else ""
    told = (
        f'datarobot_workload_fresh{{{more}part="pods"}} == 1'
        if alert.pods
        else f"datarobot_workload_info{{{options.selector}}}"
    )
    gone = f"datarobot_workload_vanished_timestamp_seconds{{{options.selector}}}"
    return f"unless on (account, workload_id) max by (account, workload_id) ({told} or {gone})"


def levels(alert: Alert) -> Iterator[tuple[str, Condition]]:
    """Each severity of an alert, and the condition under which it has it: no two hold at once."""
    condition = alert.condition
    for level in alert.levels:
        yield level.severity, condition if level.when is None else condition & level.when
        if level.when is not None:
            condition = condition.unless(level.when)


def rules(options: Options = DEFAULT) -> dict[str, object]:
    """The groups of a rule file."""
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


def _rule(alert: Alert, severity: str, condition: Condition, options: Options) -> dict[str, object]:
    made: dict[str, object] = {"alert": alert.name, "expr": expression(alert, condition, options)}
    wait = options.waits.get(alert.name, alert.wait)
    if wait:
        made["for"] = duration(wait / options.scale)
    if alert.keep:
        made["keep_firing_for"] = duration(alert.keep / options.scale)
    made["labels"] = {options.severity_label: severity, "component": alert.component, **options.labels}
    made["annotations"] = words(alert, options)
    return made


def words(alert: Alert, options: Options) -> dict[str, str]:
    """What a person reads, as templates."""
    made = {
        "summary": alert.summary,
        "description": _WHO[alert.component] + alert.description,
        "runbook_url": f"{options.runbooks}{alert.name}.md",
    }
    if alert.component == "workload" and options.dashboards:
        made["dashboard_url"] = (
            f"{options.dashboards}/d/datarobot-workload?var-account={{{{ $labels.account | urlquery }}}}"
            "&var-workload={{ $labels.workload_id | urlquery }}"
        )
    if alert.component == "workload" and options.console:
        made["console_url"] = f"{options.console}/console-nextgen/workloads/{{{{ $labels.workload_id }}}}/overview"
    if alert.component == "workload" and options.traces:
        made["trace_url"] = options.traces.replace("{workload_id}", "{{ $labels.workload_id }}")
    return made
