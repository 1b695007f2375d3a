"""Parses JSON that a strict parser rejects: what is readable becomes values, the rest becomes marks.

Servers, proxies and encoders send lone surrogates, bytes that are not UTF-8, raw control characters, a byte order
mark, ``NaN``, ``1e400`` and deeply nested objects. RFC 8259 forbids some of it and leaves the rest to the parser; none
of it is a reason to lose the rest of a response. A truncated response is rejected as a whole: missing data cannot be
distinguished from data that never existed.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any, AnyStr, NamedTuple

DEPTH = 64
"""Levels of nesting that are read; the deepest response of the API has twelve."""
_INTEGERS = range(-(2**63), 2**63)
"""The integers that a strict decoder reads; Python would also take very long for those of many digits."""
_DIGITS = 20
MAX_TOKENS = 300_000
"""Maximum number of values, names and marks that are read of a body that a parser of the standard library rejects."""
SLICE = 65536
"""Bytes or characters of a text that are replaced in one step."""


class Damaged(NamedTuple):
    """Text with characters that are not Unicode; each is replaced by U+FFFD."""

    text: str


class _Unreadable:
    """Mark for a value that cannot be read: not a number, out of range, nested too deep, or not JSON."""


UNREADABLE = _Unreadable()


def parse(body: bytes) -> Any:
    """The value of a body: dict, list, str, int, float, bool, None, `Damaged` and `UNREADABLE`.

    Raises ValueError if the structure is broken: truncated, unbalanced brackets, or trailing data.
    """
    encoding = json.detect_encoding(body)
    # Bytes that are not UTF-8 become lone surrogates, by which they are recognised below.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    text = "".join(codecs.iterdecode(_slices(body), encoding, errors))
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        value = _by_tokens(text)
    return _cleaned(value, 0)


def _integer(digits: str) -> int | _Unreadable:
    return number if len(digits) <= _DIGITS and (number := int(digits)) in _INTEGERS else UNREADABLE


def _float(digits: str) -> float | _Unreadable:
    number = float(digits)
    return number if math.isfinite(number) else UNREADABLE


_DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_float, parse_constant=lambda _: UNREADABLE)
_SURROGATE = re.compile("[\ud800-\udfff]")


def _slices(whole: AnyStr) -> Iterator[AnyStr]:
    """A text in parts: other threads get no turn while a method of the interpreter works on one text."""
    return (whole[start : start + SLICE] for start in range(0, len(whole), SLICE))


def _unicode(text: str) -> str:
    return "".join(_SURROGATE.sub("�", part) for part in _slices(text))


def _text(text: str) -> str | Damaged:
    return Damaged(_unicode(text)) if _SURROGATE.search(text) else text


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict | list) and depth == DEPTH:
        return UNREADABLE
    if isinstance(value, dict):
        return {_unicode(key): _cleaned(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, depth + 1) for each in value]
    return value


# -- token by token: slower, but neither nesting nor an invalid scalar stops it

_TOKEN = re.compile(r'[ \t\r\n]*+(?:("(?:[^"\\]++|\\.)*+")|([\[\]{},:])|([^\s\[\]{},:"]++))', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*+\Z")
_NOTHING = object()


class _Frame:
    """An object or array that is not closed yet."""

    def __init__(self, *, is_object: bool) -> None:
        self.is_object = is_object
        self._made: dict[str, Any] = {}
        self._listed: list[Any] = []
        self._key: Any = _NOTHING
        self._colon = False
        self._value: Any = _NOTHING

    def take(self, value: Any) -> None:
        """A parsed value; two without a comma between them are an error."""
        if self.is_object and self._key is _NOTHING:
            self._key = value
        else:
            spoilt = self._value is not _NOTHING or (self.is_object and not self._colon)
            self._value = UNREADABLE if spoilt else value

    def colon(self) -> None:
        """The previous token was a key."""
        self._colon = True

    def end(self) -> None:
        """The end of a member, at a comma or at the closing bracket."""
        if self.is_object and isinstance(self._key, str):
            self._made[self._key] = UNREADABLE if self._value is _NOTHING else self._value
        elif not self.is_object and self._value is not _NOTHING:
            self._listed.append(self._value)
        self._key, self._colon, self._value = _NOTHING, False, _NOTHING

    @property
    def value(self) -> Any:
        """The object or array."""
        return self._made if self.is_object else self._listed


def _tokens(text: str) -> Iterator[tuple[str, str | None, int]]:
    """The tokens of a body: string or word, or mark, and its place. Raises ValueError if there are too many."""
    place = 0
    for _ in range(MAX_TOKENS):
        match = _TOKEN.match(text, place)
        if match is None:
            if not _BLANK.match(text, place):
                break
            return
        place = match.end()
        yield match[1] or match[3] or "", match[2], place - 1
    raise ValueError(f"the body ends within a value, or has more than {MAX_TOKENS} parts")


def _by_tokens(text: str) -> Any:
    outer = _Frame(is_object=False)
    stack = [outer]
    for word, mark, place in _tokens(text):
        top = stack[-1]
        if mark is None:
            top.take(_scalar(word))
        elif mark in "[{":
            stack.append(_Frame(is_object=mark == "{"))
        elif mark in "]}":
            if top is outer or top.is_object != (mark == "}"):
                raise ValueError(f"a {mark} at character {place} closes nothing")
            top.end()
            stack.pop()
            stack[-1].take(top.value if len(stack) <= DEPTH else UNREADABLE)
        elif top is outer:
            raise ValueError(f"a {mark} at character {place} is outside of any value")
        elif mark == ",":
            top.end()
        else:
            top.colon()
    if len(stack) > 1:
        raise ValueError(f"the body ends within a value, at character {len(text)}")
    outer.end()
    if len(outer.value) != 1 or outer.value[0] is UNREADABLE:
        raise ValueError("the body is not one value")
    return outer.value[0]


_WORD = re.compile(r'".*"|-?[0-9][0-9.eE+-]*+|true|false|null', re.DOTALL)
"""What may be valid; errors of the decoder are slow."""


def _scalar(token: str) -> Any:
    try:
        return _DECODER.decode(token) if _WORD.fullmatch(token) else UNREADABLE
    except ValueError:
        return UNREADABLE
