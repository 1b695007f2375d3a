"""Memory of a process that holds a large fleet: allocator settings and garbage collection."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable

FULL_COLLECTION_SECONDS = 60.0
"""Minimum seconds between two full garbage collections."""
FULL_COLLECTION_SHARE = 0.0001
"""Maximum share of the time that full garbage collections take: with a large fleet they are rarer."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h of glibc


def limit_fragmentation() -> None:
    """Return memory of replaced page fragments to the system: saves 8 % with a fleet of 10,000.

    Fragments are replaced all the time and would leave holes in a single heap. Does nothing without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 16384)
        libc.mallopt(_M_ARENA_MAX, 1)


class GarbageCollection:
    """Keeps the fleet's objects out of most garbage collections.

    `steady` is the process's clock, whatever clock the fleet has: garbage is created by running.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._due: float | None = None
        """When the next full collection is due; None: not all accounts have been ready yet."""

    def freeze(self, *, ready: bool) -> None:
        """Freeze the known objects so that later collections skip them, from when all accounts are ready.

        Scanning them pauses the process for a quarter of a second with a large fleet and finds next to nothing. What
        has become garbage since the last call is collected before, because it would be frozen, too. What is frozen and
        then becomes garbage, such as the frames of requests in progress, is found by a full collection at times.
        """
        began = self._steady()
        if self._due is None and not ready:
            return
        full = self._due is None or began >= self._due
        if self._due is not None and full:
            gc.unfreeze()
        gc.collect(2 if full else 1)  # the two youngest generations are small
        gc.freeze()
        if full:
            self._due = began + max(FULL_COLLECTION_SECONDS, (self._steady() - began) / FULL_COLLECTION_SHARE)

    def expect_garbage(self) -> None:
        """Make a full collection due soon: a reload has replaced clients with requests in progress."""
        if self._due is not None:
            self._due = min(self._due, self._steady() + FULL_COLLECTION_SECONDS)
