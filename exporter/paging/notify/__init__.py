"""Ways to the receivers of alerts: one file a kind, one row in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.paging.notify.alertmanager import Alertmanager
from exporter.paging.notify.contract import REASONS, Notifier, Sent
from exporter.paging.notify.pagerduty import PagerDuty
from exporter.paging.notify.slack import Slack
from exporter.paging.notify.webhook import Webhook
from exporter.redaction import Secrets
from exporter.settings.receivers import AnyReceiver

__all__ = ["KINDS", "REASONS", "Notifier", "Sent", "notifiers"]

KINDS: Mapping[str, Callable[[Any, str, Secrets | None], Sequence[Notifier]]] = {
    "alertmanager": lambda told, _, secrets: [Alertmanager(told, url, secrets) for url in dict.fromkeys(told.urls)],
    "pagerduty": lambda told, severity_label, secrets: [PagerDuty(told, severity_label, secrets=secrets)],
    "slack": lambda told, severity_label, secrets: [Slack(told, severity_label, secrets=secrets)],
    "webhook": lambda told, _, secrets: [Webhook(told, secrets)],
}
"""From the settings of a receiver, the name of the label of severity and all known secrets to its notifiers."""


def notifiers(
    receiver: AnyReceiver, severity_label: str = "severity", secrets: Secrets | None = None
) -> Sequence[Notifier]:
    """The ways to a receiver: one for each of its URLs. Raises `BadSettings` for certificates that cannot be used."""
    return KINDS[receiver.kind](receiver, severity_label, secrets)
