"""ALERTS: everything that wakes or tells somebody is one row, written for Prometheus.

Only what the families of the workload list can prove. Each expression names the accounts and workloads it is about, so
that a page says whom it concerns; `hold` keeps an alert through a short gap of data instead of resolving it falsely.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Alert(NamedTuple):
    """One alert: the expression, how long it must hold, how loud it is, and what a person reads."""

    name: str
    expr: str
    wait: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str


_STATUS = "datarobot_workload_status"
_SINCE = "datarobot_workload_status_since_timestamp_seconds"
_WHO = "account, workload, workload_id"


def _held(status: str) -> str:
    """The workloads of a status, seen in the last five minutes, so that one failed scrape resolves nothing."""
    return f"max by ({_WHO}) (last_over_time({_STATUS}{{status=~{status!r}}}[5m])) == 1".replace("'", '"')


def _important(importances: str) -> str:
    told = f'last_over_time(datarobot_workload_importance{{importance=~"{importances}"}}[5m])'
    return f"max by ({_WHO}) ({told})"


_STARTING = "submitted|initializing|provisioning|launching|warming|restarting"
ALERTS: tuple[Alert, ...] = (
    Alert(
        "DataRobotWorkloadFailed",
        f"{_held('errored|terminated')}\nand on ({_WHO}) {_important('critical|high')}",
        "5m",
        "critical",
        "An important workload has failed",
        "{{ $labels.workload }} of account {{ $labels.account }} has been errored or terminated for five minutes.",
    ),
    Alert(
        "DataRobotWorkloadFailedUnimportant",
        f"{_held('errored|terminated')}\nunless on ({_WHO}) {_important('critical|high')}",
        "15m",
        "warning",
        "A workload has failed",
        "{{ $labels.workload }} of account {{ $labels.account }} has been errored or terminated for fifteen minutes.",
    ),
    Alert(
        "DataRobotWorkloadStuckStarting",
        f"{_held(_STARTING)}\nand on ({_WHO}) time() - max by ({_WHO}) (last_over_time({_SINCE}[5m])) > 2700",
        "1m",
        "warning",
        "A workload has been starting for 45 minutes",
        "{{ $labels.workload }} of account {{ $labels.account }} has been in one starting state for 45 minutes.",
    ),
    Alert(
        "DataRobotWorkloadStuckLeaving",
        f"{_held('draining|stopping')}\nand on ({_WHO}) time() - max by ({_WHO}) (last_over_time({_SINCE}[5m])) > 1200",
        "1m",
        "warning",
        "A workload has been stopping for 20 minutes",
        "{{ $labels.workload }} of account {{ $labels.account }} does not come to its end.",
    ),
    Alert(
        "DataRobotDraftEndsSoon",
        f"max by ({_WHO}) (datarobot_workload_draft_expiry_timestamp_seconds) - time() < 3600\n"
        f"and on ({_WHO}) {_important('critical|high')}\nand on ({_WHO}) {_held('running')}",
        "1m",
        "warning",
        "An important workload is a draft that ends within the hour",
        "{{ $labels.workload }} of account {{ $labels.account }} will be stopped; promote it to keep it.",
    ),
    Alert(
        "DataRobotWorkloadVanished",
        f"max by ({_WHO}) (datarobot_workload_vanished_timestamp_seconds)",
        "0s",
        "info",
        "A workload is no longer listed",
        "{{ $labels.workload }} of account {{ $labels.account }} was deleted, or the token may no longer see it.",
    ),
    Alert(
        "DataRobotExporterSweepsFail",
        "time() - max by (account) (datarobot_exporter_sweep_last_success_timestamp_seconds) > 300\n"
        "or max by (account) (datarobot_exporter_api_up) == 0",
        "5m",
        "critical",
        "The exporter does not see its workloads",
        "No complete sweep of account {{ $labels.account }}; after 15 minutes its workloads are withdrawn. "
        "datarobot_exporter_sweep_failures_total says why.",
    ),
    Alert(
        "DataRobotExporterReloadFailed",
        "min without (instance) (datarobot_exporter_config_last_reload_successful) == 0",
        "5m",
        "warning",
        "The exporter runs on old settings",
        "The settings file was read again and is bad; the log lists the problems.",
    ),
    Alert(
        "DataRobotExporterUnknownValues",
        'sum by (account, field) (increase(datarobot_exporter_api_unknown_values_total{field=~".*status"}[15m])) > 0',
        "15m",
        "info",
        "The API tells values that the exporter does not know",
        "Account {{ $labels.account }}, field {{ $labels.field }}: shown as other; a newer exporter may know them.",
    ),
)


def rules() -> dict[str, object]:
    """The alerts as the groups of a Prometheus rule file (grammar of 2.42)."""
    rows = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.wait,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.description},
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "datarobot-workload-exporter", "rules": rows}]}
