"""Secrets in files. They are kept in memory, so that using one never waits for a disk."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

SETTLE_SECONDS = 0.5
"""Seconds for which new contents of a file must stay the same: a writer may empty it first, or write in parts."""
MAX_READS = 5
"""Number of times that a file which changes all the time is read at once."""


class SecretFile:
    """The contents of a file when it was last complete; while it cannot be read, such as during a mount update, those
    before. Made, and read again by `read` or `read_all`, in a thread: both wait for the disk. `pause` waits seconds.
    """

    def __init__(self, path: Path, pause: Callable[[float], None] = time.sleep) -> None:
        self.path, self._pause = path, pause
        with _lock:
            known = next((each() for each in _files if each.path == path), "")
        self._text = known or self._content()  # the first contents are used at once
        self.read()
        with _lock:
            _files.add(self)

    def __call__(self) -> str:
        return self._text

    def read(self) -> bool:
        """Read the file again; returns whether the secret is another one. What is still written to is not used."""
        text = self._content()
        for _ in range(MAX_READS):
            if text in ("", self._text):
                return False
            self._pause(SETTLE_SECONDS)
            before, text = text, self._content()
            if text == before:
                self._text = text
                return True
        return False

    def _content(self) -> str:
        """What is in the file now; empty if it cannot be read."""
        try:
            return self.path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def __repr__(self) -> str:
        return f"<secret of {self.path}>"


_files: weakref.WeakSet[SecretFile] = weakref.WeakSet()
_lock = threading.Lock()


def read_all() -> frozenset[Path]:
    """Read all secret files in use again; returns those with another secret than before."""
    with _lock:
        files = list(_files)
    return frozenset([each.path for each in files if each.read()])
