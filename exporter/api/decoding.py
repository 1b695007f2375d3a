"""Bytes of one API response -> model values and rejects.

A response is decoded in one typed pass. If that fails, it is parsed by `exporter.api.tolerant_json` and decoded item by
item, and failing items field by field: an unreadable or mistyped value loses only that field or list element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from exporter.api import tolerant_json
from exporter.api.models import ApiObject, Workload
from exporter.api.tolerant_json import UNREADABLE, Damaged
from exporter.errors import ExporterError

Item = TypeVar("Item", bound=ApiObject)


class NotDecodable(ExporterError, ValueError):
    """Raised for a response that cannot be used as a whole; `reason` is one of `REJECT_REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


MAX_VALUES = 200_000
"""Maximum number of values of a response. A page of a hundred workloads has 10,000; decoding blocks everything else."""
MAX_SALVAGED = 20_000
"""Maximum number of items in a response of which some cannot be read: reading each by itself takes time."""
REJECT_REASONS = ("empty", "size", "json", "no_data", "type", "missing", "value", "text", "duplicate")


class Reject(NamedTuple):
    """A field or item left out: path without indexes or ids, one of `REJECT_REASONS`, and the item's id if known."""

    path: str
    reason: str
    item_id: str | None = None


def incomplete(rejects: Iterable[Reject]) -> bool:
    """Whether an item of a list was left out: what is missing from the list may exist all the same."""
    return any(reject.path in ("$", "$.id") and not reject.item_id for reject in rejects)


class Page(NamedTuple, Generic[Item]):
    """One page of a list: its items, the rejects, the next page's URL, and the total size of the list if reported."""

    items: tuple[Item, ...]
    rejects: tuple[Reject, ...]
    next: str | None
    total: int | None
    size: int = 0
    """Number of items of the page, including those left out."""


class One(NamedTuple, Generic[Item]):
    """One object and its rejects."""

    value: Item
    rejects: tuple[Reject, ...]


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()
    next: Any = None
    total_count: Any = msgspec.field(default=None, name="totalCount")
    total: Any = None


_envelope = msgspec.json.Decoder(_Envelope)
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the strict decoder raises; `msgspec.ValidationError` is a kind of DecodeError."""


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def workload_page(body: bytes) -> Page[Workload]:
    """Decode one page of ``GET /workloads`` (spec 11.5 WorkloadListResponse); see `page`."""
    return page(body, Workload)


def page(body: bytes, kind: type[Item]) -> Page[Item]:
    """Decode one page of a list of `kind`; ``totalCount`` may be called ``total``, and ``next`` may be missing.

    Raises `NotDecodable` if the body is empty or too large, is not a JSON object, or has no ``data`` list.
    """
    _check_size(body)
    try:
        envelope = _envelope.decode(body)
        items = _decoder(tuple[kind, ...]).decode(envelope.data)  # type: ignore[valid-type]  # known at run time
    except _REFUSED:
        return _salvaged_page(body, kind)
    total, following = _size(envelope.total_count, envelope.total), _link(envelope.next)
    return Page(items, (), following, total, len(items))


def one(body: bytes, kind: type[Item]) -> One[Item]:
    """Decode one object of `kind`.

    Raises `NotDecodable` if the body is empty or too large, is not a JSON object, or lacks its id.
    """
    _check_size(body)
    try:
        return One(_decoder(kind).decode(body), ())
    except _REFUSED:
        pass
    rejects: list[Reject] = []
    found = _salvaged(_parsed(body), kind, rejects)
    if found is None:
        last = rejects[-1]
        raise NotDecodable(
            "no_data" if last.reason == "type" else last.reason, f"the response is not a {kind.__name__}"
        )
    return One(found, tuple(rejects))


def _check_size(body: bytes) -> None:
    if not body.strip():
        raise NotDecodable("empty", "the response has no body")
    if len(body) > MAX_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise NotDecodable("size", f"the response has more than {MAX_VALUES} values")


def _salvaged_page(body: bytes, kind: type[Item]) -> Page[Item]:
    response = _parsed(body)
    if not isinstance(response, dict):
        raise NotDecodable("no_data", "the response is JSON but not an object")
    listed = response.get("data")
    if not isinstance(listed, list):
        raise NotDecodable("no_data", "the response has no `data` list")
    if len(listed) > MAX_SALVAGED:
        raise NotDecodable("size", f"the response has more than {MAX_SALVAGED} items, and not all can be read")
    rejects: list[Reject] = []
    salvaged = [_salvaged(each, kind, rejects) for each in listed]
    items = [item for item in salvaged if item is not None]
    total = _size(response.get("totalCount"), response.get("total"))
    return Page(tuple(items), tuple(rejects), _link(response.get("next")), total, len(listed))


def _parsed(body: bytes) -> Any:
    try:
        return tolerant_json.parse(body)
    except ValueError as error:
        raise NotDecodable("json", f"the response is not JSON: {error}") from None


def _size(*reported: object) -> int | None:
    return next((number for number in reported if type(number) is int and number >= 0), None)


def _link(reported: object) -> str | None:
    """The text of ``next``. An unreadable one still means that there is more: no page is the last by mistake."""
    if isinstance(reported, Damaged):
        return reported.text
    if reported is UNREADABLE:
        return "unreadable"
    return reported if isinstance(reported, str) and reported else None


def _salvaged(values: Any, kind: type[Item], rejects: list[Reject]) -> Item | None:
    """`values` as a `kind`; None if it is not an object, or has no readable id."""
    try:
        item: Item = msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError:
        pass
    else:
        return item
    known = _identifier(values.get("id")) if isinstance(values, dict) else None
    found = _Salvage(rejects, known).value(values, kind, "$")
    return None if found is _NOTHING else found


def _identifier(reported: object) -> str | None:
    """An id as text; some encoders write it as a number. None if it is not an id, or only a part of one."""
    if type(reported) is int:
        return str(reported)
    return reported if isinstance(reported, str) else None


_NOTHING: Any = object()
_fields = cache(msgspec.structs.fields)


def _may_be_empty(kind: Any) -> bool:
    """Whether a type is that of objects which need not have any field."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not any(f.required for f in _fields(kind))


class _Salvage:
    """Extracts from parsed JSON what fits a type, and rejects the rest by its path."""

    def __init__(self, rejects: list[Reject], item_id: str | None) -> None:
        self._rejects, self._item_id = rejects, item_id

    def value(self, value: Any, kind: Any, path: str) -> Any:
        """`value` as a `kind`, or `_NOTHING` if no part of it fits."""
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError:
            pass
        options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if isinstance(value, Damaged):
            self._reject(path, "text")
            return value.text if str in options else _NOTHING
        for option in options:
            if isinstance(value, dict) and isinstance(option, type) and issubclass(option, msgspec.Struct):
                return self._object(value, option, path)
            if isinstance(value, list) and get_origin(option) is tuple:
                parts = (self._element(part, get_args(option)[0], f"{path}[]") for part in value)
                return tuple(part for part in parts if part is not _NOTHING)
            if isinstance(value, dict) and get_origin(option) is dict:
                named = ((key, self.value(part, get_args(option)[1], f"{path}{{}}")) for key, part in value.items())
                return {key: part for key, part in named if part is not _NOTHING}
        self._reject(path, "value" if value is UNREADABLE else "type")
        elements = [get_args(option)[0] for option in options if get_origin(option) is tuple]
        return (kind(),) if elements and _may_be_empty(kind := elements[0]) else _NOTHING

    def _element(self, value: Any, kind: Any, path: str) -> Any:
        """An element of a list. An unreadable object counts as an element of which nothing is known.

        An unreadable list of objects counts as one with such an element: it is not known to be empty.
        """
        found = self.value(value, kind, path)
        return kind() if found is _NOTHING and _may_be_empty(kind) else found

    def _object(self, values: Mapping[str, Any], kind: Any, path: str) -> Any:
        kept: dict[str, Any] = {}
        for field in _fields(kind):
            place = f"{path}.{field.encode_name}"
            if field.encode_name in values:
                part = self.value(values[field.encode_name], field.type, place)
                # All required fields are ids: part of one could be another object's id.
                if part is _NOTHING or (field.required and isinstance(values[field.encode_name], Damaged)):
                    part = _identifier(values[field.encode_name]) if field.required else None
                kept[field.name] = part  # None, not the default: that is for a field that is not reported
            if field.required and not kept.get(field.name):
                return self._reject(place, "missing")
        return kind(**kept)

    def _reject(self, path: str, reason: str) -> Any:
        self._rejects.append(Reject(path, reason, self._item_id))
        return _NOTHING
