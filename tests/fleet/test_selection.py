"""Selection of workloads by example, and the law of the shards."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.api.models import Creator, Tag, Workload
from exporter.fleet.selection import Selection, in_shard, selected

WORKLOAD = Workload(
    id="w",
    name="claims-scorer",
    importance="HIGH",
    tags=(Tag(name="team", value="claims"), Tag(name="beta", value=None)),
    creator=Creator(id="u1", username="ops@example.test"),
)


@given(st.lists(st.text(), unique=True), st.integers(1, 12))
@example(["a", "b", "c"], 2)
def test_every_workload_belongs_to_exactly_one_shard(ids: list[str], shards: int) -> None:
    parts = [[i for i in ids if in_shard(i, shard, shards)] for shard in range(shards)]
    assert sorted(i for part in parts for i in part) == sorted(ids)


@pytest.mark.parametrize(
    ("chosen", "is_selected"),
    [
        (Selection(), True),
        (Selection(tags={"team": "claims"}), True),
        (Selection(tags={"team": None, "beta": None}), True),
        (Selection(tags={"team": "fraud"}), False),
        (Selection(tags={"owner": None}), False),
        (Selection(importance=("critical", "high")), True),
        (Selection(importance=("low",)), False),
        (Selection(name="claims-.*"), True),
        (Selection(name="claims"), False),
        (Selection(creators=("u1",)), True),
        (Selection(creators=("ops@example.test", "u9")), True),
        (Selection(creators=("u9",)), False),
        (Selection(name="claims-.*", importance=("low",)), False),
    ],
)
def test_a_workload_is_selected_if_all_conditions_match(chosen: Selection, is_selected: bool) -> None:
    assert selected(WORKLOAD, chosen) is is_selected


def test_a_workload_without_a_creator_is_not_selected_by_creator() -> None:
    assert not selected(Workload(id="w"), Selection(creators=("u1",)))


def test_no_expression_takes_long_for_any_name() -> None:
    name = "a" * 10_000 + "!"
    for expression in ("(a+)+", "(a|a)*", "(a*)*b", "a*a*a*a*a*a*a*b"):
        assert not selected(Workload(id="w", name=name), Selection(name=expression))


def test_an_expression_matches_the_whole_name_and_only_text() -> None:
    assert not selected(Workload(id="w", name="a\n"), Selection(name="a"))
    assert not selected(Workload(id="w", name="ab"), Selection(name="a|b"))
    assert not selected(Workload(id="w", name="\ud83d"), Selection(name=".*"))
    assert selected(Workload(id="w"), Selection(name=".*"))
