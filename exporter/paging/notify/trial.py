"""Sends a test page, and resolves it: `workload-exporter notify test`."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from exporter.alerting.notification import Notification
from exporter.paging.notify.contract import Notifier, Sent

ALERT = "DataRobotTestPage"
PATIENCE = 10.0
"""Maximum seconds to wait for a receiver that requests a retry later."""


class Tried(NamedTuple):
    """Result of one test notification with one notifier."""

    name: str
    action: str
    sent: Sent

    @property
    def good(self) -> bool:
        return self.sent.fate == "delivered"

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAIL':6}{self.name}, {self.action}: {self.sent.words}"


async def test_page(notifiers: Sequence[Notifier], severity_label: str, hold: float) -> AsyncIterator[Tried]:
    """Page with each notifier, and resolve delivered pages `hold` seconds later; closes the notifiers."""
    notification = _notification(severity_label)
    try:
        paged = []
        for notifier in notifiers:
            sent = await _sent(notifier, notification)
            yield Tried(notifier.name, "paged", sent)
            if sent.fate == "delivered":
                paged.append(notifier)
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C resolves the page too
            await asyncio.sleep(hold if paged else 0)  # time to see the page
        for notifier in paged:
            yield Tried(notifier.name, "resolved", await _sent(notifier, notification._replace(ended=time.time())))
    finally:
        for notifier in notifiers:
            await notifier.aclose()


async def _sent(notifier: Notifier, notification: Notification) -> Sent:
    (sent,) = await notifier.send([notification], time.time())
    if sent.fate == "again" and sent.after is not None and sent.after <= PATIENCE:
        await asyncio.sleep(sent.after)  # as the receiver requested
        (sent,) = await notifier.send([notification], time.time())
    return sent


def _notification(severity_label: str) -> Notification:
    now, host = time.time(), socket.gethostname()
    return Notification(
        f"drw:test:{host}:{now:.0f}",
        {"alertname": ALERT, severity_label: "critical", "component": "exporter"},
        {"summary": "This is a test page.", "description": "Nothing is wrong; no action is needed."},
        now,
        evidence=(("Test", f"sent by {_user()} on {host} with `workload-exporter notify test`; nothing is wrong"),),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "an unnamed user"
