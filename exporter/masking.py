"""Masks what looks like a secret or a personal address in text from the API. Known secrets: `exporter.redaction`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

TEXT, MOST_WORDS = 256, 1024
_HIDES = r"[\w-]{0,64}(?:token|secret|password|passwd|key|credential)[\w-]{0,64}"
_TOLD = r"""[\\"']{0,4} ?[=:] ?"""
_VALUE = r"""(?:\[…\]|\\"[^"\\]*\\"|"(?:\\.|[^"\\])*"?|'[^']*'?|\S+)"""
_GROUPS = r"(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?"
_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_SECRETS = (
    (re.compile(r"(?<=//)[^/\s@]{1,256}@"), "[…]@"),
    (re.compile(r"[\w.+-]{1,64}@(?!sha\d+:)[\w-]{1,64}(\.[\w-]{1,64}){0,8}"), "[e-mail]"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\b[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){3,7}\b"), "[address]"),
    (re.compile(rf"(?i)(?<![\w:])(?=[a-f:]{{0,16}}\d){_GROUPS}::{_GROUPS}(?![\w:])"), "[address]"),
    (re.compile(rf"(?i)(authorization{_TOLD}[\\\"']{{0,4}}(?:(?:bearer|basic|digest|token) )?)[^\s\"']+"), r"\1[…]"),
    (re.compile(r"(?i)\b(bearer|basic) \S+"), r"\1 […]"),
    (re.compile(rf"(?i)((?<![\w-])--?{_HIDES} )(?!(?:is|was|must|not|and|or|flag|option)\b){_VALUE}"), r"\1[…]"),
    (re.compile(rf"(?i)({_HIDES}{_TOLD}){_VALUE}"), r"\1[…]"),
    (re.compile(r"(?<=[?&])[^\s=&]{1,256}=[^\s&]+"), "[…]"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "[…]"),
    (re.compile(r"\b(?=\w*\d)[\w+/=-]{32,}"), "[…]"),
)
"""What is replaced by what, in this order; all blanks are single spaces. Repeats are bounded: text may be hostile."""
_PLAIN = re.compile(rf"(?!.*(?:AKIA|ASIA))[\w-]{{1,{TEXT}}}")
"""A name in which none of these can be, but for the last: most names, which need not be looked at eleven times."""


def scrubbed(words: str) -> str:
    """A message without what has no place in a trace: control characters, addresses, secrets, at most 256 long."""
    return _without(_SECRETS, words)


def _without(secrets: Iterable[tuple[re.Pattern[str], str]], words: str) -> str:
    cut = len(words) >= MOST_WORDS
    words = _BLANKS.sub(" ", words[:MOST_WORDS])
    if cut:  # the last word may be half a secret, which nobody would know for one
        words = words.rpartition(" ")[0] or words
    for pattern, instead in secrets:
        words = pattern.sub(instead, words)
    return words.strip()[:TEXT]


@lru_cache(maxsize=1 << 10)
def attribute(name: str, text: str) -> str:
    """The text of an attribute. Names and ids may be long and look random, as those of pods do."""
    if not name.endswith((".id", ".name", ".key")):
        return _without(_SECRETS, text)
    return text if _PLAIN.fullmatch(text) else _without(_SECRETS[:-1], text)
