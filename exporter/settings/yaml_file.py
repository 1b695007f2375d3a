"""Reads YAML files, with the line of each setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from exporter.settings.problems import Lines, Place, Problem, place_of

_QUOTED = re.compile(r"""(['"])(?!<|utf-8)[^'"]{2,}\1""")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2 (YAML 1.2.2, 10.3), with merge keys (``<<``), which existing files use.

    PyYAML implements YAML 1.1, in which ``on`` is true, ``1:30`` is 90 and ``010`` is 8.
    """

    def plain(self, node: yaml.Node) -> bool | int | float:
        """The value of a boolean or a number. Raises yaml.YAMLError if an explicit tag does not fit the text."""
        kind, text = node.tag.removeprefix(_TAG), str(node.value).lower()
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text]
            if kind == "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except (KeyError, ValueError):  # Python limits the digits of an int
            text = f"not a valid value of !!{kind}"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None


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
    """The file's mapping, and the line of each place in it. Adds what is wrong to `problems`."""
    lines: Lines = {}
    try:
        loader = _Loader(file.read_text("utf-8"))
        node = loader.get_single_node()
        _check_aliases(node)
        _walk(node, (), lines, problems)
        values = loader.construct_document(node) if node is not None else None
    except OSError as error:
        problems.append(Problem(str(file), f"cannot be read: {error.strerror}; check path and permissions"))
        return {}, {}
    except RecursionError:
        problems.append(Problem(str(file), "invalid YAML: nested too deeply"))
        return {}, {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # The error quotes what it read as an alias, a tag or a number; it may be a token without quotes.
        what = _QUOTED.sub("***", getattr(error, "problem", None) or str(error).splitlines()[0])
        problems.append(Problem(str(file), f"invalid YAML: {what}", mark.line + 1 if mark else None))
        return {}, {}
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        problems.append(Problem(str(file), "must be a mapping, such as `accounts: …`"))
        return {}, {}
    return values, lines


MAX_NODES = 100_000
"""Maximum number of values, with those that aliases repeat."""


def _check_aliases(root: yaml.Node | None) -> None:
    """Raises yaml.YAMLError for an alias within what it stands for, and for aliases that repeat too much."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in sizes:
            known = sizes[key]
            if known is None:
                text = "an alias stands for something that contains it"
                raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
            return known
        sizes[key] = None
        inside = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + sum(map(size, inside if isinstance(node, yaml.CollectionNode) else ()))
        if total > MAX_NODES:
            text = f"more than {MAX_NODES} values"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
        sizes[key] = total
        return total

    if root is not None:
        size(root)


_NOT_TEXT = {"bool": "a boolean", "null": "null", "int": "a number", "float": "a number"}


def _walk(node: yaml.Node | None, place: Place, lines: Lines, problems: list[Problem]) -> None:
    """Record the line of each place. Report duplicate keys; report and remove keys that are not text."""
    if isinstance(node, yaml.MappingNode):
        for pair in list(node.value):
            key, value = pair
            if not isinstance(key, yaml.ScalarNode):
                node.value.remove(pair)
                what = "a key must be text, not a list or a mapping"
                problems.append(Problem(place_of(place), what, key.start_mark.line + 1))
                continue
            kind = _NOT_TEXT.get(key.tag.removeprefix(_TAG))
            if kind is not None:
                node.value.remove(pair)
                what = f"a key must be text, but {key.value or 'an empty key'} is {kind}; quote it"
                problems.append(Problem(place_of((*place, str(key.value))), what, key.start_mark.line + 1))
                continue
            here = (*place, str(key.value))
            if here in lines:
                problems.append(Problem(place_of(here), "duplicate key; keep one", key.start_mark.line + 1))
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*place, number)] = value.start_mark.line + 1
            _walk(value, (*place, number), lines, problems)
