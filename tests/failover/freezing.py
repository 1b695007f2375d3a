"""Tasks of a replica that can be frozen between any two of their steps, as SIGSTOP does, or ended as SIGKILL does."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any

OWNER: ContextVar[Freezer | None] = ContextVar("owner", default=None)


class Freezer:
    """`tasks` are all that were created by one of them, or within `owned`."""

    def __init__(self) -> None:
        self.frozen = self.dead = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self._waiting: list[asyncio.Future[None]] = []

    def thaw(self) -> None:
        """Go on where everything stopped."""
        self.frozen = False
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        self._waiting = []

    def kill(self) -> None:
        """No task makes another step."""
        self.dead = True
        for task in self.tasks:
            task.cancel()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that belongs to this."""
        token = OWNER.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            OWNER.reset(token)

    @types.coroutine
    def gated(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """`work`, whose steps wait while this is frozen."""
        value: Any = None
        error: BaseException | None = None
        while True:
            while self.frozen and not self.dead:
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                try:
                    yield from future
                except asyncio.CancelledError as cancelled:
                    error = cancelled
            if self.dead:
                return None
            try:
                yielded = work.send(value) if error is None else work.throw(error)
            except StopIteration as stop:
                return stop.value
            value, error = None, None
            try:
                value = yield yielded
            except BaseException as raised:  # noqa: BLE001 — passed on to the work
                error = raised


def factory(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task factory for `asyncio.AbstractEventLoop.set_task_factory`."""
    owner = OWNER.get()
    task: asyncio.Task[Any] = asyncio.Task(work if owner is None else owner.gated(work), loop=loop, **more)
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task
