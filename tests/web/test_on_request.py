"""Pages that are made on request: outside the event loop, one at a time, for all clients together."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from exporter.web.on_request import Cached, made


class Maker:
    """Makes numbers; `began` is set in the thread, which then waits for `may_end`."""

    def __init__(self) -> None:
        self.taken = self.made = 0
        self.began, self.may_end = threading.Event(), threading.Event()
        self.threads = set[int]()

    def take(self) -> Callable[[], int]:
        self.taken += 1
        return self.make

    def make(self) -> int:
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.may_end.wait(10)
        self.made += 1
        return self.made


def test_concurrent_requests_share_one_value_made_in_another_thread() -> None:
    maker = Maker()

    async def work() -> list[int]:
        cached = Cached(maker.take)
        requests = [asyncio.create_task(cached()) for _ in range(5)]
        while not maker.began.is_set():  # noqa: ASYNC110 — the loop goes on meanwhile
            await asyncio.sleep(0)  # let the other tasks run
        maker.may_end.set()
        return [*await asyncio.gather(*requests), await cached()]

    assert asyncio.run(work()) == [1] * 6
    assert (maker.taken, maker.made) == (1, 1)
    assert threading.get_ident() not in maker.threads


def test_a_failed_value_is_made_again() -> None:
    results: list[int | Exception] = [ValueError("odd"), 2]

    def make() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async def work() -> int:
        cached = Cached(lambda: make)
        with pytest.raises(ValueError, match="odd"):
            await cached()
        return await cached()

    assert asyncio.run(work()) == 2


def test_requests_occupy_no_thread_of_the_default_executor() -> None:
    maker = Maker()

    async def work() -> str:
        requests = [asyncio.create_task(made(maker.make)) for _ in range(100)]
        while not maker.began.is_set():  # noqa: ASYNC110 — the loop goes on meanwhile
            await asyncio.sleep(0)  # let the other tasks run
        other = await asyncio.to_thread(lambda: "done")
        assert maker.made == 0
        maker.may_end.set()
        await asyncio.gather(*requests)
        return other

    assert asyncio.run(work()) == "done"
    assert len(maker.threads) == 1


def test_what_takes_milliseconds_does_not_wait_for_what_takes_seconds() -> None:
    maker = Maker()

    async def work() -> tuple[int, int]:
        long = asyncio.create_task(made(maker.make))
        short = await made(lambda: 5, short=True)
        maker.may_end.set()
        return short, await long

    assert asyncio.run(work()) == (5, 1)
