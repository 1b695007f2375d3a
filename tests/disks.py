"""Disks that fail."""

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from exporter.state.store import Store


@contextlib.contextmanager
def full_disk(store: Store, *, spent: bool = False) -> Iterator[None]:
    """Simulates a full disk by a limit on the size of files: the write itself fails.

    `spent`: what the state keeps free for this case is used up, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        files = [Path(f"{store.path}{suffix}") for suffix in ("", "-wal")]
        size = 1 if spent else max(file.stat().st_size for file in files)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
