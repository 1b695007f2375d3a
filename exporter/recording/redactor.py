"""Removes from requests and responses what identifies anything, and keeps what the exporter depends on.

The same text has the same replacement, in every field, path and parameter, so that the numbers of distinct things stay
the same and pages and links fit together. Replacements are a keyed hash: without the key, which is in no file, not even
a guess can be checked. What stays is listed in `exporter.recording.fields`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from exporter.api.models import folded, memory_bytes
from exporter.diagnosis.log_signs import MAX_CHARACTERS, sign_of
from exporter.masking import MAX_INPUT
from exporter.recording import fields
from exporter.recording.times import OBJECT_ID, STARTED, moved, moved_id

UNKNOWN_FIELD = "(unknown field)"
MAX_CACHED = 1 << 17
_POD = re.compile(r"lrs-([0-9a-f]{24})-(.+)", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_VERSION = re.compile(r"v?\d{1,6}(?:\.\d{1,6}){0,2}", re.ASCII)
"""With one number more, it could be an address."""


class Redactor:
    """Redacts what one recording contains. `kept` and `replaced` count texts by the name of their field.

    `key`: 32 random bytes. `started`: the start of the recording, in seconds since the epoch; all times are moved by
    `shift`, whole minutes, after which it is in the first minute of 2020. At most `cached` replacements are kept.
    """

    def __init__(self, key: bytes, started: float, cached: int = MAX_CACHED) -> None:
        self._key, self._cached = key, cached
        self.started = started
        self.shift = STARTED - started // 60 * 60
        self.kept: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()
        self._texts: dict[tuple[str, str], str] = {}

    def clock(self, at: float) -> float:
        """A time by the clock of the recording."""
        return at + self.shift

    def json(self, value: Any, route: str) -> Any:
        """The JSON value of a response to a GET of a route, given as its template."""
        return self._value("", value, route == fields.LOGS)

    def path(self, path: str) -> str:
        """A path whose parts are words of routes and ids."""
        return "/".join(part if part in fields.PATH_WORDS else self.replacement(part) for part in path.split("/"))

    def query(self, query: str | Mapping[str, Any]) -> str:
        """A query, as text or as parameters."""
        text = query if isinstance(query, str) else urlencode(query, doseq=True, errors="surrogatepass")
        pairs = parse_qsl(text, keep_blank_values=True, errors="surrogatepass")
        return urlencode([(self._parameter(name), self._argument(name, value)) for name, value in pairs])

    def _parameter(self, name: str) -> str:
        return name if name in fields.PARAMETERS else self.replacement(name)

    def _argument(self, name: str, value: str) -> str:
        if name in fields.NUMBERS and _NUMBER.fullmatch(value):
            return value
        if name in fields.TIMES and (at := moved(value.replace(" ", "+") if "T" in value else value, self.clock)):
            return at
        return value if folded(value) in fields.VALUES.get(name, ()) else self.replacement(value)

    def url(self, url: str) -> str:
        """A URL; the part before the path is replaced as a whole, except for its scheme."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return self.replacement(url)
        if parts.scheme not in ("", "http", "https"):
            return self.replacement(url)
        host = f"{parts.scheme or 'http'}://{self.replacement(parts.netloc) or 'none'}.invalid"
        return host + self.path(parts.path) + (f"?{query}" if (query := self.query(parts.query)) else "")

    def replacement(self, text: str) -> str:
        """What stands for a text: an id for an id, with the time that it contains; an empty text stays."""
        if not text:
            return text
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8, key=self._key).hexdigest()
        if not OBJECT_ID.fullmatch(text):
            return f"x{digest}"
        # Without a time in it, the first digits are those of a time long after every recording.
        first = moved_id(text[:8], self.clock, self.started)
        return (first or f"f{digest[:7]}") + digest

    def _value(self, name: str, value: Any, log: bool) -> Any:
        if isinstance(value, str):
            return self._text(name, value, log)
        if isinstance(value, dict):
            return self._map(name, value, log) if name in fields.MAPS else self._object(value, log)
        if isinstance(value, list):
            return [self._value(name, each, log) for each in value]
        return self._number(name, value)

    def _object(self, value: dict[str, Any], log: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in value.items():
            if name not in fields.FIELDS:
                self.replaced[UNKNOWN_FIELD] += 1
                found[self.replacement(name)] = None
            elif isinstance(each, (str, dict, list)):
                found[name] = self._value(name, each, log)
            else:
                found[name] = self._number(name, each)
        return found

    def _number(self, name: str, value: float | None) -> float | None:
        """A number of a field: another one where texts are, since it may be that of a person, or a time."""
        if value is None or isinstance(value, bool) or name in fields.NUMERIC:
            return value
        self.replaced[name] += 1
        return int(self.replacement(repr(value))[1:8], 16)

    def _map(self, name: str, value: dict[str, Any], log: bool) -> dict[str, Any]:
        """An object of which the keys are names or ids; texts and numbers in it are of the field `name`."""
        return {
            self._named(key): self._value("" if isinstance(each, (dict, list)) else name, each, log)
            for key, each in value.items()
        }

    def _text(self, name: str, text: str, log: bool) -> str:
        if not text:
            return text
        if name in fields.TIMES and (at := moved(text, self.clock)) is not None:
            self.kept[name] += 1
            return at
        rule = "log" if log and name in fields.LOG_TEXTS else name
        found = self._texts.get((rule, text))
        if found is None:
            if len(self._texts) >= self._cached:
                self._texts.clear()
            found = self._texts[rule, text] = self._redacted(rule, text)
        (self.kept if found == text else self.replaced)[name] += 1
        return found

    def _redacted(self, name: str, text: str) -> str:
        if name == "log":
            sign = sign_of(text[:MAX_CHARACTERS].lower())
            line = "" if sign is None else f" {fields.LOG_LINES[sign.shows]}"
            return self.replacement(text) + line
        if folded(text) in fields.VALUES.get(name, ()):
            return text
        if name == "name":
            return self._named(text)
        if name in fields.IMAGES:
            return self._image(text)
        if name in fields.URLS:
            return self.url(text)
        if name in fields.QUANTITIES and len(text) < 20 and memory_bytes(text) is not None:
            return text
        if name in fields.VERSIONS and _VERSION.fullmatch(text):
            return text
        return self._phrases(text) if name in fields.TEXTS else self.replacement(text)

    def _named(self, text: str) -> str:
        """The name of a workload, a tag, a container or a pod; that of a pod contains the id of its proton."""
        if folded(text) in fields.VALUES["name"]:
            return text
        match = _POD.fullmatch(text)
        return f"lrs-{self.replacement(match[1])}-{self._named(match[2])}" if match else self.replacement(text)

    def _image(self, text: str) -> str:
        """An image: its registry, by which failed pulls are grouped, and the rest."""
        host, slash, rest = text.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            return self.replacement(text)
        return f"{self.replacement(host)}.invalid/{self.replacement(rest)}"

    def _phrases(self, text: str) -> str:
        """The phrases in a text that the diagnosis depends on, and the replacement of the whole text."""
        words = text[:MAX_INPUT].casefold()
        return f"[{'; '.join((*(phrase for phrase in fields.PHRASES if phrase in words), self.replacement(text)))}]"

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that stay, with names in lower case: the kind of content, and the seconds of Retry-After."""
        found = {}
        kind = headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind in fields.CONTENT_TYPES:
            found["content-type"] = kind
        if _NUMBER.fullmatch(after := headers.get("retry-after", "").strip()):
            found["retry-after"] = after
        return found


def counted(kept: Mapping[str, int], replaced: Mapping[str, int]) -> Sequence[str]:
    """What was kept and replaced, as lines: one per field, the most frequent first."""
    names = sorted({*kept, *replaced}, key=lambda name: (-kept.get(name, 0) - replaced.get(name, 0), name))
    return [f"{name or '(top level)':24} {kept.get(name, 0):>10} {replaced.get(name, 0):>10}" for name in names]
