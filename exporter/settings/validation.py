"""YAML files checked against pydantic models: every problem at once, with its place, its line and a remedy."""

from __future__ import annotations

import difflib
import re
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


_QUOTED = re.compile(r"""(['"])(?!<|utf-8)[^'"]{2,}\1""")
Place = tuple[str | int, ...]
Lines = dict[Place, int]


_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2. PyYAML has YAML 1.1, in which ``on`` is true, ``1:30`` is 90 and ``010`` is 8.

    Source: YAML 1.2.2, 10.3. Merge keys (``<<``) are no part of it, and are kept because files use them.
    """

    def plain(self, node: yaml.Node) -> bool | int | float:
        """The value of a boolean or a number. Raises yaml.YAMLError for what an explicit tag wrongly calls one."""
        kind, text = node.tag.removeprefix(_TAG), str(node.value).lower()
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text]
            if kind == "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except (KeyError, ValueError):  # Python reads no int of thousands of digits
            words = f"not a value that !!{kind} can have"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark) from None


_Loader.yaml_implicit_resolvers = {}
_KEPT = (_TAG + "null", _TAG + "str", _TAG + "seq", _TAG + "map", None)  # None: an unknown tag, which is an error
_Loader.yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in _KEPT}
_NUMBER = "-+.0123456789"
for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _NUMBER),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", _NUMBER),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _NUMBER),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), list(_first))
for _kind in ("bool", "int", "float"):
    _Loader.add_constructor(_TAG + _kind, _Loader.plain)


def read(file: Path, problems: list[Problem]) -> tuple[dict[str, Any], Lines]:
    """The file's mapping and the line of each place in it; what is wrong is added to `problems`."""
    lines: Lines = {}
    try:
        loader = _Loader(file.read_text("utf-8"))
        node = loader.get_single_node()
        _walk(node, (), lines, problems)
        values = loader.construct_document(node) if node is not None else None
    except OSError as error:
        problems.append(Problem(str(file), f"cannot be read: {error.strerror}; check the path and the permissions"))
        return {}, {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # A token that is not quoted may be read as an alias, a tag or a number, which the error quotes.
        what = _QUOTED.sub("***", getattr(error, "problem", None) or str(error).splitlines()[0])
        problems.append(Problem(str(file), f"no YAML: {what}", mark.line + 1 if mark else None))
        return {}, {}
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        problems.append(Problem(str(file), "must hold a mapping, such as `accounts: …`"))
        return {}, {}
    return values, lines


_NOT_TEXT = {"bool": "a boolean", "null": "null", "int": "a number", "float": "a number"}


def _walk(node: yaml.Node | None, place: Place, lines: Lines, problems: list[Problem]) -> None:
    """Note the line of each place; report keys given twice, and keys that are not text, which are taken out."""
    if isinstance(node, yaml.MappingNode):
        for pair in list(node.value):
            key, value = pair
            if not isinstance(key, yaml.ScalarNode):
                node.value.remove(pair)
                what = "a key must be text, and here it is a list or a mapping; write a name"
                problems.append(Problem(place_of(place), what, key.start_mark.line + 1))
                continue
            kind = _NOT_TEXT.get(key.tag.removeprefix(_TAG))
            if kind is not None:
                node.value.remove(pair)
                what = f"a key must be text, and {key.value or 'an empty key'} is {kind}; write it in quotes"
                problems.append(Problem(place_of((*place, str(key.value))), what, key.start_mark.line + 1))
                continue
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
