"""FAMILIES: every workload family on /metrics is one row, from the workload list, the details, or for objectives."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import ACCOUNTS, AccountFamily
from exporter.metrics.cost_families import COSTS
from exporter.metrics.detail_families import DETAILED
from exporter.metrics.family import ALL_PARTS, DETAIL_FIELDS, PROFILES, Family, Part, Profile, Samples, view
from exporter.metrics.list_families import LISTED
from exporter.metrics.objective_families import OBJECTIVES

FAMILIES: tuple[Family, ...] = (*LISTED, *DETAILED, *COSTS, *OBJECTIVES)
TAGS = "datarobot_workload_tags"
VANISHED_FAMILIES = {"datarobot_workload_vanished_timestamp_seconds", "datarobot_workload_transitions_total", TAGS}
"""The families of a vanished workload."""


_WHOLE_FIELDS: tuple[Part, ...] = ("catalogue", "replicas_limit", "costs", "held", "tag_labels", "objective")
"""Fields of a workload state that are parts themselves."""


def changed(before: WorkloadState, now: WorkloadState) -> frozenset[Part]:
    """Which parts of a workload differ."""
    if before.ahead != now.ahead or before.readings is not now.readings:
        return ALL_PARTS  # all reported times differ, or what values mean
    parts: list[Part] = []
    if before.workload != now.workload:
        parts.append("workload")
        if before.workload.runtime != now.workload.runtime:
            parts.append("runtime")
    if before.ledger is not now.ledger and before.ledger != now.ledger:
        parts.append("ledger")
    parts.extend(field for field in _WHOLE_FIELDS if getattr(before, field) != getattr(now, field))
    if (before.vanished, before.gone_because) != (now.vanished, now.gone_because):
        parts.append("vanished")
    if ("workload" in parts or "ledger" in parts) and _role_facts(before) != _role_facts(now):
        parts.append("pods")  # their samples have the role of the proton as a label
    if before.details is not now.details:
        parts.extend(part for part in DETAIL_FIELDS if getattr(before.details, part) != getattr(now.details, part))
    return frozenset(parts)


def _role_facts(state: WorkloadState) -> tuple[object, ...]:
    record = state.ledger.serving
    return state.workload.proton_id, state.workload.replacement, record.others, record.lasting


def samples_of(families: Sequence[Family], state: WorkloadState) -> tuple[Samples, ...]:
    """The samples of each family for one workload; for a vanished one, only those of `VANISHED_FAMILIES`."""
    viewed = view(state)
    if state.vanished is not None:
        return tuple([family.samples(viewed) if family.name in VANISHED_FAMILIES else () for family in families])
    return tuple([family.samples(viewed) for family in families])


def served(profile: Profile, *, tags: bool = False) -> tuple[Family, ...]:
    """The families of workloads that a profile serves; `tags`: with that of tags."""
    allowed = PROFILES[: PROFILES.index(profile) + 1]
    return tuple(family for family in FAMILIES if family.profile in allowed and (tags or family.name != TAGS))


def served_accounts(profile: Profile) -> tuple[AccountFamily, ...]:
    """The families of accounts that a profile serves."""
    allowed = PROFILES[: PROFILES.index(profile) + 1]
    return tuple(family for family in ACCOUNTS if family.profile in allowed)
