"""The file of a recording: lines, compressed by gzip, written so that a recording that is cut off can be read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.errors import ExporterError
from exporter.recording.lines import Exchange, Header, Lines, NotARecording, RecordedLine, TextCounts, read

FLUSH_SECONDS = 1.0
"""How much of a recording is lost, at most, if the process is killed."""
_GZIP = zlib.MAX_WBITS | 16
_CHUNK_BYTES = 1 << 18


class RecordingError(ExporterError):
    """Raised if a recording cannot be written or read."""


class RecordingFile:
    """A new file with a recording. `wall`: seconds since the epoch.

    `add` never raises: `problem` is why nothing can be written any more; empty: it can. Raises `RecordingError` if the
    file exists or cannot be made.
    """

    def __init__(self, path: Path, lines: Lines, wall: Callable[[], float]) -> None:
        self._path, self._lines, self._wall = path, lines, wall
        self._packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self.problem = ""
        self.responses = self.bytes = 0
        self._flushed = 0.0
        try:
            self._file = path.open("xb", buffering=0)
            self._path.chmod(0o600)
        except FileExistsError:
            raise RecordingError(f"{path} exists; name another file") from None
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from error
        self._written = bytearray()
        self._add(lines.header())

    def add(self, exchange: Exchange, date: float | None) -> None:
        """Record a request and its response. `date`: the response's Date header, in seconds since the epoch."""
        if not self.problem:
            self.responses += 1
            self._add(self._lines.line(exchange, self._wall(), date))

    def _add(self, line: bytes) -> None:
        self._written += self._packer.compress(line)
        if self._wall() - self._flushed >= FLUSH_SECONDS:
            self._flushed = self._wall()
            self._flush(zlib.Z_SYNC_FLUSH)

    def _flush(self, mode: int) -> None:
        self._written += self._packer.flush(mode)
        self.bytes += len(self._written)
        try:
            while self._written:
                del self._written[: self._file.write(self._written) or 0]
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}; what was recorded before can be read"

    def close(self) -> None:
        """Write the rest and the counts."""
        if not self.problem:
            self._written += self._packer.compress(self._lines.counts())
            self._flush(zlib.Z_FINISH)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def read_recording(path: Path) -> tuple[Header, Iterator[RecordedLine | TextCounts]]:
    """The lines of a file, to the last complete one. Raises `RecordingError` and `NotARecording`."""
    try:
        return read(_lines(path))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    except NotARecording as error:
        raise RecordingError(f"{path}: {error}") from error


def _lines(path: Path) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP)
    left = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            try:
                left += unpacker.decompress(chunk)
            except zlib.error:
                return
            *lines, left = left.split(b"\n")
            yield from lines
