"""Bytes of one API answer -> model values and rejects.

Three steps, each slower and more patient than the one before: the page in one typed pass; item by item when that
fails; field by field for an item that fails, so that a field of an odd type costs that field and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

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


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()
    next: Any = None
    total_count: Any = msgspec.field(default=None, name="totalCount")
    total: Any = None


_envelope = msgspec.json.Decoder(_Envelope)
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])
_workloads = msgspec.json.Decoder(tuple[Workload, ...])


def workload_page(body: bytes) -> Page[Workload]:
    """Decode one page of ``GET /workloads`` (spec 11.5 WorkloadListResponse; contract of the envelope: drift 17).

    Raises `NotDecodable` when the body is empty, is no JSON object, or has no ``data`` list.
    """
    envelope = _open(body)
    data = bytes(envelope.data)
    rejects: list[Reject] = []
    size = None
    try:
        items = _workloads.decode(data)
    except (msgspec.ValidationError, UnicodeDecodeError):
        raws = _raw_items.decode(data)
        items, size = tuple(_patiently(raws, Workload, rejects)), len(raws)
    total = next((n for n in (envelope.total_count, envelope.total) if type(n) is int and n >= 0), None)
    following = envelope.next if isinstance(envelope.next, str) and envelope.next else None
    return Page(items, tuple(rejects), following, total, len(items) if size is None else size)


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
            yield msgspec.json.decode(raw, type=kind)
        except (msgspec.ValidationError, UnicodeDecodeError):
            item = _field_by_field(raw, kind, rejects)
            if item is not None:
                yield item


def _field_by_field(raw: msgspec.Raw, kind: type[Item], rejects: list[Reject]) -> Item | None:
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        rejects.append(Reject("$", "json"))
        return None
    if not isinstance(values, Mapping):
        rejects.append(Reject("$", "type"))
        return None
    told_id = values.get("id")
    item_id = told_id if isinstance(told_id, str) else None
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in values:
            continue
        try:
            kept[field.name] = msgspec.convert(values[field.encode_name], field.type, strict=True)
        except msgspec.ValidationError as error:
            rejects.append(Reject(_path(field.encode_name, error), "type", item_id))
    if not kept.get("id"):
        rejects.append(Reject("$.id", "missing", item_id))
        return None
    return kind(**kept)


_PLACE = re.compile(r"at `\$(.*)`")


def _path(field: str, error: msgspec.ValidationError) -> str:
    place = _PLACE.search(str(error))
    inner = re.sub(r"\[[^]]*\]", "[]", place[1]) if place else ""
    return f"$.{field}{inner}"
