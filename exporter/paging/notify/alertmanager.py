"""Alertmanager, API v2: what fires, and what has ended, as Prometheus would post it.

Source: `POST /api/v2/alerts` of Alertmanager 0.25 and its answers. Equal labels are the same alert, so anything may be
posted twice. Of a batch with one bad alert it takes the others and answers 400 all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from exporter.alerting.notification import Notice
from exporter.paging.notify.contract import Sent
from exporter.paging.notify.post import Address, Post, encoded, rfc3339
from exporter.redaction import Secrets
from exporter.settings import AlertmanagerReceiver

HOLDS = 240.0
"""Seconds for which what fires is to be taken for firing: four times as long as it may take until it is told again."""


def alert(notice: Notice) -> dict[str, Any]:
    """A notice as an Alertmanager has it, in either direction, but for its end. Evidence is one annotation more."""
    evidence = "\n".join(f"{title}: {text}" for title, text in notice.evidence)
    return {
        "labels": {name: value for name, value in notice.labels.items() if value},
        "annotations": {**notice.annotations, **({"evidence": evidence} if evidence else {})},
        "startsAt": rfc3339(notice.began),
        "generatorURL": notice.annotations.get("console_url", ""),
    }


def _ends(notice: Notice, now: float) -> dict[str, str]:
    # An end before its beginning would be refused; clocks are set back at times.
    return {"endsAt": rfc3339(max(now + HOLDS if notice.ended is None else notice.ended, notice.began))}


def _bad_name(notice: Notice) -> str | None:
    names = (*notice.labels, *notice.annotations)
    return next((name for name in names if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)), None)


class Alertmanager:
    """One Alertmanager. Each of a cluster is told of everything; they compare notes among themselves."""

    def __init__(self, settings: AlertmanagerReceiver, url: str, secrets: Secrets | None = None) -> None:
        self.name = f"{settings.name}@{urlsplit(url).netloc}{urlsplit(url).path}"
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        address = f"{url}/api/v2/alerts"
        self._to = Address(address, address)
        self._post = Post(settings, secrets)

    async def send(self, notices: Sequence[Notice], now: float) -> list[Sent]:
        """See `Notifier`: one request for all."""
        bad = {
            notice.key: Sent(notice.key, "failed", "bad_request", f"not sent: {name!r} is no name of a label")
            for notice in notices
            if (name := _bad_name(notice)) is not None
        }
        told = iter(await self._told([notice for notice in notices if notice.key not in bad], now))
        return [bad.get(notice.key) or next(told) for notice in notices]

    async def _told(self, notices: Sequence[Notice], now: float) -> list[Sent]:
        if not notices:
            return []
        body = encoded([alert(notice) | _ends(notice, now) for notice in notices])
        sent = await self._post.send(self._to, body, self._headers)
        if sent.reason in ("bad_request", "too_large") and len(notices) > 1:
            half = len(notices) // 2  # it does not say which it did not take
            return [*await self._told(notices[:half], now), *await self._told(notices[half:], now)]
        return [sent._replace(key=notice.key) for notice in notices]

    async def aclose(self) -> None:
        """See `Notifier`."""
        await self._post.aclose()
