"""PromQL shared by several dashboards, and shared annotations."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.models import dashboard

from dashboards.links import annotation
from dashboards.problems import IDS, ON_WORKLOAD, SELECTED
from dashboards.style import BAD, MOVING, OFF, STATUS_COLOURS, STATUS_NUMBERS, WARNING
from exporter.alerting.limits import DEFAULTS
from exporter.api import models

_SAME = ("account", "workload_id")
UNSELECTED = (
    f'{ON_WORKLOAD} (datarobot_workload_importance{{{SELECTED}, importance!~"$importance"}} == 1 '
    f'or datarobot_workload_tags{{{SELECTED}, tag_$tag!~"$tag_value"}})'
)
"""Operand of `unless` that removes unselected importances and values of the selected tag.

A workload whose importance is unknown, or its tags, is never removed. If no tags are labels, `tag` is empty, and
``tag_`` a label that no series has.
"""


def selected(expression: str) -> str:
    """PromQL: an expression for the workloads of the selected importances and values of a tag."""
    return f"{expression}\nunless {UNSELECTED}"


def family(name: str, selector: str = SELECTED, **matchers: str) -> str:
    """A selector of a metric; `name` is without ``datarobot_``. A matcher ``a|b`` matches both values."""
    selectors = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in matchers.items()]
    return f"datarobot_{name}{{{', '.join(filter(None, [selector, *selectors]))}}}"


def each(expression: str, *more: str, aggregate: str = "max") -> str:
    """PromQL: one value per workload, across exporters; `more` labels are kept."""
    return f"{aggregate} by ({', '.join((IDS, *more))}) ({expression})"


def one_each(metric: str, *labels: str) -> str:
    """PromQL: one series of 1 per workload, with these labels: the latest, while two exporters report different ones.

    A join with two series of a workload would fail.
    """
    by = ", ".join((*_SAME, *labels))
    return f"group by ({by}) (topk by ({', '.join(_SAME)}) (1, max by ({by}) (timestamp({metric}))))"


def ready(selector: str = SELECTED) -> str:
    """PromQL: ready pods of all versions that serve; empty if none is ready and the readiness of some is unknown."""
    ready_pods, unknown = (family(f"workload_replicas_{name}", selector) for name in ("ready", "readiness_unknown"))
    return f"({ready_pods} > 0) or ({ready_pods} unless {unknown} > 0)"


def quantile(share: float, buckets: str) -> str:
    """PromQL: a quantile of buckets by ``le``; empty instead of NaN if all buckets are empty."""
    # Empty buckets are kept: without them the lowest remaining bucket would be interpolated from 0.
    return f"histogram_quantile({share:g}, {buckets}) >= 0"


def as_numbers(name: str, *more: str, selector: str) -> str:
    """PromQL: the status of a metric with one series per status, as its number in `STATUS_NUMBERS`."""
    kept = ", ".join(("workload_id", *more))
    states = [(number, family(name, selector, status=status)) for status, number in STATUS_NUMBERS.items()]
    return "\nor ".join(f"{number} * (max by ({kept}) ({each_state}) == 1)" for number, each_state in states)


def worst_five(name: str, selector: str = SELECTED, **matchers: str) -> str:
    """PromQL: a metric over time for the five workloads with the greatest value in the selected range."""
    metric = family(name, selector, **matchers)
    greatest = selected(f"{each(f'max_over_time({metric}[$__range] @ end())')} > 0")
    return f"{each(metric)}\nand topk(5, {greatest})"


STATUS_TEXTS: Mapping[str, tuple[str, str]] = {status: (status, colour) for status, colour in STATUS_COLOURS.items()}
STATUS_NUMBER_TEXTS: Mapping[str, tuple[str, str]] = {
    str(number): (status, STATUS_COLOURS[status]) for status, number in STATUS_NUMBERS.items()
}

DATA_AGE = (
    'clamp_min(time() - max by (account) (datarobot_exporter_sweep_last_success_timestamp_seconds{job=~"$job", '
    'account=~"$account", lane="status"}), 0)'
)
STALE = DEFAULTS["stale_sweeps"] * 30.0
"""Age in seconds from which data of an account are stale, at the default sweep interval."""


def exporter_starts() -> dashboard.AnnotationQuery:
    """Starts of exporters."""
    return annotation(
        "Exporter started",
        OFF,
        'max by (instance) (datarobot_exporter_start_timestamp_seconds{job=~"$job"})',
        "exporter {{instance}} started",
        "instance",
    )


def platform_releases() -> dashboard.AnnotationQuery:
    """The first hour of each release of the platform."""
    labels = "account, release, api_version"
    info = 'datarobot_account_platform_info{job=~"$job", account=~"$account"}'
    return annotation(
        "Platform release",
        OFF,
        f"max by ({labels}) ({info}) unless max by ({labels}) ({info} offset 1h)",
        "{{account}}: platform {{release}}, API {{api_version}}",
        "account",
        moments=False,
    )


def changes(selector: str) -> list[dashboard.AnnotationQuery]:
    """Completed and failed replacements, and stops that were observed: not every server reports events of stops."""
    since, first = (
        family(f"workload_{name}_timestamp_seconds", selector) for name in ("status_since", "first_observed")
    )
    off = family("workload_status", selector, status="|".join(models.of_group("off")))
    return [
        annotation(
            "Replacement completed",
            MOVING,
            f"max by ({IDS}) (datarobot_workload_event_last_timestamp_seconds{{{selector}, "
            'event="replacement_completed"})',
            "{{workload}}: replacement completed",
            "account,workload",
        ),
        annotation(
            "Replacement failed",
            BAD,
            f"max by ({IDS}) (datarobot_workload_replacement_failed_timestamp_seconds{{{selector}}})",
            "{{workload}}: replacement failed",
            "account,workload",
        ),
        annotation(
            "Workload stopped",
            OFF,
            f"({each(since)} > {each(first)} and {ON_WORKLOAD} {off} == 1)",
            "{{workload}}: stopped",
            "account,workload",
        ),
    ]


def firing_alerts(matchers: str) -> dashboard.AnnotationQuery:
    """Periods in which alerts fire."""
    return annotation(
        "Alerts",
        WARNING,
        f'max by ({IDS}, alertname, severity) (ALERTS{{{matchers}, alertstate="firing", '
        'severity=~"critical|warning"})',
        "{{alertname}}",
        "severity,workload",
        moments=False,
    )
