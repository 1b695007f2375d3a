"""The certificate authorities that clients of the exporter trust."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path


def trusted(ca_file: Path | str | None = None) -> ssl.SSLContext:
    """A context that verifies servers by the authorities of this machine, and by those in `ca_file` (PEM).

    Raises OSError for a file that cannot be used. Clients without a file of their own share one context, because
    reading the authorities of a machine takes tens of milliseconds; it is replaced when these change.
    """
    if ca_file is None:
        return _of_machine(_stamps())
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    return context


@functools.lru_cache(maxsize=1)
def _of_machine(_: object) -> ssl.SSLContext:
    return ssl.create_default_context()


def _stamps() -> tuple[object, ...]:
    """Changes with the files of the machine's authorities, and with the environment variables that name them."""
    paths = ssl.get_default_verify_paths()
    found: list[object] = []
    for path in (paths.cafile, paths.capath):
        if path is not None:
            status = Path(path).stat()
            found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
