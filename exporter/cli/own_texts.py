"""Replaces text that is not the exporter's own, so that a file can be published."""

from __future__ import annotations

import platform
import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import exporter
from exporter import __revision__, __version__

_NUMBER = re.compile(
    r"[-+]?(?:\d{1,8}(?:\.\d+)?(?:e[-+]?\d{1,3})?|inf|nan)|\d{1,4}\.\d{1,4}\.\d{1,4}", re.ASCII | re.IGNORECASE
)
"""A number or a version; one of more digits could be that of a person, one with more dots an address."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)")
_HIDDEN = "**********"
"""What settings show in place of a secret."""
_ALWAYS = frozenset(
    {"", _HIDDEN, __version__, __revision__, platform.python_version(), platform.python_implementation()}
)


class OwnTexts:
    """Keeps text that is a string in the exporter's own source, such as a reason or the template of a route, numbers
    of at most eight digits, and times. Any other text is replaced by ``text-N``, the same text always by the same.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.is_own = lru_cache(maxsize=None)(self._is_own)

    @cached_property
    def _source(self) -> str:
        folder = Path(exporter.__file__).parent
        files = (file for file in sorted(folder.rglob("*.py")) if "simulator" not in file.relative_to(folder).parts)
        return "\n".join(file.read_text(encoding="utf-8") for file in files)

    def _is_own(self, text: str) -> bool:
        """Whether a text may stay."""
        known = text in _ALWAYS or _NUMBER.fullmatch(text) or _TIME.fullmatch(text)
        return bool(known) or ('"' not in text and "\n" not in text and f'"{text}"' in self._source)

    def is_field(self, name: str) -> bool:
        """Whether a key is the name of a field of the settings."""
        return name.isidentifier() and f"\n    {name}: " in self._source

    def text(self, text: str) -> str:
        """The text, or what replaces it."""
        return text if self.is_own(text) else f"text-{self._numbers.setdefault(text, len(self._numbers) + 1)}"

    def value(self, value: Any) -> Any:
        """A value of JSON with all texts in it replaced, keys too."""
        if isinstance(value, dict):
            items = ((str(key), self.value(part)) for key, part in value.items())
            return {key if self.is_field(key) else self.text(key): part for key, part in items}
        if isinstance(value, list | tuple):
            return [self.value(part) for part in value]
        return self.text(value) if isinstance(value, str) else value
