"""Errors of pydantic models as problems with the place in the file, the line and a remedy."""

from __future__ import annotations

import difflib
import types
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from exporter.settings.problems import Lines, Place, Problem, place_of

_NUMBER, _LIST = "must be a number", "must be a list, such as [a, b], or one value"
_TEXTS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "frozen_set_type": _LIST,
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": _LIST,
    "missing": "is required",
    "path_type": "must be a path",
    "string_pattern_mismatch": "must match the pattern '{pattern}'",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text; quote it if it looks like a number",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "tuple_type": _LIST,
}
"""Type of an error -> what is wrong, where pydantic's text names types of Python or of its own."""


def problem(error: Any, root: type[BaseModel], lines: Lines) -> Problem:
    """One error of pydantic (an item of ``ValidationError.errors()``) as a problem."""
    parts, sections = _found(root, error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    if error["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in sections[0].model_fields.items()]
        near = difflib.get_close_matches(str(parts[-1]), names, 1, 0.5)
        what = "unknown setting; " + (f"did you mean {near[0]}?" if near else f"possible: {', '.join(names)}")
    elif error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        what = f"set kind to one of {', '.join(map(kind_of, sections))}"
    elif error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        what = "must contain settings, such as `name: value`; remove it to use the defaults"
    elif error["type"] in _TEXTS:
        bounds = error.get("ctx", {})
        what = "must not be empty" if bounds.get("min_length") == 1 else _TEXTS[error["type"]].format(**bounds)
    line = next((lines[parts[:n]] for n in range(len(parts), 0, -1) if parts[:n] in lines), None)
    return Problem(place_of(parts), what, line)


def problems_of(error: ValidationError, root: type[BaseModel], lines: Lines) -> list[Problem]:
    """All errors of pydantic as problems. It also counts the items of a list without those that are invalid."""
    errors = error.errors(include_url=False)
    invalid = [each["loc"] for each in errors]
    return [
        problem(each, root, lines)
        for each in errors
        if each["type"] != "too_short" or not any(place[:-1] == each["loc"] for place in invalid)
    ]


def _found(root: type[BaseModel], location: Place) -> tuple[Place, list[type[BaseModel]]]:
    """The place in the file of a pydantic location below `root`, and the sections possible there.

    Pydantic puts the `kind` of a section into the location; without it, all kinds are possible.
    """
    place: list[str | int] = []
    sections = [root]
    for part in location:
        of_kind = [section for section in sections if len(sections) > 1 and kind_of(section) == part]
        if of_kind:
            sections = of_kind
            continue
        place.append(part)
        if isinstance(part, str) and part in sections[0].model_fields:
            sections = models_in(sections[0].model_fields[part].annotation) or sections
    return tuple(place), sections


def kind_of(section: type[BaseModel]) -> str:
    """The value of `kind` that selects this section."""
    return str(get_args(section.model_fields["kind"].annotation)[0])


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections in a type, such as that of a list of them."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in get_args(annotation) for found in models_in(part)]
