"""Pages that are made on request: in threads of their own, and what takes long once for all clients together.

Any client that can connect can request one. The event loop and the default executor, which publishing, commits and
paging need, therefore make none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

CACHE_SECONDS = 5.0
"""How long one value is served to all clients."""
T = TypeVar("T")
_THREAD = ThreadPoolExecutor(1, "pages")
_SHORT_THREAD = ThreadPoolExecutor(1, "short-pages")
"""For what takes milliseconds, and need not wait for what takes seconds."""


async def made(make: Callable[[], T], *, short: bool = False) -> T:
    """What `make` returns; it runs in the thread of pages. `short`: it takes milliseconds."""
    return await asyncio.get_running_loop().run_in_executor(_SHORT_THREAD if short else _THREAD, make)


class Cached(Generic[T]):
    """A value that is made on request and then served for `CACHE_SECONDS`.

    `take` is called on the event loop; it returns the function that makes the value of what is known at that moment.
    """

    def __init__(self, take: Callable[[], Callable[[], T]]) -> None:
        self._take = take
        self._making = asyncio.Lock()
        self._value: tuple[T] | None = None

    async def __call__(self) -> T:
        async with self._making:
            if self._value is None:
                self._value = (await made(self._take()),)
                asyncio.get_running_loop().call_later(CACHE_SECONDS, self._forget)
            return self._value[0]

    def _forget(self) -> None:
        self._value = None
