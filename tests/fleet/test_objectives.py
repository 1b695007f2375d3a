"""Which workload has which objective, and what a target allows."""

import pytest

from exporter.api.models import Tag, Workload
from exporter.fleet.objectives import Objective, ObjectiveRow, objective_of

WORKLOAD = Workload(
    id="w", name="score-claims", importance="High", tags=(Tag(name="team", value="claims"), Tag(name="gpu", value=""))
)
SOME, OTHER = Objective(availability=0.9), Objective(availability=0.8)


@pytest.mark.parametrize(
    ("row", "matches"),
    [
        (ObjectiveRow(SOME), True),
        (ObjectiveRow(SOME, name="score-*"), True),
        (ObjectiveRow(SOME, name="score-claim?"), True),
        (ObjectiveRow(SOME, name="score"), False),
        (ObjectiveRow(SOME, name="Score-*"), False),
        (ObjectiveRow(SOME, importance=frozenset({"high", "critical"})), True),
        (ObjectiveRow(SOME, importance=frozenset({"low"})), False),
        (ObjectiveRow(SOME, tags={"team": "claims"}), True),
        (ObjectiveRow(SOME, tags={"team": None, "gpu": None}), True),
        (ObjectiveRow(SOME, tags={"team": "claims", "owner": None}), False),
        (ObjectiveRow(SOME, accounts=frozenset({"eu"})), True),
        (ObjectiveRow(SOME, accounts=frozenset({"us"})), False),
        (ObjectiveRow(SOME, name="score-*", accounts=frozenset({"us"})), False),
    ],
)
def test_a_row_matches_a_workload_for_which_all_its_conditions_are_met(row: ObjectiveRow, matches: bool) -> None:
    assert row.matches("eu", WORKLOAD) is matches


def test_a_workload_without_name_importance_and_tags_matches_a_row_without_conditions_only() -> None:
    bare = Workload(id="w")
    assert ObjectiveRow(SOME, name="*").matches("eu", bare)
    assert not ObjectiveRow(SOME, name="?*").matches("eu", bare)
    assert not ObjectiveRow(SOME, importance=frozenset({"low"})).matches("eu", bare)
    assert not ObjectiveRow(SOME, tags={"team": None}).matches("eu", bare)


def test_the_first_row_that_matches_counts() -> None:
    rows = (ObjectiveRow(OTHER, name="other"), ObjectiveRow(SOME, name="score-*"), ObjectiveRow(OTHER))
    assert objective_of(rows, "eu", WORKLOAD) == SOME
    assert objective_of(rows[:1], "eu", WORKLOAD) is None


@pytest.mark.parametrize(
    ("row", "all_of_them"),
    [
        (ObjectiveRow(SOME), True),
        (ObjectiveRow(SOME, name="**"), True),
        (ObjectiveRow(SOME, name="a*"), False),
        (ObjectiveRow(SOME, accounts=frozenset({"eu"})), False),
        (ObjectiveRow(SOME, tags={"team": None}), False),
        (ObjectiveRow(SOME, importance=frozenset({"low"})), False),
    ],
)
def test_a_row_without_conditions_matches_all_workloads(row: ObjectiveRow, all_of_them: bool) -> None:
    assert row.matches_all is all_of_them


def test_an_objective_has_a_target_for_each_kind_that_is_set() -> None:
    assert dict(Objective(0.99, None, 0.9, 2.0).targets) == {"availability": 0.99, "latency": 0.9}
    assert Objective(latency=0.9, slower=1.0).counts_requests
    assert not Objective(readiness=0.9).counts_requests
