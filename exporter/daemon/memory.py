"""Memory of a process that holds a large fleet: allocator settings and garbage collection."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable

MAX_SCANNED = 20_000
"""Objects that may be scanned for garbage in one step of the event loop: about 10 ms."""
OBJECTS_PER_WORKLOAD = 40
"""Objects of one workload that may be frozen, a few more than there are."""
MAX_GARBAGE = 100_000
"""Frozen objects beyond those of the start and of the workloads that may be garbage, before all are scanned."""
RETIRED_SECONDS = 60.0
"""Seconds after a reload in which the requests of replaced clients end."""
_NEVER = 1_000_000_000
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
    """Keeps pauses for garbage collections short, however large the fleet is. `steady` is the clock.

    A full collection scans all objects, which takes a quarter of a second with a large fleet, and finds next to
    nothing: replaced objects of the fleet are freed without it. Only objects that are not frozen are therefore scanned,
    and once they are many they are frozen. All are scanned if so many were frozen that some must be garbage, and after
    a reload.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._settled: int | None = None
        """Number of objects at the start; None: not started."""
        self._necessary = 0
        """Number of frozen objects after the last scan of all."""
        self._due: float | None = None
        """When all objects are to be scanned because of a reload."""

    def start(self) -> None:
        """Freeze what was imported and built at the start; later collections of all others are made by `collect`."""
        self._scan_all()
        self._settled = self._necessary
        gc.set_threshold(*gc.get_threshold()[:2], _NEVER)

    def collect(self, workloads: int) -> None:
        """Collect garbage; called every few seconds, with the number of workloads. Does nothing before `start`."""
        if self._settled is None:
            return
        if self._due is not None and self._steady() >= self._due:
            self._scan_all()
            return
        gc.collect(1)  # the two youngest generations are small
        if len(gc.get_objects(generation=2)) <= MAX_SCANNED:
            gc.collect()
            return
        gc.freeze()
        expected = max(self._settled + OBJECTS_PER_WORKLOAD * workloads, self._necessary)
        if gc.get_freeze_count() > expected + MAX_GARBAGE:
            self._scan_all()

    def _scan_all(self) -> None:
        self._due = None
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._necessary = gc.get_freeze_count()

    def expect_garbage(self) -> None:
        """Scan all objects soon: a reload has replaced clients with requests in progress."""
        if self._due is None:
            self._due = self._steady() + RETIRED_SECONDS
