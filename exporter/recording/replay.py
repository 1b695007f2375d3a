"""What was recorded as the response to a request, at a time."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from exporter.api.models import timestamp
from exporter.recording.lines import Header, RecordedLine, TextCounts
from exporter.recording.times import all_moved

WINDOW = ("startTime", "endTime")
LEFT_OUT = b"left out: it was not JSON"
"""Stands for a body that is not JSON: nothing of it was recorded."""
Key = tuple[Any, ...]


class RecordedAnswer(NamedTuple):
    """A response as it is sent. `status` 0: there was none, and the connection is to be closed."""

    status: int
    headers: dict[str, str]
    body: bytes
    date: float | None


class _Kept(NamedTuple):
    """A recorded response with its packed body."""

    at: float
    line: RecordedLine
    packed: bytes


class Replay:
    """The responses of a recording, played from `starts` on, in seconds since the epoch, at `speed`.

    All times in it are moved by whole minutes, so that it starts within the minute after `starts`; at another speed,
    what happened after its start is nearer to its start. Not thread-safe.
    """

    def __init__(
        self, header: Header, lines: Iterable[RecordedLine | TextCounts], starts: float, speed: float = 1.0
    ) -> None:
        self._started, self.speed = header.started, speed
        self.starts = header.started + -(-(starts - header.started) // 60) * 60
        """When the recording starts, by the clock of the replay."""
        self.seconds = 0.0
        """How long the recording is, in its own time."""
        self._exact: dict[Key, list[_Kept]] = {}
        self._any_window: dict[Key, list[_Kept]] = {}
        for line in lines:
            if isinstance(line, RecordedLine):
                self._add(line)

    def _add(self, line: RecordedLine) -> None:
        key, window, _ = _keys(self._text(line.path), line.query, self._text)
        before = self._exact.get((*key, *window), [])
        if line.same and not before:
            return  # the line with the body was damaged
        body = LEFT_OUT if line.other else b"" if line.empty else bytes(line.body)
        self.seconds = max(self.seconds, line.at)
        kept = _Kept(self.seconds, line, before[-1].packed if line.same else zlib.compress(body, 1))
        self._exact.setdefault((*key, *window), []).append(kept)
        if window:
            self._any_window.setdefault(key, []).append(kept)

    def _text(self, text: str) -> str:
        """A path or a value with its times by the clock of the replay."""
        return all_moved(f'"{text}"', self._moved, self._started)[1:-1]

    def _moved(self, at: float) -> float:
        """A time of the recording by the clock of the replay. What was before it keeps its distance from its start."""
        after = at - self._started
        return self.starts + (after / self.speed if after > 0 else after)

    def answer(self, path: str, query: str, now: float) -> RecordedAnswer | None:
        """The latest response at or before `now`, else the first one; None: it was never requested.

        If statistics of another window were recorded, they are returned as those of the requested one.
        """
        key, window, texts = _keys(path, query)
        exact = self._exact.get((*key, *window))
        found = exact or self._any_window.get(key)
        if not found:
            return None
        at = (now - self.starts) * self.speed
        kept = found[max(0, bisect_right(found, at + 1e-6, key=lambda each: each.at) - 1)]
        body = self._body(kept, () if exact else texts)
        date = None if kept.line.ahead is None else round(now + kept.line.ahead, 3)
        return RecordedAnswer(kept.line.status, kept.line.headers, body, date)

    def _body(self, kept: _Kept, window: Sequence[str]) -> bytes:
        text = all_moved(zlib.decompress(kept.packed).decode(), self._moved, self._started)
        if len(window) == len(WINDOW) and '"period":' in text and isinstance(body := json.loads(text), dict):
            return json.dumps(body | {"period": dict(zip(("start", "end"), window, strict=True))}).encode()
        return text.encode()


def _keys(path: str, query: str, clock: Callable[[str], str] = str) -> tuple[Key, Key, Sequence[str]]:
    """What identifies a request without its window; the window in seconds since the epoch; the same as text.

    `clock` converts each value to the clock of the replay.
    """
    pairs = sorted((name, clock(value)) for name, value in parse_qsl(query, keep_blank_values=True))
    texts = [value.replace(" ", "+") for each in WINDOW for name, value in pairs if name == each]
    others = [pair for pair in pairs if pair[0] not in WINDOW]
    return (path, *others), tuple(map(timestamp, texts)), texts
