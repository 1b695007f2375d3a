"""A collector that does not accept traces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.receivers import partly
from tests.reliability.fault import Fault, Inject
from tests.reliability.life import Life
from tests.reliability.servers import DRIP, HANG, RESET, Reply, Request

SHORT = {"traces": {"timeout": "1s"}}
"""A thread waits for the collector in real time."""


def answering(reply: Reply, *, accepts: bool = False) -> Inject:
    """The collector answers so, and `accepts` what it receives all the same."""

    def handled(life: Life) -> Callable[[Request], Awaitable[Reply]]:
        async def handle(request: Request) -> Reply:
            if accepts:
                await life.accept_spans(request)
            return reply

        return handle

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        life.collector.handler = handled(life)
        yield
        life.collector.handler = life.accept_spans

    return injected


@asynccontextmanager
async def down(life: Life) -> AsyncIterator[None]:
    await life.collector.down()
    yield
    await life.collector.up()


FAULTS = (
    Fault("The collector refuses connections", down),
    Fault("The collector resets each connection", answering(RESET), recovered=180.0),
    Fault("The collector never responds", answering(HANG), settings=SHORT),
    Fault("The collector sends one header a second, for ever", answering(DRIP), settings=SHORT),
    Fault("The collector answers 503 with Retry-After: 60", answering(Reply(503, b"", (("retry-after", "60"),)))),
    Fault("The collector answers 429", answering(Reply(429))),
    Fault("The collector answers 404", answering(Reply(404)), recovered=300.0),
    Fault("The collector answers 400 to everything", answering(Reply(400, b"no")), lost=("2 spans",),
          reason="400 means that the trace is invalid: of a collector that accepted others, the first one is dropped."),
    Fault("A page of HTML with status 200 from the collector",
          answering(Reply(200, b"<html>Sign in</html>", (("content-type", "text/html"),))), recovered=300.0),
    Fault("The collector accepts traces but resets the connection", answering(RESET, accepts=True)),
    Fault("The collector accepts traces and reports a warning", answering(Reply(200, partly(0, "late")), accepts=True)),
    Fault("The collector rejects spans with status 200", answering(Reply(200, partly(9, "no"))),
          lost=("2 spans",), reason="OTLP forbids sending rejected spans again; they are counted and logged."),
)  # fmt: skip
