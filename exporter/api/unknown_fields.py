"""Fields of a response that no source describes: a sign that the API has changed."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from exporter.api.models import ApiObject

UNUSED = frozenset(
    (
        "description owners permissions artifactRepositoryId email fullName userhash username "
        "errorRates requestRates bundleSelectionPolicy priority "
        "statusDetails logTail creator address nodeAddress actorId workloadId spec "
        "runtime name tenantId userId uid id trend errorRate responseTime concurrentRequests "
        "serverErrorRate userErrorRate totalErrorRate tokensPerMinute policies displayName "
        "hasGpu gpuType gpuMemoryBytes endpoint protonId artifactId stacktrace spanId traceId"
    ).split()
)
"""Fields that sources describe and the exporter does not read, in any object."""


def unknown_fields(body: bytes, kind: type[ApiObject]) -> frozenset[str]:
    """The paths of fields that are neither in `kind` nor in `UNUSED`, without indexes; empty if it is not JSON.

    Of a list, those of its items. Keys of maps, such as names of containers, are no fields.
    """
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()
    items = values.get("data") if isinstance(values, dict) else None
    return frozenset(path.lstrip(".") for path in _unknown(items if isinstance(items, list) else values, kind, ""))


def _unknown(value: Any, kind: Any, path: str) -> Iterator[str]:
    for option in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if isinstance(value, list) and get_origin(option) is tuple:
            for each in value:
                yield from _unknown(each, get_args(option)[0], f"{path}[]")
        elif isinstance(value, dict) and get_origin(option) is dict:
            for each in value.values():
                yield from _unknown(each, get_args(option)[1], f"{path}{{}}")
        elif isinstance(option, type) and issubclass(option, msgspec.Struct):
            for each in value if isinstance(value, list) else (value,):
                yield from _of_object(each, option, path)


def _of_object(value: Any, kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, part in value.items():
        if name in fields:
            yield from _unknown(part, fields[name], f"{path}.{name}")
        elif name not in UNUSED:
            yield f"{path}.{name}"
