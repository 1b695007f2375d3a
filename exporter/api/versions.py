"""Versions of the platform and of its API, from responses whose shape is not documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from exporter.api import tolerant_json

_VERSION = re.compile(r"v?(\d{1,6}(?:\.\d{1,6}){1,3}(?:[-+.][\w.+-]{1,32})?)", re.ASCII)
MAX_BYTES = 65536
"""Size of a response up to which it is read."""


def api_version(body: bytes) -> str:
    """The version of ``GET /version``: ``versionString``, or ``major`` and ``minor``; empty if there is none."""
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        return ""
    numbers = [parsed.get(name) for name in ("major", "minor")]
    joined = ".".join(str(number) for number in numbers if type(number) is int)
    return _version(parsed.get("versionString")) or _version(joined)


def platform_release(body: bytes) -> str:
    """The release in ``GET /config``, text or JSON: a value called release, else one called version; else empty."""
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        return _version(parsed)
    values = [(key.casefold(), _version(value)) for key, value in _values(parsed)]
    for word in ("release", "version"):
        for key, value in values:
            if word in key and "api" not in key and value:
                return value
    return ""


def _parsed(body: bytes) -> Any:
    """The JSON value, else the text."""
    if len(body) > MAX_BYTES:
        return None
    try:
        return tolerant_json.parse(body)
    except ValueError:
        return body.decode(errors="replace")


def _version(value: object) -> str:
    match = _VERSION.fullmatch(value.strip()) if isinstance(value, str) else None
    return match[1] if match else ""


def _values(parsed: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """The values of an object, and of the objects in it."""
    for key, value in parsed.items():
        yield key, value
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", each) for name, each in value.items())
