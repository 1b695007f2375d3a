"""YAML files checked against pydantic models: every problem at once, with its place, its line and a remedy."""

from __future__ import annotations

import difflib
import types
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ValidationError


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


Place = tuple[str | int, ...]
Lines = dict[Place, int]


def read(file: Path, problems: list[Problem]) -> tuple[dict[str, Any], Lines]:
    """The file's mapping and the line of each place in it; what is wrong is added to `problems`."""
    try:
        text = file.read_text("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        told = yaml.safe_load(text)
    except OSError as error:
        problems.append(Problem(str(file), f"cannot be read: {error.strerror}; check the path and the permissions"))
        return {}, {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        problems.append(Problem(str(file), f"no YAML: {what}", mark.line + 1 if mark else None))
        return {}, {}
    if told is None:
        return {}, {}
    if not isinstance(told, dict):
        problems.append(Problem(str(file), "must hold a mapping, such as `accounts: …`"))
        return {}, {}
    lines: Lines = {}
    _walk(node, (), lines, problems)
    return told, lines


def _walk(node: yaml.Node | None, place: Place, lines: Lines, problems: list[Problem]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                problems.append(Problem(place_of(here), "is given twice; keep one", key.start_mark.line + 1))
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*place, number)] = value.start_mark.line + 1
            _walk(value, (*place, number), lines, problems)


def place_of(parts: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".") or "settings"


def problem(error: Any, root: type[BaseModel], lines: Lines) -> Problem:
    """One error of pydantic (an item of ``ValidationError.errors()``) in words."""
    parts: Place = error["loc"]
    what = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = _names(root, parts[:-1])
        near = difflib.get_close_matches(str(parts[-1]), names, 1, 0.5)
        what = "unknown setting; " + (f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}")
    line = next((lines[parts[:n]] for n in range(len(parts), 0, -1) if parts[:n] in lines), None)
    return Problem(place_of(parts), what, line)


def problems_of(error: ValidationError, root: type[BaseModel], lines: Lines) -> list[Problem]:
    """All errors of pydantic in words."""
    return [problem(each, root, lines) for each in error.errors(include_url=False)]


def _names(root: type[BaseModel], parts: Place) -> list[str]:
    """The settings known at a place below `root`."""
    kind = root
    for part in parts:
        if isinstance(part, str) and part in kind.model_fields:
            kind = _model_in(kind.model_fields[part].annotation) or kind
    return [field.alias or name for name, field in kind.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
