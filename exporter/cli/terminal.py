"""A terminal that shows lines: text that cannot break the screen, keys, and drawing without flicker.

Only the sequences of ECMA-48 that every terminal of today obeys are used, so no library and no terminfo is needed.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
import termios
import tty
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import NamedTuple

ESCAPE_SECONDS = 0.05
"""Seconds after which an escape is a key of its own and not the beginning of a sequence."""
MAX_MARKS = 2
"""Combining marks that stay on one character: many of them would cover other lines."""
_STYLES = {"": "", "bold": "1", "reverse": "7", "dim": "2", "critical": "1;31", "warning": "33", "good": "32"}
_PLAIN = {"critical": "1", "warning": "", "good": ""}
"""The styles that have a colour, without it."""
_KEYS = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "1~": "home", "4~": "end", "5~": "page up", "6~": "page down", "7~": "home", "8~": "end",
}  # fmt: skip
_CONTROLS = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x0c": "redraw", "\x15": "clear"}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*([@-~])|O([@-~])|\[[0-9;?]*[ -/]*$|O?$)")


class ScreenSpan(NamedTuple):
    """Text that begins at a column, counted from 0."""

    column: int
    text: str
    style: str = ""


ScreenLine = tuple[ScreenSpan, ...]


def safe(text: str) -> str:
    """The text without what a terminal obeys, or shows in another place: control characters, marks of direction,
    characters that are not assigned, and marks without end.
    """
    if text.isascii() and text.isprintable():
        return text
    found: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category[0] == "Z" or character in "\t\n\r":
            found.append(" ")
        elif category[0] == "C":
            found.append("?")
        elif not marks or (marks <= MAX_MARKS and found and "VARIATION SELECTOR" not in unicodedata.name(character)):
            found.append(character)
    return "".join(found)


def width(text: str) -> int:
    """Columns that a safe text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, columns: int) -> str:
    """The text, made safe and cut to a number of columns; what was cut is shown as ``~``."""
    text = safe(text)
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join([*kept, "~"]) if columns > 0 else ""


def padded(text: str, columns: int) -> str:
    """A safe text with blanks up to a number of columns."""
    return text + " " * (columns - width(text))


def as_text(lines: Iterable[ScreenLine]) -> str:
    """The lines as a terminal without styles shows them, each with its columns in place."""
    return "".join(f"{_text(line)}\n" for line in lines)


def _text(line: ScreenLine) -> str:
    shown = ""
    for span in line:
        shown = padded(shown, span.column) + span.text
    return shown.rstrip()


def keys(received: str) -> tuple[list[str], str]:
    """The keys in what a terminal sent, and the beginning of a sequence that is not complete."""
    found, at = list[str](), 0
    while at < len(received):
        character = received[at]
        if character != "\x1b":
            if character.isprintable() or character in _CONTROLS:
                found.append(_CONTROLS.get(character, character))
            at += 1
            continue
        sequence = _SEQUENCE.match(received, at)
        if sequence is None:  # an escape before another character
            found.append("escape")
            at += 1
            continue
        if sequence[1] is None and sequence[2] is None:
            return found, received[at:]
        name = _KEYS.get(sequence[0].lstrip("\x1b[O")) or _KEYS.get(sequence[1] or sequence[2])
        found += [name] if name else []
        at = sequence.end()
    return found, ""


def drawn(line: ScreenLine, colour: bool) -> str:
    """The line for a terminal. Each part is set to its column: one that is shown wider than expected moves no other."""
    parts = []
    for column, text, style in line:
        code = _STYLES[style] if colour else _PLAIN.get(style, _STYLES[style])
        parts.append(f"\x1b[{column + 1}G" + (f"\x1b[{code}m{text}\x1b[0m" if code else text))
    return "".join(parts)


class Terminal:
    """The terminal of standard input and output, for as long as it is entered.

    `wake` may be called in any thread: it ends a wait for keys.
    """

    def __init__(self, colour: bool, encoding: str) -> None:
        self._colour, self._encoding = colour, encoding
        self._shown: list[str] = []
        self._size = (0, 0)
        self._received = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._waked, self._waking = os.pipe()
        os.set_blocking(self._waking, False)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # enough is in the pipe
            os.write(self._waking, b".")

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        found = os.get_terminal_size(1)
        return (found.columns or 80, found.lines or 24)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Use the whole terminal meanwhile. SIGTERM ends it with SystemExit, Ctrl-Z suspends it."""
        before = termios.tcgetattr(0)

        def enter() -> None:
            tty.setcbreak(0)
            self._shown = []
            self._write("\x1b[?1049h\x1b[?7l\x1b[?25l")  # other screen, no line wrapping, no cursor

        def leave() -> None:
            self._write("\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1049l")
            termios.tcsetattr(0, termios.TCSADRAIN, before)

        def suspend(*_: object) -> None:
            leave()
            os.kill(os.getpid(), signal.SIGSTOP)
            enter()
            self.wake()

        def stop(number: int, _: FrameType | None) -> None:
            raise SystemExit(128 + number)

        handlers: dict[signal.Signals, Callable[[int, FrameType | None], object]] = {
            signal.SIGTERM: stop,
            signal.SIGHUP: stop,
            signal.SIGTSTP: suspend,
            signal.SIGWINCH: lambda *_: self.wake(),
        }
        replaced = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        enter()
        try:
            yield
        finally:
            for number, handler in replaced.items():
                signal.signal(number, handler)
            with contextlib.suppress(OSError, termios.error):  # the terminal is gone
                leave()

    def draw(self, lines: Sequence[ScreenLine], size: tuple[int, int]) -> None:
        """Show the lines; only those that have changed are sent."""
        if size != self._size:
            self._shown, self._size = [], size
        new = [drawn(line, self._colour) for line in lines[: size[1]]]
        changed = [] if self._shown else ["\x1b[2J"]
        for number in range(max(len(new), len(self._shown))):
            line = new[number] if number < len(new) else ""
            if number >= len(self._shown) or line != self._shown[number]:
                changed.append(f"\x1b[{number + 1};1H\x1b[2K{line}")
        self._shown = new
        self._write("".join(changed))

    def redraw(self) -> None:
        """Send all lines again at the next `draw`."""
        self._shown = []

    def keys(self, seconds: float) -> list[str]:
        """The keys that were pressed, after at most `seconds`, or earlier if any was, or after `wake`.

        Raises EOFError if the terminal is gone.
        """
        ready, _, _ = select.select([0, self._waked], [], [], seconds)
        if self._waked in ready:
            os.read(self._waked, 1024)
        found = self._read() if 0 in ready else []
        if self._received and not found and not select.select([0], [], [], ESCAPE_SECONDS)[0]:
            found, self._received = ["escape"] if self._received == "\x1b" else [], ""
        return found

    def _read(self) -> list[str]:
        try:
            received = os.read(0, 1024)
        except OSError:
            received = b""
        if not received:
            raise EOFError
        found, self._received = keys(self._received + self._decoder.decode(received))
        return found

    def _write(self, text: str) -> None:
        left = text.encode(self._encoding, "replace")
        while left:
            left = left[os.write(1, left) :]
