"""Dashboard of one workload: its status, traffic, replicas, usage, and events."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import WORKLOAD, external_link
from dashboards.panels import Column, Query, Row, stat_panel, state_timeline, table_panel, time_series
from dashboards.problems import PROBLEMS, number, worst_problem
from dashboards.queries import (
    STATUS_NUMBER_TEXTS,
    as_numbers,
    changes,
    exporter_starts,
    family,
    firing_alerts,
    platform_releases,
    ready,
)
from dashboards.style import (
    BAD,
    GOOD,
    IDLE,
    IMPORTANCE_COLOURS,
    MOVING,
    NONE,
    NOT_REPORTED,
    NOTICE,
    OFF,
    SEVERITY_COLOURS,
    WARNING,
)
from dashboards.variables import ACCOUNT, JOB, query_variable, text_variable
from exporter.alerting.limits import DEFAULTS

THIS = 'job=~"$job", account=~"$account", workload_id="$workload"'
_WORKLOAD_VARIABLE = query_variable(
    "workload",
    "workload",
    "query_result(max by (workload, workload_id) (last_over_time("
    'datarobot_workload_first_observed_timestamp_seconds{job=~"$job", account=~"$account"}[$__range])))',
    multi=False,
    regex='/workload="(?<text>.*)",workload_id="(?<value>[^"]*)"/',
    description="Selected by id and shown by name, which is not unique. Workloads of the selected time range.",
)
_CONSOLE = text_variable(
    "console", "DataRobot", "https://app.datarobot.com", "Base URL of DataRobot, for links to its pages."
)


def _of(name: str, **matchers: str) -> str:
    return family(name, THIS, **matchers)


def _sum(name: str, *by: str) -> str:
    """Over all versions; two exporters may report the same."""
    kept = ", ".join(by)
    return f"sum by ({kept}) (max by (proton_id, {kept}) ({_of(name)}))"


def _max(name: str, *by: str, **matchers: str) -> str:
    kept = f"by ({', '.join(by)}) " if by else ""
    return f"max {kept}({_of(name, **matchers)})"


def _window(name: str, title: str, window: str = "5m", **matchers: str) -> Query:
    return Query(_max(f"workload_window_{name}", window=window, **matchers), title)


_READY = f"max({ready(THIS)})"
_RESTARTS = f"sum by (container) (increase({_of('container_restarts_total')}[1h]))"
_RECENT_TRANSITIONS = f"round(sum by (transition) (increase({_of('workload_transitions_total')}[$__range]))) > 0"
_BURNS = DEFAULTS["error_budget"] * DEFAULTS["burn_fast"]


_ABOUT = 'account=~"$account", workload_id="$workload"'
_ALERTED = f'{_ABOUT}, severity=~"critical|warning|info"'
_FIRES = "\nor ".join(
    f'{number} * max by (alertname, severity) (ALERTS{{{_ALERTED}, alertstate="{state}"}})'
    for number, state in ((2, "firing"), (1, "pending"))
)
_WAITS = {
    reason: (reason, BAD)
    for reason in ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError")
} | {"ContainerCreating": ("ContainerCreating", MOVING)}


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    problems = {str(number(problem)): (problem.text, problem.colour) for problem in PROBLEMS}
    importances = {name: (name, colour) for name, colour in IMPORTANCE_COLOURS.items()}
    severities = {name: (name, colour) for name, colour in SEVERITY_COLOURS.items()}
    summary = [
        stat_panel("Problem", "Most important problem, by the conditions of the alerts. Wait times are ignored.",
                   Query(f"max({worst_problem(THIS)})", "problem"), texts=problems, steps=((None, GOOD),),
                   no_value="none", width=5, filled=True, no_value_colour=GOOD),
        stat_panel("Status", "Status in the workload list. Grey and purple indicate neither health nor failure.",
                   Query(as_numbers("workload_status", selector=THIS), "status"), texts=STATUS_NUMBER_TEXTS,
                   no_value=NOT_REPORTED, filled=True),
        stat_panel("In status for", "Time since the exporter first observed the status. It may be older.",
                   Query(f"time() - {_max('workload_status_since_timestamp_seconds')}"), unit="s",
                   no_value=NOT_REPORTED),
        stat_panel("Ready", "Ready pods of the active version. Not reported: the pods could not be read, or their "
                   "readiness is unknown.",
                   Query(_READY), steps=((None, BAD), (1, GOOD)), no_value=NOT_REPORTED, width=2),
        stat_panel("Min", "Minimum number of replicas, from the settings or the autoscaler.",
                   Query(_max("workload_replicas_min")), no_value=NOT_REPORTED, width=2),
        stat_panel("Importance", "Importance as set in DataRobot.",
                   Query(f"{_max('workload_importance', 'importance')} == 1", "{{importance}}"), show_name=True,
                   no_value=NOT_REPORTED, texts=importances),
        stat_panel("Artifact", "Name and version of the artifact. A draft has no version.",
                   Query(_max("workload_artifact_info", "artifact_name", "version", "artifact_status"),
                         "{{artifact_name}} {{version}} {{artifact_status}}"), show_name=True,
                   no_value=NOT_REPORTED, width=3),
        stat_panel("Draft expiry", "Time until the platform stops the draft, eight hours after its start. Red: below "
                   "the alert threshold.",
                   Query(f"{_max('workload_draft_expiry_timestamp_seconds')} - time()"), unit="s",
                   steps=((None, BAD), (DEFAULTS["draft_seconds"], GOOD)), no_value="not a draft", width=3),
    ]  # fmt: skip
    return assemble(
        WORKLOAD,
        "DataRobot workloads: one workload",
        "Status, traffic, replicas, usage and events of one workload.",
        variables=[JOB, ACCOUNT, _WORKLOAD_VARIABLE, _CONSOLE],
        annotations=[exporter_starts(), platform_releases(), *changes(THIS), firing_alerts(_ABOUT)],
        rows=[
            Row("", summary),
            Row("", [
                state_timeline("Status over time",
                               "Status of the workload and of its versions (protons). Active serves, candidate is "
                               "about to replace it, outgoing was replaced.",
                               Query(as_numbers("workload_status", selector=THIS), "workload"),
                               Query(as_numbers("proton_status", "role", "proton_id", selector=THIS),
                                     "{{role}} {{proton_id}}"),
                               texts=STATUS_NUMBER_TEXTS, no_value=NOT_REPORTED, width=14, height=7),
                table_panel("Alerts", "Firing and pending alerts of the rules loaded in Prometheus. Empty: none, or "
                            "the rules are not loaded. Each alert has a runbook.",
                            [_FIRES,
                             f"1000 * min by (alertname, severity) (ALERTS_FOR_STATE{{{_ALERTED}}})"],
                            [Column("alertname", "Alert"), Column("severity", "Severity", width=80, texts=severities),
                             Column("A", "State", texts={"2": ("firing", BAD), "1": ("pending", NOTICE)}, width=70),
                             Column("B", "Since", unit="dateTimeFromNow", width=110)],
                            sort="State", width=10, height=7),
            ]),
            Row("Traffic", [
                time_series("Requests per minute", "Requests and failed requests of the last five minutes, divided by "
                            "five. A gap: the workload is not running, or its statistics could not be read.",
                            Query(_window("requests", "").expr + " / 5", "requests"),
                            Query(_window("client_errors", "").expr + " / 5", "4xx"),
                            Query(_window("server_errors", "").expr + " / 5", "5xx"),
                            unit="reqpm", no_value=IDLE, width=8,
                            colours={"requests": MOVING, "4xx": NOTICE, "5xx": BAD}),
                time_series("Error ratio", "Share of the requests of the last five minutes. The lines are the "
                            "thresholds of fast error budget burn and of a workload that is not serving.",
                            _window("client_error_ratio", "4xx"), _window("server_error_ratio", "5xx"),
                            _window("slow_ratio", "slow"),
                            unit="percentunit", no_value=IDLE, width=8,
                            colours={"4xx": NOTICE, "5xx": BAD, "slow": MOVING},
                            steps=((None, GOOD), (_BURNS, WARNING), (DEFAULTS["server_error_ratio"], BAD))),
                time_series("Response time", "Quantiles of the last five minutes as computed by the API, without "
                            "network time. The line is the alert threshold of the 95th percentile.",
                            Query(_max("workload_window_response_seconds", "quantile", window="5m"), "{{quantile}}"),
                            unit="s", no_value=IDLE, width=8, colours={"0.5": GOOD, "0.95": WARNING, "0.99": BAD},
                            steps=((None, GOOD), (DEFAULTS["p95_response"], BAD))),
            ]),
            Row("Replicas", [
                time_series("Replicas", "Ready and live pods that serve. Dashed: minimum and maximum, from "
                            "the settings or the autoscaler.",
                            Query(_max("workload_replicas_ready"), "ready"),
                            Query(_max("workload_replicas_live"), "live"),
                            Query(_max("workload_replicas_min"), "min"), Query(_max("workload_replicas_max"), "max"),
                            unit="short", no_value=NOT_REPORTED, width=8, step=True, dashed=["min", "max"],
                            colours={"ready": GOOD, "live": MOVING, "min": WARNING, "max": OFF}),
                time_series("Autoscaler load", "Load of a pod relative to the autoscaler's target: above 100 % it adds "
                            "pods. Empty: not autoscaled.",
                            Query(_max("workload_autoscaling_load_ratio", "scaling_metric"), "{{scaling_metric}}"),
                            unit="percentunit", no_value="not autoscaled", width=8,
                            steps=((None, GOOD), (1, WARNING))),
                time_series("Container restarts per hour", "Restarts of containers, including those of replaced pods.",
                            Query(_RESTARTS, "{{container}}"), unit="short", no_value=NONE, width=8),
                table_panel("Containers", "Containers of live pods: ready and total, waiting reasons, and the last "
                            "termination. Exit code 137 often means out of memory.",
                            [_sum("container_replicas_ready", "container", "role"),
                             _sum("container_replicas", "container", "role"),
                             _sum("container_waiting_reason", "container", "role", "reason"),
                             f"max by (container) ({_of('container_last_exit_code')})",
                             f"1000 * max by (container) ({_of('container_last_terminated_timestamp_seconds')})"],
                            [Column("container", "Container"), Column("role", "Version"),
                             Column("A", "Ready", width=80), Column("B", "Total", width=80),
                             Column("reason", "Waiting reason", texts=_WAITS),
                             Column("D", "Last exit code", width=120, steps=((None, GOOD), (1, BAD))),
                             Column("E", "Last terminated", unit="dateTimeFromNow", width=140)],
                            sort="Container", descending=False, width=16, height=6, no_value="no live pods",
                            hidden=["Value #C"]),
                table_panel("Unmet pod conditions", "Live pods with an unmet condition, by reason.",
                            [_sum("proton_replicas_unmet_reason", "role", "condition", "reason")],
                            [Column("condition", "Condition", width=130), Column("reason", "Reason"),
                             Column("role", "Version", width=75), Column("A", "Pods", width=55)],
                            sort="Pods", width=8, height=6),
            ]),
            Row("Usage", [
                time_series("CPU", "CPU cores in use, at the level reported by the API. Dashed: cores of one replica.",
                            Query(_max("workload_cpu_usage_cores", "level"), "in use, by {{level}}"),
                            Query(_max("workload_replica_cpu_cores"), "one replica"), unit="short", axis="cores",
                            no_value=NOT_REPORTED, width=8, dashed=["one replica"], colours={"one replica": OFF}),
                time_series("Memory", "Memory in use. Dashed: memory of one replica; near it the container is "
                            "OOM-killed.",
                            Query(_max("workload_memory_usage_bytes", "level"), "in use, by {{level}}"),
                            Query(_max("workload_replica_memory_bytes"), "one replica"), unit="bytes",
                            no_value=NOT_REPORTED, width=8, dashed=["one replica"], colours={"one replica": BAD}),
                time_series("GPU", "Share of the GPUs in use. Empty: no GPU, or not reported.",
                            Query(_max("workload_gpu_usage_ratio", "level"), "in use, by {{level}}"),
                            unit="percentunit", no_value="no GPU", width=8, most=1),
            ]),
            Row("History", [
                table_panel("Events", "Time of the newest event of each kind, as recorded by the API.",
                            [f"1000 * max by (event) ({_of('workload_event_last_timestamp_seconds')})"],
                            [Column("event", "Event"), Column("A", "Last", unit="dateTimeAsIso")],
                            sort="Last", width=8, height=7, no_value="no events"),
                table_panel("Transitions", "Transitions observed between two sweeps, in the selected time range.",
                            [_RECENT_TRANSITIONS],
                            [Column("transition", "Transition"), Column("A", "Count", width=90)],
                            sort="Count", width=8, height=7, no_value="no transitions"),
                table_panel("Freshness of details", "Whether each part of the details is recent. No: too old, and "
                            "withdrawn from all panels.",
                            [f"min by (part) ({_of('workload_fresh')})"],
                            [Column("part", "Part"),
                             Column("A", "Recent", texts={"1": ("yes", GOOD), "0": ("no", BAD)}, width=90)],
                            sort="Recent", descending=False, width=8, height=7, no_value=NOT_REPORTED),
            ]),
        ],
        links=[
            external_link("Open in DataRobot", "${console}/console-nextgen/workloads/${workload}/overview",
                          "The workload's page in DataRobot"),
            external_link("Logs", "${console}/console-nextgen/workloads/${workload}/activity-log/otel-logs",
                          "The workload's logs in DataRobot"),
        ],
    )  # fmt: skip
