"""Slack, by an incoming webhook: one message for all notifications of a turn.

Source: Slack's documentation of incoming webhooks. A message cannot be changed later, so a resolution is a separate
message. Only the body ``ok`` means success.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from exporter.alerting.notification import Notification
from exporter.paging.notify.contract import Sent
from exporter.paging.notify.post import Budget, Post, encoded, hidden
from exporter.paging.notify.text import Style, lines, one_line, ranked, summary
from exporter.redaction import Secrets
from exporter.settings.receivers import SlackSettings

_COLOURS = {"critical": "#d92b2b", "warning": "#e8a400", "resolved": "#2e9e5b"}
_OTHERS = "#5b7fa6"


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
    listed = ranked(notifications, severity_label)
    attachments = [
        _attachment(
            lines(each, _STYLE), each.labels.get(severity_label, "none") if each.ended is None else each.heading
        )
        for each in listed
    ]
    return {"text": summary(listed, _STYLE), "attachments": attachments}


def _attachment(shown: Sequence[str], colour: str) -> dict[str, Any]:
    style = {"color": _COLOURS.get(colour, _OTHERS), "mrkdwn_in": ["text"]}
    return style | {"fallback": shown[0], "text": "\n".join(shown)}


def _plain(text: str) -> str:
    """A text as one line without Slack's control sequences, such as the mention of a whole channel."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(text: str, url: str) -> str:
    target = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{target}|{_plain(text).replace('|', '/')}>"


_STYLE = Style(_plain, lambda text: f"*{text}*", lambda text: f"`{_plain(text).replace('`', '')}`", _link)


def _accepted(body: bytes) -> bool:
    if body.strip() == b"ok":
        return True
    try:
        response = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(response, dict) and response.get("ok") is True
