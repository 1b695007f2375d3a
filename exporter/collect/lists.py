"""Reads a list to its true end, whatever size its pages have.

A list ends with a page that has no ``next``, unless ``totalCount`` is not reached, or with an empty page. Pages may
have fewer items than requested. An empty page of a list that goes on contradicts itself: the list is incomplete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple

from exporter.api.decoding import Item, Page, Reject
from exporter.collect.client import ApiError, Client, Params
from exporter.collect.decoded import page

PAGE = 100
"""Items per page."""
MAX_PAGES = 50
"""Pages read of one list of details."""


class Listed(NamedTuple, Generic[Item]):
    """The items of a list and its rejects. `problem`: why it is incomplete; empty: it is not."""

    items: tuple[Item, ...]
    rejects: tuple[Reject, ...]
    problem: str = ""


def ends(listed: Page[Any], offset: int, total: int | None) -> bool:
    """Whether a list ends with this page; `offset` is the number of items up to its end, `total` of the whole list.

    Raises `ValueError` with the problem if the page is empty although the list goes on.
    """
    short = total is not None and offset < total
    if listed.size:
        return listed.next is None and not short
    if short:
        raise ValueError(f"reported {total} items and returned {offset}")
    if total is None and listed.next is not None:
        raise ValueError(f"returned an empty page at offset {offset} that is not the last")
    return True


def incomplete(route: str, problem: str) -> ApiError:
    """The error of an incomplete list."""
    return ApiError("incomplete", f"the list of GET {route} {problem}")


async def read_list(
    client: Client,
    route: str,
    kind: type[Item],
    params: Params | None = None,
    *,
    until: Callable[[tuple[Item, ...]], bool] = lambda _: False,
    **places: str,
) -> Listed[Item]:
    """Read a list up to the page whose items `until` accepts. Raises `ApiError` and `NotDecodable`."""
    found: dict[object, Item] = {}
    rejects: list[Reject] = []
    total: int | None = None
    offset = 0
    problem = f"does not end after {MAX_PAGES} pages"
    for _ in range(MAX_PAGES):
        query = {**(params or {}), "limit": PAGE, **({"offset": offset} if offset else {})}
        listed = await page((await client.get(route, query, **places)).body, kind)
        rejects.extend(listed.rejects)
        total = listed.total if listed.total is not None else total
        offset += min(listed.size, PAGE)  # a page may repeat an item and be longer than requested
        before = len(found)
        found.update((getattr(item, "id", None) or item, item) for item in listed.items)
        try:
            end = ends(listed, offset, total)
        except ValueError as error:
            problem = str(error)
            break
        if end or until(listed.items):
            return Listed(tuple(found.values()), tuple(rejects))
        if listed.items and len(found) == before:
            problem = f"returned at offset {offset - listed.size} only items that it had returned before"
            break
    return Listed(tuple(found.values()), tuple(rejects), problem)


async def whole_list(
    client: Client,
    route: str,
    kind: type[Item],
    params: Params | None = None,
    *,
    until: Callable[[tuple[Item, ...]], bool] = lambda _: False,
    **places: str,
) -> Listed[Item]:
    """A list as by `read_list`. Raises `ApiError` if it is incomplete."""
    listed = await read_list(client, route, kind, params, until=until, **places)
    if listed.problem:
        raise incomplete(route, listed.problem)
    return listed
