"""A page that says that it is a test, and its end: `workload-exporter notify test`."""

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
"""Maximum seconds to wait for a receiver that asks to retry later."""


class Tried(NamedTuple):
    """Result of one test notification with one notifier."""

    name: str
    told: str
    sent: Sent

    @property
    def good(self) -> bool:
        return self.sent.fate == "delivered"

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAIL':6}{self.name}, {self.told}: {self.sent.words}"


async def test_page(ways: Sequence[Notifier], severity_label: str, hold: float) -> AsyncIterator[Tried]:
    """Page on each way, and end it `hold` seconds later where it was delivered; closes the ways."""
    notification = _notice(severity_label)
    try:
        paged = []
        for way in ways:
            sent = await _sent(way, notification)
            yield Tried(way.name, "paged", sent)
            if sent.fate == "delivered":
                paged.append(way)
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C ends the page too
            await asyncio.sleep(hold if paged else 0)  # so that somebody sees it
        for way in paged:
            yield Tried(way.name, "resolved", await _sent(way, notification._replace(ended=time.time())))
    finally:
        for way in ways:
            await way.aclose()


async def _sent(way: Notifier, notification: Notification) -> Sent:
    (sent,) = await way.send([notification], time.time())
    if sent.fate == "again" and sent.after is not None and sent.after <= PATIENCE:
        await asyncio.sleep(sent.after)  # as the receiver asks
        (sent,) = await way.send([notification], time.time())
    return sent


def _notice(severity_label: str) -> Notification:
    now, host = time.time(), socket.gethostname()
    return Notification(
        f"drw:test:{host}:{now:.0f}",
        {"alertname": ALERT, severity_label: "critical", "component": "exporter"},
        {"summary": "This is a test of paging.", "description": "Nothing is wrong, and nothing is to be done."},
        now,
        evidence=(("Test", f"sent by {_user()} on {host} with `workload-exporter notify test`; nothing is wrong"),),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "an unnamed user"
