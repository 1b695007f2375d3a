"""Files that are replaced while the daemon runs: the settings file, and certificates that the settings name."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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


class WatchedFiles:
    """`in_force`: the contents of the files that are in use. `refresh` applies others, once they are complete.

    `reload` reads the settings files again; `rebuild` builds everything from other changed files by the settings in
    force. Both return the problems, with which what is in use stays in use. Contents that were refused are not tried
    again, so that each problem is logged once; a certificate and its key may be replaced in any order.
    """

    def __init__(
        self,
        settings_files: Sequence[Path],
        *,
        reload: Callable[[], Awaitable[list[str]]],
        rebuild: Callable[[], Awaitable[list[str]]],
    ) -> None:
        self.settings_files = settings_files
        self._reload, self._rebuild = reload, rebuild
        self.in_force: Contents = {}
        self._observed: Contents = {}
        self._tried: Contents = {}

    async def refresh(self) -> None:
        """Apply contents that are the same as at the previous call: files may still be written to.

        The files are read in a thread, because a disk may hang.
        """
        before, self._observed = self._observed, await asyncio.to_thread(contents, self.in_force)
        now = self._observed
        if now != before or now == self._tried:
            return
        self._tried = now
        different = changed(self.in_force, now)
        settings = different & {*self.settings_files}
        if settings and not await self._reload():
            return
        if different - settings:
            await self._rebuild()
