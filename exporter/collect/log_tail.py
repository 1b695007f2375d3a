"""The end of a workload's log, for pages and for `explain`: requested once per incident, and bounded.

Pages state which known errors it contains, and the likely cause names the one that dominates. Its text is off by
default (`paging.log_lines`, ``explain --log-lines``): an application may log secrets or personal data, and masking only
finds what looks like it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from exporter.alerting.notification import Notification
from exporter.api.decoding import NotDecodable
from exporter.api.details import LogRecord
from exporter.collect.client import ApiError, Client
from exporter.collect.decoded import page
from exporter.diagnosis.log_causes import evidence_with_log
from exporter.diagnosis.log_signs import LogSigns, is_worth_reading, log_signs, sign_words
from exporter.diagnosis.wording import log_words
from exporter.log import log

MAX_REQUESTS = 8
"""Maximum number of logs requested in one turn."""
PATIENCE_SECONDS = 5.0
"""Seconds for which a page waits for logs."""
MAX_KEPT = 512
"""Number of logs that are kept."""
SIGN_LINES = 100
"""Log lines that are searched for signs."""


class Log(NamedTuple):
    """The last records of a log, newest first, and their signs, or why there are none."""

    records: Sequence[LogRecord] = ()
    signs: LogSigns = LogSigns(0)
    problem: str = ""

    def text(self, lines: int) -> str:
        """The last lines, newest last, or the problem."""
        return f"not available: {self.problem}" if self.problem else log_words(self.records[:lines])


async def read_log(client: Client, workload: str, lines: int) -> Log:
    """At most this many records of a workload's log (``GET /otel/workload/{id}/logs``, newest first)."""
    try:
        answer = await client.get("/otel/workload/{id}/logs", {"limit": lines}, id=workload)
        records = (await page(answer.body, LogRecord)).items[:lines]
        return Log(records, await asyncio.to_thread(log_signs, records))
    except (ApiError, NotDecodable) as error:
        return Log(problem=str(error))
    except Exception as error:  # a page without a log is better than none
        log.exception("a log could not be requested", workload_id=workload)
        return Log(problem=type(error).__name__)


class LogTail:
    """Adds to notifications the last `lines` of a log, if that is not 0, and its signs.

    `clients`: by account. `ahead`: seconds that the API's clock, by which the lines have their times, is ahead of the
    local one, by account.
    """

    def __init__(
        self,
        clients: Callable[[], Mapping[str, Client]],
        lines: int,
        signs: bool = True,
        patience: float = PATIENCE_SECONDS,
        ahead: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        self._ahead = ahead
        self._clients, self._lines, self._signs, self._patience = clients, lines, signs, patience
        self._requests: dict[tuple[str, float], asyncio.Task[Log]] = {}

    async def added(self, notifications: Sequence[Notification]) -> Sequence[Notification]:
        """The notifications; firing ones with the log of their workload at the time of the first notification."""
        wanted = [(each, lines) for each in notifications if (lines := self._wanted(each))]
        new = [(each, lines) for each, lines in wanted if _incident(each) not in self._requests]
        for each, lines in new[:MAX_REQUESTS]:
            request = self._read(each.labels["account"], each.labels["workload_id"], lines)
            self._requests[_incident(each)] = asyncio.create_task(request)
        tasks = {task for each, _ in wanted if (task := self._requests.get(_incident(each))) is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=self._patience)
        with_logs = [self._with(each) if self._wanted(each) else each for each in notifications]
        self._requests = dict([*self._requests.items()][-MAX_KEPT:])
        return with_logs

    async def _read(self, account: str, workload: str, lines: int) -> Log:
        """A log, with the client in use: a reload may replace that of a request in progress, and closes it."""
        client, read = None, Log(problem="the account is not monitored any more")
        while read.problem and (current := self._clients().get(account)) not in (None, client):
            client, read = current, await read_log(current, workload, lines)
        return read

    def _wanted(self, notification: Notification) -> int:
        """Number of log lines to request for a notification."""
        labels = notification.labels
        if notification.ended is not None or not labels.get("workload_id") or labels["account"] not in self._clients():
            return 0
        return max(self._lines, SIGN_LINES if self._shows_signs(notification) else 0)

    def _shows_signs(self, notification: Notification) -> bool:
        return self._signs and is_worth_reading(dict(notification.evidence).get("Next step", ""))

    def _with(self, notification: Notification) -> Notification:
        task = self._requests.get(_incident(notification))
        if task is None:
            return notification
        received = task.result() if task.done() else Log(problem=f"no response within {self._patience:g} s")
        shown, began = notification.evidence, notification.began + self._ahead(notification.labels["account"])
        if self._shows_signs(notification) and (signs := sign_words(received.signs, began)):
            after = [title for title, _ in shown].index("Next step") + 1
            shown = evidence_with_log(shown, received.signs, began)
            shown = (*shown[:after], ("Log shows", signs), *shown[after:])
        if self._lines:
            shown = (*shown, ("Log", received.text(self._lines)))
        return notification._replace(evidence=shown)


def _incident(notification: Notification) -> tuple[str, float]:
    return notification.key, notification.began
