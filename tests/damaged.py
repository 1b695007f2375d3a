"""Bodies with a known damage: what was damaged is known, and so is what must remain."""

import json
from copy import deepcopy
from random import Random
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec

from exporter.api.models import Integer
from tests.mutated import places, put

Path = tuple[str | int, ...]
UNREADABLE = (
    b"NaN", b"-Infinity", b"1e400", b"-1e999", b"9" * 5000, b"nil", b"undefined", b"1.2.3", b"0x10", b"'x'", b"tru",
    b'"a" "b"', b'"bad \\escape"', b'"\\u12"', b"{} {}", b"+1", b"01", b".5", b"-", b"1e", b"\xff", b"caf\xe9",
)  # fmt: skip
"""Values that are not JSON, whatever stands around them."""
DEEP = b'{"a":' * 1100 + b"1" + b"}" * 1100
NOT_UNICODE = (b"\\ud83d", b"\\udc00", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf")
WRONG: tuple[Any, ...] = (7.25, "x", True, {"x": 1})
HARMLESS = ("\x00", "\t", "\n", "\x1b[31m", "\x7f", "\u2028", "\ufeff", "é", "\U0001f600")
"""Characters that a text may have, raw or escaped."""


class Damaged(NamedTuple):
    """`body` is the response with damage at `places`, of the schema; `rest` is what remains if all of it is left out.

    `reasons`: place -> reasons for which it may be rejected. `changed`: a text was replaced by another valid one.
    """

    body: bytes
    rest: bytes
    reasons: dict[str, set[str]]
    changed: bool


def options(kind: Any) -> tuple[Any, ...]:
    """The types of a union."""
    found = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(int if each == Integer else each for each in found)


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def may_be_empty(kind: Any) -> bool:
    """Whether an object of a type need not have any field."""
    return is_struct(kind) and not any(field.required for field in msgspec.structs.fields(kind))


def place_of(kind: Any, path: Path) -> tuple[str, Any]:
    """The place in the schema of a value within an object of `kind`, and its type; empty if it is not read."""
    place = "$"
    for key in path:
        below = next((option for option in options(kind) if is_struct(option) or get_origin(option)), None)
        if below is None:
            return "", None
        if is_struct(below):
            field = next((each for each in msgspec.structs.fields(below) if each.encode_name == key), None)
            if field is None:
                return "", None
            place, kind = f"{place}.{key}", field.type
        elif get_origin(below) is tuple and isinstance(key, int):
            place, kind = f"{place}[]", get_args(below)[0]
        elif get_origin(below) is dict and isinstance(key, str):
            place, kind = f"{place}{{}}", get_args(below)[1]
        else:
            return "", None
    return place, kind


def fits(kind: Any, value: Any) -> bool:
    """Whether any part of a value may be of a type."""
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return isinstance(value, dict) and any(is_struct(each) or get_origin(each) is dict for each in options(kind))
    return True


def without(value: Any, path: Path, place: str, kind: Any) -> None:
    """Leave out the value at a path. An element that is an object stays, as one of which nothing is known."""
    value, last = _at(value, path[:-1]), path[-1]
    lists = [get_args(option)[0] for option in options(kind) if get_origin(option) is tuple]
    if isinstance(last, int) and may_be_empty(kind):
        value[last] = {}
    elif lists and may_be_empty(lists[0]):
        value[last] = [{}]  # it is not known to be empty
    elif isinstance(last, int):
        value[last] = None  # removed below: the other elements keep their places meanwhile
    elif place.endswith("{}"):
        del value[last]
    else:
        value[last] = None


def pruned(value: Any, paths: list[Path]) -> None:
    """Remove the elements of lists that were left out: inner ones first, and from the last to the first."""
    for path in sorted(paths, key=lambda each: (len(each), str(each[-1]).zfill(9)), reverse=True):
        there, last = _at(value, path[:-1]), path[-1]
        if isinstance(last, int) and there[last] is None:
            del there[last]


def damaged(random: Random, value: Any, kind: Any, *, is_list: bool) -> Damaged:
    """A response, an object of `kind` or a list of such objects, with one to four values or items damaged."""
    value, rest = deepcopy(value), deepcopy(value)
    reasons: dict[str, set[str]] = {}
    tokens: dict[str, bytes] = {}
    done: list[Path] = []
    changed = False
    found = places(value)
    for _ in range(random.randint(1, 4)):
        path = random.choice(found)
        if (is_list and (path[0] != "data" or len(path) < 2)) or any(_nested(path, each) for each in done):
            continue
        place, of = place_of(kind, path[2:] if is_list else path)
        token = f"~{len(tokens)}~"
        raw, remains, reason = _damage(random, _at(value, path), of)
        if raw is None:
            continue
        done.append(path)
        tokens[token] = raw
        put(value, path, token)
        if remains is None:
            without(rest, path, place, None if is_list and len(path) == 2 else of)
        else:
            put(rest, path, remains)
        changed |= not reason
        if place and reason:
            reasons.setdefault(place, set()).add(reason)
    pruned(rest, done)
    body = json.dumps(value, ensure_ascii=random.random() < 0.5).encode()
    for token, raw in tokens.items():
        body = body.replace(f'"{token}"'.encode(), raw)
    return Damaged(_around(random, body), json.dumps(rest).encode(), reasons, changed)


def _nested(one: Path, other: Path) -> bool:
    short = min(len(one), len(other))
    return one[:short] == other[:short]


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _damage(random: Random, before: Any, kind: Any) -> tuple[bytes | None, Any, str]:
    """Bytes instead of a value, what remains of it (None: nothing), and the reason for which it is rejected."""
    choice = random.random()
    if isinstance(before, str) and choice < 0.25:
        at = random.randrange(len(before) + 1)
        raw = json.dumps(before[:at])[:-1].encode() + random.choice(NOT_UNICODE) + json.dumps(before[at:])[1:].encode()
        return raw, TEXT, "text"
    if isinstance(before, str) and choice < 0.35:
        text = before + random.choice(HARMLESS)
        return (
            json.dumps(text, ensure_ascii=False).encode() if random.random() < 0.5 else json.dumps(text).encode(),
            text,
            "",
        )
    if choice < 0.55:
        wrong = [each for each in WRONG if kind is not None and not fits(kind, each)]
        return (json.dumps(random.choice(wrong)).encode(), None, "type") if wrong else (None, None, "")
    if choice < 0.6:
        return (None, None, "") if kind is None or fits(kind, {}) else (DEEP, None, "type")
    return random.choice(UNREADABLE), None, "value"


TEXT = "\ufffd"
"""What remains of a text with damaged characters: how many replacement characters it has, is not checked."""


def _around(random: Random, body: bytes) -> bytes:
    """The body with harmless bytes around it."""
    return random.choice((body, body, b" \n" + body + b"\r\n", b"\xef\xbb\xbf" + body))


# -- made from nothing but the classes


def made(random: Random, kind: Any, depth: int = 0) -> Any:
    """A JSON value that fits a type, of usual and unusual values."""
    option = random.choice(options(kind))
    if option is type(None):
        return None
    if is_struct(option):
        fields = msgspec.structs.fields(option)
        kept = [each for each in fields if each.required or random.random() < 0.5]
        values = {each.encode_name: made(random, each.type, depth + 1) or "id" if each.required else
                  made(random, each.type, depth + 1) for each in kept}  # fmt: skip
        return values | (
            {random.choice(("x", "é", "data", "a.b")): random.choice((1, None, [{}], "y"))} if depth < 3 else {}
        )
    if get_origin(option) is tuple:
        return [made(random, get_args(option)[0], depth + 1) for _ in range(random.randint(0, 3))]
    if get_origin(option) is dict:
        return {f"k{n}": made(random, get_args(option)[1], depth + 1) for n in range(random.randint(0, 2))}
    return random.choice(SCALARS[option])


SCALARS: dict[Any, tuple[Any, ...]] = {
    str: ("", "running", "Ready", "2026-11-20T10:00:00Z", "é\U0001f600", 'a\tb\\"/', "x" * 300, "\x00", "null", "-1"),
    int: (0, 1, -1, 7, 2**31, 2**63 - 1, -(2**63), 10**18),
    float: (0.0, -0.0, 0.5, 1e-300, 1.7e308, -1.5, 5e-324),
    bool: (True, False),
}
