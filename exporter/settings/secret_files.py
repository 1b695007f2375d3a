"""Secrets in files. They are kept in memory, so that using one never waits for a disk."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path


class SecretFile:
    """The contents of a file when it was last read; while it cannot be read, such as during a mount update, those
    before. Made, and read again by `read` or `read_all`, in a thread: both wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""
        self.read()
        with _lock:
            _files.add(self)

    def __call__(self) -> str:
        return self._text

    def read(self) -> bool:
        """Read the file again if it has changed; returns whether the secret is another one."""
        before = self._text
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._text = self.path.read_text("utf-8").strip() or before
                self._stamp = stamp
        except (OSError, UnicodeDecodeError):
            return False
        return self._text != before

    def __repr__(self) -> str:
        return f"<secret of {self.path}>"


_files: weakref.WeakSet[SecretFile] = weakref.WeakSet()
_lock = threading.Lock()


def read_all() -> frozenset[Path]:
    """Read all secret files in use again; returns those with another secret than before."""
    with _lock:
        files = list(_files)
    return frozenset([each.path for each in files if each.read()])
