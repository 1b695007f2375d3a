"""A receiver of notifications, as the pager takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from exporter.alerting.delivery_state import Subscription
from exporter.alerting.notification import Notification
from exporter.paging.notify.contract import Sent

Send = Callable[[Sequence[Notification], float], Awaitable[Sequence[Sent]]]
"""Sends notifications at a time in seconds since the epoch; returns the result of each."""
SendChange = Callable[[str, float], Awaitable[Sent]]
"""Sends a change event: a summary and its time in seconds since the epoch."""


class Receiver(NamedTuple):
    """A receiver of notifications. `continuous`: it needs all firing alerts repeatedly, as an Alertmanager does.
    `merges`: two notifications of one incident are one there.

    `repeat_interval`: seconds after which any other receiver is sent firing alerts again; 0: never. `send_change`:
    sends change events for replacements of the workloads that `wants_change` selects.
    """

    name: str
    send: Send
    subscription: Subscription
    continuous: bool = False
    repeat_interval: float = 0.0
    send_change: SendChange | None = None
    wants_change: Callable[[Notification], bool] = lambda _: True
    merges: bool = False
