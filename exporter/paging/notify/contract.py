"""The interface between the pager and its notifiers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from exporter.alerting.notification import Notification

REASONS = (
    "timeout dns connect tls auth forbidden not_found throttled server_error bad_request too_large redirect refused"
).split()
"""Reasons why a notification was not delivered."""


class Sent(NamedTuple):
    """Result of delivering one notification, by its `key`.

    ``delivered``: accepted by the receiver. ``again``: may be delivered later, after `after` seconds if known.
    ``failed``: will never be delivered. `reason` is one of `REASONS`, empty if delivered; `words` describe the request
    and the response, without secrets. `maybe`: the receiver may have it anyway, because the request was sent completely
    and no complete response was received. `postponed`: it was not sent because of the exporter's own rate limit.
    """

    key: str
    fate: Literal["delivered", "again", "failed"]
    reason: str = ""
    words: str = ""
    after: float | None = None
    maybe: bool = False
    postponed: bool = False


class Notifier(Protocol):
    """Sends notifications to one receiver. It neither retries nor waits: the caller decides when to try again."""

    @property
    def name(self) -> str:
        """The receiver's name; with the URL's host and path, if the receiver has several URLs."""

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:
        """Deliver notifications; returns the result of each, in the same order. `now` is in seconds since the epoch.

        Notifications over the receiver's rate limit are returned as ``again`` with the time to wait.
        """

    async def aclose(self) -> None:
        """Close all connections."""


async def one_by_one(
    notifications: Sequence[Notification], send: Callable[[Notification], Awaitable[Sent]]
) -> list[Sent]:
    """Send each notification alone. After a failure of the receiver itself, the rest get the same result unsent."""
    results: list[Sent] = []
    for notification in notifications:
        if results and _concerns_receiver(results[-1]):
            results.append(results[-1]._replace(key=notification.key, maybe=False))
        else:
            results.append((await send(notification))._replace(key=notification.key))
    return results


def _concerns_receiver(sent: Sent) -> bool:
    """Whether a failure concerns the receiver, and not one notification."""
    if sent.fate == "again":
        return sent.reason != "server_error" or sent.after is not None
    return sent.reason in ("auth", "forbidden", "not_found", "redirect")
