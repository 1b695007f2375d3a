"""Webhooks that accept Alertmanager's format: one request per alert, signed if a secret is given.

Source: Alertmanager's documentation of `webhook_config`, version 4 of its body.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from exporter.alerting.notification import Notification
from exporter.paging.notify.alertmanager import alert
from exporter.paging.notify.contract import Sent, one_by_one
from exporter.paging.notify.post import Post, encoded, hidden
from exporter.redaction import Secrets
from exporter.settings.receivers import WebhookSettings
from exporter.timestamps import rfc3339

NO_END = "0001-01-01T00:00:00Z"
"""End time that Alertmanager sends for a firing alert."""


class Webhook:
    """One URL."""

    def __init__(self, settings: WebhookSettings, secrets: Secrets | None = None) -> None:
        self.name = settings.name
        self._url, self._secret = settings.source("url"), settings.source("hmac_secret")
        self._signs = settings.given("hmac_secret")
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._post = Post(settings, secrets)

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:  # noqa: ARG002 — see `Notifier`
        """See `Notifier`: one request for each, in order."""
        return await one_by_one(notifications, self._sent)

    async def _sent(self, notification: Notification) -> Sent:
        body, secret = encoded(message(notification, self.name)), self._secret()
        if self._signs and not secret:
            problem = "contains no secret to sign with; it is missing, unreadable or empty"
            return Sent("", "again", "refused", f"not sent: {self._signs[0]} {problem}")
        signed = {"x-signature-256": signature(secret, body)} if secret else {}
        return await self._post.send(hidden(self._url(), secret), body, self._headers | signed)

    async def aclose(self) -> None:
        """See `Notifier`."""
        await self._post.aclose()


def message(notification: Notification, receiver: str) -> dict[str, Any]:
    """A group of one alert, so that the key and the status of the group are those of the incident."""
    content = alert(notification)
    ends = NO_END if notification.ended is None else rfc3339(notification.ended, "milliseconds")
    state = {"status": notification.status, "endsAt": ends, "fingerprint": fingerprint(content["labels"])}
    return {
        "version": "4",
        "groupKey": notification.key,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": receiver,
        "groupLabels": {},
        "commonLabels": content["labels"],
        "commonAnnotations": content["annotations"],
        "externalURL": "",
        "alerts": [content | state],
    }


def signature(secret: str, body: bytes) -> str:
    """The value of ``X-Signature-256``, as in GitHub's webhooks."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def fingerprint(labels: dict[str, str]) -> str:
    """An alert's identity in Alertmanager: FNV-1a, 64 bits, of its sorted labels."""
    value = 0xCBF29CE484222325
    for text in (part for label in sorted(labels.items()) for part in label):
        for byte in (*text.encode("utf-8", "replace"), 0xFF):
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"
