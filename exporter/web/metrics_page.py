"""The bytes of /metrics in each format, and their gzip form, prepared before a request arrives."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from exporter.metrics.exposition import Body

deflater: ModuleType = zlib
with suppress(ImportError):  # platforms without a wheel: five times slower
    from isal import isal_zlib

    deflater = isal_zlib

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LAST_BLOCK = b"\x03\x00"
_SMALL = 1024


class Published(NamedTuple):
    """One version of the page. Identity forms are several buffers: a single one of 75 MB would be mapped again each
    time.
    """

    text: tuple[bytes, ...] = (b"",)
    openmetrics: tuple[bytes, ...] = (b"# EOF\n",)
    text_gzip: bytes = zlib.compress(b"", wbits=31)
    openmetrics_gzip: bytes = zlib.compress(b"# EOF\n", wbits=31)

    @property
    def sizes(self) -> Mapping[tuple[str, str], int]:
        """Bytes by (format, encoding)."""
        return {
            ("text", "identity"): sum(map(len, self.text)),
            ("openmetrics", "identity"): sum(map(len, self.openmetrics)),
            ("text", "gzip"): len(self.text_gzip),
            ("openmetrics", "gzip"): len(self.openmetrics_gzip),
        }


class Publisher:
    """Builds `Published` from the bodies of families; compresses only the bodies that changed.

    The gzip form is one member, stitched from chunks of raw deflate that end on a byte (RFC 1951 and RFC 1952):
    clients such as curl read only the first of several members. `deflate` is `deflated`.
    """

    def __init__(self, deflate: Callable[[Sequence[bytes]], bytes] | None = None) -> None:
        self._deflate = deflate or deflated
        self._chunks: dict[str, tuple[tuple[bytes, ...], bytes]] = {}

    def publish(self, bodies: Sequence[Body], text_tail: bytes, openmetrics_tail: bytes) -> Published:
        """Build the page of `bodies` followed by the tail of each format. Takes no lock and reads no clock."""
        samples = [self._deflated(body) for body in bodies]
        forms = []
        for headers, tail in (
            ([body.text_header for body in bodies], text_tail),
            ([body.openmetrics_header for body in bodies], openmetrics_tail + b"# EOF\n"),
        ):
            parts = [part for header, body in zip(headers, bodies, strict=True) for part in (header, *body.samples)]
            chunks = [
                part
                for header, chunk in zip(headers, samples, strict=True)
                for part in (_deflated_header(header), chunk)
            ]
            forms.append((_joined([*parts, tail]), _member([*chunks, self._deflate((tail,))], [*parts, tail])))
        (text, text_gzip), (openmetrics, openmetrics_gzip) = forms
        return Published(text, openmetrics, text_gzip, openmetrics_gzip)

    def _deflated(self, body: Body) -> bytes:
        known = self._chunks.get(body.name)
        # Compared, which takes no time for the same objects: families of accounts are rendered every time.
        if known is None or known[0] != body.samples:
            known = self._chunks[body.name] = (body.samples, self._deflate(body.samples))
        return known[1]


def deflated(data: Sequence[bytes]) -> bytes:
    """Raw deflate that ends on a byte and refers to no earlier data, so that chunks can be concatenated."""
    if not any(data):
        return b""
    packer = deflater.compressobj(1, deflater.DEFLATED, -15)
    return b"".join([*map(packer.compress, data), packer.flush(deflater.Z_FULL_FLUSH)])


@lru_cache(maxsize=1024)
def _deflated_header(header: bytes) -> bytes:
    return deflated((header,))


def _member(chunks: Iterable[bytes], parts: Iterable[bytes]) -> bytes:
    check = size = 0
    for part in parts:
        check = deflater.crc32(part, check)
        size += len(part)
    return b"".join([_GZIP_HEAD, *chunks, _LAST_BLOCK, struct.pack("<II", check, size & 0xFFFFFFFF)])


def _joined(parts: Iterable[bytes]) -> tuple[bytes, ...]:
    """The parts, small ones joined: a write to a socket costs more than a copy of a small part."""
    buffers: list[bytes] = []
    for large, group in itertools.groupby(parts, lambda part: len(part) > _SMALL):
        if large:
            buffers += group
        else:
            buffers.append(b"".join(group))
    return tuple(filter(None, buffers))
