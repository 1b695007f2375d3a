"""The lines of a recording: JSON, one response each, after one that describes the recording.

A body that is the same as that of the response before to the same request is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from exporter.errors import ExporterError
from exporter.recording.redactor import Redactor

FORMAT = 1
MISSING = msgspec.Raw(b"null")


class Exchange(NamedTuple):
    """A GET and its response as received. `path` without scheme and host; `headers` by names in lower case.

    `status` 0: there was no response.
    """

    route: str
    path: str
    params: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    body: bytes


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line. `started`: in seconds since the epoch, moved like all times. `seconds`: how often it sweeps."""

    format: int
    started: float
    exporter: str = ""
    interval: float = 30.0


class RecordedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A response. `at`: seconds since the start. `ahead`: how far its Date header is ahead of that, in seconds.

    `body`: JSON; `empty`: there is none; `other`: it is not JSON, and was left out; `same`: that of the response before
    to the same request.
    """

    at: float
    path: str
    status: int
    query: str = ""
    headers: dict[str, str] = {}
    ahead: float | None = None
    body: msgspec.Raw = MISSING
    empty: bool = False
    other: bool = False
    same: bool = False


class TextCounts(msgspec.Struct, frozen=True):
    """The last line of a recording that was completed: how many texts were kept and replaced, by their field."""

    kept: dict[str, int]
    replaced: dict[str, int]


class NotARecording(ExporterError):
    """Raised for a file that is not a recording, or one of another format."""


class Lines:
    """Makes the lines of one recording."""

    def __init__(self, redactor: Redactor, exporter: str = "", interval: float = 30.0) -> None:
        self._redactor = redactor
        self._exporter, self._interval = exporter, interval
        self._bodies: dict[tuple[str, str], int] = {}

    def header(self) -> bytes:
        """The first line."""
        started = self._redactor.clock(self._redactor.started)
        return msgspec.json.encode(Header(FORMAT, started, self._exporter, self._interval)) + b"\n"

    def line(self, exchange: Exchange, at: float, date: float | None) -> bytes:
        """The line of a response that was received `at`; `date` is its Date header; both in seconds since the epoch."""
        redactor = self._redactor
        path, query = redactor.path(exchange.path), redactor.query(exchange.params)
        body, other = self._body(exchange)
        digest = hash(body)
        same = bool(body) and self._bodies.get((path, query)) == digest
        self._bodies[path, query] = digest
        line = RecordedLine(
            at=(at - redactor.started) // 1e-6 / 1e6,  # never later than it was
            path=path,
            status=exchange.status,
            query=query,
            headers=redactor.headers(exchange.headers),
            ahead=None if date is None else round(date - at, 6),
            body=MISSING if same or not body else msgspec.Raw(body),
            empty=not exchange.body,
            other=other,
            same=same,
        )
        return msgspec.json.encode(line) + b"\n"

    def _body(self, exchange: Exchange) -> tuple[bytes, bool]:
        """The body as redacted JSON, and whether it is not JSON; empty if there is none."""
        if not exchange.body:
            return b"", False
        try:
            parsed = json.loads(exchange.body)
            return msgspec.json.encode(self._redactor.json(parsed, exchange.route)), False
        except (ValueError, RecursionError, OverflowError):
            return b"", True

    def counts(self) -> bytes:
        """The last line."""
        return msgspec.json.encode(TextCounts(dict(self._redactor.kept), dict(self._redactor.replaced))) + b"\n"


def read(lines: Iterable[bytes]) -> tuple[Header, Iterator[RecordedLine | TextCounts]]:
    """The first line and all others; a line that is not complete ends it. Raises `NotARecording`."""
    each = iter(lines)
    try:
        header = msgspec.json.decode(next(each, b""), type=Header)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise NotARecording("not a recording: its first line is missing or damaged") from error
    if header.format != FORMAT:
        raise NotARecording(f"a recording of format {header.format}; this release reads format {FORMAT}")
    return header, _read(each)


def _read(lines: Iterator[bytes]) -> Iterator[RecordedLine | TextCounts]:
    for line in lines:
        try:
            if line.startswith(b'{"kept":'):
                yield msgspec.json.decode(line, type=TextCounts)
            else:
                yield msgspec.json.decode(line, type=RecordedLine)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return
