"""Dashboard of the whole fleet: current problems, status, and traffic."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import EXPORTER, FLEET, dashboard_url, workload_link
from dashboards.panels import Column, Panel, Query, Row, stat_panel, table_panel, time_series, zero_is_good
from dashboards.problems import IDS, ON_WORKLOAD, PROBLEMS, SELECTED, number, with_problems, worst_problem
from dashboards.queries import (
    DATA_AGE,
    STALE,
    STATUS_TEXTS,
    changes,
    each,
    exporter_starts,
    family,
    firing_alerts,
    one_each,
    platform_releases,
    ready,
    selected,
    worst_five,
)
from dashboards.style import (
    BAD,
    GOOD,
    IDLE,
    IMPORTANCE_COLOURS,
    MOVING,
    NONE,
    NOT_REPORTED,
    OFF,
    SEVERITY_COLOURS,
    STATUS_COLOURS,
    WARNING,
)
from dashboards.variables import SELECTION
from exporter.alerting.limits import DEFAULTS
from exporter.api import models

_STATUS, _INFO = family("workload_status"), family("workload_info")
_RUNNING = family("workload_status", status="running")
_FAILED = family("workload_status", status="|".join((*models.of_group("failed"), "interrupted")))
_STARTING = family("workload_status", status="|".join(models.of_group("starting")))
_SINCE = "\nor ".join(
    (
        f'1000 * (min by ({IDS}) (ALERTS_FOR_STATE{{account=~"$account", workload_id!="", '
        'severity=~"critical|warning"})',
        each(family("workload_vanished_timestamp_seconds")),
        each(family("workload_status_since_timestamp_seconds")) + ")",
    )
)
_READY = each(ready())
_REQUESTS = family("workload_window_requests", window="5m")
_SLOWEST = worst_five("workload_window_response_seconds", window="5m", quantile="0.95")
_IMPORTANCES = {name: (name, colour) for name, colour in IMPORTANCE_COLOURS.items()}


def _alerts(severity: str) -> Query:
    firing = f'ALERTS{{account=~"$account|", alertstate="firing", severity="{severity}"}}'
    return Query(f"count({firing}) or vector(0)")


def _count(expression: str) -> Query:
    return Query(f"count({selected(expression)}) or vector(0)")


def _grouped(title: str, description: str, label: str, info: str, shown: str) -> Panel:
    """A table of workloads, running and failed, by a label of the metric `info`."""
    kind = f"* {ON_WORKLOAD} group_left ({label}) {one_each(info, label)}"
    counted = [f"count by ({label}) (({selected(each(status) + ' == 1')}) {kind})" for status in (_RUNNING, _FAILED)]
    return table_panel(
        title,
        description,
        [f"count by ({label}) ({selected(each(info, label))})", *counted],
        [
            Column(label, shown),
            Column("A", "Workloads", width=100),
            Column("B", "Running", width=90, steps=((None, GOOD),), empty="0"),
            Column("C", "Failed", width=90, steps=((None, GOOD), (1, BAD)), empty="0"),
        ],
        sort="Workloads",
        width=8,
        height=7,
        no_value="0",
    )


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    problems = {str(number(problem)): (problem.text, problem.colour) for problem in PROBLEMS}
    summary = [
        stat_panel("Problems", "Workloads that currently meet the condition of an alert, even if not "
                   "yet for long enough to fire. Computed from workload metrics; details in the table below.",
                   _count(worst_problem()), steps=zero_is_good(), no_value="0", filled=True),
        stat_panel("Workloads", "All workloads in the last complete sweep.",
                   _count(each(_INFO)), no_value=NOT_REPORTED),
        stat_panel("Running", "Workloads with status running. They may still have no ready replica.",
                   _count(f"{each(_RUNNING)} == 1"), steps=((None, GOOD),), no_value=NOT_REPORTED),
        stat_panel("Starting", "Workloads that are submitted, provisioning, launching or similar.",
                   _count(f"{each(_STARTING)} == 1"), steps=((None, MOVING),), no_value=NOT_REPORTED),
        stat_panel("Scaled to zero", "Autoscaled workloads without pods for lack of requests. This is normal.",
                   _count(f"{each(family('workload_scaled_to_zero'))} == 1"), steps=((None, OFF),), no_value=NONE),
        stat_panel("Critical alerts", "Firing critical alerts, including those about the exporter. Needs the alert "
                   "rules to be loaded in this Prometheus.",
                   _alerts("critical"), steps=zero_is_good(), no_value=NONE, filled=True),
        stat_panel("Warnings", "Firing warning alerts. Needs the alert rules to be loaded in this Prometheus.",
                   _alerts("warning"), steps=zero_is_good(colour=WARNING), no_value=NONE, filled=True),
        stat_panel("Data age", "Time since the last complete sweep, for the account with the oldest data. Red: the "
                   "data on this dashboard are stale.",
                   Query(f"max({DATA_AGE})"), unit="s", steps=((None, GOOD), (STALE, BAD)), no_value=NOT_REPORTED,
                   link=("Exporter health", dashboard_url(EXPORTER))),
    ]  # fmt: skip
    attention = table_panel(
        "Current problems (click a name for details)",
        "One row for each workload that meets the condition of an alert, with its most important problem. Alert wait "
        "times are ignored. Since: start of the condition if the alert rules are loaded, else start of the status. "
        "Empty: no problems.",
        [
            selected(worst_problem()),
            with_problems(selected(each(_INFO, "importance", "status"))),
            with_problems(_SINCE),
            with_problems(_READY),
            with_problems(each(family("workload_replicas_min"))),
        ],
        [
            Column("A", "Problem", texts=problems, width=230, whole=True),
            Column("workload", "Workload", link=workload_link(), width=250),
            Column("C", "Since", unit="dateTimeFromNow", width=130),
            Column("status", "Status", texts=STATUS_TEXTS, width=120),
            Column("importance", "Importance", texts=_IMPORTANCES, width=110),
            Column("D", "Ready", unit="short", width=80),
            Column("E", "Min", unit="short", width=80),
            Column("account", "Account", width=120),
            Column("workload_id", "ID"),
        ],
        sort="Problem",
        height=16,
        no_value="no problems",
        hidden=["Value #B"],
    )  # fmt: skip
    alerts = firing_alerts('account=~"$account", workload_id!=""')
    return assemble(
        FLEET,
        "DataRobot workloads: fleet",
        "Current problems of the fleet, their location and duration.",
        variables=SELECTION,
        annotations=[exporter_starts(), platform_releases(), *changes(SELECTED), alerts],
        rows=[
            Row("", summary),
            Row("", [attention]),
            Row("History", [
                time_series("Workloads by status",
                            "Number of workloads by status. A gap: no recent complete sweep.",
                            Query(f"count by (status) ({selected(each(f'{_STATUS} == 1', 'status'))})", "{{status}}"),
                            unit="short", no_value=NOT_REPORTED, colours=STATUS_COLOURS, stacked=True, table=True,
                            height=10),
                time_series("Firing alerts",
                            "Number of firing alerts by severity. Empty: none, or the alert rules are not loaded.",
                            Query('count by (severity) (ALERTS{account=~"$account", alertstate="firing", '
                                  'severity=~"critical|warning|info"})', "{{severity}}"),
                            unit="short", no_value=NONE, colours=SEVERITY_COLOURS, step=True, height=10),
            ]),
            Row("Traffic", [
                time_series("Requests per minute",
                            "Requests to all workloads in the last five minutes, as counted by the API.",
                            Query(f"sum({selected(each(_REQUESTS))}) / 5", "requests"),
                            unit="reqpm", no_value=IDLE, width=8),
                time_series("5xx ratio (top 5)",
                            "Share of 5xx responses in the last five minutes. The lines are the thresholds of fast "
                            "error budget burn and of a workload that is not serving. Only workloads with errors are "
                            "shown.",
                            Query(worst_five("workload_window_server_error_ratio", window="5m"), "{{workload}}"),
                            unit="percentunit", no_value=IDLE, width=8, link=workload_link("__field.labels"),
                            steps=((None, GOOD), (DEFAULTS["error_budget"] * DEFAULTS["burn_fast"], WARNING),
                                   (DEFAULTS["server_error_ratio"], BAD))),
                time_series("Response time p95 (top 5)",
                            "95th percentile of the last five minutes, as computed by the API, without network time. "
                            "The line is the alert threshold.",
                            Query(_SLOWEST, "{{workload}}"),
                            unit="s", no_value=IDLE, width=8, link=workload_link("__field.labels"),
                            steps=((None, GOOD), (DEFAULTS["p95_response"], BAD))),
            ]),
            Row("Breakdown", [
                _grouped("By importance", "Importance as set in DataRobot.", "importance",
                         family("workload_importance"), "Importance"),
                _grouped("By type", "Type of the workload as reported by the API.", "workload_type",
                         family("workload_info"), "Type"),
                _grouped("By resource bundle", "Bundle selected at scheduling. Workloads without one are not shown.",
                         "bundle_id", family("workload_bundle_info"), "Bundle"),
            ]),
        ],
    )  # fmt: skip
