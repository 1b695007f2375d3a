"""Work in threads of its own: what waits for files, and what takes long because it is large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

MAX_BYTES_ON_LOOP = 16 * 1024
"""Maximum size of a body that is read on the event loop: the slowest ones, nested and broken, take 1 ms per kB."""


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


_CALCULATIONS = ThreadPoolExecutor(1, "calculations")


async def calculated(work: Callable[[bytes], T], body: bytes) -> T:
    """The result of `work` on a body of a response; of a large one in a thread, so that the event loop goes on.

    It is one thread: of several that calculate, all would take turns with the loop.
    """
    if len(body) <= MAX_BYTES_ON_LOOP:
        return work(body)
    return await asyncio.get_running_loop().run_in_executor(_CALCULATIONS, work, body)
