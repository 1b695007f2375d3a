"""What a setting may contain, in words, derived from its field of the model."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from exporter.alerting.expressions import duration
from exporter.settings.section import MAX_DURATION_SECONDS, SECONDS

_NAMES: dict[object, str] = {
    bool: "`true` or `false`",
    float: "number",
    int: "whole number",
    str: "text",
    Path: "path",
    SecretStr: "text, secret",
}


def allowed(name: str, field: FieldInfo) -> str:
    """Type, unit and bounds of a setting, such as ``duration, from 1s to 366d``."""
    return _words(field.annotation, field.metadata, "bytes" if name.endswith("_bytes") else "")


def is_duration(field: FieldInfo) -> bool:
    """Whether a setting is a duration: `SECONDS` reads it."""
    return SECONDS in field.metadata


def _words(annotation: Any, metadata: Iterable[object] = (), unit: str = "") -> str:
    constraints = list(_flat(metadata))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], (*arguments[1:], *constraints), unit)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(each, constraints) for each in arguments if each is not type(None)))
    if origin in (tuple, frozenset):
        return f"list of {_words(arguments[0])}" + _bounds(constraints, "items")
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}" + _bounds(constraints, "items")
    if issubclass(annotation, BaseModel):
        return "settings"
    if SECONDS in constraints:
        return "duration" + _bounds(constraints, "duration")
    if annotation in (int, float):
        return _NAMES[annotation] + (f" of {unit}" if unit else "") + _bounds(constraints, "number")
    pattern = next((each for each in (getattr(each, "pattern", None) for each in constraints) if each), None)
    matching = f" that matches `{pattern}`" if pattern else ""
    return _NAMES[annotation] + matching + _bounds(constraints, "characters")


def _bounds(constraints: list[object], of: str) -> str:
    """The bounds in words, beginning with a comma; empty if there are none."""
    found = {
        bound: value
        for each in constraints
        for bound in ("gt", "ge", "lt", "le", "min_length", "max_length")
        if (value := getattr(each, bound, None)) is not None
    }
    if of == "duration":
        found.setdefault("le", MAX_DURATION_SECONDS)
        if "ge" in found:
            found.pop("gt", None)
    parts = [
        f"{word} {duration(found[bound]) if of == 'duration' else f'{found[bound]:.13g}'}"
        for bound, word in (
            ("gt", "more than"),
            ("ge", "at least"),
            ("min_length", "at least"),
            ("lt", "less than"),
            ("le", "at most"),
            ("max_length", "at most"),
        )
        if bound in found
    ]
    counted = f"{of}: " if of in ("items", "characters") else ""
    return f", {counted}{' and '.join(parts)}" if parts else ""


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    """The constraints, also those inside of a ``Field``."""
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from each.metadata
        else:
            yield each
