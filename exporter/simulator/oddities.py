"""ODDITIES: deviations of real servers, proxies and networks; each is one row and is switched on by name.

A plain name applies to all routes, ``name@/workloads/{id}/events`` to one route, the same with an actual id to one
object, and ``name@/workloads/{id}/protons/{pid}/statusDetails#outgoing`` to the protons of one role. An oddity changes
the JSON of a response, or the whole response.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

ELSEWHERE = "http://elsewhere.invalid"
HUGE = 2 * 1000**3


class SimulatedResponse(NamedTuple):
    """A response as it is sent. `delay` is in seconds; `fill` repeats the body up to this many bytes.

    `cut` ends the connection in the middle of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    delay: float = 0.0
    fill: int = 0
    cut: bool = False


class RequestFacts(NamedTuple):
    """What an oddity may depend on. `slash`: the path ends with one; `now`: seconds since the epoch."""

    template: str
    path: str
    slash: bool
    offset: int
    now: float


Json = Any
Reshape = Callable[[Json, RequestFacts], Json]
Replace = Callable[[SimulatedResponse, RequestFacts], SimulatedResponse]


class Oddity(NamedTuple):
    """One oddity: its description, and a function that changes the JSON, or one that changes the response."""

    shows: str
    reshape: Reshape | None = None
    replace: Replace | None = None


def walk(value: Json, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Json:
    """`value` with `change` applied to every object in it, innermost first."""
    if isinstance(value, dict):
        return change({key: walk(part, change) for key, part in value.items()})
    if isinstance(value, list):
        return [walk(part, change) for part in value]
    return value


def _without(*keys: str) -> Reshape:
    return lambda body, _: walk(body, lambda each: {k: v for k, v in each.items() if k not in keys})


def _plain(status: int, text: str, *headers: tuple[str, str], kind: str = "application/json") -> Replace:
    return lambda _, __: SimulatedResponse(status, (("content-type", kind), *headers), text.encode())


def _json(status: int, body: Json) -> Replace:
    return _plain(status, json.dumps(body))


def _conditions(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "value" in each and "lastTransitionTime" in each:
            return {"type": each["type"], "met": each["value"], "since": ""}
        return each

    return walk(body, change)


def _total(body: Json, _: RequestFacts) -> Json:
    if isinstance(body, dict) and "totalCount" in body:
        body = dict(body)
        body["total"] = body.pop("totalCount")
    return body


def _old_autoscaling(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "minReplicaCount" not in each:
            return each
        bounds = {"minCount": each["minReplicaCount"], "maxCount": each["maxReplicaCount"], "priority": None}
        return {"policies": [policy | bounds for policy in each["policies"]]}

    return walk(body, change)


def _flat(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        groups = each.get("containerGroups")
        return groups[0] if isinstance(groups, list) and groups else each

    return walk(body, change)


def _string_memory(body: Json, _: RequestFacts) -> Json:
    return walk(body, lambda e: e | {"memory": "2GB"} if isinstance(e.get("memory"), int) else e)


def _upper(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        return each | {k: v.upper() for k, v in each.items() if k in ("status", "importance") and isinstance(v, str)}

    return walk(body, change)


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{6})\+00:00")


def _times(pattern: str) -> Reshape:
    def reshape(body: Json, _: RequestFacts) -> Json:
        def change(each: dict[str, Any]) -> dict[str, Any]:
            return {k: _TIME.sub(pattern, v) if isinstance(v, str) else v for k, v in each.items()}

        return walk(body, change)

    return reshape


def _old_events(body: Json, facts: RequestFacts) -> Json:
    if not facts.template.endswith("/events"):
        return body

    def change(each: dict[str, Any]) -> dict[str, Any]:
        if "eventType" not in each:
            return each
        kept = {key: each[key] for key in ("id", "timestamp")}
        return kept | {"type": each["eventType"], "message": (each["details"] or {}).get("message")}

    return walk(body, change)


def _old_details(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        return each | {"statusDetails": {"conditions": [], "logTail": None}} if "importance" in each else each

    return walk(body, change)


def _items(change: Callable[[list[Any], RequestFacts], list[Any]]) -> Reshape:
    def reshape(body: Json, facts: RequestFacts) -> Json:
        if isinstance(body, dict) and isinstance(body.get("data"), list):
            return body | {"data": change(body["data"], facts)}
        return body

    return reshape


def _empty_list(body: Json, _: RequestFacts) -> Json:
    if isinstance(body, dict) and isinstance(body.get("data"), list):
        return body | {"data": [], "count": 0, "totalCount": 0, "next": None}
    return body


def _named(name: str) -> Reshape:
    return _items(lambda data, _: [{**data[0], "name": name}, *data[1:]] if data else data)


def _beside_id(member: bytes) -> Replace:
    """Add a member to the first object that has an id."""
    return lambda response, _: response._replace(body=response.body.replace(b'"id":', member + b', "id":', 1))


def _list_stats(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Reshape:
    def reshape(body: Json, _: RequestFacts) -> Json:
        return walk(body, lambda each: each | change(each) if "errorRates" in each else each)

    return reshape


def _nanocores(body: Json, _: RequestFacts) -> Json:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if each.get("unit") != "nanocores":
            return each
        names = [name for name in ("currentValue", "aggregatedValue") if each[name] is not None]
        return each | {name: each[name] / 1e6 for name in names}

    return walk(body, change)


def _active(body: Json, _: RequestFacts) -> Json:
    return walk(body, lambda each: each | {"active": each["total"]} if "active" in each else each)


def _replica_limit(body: Json, _: RequestFacts) -> Json:
    return walk(body, lambda each: each | {"maxWorkloadReplicas": 1} if "maxWorkloadReplicas" in each else each)


def _plain_ids(body: Json, _: RequestFacts) -> Json:
    return walk(body, lambda each: each | {"id": f"event-{each['id'][-6:]}"} if "eventType" in each else each)


def _reported_now(body: Json, facts: RequestFacts) -> Json:
    now = datetime.fromtimestamp(facts.now, UTC).isoformat(timespec="microseconds")
    return walk(body, lambda each: each | {"lastUpdated": now} if "lastUpdated" in each else each)


def _running_since(seconds: float) -> Reshape:
    def change(each: dict[str, Any]) -> dict[str, Any]:
        if each.get("runningSince") is None:
            return each
        began = datetime.fromisoformat(each["createdAt"]) + timedelta(seconds=seconds)
        return each | {"runningSince": began.isoformat(timespec="microseconds")}

    return lambda body, _: walk(body, change)


def _next(url: str) -> Reshape:
    return lambda body, _: body | {"next": url} if isinstance(body, dict) and "data" in body else body


def _never_ending(body: Json, facts: RequestFacts) -> Json:
    if isinstance(body, dict) and "data" in body:
        kept = {key: value for key, value in body.items() if key not in ("totalCount", "total")}
        return kept | {"next": f"{facts.path}?offset={facts.offset + 100}"}
    return body


def _slash(wanted: bool, status: int) -> Replace:
    def replace(response: SimulatedResponse, facts: RequestFacts) -> SimulatedResponse:
        if facts.slash is wanted:
            return response
        if status == 301:
            place = facts.path.rstrip("/") + ("/" if wanted else "")
            return SimulatedResponse(301, (("location", place),), b"")
        return SimulatedResponse(status, (("content-type", "application/json"),), b'{"detail": "Not Found"}')

    return replace


def _cut(response: SimulatedResponse, _: RequestFacts) -> SimulatedResponse:
    return response._replace(cut=True)


def _dated(response: SimulatedResponse, facts: RequestFacts) -> SimulatedResponse:
    return response._replace(
        headers=(*response.headers, ("date", email.utils.formatdate(facts.now - 420, usegmt=True)))
    )


def _late_date(_: SimulatedResponse, facts: RequestFacts) -> SimulatedResponse:
    date = email.utils.formatdate(facts.now + 7, usegmt=True)
    return SimulatedResponse(
        429, (("content-type", "application/json"), ("retry-after", date)), b'{"error": "slow down"}'
    )


ODDITIES: dict[str, Oddity] = {
    "conditions-met-since": Oddity("pod conditions as met and since", _conditions),
    "no-next": Oddity("lists without next and previous", _without("next", "previous")),
    "no-total": Oddity("lists without totalCount", _without("totalCount")),
    "total": Oddity("lists with total instead of totalCount", _total),
    "old-autoscaling": Oddity("bounds of the autoscaler inside each policy", _old_autoscaling),
    "flat-runtime": Oddity("a runtime without container groups", _flat),
    "string-memory": Oddity("memory as text such as 2GB", _string_memory),
    "upper-case": Oddity("enumerations in upper case", _upper),
    "nanoseconds": Oddity("timestamps with nine digits and Z", _times(r"\1T\2.\g<3>789Z")),
    "blank-in-times": Oddity("timestamps with a space and without an offset", _times(r"\1 \2.\3")),
    "no-roles": Oddity("protons without a role", _without("role")),
    "old-events": Oddity("events with type and message at the top", _old_events),
    "old-details": Oddity("statusDetails on the workload itself", _old_details),
    "slash-required": Oddity("404 without a trailing slash", replace=_slash(True, 404)),
    "slash-forbidden": Oddity("422 with a trailing slash", replace=_slash(False, 422)),
    "slash-redirect": Oddity("301 to the path with a trailing slash", replace=_slash(True, 301)),
    "absent": Oddity("404: the route does not exist", replace=_json(404, {"detail": "Not Found"})),
    "forbidden": Oddity("403: the feature is disabled", replace=_json(403, {"message": "feature not enabled"})),
    "method": Oddity("405: the method is not allowed", replace=_json(405, {"detail": "Method Not Allowed"})),
    "not-implemented": Oddity("501: the route is not implemented", replace=_json(501, {"detail": "not implemented"})),
    "unauthorized": Oddity("401 of the gateway", replace=_json(401, {"message": "Invalid API key"})),
    "throttled": Oddity("429 without Retry-After", replace=_json(429, {"error": "API rate limit exceeded"})),
    "throttled-seconds": Oddity("429 with Retry-After: 7", replace=_plain(429, "{}", ("retry-after", "7"))),
    "throttled-date": Oddity("429 with Retry-After as a date seven seconds ahead", replace=_late_date),
    "error-text": Oddity("500 with a text as detail", replace=_json(500, {"detail": "it broke"})),
    "error-list": Oddity("500 with a list of texts as detail", replace=_json(500, {"detail": ["it", "broke"]})),
    "error-objects": Oddity(
        "500 with a list of objects as detail", replace=_json(500, {"detail": [{"loc": ["a"], "msg": "b"}]})
    ),
    "bad-gateway": Oddity(
        "502 with an HTML body",
        replace=_plain(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", kind="text/html"),
    ),
    "unavailable": Oddity("503 with a plain text body", replace=_plain(503, "no healthy upstream", kind="text/plain")),
    "unavailable-seconds": Oddity("503 with Retry-After: 300", replace=_plain(503, "{}", ("retry-after", "300"))),
    "no-content": Oddity("204 without a body", replace=lambda _, __: SimulatedResponse(204, (), b"")),
    "empty-list": Oddity("a list without items", _empty_list),
    "short-pages": Oddity("pages of at most two items, whatever the limit"),
    "empty": Oddity("200 with an empty body", replace=_plain(200, "")),
    "truncated": Oddity("truncated JSON", replace=lambda a, _: a._replace(body=a.body[: len(a.body) // 2])),
    "no-data": Oddity("a list without data", _without("data")),
    "null-data": Oddity("a list whose data is null", lambda b, _: b | {"data": None} if "data" in b else b),
    "repeating": Oddity("every page is the first page"),
    "never-ending": Oddity("a list that always has a next page", _never_ending),
    "next-elsewhere": Oddity("next links to another host", _next(f"{ELSEWHERE}/api/v2/workloads/?offset=100")),
    "redirect-elsewhere": Oddity(
        "301 to another host", replace=_plain(301, "", ("location", f"{ELSEWHERE}/api/v2/workloads/"))
    ),
    "huge": Oddity("a body of two gigabytes", replace=lambda a, _: a._replace(body=b" " * 65536, fill=HUGE)),
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
    "lone-surrogate": Oddity("a lone surrogate in a name", _named("half \ud83d")),
    "not-a-number": Oddity("NaN as a number", replace=_beside_id(b'"requestStats": {"errorRate": NaN}')),
    "out-of-range": Oddity("a number too large for a float", replace=_beside_id(b'"responseTime": 1e400')),
    "raw-tab": Oddity("a control character in a string", replace=_beside_id(b'"description": "a\tb"')),
    "not-utf8": Oddity("a Latin-1 byte in a string", replace=_beside_id(b'"description": "caf\xe9"')),
    "nested": Oddity("an array nested 1,100 levels deep", replace=_beside_id(b'"extra": ' + b"[" * 1100 + b"]" * 1100)),
    "byte-order-mark": Oddity(
        "a byte order mark", replace=lambda a, _: a._replace(body=b"\xef\xbb\xbf" + a.body if a.body else b"")
    ),
    "slow": Oddity("a response after two seconds", replace=lambda a, _: a._replace(delay=2.0)),
    "hanging": Oddity("a response after an hour", replace=lambda a, _: a._replace(delay=3600.0)),
    "cut": Oddity("a connection that ends in the middle of the body", replace=_cut),
    "list-error-share": Oddity(
        "errorRate of the list as a share", _list_stats(lambda each: {"errorRate": each["errorRate"] / 100})
    ),
    "list-of-a-day": Oddity(
        "requestStats of one day", _list_stats(lambda each: {"totalRequests": each["totalRequests"] // 7})
    ),
    "list-of-a-month": Oddity(
        "requestStats of a month", _list_stats(lambda each: {"totalRequests": each["totalRequests"] * 4})
    ),
    "mean-response-time": Oddity("responseTime is a mean, whichever quantile is requested"),
    "millicores": Oddity("CPU usage in thousandths of a core, called nanocores", _nanocores),
    "all-active": Oddity("all workloads count as active", _active),
    "replica-limit": Oddity("maxWorkloadReplicas is less than workloads have", _replica_limit),
    "plain-event-ids": Oddity("events with ids that contain no time", _plain_ids),
    "restarted": Oddity("protons that started four hours after they were created", _running_since(4 * 3600.0)),
    "never-restarted": Oddity(
        "protons that started when they were created, whatever happened since", _running_since(1.0)
    ),
    "heartbeat": Oddity("lastUpdated is the time of the request", _reported_now),
    "unprocessable": Oddity("422 for a parameter", replace=_json(422, {"detail": "no such resourceType"})),
    "clock-skew": Oddity("a Date header seven minutes behind", replace=_dated),
}


def active(switched: Iterable[str], template: str, path: str = "", role: str = "") -> list[str]:
    """The names of the oddities that apply to a route, the path of a request, and the role of the requested proton.

    Raises KeyError for an unknown name.
    """
    names = []
    for entry in switched:
        name, _, place = entry.partition("@")
        if name not in ODDITIES:
            raise KeyError(name)
        route, _, only = place.partition("#")
        if route in ("", template, path.rstrip("/")) and only in ("", role):
            names.append(name)
    return names
