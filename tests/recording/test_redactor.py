"""What stays of a response in a recording, and what stands for the rest."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.api.models import ApiObject, folded
from exporter.diagnosis.log_signs import OTHER_ERROR, SIGNS, sign_of
from exporter.diagnosis.pod_causes import PULLS
from exporter.recording import fields, redactor
from exporter.recording.redactor import Redactor, counted
from exporter.recording.times import TIMESTAMP

KEY = bytes(range(32))
STARTED = 1_795_000_040.0
ROUTE = "/workloads/{id}"


def made(key: bytes = KEY) -> Redactor:
    return Redactor(key, STARTED)


def of(text: str) -> str:
    """What stands for a text."""
    return made().replacement(text)


def number(value: float) -> int:
    """What stands for a number."""
    return int(of(repr(value))[1:8], 16)


WORKLOAD, PROTON = "70aa00000000000000000001", "f0ac00000000000000000002"
EXAMPLES: list[tuple[str, Any, Any]] = [
    ("numbers, booleans and null stay", {"count": 3, "errorRates": [0.5], "ready": True, "next": None}, None),
    ("a number in a field of a text is replaced by a number", {"name": 4915112345678, "owners": [4111, -7.5]},
     {"name": number(4915112345678), "owners": [number(4111), number(-7.5)]}),
    ("so is the value of a tag, not that of a metric", {"value": 491511, "currentValue": 491511},
     {"value": number(491511), "currentValue": 491511}),
    ("a number that may be a time is replaced, since it is not moved", {"timestamp": 1_795_000_040},
     {"timestamp": number(1_795_000_040)}),
    ("a number in an object whose keys are names", {"deployedImages": {"primary": 4915112345678}},
     {"deployedImages": {"primary": number(4915112345678)}}),
    ("a number in no field", [4915112345678], [number(4915112345678)]),
    ("an empty text stays", {"name": "", "message": ""}, None),
    ("a known value of a field stays", {"status": "running", "importance": "high", "reason": "OOMKilled"}, None),
    ("in any case", {"status": "RUNNING"}, None),
    ("an unknown value is replaced", {"status": "Hibernating"}, {"status": of("Hibernating")}),
    ("a known value of another field is replaced", {"description": "running"}, {"description": of("running")}),
    ("names, also of other objects, are replaced", {"name": "churn-eu", "owners": ["Ann"]},
     {"name": of("churn-eu"), "owners": [of("Ann")]}),
    ("the name of a common tag stays, its value does not", {"tags": [{"name": "team", "value": "risk"}]},
     {"tags": [{"name": "team", "value": of("risk")}]}),
    ("the name of another tag is replaced", {"tags": [{"name": "client", "value": "true"}]},
     {"tags": [{"name": of("client"), "value": "true"}]}),
    ("a pod is named after the replacement of its proton", {"name": f"lrs-{PROTON}-7f9c4-x2x9z"},
     {"name": f"lrs-{of(PROTON)}-{of('7f9c4-x2x9z')}"}),
    ("a container keeps a common name", {"name": f"lrs-{PROTON}-primary"}, {"name": f"lrs-{of(PROTON)}-primary"}),
    ("a field that is not known is left out", {"card": {"number": 4111}, "count": 1}, {of("card"): None, "count": 1}),
    ("ids are keys of some objects", {"protonStatuses": {PROTON: {"count": 1}, "note": "secret"}},
     {"protonStatuses": {of(PROTON): {"count": 1}, of("note"): of("secret")}}),
    ("an image keeps whether its registry is the same", {"image": "r.example.test:5000/a/b:1"},
     {"image": f"{of('r.example.test:5000')}.invalid/{of('a/b:1')}"}),
    ("an image without a registry", {"deployedImages": {"primary": "team/b:1", "helper": "b"}},
     {"deployedImages": {"primary": of("team/b:1"), of("helper"): of("b")}}),
    ("quantities and versions stay", {"memory": "2GB", "version": "3", "release": "11.14.0"}, None),
    ("but not what is neither", {"memory": "much", "cpu": "1" * 20, "version": "3-of-ann", "release": "10.1.2.3"},
     {"memory": of("much"), "cpu": of("1" * 20), "version": of("3-of-ann"), "release": of("10.1.2.3")}),
    ("of a message the phrases stay that causes are recognized by", {"message": "Manifest unknown: r/ann"},
     {"message": f"[manifest unknown; {of('Manifest unknown: r/ann')}]"}),
    ("of any other message nothing", {"detail": ["you, Ann"]}, {"detail": [f"[{of('you, Ann')}]"]}),
    ("an event type of another platform keeps its kind", {"eventType": "Replacement of Ann failed"},
     {"eventType": f"[placement; replacement; fail; {of('Replacement of Ann failed')}]"}),
    ("times are moved to 2020", {"createdAt": "2026-11-18T11:07:21.000000+00:00"},
     {"createdAt": "2020-01-01T00:00:21.000000+00:00"}),
    ("a text in a field of a time is replaced", {"createdAt": "yesterday"}, {"createdAt": of("yesterday")}),
    ("a time in another field is replaced", {"name": "2026-11-18T11:07:21Z"}, {"name": of("2026-11-18T11:07:21Z")}),
    ("links keep their form", {"next": f"https://dr.test/api/v2/workloads/{WORKLOAD}/events/?limit=2&cursor=abc"},
     {"next": f"https://{of('dr.test')}.invalid/api/v2/workloads/{of(WORKLOAD)}/events/?limit=2&cursor={of('abc')}"}),
    ("a link without a host", {"endpoint": "/endpoints/workloads/w"},
     {"endpoint": f"http://none.invalid/endpoints/workloads/{of('w')}"}),
    ("what is not a link is replaced", {"endpoint": "grpc://dr.test", "next": "http://[bad"},
     {"endpoint": of("grpc://dr.test"), "next": of("http://[bad")}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "recorded"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES])
def test_of_a_response(given: Any, recorded: Any) -> None:
    assert made().json(given, ROUTE) == (given if recorded is None else recorded)


def test_of_a_log_line_the_sign_stays() -> None:
    line = {"message": "psycopg: Connection refused by db.acme.test", "level": "ERROR", "body": "hello Ann"}
    assert made().json({"data": [line]}, fields.LOGS) == {
        "data": [{"message": f"{of(line['message'])} connection refused", "level": "ERROR", "body": of("hello Ann")}]
    }


def test_of_a_request() -> None:
    params = {
        "limit": 100, "startTime": "2026-11-18T11:07:00Z", "protonId": PROTON, "serviceStats": "true", "search": "ann",
        "orderBy": "createdAt", "ann": "1", "offset": "many", "endTime": "now",
    }  # fmt: skip
    assert made().query(params) == (
        f"limit=100&startTime=2020-01-01T00%3A00%3A00Z&protonId={of(PROTON)}&serviceStats=true&search={of('ann')}"
        f"&orderBy=createdAt&{of('ann')}={of('1')}&offset={of('many')}&endTime={of('now')}"
    )
    assert made().query("startTime=2026-11-18T11:07:00+00:00") == "startTime=2020-01-01T00%3A00%3A00%2B00%3A00"
    assert made().path(f"/api/v2/workloads/{WORKLOAD}/") == f"/api/v2/workloads/{of(WORKLOAD)}/"
    assert made().query({"cursor": "\udcff"}) == f"cursor={of(chr(0xDCFF))}"
    headers = {"content-type": "Application/JSON; charset=x", "retry-after": "7", "set-cookie": "a", "server": "acme"}
    assert made().headers(headers) == {"content-type": "application/json", "retry-after": "7"}
    assert made().headers({"content-type": "image/acme", "retry-after": "soon"}) == {}


def test_an_id_stays_an_id_with_the_time_that_it_contains() -> None:
    created, other = f"{int(STARTED) - 100:08x}{'0' * 16}", "0" * 24
    start = made().clock(STARTED)
    assert int(of(created)[:8], 16) == start - 100
    assert of(other)[0] == "f"
    assert len(of(created)) == len(of(other)) == 24


def test_the_same_text_has_the_same_replacement_and_another_one_with_another_key() -> None:
    assert of("a") == of("a") != of("b")
    assert made(bytes(32)).replacement("a") != of("a")


def test_replacements_are_not_kept_without_a_limit() -> None:
    one = Redactor(KEY, STARTED, cached=2)
    assert one.json({"owners": ["a", "b", "c", "a"]}, ROUTE) == {"owners": [of(name) for name in "abca"]}
    assert len(one._texts) <= 2


def test_what_was_kept_and_replaced_is_counted_by_field() -> None:
    one = made()
    one.json({"status": "running", "name": "a", "since": "2026-11-18T11:07:21Z", "card": 1, "tags": ["b", "b"]}, ROUTE)
    assert one.kept == {"status": 1, "since": 1}
    assert one.replaced == {"name": 1, redactor.UNKNOWN_FIELD: 1, "tags": 2}
    assert counted({"": 1}, {"name": 12}) == [f"{'name':24} {0:>10} {12:>10}", f"{'(top level)':24} {1:>10} {0:>10}"]


def test_each_sign_of_a_log_is_that_of_the_line_which_stands_for_it() -> None:
    signs = (*SIGNS, OTHER_ERROR)
    assert {sign.shows for sign in signs} == fields.LOG_LINES.keys()
    for sign in signs:
        assert sign_of(f"{of('a line')} {fields.LOG_LINES[sign.shows]}") is sign


def test_every_field_that_the_exporter_reads_is_known() -> None:
    assert ApiObject.__subclasses__()
    assert {"createdAt", "replicas", "lastState", "otelName", "requestStats"} <= fields.FIELDS
    assert set(PULLS) <= {"ImagePullBackOff", "ErrImagePull", "InvalidImageName"}
    assert all(folded(value) == value for values in fields.VALUES.values() for value in values)


TEXT = st.text(min_size=5, max_size=40)
KNOWN = st.sampled_from(sorted(fields.FIELDS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(("2026-11-18T11:07:21Z", "running", "default")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN | TEXT, inner, max_size=4),
    max_leaves=12,
)


def texts(value: Any) -> set[str]:
    """All texts in a JSON value, names of fields too."""
    if isinstance(value, dict):
        return {*value, *(text for each in value.values() for text in texts(each))}
    if isinstance(value, list):
        return {text for each in value for text in texts(each)}
    return {value} if isinstance(value, str) else set()


def may_stay(text: str) -> bool:
    """Whether a text is a field, a value of one, a quantity, a version, or a time."""
    values = {value for each in fields.VALUES.values() for value in each}
    number = re.fullmatch(r"\s*v?[\d.]+\s*[kmgtpib]{0,3}\s*", text, re.IGNORECASE | re.ASCII)
    return text in fields.FIELDS or folded(text) in values or bool(number) or TIMESTAMP.fullmatch(text) is not None


@given(JSON, st.sampled_from((ROUTE, fields.LOGS)))
@example({"message": "not found in Ann's house", "name": "Ann of house"}, ROUTE)
@example({"message": "Connection refused by Annabelle", "Annabelle": 1}, fields.LOGS)
@example({"next": "https://annabelle/annabelle?annabelle=annabelle"}, ROUTE)
def test_no_text_of_five_characters_stays_but_known_fields_values_and_times(value: Any, route: str) -> None:
    """Numbers with a unit stay, too, and words of paths, phrases, and lines for signs of logs."""
    public = " ".join((*fields.PHRASES, *fields.LOG_LINES.values(), *fields.PATH_WORDS, *fields.PARAMETERS, "invalid"))
    recorded = texts(made().json(value, route))
    for text in texts(value):
        if not may_stay(text) and text.casefold() not in public:
            assert not any(text in each for each in recorded), text


@given(JSON, st.integers(10**5) | st.floats(1e5, 1e15))
@example({"name": None, "tags": [{"name": None, "value": None}], "ctx": {"limit": None}}, 4915112345678)
def test_a_number_stays_only_in_a_field_of_numbers(value: Any, secret: float) -> None:
    def planted(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: planted(each) for name, each in value.items() if name not in fields.NUMERIC}
        return [planted(each) for each in value] if isinstance(value, list) else secret

    assert repr(secret) not in repr(made().json(planted(value), ROUTE))


def test_a_value_nested_deeply_is_redacted_too() -> None:
    assert "ann-of-acme" not in json.dumps(made().json([[[{"data": [{"name": "ann-of-acme"}]}]]], ROUTE))
