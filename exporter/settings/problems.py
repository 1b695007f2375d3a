"""Problems with settings, and their places."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from exporter.errors import ExporterError
from exporter.settings.file_contents import Contents

Place = tuple[str | int, ...]
Lines = dict[Place, int]


class Problem(NamedTuple):
    """One problem with the settings. `place`: such as ``accounts[0].endpoint``, or a flag; `what`: with a remedy."""

    place: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.place}{f' (line {self.line})' if self.line else ''}: {self.what}"


_NO_FILES: Contents = MappingProxyType({})


class BadSettings(ExporterError):
    """Raised for settings that cannot be used; `problems` lists everything that is wrong with them.

    `contents`: what was in their files before these were read. With other contents they may be valid.
    """

    def __init__(self, problems: list[Problem], contents: Contents = _NO_FILES) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
        self.contents = contents


def place_of(parts: Place) -> str:
    """A place as text, such as ``accounts[0].endpoint``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".") or "settings"
