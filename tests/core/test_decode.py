"""A page of the list becomes workloads and rejects; what is odd costs itself and no more."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core import decode, model
from exporter.core.decode import NotDecodable, Reject, workload_page
from tests.examples import FOLDER, page, payload

MINIMAL = {"id": "w1", "name": "n", "createdAt": "2026-11-20T10:00:00Z", "updatedAt": "2026-11-20T10:00:00Z"}


def test_the_example_page_decodes_whole() -> None:
    answer = workload_page((FOLDER / "P01.json").read_bytes())
    assert [(w.name, w.status, w.importance) for w in answer.items] == [
        ("claims-scorer", "running", "critical"),
        ("vision-nim", "launching", "high"),
    ]
    assert answer.rejects == ()
    assert answer.total == 3
    assert answer.next == "https://dr.example.test/api/v2/workloads/?limit=2&offset=2&serviceStats=true"


@pytest.mark.parametrize("name", ["P02", "P03", "P04", "P05"])
def test_a_workload_with_nulls_new_fields_or_replacement_decodes_without_rejects(name: str) -> None:
    answer = workload_page(page(payload(name)))
    assert [w.id for w in answer.items] == [payload(name)["id"]]
    assert answer.rejects == ()


def test_suspended_interrupted_and_terminated_workloads_decode() -> None:
    answer = workload_page(page(*payload("P31")))
    assert [model.status_group(w.status) for w in answer.items] == ["off", "off", "failed"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"data": [', "json"),
        (b"<html>502</html>", "json"),
        (b"\xff\xfe", "json"),
        (b"[]", "no_data"),
        (b"{}", "no_data"),
        (b'{"data": null}', "no_data"),
        (b'{"data": {"id": "w1"}}', "no_data"),
        (b'{"count": 0, "next": null}', "no_data"),
    ],
)
def test_an_answer_that_is_no_list_is_refused_and_never_an_empty_list(body: bytes, reason: str) -> None:
    with pytest.raises(NotDecodable) as refused:
        workload_page(body)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("odd", "reject"),
    [
        ({"status": 7}, Reject("$.status", "type", "w1")),
        (
            {"runtime": {"containerGroups": [{"replicaCount": "2"}]}},
            Reject("$.runtime.containerGroups[].replicaCount", "type", "w1"),
        ),
        ({"requestStats": []}, Reject("$.requestStats", "type", "w1")),
    ],
)
def test_a_field_of_an_odd_type_costs_that_field_only(odd: dict[str, Any], reject: Reject) -> None:
    answer = workload_page(page(MINIMAL | odd, MINIMAL | {"id": "w2"}))
    assert [w.id for w in answer.items] == ["w1", "w2"]
    assert answer.items[0].name == "n"
    assert answer.rejects == (reject,)


@pytest.mark.parametrize(
    ("item", "reject"),
    [
        (5, Reject("$", "type")),
        (None, Reject("$", "type")),
        ({"name": "no id"}, Reject("$.id", "missing")),
        ({"id": "", "name": "empty id"}, Reject("$.id", "missing", "")),
    ],
)
def test_an_item_without_an_id_is_rejected_and_its_neighbours_live(item: Any, reject: Reject) -> None:
    answer = workload_page(page(item, MINIMAL))
    assert [w.id for w in answer.items] == ["w1"]
    assert answer.rejects == (reject,)


def test_an_item_with_an_id_of_another_type_is_rejected_at_the_id() -> None:
    assert workload_page(page({"id": 5})).rejects == (Reject("$.id", "type"), Reject("$.id", "missing"))


def test_an_item_that_is_not_utf8_is_rejected_alone() -> None:
    body = b'{"data": [{"id": "a", "name": "\xff"}, {"id": "b"}]}'
    answer = workload_page(body)
    assert [w.id for w in answer.items] == ["b"]
    assert answer.rejects == (Reject("$", "json"),)


@pytest.mark.parametrize(
    ("envelope", "total"),
    [
        ({"totalCount": 7}, 7),
        ({"totalCount": None, "total": 9}, 9),
        ({"totalCount": "x"}, None),
        ({"totalCount": -1}, None),
    ],
)
def test_the_total_is_read_where_a_server_puts_it(envelope: dict[str, Any], total: int | None) -> None:
    assert workload_page(page(**envelope)).total == total


@pytest.mark.parametrize("following", [None, "", 5, []])
def test_a_next_that_is_no_text_ends_the_list(following: Any) -> None:
    assert workload_page(page(next=following)).next is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [f.encode_name for f in msgspec.structs.fields(model.Workload)]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), max_size=4))
def test_any_json_at_any_field_gives_an_item_or_a_reject(items: list[dict[str, Any]]) -> None:
    answer = workload_page(json.dumps({"data": items}).encode())
    missing = sum(r.path == "$.id" and r.reason == "missing" for r in answer.rejects)
    assert len(answer.items) + missing == len(items)
    assert {r.reason for r in answer.rejects} <= set(decode.REASONS)
