"""A receiver that does not accept pages. The other receiver must get them on time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.reliability.fault import MINUTE, Fault, Inject
from tests.reliability.life import Life
from tests.reliability.servers import DRIP, HANG, RESET, Reply, Request
from tests.reliability.world import FAILS_DURING

DELAYED = 5 * MINUTE


def answering(answer: Callable[[Life], Callable[[Request], Awaitable[Reply]]]) -> Inject:
    """The first receiver answers otherwise."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        before, life.hook.handler = life.hook.handler, answer(life)
        yield
        life.hook.handler = before

    return injected


def always(reply: Reply) -> Inject:
    """Accepts nothing."""

    async def handle(_: Request) -> Reply:
        return reply

    return answering(lambda _: handle)


def accepting(reply: Reply) -> Inject:
    """Accepts what arrives, but answers so."""

    def handled(life: Life) -> Callable[[Request], Awaitable[Reply]]:
        async def handle(request: Request) -> Reply:
            await life.accept_page("hook")(request)
            return reply

        return handle

    return answering(handled)


def refusing_one(life: Life) -> Callable[[Request], Awaitable[Reply]]:
    async def handle(request: Request) -> Reply:
        workload = json.loads(request.content)["alerts"][0]["labels"].get("workload")
        return Reply(400, b"no") if workload == FAILS_DURING else await life.accept_page("hook")(request)

    return handle


@asynccontextmanager
async def down(life: Life) -> AsyncIterator[None]:
    await life.hook.down()
    yield
    await life.hook.up()


@asynccontextmanager
async def all_down(life: Life) -> AsyncIterator[None]:
    await life.hook.down()
    await life.other.down()
    yield
    await life.hook.up()
    await life.other.up()


@asynccontextmanager
async def flapping(life: Life) -> AsyncIterator[None]:
    """Every other request is answered with 500."""
    number = 0
    accept = life.accept_page("hook")

    async def handle(request: Request) -> Reply:
        nonlocal number
        number += 1
        return Reply(500) if number % 2 else await accept(request)

    life.hook.handler = handle
    yield
    life.hook.handler = accept


FAULTS = (
    Fault("A receiver refuses connections", down, late=DELAYED),
    Fault("All receivers refuse connections", all_down, late=DELAYED),
    Fault("A receiver never responds", always(HANG), late=DELAYED),
    Fault("A receiver sends one header a second, for ever", always(DRIP), late=DELAYED),
    Fault("A receiver responds after four seconds", accepting(Reply(delay=4.0))),
    Fault("A receiver resets each connection", always(RESET), late=DELAYED),
    Fault("A receiver answers 500", always(Reply(500, b"broken")), late=DELAYED),
    Fault("Every other request to a receiver fails", flapping),
    Fault("A receiver answers 429", always(Reply(429)), late=DELAYED),
    Fault("A receiver answers 429 with Retry-After: 3600", always(Reply(429, b"", (("retry-after", "3600"),))),
          late=2 * DELAYED, recovered=2 * DELAYED),
    Fault("A receiver answers 301", always(Reply(301, b"", (("location", "http://elsewhere.invalid/"),))),
          late=2 * DELAYED, recovered=2 * DELAYED),
    Fault("A receiver answers 400 to one page", answering(refusing_one), late=2 * DELAYED, recovered=2 * DELAYED),
    Fault("A receiver accepts pages but never responds", accepting(HANG)),
    Fault("A receiver accepts pages but resets the connection", accepting(RESET)),
    Fault("A receiver accepts pages but answers 500", accepting(Reply(500))),
)  # fmt: skip
