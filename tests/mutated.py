"""Mutated responses, as broken servers, proxies and encoders may send them."""

import json
from copy import deepcopy
from random import Random
from typing import Any

SURROGATE = "\ud83d"
NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), -float("inf"), "", "x", SURROGATE, "\x00\t\x1b[31m", [],
    {}, [None], {"id": None}, [[[]]], "1e400", {"a": {"b": SURROGATE}},
)  # fmt: skip
BYTES = (
    b"\xff", b"\xed\xa0\x80", b"\\ud83d", b"\\", b'"', b"NaN", b"1e400", b"-", b"{", b"}", b"[", b"]", b",", b":",
    b"\x00", b"\t", b"\xef\xbb\xbf", b"\xf0\x9f\x98", b'{"a":' * 1200 + b"1" + b"}" * 1200, b"9" * 5000, b"<html>",
)  # fmt: skip


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values within a JSON value."""
    found: list[tuple[str | int, ...]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        found.append((*path, key))
        found += places(part, (*path, key))
    return found


def put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    """Replace the value at a path."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def structural(random: Random, body: bytes) -> bytes:
    """The response with one to three values replaced by unusual ones."""
    value = json.loads(body)
    for _ in range(random.randint(1, 3)):
        if found := places(value):
            put(value, random.choice(found), deepcopy(random.choice(NASTY)))
    return json.dumps(value).encode()


def mangled(random: Random, body: bytes) -> bytes:
    """The response with one to three bytes or ranges replaced, removed, repeated or inserted."""
    for _ in range(random.randint(1, 3)):
        at, to = sorted(random.randrange(len(body) + 1) for _ in range(2))
        to = min(to, at + 200)
        match random.randrange(5):
            case 0:
                body = body[:at] + random.randbytes(1) + body[at + 1 :]
            case 1:
                body = body[:at] + body[to:]
            case 2:
                body = body[:to] + body[at:]
            case 3:
                body = body[:at]
            case _:
                body = body[:at] + random.choice(BYTES) + body[at:]
    return body


def mutated(random: Random, body: bytes) -> bytes:
    """The response, mutated in one of these ways."""
    return structural(random, body) if random.random() < 0.5 else mangled(random, body)
