"""An API that cannot be reached, refuses, throttles, or does not respond."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from email.utils import formatdate

from exporter.simulator.oddities import SimulatedResponse
from tests.reliability.fault import OUTAGE, PODS_UNREAD, SLOW_OUTAGE, Fault
from tests.reliability.life import Life
from tests.reliability.servers import DRIP, HANG, RESET, Reply, Request
from tests.reliability.world import FAILS_DURING

Injected = AbstractContextManager[None]
PODS = "/workloads/{id}/protons/{pid}/statusDetails"


def always(answer: Reply) -> Callable[[Life], Injected]:
    """The API answers everything so."""
    return lambda life: life.answering(lambda *_: answer)


def odd(*names: str) -> Callable[[Life], Injected]:
    """Oddities of the simulated API."""
    return lambda life: life.odd(*names)


def refused(status: int, *headers: tuple[str, str], path: str = "") -> Callable[[Life], Injected]:
    """Everything, or what ends in `path`, is answered with a status."""

    def answer(request: Request, response: SimulatedResponse) -> Reply | SimulatedResponse:
        matches = request.path.rstrip("/").endswith(path)
        return Reply(status, b'{"message": "no"}', headers) if matches else response

    return lambda life: life.answering(answer)


def of_one_workload(answer: Reply) -> Callable[[Life], Injected]:
    """The details of the workload that fails during the fault are answered so."""

    def injected(life: Life) -> Injected:
        actor = life.simulator.world.actor(1)
        assert actor.name == FAILS_DURING
        place = f"/workloads/{actor.id(actor.moment(life.clock.wall()))}/"
        return life.answering(lambda request, response: answer if place in request.path else response)

    return injected


@asynccontextmanager
async def down(life: Life) -> AsyncIterator[None]:
    await life.api.down()
    yield
    await life.api.up()


@contextmanager
def dated(life: Life) -> Iterator[None]:
    """429 with a date seven seconds ahead, by a clock ten minutes ahead of ours."""
    life.simulator.ahead = 600.0

    def answer(*_: object) -> Reply:
        date = formatdate(life.clock.wall() + 600.0 + 7.0, usegmt=True)
        return Reply(429, b"{}", (("retry-after", date),))

    with life.answering(answer):
        yield
    life.simulator.ahead = 0.0


@contextmanager
def every_other(life: Life) -> Iterator[None]:
    """Every other request fails."""
    with life.answering(lambda _, response: Reply(500, b"{}") if len(life.requests) % 2 else response):
        yield


@contextmanager
def session(life: Life) -> Iterator[None]:
    """The API sets a cookie, and refuses every request that sends one."""

    def answer(request: Request, response: SimulatedResponse) -> Reply | SimulatedResponse:
        if "cookie" in request.headers:
            return Reply(401, b"{}")
        return response._replace(headers=(*response.headers, ("set-cookie", "session=1; Path=/")))

    with life.answering(answer):
        yield


@contextmanager
def echo(life: Life) -> Iterator[None]:
    """500, with the request's headers in the body."""
    with life.answering(lambda request, _: Reply(500, json.dumps({"message": dict(request.headers)}).encode())):
        yield


FAULTS = (
    Fault("The API refuses connections", down, **OUTAGE),
    Fault("The API resets each connection", always(RESET), **OUTAGE),
    Fault("The API accepts requests and never responds", always(HANG), **SLOW_OUTAGE),
    Fault("The API sends one header a second, for ever", always(DRIP), **SLOW_OUTAGE),
    Fault("The API responds after two seconds", odd("slow")),
    Fault("The API responds after 20 seconds", lambda life: life.answering(lambda _, r: r._replace(delay=20.0)),
          **PODS_UNREAD),
    Fault("Every other request to the API fails", every_other),
    Fault("The API answers 500 with a list of errors", odd("error-objects"), **OUTAGE),
    Fault("The API answers 500 and repeats all headers of the request, with the token", echo, **OUTAGE),
    Fault("A proxy answers 502 with a page of HTML", odd("bad-gateway"), **OUTAGE),
    Fault("The API answers 503", odd("unavailable"), **OUTAGE),
    Fault("The API answers 503 with Retry-After: 300", odd("unavailable-seconds"), **SLOW_OUTAGE),
    Fault("The API answers 401 to everything", odd("unauthorized"), **OUTAGE),
    Fault("The API answers 403 to everything", odd("forbidden"), served=0.8, late=300.0, recovered=180.0,
          reason="403 means that the token may not read the pods: they are withdrawn at once."),
    Fault("The API answers 404 to everything", odd("absent"), **OUTAGE),
    Fault("The API answers 501 to everything", odd("not-implemented"), **OUTAGE),
    Fault("The API redirects to another host", odd("redirect-elsewhere"), **OUTAGE),
    Fault("The API answers 429 without Retry-After", odd("throttled"), **SLOW_OUTAGE),
    Fault("The API answers 429 with Retry-After: 0", refused(429, ("retry-after", "0")), **SLOW_OUTAGE),
    Fault("The API answers 429 with Retry-After: 7", odd("throttled-seconds"), **SLOW_OUTAGE),
    Fault("The API answers 429 with Retry-After as a date", odd("throttled-date"), **SLOW_OUTAGE),
    Fault("The API answers 429 with a date, by a clock ten minutes ahead", dated, **SLOW_OUTAGE),
    Fault("The API answers 429 with Retry-After: 1000000000", refused(429, ("retry-after", "1000000000")),
          **SLOW_OUTAGE),
    Fault("The API answers 429 with a Retry-After that is neither", refused(429, ("retry-after", "soon")),
          **SLOW_OUTAGE),
    Fault("Only the list of workloads answers 500", odd("error-text@/workloads"), **OUTAGE),
    Fault("Only the list of workloads never responds", odd("hanging@/workloads"), **SLOW_OUTAGE),
    Fault("The pods of all workloads answer 500", odd(f"error-text@{PODS}"), **PODS_UNREAD),
    Fault("The pods of all workloads never arrive", odd(f"hanging@{PODS}"), **PODS_UNREAD, recovered=300.0),
    Fault("The events of all workloads answer 403", odd("forbidden@/workloads/{id}/events"), served=0.8,
          reason="403 means that the token may not read the events: their counters are withdrawn until it may."),
    Fault("The events of all workloads answer 429", odd("throttled@/workloads/{id}/events"), recovered=300.0),
    Fault("The details of one workload answer 503 with Retry-After: 300", of_one_workload(
        Reply(503, b"{}", (("retry-after", "300"),))), recovered=420.0, **PODS_UNREAD),
    Fault("The details of one workload never arrive", of_one_workload(HANG), recovered=300.0, **PODS_UNREAD),
    Fault("The details of one workload answer 401", of_one_workload(Reply(401, b"{}")), **PODS_UNREAD),
    Fault("The API sets a session cookie and refuses it", session),
)  # fmt: skip
