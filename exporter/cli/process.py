"""Settings of the process: standard streams, and no core dumps, which would contain every secret in plain text."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select

OUTPUT_NOT_READ = 141
"""Exit status when nothing reads the output any more: that of a program which SIGPIPE (13) ends."""
_PR_SET_DUMPABLE = 4  # linux/prctl.h


def disable_core_dumps() -> None:
    """Disable core dumps for the rest of the process's life.

    The resource limit alone is not enough: Linux ignores it if `kernel.core_pattern` pipes core dumps to a program.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def open_standard_streams() -> None:
    """Open those of the three standard streams that are closed: another file would get their numbers.

    The event loop ends the process if it has to close one of these numbers.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def output_is_read() -> bool:
    """Whether standard output and standard error are still read, as far as is known: not those of a pipe to a program
    that has ended.
    """
    pipes = select.poll()
    for number in (1, 2):
        pipes.register(number, 0)
    return not any(events & select.POLLERR for _, events in pipes.poll(0))


def discard_output() -> None:
    """Discard what is still to be written to standard output and standard error."""
    discarding = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(discarding, number)
