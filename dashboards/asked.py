"""PromQL shared by several dashboards, and shared annotations."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.models import dashboard

from dashboards.board import mark
from dashboards.look import BAD, MOVING, NUMBERS, OFF, STATES, WARNING
from dashboards.troubles import CHOSEN, IDS, WHICH
from exporter.alerting.alerts import DEFAULTS

UNIMPORTANT = f'{WHICH} datarobot_workload_importance{{{CHOSEN}, importance!~"$importance"}} == 1'
"""What follows `unless`: a workload without a known importance, such as a vanished one, is never left out."""


def important(expression: str) -> str:
    """PromQL: an expression, of the workloads whose importance is chosen."""
    return f"{expression}\nunless {UNIMPORTANT}"


def family(name: str, selector: str = CHOSEN, **matchers: str) -> str:
    """A selector of one of our families; `name` lacks ``datarobot_``. ``a|b`` is either."""
    told = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in matchers.items()]
    return f"datarobot_{name}{{{', '.join(filter(None, [selector, *told]))}}}"


def each(expression: str, *more: str, aggregate: str = "max") -> str:
    """PromQL: one value per workload, from whichever exporter; `more` labels are kept."""
    return f"{aggregate} by ({', '.join((IDS, *more))}) ({expression})"


def ready(selector: str = CHOSEN) -> str:
    """PromQL: ready pods of the active version; nothing where none is, and of some the API does not report it."""
    there, unknown = (
        family(f"proton_replicas_{name}", selector, role="active") for name in ("ready", "readiness_unknown")
    )
    return f"({there} > 0) or ({there} unless {unknown} > 0)"


def quantile(share: float, buckets: str) -> str:
    """PromQL: a quantile of buckets by ``le``; nothing where they are all empty, which would be no number."""
    # Empty buckets stay in: without those below it, the first of the others would count as beginning at 0.
    return f"histogram_quantile({share:g}, {buckets}) >= 0"


def numbered(name: str, *more: str, selector: str) -> str:
    """PromQL: the status of a one-hot family as a number of `NUMBERS`; `more` labels are kept."""
    kept = ", ".join(("workload_id", *more))
    told = [(number, family(name, selector, status=status)) for status, number in NUMBERS.items()]
    return "\nor ".join(f"{number} * (max by ({kept}) ({each_state}) == 1)" for number, each_state in told)


def worst_five(name: str, selector: str = CHOSEN, **matchers: str) -> str:
    """PromQL: a family over time, of the five workloads where it was greatest in the time that is shown."""
    told = family(name, selector, **matchers)
    greatest = important(f"{each(f'max_over_time({told}[$__range] @ end())')} > 0")
    return f"{each(told)}\nand topk(5, {greatest})"


STATE_TEXTS: Mapping[str, tuple[str, str]] = {status: (status, colour) for status, colour in STATES.items()}
NUMBER_TEXTS: Mapping[str, tuple[str, str]] = {
    str(number): (status, STATES[status]) for status, number in NUMBERS.items()
}

DATA_AGE = (
    'clamp_min(time() - max by (account) (datarobot_exporter_sweep_last_success_timestamp_seconds{job=~"$job", '
    'account=~"$account", lane="status"}), 0)'
)
STALE = DEFAULTS["stale_sweeps"] * 30.0
"""Seconds: the age at which an account's data are called stale, at the default interval."""


def restarts_of_exporter() -> dashboard.AnnotationQuery:
    """When an exporter started."""
    return mark(
        "Exporter started",
        OFF,
        'max by (instance) (datarobot_exporter_start_timestamp_seconds{job=~"$job"})',
        "exporter {{instance}} started",
        "instance",
    )


def replacements(selector: str) -> list[dashboard.AnnotationQuery]:
    """When replacements completed, and when they failed."""
    return [
        mark(
            "Replacement completed",
            MOVING,
            f"max by ({IDS}) (datarobot_workload_event_last_timestamp_seconds{{{selector}, "
            'event="replacement_completed"})',
            "{{workload}}: replacement completed",
            "account,workload",
        ),
        mark(
            "Replacement failed",
            BAD,
            f"max by ({IDS}) (datarobot_workload_replacement_failed_timestamp_seconds{{{selector}}})",
            "{{workload}}: replacement failed",
            "account,workload",
        ),
    ]


def firing(matchers: str) -> dashboard.AnnotationQuery:
    """While alerts fire."""
    return mark(
        "Alerts",
        WARNING,
        f'max by ({IDS}, alertname, severity) (ALERTS{{{matchers}, alertstate="firing", '
        'severity=~"critical|warning"})',
        "{{alertname}}",
        "severity,workload",
        moments=False,
    )
