"""The replacement in progress: which record counts, and by when it should be over."""

from typing import Any

import pytest

from exporter.api.models import Replacement, ReplacementConfig, Workload
from exporter.fleet import active_replacement
from exporter.fleet.ledger import Ledger, ReplacementCursor
from exporter.fleet.workload_state import Details, WorkloadState

FOUND = ReplacementCursor(since=1000.0)
"""First observed at 1000 s."""
CREATED = "1970-01-01T00:15:00Z"
"""At 900 s."""
LISTED = Replacement(status="warming", candidate_proton_ids=("p2",))
OWN = Replacement(status="warming", candidate_proton_ids=("p2",), id="r1", created_at=CREATED)


def state(
    rollout: ReplacementCursor | None = FOUND, listed: Replacement | None = LISTED, own: Replacement | None = None
) -> WorkloadState:
    workload = Workload(id="w", status="running", replacement=listed)
    return WorkloadState("acme", workload, Ledger(1.0, 1.0, rollout=rollout), Details(replacement=own))


def record(warmup: Any = None, **more: Any) -> Replacement:
    config = ReplacementConfig(warmup_duration_minutes=warmup, keep_old_version_minutes=600)
    fields: dict[str, Any] = {"status": "warming", "id": "r1", "created_at": CREATED, "config": config}
    return Replacement(**(fields | more))


@pytest.mark.parametrize(
    ("of", "deadline"),
    [
        (state(None), None),
        (state(), 1000 + 1800 + 300),
        (state(own=OWN), 900 + 1800 + 300),
        (state(own=record(60)), 900 + 1800 + 60 * 60 + 300),
        (state(listed=record(60)), 900 + 1800 + 60 * 60 + 300),
        (state(listed=record(0)), 900 + 1800 + 300),
        (state(listed=record(-1)), 900 + 1800 + 300),
        (state(listed=record(float("nan"))), 900 + 1800 + 300),
        (state(listed=record(config=None)), 900 + 1800 + 300),
        (state(ReplacementCursor(1000.0, ended=1200.0)), None),
        (state(ReplacementCursor(1000.0, counted=True)), None),
    ],
)
def test_a_replacement_has_half_an_hour_plus_its_warm_up_plus_the_overlap(
    of: WorkloadState, deadline: float | None
) -> None:
    """The setting that keeps the old version for longer is accepted by the API but not applied."""
    assert active_replacement.deadline(of) == deadline


@pytest.mark.parametrize(
    ("listed", "own", "counts"),
    [
        (None, None, None),
        (LISTED, None, LISTED),
        (None, OWN, OWN),
        (LISTED, OWN, OWN),
        (Replacement(), OWN, OWN),
        (record(60), OWN, record(60)),
        (Replacement(id="r2"), OWN, Replacement(id="r2")),
        (Replacement(id="r1"), OWN, OWN),
        (Replacement(candidate_proton_ids=("p3",)), OWN, Replacement(candidate_proton_ids=("p3",))),
        (LISTED, Replacement(created_at=CREATED), Replacement(created_at=CREATED)),
    ],
    ids=[
        "none", "only the list has one", "only its route has one", "that of its route knows more",
        "the list has only a status", "the list has all of it", "that of its route is of an earlier one",
        "the same id", "another candidate", "no candidate reported",
    ],
)  # fmt: skip
def test_the_record_is_the_more_complete_one_of_the_same_replacement(
    listed: Replacement | None, own: Replacement | None, counts: Replacement | None
) -> None:
    assert active_replacement.record(state(listed=listed, own=own)) == counts
