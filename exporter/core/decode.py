"""Bytes of one API answer -> model values and rejects.

Three steps, each slower and more patient than the one before: the answer in one typed pass; item by item when that
fails; field by field for an item that fails, down to the leaves, so that a value of an odd type costs that field, or
that element of a list, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from exporter.core.model import ApiObject, Workload

Item = TypeVar("Item", bound=ApiObject)


class NotDecodable(ValueError):
    """The answer as a whole cannot be used; `reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


REASONS = ("empty", "json", "no_data", "type", "missing", "value", "duplicate")


class Reject(NamedTuple):
    """A field or item left out: where (a path without indexes or ids), why (one of `REASONS`), whose id if known."""

    path: str
    reason: str
    item_id: str | None = None


class Page(NamedTuple, Generic[Item]):
    """One page of a list: its items, what was left out, the next page's URL and the list's whole size if told."""

    items: tuple[Item, ...]
    rejects: tuple[Reject, ...]
    next: str | None
    total: int | None
    size: int = 0
    """How many items the page had, left-out ones included."""


class One(NamedTuple, Generic[Item]):
    """One object and what was left out of it."""

    value: Item
    rejects: tuple[Reject, ...]


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()
    next: Any = None
    total_count: Any = msgspec.field(default=None, name="totalCount")
    total: Any = None


_envelope = msgspec.json.Decoder(_Envelope)
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def workload_page(body: bytes) -> Page[Workload]:
    """Decode one page of ``GET /workloads`` (spec 11.5 WorkloadListResponse); see `page`."""
    return page(body, Workload)


def page(body: bytes, kind: type[Item]) -> Page[Item]:
    """Decode one page of a list of `kind`; ``totalCount`` may be called ``total``, and ``next`` may be missing.

    Raises `NotDecodable` when the body is empty, is no JSON object, or has no ``data`` list.
    """
    envelope = _open(body)
    data = bytes(envelope.data)
    rejects: list[Reject] = []
    size = None
    try:
        items = _decoder(tuple[kind, ...]).decode(data)  # type: ignore[valid-type]
    except (msgspec.ValidationError, UnicodeDecodeError):
        raws = _raw_items.decode(data)
        items, size = tuple(_patiently(raws, kind, rejects)), len(raws)
    total = next((n for n in (envelope.total_count, envelope.total) if type(n) is int and n >= 0), None)
    following = envelope.next if isinstance(envelope.next, str) and envelope.next else None
    return Page(items, tuple(rejects), following, total, len(items) if size is None else size)


def one(body: bytes, kind: type[Item]) -> One[Item]:
    """Decode one object of `kind`. Raises `NotDecodable` when the body is empty, no JSON object, or lacks its id."""
    if not body.strip():
        raise NotDecodable("empty", "the answer has no body")
    try:
        return One(_decoder(kind).decode(body), ())
    except (msgspec.ValidationError, UnicodeDecodeError):
        pass
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotDecodable("json", f"the answer is no JSON: {error}") from None
    rejects: list[Reject] = []
    found = _field_by_field(body, kind, rejects)
    if found is None:
        last = rejects[-1]
        raise NotDecodable("no_data" if last.reason == "type" else last.reason, f"the answer is no {kind.__name__}")
    return One(found, tuple(rejects))


def _open(body: bytes) -> _Envelope:
    if not body.strip():
        raise NotDecodable("empty", "the answer has no body")
    try:
        envelope = _envelope.decode(body)
    except msgspec.ValidationError:
        raise NotDecodable("no_data", "the answer is JSON but no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotDecodable("json", f"the answer is no JSON: {error}") from None
    if not bytes(envelope.data).lstrip().startswith(b"["):
        raise NotDecodable("no_data", "the answer has no `data` list")
    return envelope


def _patiently(raws: list[msgspec.Raw], kind: type[Item], rejects: list[Reject]) -> Iterator[Item]:
    for raw in raws:
        try:
            yield _decoder(kind).decode(raw)
        except (msgspec.ValidationError, UnicodeDecodeError):
            item = _field_by_field(raw, kind, rejects)
            if item is not None:
                yield item


def _field_by_field(raw: msgspec.Raw | bytes, kind: type[Item], rejects: list[Reject]) -> Item | None:
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        rejects.append(Reject("$", "json"))
        return None
    told_id = values.get("id") if isinstance(values, Mapping) else None
    salvage = _Salvage(rejects, told_id if isinstance(told_id, str) else None)
    found = salvage.value(values, kind, "$")
    return None if found is _NOTHING else found


_NOTHING: Any = object()


class _Salvage:
    """Takes from decoded JSON what fits a type, and rejects the rest by its path."""

    def __init__(self, rejects: list[Reject], item_id: str | None) -> None:
        self._rejects, self._item_id = rejects, item_id

    def value(self, value: Any, kind: Any, path: str) -> Any:
        """`value` as a `kind`, or `_NOTHING` where nothing can be kept of it."""
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError:
            pass
        for option in get_args(kind) if isinstance(kind, UnionType) else (kind,):
            if isinstance(value, Mapping) and isinstance(option, type) and issubclass(option, msgspec.Struct):
                return self._object(value, option, path)
            if isinstance(value, list) and get_origin(option) is tuple:
                parts = (self.value(part, get_args(option)[0], f"{path}[]") for part in value)
                return tuple(part for part in parts if part is not _NOTHING)
            if isinstance(value, Mapping) and get_origin(option) is dict:
                named = ((key, self.value(part, get_args(option)[1], f"{path}{{}}")) for key, part in value.items())
                return {key: part for key, part in named if part is not _NOTHING}
        return self._reject(path, "type")

    def _object(self, values: Mapping[str, Any], kind: Any, path: str) -> Any:
        kept: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            if field.encode_name in values:
                part = self.value(values[field.encode_name], field.type, f"{path}.{field.encode_name}")
                if part is not _NOTHING:
                    kept[field.name] = part
            if field.required and not kept.get(field.name):
                return self._reject(f"{path}.{field.encode_name}", "missing")
        return kind(**kept)

    def _reject(self, path: str, reason: str) -> Any:
        self._rejects.append(Reject(path, reason, self._item_id))
        return _NOTHING
