"""Workload detail: what happens to one workload, why, and since when."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.asked import NUMBER_TEXTS, family, firing, numbered, ready, replacements, restarts_of_exporter
from dashboards.board import (
    ACCOUNT,
    JOB,
    WORKLOAD,
    Column,
    Query,
    Row,
    board,
    chosen,
    course,
    fact,
    listing,
    outward,
    states,
    text,
)
from dashboards.look import BAD, GOOD, IDLE, IMPORTANCES, MOVING, NONE, NOT_REPORTED, NOTICE, OFF, SEVERITIES, WARNING
from dashboards.troubles import TROUBLES, number, worst
from exporter.alerting.alerts import DEFAULTS

THIS = 'job=~"$job", account=~"$account", workload_id="$workload"'
_WHICH = chosen(
    "workload",
    "workload",
    "query_result(max by (workload, workload_id) (last_over_time("
    'datarobot_workload_first_observed_timestamp_seconds{job=~"$job", account=~"$account"}[$__range])))',
    several=False,
    regex='/workload="(?<text>.*)",workload_id="(?<value>[^"]*)"/',
    description="By id, shown by name: names are not unique. Those seen in the time that is shown.",
)
_CONSOLE = text("console", "DataRobot", "https://app.datarobot.com", "Where DataRobot's own pages are, for the links.")


def _of(name: str, **matchers: str) -> str:
    return family(name, THIS, **matchers)


def _max(name: str, *by: str, **matchers: str) -> str:
    kept = f"by ({', '.join(by)}) " if by else ""
    return f"max {kept}({_of(name, **matchers)})"


def _window(name: str, title: str, window: str = "5m", **matchers: str) -> Query:
    return Query(_max(f"workload_window_{name}", window=window, **matchers), title)


_MEMORY = "workload_memory_usage_bytes"
_READY = f"max({ready(THIS)})"
_RESTARTS = f"sum by (container) (increase({_of('container_restarts_total')}[1h]))"
_BURNS = DEFAULTS["error_budget"] * DEFAULTS["burn_fast"]


def made() -> dashboard.Dashboard:
    """The dashboard."""
    troubles = {str(number(trouble)): (trouble.words, trouble.colour) for trouble in TROUBLES}
    first = [
        fact("What is wrong", "What tells most about it, by the conditions of the alerts, without their wait.",
             Query(f"max({worst(THIS)})", "trouble"), texts=troubles, steps=((None, GOOD),), no_value="nothing",
             width=5, filled=True, nothing=GOOD),
        fact("Status", "As the list tells it. Grey and purple prove nothing.",
             Query(numbered("workload_status", selector=THIS), "status"), texts=NUMBER_TEXTS, no_value=NOT_REPORTED,
             filled=True),
        fact("In status for", "Since the exporter first saw it so; it may be older than the exporter.",
             Query(f"time() - {_max('workload_status_since_timestamp_seconds')}"), unit="s", no_value=NOT_REPORTED),
        fact("Ready", "Pods of the active version that take traffic. Not reported: they could not be read, or the API "
             "does not say it of any.",
             Query(_READY), steps=((None, BAD), (1, GOOD)), no_value=NOT_REPORTED, width=2),
        fact("Wanted", "Fewest replicas that there should be, by the settings or the autoscaler.",
             Query(_max("workload_replicas_min")), no_value=NOT_REPORTED, width=2),
        fact("Importance", "As set in DataRobot.",
             Query(f"{_max('workload_importance', 'importance')} == 1", "{{importance}}"), names=True,
             no_value=NOT_REPORTED, texts={name: (name, colour) for name, colour in IMPORTANCES.items()}),
        fact("Artifact", "Name and version of what it runs; a draft has no version.",
             Query(_max("workload_artifact_info", "artifact_name", "version", "artifact_status"),
                   "{{artifact_name}} {{version}} {{artifact_status}}"), names=True, no_value=NOT_REPORTED, width=3),
        fact("Draft ends in", "Drafts are stopped after eight hours. Red: within the hour that the alert names.",
             Query(f"{_max('workload_draft_expiry_timestamp_seconds')} - time()"), unit="s",
             steps=((None, BAD), (DEFAULTS["draft_seconds"], GOOD)), no_value="no draft", width=3),
    ]  # fmt: skip
    return board(
        WORKLOAD,
        "DataRobot workloads: one workload",
        "What happens to one workload, why, and since when.",
        variables=[JOB, ACCOUNT, _WHICH, _CONSOLE],
        annotations=[restarts_of_exporter(), *replacements(THIS), firing(_ABOUT)],
        rows=[
            Row("", first),
            Row("", [
                states("Status over time",
                       "The workload's own status, and that of each of its versions (protons): active serves, "
                       "candidate is to replace it, outgoing was replaced.",
                       Query(numbered("workload_status", selector=THIS), "workload"),
                       Query(numbered("proton_status", "role", "proton_id", selector=THIS), "{{role}} {{proton_id}}"),
                       texts=NUMBER_TEXTS, no_value=NOT_REPORTED, width=14, height=7),
                listing("Alerts about it", "Alerts that fire or wait to, by the rules that Prometheus has loaded. "
                        "Empty: none, or the rules are not loaded. Each alert has a runbook in the project.",
                        [_FIRES,
                         f"1000 * min by (alertname, severity) (ALERTS_FOR_STATE{{{_ALERTED}}})"],
                        [Column("alertname", "Alert"),
                         Column("severity", "Severity", width=80,
                                texts={name: (name, colour) for name, colour in SEVERITIES.items()}),
                         Column("A", "State", texts={"2": ("fires", BAD), "1": ("waits", NOTICE)}, width=70),
                         Column("B", "Since", unit="dateTimeFromNow", width=110)],
                        sort="State", width=10, height=7),
            ]),
            Row("Does it serve", [
                course("Requests a minute", "Requests of the last five minutes, and those answered with an error, each "
                       "divided by five. A gap: it does not run, or its statistics cannot be read.",
                       Query(_window("requests", "").expr + " / 5", "requests"),
                       Query(_window("client_errors", "").expr + " / 5", "4xx"),
                       Query(_window("server_errors", "").expr + " / 5", "5xx"),
                       unit="reqpm", no_value=IDLE, width=8,
                       colours={"requests": MOVING, "4xx": NOTICE, "5xx": BAD}),
                course("Share of errors", "Of the last five minutes. The lines: where the error budget burns fast, and "
                       "where every other request fails.",
                       _window("client_error_ratio", "4xx"), _window("server_error_ratio", "5xx"),
                       _window("slow_ratio", "slow"),
                       unit="percentunit", no_value=IDLE, width=8,
                       colours={"4xx": NOTICE, "5xx": BAD, "slow": MOVING},
                       steps=((None, GOOD), (_BURNS, WARNING), (DEFAULTS["server_error_ratio"], BAD))),
                course("Response time", "Quantiles of the last five minutes as the API works them out; the network is "
                       "not in them. The line: the alert's threshold for the 95th percentile.",
                       Query(_max("workload_window_response_seconds", "quantile", window="5m"), "{{quantile}}"),
                       unit="s", no_value=IDLE, width=8, colours={"0.5": GOOD, "0.95": WARNING, "0.99": BAD},
                       steps=((None, GOOD), (DEFAULTS["p95_response"], BAD))),
            ]),
            Row("Its replicas", [
                course("Replicas", "Pods of the active version: live ones are there, ready ones take traffic. Dashed: "
                       "the bounds by the settings or the autoscaler.",
                       Query(_max("proton_replicas_ready", role="active"), "ready"),
                       Query(_max("proton_replicas_live", role="active"), "live"),
                       Query(_max("workload_replicas_min"), "least"), Query(_max("workload_replicas_max"), "most"),
                       unit="short", no_value=NOT_REPORTED, width=8, step=True, dashed=["least", "most"],
                       colours={"ready": GOOD, "live": MOVING, "least": WARNING, "most": OFF}),
                course("What the autoscaler sees", "Load of a pod over the autoscaler's target: above 1 it wants more "
                       "pods. Empty: not autoscaled.",
                       Query(_max("workload_autoscaling_load_ratio", "scaling_metric"), "{{scaling_metric}}"),
                       unit="percentunit", no_value="not autoscaled", width=8, steps=((None, GOOD), (1, WARNING))),
                course("Restarts an hour", "How often containers were started again, those of replaced pods included.",
                       Query(_RESTARTS, "{{container}}"), unit="short", no_value=NONE, width=8),
                listing("Containers", "Containers of live pods: how many are ready, why they wait, how they last "
                        "ended. Exit code 137 is often a lack of memory.",
                        [f"sum by (container, role) ({_of('container_replicas_ready')})",
                         f"sum by (container, role) ({_of('container_replicas')})",
                         f"sum by (container, role, reason) ({_of('container_waiting_reason')})",
                         f"max by (container) ({_of('container_last_exit_code')})",
                         f"1000 * max by (container) ({_of('container_last_terminated_timestamp_seconds')})"],
                        [Column("container", "Container"), Column("role", "Version"),
                         Column("A", "Ready", width=80), Column("B", "There", width=80),
                         Column("reason", "Waits because of", texts=_WAITS),
                         Column("D", "Last exit code", width=120, steps=((None, GOOD), (1, BAD))),
                         Column("E", "Last ended", unit="dateTimeFromNow", width=140)],
                        sort="Container", descending=False, width=16, height=6, no_value="no live pod",
                        hidden=["Value #C"]),
                listing("Pods that are not right", "Live pods of which a condition is not met, and why.",
                        [f"sum by (role, condition, reason) ({_of('proton_replicas_unmet_reason')})"],
                        [Column("condition", "Condition", width=130), Column("reason", "Reason"),
                         Column("role", "Version", width=75), Column("A", "Pods", width=55)],
                        sort="Pods", width=8, height=6),
            ]),
            Row("What it uses", [
                course("Processor", "Cores in use, at the level at which the API tells it, and those of one replica.",
                       Query(_max("workload_cpu_usage_cores", "level"), "in use, by {{level}}"),
                       Query(_max("workload_replica_cpu_cores"), "of one replica"), unit="short", axis="cores",
                       no_value=NOT_REPORTED, width=8, dashed=["of one replica"], colours={"of one replica": OFF}),
                course("Memory", "Memory in use, and that of one replica. Near the line the container is ended.",
                       Query(_max(_MEMORY, "level"), "in use, by {{level}}"),
                       Query(_max("workload_replica_memory_bytes"), "of one replica"), unit="bytes",
                       no_value=NOT_REPORTED, width=8, dashed=["of one replica"], colours={"of one replica": BAD}),
                course("GPU", "Share of the GPUs in use. Empty: it has none, or the API does not tell.",
                       Query(_max("workload_gpu_usage_ratio", "level"), "in use, by {{level}}"), unit="percentunit",
                       no_value="no GPU", width=8, most=1),
            ]),
            Row("What happened", [
                listing("Events", "When the newest event of each kind happened, as the API records it.",
                        [f"1000 * max by (event) ({_of('workload_event_last_timestamp_seconds')})"],
                        [Column("event", "Event"), Column("A", "Last", unit="dateTimeAsIso"),],
                        sort="Last", width=8, height=7, no_value="no event told"),
                listing("Transitions in this time", "What happened between two looks, in the time that is shown.",
                        [f"round(sum by (transition) (increase({_of('workload_transitions_total')}[$__range]))) > 0"],
                        [Column("transition", "Transition"), Column("A", "Times", width=90)],
                        sort="Times", width=8, height=7, no_value="nothing happened"),
                listing("How old each part is", "When each part of the details was last told, while it is not steady, "
                        "and whether it is recent. 0: too old, and withdrawn from every panel.",
                        [f"min by (part) ({_of('workload_fresh')})"],
                        [Column("part", "Part"),
                         Column("A", "Recent", texts={"1": ("yes", GOOD), "0": ("no", BAD)}, width=90)],
                        sort="Recent", descending=False, width=8, height=7, no_value=NOT_REPORTED),
            ]),
        ],
        links=[
            outward("In DataRobot", "${console}/console-nextgen/workloads/${workload}/overview", "The workload's page"),
            outward("Its logs", "${console}/console-nextgen/workloads/${workload}/activity-log/otel-logs",
                    "The workload's logs in DataRobot"),
        ],
    )  # fmt: skip


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
