"""The last lines of a workload's log, for pages and for `explain`: asked for once an incident, and bounded.

Off until wanted (`paging.log_lines`, ``explain --log-lines``): what an application logs may be secret or personal,
and masking finds only what looks so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from exporter.core.decode import NotDecodable, page
from exporter.core.details import LogRecord
from exporter.core.notice import Notice
from exporter.core.telling import log_words
from exporter.shell.client import ApiError, Client

AT_ONCE, PATIENCE, KEPT = 8, 5.0, 512
"""Logs that are asked for in one turn, the seconds that a page waits for all of them, and how many are remembered."""


async def tail(client: Client, workload: str, lines: int) -> str:
    """So many lines, the newest last, or why there are none (``GET /otel/workload/{id}/logs``, newest first)."""
    try:
        answer = await client.get("/otel/workload/{id}/logs", {"limit": lines}, id=workload)
        return log_words(page(answer.body, LogRecord).items[:lines])
    except (ApiError, NotDecodable) as error:
        return f"not told: {error}"


class Tails:
    """Adds logs to notices. `clients`: those of the accounts, by name."""

    def __init__(self, clients: Callable[[], Mapping[str, Client]], lines: int, patience: float = PATIENCE) -> None:
        self._clients, self._lines, self._patience = clients, lines, patience
        self._kept: dict[tuple[str, float], str] = {}

    async def added(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        """The notices, those that fire with the log of their workload as it was when they were told first."""
        new = [each for each in notices if each.ended is None and _incident(each) not in self._kept]
        asked = [(each, client) for each in new if (client := self._client(each)) is not None][:AT_ONCE]
        tasks = {
            asyncio.create_task(tail(client, each.labels["workload_id"], self._lines)): _incident(each)
            for each, client in asked
        }
        done, late = await asyncio.wait(tasks, timeout=self._patience) if tasks else (set(), set())
        self._kept |= {tasks[task]: task.result() for task in done}
        self._kept |= {tasks[task]: f"not told within {self._patience:g} s" for task in late}
        for task in late:
            task.cancel()
        told = [self._with(each) for each in notices]
        self._kept = dict([*self._kept.items()][-KEPT:])
        return told

    def _client(self, told: Notice) -> Client | None:
        return self._clients().get(told.labels.get("account", "")) if told.labels.get("workload_id") else None

    def _with(self, told: Notice) -> Notice:
        words = self._kept.get(_incident(told)) if told.ended is None else None
        return told if words is None else told._replace(evidence=(*told.evidence, ("Log", words)))


def _incident(told: Notice) -> tuple[str, float]:
    return told.key, told.began
