"""Masks likely secrets and personal addresses in text from the API. Known secrets: `exporter.redaction`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

MAX_TEXT = 256
"""Maximum characters of a masked text."""
MAX_INPUT = 1024
"""Maximum characters of a text that are read; a longer text is cut before it is masked."""
_SENSITIVE = r"[\w-]{0,64}(?:token|secret|password|passwd|key|credential)[\w-]{0,64}"
_EQUALS = r"""[\\"']{0,4} ?[=:] ?"""
_VALUE = r"""(?:\[…\]|\\"[^"\\]*\\"|"(?:\\.|[^"\\])*"?|'[^']*'?|\S+)"""
_GROUPS = r"(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?"
_WHITESPACE = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_SECRETS = (
    (re.compile(r"(?<=//)[^/\s@]{1,256}@"), "[…]@"),
    (re.compile(r"[\w.+-]{1,64}@(?!sha\d+:)[\w-]{1,64}(\.[\w-]{1,64}){0,8}"), "[e-mail]"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\b[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){3,7}\b"), "[address]"),
    (re.compile(rf"(?i)(?<![\w:])(?=[a-f:]{{0,16}}\d){_GROUPS}::{_GROUPS}(?![\w:])"), "[address]"),
    (
        re.compile(rf"(?i)(authorization{_EQUALS}[\\\"']{{0,4}}(?:(?:bearer|basic|digest|token) )?)[^\s\"']+"),
        r"\1[…]",
    ),
    (re.compile(r"(?i)\b(bearer|basic) \S+"), r"\1 […]"),
    (re.compile(rf"(?i)((?<![\w-])--?{_SENSITIVE} )(?!(?:is|was|must|not|and|or|flag|option)\b){_VALUE}"), r"\1[…]"),
    (re.compile(rf"(?i)({_SENSITIVE}{_EQUALS}){_VALUE}"), r"\1[…]"),
    (re.compile(r"(?<=[?&])[^\s=&]{1,256}=[^\s&]+"), "[…]"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "[…]"),
    (re.compile(r"\b(?=\w*\d)[\w+/=-]{32,}"), "[…]"),
)
"""Patterns and replacements, in this order, for text with single spaces. Repeats are bounded: text may be hostile."""
_PLAIN = re.compile(rf"(?!.*(?:AKIA|ASIA))[\w-]{{1,{MAX_TEXT}}}")
"""Names that only the last of these patterns could match: most names, for which the others need not be tried."""


def scrubbed(text: str) -> str:
    """The text without control characters, addresses and likely secrets, cut to `MAX_TEXT` characters."""
    return _without(_SECRETS, text)


def _without(secrets: Iterable[tuple[re.Pattern[str], str]], text: str) -> str:
    cut = len(text) >= MAX_INPUT
    text = _WHITESPACE.sub(" ", text[:MAX_INPUT])
    if cut:  # the last word may be half a secret, which matches no pattern
        text = text.rpartition(" ")[0] or text
    for pattern, replacement in secrets:
        text = pattern.sub(replacement, text)
    return text.strip()[:MAX_TEXT]


@lru_cache(maxsize=1 << 10)
def attribute(name: str, text: str) -> str:
    """The masked text of an attribute. Names and ids, such as those of pods, may look random and stay."""
    if not name.endswith((".id", ".name", ".key")):
        return _without(_SECRETS, text)
    return text if _PLAIN.fullmatch(text) else _without(_SECRETS[:-1], text)
