"""A row of the table: a fault, how it is injected, and what it may cost at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.reliability.life import Life

MINUTE = 60.0
Injection = AbstractContextManager[None] | AbstractAsyncContextManager[None]
Inject = Callable[[Life], Injection]


def _nothing(_: Life) -> None:
    pass


class Fault(NamedTuple):
    """`inject` injects it from the middle of the fourth minute on, for `minutes`.

    `prepare` is called before the start, and `undisturbed` before that of the undisturbed run; `settings` replaces
    sections of the settings. `serves`: scrapes are made over the network.

    What it may cost: seconds by which pages are `late`, seconds until all else has `recovered`, and the share of the
    scrapes that are `served`. `lost` and `doubled` are what it is known to cost more, as an outcome words it, for this
    `reason`.
    """

    name: str
    inject: Inject
    minutes: float = 4.0
    late: float = MINUTE
    recovered: float = 2 * MINUTE
    served: float = 1.0
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    reason: str = ""
    prepare: Callable[[Life], None] = _nothing
    undisturbed: Callable[[Life], None] = _nothing
    settings: Mapping[str, Any] = MappingProxyType({})
    serves: bool = False


OUTAGE: Mapping[str, Any] = MappingProxyType({"late": 5 * MINUTE, "recovered": 3 * MINUTE, "served": 0.9})
"""Bounds of a fault that hides all workloads: what fails meanwhile is paged once it is over."""
SLOW_OUTAGE: Mapping[str, Any] = MappingProxyType(
    {
        "late": 7 * MINUTE,
        "recovered": 7 * MINUTE,
        "served": 0.9,
    }
)
"""Bounds of an outage after which requests begin slowly: the pauses between them have grown."""
PODS_UNREAD: Mapping[str, Any] = MappingProxyType(
    {
        "late": 3 * MINUTE,
        "served": 0.9,
        "doubled": ("2 pages",),
        "reason": "Until pods that cannot be read are withdrawn, the last known ones count as ready: the workload that "
        "fails is a ticket at first.",
    }
)
"""Bounds of a fault that hides pods while the list is read."""
