"""Evaluates alerts: which of them have their condition met now, and with which severity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from exporter.alerting.alerts import Alert, Severity
from exporter.alerting.expressions import EvaluationContext


class ActiveAlert(NamedTuple):
    """An alert of which the condition holds, and how loud it would be."""

    alert: str
    severity: Severity


def active_alerts(alerts: Iterable[Alert], context: EvaluationContext) -> tuple[ActiveAlert, ...]:
    """The alerts of which the condition holds, as loud as the first of their levels that holds."""
    return tuple(
        [
            ActiveAlert(alert.name, level.severity)
            for alert in alerts
            if alert.condition.is_met(context)
            for level in [next(each for each in alert.levels if each.when is None or each.when.is_met(context))]
        ]
    )
