"""Slack, by an incoming webhook: one message for all notifications of a turn.

Source: Slack's documentation of incoming webhooks. A message cannot be changed later, so a resolution is a separate
message. Only the body ``ok`` means success.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from exporter.alerting.notification import Notification
from exporter.paging.notify.contract import Sent
from exporter.paging.notify.post import Budget, Post, encoded, hidden
from exporter.redaction import Secrets
from exporter.settings.receivers import SlackSettings

MAX_EVIDENCE_LINES, MAX_LINE_CHARACTERS = 6, 300
_COLOURS = {"critical": "#d92b2b", "warning": "#e8a400", "resolved": "#2e9e5b"}
_OTHERS = "#5b7fa6"
_ORDER = ("critical", "warning", "info", "none")


class Slack:
    """One channel. `steady` is the clock of its budget."""

    def __init__(
        self,
        settings: SlackSettings,
        severity_label: str = "severity",
        steady: Callable[[], float] = time.monotonic,
        secrets: Secrets | None = None,
    ) -> None:
        self.name = settings.name
        self._url, self._severity_label = settings.source("webhook_url"), severity_label
        self._budget = Budget(1, 1.0, steady)
        self._post = Post(settings, secrets)

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:  # noqa: ARG002 — see `Notifier`
        """See `Notifier`: one message for all."""
        if not notifications:
            return []
        body = encoded(message(notifications, self._severity_label))
        sent = self._budget.take() or await self._post.send(hidden(self._url()), body, accepted=_accepted)
        return [sent._replace(key=notification.key) for notification in notifications]

    async def aclose(self) -> None:
        """See `Notifier`."""
        await self._post.aclose()


def message(notifications: Sequence[Notification], severity_label: str) -> dict[str, Any]:
    """One message for notifications: firing ones by severity, then resolved ones."""

    def severity(notification: Notification) -> str:
        return notification.labels.get(severity_label, "none")

    def rank(notification: Notification) -> tuple[bool, int]:
        name = severity(notification)
        return notification.ended is not None, _ORDER.index(name) if name in _ORDER else len(_ORDER)

    ranked = sorted(notifications, key=rank)
    count = Counter(notification.heading for notification in notifications)
    attachments = [
        _attachment(
            _lines(notification), severity(notification) if notification.ended is None else notification.heading
        )
        for notification in ranked
    ]
    text = ", ".join(f"{count[status]} {status}" for status in ("firing", "resolved", "ended") if count[status])
    return {"text": f"{text}: {_plain(ranked[0].title)}{' …' if ranked[1:] else ''}", "attachments": attachments}


def _attachment(lines: Sequence[str], colour: str) -> dict[str, Any]:
    style = {"color": _COLOURS.get(colour, _OTHERS), "mrkdwn_in": ["text"]}
    return style | {"fallback": lines[0], "text": "\n".join(lines)}


def _lines(notification: Notification) -> list[str]:
    lines = [f"*{notification.heading.upper()}* {_plain(notification.title)}"]
    lines += [notification.lasting] if notification.lasting else []
    if notification.ended is None:
        texts = notification.annotations
        if texts.get("summary"):
            lines.append(_plain(texts["summary"]))
        lines += [f"{_plain(title)}: {_plain(text)}" for title, text in notification.evidence[:MAX_EVIDENCE_LINES]]
        if texts.get("note"):
            lines.append(f"Note: {_plain(texts['note'])}")
        for title, name in (("Details", "explain"), ("Silence", "silence")):
            if texts.get(name):
                lines.append(f"{title}: `{_plain(texts[name]).replace('`', '')}`")
    if links := [_link(text, url) for text, url in notification.links if url.startswith(("https://", "http://"))]:
        lines.append(" · ".join(links))
    return lines


def _plain(text: str) -> str:
    """A text as one line without Slack's control sequences, such as the mention of a whole channel."""
    line = " ".join(text.split())
    line = line if len(line) <= MAX_LINE_CHARACTERS else line[: MAX_LINE_CHARACTERS - 1] + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(text: str, url: str) -> str:
    target = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{target}|{_plain(text).replace('|', '/')}>"


def _accepted(body: bytes) -> bool:
    if body.strip() == b"ok":
        return True
    try:
        response = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(response, dict) and response.get("ok") is True
