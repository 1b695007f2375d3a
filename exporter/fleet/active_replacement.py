"""The replacement in progress: its record, its start, and when it should be over. Times are seconds since the epoch."""

from __future__ import annotations

from exporter.api import models
from exporter.api.models import Replacement
from exporter.fleet.workload_state import WorkloadState

NORMAL_SECONDS = 1800.0
"""How long a replacement may take without its warm-up and overlap: DataRobot's clients wait up to 30 minutes."""
OVERLAP_SECONDS = 300.0
"""How long the platform keeps the old version after the switch, whatever ``keepOldVersionMinutes`` is."""


def record(state: WorkloadState) -> Replacement | None:
    """The record of the replacement: of the list, or of its own route if that is about the same one and knows more.

    Without a record in the list, that of its own route is used. The list may have only its status and candidates.
    """
    listed, own = state.workload.replacement, state.details.replacement
    if listed is None or own is None:
        return listed or own
    if listed.id and own.id:
        same = listed.id == own.id
    else:
        candidates = {*(listed.candidate_proton_ids or ())}
        same = not candidates or not own.candidate_proton_ids or bool(candidates & {*own.candidate_proton_ids})
    return own if same and (listed.created_at is None or listed.config is None) else listed


def started(state: WorkloadState) -> float | None:
    """When the replacement in progress started, or was first observed if that is not reported; None: there is none."""
    rollout = state.ledger.rollout
    if rollout is None or rollout.ended is not None:
        return None
    known = record(state)
    created = state.at(known.created_at) if known is not None else None
    return created if created is not None else rollout.since


def deadline(state: WorkloadState) -> float | None:
    """When the replacement in progress should be over; None: there is none, or an event has reported its end."""
    rollout, began = state.ledger.rollout, started(state)
    if rollout is None or rollout.counted or began is None:
        return None
    known = record(state)
    config = known.config if known is not None else None
    warmup = models.finite(config.warmup_duration_minutes) if config is not None else None
    return began + NORMAL_SECONDS + (warmup or 0.0) * 60 + OVERLAP_SECONDS
