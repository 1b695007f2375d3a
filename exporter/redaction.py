"""Removal of known secrets from text that others send: servers, receivers, collectors, proxies.

A server may echo the token that it received, escaped in some way, and its responses end up in logs, metrics, traces and
pages. Every body and every error text is therefore cleaned where it is received, before anything reads or cuts it.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

MIN_LENGTH = 6
"""Minimum characters of a secret that is searched for: a shorter one would match parts of ordinary text."""
MIN_WORDLIKE_LENGTH = 16
"""Minimum characters of a possible secret that is searched for even if it consists of plain words."""
MIN_DIGITS = 16
"""Minimum digits of a secret of digits that is searched for: fewer occur in times and sizes."""
READ_SECONDS = 1.0
"""Seconds between two reads of the sources."""
MAX_FORMER = 200
"""Maximum number of former secrets that stay known."""
MAX_DECODED_BYTES, MAX_DECODED_FACTOR = 6_000_000, 3
"""Maximum bytes that one body is decoded to by undoing escapes; for a large body, this multiple of its size."""
REMOVED = b"***"

# -- what to search for


class Part(NamedTuple):
    """A text to remove. If it is not `sure` to be a secret, such as the value of any header, it may be a plain word."""

    text: str
    sure: bool = True

    @property
    def searched(self) -> bool:
        """Whether to search for it in all text, and not only in responses of the peer to which it is sent."""
        if len(self.text) < MIN_LENGTH or (self.text.isdigit() and len(self.text) < MIN_DIGITS):
            return False
        return self.sure or len(self.text) >= MIN_WORDLIKE_LENGTH or not _WORDS.fullmatch(self.text)


_WORD = r"(?:[a-z]+|[A-Z][a-z]+|[A-Z]+)\d{0,4}|\d{1,4}"
_WORDS = re.compile(rf"(?:{_WORD})(?:[-_./:, ](?:{_WORD}))*")
_CREDENTIAL = re.compile(
    r"(auth|authorization|cookie|credentials?|key|password|secret|signature|token)$", re.IGNORECASE
)
_SCHEMES = ("api-key", "api-token", "apikey", "basic", "bearer", "key", "splunk", "token")


def whole(secret: str) -> Iterator[Part]:
    """A token, a key or a password."""
    yield Part(secret)


def login(userinfo: str) -> Iterator[Part]:
    """``USER:PASSWORD``, also as in a Basic header. The user name alone is not sure to be a secret."""
    user, _, password = userinfo.partition(":")
    yield Part(user, sure=False)
    yield Part(password)
    yield Part(userinfo)
    yield Part(base64.b64encode(userinfo.encode("utf-8", "replace")).decode().rstrip("="))


def header(name: str, value: str) -> Iterator[Part]:
    """The value of a header, and what follows a scheme such as ``Bearer``."""
    sure = _CREDENTIAL.search(name) is not None
    yield Part(value, sure)
    scheme, _, rest = value.strip().partition(" ")
    rest = rest.strip()
    yield Part(rest, sure or scheme.lower() in _SCHEMES)
    if scheme.lower() == "basic":
        try:
            yield from login(base64.b64decode(rest + "==").decode())
        except (binascii.Error, UnicodeDecodeError):
            return


def url(address: str) -> Iterator[Part]:
    """A secret URL: the whole URL, its login, its path and query, and each piece of them."""
    try:
        parts = urlsplit(address)
    except ValueError:
        yield Part(address)
        return
    userinfo = parts.netloc.rpartition("@")[0]
    path = parts.path.strip("/")
    if userinfo or path or parts.query:
        yield Part(address)
    for each in {userinfo, unquote(userinfo)} - {""}:
        yield from login(each)
    for text in (path, parts.query, *re.findall(r"[^/?&=#]+", f"{path}?{parts.query}")):
        yield Part(text, sure=False)
        yield Part(unquote(text), sure=False)  # as a server may decode it


def service_url(address: str) -> Iterator[Part]:
    """A URL of Apprise: any of its parts may be a secret, as the bot's token in ``tgram://TOKEN/CHAT``, except the name
    of a server.
    """
    yield Part(address)
    rest = address.partition("://")[2]
    server = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest.removeprefix(server).strip("/")
    userinfo, at, host = server.rpartition("@")
    if at:
        yield from login(userinfo)
        yield from login(unquote(userinfo))
    kept = {host, host.partition(":")[0]} if _SERVER.fullmatch(host) else set()
    for text in {server, host, path, *re.findall(r"[^/?&=#:@,;]+", rest)} - kept:
        yield Part(text, sure=False)
        yield Part(unquote(text), sure=False)


_SERVER = re.compile(
    r"(?:localhost|(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])(?::\d{1,5})?"
)


class Source(NamedTuple):
    """Source of a secret: `read` returns its current value, `parts` the texts to remove."""

    read: Callable[[], str]
    parts: Callable[[str], Iterable[Part]] = whole


class _Needles(NamedTuple):
    """The texts to search for; `special`: some contain characters that JSON may escape with a single backslash."""

    found: frozenset[bytes] = frozenset()
    special: bool = False

    def __or__(self, other: _Needles) -> _Needles:
        return _Needles(self.found | other.found, self.special or other.special)


def _needles(texts: Iterable[str]) -> _Needles:
    found = frozenset(form for text in texts for form in _forms(text))
    return _Needles(found, any(re.search(rb'[\x00-\x1f"\\\x80-\xff]', each) for each in found))


def _forms(text: str) -> Iterator[bytes]:
    """A text as it is, and with ``+`` for spaces, as in HTML forms."""
    plain = text.encode("utf-8", "surrogatepass")
    yield plain
    yield plain.replace(b" ", b"+")


class Secrets:
    """The known secrets. Sources are read again, once a second at most, when a body is cleaned; a secret that is
    replaced stays known. Safe to use from several threads. `steady` is the clock.
    """

    def __init__(self, sources: Iterable[Source] = (), steady: Callable[[], float] = time.monotonic) -> None:
        self._steady, self._read_at = steady, 0.0
        self._lock = threading.Lock()
        self._sources: tuple[Source, ...] = ()
        self._values: tuple[str, ...] | None = None
        self._current: frozenset[str] = frozenset()
        self._known: dict[str, None] = {}
        self._needles = _Needles()
        self.follow(sources)

    def follow(self, sources: Iterable[Source]) -> None:
        """Use these sources from now on, in place of the previous ones."""
        with self._lock:
            self._sources, self._values = tuple(sources), None
        self._read()

    def learn(self, secret: str, parts: Callable[[str], Iterable[Part]] = whole) -> None:
        """Add a secret that is about to be sent. It may be newer than the last read of the sources."""
        if secret not in self._known:
            with self._lock:
                self._know(_searched(parts(secret)))

    def clean(self, body: bytes, *also: str) -> bytes:
        """The body without known secrets and the texts in `also`; the same object if it contains none."""
        if self._steady() >= self._read_at + READ_SECONDS:
            self._read()
        return self._without(body, also)

    def text(self, text: str, *also: str) -> str:
        """The same for text. Does not read sources, so it neither blocks nor fails."""
        body = text.encode("utf-8", "surrogatepass")
        cleaned = self._without(body, also)
        return text if cleaned is body else cleaned.decode("utf-8", "surrogatepass")

    def _read(self) -> None:
        sources, self._read_at = self._sources, self._steady()
        values = tuple(source.read() for source in sources)
        if values == self._values:
            return
        with self._lock:
            pairs = zip(sources, values, strict=True)
            self._current = frozenset(_searched(part for source, value in pairs for part in source.parts(value)))
            self._values = values
            self._know(())

    def _know(self, more: Iterable[str]) -> None:
        new = dict.fromkeys(more)
        before = [text for text in self._known if text not in self._current and text not in new]
        known = dict.fromkeys([*before, *new][-MAX_FORMER:]) | dict.fromkeys(self._current)
        if known.keys() != self._known.keys():
            self._needles = _needles(known)
        self._known = known

    def _without(self, body: bytes, also: Sequence[str]) -> bytes:
        more = [text for text in also if len(text) >= MIN_LENGTH]
        return _without(body, self._needles | _needles(more) if more else self._needles)


def _searched(parts: Iterable[Part]) -> list[str]:
    return [part.text for part in parts if part.searched]


# -- how to find it


class _Notation(NamedTuple):
    """A notation for escaped characters. All its escapes begin with `mark`.

    `hiding` finds an escape that may hide a letter, `runs` matches what follows a mark, with further escapes if that is
    faster, `each` matches one escape. `meaning` decodes what follows a mark.
    """

    mark: bytes
    hiding: re.Pattern[bytes]
    runs: re.Pattern[bytes]
    each: re.Pattern[bytes]
    meaning: Callable[[bytes], bytes]

    def used(self, text: bytes, special: bool) -> bool:
        """Whether the text may hide a secret in this notation."""
        return self.mark in text and ((special and self.mark == b"\\") or self.hiding.search(text) is not None)


@lru_cache(4096)
def _of_json(escape: bytes) -> bytes:
    if escape.startswith(b"u00"):  # one character or several
        return bytes.fromhex(escape[3:].replace(b"\\u00", b"").decode()).decode("latin-1").encode()
    if escape.startswith(b"u"):  # one character, possibly a surrogate pair
        units = bytes.fromhex(escape[1:].replace(b"\\u", b"").decode())
        return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
    if escape.startswith(b"x"):
        return chr(int(escape[1:], 16)).encode()
    return {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}.get(escape, escape)


@lru_cache(4096)
def _of_url(escape: bytes) -> bytes:
    return bytes.fromhex(escape.replace(b"%", b"").decode())


@lru_cache(4096)
def _of_html(escape: bytes) -> bytes:
    return html.unescape(f"&{escape.decode()}").encode("utf-8", "surrogatepass")


_HEX = rb"[0-9a-fA-F]"
_LATIN, _PAIR = rb"u00%b{2}" % _HEX, rb"u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX)
_REST = rb"%b|u%b{4}|x%b{2}|[\x22'\\/bfnrt]" % (_PAIR, _HEX, _HEX)
_ENTITY = re.compile(rb"&(#[xX]%b{1,32};|#[0-9]{1,32};|[a-zA-Z]{2,8};)" % _HEX)
# Each begins with a plain character and repeats nothing without a limit, so that time is linear in the text.
_NOTATIONS = (
    _Notation(
        b"\\",
        re.compile(rb"\\(?:u00|x[2-7]|/)"),
        re.compile(rb"\\(%b(?:\\%b){0,63}|%b)" % (_LATIN, _LATIN, _REST)),
        re.compile(rb"\\(%b|%b)" % (_LATIN, _REST)),
        _of_json,
    ),
    _Notation(
        b"%",
        re.compile(rb"%%%b{2}" % _HEX),
        re.compile(rb"%%(%b{2}(?:%%%b{2}){0,63})" % (_HEX, _HEX)),
        re.compile(rb"%%(%b{2})" % _HEX),
        _of_url,
    ),
    _Notation(b"&", re.compile(rb"&(?:#|[a-zA-Z]{2,8};)"), _ENTITY, _ENTITY, _of_html),
)


class _Decoded:
    """A text with the escapes of one notation decoded, and the positions of its parts in the original text."""

    def __init__(self, before: bytes, notation: _Notation) -> None:
        self._before, self._notation = before, notation
        pieces = notation.runs.split(before)  # plain text and escapes in turn
        pieces[1::2] = map(notation.meaning, pieces[1::2])
        self.text = b"".join(pieces)

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """The end of each plain text and each escape: in this text, and in the original text."""
        pieces = self._notation.each.split(self._before)
        there = [len(piece) + number % 2 for number, piece in enumerate(pieces)]  # an escape includes its mark
        pieces[1::2] = map(self._notation.meaning, pieces[1::2])
        return list(accumulate(map(len, pieces))), list(accumulate(there))

    def before(self, start: int, end: int) -> tuple[int, int]:
        """The span in the original text; an escape is never split."""
        here, there = self._ends
        first, last = bisect_right(here, start), bisect_right(here, end - 1)
        # Within plain text: same distance to its end. An escape begins where the text before it ends.
        begin = there[first] - (here[first] - start) if first % 2 == 0 else there[first - 1]
        return begin, there[last] - (here[last] - end) if last % 2 == 0 else there[last]


def _readings(body: bytes, special: bool) -> Iterator[tuple[bytes, tuple[_Decoded, ...]]]:
    """The body as it is, and with its escapes decoded once, twice and so on, in all notations in every order."""
    visited, queue = {body}, deque[tuple[bytes, tuple[_Decoded, ...]]]([(body, ())])
    left = max(MAX_DECODED_BYTES, MAX_DECODED_FACTOR * len(body))
    while queue:
        text, layers = queue.popleft()
        yield text, layers
        for notation in _NOTATIONS:
            if left > 0 and notation.used(text, special):
                left -= len(text)
                decoded = _Decoded(text, notation)
                if decoded.text not in visited:
                    visited.add(decoded.text)
                    queue.append((decoded.text, (*layers, decoded)))


def _without(body: bytes, needles: _Needles) -> bytes:
    if not needles.found:
        return body
    spans = sorted(
        _span(body, layers, start, start + len(needle))
        for text, layers in _readings(body, needles.special)
        for needle in needles.found
        if needle in text
        for start in _starts(text, needle)
    )
    if not spans:
        return body
    kept, end = list[bytes](), 0
    for begin, stop in spans:
        if begin > end or not kept:
            kept += [body[end:begin], REMOVED]
        end = max(end, stop)
    return b"".join([*kept, body[end:]])


def _starts(text: bytes, needle: bytes) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + len(needle))


def _span(body: bytes, layers: Sequence[_Decoded], start: int, end: int) -> tuple[int, int]:
    """The span in the body, with a preceding backslash that would otherwise escape the wrong character."""
    for layer in reversed(layers):
        start, end = layer.before(start, end)
    before = body[max(0, start - 64) : start]
    return start - (len(before) - len(before.rstrip(b"\\"))) % 2, end
