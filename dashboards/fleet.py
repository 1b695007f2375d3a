"""Fleet overview: what is wrong, where, since when, and what to check next."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.asked import (
    DATA_AGE,
    STALE,
    STATE_TEXTS,
    each,
    family,
    firing,
    important,
    ready,
    replacements,
    restarts_of_exporter,
    worst_five,
)
from dashboards.board import (
    ACCOUNT,
    EXPORTER,
    FLEET,
    IMPORTANCE,
    JOB,
    Column,
    Panel,
    Query,
    Row,
    board,
    course,
    fact,
    listing,
    none_is_good,
    to,
    to_workload,
)
from dashboards.look import BAD, GOOD, IDLE, IMPORTANCES, MOVING, NONE, NOT_REPORTED, OFF, SEVERITIES, STATES, WARNING
from dashboards.troubles import CHOSEN, IDS, TROUBLES, WHICH, number, of_those_in_trouble, worst
from exporter.alerting.alerts import DEFAULTS
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
_IMPORTANCES = {name: (name, colour) for name, colour in IMPORTANCES.items()}


def _alerts(severity: str) -> Query:
    told = f'ALERTS{{account=~"$account|", alertstate="firing", severity="{severity}"}}'
    return Query(f"count({told}) or vector(0)")


def _count(expression: str) -> Query:
    return Query(f"count({important(expression)}) or vector(0)")


def _grouped(title: str, description: str, label: str, info: str, shown: str) -> Panel:
    """How many workloads there are of each kind, and how they are; `info` is one series of 1 a workload."""
    kind = f"* {WHICH} group_left ({label}) max by (account, workload_id, {label}) ({info})"
    counted = [f"count by ({label}) (({important(each(status) + ' == 1')}) {kind})" for status in (_RUNNING, _FAILED)]
    return listing(
        title,
        description,
        [f"count by ({label}) ({important(each(info, label))})", *counted],
        [
            Column(label, shown),
            Column("A", "Workloads", width=100),
            Column("B", "Running", width=90, steps=((None, GOOD),), nothing="0"),
            Column("C", "Failed", width=90, steps=((None, GOOD), (1, BAD)), nothing="0"),
        ],
        sort="Workloads",
        width=8,
        height=7,
        no_value="0",
    )


def made() -> dashboard.Dashboard:
    """The dashboard."""
    troubles = {str(number(trouble)): (trouble.words, trouble.colour) for trouble in TROUBLES}
    first = [
        fact(
            "In trouble", "Workloads of which a condition of the alerts holds now, whether or not it has lasted long "
            "enough to page. From the families of the workloads; the table below names them.",
            _count(worst()), steps=none_is_good(), no_value="0", filled=True,
        ),
        fact("Workloads", "All workloads that the last complete sweep listed.",
             _count(each(_INFO)), no_value=NOT_REPORTED),
        fact("Running", "Workloads that say that they run; whether they serve is another matter.",
             _count(f"{each(_RUNNING)} == 1"), steps=((None, GOOD),),
             no_value=NOT_REPORTED),
        fact("Starting", "Workloads on their way up: submitted, provisioning, launching and the like.",
             _count(f"{each(_STARTING)} == 1"), steps=((None, MOVING),),
             no_value=NOT_REPORTED),
        fact("Scaled to zero", "Autoscaled workloads without a pod because nobody asks. That is no fault.",
             _count(f"{each(family('workload_scaled_to_zero'))} == 1"), steps=((None, OFF),), no_value=NONE),
        fact("Critical alerts", "Alerts that fire and page somebody, those of the exporter itself included. Needs the "
             "alert rules to be loaded in this Prometheus.",
             _alerts("critical"), steps=none_is_good(), no_value=NONE, filled=True),
        fact("Warnings", "Alerts that fire and are a ticket. Needs the alert rules to be loaded in this Prometheus.",
             _alerts("warning"), steps=none_is_good(colour=WARNING), no_value=NONE, filled=True),
        fact("Data age", "Time since the last complete sweep, of the account that waits longest. Red: what is "
             "shown here is stale.",
             Query(f"max({DATA_AGE})"), unit="s", steps=((None, GOOD), (STALE, BAD)), no_value=NOT_REPORTED,
             link=("Is the exporter well?", to(EXPORTER))),
    ]  # fmt: skip
    attention = listing(
        "What is wrong now, the worst first: click a name to see why",
        "One row for each workload in trouble, with what tells most about it: the condition of an alert, without its "
        "wait. Since: when the condition was first seen where the alert rules are loaded, else since when the workload "
        "has its status. Empty: nothing is wrong.",
        [
            important(worst()),
            of_those_in_trouble(important(each(_INFO, "importance", "status"))),
            of_those_in_trouble(_SINCE),
            of_those_in_trouble(_READY),
            of_those_in_trouble(each(family("workload_replicas_min"))),
        ],
        [
            Column("A", "Trouble", texts=troubles, width=230, whole=True),
            Column("workload", "Workload", link=to_workload(), width=250),
            Column("C", "Since", unit="dateTimeFromNow", width=130),
            Column("status", "Status", texts=STATE_TEXTS, width=120),
            Column("importance", "Importance", texts=_IMPORTANCES, width=110),
            Column("D", "Ready", unit="short", width=80),
            Column("E", "Wanted", unit="short", width=80),
            Column("account", "Account", width=120),
            Column("workload_id", "Id"),
        ],
        sort="Trouble",
        height=16,
        no_value="nothing is wrong",
        hidden=["Value #B"],
    )  # fmt: skip
    return board(
        FLEET,
        "DataRobot workloads: fleet",
        "Is anything wrong, where, and since when.",
        variables=[JOB, ACCOUNT, IMPORTANCE],
        annotations=[restarts_of_exporter(), *replacements(CHOSEN), firing('account=~"$account", workload_id!=""')],
        rows=[
            Row("", first),
            Row("", [attention]),
            Row("How it came to be", [
                course("Workloads by status",
                       "How many workloads have each status, by the list. A gap: no complete sweep lately.",
                       Query(f"count by (status) ({important(each(f'{_STATUS} == 1', 'status'))})", "{{status}}"),
                       unit="short", no_value=NOT_REPORTED, colours=STATES, stacked=True, table=True,
                       height=10),
                course("Alerts that fire",
                       "How many alerts fire, by severity. Empty: none, or the alert rules are not loaded.",
                       Query('count by (severity) (ALERTS{account=~"$account", alertstate="firing", '
                             'severity=~"critical|warning|info"})', "{{severity}}"),
                       unit="short", no_value=NONE, colours=SEVERITIES, step=True, height=10),
            ]),
            Row("How the fleet serves", [
                course("Requests a minute",
                       "Requests of the last five minutes, as the API counts them, over the fleet.",
                       Query(f"sum({important(each(_REQUESTS))}) / 5", "requests"),
                       unit="reqpm", no_value=IDLE, width=8),
                course("Share of 5xx: the five worst",
                       "Of the last five minutes. The lines: the share at which the error budget burns fast, and the "
                       "share at which nobody is served. Only workloads with an error.",
                       Query(worst_five("workload_window_server_error_ratio", window="5m"), "{{workload}}"),
                       unit="percentunit", no_value=IDLE, width=8, link=to_workload("__field.labels"),
                       steps=((None, GOOD), (DEFAULTS["error_budget"] * DEFAULTS["burn_fast"], WARNING),
                              (DEFAULTS["server_error_ratio"], BAD))),
                course("Response time (p95): the five slowest",
                       "Of the last five minutes, as the API works it out; the network is not in it. The line: the "
                       "alert's threshold.",
                       Query(_SLOWEST, "{{workload}}"),
                       unit="s", no_value=IDLE, width=8, link=to_workload("__field.labels"),
                       steps=((None, GOOD), (DEFAULTS["p95_response"], BAD))),
            ]),
            Row("Where it is", [
                _grouped("By importance", "Importance as set in DataRobot.", "importance",
                         family("workload_importance"), "Importance"),
                _grouped("By type", "Type of the workload, as the API spells it.", "workload_type",
                         family("workload_info"), "Type"),
                _grouped("By resource bundle", "The bundle chosen at scheduling; a workload without one is not here.",
                         "bundle_id", family("workload_bundle_info"), "Bundle"),
            ]),
        ],
    )  # fmt: skip
