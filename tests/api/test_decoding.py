"""A page of the list becomes workloads and rejects; an unreadable value loses only itself."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api import decoding, models, tolerant_json
from exporter.api.decoding import NotDecodable, Reject, workload_page
from exporter.api.pods import Container, Overview, Replica, StatusDetails, overview
from tests.examples import FOLDER, page, payload

MINIMAL = {"id": "w1", "name": "n", "createdAt": "2026-11-20T10:00:00Z", "updatedAt": "2026-11-20T10:00:00Z"}


def test_the_example_page_decodes_completely() -> None:
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
    assert [models.status_group(w.status) for w in answer.items] == ["off", "off", "failed"]


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
def test_a_response_that_is_not_a_list_is_rejected_and_never_an_empty_list(body: bytes, reason: str) -> None:
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
def test_a_field_of_a_wrong_type_loses_that_field_only(odd: dict[str, Any], reject: Reject) -> None:
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
def test_an_item_without_an_id_is_rejected_and_its_neighbours_are_kept(item: Any, reject: Reject) -> None:
    answer = workload_page(page(item, MINIMAL))
    assert [w.id for w in answer.items] == ["w1"]
    assert answer.rejects == (reject,)


def test_a_number_as_id_is_taken_as_its_digits_and_reported() -> None:
    answer = workload_page(page({"id": 5, "status": "errored"}))
    assert [(w.id, w.status) for w in answer.items] == [("5", "errored")]
    assert answer.rejects == (Reject("$.id", "type", "5"),)


GOOD = b'{"id": "b", "status": "running"}'


@pytest.mark.parametrize(
    ("item", "name", "reject"),
    [
        (rb'"name": "a\ud83d"', "a\ufffd", Reject("$.name", "text", "a")),
        (b'"name": "caf\xe9"', "caf\ufffd", Reject("$.name", "text", "a")),
        (b'"name": "a\tb\nc"', "a\tb\nc", None),
        (b'"name": "n", "requestStats": {"errorRate": NaN}', "n", Reject("$.requestStats.errorRate", "value", "a")),
        (b'"name": "n", "requestStats": {"errorRate": 1e400}', "n", Reject("$.requestStats.errorRate", "value", "a")),
        (
            b'"name": "n", "requestStats": {"totalRequests": ' + b"9" * 5000 + b"}",
            "n",
            Reject("$.requestStats.totalRequests", "value", "a"),
        ),
        (b'"name": "n", "runtime": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000, "n", None),
        (b'"name": "n", "tags": [' + b"[" * 70 + b"]" * 71, "n", Reject("$.tags[]", "type", "a")),
        (b'"name": "n", "tags": ' + b"[" * 5000 + b"]" * 5000, "n", Reject("$.tags[]", "type", "a")),
        (rb'"name": "bad \escape"', None, Reject("$.name", "value", "a")),
        (b'"name": nil', None, Reject("$.name", "value", "a")),
    ],
)
def test_a_value_that_json_forbids_loses_only_itself(item: bytes, name: str | None, reject: Reject | None) -> None:
    answer = workload_page(b'{"data": [{"id": "a", "status": "errored", %s}, %s], "totalCount": 2}' % (item, GOOD))
    assert [(w.id, w.status) for w in answer.items] == [("a", "errored"), ("b", "running")]
    assert answer.items[0].name == name
    assert answer.rejects == (() if reject is None else (reject,))
    assert answer.total == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_or_another_encoding_loses_nothing(encoding: str) -> None:
    answer = workload_page('{"data": [{"id": "a", "name": "\u00e9"}]}'.encode(encoding))
    assert ([w.name for w in answer.items], answer.rejects) == (["\u00e9"], ())


def test_an_id_with_an_invalid_character_is_not_an_id() -> None:
    answer = workload_page(b'{"data": [{"id": "a\xff", "name": "n"}, %s]}' % GOOD)
    assert [w.id for w in answer.items] == ["b"]
    assert answer.rejects == (Reject("$.id", "text"), Reject("$.id", "missing"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"id": "a"}, {"id": "b", "x": NaN}',  # truncated
        b'{"data": [{"id": "a", "x": NaN}]',
        b'{"data": [{"id": "a", "name": "no end',
        b'{"data": [{"id": "a", "x": [1, NaN}]}',  # unbalanced brackets
        b'{"data": [{"id": "a", "x": NaN}]}]',
        b'{"data": [{"id": "a", "x": NaN}]} {"data": []}',
        b'{"data": [{"id": "a"}]}, "x": NaN',
        b'{"data": [{"id": "a"}]} NaN,',
    ],
)
def test_a_truncated_or_unbalanced_body_is_rejected_as_a_whole(body: bytes) -> None:
    """Missing data cannot be distinguished from data that never existed: a short list would remove workloads."""
    with pytest.raises(NotDecodable) as refused:
        workload_page(body)
    assert refused.value.reason == "json"


def test_an_unreadable_element_is_kept_without_values() -> None:
    body = b'{"replicas": [{"name": "a", "containers": [{"ready": true}, NaN]}, null, 7]}'
    read = decoding.one(body, StatusDetails)
    assert read.value.replicas == (
        Replica(name="a", containers=(Container(ready=True), Container())),
        Replica(),
        Replica(),
    )
    assert {(r.path, r.reason) for r in read.rejects} == {
        ("$.replicas[].containers[]", "value"),
        ("$.replicas[]", "type"),
    }
    assert overview(read.value) == Overview(live=3, ready=0, unknown=3)


def test_an_unreadable_next_still_means_that_there_is_more() -> None:
    assert workload_page(b'{"data": [], "next": NaN}').next == "unreadable"
    assert workload_page(b'{"data": [], "next": "https://h/\xff"}').next == "https://h/\ufffd"


def test_values_without_a_comma_or_a_member_without_a_colon_are_unreadable() -> None:
    body = b'{"data": [{"id": "a", "name" "x", "status": "up" "down", "tags": [{"name": "t"} {"name": "u"}], 5: 1}]}'
    answer = workload_page(body)
    assert [(w.id, w.name, w.status) for w in answer.items] == [("a", None, None)]
    assert {r.path for r in answer.rejects} == {"$.name", "$.status", "$.tags[]"}


@pytest.mark.parametrize("rejects", [(Reject("$", "type"),), (Reject("$.id", "missing"),)])
def test_a_list_with_an_item_left_out_is_incomplete(rejects: tuple[Reject, ...]) -> None:
    assert decoding.incomplete(rejects)
    assert not decoding.incomplete((Reject("$.status", "type", "a"),))


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
def test_a_next_that_is_not_text_ends_the_list(following: Any) -> None:
    assert workload_page(page(next=following)).next is None


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**18])
def test_a_large_number_is_read_also_if_another_value_is_broken(number: int) -> None:
    item = b'{"id": "a", "requestStats": {"totalRequests": %d}, "tags": [%s]}'
    read = [workload_page(b'{"data": [' + item % (number, tag) + b"]}") for tag in (b"", b"NaN")]
    assert [each.items[0].request_stats for each in read] == [models.RequestStats(total_requests=number)] * 2


@pytest.mark.parametrize("number", [2**63, 2**64, 10**25, 10**400, -(2**63) - 1])
def test_a_number_that_no_sample_can_contain_is_unreadable(number: int) -> None:
    body = b'{"replicas": [{"name": "a", "containers": [{"name": "m", "exitCode": %d}, {"exitCode": 1}]}]}' % number
    read = decoding.one(body, StatusDetails)
    assert read.value.replicas is not None
    assert [each.exit_code for each in read.value.replicas[0].containers or ()] == [None, 1]
    assert read.rejects == (Reject("$.replicas[].containers[].exitCode", "value"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_long_text_beside_a_broken_value_is_read_unchanged(encoding: str) -> None:
    text = "aé\U0001f600" * tolerant_json.SLICE
    answer = workload_page(f'{{"data": [{{"id": "a", "name": "{text}", "status": nil}}]}}'.encode(encoding))
    assert [item.name for item in answer.items] == [text]
    assert answer.rejects == (Reject("$.status", "value", "a"),)


def test_in_a_long_text_each_byte_that_is_not_utf_8_is_replaced() -> None:
    answer = workload_page(b'{"data": [{"id": "a", "name": "%b"}]}' % (b"a\xff" * tolerant_json.SLICE))
    assert [item.name for item in answer.items] == ["a\ufffd" * tolerant_json.SLICE]


COUNT = 400_000
HOSTILE = {
    "items": b'{"data": [' + b",".join([b'{"id": "a"}'] * COUNT) + b"]}",
    "items without an id": b'{"data": [' + b",".join([b"{}"] * COUNT) + b"]}",
    "nesting": b'{"data": ' + b"[" * COUNT + b"]" * COUNT + b"}",
    "nesting that does not end": b'{"data": ' + b'[{"a":' * COUNT,
    "words": b'{"data": [{"id": "a", "name": ' + b"a " * COUNT + b"}]}",
    "colons": b'{"data": [{"id": "a", "name"' + b":" * COUNT + b"1}]}",
    "quotes": b'{"data": [{"id": "a", "name": ' + b'"' * 2 * COUNT + b"}]}",
    "elements": b'{"data": [{"id": "a", "tags": [' + b"5," * COUNT + b"5]}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_response_with_too_many_values_is_rejected_at_once(name: str) -> None:
    for decode in (workload_page, lambda body: decoding.one(body, StatusDetails)):
        began = time.process_time()
        with pytest.raises(NotDecodable) as refused:
            decode(HOSTILE[name])
        assert refused.value.reason in ("size", "json")
        assert time.process_time() - began < 5.0


def test_of_too_many_items_none_is_read_by_itself() -> None:
    with pytest.raises(NotDecodable, match="20000 items") as refused:
        workload_page(b'{"data": [' + b"5," * decoding.MAX_SALVAGED + b"5]}")
    assert refused.value.reason == "size"


@pytest.mark.parametrize(
    "item", [b"{}", b'{"id": "a", "status": 5, "tags": [5]}', b'{"id": "a", "name": NaN}', b'{"id": x}']
)
def test_as_many_values_as_are_read_take_no_long_time(item: bytes) -> None:
    count = 10_000
    began = time.process_time()
    answer = workload_page(b'{"data": [' + b",".join([item] * count) + b"]}")
    assert (answer.size, len(answer.rejects) >= count) == (count, True)
    assert time.process_time() - began < 3.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [f.encode_name for f in msgspec.structs.fields(models.Workload)]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), max_size=4))
def test_any_json_at_any_field_gives_an_item_or_a_reject(items: list[dict[str, Any]]) -> None:
    answer = workload_page(json.dumps({"data": items}).encode())
    missing = sum(r.path == "$.id" and r.reason == "missing" for r in answer.rejects)
    assert len(answer.items) + missing == len(items)
    assert {r.reason for r in answer.rejects} <= set(decoding.REJECT_REASONS)
