"""Work that waits for files, in threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class _OwnThread(Executor):
    """A new thread for each call. Unlike those of a pool, they do not keep the process from ending."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        """See `Executor.submit`."""
        future = Future[T]()

        def run() -> None:
            try:
                future.set_result(fn(*args, **named))
            except BaseException as error:  # noqa: BLE001 — passed on to who waits for the result
                future.set_exception(error)

        future.set_running_or_notify_cancel()  # from now on it cannot be cancelled
        Thread(target=run, name="files", daemon=True).start()
        return future


_OWN_THREAD = _OwnThread()


async def in_own_thread(work: Callable[[], T], seconds: float | None = None) -> T:
    """The result of `work` in a new thread: a file that hangs occupies none of the threads that others need.

    Raises TimeoutError after `seconds`; the thread stays.
    """
    async with asyncio.timeout(seconds):
        return await asyncio.get_running_loop().run_in_executor(_OWN_THREAD, work)
