"""Files that are replaced while the daemon runs: the settings file, certificates and secrets that the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from exporter.settings import secret_files
from exporter.settings.file_contents import Contents, changed, contents
from exporter.threads import in_own_thread

SECRET_SECONDS = 5.0
"""Seconds to wait for secret files; then requests go on with the secrets that are known."""


class WatchedFiles:
    """`in_force`: the contents of the files that are in use. `refresh` applies others, once they are complete.

    `reload` reads the settings files again; `rebuild` builds everything from other changed files by the settings in
    force. Both return the problems, with which what is in use stays in use. Contents that were refused are not tried
    again, so that each problem is logged once; a certificate and its key may be replaced in any order. `refused`: the
    contents with which a reload was refused, also of files that only the refused settings name; with any others it is
    tried again. `renewed` is called with secret files that have changed; these are used at once.
    """

    def __init__(
        self,
        settings_files: Sequence[Path],
        *,
        reload: Callable[[], Awaitable[list[str]]],
        rebuild: Callable[[], Awaitable[list[str]]],
        renewed: Callable[[frozenset[Path]], object],
        refused: Callable[[], Contents],
    ) -> None:
        self.settings_files, self._renewed, self._refused = settings_files, renewed, refused
        self._reading: asyncio.Task[None] | None = None
        self._reload, self._rebuild = reload, rebuild
        self.in_force: Contents = {}
        self._observed: Contents = {}
        self._tried: Contents = {}
        self._rebuild_failed = False

    async def read_secrets(self) -> None:
        """Read the secret files again. Waits only a limited time for a disk that hangs, and in one thread."""
        previous = self._reading
        if previous is not None and not previous.done():  # it may have read a file before that changed
            await asyncio.wait({previous}, timeout=SECRET_SECONDS)
        if self._reading is None or (self._reading is previous and previous.done()):
            self._reading = asyncio.create_task(self._read_secrets())
        if self._reading is not previous:
            await asyncio.wait({self._reading}, timeout=SECRET_SECONDS)

    async def _read_secrets(self) -> None:
        if files := await in_own_thread(secret_files.read_all):
            self._renewed(files)

    async def refresh(self) -> None:
        """Apply contents that are the same as at the previous call: files may still be written to.

        The files are read in a thread, because a disk may hang.
        """
        await self.read_secrets()
        files = {**self.in_force, **self._refused()}
        before, self._observed = self._observed, await in_own_thread(partial(contents, files))
        now, refused = self._observed, self._refused()
        if now != before or not changed({**self._tried, **refused}, now):
            return
        self._tried = now
        different = changed(self.in_force, now) & self.in_force.keys()
        settings = different & {*self.settings_files}
        if (settings or refused) and not await self._reload():
            return
        if different - settings or self._rebuild_failed:
            self._rebuild_failed = bool(await self._rebuild())
