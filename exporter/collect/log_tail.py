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

AT_ONCE, PATIENCE, KEPT = 8, 5.0, 512
"""Maximum logs requested in one turn, seconds a page waits for them, and number of logs remembered."""


async def tail(client: Client, workload: str, lines: int) -> str:
    """So many lines, the newest last, or why there are none (``GET /otel/workload/{id}/logs``, newest first)."""
    try:
        answer = await client.get("/otel/workload/{id}/logs", {"limit": lines}, id=workload)
        return log_words(page(answer.body, LogRecord).items[:lines])
    except (ApiError, NotDecodable) as error:
        return f"not told: {error}"
    except Exception as error:  # a page must not wait for what is only its last line
        log.exception("a log could not be asked for", workload_id=workload)
        return f"not told: {type(error).__name__}"


class LogTails:
    """Adds logs to notices. `clients`: those of the accounts, by name."""

    def __init__(self, clients: Callable[[], Mapping[str, Client]], lines: int, patience: float = PATIENCE) -> None:
        self._clients, self._lines, self._patience = clients, lines, patience
        self._asked: dict[tuple[str, float], asyncio.Task[str]] = {}

    async def added(self, notifications: Sequence[Notification]) -> Sequence[Notification]:
        """The notifications; firing ones with the log of their workload at the time of the first notification."""
        new = [each for each in notifications if each.ended is None and _incident(each) not in self._asked]
        for each, client in [(each, client) for each in new if (client := self._client(each)) is not None][:AT_ONCE]:
            asking = tail(client, each.labels["workload_id"], self._lines)
            self._asked[_incident(each)] = asyncio.create_task(asking)
        wanted = {task for each in notifications if (task := self._asked.get(_incident(each))) is not None}
        if wanted:
            await asyncio.wait(wanted, timeout=self._patience)
        told = [self._with(each) for each in notifications]
        self._asked = dict([*self._asked.items()][-KEPT:])
        return told

    def _client(self, told: Notification) -> Client | None:
        return self._clients().get(told.labels.get("account", "")) if told.labels.get("workload_id") else None

    def _with(self, told: Notification) -> Notification:
        task = self._asked.get(_incident(told)) if told.ended is None else None
        if task is None:
            return told
        words = task.result() if task.done() else f"not told within {self._patience:g} s"
        return told._replace(evidence=(*told.evidence, ("Log", words)))


def _incident(told: Notification) -> tuple[str, float]:
    return told.key, told.began
