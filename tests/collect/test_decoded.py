"""A response of the greatest size that is read leaves the event loop its turns, whatever is broken in it."""

import asyncio
import time

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
BROKEN = {
    "bytes that are not UTF-8": full(ITEM, b"\xff", END),
    "every second byte is not UTF-8": full(ITEM, b"a\xff", END),
    "surrogates": full(ITEM, b"\xed\xa0\x80", END),
    "such bytes in a name": full(b'{"', b"\xff", b'":[NaN]}'),
    "such bytes outside of a text": full(b'{"data":[', b"\xff", b"]}"),
    "words": full(b'{"data":[', b"x ", b"]}"),
    "quotes": full(b'{"data":[', b'"', b"]}"),
    "texts without commas": full(b'{"data":[', b'"a" ', b"]}"),
    "colons": full(b'{"data":[', b":", b"]}"),
    "nested": full(b'{"data":[', b'{"a":', b"}", NUMBER),
    "escapes that are none": full(b'{"data":[', b'"\xff\\q",', b"0]}", NUMBER // 2),
    "items with fields of other types": full(
        b'{"data":[', b'{"id":"x","name":5,"createdAt":[]},', b'{"id":""}]}', 19_000
    ),
    "names": b'{"data":[{"name":1,%b,"x":NaN}]}' % b",".join(b'"%d":1' % number for number in range(NUMBER)),
    "UTF-16": full(b'{"data":[', b'"a" ', b"]}", MAX_BODY_BYTES // 10).decode().encode("utf-16"),
    "the token": full(ITEM, TOKEN.encode(), b'","name":5}]}'),
    "escapes": full(ITEM, b"%2541", b'","name":5}]}', MAX_ESCAPES - 10),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_the_loop_goes_on_while_a_broken_response_is_read(body: bytes) -> None:
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
