"""Notifiers of the receivers of alerts: one file and one row in `KINDS` per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.paging.notify.alertmanager import Alertmanager
from exporter.paging.notify.apprise import Apprise
from exporter.paging.notify.contract import REASONS, Notifier, Sent
from exporter.paging.notify.pagerduty import PagerDuty
from exporter.paging.notify.slack import Slack
from exporter.paging.notify.webhook import Webhook
from exporter.redaction import Secrets
from exporter.settings.receivers import AnyReceiver

__all__ = ["KINDS", "REASONS", "Notifier", "Sent", "notifiers"]

KINDS: Mapping[str, Callable[[Any, str, Secrets | None], Sequence[Notifier]]] = {
    "alertmanager": lambda receiver, _, secrets: [
        Alertmanager(receiver, url, secrets) for url in dict.fromkeys(receiver.urls)
    ],
    "apprise": lambda receiver, severity_label, secrets: [Apprise(receiver, severity_label, secrets=secrets)],
    "pagerduty": lambda receiver, severity_label, secrets: [PagerDuty(receiver, severity_label, secrets=secrets)],
    "slack": lambda receiver, severity_label, secrets: [Slack(receiver, severity_label, secrets=secrets)],
    "webhook": lambda receiver, _, secrets: [Webhook(receiver, secrets)],
}
"""Kind -> the notifiers for the settings of a receiver, the name of the severity label, and all known secrets."""


def notifiers(
    receiver: AnyReceiver, severity_label: str = "severity", secrets: Secrets | None = None
) -> Sequence[Notifier]:
    """The notifiers of a receiver, one per URL. Raises `BadSettings` for what cannot be used."""
    return KINDS[receiver.kind](receiver, severity_label, secrets)
