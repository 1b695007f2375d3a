"""Background tasks of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from exporter.log import log


class BackgroundTasks:
    """Tasks that nothing else awaits: kept referenced until they are done. Their exceptions are logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Run `work` in a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def join(self) -> None:
        """Wait for all tasks. Raises the first exception of one of them."""
        await asyncio.gather(*self._tasks)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)
