"""The process as the kernel sees it: no core file is ever written, for it would hold every secret in plain text."""

from __future__ import annotations

import contextlib
import ctypes
import resource

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def no_core_files() -> None:
    """Turn core files off, for good.

    The limit alone is not enough: Linux ignores it where cores go to a program, as `kernel.core_pattern` may say.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
