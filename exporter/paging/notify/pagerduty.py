"""PagerDuty, Events API v2: one incident per key, triggered and resolved.

Source: PagerDuty's documentation of Events API v2. It returns 202 before it processes an event; a trigger with the key
of an open incident updates it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from exporter.alerting.notification import Notification
from exporter.failures import detail, one_line
from exporter.paging.notify.contract import Sent, one_by_one
from exporter.paging.notify.post import Address, Budget, Post, encoded
from exporter.redaction import Secrets
from exporter.settings.receivers import PagerDutySettings
from exporter.timestamps import rfc3339

MAX_SUMMARY_CHARACTERS, MAX_KEY_CHARACTERS, MAX_EVENT_BYTES = 1024, 255, 512 * 1024
EVENTS_PER_MINUTE, CHANGES_PER_MINUTE = 100, 20
"""Together below the limit of 120 requests per minute for one integration key."""
_SEVERITIES = {"critical": "critical", "warning": "warning"}


class PagerDuty:
    """One service. `steady` is the clock of its budget."""

    def __init__(
        self,
        settings: PagerDutySettings,
        severity_label: str = "severity",
        steady: Callable[[], float] = time.monotonic,
        secrets: Secrets | None = None,
    ) -> None:
        self.name = settings.name
        self._key, self._severity_label = settings.source("routing_key"), severity_label
        self._url = settings.url
        self._events, self._changes = Budget(EVENTS_PER_MINUTE, 60.0, steady), Budget(CHANGES_PER_MINUTE, 60.0, steady)
        self._post = Post(settings, secrets)

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:  # noqa: ARG002 — see `Notifier`
        """See `Notifier`: one request for each, in order."""
        return await one_by_one(
            notifications, lambda notification: self._sent(self._url, self._events, self._event(notification))
        )

    async def change(self, summary: str, at: float) -> Sent:
        """Send a change event, which notifies no one and is shown beside incidents; the key is left empty."""
        payload = {"summary": _line(summary), "timestamp": rfc3339(at, "milliseconds"), "source": "workload-exporter"}
        url = f"{self._url.removesuffix('/enqueue')}/change/enqueue"
        return await self._sent(url, self._changes, {"payload": payload})

    async def _sent(self, url: str, budget: Budget, event: dict[str, Any]) -> Sent:
        key = self._key()
        body = encoded({"routing_key": key, **event})
        return budget.take() or await self._post.send(Address(url, url, (key,)), body, message=_message)

    def _event(self, notification: Notification) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event_action": "trigger" if notification.ended is None else "resolve",
            "dedup_key": dedup_key(notification.key),
        }
        if notification.ended is not None:
            return event
        labels = notification.labels
        source = labels.get("workload") or labels.get("workload_id")
        summary = [notification.title, *_headline(notification)]
        details = {**notification.annotations, **dict(notification.evidence), **labels}
        payload = {
            "summary": _line("; ".join(summary)),
            "source": source or labels.get("account") or "workload-exporter",
            "severity": _SEVERITIES.get(labels.get(self._severity_label, ""), "info"),
            "timestamp": rfc3339(notification.began, "milliseconds"),
            "component": labels.get("component", ""),
            "group": labels.get("account", ""),
            "class": labels["alertname"],
            "custom_details": details,
        }
        event |= {"payload": payload, "links": _links(notification.links), "client": "DataRobot workload exporter"}
        if len(encoded(event)) > MAX_EVENT_BYTES - MAX_KEY_CHARACTERS:
            payload["custom_details"] = {"left out": "The details were too long for an event.", **labels}
        return event

    async def aclose(self) -> None:
        """See `Notifier`."""
        await self._post.aclose()


def dedup_key(key: str) -> str:
    """The key of an incident, or its hash if it is longer than PagerDuty accepts."""
    return key if len(key) <= MAX_KEY_CHARACTERS else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _headline(notification: Notification) -> list[str]:
    """The evidence up to the likely cause, which is its first or second line; without one, the first line."""
    first = notification.evidence[:2]
    count = next((n for n, (title, _) in enumerate(first, 1) if title == "Likely cause"), 1)
    return [f"{title}: {text}" for title, text in first[:count]]


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_SUMMARY_CHARACTERS]


def _links(links: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"href": url, "text": text} for text, url in links if url.startswith(("https://", "http://"))]


def _message(body: bytes) -> str:
    """The message of an error response, with the errors it lists."""
    try:
        errors = json.loads(body)["errors"]
        return one_line(f"{detail(body)}: {'; '.join(errors)}")
    except (ValueError, LookupError, TypeError, RecursionError):
        return detail(body)
