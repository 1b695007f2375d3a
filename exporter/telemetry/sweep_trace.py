"""Records the current sweep: its parts, their duration and result.

Only data, kept in the context of the sweep's task; `exporter.otlp.self_traces` makes spans from it where worthwhile.
Nothing is recorded without a sweep. The poller runs in its own task and is part of no sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Done(NamedTuple):
    """One thing that a sweep did; times in seconds since the epoch. `error`: its type, empty where it went well.

    `request`: the attributes of a request to the API; None for what is done here.
    """

    name: str
    start: float
    end: float
    error: str = ""
    request: Mapping[str, str | int] | None = None


class SweepTrace:
    """What one sweep did so far. `failure`: why it was not complete; `workloads`: how many it listed."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        # One look at the wall clock: a trace is not torn when that is set meanwhile.
        self._ahead, self._steady = wall() - steady(), steady
        self.began = self.now()
        self.done: list[Done] = []
        self.failure = ""
        self.workloads: int | None = None
        self.kept = ""

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._steady() + self._ahead

    def keep(self, reason: str) -> None:
        """Have this trace sent however the sweep goes; `reason` is one of `exporter.otlp.self_traces.KEPT`."""
        self.kept = reason


CURRENT: ContextVar[SweepTrace | None] = ContextVar("sweep_trace", default=None)
"""The trace of the sweep that this task makes, if it makes one that is traced."""


@contextmanager
def part(name: str) -> Iterator[None]:
    """Record the block as a part of the sweep."""
    if (trace := CURRENT.get()) is None:
        yield
        return
    began, error = trace.now(), ""
    try:
        yield
    except Exception as raised:
        error = type(raised).__name__
        raise
    finally:
        trace.done.append(Done(name, began, trace.now(), error))


def attempted(route: str, seconds: float, status: int, resend: int, reason: str = "") -> None:
    """Record a finished request: route template, status (0: no response), number of earlier attempts.

    `reason`: one of `exporter.failures.REASONS` if it failed.
    """
    if (trace := CURRENT.get()) is None:
        return
    request: dict[str, str | int] = {"http.request.method": "GET", "url.template": route}
    if status:
        request["http.response.status_code"] = status
    if resend:
        request["http.request.resend_count"] = resend
    end = trace.now()
    error = str(status) if reason and status else reason
    trace.done.append(Done(f"GET {route}", end - seconds, end, error, request))
