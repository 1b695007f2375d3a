"""A response of the greatest size that is read leaves the event loop its turns, whatever is broken in it."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from exporter.collect.client import MAX_BODY_BYTES, MAX_ESCAPES, Client
from exporter.collect.sweep import sweep
from exporter.fleet.reconcile import Sweep
from tests.collect.test_client import World

MAX_SECONDS_PER_TURN = 0.02
"""Processor time per turn of the loop: a thread that waits gets its turn after 5 ms, unless a call takes longer."""
NUMBER = 199_000
"""Values that are read of a response."""
TOKEN = "NjUxYjJjZm9vYmFyYmF6cXV4"


def full(before: bytes, part: bytes, after: bytes, most: int = MAX_BODY_BYTES) -> bytes:
    """A body of the greatest size, or of a number of parts."""
    return before + part * min(most, (MAX_BODY_BYTES - len(before + after)) // len(part)) + after


ITEM, END = b'{"data":[{"id":"', b'"}]}'
BROKEN: dict[str, Callable[[], bytes]] = {
    "bytes that are not UTF-8": lambda: full(ITEM, b"\xff", END),
    "every second byte is not UTF-8": lambda: full(ITEM, b"a\xff", END),
    "surrogates": lambda: full(ITEM, b"\xed\xa0\x80", END),
    "such bytes in a name": lambda: full(b'{"', b"\xff", b'":[NaN]}'),
    "such bytes outside of a text": lambda: full(b'{"data":[', b"\xff", b"]}"),
    "words": lambda: full(b'{"data":[', b"x ", b"]}"),
    "quotes": lambda: full(b'{"data":[', b'"', b"]}"),
    "texts without commas": lambda: full(b'{"data":[', b'"a" ', b"]}"),
    "colons": lambda: full(b'{"data":[', b":", b"]}"),
    "nested": lambda: full(b'{"data":[', b'{"a":', b"}", NUMBER),
    "escapes that are none": lambda: full(b'{"data":[', b'"\xff\\q",', b"0]}", NUMBER // 2),
    "items with fields of other types": lambda: full(
        b'{"data":[', b'{"id":"x","name":5,"createdAt":[]},', b'{"id":""}]}', 19_000
    ),
    "names": lambda: b'{"data":[{"name":1,%b,"x":NaN}]}' % b",".join(b'"%d":1' % number for number in range(NUMBER)),
    "UTF-16": lambda: full(b'{"data":[', b'"a" ', b"]}", MAX_BODY_BYTES // 10).decode().encode("utf-16"),
    "the token": lambda: full(ITEM, TOKEN.encode(), b'","name":5}]}'),
    "escapes": lambda: full(ITEM, b"%2541", b'","name":5}]}', MAX_ESCAPES - 10),
}
"""Functions: every process that collects tests would keep the bodies of many megabytes."""


@pytest.mark.parametrize("name", BROKEN)
def test_the_loop_goes_on_while_a_broken_response_is_read(name: str) -> None:
    body = BROKEN[name]()

    async def work(client: Client) -> tuple[Sweep, int, float]:
        turns, began = 0, time.process_time()
        reading = asyncio.create_task(sweep(client))
        while not reading.done():
            await asyncio.wait({reading}, timeout=0.001)  # other threads may run
            turns += 1
        return reading.result(), turns, time.process_time() - began

    result, turns, seconds = World(lambda request: httpx.Response(200, content=body), lambda: TOKEN).run(work)
    assert result.failure in ("decode", "incomplete", "too_large") or result.rejects
    assert turns >= seconds / MAX_SECONDS_PER_TURN
