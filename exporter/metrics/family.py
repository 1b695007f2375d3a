"""A metric family is one row: name, unit, labels, help, source, the meaning of its absence, and a function.

The exposition adds the labels ``account``, ``workload_id`` and ``workload`` to every sample of a workload, and
``account`` to those of an account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, get_args

from exporter.api import models
from exporter.api.models import Autoscaling, Bundle, Group, Workload
from exporter.api.pods import Proton, StatusDetails
from exporter.fleet import workload_state
from exporter.fleet.workload_state import WorkloadState

Sample = tuple[tuple[str, ...], float]
Samples = tuple[Sample, ...]
"""Label values in the order of the row's `labels`, and the value.

For a histogram, the last label value is the bucket's bound, ``sum`` or ``count``. A `dynamic` family has the names of
the labels, too, each before its value.
"""

MetricKind = Literal["gauge", "counter", "histogram", "summary"]
Stability = Literal["stable", "experimental"]
Profile = Literal["minimal", "standard", "full"]
PROFILES: tuple[Profile, ...] = ("minimal", "standard", "full")
Part = (
    Literal["workload", "runtime", "vanished", "catalogue", "replicas_limit", "costs", "ledger", "held", "tag_labels"]
    | Literal["objective"]
    | Literal["pods", "windows", "usage", "quotas", "grants", "replacement", "fresh", "refused", "polled", "failed"]
)
"""What a family reads: a field of `WorkloadState`, or of its details. It is rendered again when one of them changes."""
DETAIL_FIELDS: tuple[Part, ...] = (
    "pods", "windows", "usage", "quotas", "grants", "replacement", "fresh", "refused", "polled", "failed"
)  # fmt: skip
ALL_PARTS: frozenset[Part] = frozenset(part for parts in get_args(Part) for part in get_args(parts))
COMMON_LABELS = ("account", "workload", "workload_id")


class View(NamedTuple):
    """Input of a row: a workload's state and values needed by several rows, computed once.

    `protons` are the protons with their role and pod snapshot, None if there is none.
    """

    state: WorkloadState
    workload: Workload
    groups: tuple[Group, ...]
    scalings: tuple[Autoscaling, ...]
    bundles: tuple[Bundle, ...]
    protons: tuple[tuple[Proton, str, StatusDetails | None], ...]


def view(state: WorkloadState) -> View:
    """The view of a workload."""
    groups = models.groups(state.workload)
    pods = state.details.pods
    return View(
        state,
        state.workload,
        groups,
        tuple([scaling for group in groups if (scaling := models.autoscaled(group)) is not None]),
        workload_state.bundles(state),
        tuple([(p, workload_state.role(state, p), pods.details.get(p.id)) for p in pods.protons])
        if pods is not None
        else (),
    )


class Family(NamedTuple):
    """One metric family; `samples` returns nothing if the API reports nothing: unknown is not zero.

    `profile` is the smallest profile that includes the family; a stable family keeps its name, type and labels.
    `dynamic`: the names of its labels are not known beforehand.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str
    source: str
    absence: str
    samples: Callable[[View], Samples]
    unit: str = ""
    stability: Stability = "stable"
    profile: Profile = "standard"
    reads: frozenset[Part] = frozenset({"workload"})
    dynamic: bool = False


def unit_in(name: str) -> str:
    """The unit with which the name of a metric ends, without the ``_total`` of a counter; empty: none."""
    return next((unit for unit in ("seconds", "bytes", "cores", "ratio") if name.endswith("_" + unit)), "")


def row(
    name: str,
    help: str,  # noqa: A002 — the exposition format's own word
    samples: Callable[[View], Samples],
    *,
    source: str,
    absence: str,
    labels: tuple[str, ...] = (),
    unit: str = "",
    stability: Stability = "stable",
    profile: Profile = "standard",
    reads: tuple[Part, ...] = ("workload",),
    dynamic: bool = False,
) -> Family:
    """One row; `name` without ``datarobot_``. Type and unit follow from the name, unless given."""
    kind: MetricKind = "counter" if name.endswith("_total") else "summary" if "quantile" in labels else "gauge"
    unit = unit or unit_in(name.removesuffix("_total"))
    name = f"datarobot_{name}"
    parts = frozenset(reads)
    return Family(name, kind, labels, help, source, absence, samples, unit, stability, profile, parts, dynamic)


def one(value: float | None) -> Samples:
    """A single sample, or none if there is no value."""
    return () if value is None else (((), value),)


def total(values: Iterable[float | None]) -> float | None:
    """The sum, or None if there is nothing to add or one part is unknown."""
    parts = list(values)
    return sum(p for p in parts if p is not None) if parts and None not in parts else None


def closed(value: str, known: Iterable[str]) -> str:
    """`value` if it is in a closed set, else ``other``."""
    return value if value in known else "other"
