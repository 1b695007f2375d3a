"""A request to the simulated API, error responses, and what most routes need: timestamps, paging, access."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from exporter.simulator.world import Actor, World

PREFIX = "/api/v2"
Query = Mapping[str, Sequence[str]]
Json = dict[str, Any]


class ErrorResponse(Exception):
    """A response other than 200: a status and a JSON body, or None for no body."""

    def __init__(self, status: int, body: Json | None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class SimulatedRequest(NamedTuple):
    """One request: the fleet, the query, the client's clock, the base URL of links.

    `strict`: respond exactly as the published description 11.5 specifies.
    """

    world: World
    query: Query
    now: float
    base: str
    strict: bool = False


def stamp(at: float) -> str:
    """A timestamp in the platform's format."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.\d+)?(?:[+ ]00:00|Z)")


def moved(value: Any, seconds: float) -> Any:
    """`value` with all timestamps in it, in lists and objects too, moved by some seconds."""
    if isinstance(value, dict):
        return {key: moved(part, seconds) for key, part in value.items()}
    if isinstance(value, list):
        return [moved(part, seconds) for part in value]
    if not isinstance(value, str) or not (match := _TIMESTAMP.fullmatch(value)):
        return value
    at = datetime.fromisoformat(value.removesuffix(" 00:00").removesuffix("Z").removesuffix("+00:00"))
    return (at + timedelta(seconds=seconds)).replace(tzinfo=UTC).isoformat(match[1], "microseconds")


def not_found(what: str) -> ErrorResponse:
    """Status 404 for an object that does not exist."""
    return ErrorResponse(404, {"detail": f"no such {what}"})


def _integer(request: SimulatedRequest, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, [str(default)])[-1]
    value = int(text) if re.fullmatch(r"-?\d{1,9}", text) else None
    if value is None or not least <= value <= most:
        kind, bound = ("less_than_equal", most) if value is not None and value > most else ("greater_than_equal", least)
        raise ErrorResponse(
            422,
            {
                "detail": [
                    {"loc": ["query", name], "msg": f"must be {kind}: {bound}", "type": kind, "input": text, "ctx": {}}
                ]
            },
        )
    return value


def list_response(
    request: SimulatedRequest, items: Sequence[Any], render: Callable[[Any], Any], path: str, most: int = 100
) -> Json:
    """One page of a list with its envelope, by the `offset` and `limit` of the request; a page has `most` items.

    Raises `ErrorResponse` with 422 for numbers out of range.
    """
    offset, limit = _integer(request, "offset", 0, 0, 10**9), _integer(request, "limit", 10, 1, most)
    data = [render(item) for item in items[offset : offset + limit]]
    more = offset + limit < len(items)
    following = f"{request.base}{PREFIX}{path}/?limit={limit}&offset={offset + limit}" if more else None
    return {"totalCount": len(items), "count": len(data), "next": following, "previous": None, "data": data}


def visible_workload(request: SimulatedRequest, workload: str) -> Actor:
    """The workload of an id. Raises `ErrorResponse` with 404 if it does not exist, with 403 if it is not shared."""
    actor = request.world.find(workload, request.now)
    if actor is None:
        raise not_found("workload")
    if actor.moment(request.now).step.hidden:
        raise ErrorResponse(403, {"detail": "you have no access to this workload"})
    return actor


def readable_workload(request: SimulatedRequest, workload: str) -> Actor:
    """Like `visible_workload`, but also raises `ErrorResponse` with 403 if the token may only call the workload."""
    actor = visible_workload(request, workload)
    if actor.story.consumer:
        raise ErrorResponse(403, {"detail": "a consumer may not read this"})
    return actor


def time_window(request: SimulatedRequest) -> tuple[float, float]:
    """Start and end of the requested window; the last week by default. Raises `ErrorResponse` with 422."""

    def read(name: str, default: float) -> float:
        text = request.query.get(name, [""])[-1].replace(" ", "+")
        if not text:
            return default
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            detail = [{"loc": ["query", name], "msg": "no datetime", "type": "datetime_parsing", "input": text}]
            raise ErrorResponse(422, {"detail": detail}) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    end = read("endTime", request.now)
    return read("startTime", end - 7 * 86400), end
