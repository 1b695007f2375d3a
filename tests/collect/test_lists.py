"""Lists are read to their true end, whatever size their pages have; what contradicts itself is incomplete."""

from typing import Any

import httpx
import pytest

from exporter.api.details import Event
from exporter.collect.client import ApiError, Client
from exporter.collect.lists import MAX_PAGES, Listed, read_list, whole_list
from exporter.collect.sweep import sweep
from exporter.fleet.reconcile import Sweep
from tests.collect.test_client import Server, World, always

Envelope = dict[str, Any]
NEXT = {"next": "https://dr.test/next"}


def server(*pages: tuple[int, Envelope]) -> Server:
    """Pages of so many items, each with the rest of its envelope; the last one is returned again and again."""
    offsets = [sum(size for size, _ in pages[:number]) for number in range(len(pages))]

    def respond(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params.get("offset", "0"))
        number = max(number for number, start in enumerate(offsets) if start <= offset)
        size, envelope = pages[number]
        data = [{"id": f"{offsets[number] + item}"} for item in range(size)]
        return httpx.Response(200, json={"data": data, **envelope})

    return respond


COMPLETE: dict[str, tuple[tuple[tuple[int, Envelope], ...], int]] = {
    "one page": (((3, {}),), 3),
    "an empty list": (((0, {}),), 0),
    "pages smaller than requested": (((3, NEXT), (3, NEXT), (2, {"next": None})), 8),
    "an empty last page": (((3, NEXT), (0, {"next": None})), 3),
    "no next, but a total": (((3, {"totalCount": 5}), (2, {"totalCount": 5})), 5),
    "a total under its other name": (((3, {"total": 5}), (2, {})), 5),
    "a next behind the total": (((3, NEXT | {"totalCount": 3}), (0, NEXT | {"totalCount": 3})), 3),
}
INCOMPLETE: dict[str, tuple[tuple[tuple[int, Envelope], ...], str]] = {
    "an empty page that has a next": (((3, NEXT), (0, NEXT)), "an empty page at offset 3 that is not the last"),
    "an empty first page that has a next": (((0, NEXT),), "an empty page at offset 0 that is not the last"),
    "fewer than the total": (((3, NEXT | {"totalCount": 9}), (0, {})), "reported 9 items and returned 3"),
    "none of the total": (((0, {"totalCount": 9}),), "reported 9 items and returned 0"),
    "the same page again": (((3, NEXT),), "only items that it had returned before"),
}


def read(pages: tuple[tuple[int, Envelope], ...]) -> Listed[Event]:
    async def all_of(client: Client) -> Listed[Event]:
        return await read_list(client, "/workloads/{id}/events", Event, id="w")

    found: Listed[Event] = World(server(*pages)).run(all_of)
    return found


@pytest.mark.parametrize(("pages", "items"), COMPLETE.values(), ids=COMPLETE)
def test_a_list_is_read_to_its_end(pages: tuple[tuple[int, Envelope], ...], items: int) -> None:
    listed = read(pages)
    assert ([event.id for event in listed.items], listed.problem) == ([str(n) for n in range(items)], "")


@pytest.mark.parametrize(("pages", "problem"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_list_that_contradicts_itself_is_incomplete(pages: tuple[tuple[int, Envelope], ...], problem: str) -> None:
    assert problem in read(pages).problem

    async def whole(client: Client) -> Listed[Event]:
        return await whole_list(client, "/workloads/{id}/events", Event, id="w")

    with pytest.raises(ApiError, match=r"the list of GET /workloads/\{id\}/events") as raised:
        World(server(*pages)).run(whole)
    assert raised.value.reason == "incomplete"


@pytest.mark.parametrize(("pages", "items"), COMPLETE.values(), ids=COMPLETE)
def test_a_sweep_ends_like_every_list(pages: tuple[tuple[int, Envelope], ...], items: int) -> None:
    result: Sweep = World(server(*pages)).run(sweep)
    assert (len(result.workloads), result.failure) == (items, "")


@pytest.mark.parametrize("pages", [pages for pages, _ in INCOMPLETE.values()], ids=INCOMPLETE)
def test_a_sweep_is_incomplete_like_every_list(pages: tuple[tuple[int, Envelope], ...]) -> None:
    result: Sweep = World(server(*pages)).run(sweep)
    assert (result.workloads, result.failure) == ((), "incomplete")


def test_a_list_that_does_not_end_is_incomplete() -> None:
    pages = tuple((1, NEXT) for _ in range(MAX_PAGES + 1))
    listed = read(pages)
    assert (len(listed.items), listed.problem) == (MAX_PAGES, f"does not end after {MAX_PAGES} pages")


def test_reading_stops_at_the_first_page_with_what_is_known() -> None:
    async def until(client: Client) -> Listed[Event]:
        return await read_list(client, "/events", Event, until=lambda events: any(event.id == "4" for event in events))

    listed: Listed[Event] = World(server((3, NEXT), (3, NEXT), (3, {}))).run(until)
    assert ([event.id for event in listed.items], listed.problem) == (["0", "1", "2", "3", "4", "5"], "")


def test_a_failed_page_is_not_a_list() -> None:
    with pytest.raises(ApiError, match="500"):
        World(always(500, json={"detail": "x"})).run(lambda client: read_list(client, "/events", Event))
