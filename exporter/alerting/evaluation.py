"""Evaluation of alerts: which conditions are met now, and with which severity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from exporter.alerting.alerts import Alert, Severity
from exporter.alerting.expressions import EvaluationContext


class ActiveAlert(NamedTuple):
    """An alert whose condition is met, and its severity."""

    alert: str
    severity: Severity


def active_alerts(alerts: Iterable[Alert], context: EvaluationContext) -> tuple[ActiveAlert, ...]:
    """The alerts whose condition is met, with the severity of their first level whose condition is met."""
    return tuple(
        [
            ActiveAlert(alert.name, level.severity)
            for alert in alerts
            if alert.condition.is_met(context)
            for level in [next(each for each in alert.levels if each.when is None or each.when.is_met(context))]
        ]
    )
