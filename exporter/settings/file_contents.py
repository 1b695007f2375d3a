"""Contents of files that are replaced while the daemon runs: files with the same ones at two checks are complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

Contents = Mapping[Path, bytes | None]
"""A digest of the content of each file; None: it cannot be read."""


def contents(files: Iterable[Path]) -> Contents:
    """What is in the files now. Waits for the disk."""
    return {file: _digest(file) for file in files}


def _digest(file: Path) -> bytes | None:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return None


def changed(before: Contents, now: Contents) -> frozenset[Path]:
    """The files with another content than before, or that were not used before."""
    return frozenset(file for file in now if file not in before or before[file] != now[file])
