"""What makes a sweep complete, and what discards it."""

import json

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.collect.sweep import sweep
from exporter.fleet.reconcile import Sweep
from tests.collect.test_client import Server, World, always
from tests.examples import page


def swept(server: Server) -> Sweep:
    result: Sweep = World(server).run(sweep)
    return result


def fleet(request: httpx.Request, size: int = 250) -> httpx.Response:
    offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
    items = [{"id": str(i)} for i in range(offset, min(size, offset + limit))]
    following = f"https://dr.test/api/v2/workloads/?offset={offset + limit}" if offset + limit < size else None
    return httpx.Response(200, content=page(*items, totalCount=size, next=following))


def test_a_sweep_lists_every_page_in_order_of_creation_with_statistics() -> None:
    world = World(fleet)
    result: Sweep = world.run(sweep)
    assert [w.id for w in result.workloads] == [str(i) for i in range(250)]
    assert (result.failure, result.rejects) == ("", ())
    assert [dict(request.url.params) for _, request in world.sent] == [
        {"limit": "100", "offset": str(offset), "orderBy": "createdAt", "serviceStats": "true"}
        for offset in (0, 100, 200)
    ]


def test_a_next_to_another_host_is_never_followed() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "dr.test"
        done = request.url.params["offset"] != "0"
        items = [] if done else [{"id": "a"}]
        body = json.loads(page(*items, next=None if done else "https://evil.test/?offset=1"))
        del body["totalCount"]
        return httpx.Response(200, json=body)

    assert swept(server).failure == ""


@pytest.mark.parametrize(
    ("server", "failure", "words"),
    [
        (always(401, json={"message": "Invalid API key"}), "auth", "returned 401: Invalid API key"),
        (always(200, content=b""), "decode", "returned 200, but the response has no body"),
        (always(200, content=b'{"data": ['), "decode", "the response is not JSON"),
        (always(200, json={"count": 0}), "decode", "the response has no `data` list"),
        (always(200, json={"data": None}), "decode", "the response has no `data` list"),
        (always(502, text="<html>bad gateway</html>"), "server_error", "returned 502: bad gateway"),
        (always(200, content=page({"id": "a"}, totalCount=5)), "incomplete", "returned at offset 1 only workloads"),
        (always(200, content=page(totalCount=5)), "incomplete", "reported 5 items and returned 0"),
    ],
)
def test_a_bad_answer_makes_the_sweep_fail_by_its_reason_and_in_words(server: Server, failure: str, words: str) -> None:
    result = swept(server)
    assert (result.workloads, result.failure) == ((), failure)
    assert words in result.message


def test_a_list_without_next_goes_on_to_its_total() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json={"total": 2, "data": [{"id": str(offset)}]})

    assert [w.id for w in swept(server).workloads] == ["0", "1"]


@given(
    st.integers(150, 420), st.dictionaries(st.integers(1, 9), st.sets(st.integers(0, 419), max_size=120), max_size=4)
)
@example(size=150, deletions={1: {100}, 2: {101}})
@settings(deadline=None)
def test_workloads_that_remain_are_found_while_others_are_deleted(size: int, deletions: dict[int, set[int]]) -> None:
    """The list loses some of its workloads just before its second, third, … answer."""
    there = [str(number) for number in range(size)]
    answers = 0

    def server(request: httpx.Request) -> httpx.Response:
        nonlocal answers, there
        there = [i for i in there if int(i) not in deletions.get(answers, set())]
        answers += 1
        offset = int(request.url.params["offset"])
        return httpx.Response(
            200, content=page(*({"id": i} for i in there[offset : offset + 100]), totalCount=len(there))
        )

    result = swept(server)
    assert result.failure == ""
    assert set(there) <= {workload.id for workload in result.workloads}
    assert result.rejects == ()


def test_a_list_that_grows_while_it_is_read_is_complete() -> None:
    sizes = iter([250, 251, 251])
    assert len(swept(lambda request: fleet(request, next(sizes))).workloads) == 251


def test_a_list_that_never_ends_is_an_incomplete_sweep() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        body = {"next": "https://dr.test/more", "data": [{"id": request.url.params["offset"]}]}
        return httpx.Response(200, json=body)

    assert swept(server).message == "the list of GET /workloads does not end after 2000 pages"


def test_a_rejected_item_is_counted_as_listed_and_the_sweep_is_complete() -> None:
    result = swept(always(200, content=page(5, {"id": "a"})))
    assert ([w.id for w in result.workloads], len(result.rejects), result.failure) == (["a"], 1, "")


def test_duplicate_ids_are_rejected_once_each_and_lose_no_workload() -> None:
    result = swept(always(200, content=page({"id": "a"}, {"id": "a", "name": "second"}, {"id": "b"})))
    assert ([w.id for w in result.workloads], result.failure) == (["a", "b"], "")
    assert [(r.path, r.reason, r.item_id) for r in result.rejects] == [("$.id", "duplicate", "a")]


def test_a_refused_list_may_mean_that_the_feature_is_not_enabled() -> None:
    result = swept(always(403, json={"message": "feature not enabled"}))
    assert result.failure == "forbidden"
    assert result.message.endswith("the Workload API may not be enabled for this account")
    assert "may not be enabled" not in swept(always(401, json={})).message
