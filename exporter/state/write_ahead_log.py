"""Detection of a damaged write-ahead log, of which SQLite silently drops everything from the damage on.

Source: SQLite, "Database File Format", 4.1 to 4.3. Salts and checksums distinguish frames of the current log from older
ones that it overwrites.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
_MAGIC = 0x377F0682
"""The last bit of the first word is the byte order of checksums: 0 is little-endian."""


def lost_transactions(file: Path) -> int:
    """Number of transactions in a log that are complete, but lie behind a damaged frame. Raises OSError."""
    content = file.read_bytes()
    if len(content) < _HEADER.size:
        return 0
    magic, _, page, _, *salts, first, second = _HEADER.unpack_from(content)
    if magic | 1 != _MAGIC | 1 or not 512 <= page <= 65536:
        return 0
    order = ">" if magic & 1 else "<"
    if _checksum(content[: _HEADER.size - 8], order, (0, 0)) != (first, second):
        return 0
    sums, damaged, lost = (first, second), False, 0
    for start in range(_HEADER.size, len(content) - _FRAME.size - page + 1, _FRAME.size + page):
        _, commit, *of_frame, first, second = _FRAME.unpack_from(content, start)
        if of_frame != salts:
            break
        if not damaged:
            data = start + _FRAME.size
            sums = _checksum(content[start : start + 8] + content[data : data + page], order, sums)
            damaged = sums != (first, second)
        lost += damaged and commit > 0
    return lost


def _checksum(content: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    first, second = before
    for one, two in struct.iter_unpack(f"{order}2I", content):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
