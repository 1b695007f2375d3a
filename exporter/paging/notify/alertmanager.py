"""Alertmanager, API v2: firing and resolved alerts, as Prometheus posts them.

Source: `POST /api/v2/alerts` of Alertmanager 0.25 and its responses. Equal labels are the same alert, so anything may
be posted twice. Of a batch with one invalid alert it accepts the others, and still returns 400.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from exporter.alerting.notification import Notification
from exporter.paging.notify.contract import Sent
from exporter.paging.notify.post import Address, Post, encoded
from exporter.redaction import Secrets
from exporter.settings.receivers import AlertmanagerSettings
from exporter.timestamps import rfc3339

EXPIRY_SECONDS = 240.0
"""Seconds for which Alertmanager treats an alert as firing: four times the longest interval between two sends."""


def alert(notification: Notification) -> dict[str, Any]:
    """A notification in Alertmanager's format, without the end. Title and evidence are additional annotations."""
    evidence = "\n".join(f"{title}: {text}" for title, text in notification.evidence)
    more = {"title": notification.title, **({"evidence": evidence} if evidence else {})}
    # An Alertmanager has silences of its own.
    annotations = {name: text for name, text in notification.annotations.items() if name != "silence"}
    return {
        "labels": {name: value for name, value in notification.labels.items() if value},
        "annotations": {**annotations, **more},
        "startsAt": rfc3339(notification.began, "milliseconds"),
        "generatorURL": notification.annotations.get("console_url", ""),
    }


def _ends(notification: Notification, now: float) -> dict[str, str]:
    # An end before the start would be rejected; the clock may have been set back.
    return {
        "endsAt": rfc3339(
            max(now + EXPIRY_SECONDS if notification.ended is None else notification.ended, notification.began),
            "milliseconds",
        )
    }


def _bad_name(notification: Notification) -> str | None:
    names = (*notification.labels, *notification.annotations)
    return next((name for name in names if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)), None)


class Alertmanager:
    """One Alertmanager. Each member of a cluster receives every alert; they deduplicate among themselves."""

    def __init__(self, settings: AlertmanagerSettings, url: str, secrets: Secrets | None = None) -> None:
        self.name = f"{settings.name}@{urlsplit(url).netloc}{urlsplit(url).path}"
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._token, self._given = settings.source("bearer_token"), settings.given("bearer_token")
        address = f"{url}/api/v2/alerts"
        self._to = Address(address, address)
        self._post = Post(settings, secrets)

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:
        """See `Notifier`: one request for all."""
        bad = {
            notification.key: Sent(
                notification.key, "failed", "bad_request", f"not sent: {name!r} is not a valid label name"
            )
            for notification in notifications
            if (name := _bad_name(notification)) is not None
        }
        good = [notification for notification in notifications if notification.key not in bad]
        sent = iter(await self._send(good, now))
        return [bad.get(notification.key) or next(sent) for notification in notifications]

    async def _send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:
        if not notifications:
            return []
        headers, token = self._headers, self._token()
        if self._given:
            if not re.fullmatch(r"[!-~]+", token):
                problem = f"not sent: {self._given[0]} contains no token; it is missing, unreadable, empty or invalid"
                return [Sent(notification.key, "again", "refused", problem) for notification in notifications]
            headers = headers | {"authorization": f"Bearer {token}"}
        body = encoded([alert(notification) | _ends(notification, now) for notification in notifications])
        sent = await self._post.send(self._to, body, headers)
        if sent.reason in ("bad_request", "too_large") and len(notifications) > 1:
            half = len(notifications) // 2  # the response does not say which one was rejected
            return [*await self._send(notifications[:half], now), *await self._send(notifications[half:], now)]
        return [sent._replace(key=notification.key) for notification in notifications]

    async def aclose(self) -> None:
        """See `Notifier`."""
        await self._post.aclose()
