"""Plays a server that a story wrote itself against the real exporter, in virtual time, and returns the notifications.

The stories in this folder know the API and docs/alerts.md, and nothing of the exporter's code or of its simulator. A
story is a server: it responds to each request as the API would at that moment.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from exporter.paging.pager import Pager
from tests.alerts.played import Notified, paged
from tests.stage import START, Stage


class Answer(NamedTuple):
    """One response. `headers` are pairs of lower-case name and value; ``date`` is added. `delay`, `cut` and
    `fill` are played as those of a simulated response.
    """

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
    delay: float = 0.0
    cut: bool = False
    fill: int = 0


class Server(Protocol):
    """An API. The harness sets `clock`, which returns the present in seconds since the epoch; the play begins at
    `START`. `token` is the API token that requests carry as ``Authorization: Bearer``. `ahead`: seconds that the clock
    in the ``Date`` headers is ahead of the exporter's.
    """

    token: str
    clock: Callable[[], float]
    ahead: float

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        """The response to a request: `path` as sent, such as ``/api/v2/workloads/``, and the raw query."""


class Seen(NamedTuple):
    """One notification: `minute` of the play, ``firing`` or ``resolved``, ``critical`` or ``warning``, and its text.

    A firing notification of an incident that was notified before has another severity than before.
    """

    minute: float
    status: str
    severity: str
    alert: str
    account: str
    workload_id: str
    title: str
    text: str


def notifications(server: Server, minutes: float) -> list[Seen]:
    """What a receiver of all critical and warning notifications gets while the server is swept for so long."""

    async def play(stage: Stage, pager: Pager) -> None:
        stage.ahead = server.ahead

        async def evaluate() -> None:
            await pager.evaluate()
            await pager.notify()

        await stage.run(minutes * 60, evaluate)

    return [_seen(each) for each in paged(server, play)]


def _seen(notified: Notified) -> Seen:
    each = notified.notification
    lines = [each.annotations.get("summary", ""), each.annotations.get("description", "")]
    return Seen(
        round(notified.at / 60, 1),
        each.status,
        each.labels["severity"],
        each.labels["alertname"],
        each.labels.get("account", ""),
        each.labels.get("workload_id", ""),
        each.title,
        "\n".join([*lines, *(f"{title}: {words}" for title, words in each.evidence)]),
    )


__all__ = ["START", "Answer", "Seen", "Server", "notifications"]
