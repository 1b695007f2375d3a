"""Records the current sweep: its parts, their duration and result.

The record is kept in the context of the sweep's task; `exporter.otlp.self_traces` creates spans from it. Outside a
sweep, and in the poller, which has its own task, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class SweepPart(NamedTuple):
    """One part of a sweep; times in seconds since the epoch. `error`: type of the error, empty if none.

    `request`: the attributes of an API request; None for other parts.
    """

    name: str
    start: float
    end: float
    error: str = ""
    request: Mapping[str, str | int] | None = None


class SweepTrace:
    """The parts of one sweep until now. `failure`: reason if it is incomplete; `workloads`: number of listed ones."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        # The wall clock is read once, so that setting it does not distort the trace.
        self._ahead, self._steady = wall() - steady(), steady
        self.began = self.now()
        self.parts: list[SweepPart] = []
        self.failure = ""
        self.workloads: int | None = None
        self.kept = ""

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._steady() + self._ahead

    def keep(self, reason: str) -> None:
        """Have this trace sent in any case; `reason` is one of `exporter.otlp.self_traces.KEPT`."""
        self.kept = reason


CURRENT: ContextVar[SweepTrace | None] = ContextVar("sweep_trace", default=None)
"""The trace of the sweep in this task, if it is traced."""


@contextmanager
def part(name: str) -> Iterator[None]:
    """Record the block as a part of the sweep."""
    if (trace := CURRENT.get()) is None:
        yield
        return
    began, error = trace.now(), ""
    try:
        yield
    except Exception as raised:  # anything: it is recorded and raised again
        error = type(raised).__name__
        raise
    finally:
        trace.parts.append(SweepPart(name, began, trace.now(), error))


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
    trace.parts.append(SweepPart(f"GET {route}", end - seconds, end, error, request))
