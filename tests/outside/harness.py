"""Plays a server that a story wrote itself against the real exporter, in virtual time, and returns the notifications.

The stories in this folder know the API and docs/alerts.md, and nothing of the exporter's code or of its simulator. A
story is a server: it responds to each request as the API would at that moment.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from exporter.alerting.delivery_state import Subscription
from exporter.alerting.notification import Notification
from exporter.alerting.routing import Wants, chosen, quiet
from exporter.alerting.rules import Options
from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence
from exporter.paging.notify import Sent
from exporter.paging.pager import Pager
from exporter.paging.receiver import Receiver
from exporter.state.store import Store
from tests.stage import START, Stage, played

OPTIONS = Options(console="https://dr.example.test")
WANTS = Wants(frozenset({"critical", "warning"}))


class Answer(NamedTuple):
    """One response. `headers` are pairs of lower-case name and value; ``date`` is added."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)


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


class _Here(ThreadPoolExecutor):
    """Does at once what others do in threads: virtual time must not pass meanwhile."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done


def notifications(server: Server, minutes: float) -> list[Seen]:
    """What a receiver of all critical and warning notifications gets while the server is swept for so long."""
    seen: list[Seen] = []

    async def play(stage: Stage) -> None:
        asyncio.get_running_loop().set_default_executor(_Here())
        stage.ahead = server.ahead

        async def send(sent: Sequence[Notification], _: float) -> list[Sent]:
            seen.extend(_seen(stage.now, each) for each in sent)
            return [Sent(each.key, "delivered") for each in sent]

        subscription = Subscription(lambda each: chosen(WANTS, each), lambda each, now: quiet(WANTS, each, now))
        pager = Pager(
            store=Store(None),
            report=stage.report,
            options=OPTIONS,
            receivers=[Receiver("on-call", send, subscription)],
            evidence=lambda state, now, alert: evidence(diagnosis(state, now, OPTIONS, recovering=alert)),
            account_evidence=lambda alert, fleet, now: account_evidence(alert, fleet, OPTIONS, now),
            fleets=lambda: [stage.monitor.fleet],
            exporter=ExporterStatus,
            clock=Clock(lambda: stage.wall, lambda: stage.now),
        )

        async def evaluate() -> None:
            await pager.evaluate()
            await pager.notify()

        await stage.run(minutes * 60, evaluate)

    played(play, server)  # type: ignore[arg-type]
    return seen


def _seen(now: float, each: Notification) -> Seen:
    lines = [each.annotations.get("summary", ""), each.annotations.get("description", "")]
    return Seen(
        round(now / 60, 1),
        each.status,
        each.labels["severity"],
        each.labels["alertname"],
        each.labels.get("account", ""),
        each.labels.get("workload_id", ""),
        each.title,
        "\n".join([*lines, *(f"{title}: {words}" for title, words in each.evidence)]),
    )


__all__ = ["START", "Answer", "Seen", "Server", "notifications"]
