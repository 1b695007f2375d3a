"""What whoever delivers notices asks of a way to a receiver, and what it is told of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from exporter.alerting.notification import Notification

REASONS = (
    "timeout dns connect tls auth forbidden not_found throttled server_error bad_request too_large redirect refused"
).split()
"""Why a notice was not delivered."""


class Sent(NamedTuple):
    """What became of one notice, by its `key`.

    ``delivered``: the receiver has it. ``again``: the same may be delivered later, after `after` seconds if that is
    known. ``failed``: it will never be. `reason` is one of `REASONS`, empty for what was delivered; `words` say what
    was tried and what came back, without any secret. `maybe`: the receiver may have it all the same, for the whole
    request went out and no whole answer came.
    """

    key: str
    fate: Literal["delivered", "again", "failed"]
    reason: str = ""
    words: str = ""
    after: float | None = None
    maybe: bool = False


class Notifier(Protocol):
    """A way to one receiver. It neither repeats nor waits: who calls decides when to try again."""

    @property
    def name(self) -> str:
        """The receiver's name; of several URLs of one receiver, each has the URL's host and path added."""

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:
        """What became of each notice, in the same order. `now` is in seconds since the epoch.

        What cannot go now without asking too much of the receiver is ``again`` with the time after which it can.
        """

    async def aclose(self) -> None:
        """Close all connections."""


async def one_by_one(
    notifications: Sequence[Notification], send: Callable[[Notification], Awaitable[Sent]]
) -> list[Sent]:
    """Send each notice alone. What is not about the one but about the receiver is the fate of the rest, untried."""
    told: list[Sent] = []
    for notification in notifications:
        if told and _of_all(told[-1]):
            told.append(told[-1]._replace(key=notification.key, maybe=False))
        else:
            told.append((await send(notification))._replace(key=notification.key))
    return told


def _of_all(sent: Sent) -> bool:
    """Whether this is about the receiver, and not about the one notice."""
    if sent.fate == "again":
        return sent.reason != "server_error" or sent.after is not None
    return sent.reason in ("auth", "forbidden", "not_found", "redirect")
