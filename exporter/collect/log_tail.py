"""The last lines of a workload's log, for pages and for `explain`: requested once per incident, and bounded.

Off by default (`paging.log_lines`, ``explain --log-lines``): an application may log secrets or personal data, and
masking only finds what looks like it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from exporter.alerting.notification import Notification
from exporter.api.decoding import NotDecodable, page
from exporter.api.details import LogRecord
from exporter.collect.client import ApiError, Client
from exporter.diagnosis.wording import log_words
from exporter.log import log

MAX_REQUESTS = 8
"""Maximum number of logs requested in one turn."""
PATIENCE_SECONDS = 5.0
"""Seconds for which a page waits for logs."""
MAX_KEPT = 512
"""Number of logs that are kept."""


async def tail(client: Client, workload: str, lines: int) -> str:
    """The last lines, newest last, or why there are none (``GET /otel/workload/{id}/logs``, newest first)."""
    try:
        answer = await client.get("/otel/workload/{id}/logs", {"limit": lines}, id=workload)
        return log_words(page(answer.body, LogRecord).items[:lines])
    except (ApiError, NotDecodable) as error:
        return f"not available: {error}"
    except Exception as error:  # a page without a log is better than none
        log.exception("a log could not be requested", workload_id=workload)
        return f"not available: {type(error).__name__}"


class LogTail:
    """Adds logs to notifications. `clients`: those of the accounts, by name."""

    def __init__(
        self, clients: Callable[[], Mapping[str, Client]], lines: int, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._clients, self._lines, self._patience = clients, lines, patience
        self._requests: dict[tuple[str, float], asyncio.Task[str]] = {}

    async def added(self, notifications: Sequence[Notification]) -> Sequence[Notification]:
        """The notifications; firing ones with the log of their workload at the time of the first notification."""
        new = [each for each in notifications if each.ended is None and _incident(each) not in self._requests]
        for each, client in [(each, client) for each in new if (client := self._client(each)) is not None][
            :MAX_REQUESTS
        ]:
            request = tail(client, each.labels["workload_id"], self._lines)
            self._requests[_incident(each)] = asyncio.create_task(request)
        wanted = {task for each in notifications if (task := self._requests.get(_incident(each))) is not None}
        if wanted:
            await asyncio.wait(wanted, timeout=self._patience)
        with_logs = [self._with(each) for each in notifications]
        self._requests = dict([*self._requests.items()][-MAX_KEPT:])
        return with_logs

    def _client(self, notification: Notification) -> Client | None:
        return (
            self._clients().get(notification.labels.get("account", ""))
            if notification.labels.get("workload_id")
            else None
        )

    def _with(self, notification: Notification) -> Notification:
        task = self._requests.get(_incident(notification)) if notification.ended is None else None
        if task is None:
            return notification
        words = task.result() if task.done() else f"not received within {self._patience:g} s"
        return notification._replace(evidence=(*notification.evidence, ("Log", words)))


def _incident(notification: Notification) -> tuple[str, float]:
    return notification.key, notification.began
