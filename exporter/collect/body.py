"""Reads the body of a response, unpacked while it is received, so that no more than a limit is ever in memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable

from exporter.http_client import CHUNKS_PER_TURN

ACCEPTED = "gzip"
"""The Accept-Encoding of requests. Only one level of it is unpacked: each level may multiply the size by a thousand."""


class NotUnpackable(ValueError):
    """Raised for a body in an encoding that was not accepted, or that is damaged."""


async def unpacked(chunks: AsyncIterable[bytes], encoding: str, limit: int) -> bytes:
    """The unpacked body, or its first `limit` + 1 bytes if it is longer. `encoding`: its Content-Encoding.

    Raises `NotUnpackable`.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise NotUnpackable("the body has a content encoding that was not accepted")
    gzip = _Gzip() if encoding.endswith("gzip") else None
    body, received, number = bytearray(), 0, 0
    async for chunk in chunks:
        received, number = received + len(chunk), number + 1
        if number % CHUNKS_PER_TURN == 0:
            await asyncio.sleep(0)  # let the other tasks run
        if received > 2 * limit:  # such as gzip members that unpack to nothing
            raise NotUnpackable("the compressed body is longer than what may be unpacked")
        left = limit + 1 - len(body)
        body += chunk[:left] if gzip is None else gzip.unpacked(chunk, left)
        if len(body) > limit:
            return bytes(body)
    if gzip is not None and not gzip.complete:
        raise NotUnpackable("the compressed body ends early")
    return bytes(body)


class _Gzip:
    """Unpacks a gzip file, of one member or several (RFC 1952 2.2). `complete`: its last member has ended."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.complete = True

    def unpacked(self, packed: bytes, most: int) -> bytes:
        """Up to `most` bytes of what the next bytes of the file unpack to. Raises `NotUnpackable`."""
        found = bytearray()
        while packed and len(found) < most:
            if self._member.eof:
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                found += self._member.decompress(packed, most - len(found))
            except zlib.error as error:
                raise NotUnpackable("the compressed body is damaged") from error
            packed = self._member.unused_data or self._member.unconsumed_tail
            self.complete = self._member.eof
        return bytes(found)
