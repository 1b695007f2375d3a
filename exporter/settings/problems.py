"""What is wrong with settings, and where."""

from __future__ import annotations

from typing import NamedTuple

Place = tuple[str | int, ...]
Lines = dict[Place, int]


class Problem(NamedTuple):
    """One thing that is wrong with the settings: where (``accounts[0].endpoint``, a flag), what, and a remedy."""

    place: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.place}{f' (line {self.line})' if self.line else ''}: {self.what}"


class BadSettings(Exception):
    """The settings cannot be used; `problems` lists all that is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def place_of(parts: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".") or "settings"
