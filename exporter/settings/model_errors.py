"""Errors of pydantic models as problems: with the place in the file, the line and a remedy."""

from __future__ import annotations

import difflib
import types
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from exporter.settings.problems import Lines, Place, Problem, place_of


def problem(error: Any, root: type[BaseModel], lines: Lines) -> Problem:
    """One error of pydantic (an item of ``ValidationError.errors()``) in words."""
    parts, sections = _found(root, error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in sections[0].model_fields.items()]
        near = difflib.get_close_matches(str(parts[-1]), names, 1, 0.5)
        what = "unknown setting; " + (f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}")
    elif error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        what = f"give a kind; one of {', '.join(map(kind_of, sections))}"
    line = next((lines[parts[:n]] for n in range(len(parts), 0, -1) if parts[:n] in lines), None)
    return Problem(place_of(parts), what, line)


def problems_of(error: ValidationError, root: type[BaseModel], lines: Lines) -> list[Problem]:
    """All errors of pydantic in words."""
    return [problem(each, root, lines) for each in error.errors(include_url=False)]


def _found(root: type[BaseModel], told: Place) -> tuple[Place, list[type[BaseModel]]]:
    """A place of pydantic's below `root` as it is in the file, and the section there: all kinds of it, if none is told.

    Sections that may stand in the same place are told apart by their `kind`, which pydantic makes a part of the place.
    """
    place: list[str | int] = []
    sections = [root]
    for part in told:
        of_kind = [section for section in sections if len(sections) > 1 and kind_of(section) == part]
        if of_kind:
            sections = of_kind
            continue
        place.append(part)
        if isinstance(part, str) and part in sections[0].model_fields:
            sections = _models_in(sections[0].model_fields[part].annotation) or sections
    return tuple(place), sections


def kind_of(section: type[BaseModel]) -> str:
    """What `kind` must say to mean this section, of those that may stand in the same place."""
    return str(get_args(section.model_fields["kind"].annotation)[0])


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in get_args(annotation) for found in _models_in(part)]
