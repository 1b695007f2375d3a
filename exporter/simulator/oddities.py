"""ODDITIES: effects of real servers, proxies and networks on responses; each is one row and can be switched on by name.

A plain name applies everywhere; ``name@/workloads/{id}/events`` applies to one route, with an id in its place to one
object, and ``name@/workloads/{id}/protons/{pid}/statusDetails#outgoing`` to the protons of one role. An oddity changes
the JSON of a response, or the whole response.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

ELSEWHERE = "http://elsewhere.invalid"
HUGE = 2 * 1000**3


class Answer(NamedTuple):
    """An answer as it goes out. `fill` repeats the body up to so many bytes; `cut` ends the connection midway."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    delay: float = 0.0
    fill: int = 0
    cut: bool = False


class Put(NamedTuple):
    """The request, as an oddity may read it."""

    template: str
    path: str
    slash: bool
    offset: int
    now: float


Json = Any
Reshape = Callable[[Json, Put], Json]
Replace = Callable[[Answer, Put], Answer]


class Oddity(NamedTuple):
    """One oddity: what it does, in words, and how: to the JSON, or to the answer."""

    shows: str
    reshape: Reshape | None = None
    replace: Replace | None = None


def walk(value: Json, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Json:
    """`value` with every object in it changed, the innermost first."""
    if isinstance(value, dict):
        return change({key: walk(part, change) for key, part in value.items()})
    if isinstance(value, list):
        return [walk(part, change) for part in value]
    return value


def _without(*keys: str) -> Reshape:
    return lambda body, _: walk(body, lambda each: {k: v for k, v in each.items() if k not in keys})


def _plain(status: int, text: str, *headers: tuple[str, str], kind: str = "application/json") -> Replace:
    return lambda _, __: Answer(status, (("content-type", kind), *headers), text.encode())


def _json(status: int, body: Json) -> Replace:
    return _plain(status, json.dumps(body))


def _conditions(body: Json, _: Put) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "value" in each and "lastTransitionTime" in each:
            return {"type": each["type"], "met": each["value"], "since": ""}
        return each

    return walk(body, change)


def _total(body: Json, _: Put) -> Json:
    if isinstance(body, dict) and "totalCount" in body:
        body = dict(body)
        body["total"] = body.pop("totalCount")
    return body


def _old_autoscaling(body: Json, _: Put) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "minReplicaCount" not in each:
            return each
        bounds = {"minCount": each["minReplicaCount"], "maxCount": each["maxReplicaCount"], "priority": None}
        return {"policies": [policy | bounds for policy in each["policies"]]}

    return walk(body, change)


def _flat(body: Json, _: Put) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        groups = each.get("containerGroups")
        return groups[0] if isinstance(groups, list) and groups else each

    return walk(body, change)


def _string_memory(body: Json, _: Put) -> Json:
    return walk(body, lambda e: e | {"memory": "2GB"} if isinstance(e.get("memory"), int) else e)


def _upper(body: Json, _: Put) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        return each | {k: v.upper() for k, v in each.items() if k in ("status", "importance") and isinstance(v, str)}

    return walk(body, change)


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{6})\+00:00")


def _times(pattern: str) -> Reshape:
    def reshape(body: Json, _: Put) -> Json:
        def change(each: dict[str, Any]) -> dict[str, Any]:
            return {k: _TIME.sub(pattern, v) if isinstance(v, str) else v for k, v in each.items()}

        return walk(body, change)

    return reshape


def _old_events(body: Json, put: Put) -> Json:
    if not put.template.endswith("/events"):
        return body

    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "eventType" not in each:
            return each
        kept = {key: each[key] for key in ("id", "timestamp")}
        return kept | {"type": each["eventType"], "message": (each["details"] or {}).get("message")}

    return walk(body, change)


def _old_details(body: Json, _: Put) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        return each | {"statusDetails": {"conditions": [], "logTail": None}} if "importance" in each else each

    return walk(body, change)


def _items(change: Callable[[list[Any], Put], list[Any]]) -> Reshape:
    def reshape(body: Json, put: Put) -> Json:
        if isinstance(body, dict) and isinstance(body.get("data"), list):
            return body | {"data": change(body["data"], put)}
        return body

    return reshape


def _named(name: str) -> Reshape:
    return _items(lambda data, _: [{**data[0], "name": name}, *data[1:]] if data else data)


def _beside_id(member: bytes) -> Replace:
    """Another member in the first object that has an id."""
    return lambda answer, _: answer._replace(body=answer.body.replace(b'"id":', member + b', "id":', 1))


def _next(url: str) -> Reshape:
    return lambda body, _: body | {"next": url} if isinstance(body, dict) and "data" in body else body


def _never_ending(body: Json, put: Put) -> Json:
    if isinstance(body, dict) and "data" in body:
        kept = {key: value for key, value in body.items() if key not in ("totalCount", "total")}
        return kept | {"next": f"{put.path}?offset={put.offset + 100}"}
    return body


def _slash(wanted: bool, status: int) -> Replace:
    def replace(answer: Answer, put: Put) -> Answer:
        if put.slash is wanted:
            return answer
        if status == 301:
            place = put.path.rstrip("/") + ("/" if wanted else "")
            return Answer(301, (("location", place),), b"")
        return Answer(status, (("content-type", "application/json"),), b'{"detail": "Not Found"}')

    return replace


def _cut(answer: Answer, _: Put) -> Answer:
    return answer._replace(cut=True)


def _dated(answer: Answer, put: Put) -> Answer:
    return answer._replace(headers=(*answer.headers, ("date", email.utils.formatdate(put.now - 420, usegmt=True))))


def _late_date(_: Answer, put: Put) -> Answer:
    date = email.utils.formatdate(put.now + 7, usegmt=True)
    return Answer(429, (("content-type", "application/json"), ("retry-after", date)), b'{"error": "slow down"}')


ODDITIES: dict[str, Oddity] = {
    "conditions-met-since": Oddity("pod conditions as met and since", _conditions),
    "no-next": Oddity("lists without next and previous", _without("next", "previous")),
    "no-total": Oddity("lists without totalCount", _without("totalCount")),
    "total": Oddity("lists with total instead of totalCount", _total),
    "old-autoscaling": Oddity("bounds of the autoscaler inside each policy", _old_autoscaling),
    "flat-runtime": Oddity("a runtime without container groups", _flat),
    "string-memory": Oddity("memory as text such as 2GB", _string_memory),
    "upper-case": Oddity("enumerations in capitals", _upper),
    "nanoseconds": Oddity("timestamps with nine digits and Z", _times(r"\1T\2.\g<3>789Z")),
    "blank-in-times": Oddity("timestamps with a blank and no offset", _times(r"\1 \2.\3")),
    "no-roles": Oddity("protons without a role", _without("role")),
    "old-events": Oddity("events with type and message at the top", _old_events),
    "old-details": Oddity("statusDetails on the workload itself", _old_details),
    "slash-required": Oddity("404 without a closing slash", replace=_slash(True, 404)),
    "slash-forbidden": Oddity("422 with a closing slash", replace=_slash(False, 422)),
    "slash-redirect": Oddity("301 to the form with a closing slash", replace=_slash(True, 301)),
    "absent": Oddity("404: the route is not there", replace=_json(404, {"detail": "Not Found"})),
    "forbidden": Oddity("403: a feature that is off", replace=_json(403, {"message": "feature not enabled"})),
    "method": Oddity("405", replace=_json(405, {"detail": "Method Not Allowed"})),
    "not-implemented": Oddity("501", replace=_json(501, {"detail": "not implemented"})),
    "unauthorized": Oddity("401 of the edge", replace=_json(401, {"message": "Invalid API key"})),
    "throttled": Oddity("429 that names no time", replace=_json(429, {"error": "API rate limit exceeded"})),
    "throttled-seconds": Oddity("429 with Retry-After: 7", replace=_plain(429, "{}", ("retry-after", "7"))),
    "throttled-date": Oddity("429 with a date seven seconds ahead", replace=_late_date),
    "error-text": Oddity("500 with a detail of text", replace=_json(500, {"detail": "it broke"})),
    "error-list": Oddity("500 with a list of details", replace=_json(500, {"detail": ["it", "broke"]})),
    "error-objects": Oddity(
        "500 with details as objects", replace=_json(500, {"detail": [{"loc": ["a"], "msg": "b"}]})
    ),
    "bad-gateway": Oddity(
        "502 as a web page", replace=_plain(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", kind="text/html")
    ),
    "unavailable": Oddity("503 in plain text", replace=_plain(503, "no healthy upstream", kind="text/plain")),
    "unavailable-seconds": Oddity("503 with Retry-After: 300", replace=_plain(503, "{}", ("retry-after", "300"))),
    "empty": Oddity("200 with nothing in it", replace=_plain(200, "")),
    "truncated": Oddity("JSON that ends too soon", replace=lambda a, _: a._replace(body=a.body[: len(a.body) // 2])),
    "no-data": Oddity("a list without data", _without("data")),
    "null-data": Oddity("a list whose data is null", lambda b, _: b | {"data": None} if "data" in b else b),
    "repeating": Oddity("every page is the first one; the server sees to it"),
    "never-ending": Oddity("there is always a next page", _never_ending),
    "next-elsewhere": Oddity("next leads to another host", _next(f"{ELSEWHERE}/api/v2/workloads/?offset=100")),
    "redirect-elsewhere": Oddity(
        "301 to another host", replace=_plain(301, "", ("location", f"{ELSEWHERE}/api/v2/workloads/"))
    ),
    "huge": Oddity("an answer of two gigabytes", replace=lambda a, _: a._replace(body=b" " * 65536, fill=HUGE)),
    "odd-names": Oddity("NUL, newline, quote and backslash in a name", _named('a\x00b\nc"d\\e')),
    "long-names": Oddity("a name of ten kilobytes", _named("n" * 10_000)),
    "duplicates": Oddity("an item twice on a page", _items(lambda data, _: [*data, *data[:1]])),
    "wrong-type": Oddity("an item that is a number", _items(lambda data, _: [*data[:-1], 5] if data else data)),
    "no-id": Oddity(
        "an item without an id",
        _items(lambda data, _: [*data[:-1], {k: v for k, v in data[-1].items() if k != "id"}] if data else data),
    ),
    "number-as-id": Oddity(
        "the id of the last item is a number",
        _items(lambda data, _: [*data[:-1], {**data[-1], "id": int(str(data[-1]["id"])[-6:], 16)}] if data else data),
    ),
    "lone-surrogate": Oddity("half of a character in a name", _named("half \ud83d")),
    "not-a-number": Oddity("NaN", replace=_beside_id(b'"requestStats": {"errorRate": NaN}')),
    "out-of-range": Oddity("a number that is too large for a float", replace=_beside_id(b'"responseTime": 1e400')),
    "raw-tab": Oddity("a control character in a string", replace=_beside_id(b'"description": "a\tb"')),
    "not-utf8": Oddity("a byte of Latin-1 in a string", replace=_beside_id(b'"description": "caf\xe9"')),
    "nested": Oddity("an array nested 1,100 levels deep", replace=_beside_id(b'"extra": ' + b"[" * 1100 + b"]" * 1100)),
    "byte-order-mark": Oddity(
        "a byte order mark", replace=lambda a, _: a._replace(body=b"\xef\xbb\xbf" + a.body if a.body else b"")
    ),
    "slow": Oddity("an answer after two seconds", replace=lambda a, _: a._replace(delay=2.0)),
    "hanging": Oddity("an answer after an hour", replace=lambda a, _: a._replace(delay=3600.0)),
    "cut": Oddity("a connection that ends in the middle", replace=_cut),
    "clock-skew": Oddity("a Date header seven minutes behind", replace=_dated),
}


def active(switched: Iterable[str], template: str, path: str = "", role: str = "") -> list[str]:
    """The names of the oddities that hold for a route, for the filled path of a request, and for the role of the proton
    that it is about. Raises KeyError for a name that does not exist.
    """
    names = []
    for told in switched:
        name, _, place = told.partition("@")
        if name not in ODDITIES:
            raise KeyError(name)
        route, _, only = place.partition("#")
        if route in ("", template, path.rstrip("/")) and only in ("", role):
            names.append(name)
    return names
