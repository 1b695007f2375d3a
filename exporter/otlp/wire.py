"""Protocol Buffers, written directly: its classes take more than twice as long for data points.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

import struct

VARINT, FIXED64, BYTES = 0, 1, 2
"""Wire types."""
double = struct.Struct("<d").pack
fixed64 = struct.Struct("<Q").pack


def varint(value: int) -> bytes:
    """A number from 0 upwards."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(field: int, kind: int) -> bytes:
    """The tag of a field."""
    return varint(field << 3 | kind)


def message(field: int, content: bytes) -> bytes:
    """A field that contains a message, a text or bytes."""
    return tag(field, BYTES) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """A field that contains a text; an empty one is left out."""
    return message(field, value.encode()) if value else b""


def attribute(field: int, key: bytes, value: bytes) -> bytes:
    """A field that contains a KeyValue with a text, in UTF-8."""
    return message(field, message(1, key) + message(2, message(1, value)))
