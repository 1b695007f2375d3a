"""Labels from tags: their names, what is left out, and which of too many values stay."""

import random
import re
import string
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.models import Tag, Workload
from exporter.fleet.tag_labels import (
    MAX_NAMES,
    Admission,
    Labels,
    TagSelection,
    admitted,
    census,
    is_personal,
    label_name,
    oldest,
    tag_labels,
)

ALL = TagSelection(("*",))


def tagged(*tags: tuple[str | None, str | None], **fields: Any) -> Workload:
    return Workload(**({"id": "w"} | fields), tags=tuple(Tag(name, value) for name, value in tags))


def after(*fleet: Workload, selection: TagSelection = ALL, before: Admission | None = None) -> Admission:
    """The admission after a sweep of this fleet."""
    found: dict[str, set[str]] = {}
    for name, value, _ in census(fleet, selection):
        found.setdefault(name, set()).add(value)
    return admitted(found, before or Admission(), selection, lambda: oldest(fleet, selection))


def labels(workload: Workload, selection: TagSelection = ALL) -> Labels | None:
    """The labels of a workload that is alone."""
    return tag_labels(workload, selection, after(workload, selection=selection))


@pytest.mark.parametrize(
    ("selected", "tags", "expected"),
    [
        (("team", "env"), [("env", "prod"), ("team", "claims")], (("tag_env", "prod"), ("tag_team", "claims"))),
        (("team",), [("env", "prod"), ("team", "claims")], (("tag_team", "claims"),)),
        (("team",), [("env", "prod")], ()),
        (("team",), [("team", "")], ()),
        (("team",), [("", "claims")], ()),
        (("team",), [], ()),
        (("*",), [("jane@example.com", "on call")], ()),
        # Case, blanks and hyphens do not matter, neither in the settings nor in tags.
        (("Cost Center",), [("cost-center", "7")], (("tag_cost_center", "7"),)),
        (("team",), [(" Team ", "claims")], (("tag_team", "claims"),)),
        (("cost-*",), [("cost-center", "7"), ("cost_unit", "8"), ("cost", "9")],
            (("tag_cost_center", "7"), ("tag_cost_unit", "8"))),
        (("*-id",), [("org-id", "7"), ("id", "8")], (("tag_org_id", "7"),)),
        (("a*z",), [("az", "7"), ("a.b/z", "8"), ("b", "9")], (("tag_a_b_z", "8"), ("tag_az", "7"))),
        (("größe",), [("Größe", "7")], (("tag_gr_sse", "7"),)),
        (("a.b",), [("a.b", "7"), ("axb", "8")], (("tag_a_b", "7"),)),
        # Tags with the same label are numbered, in the order of their names and values.
        (("team",), [("team", "b"), ("Team", "c"), ("team", "a")],
            (("tag_team", "c"), ("tag_team_2", "a"), ("tag_team_3", "b"))),
        (("*",), [("a.b", "1"), ("a/b", "2"), ("a_b_2", "3")],
            (("tag_a_b", "1"), ("tag_a_b_2", "3"), ("tag_a_b_3", "2"))),
        (("team",), [("team", "a"), ("team", "a")], (("tag_team", "a"),)),
        # One value that is not known: a label set that lacks it would look as if the tag was not there.
        (("team",), [("team", None)], None),
        (("team",), [("team", "a"), (None, "b")], None),
        (("team",), [("team", "a"), ("env", None)], (("tag_team", "a"),)),
        ((), [("team", "a")], None),
    ],
)  # fmt: skip
def test_tags_become_labels(
    selected: tuple[str, ...], tags: list[tuple[str | None, str | None]], expected: Labels | None
) -> None:
    assert labels(tagged(*tags), TagSelection(selected)) == expected
    assert labels(tagged(*reversed(tags)), TagSelection(selected)) == expected


def test_tags_that_are_not_reported_are_unknown() -> None:
    assert labels(Workload(id="w")) is None


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=5)), max_size=6))
def test_every_label_name_is_valid_and_unique_in_any_order_of_the_tags(tags: list[tuple[str, str]]) -> None:
    found = labels(tagged(*tags))
    assert found is not None
    names = [name for name, _ in found]
    assert all(re.fullmatch(r"tag_[a-z0-9_]{0,68}", name) for name in names)
    assert names == sorted(set(names))
    assert labels(tagged(*random.sample(tags, len(tags)))) == found


def test_a_long_name_is_cut() -> None:
    assert label_name("n" * 100) == "tag_" + "n" * 64
    assert TagSelection(("n" * 64,)).covers("n" * 100)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("jane@example.com", True),
        ("Jane Roe <jane@example.com>", True),
        ("jane@corp", True),
        ("mailto:jane@example.com?subject=x", True),
        ("@claims", False),
        ("claims @ night", False),
        ("claims@", False),
        ("a@@b", False),
        ("claims", False),
    ],
)
def test_a_value_with_an_at_sign_between_characters_is_an_address(value: str, expected: bool) -> None:
    assert is_personal(value) == expected


def test_values_that_are_addresses_are_left_out_and_counted_and_the_other_labels_stay() -> None:
    fleet = [
        tagged(("owner", "jane@example.com"), ("team", "a")),
        tagged(("owner", "joe@example.com")),
        tagged(("owner", "ops")),
    ]
    found = after(*fleet)
    assert found.left_out == {("owner", "email"): 2}
    assert [tag_labels(each, ALL, found) for each in fleet] == [(("tag_team", "a"),), (), (("tag_owner", "ops"),)]


def teams(values: Collection[str], **created: str) -> list[Workload]:
    return [tagged(("team", value), id=value, created_at=created.get(value)) for value in values]


TWO = TagSelection(("team",), max_values=2)


@pytest.mark.parametrize(
    ("before", "values", "created", "stay"),
    [
        ("", "ab", {}, "ab"),
        ("", "cab", {}, "ab"),
        # Values of the oldest workloads come first; one whose creation is unknown comes last.
        ("", "abc", {"c": "2026-11-01T00:00:00Z", "b": "2026-11-02T00:00:00Z"}, "bc"),
        # What is in use stays, whatever is older.
        ("bc", "abc", {"a": "2026-11-01T00:00:00Z"}, "bc"),
        ("bc", "acd", {"d": "2026-11-01T00:00:00Z"}, "cd"),
        ("bc", "ac", {}, "ac"),
    ],
)
def test_too_many_values_are_left_out_but_not_their_workloads(
    before: str, values: str, created: Mapping[str, str], stay: str
) -> None:
    fleet = teams(values, **created)
    found = after(*fleet, selection=TWO, before=Admission({"tag_team": frozenset(before)}))
    assert found.values == {"tag_team": frozenset(stay)}
    assert found.left_out == ({("team", "limit"): len(values) - 2} if len(values) > 2 else {})
    shown = [tag_labels(each, TWO, found) for each in fleet]
    assert shown == [(("tag_team", value),) if value in stay else () for value in values]


@given(st.lists(st.sets(st.sampled_from(string.ascii_lowercase[:6]), min_size=1), min_size=1, max_size=5), st.randoms())
def test_a_value_that_is_in_use_is_never_replaced_by_another_one(fleets: list[set[str]], chance: random.Random) -> None:
    found = Admission()
    for values in fleets:
        before, fleet = found.values.get("tag_team", frozenset()), teams(values)
        found = after(*chance.sample(fleet, len(fleet)), selection=TWO, before=found)
        now = found.values["tag_team"]
        assert before & values <= now <= values
        assert len(now) == min(2, len(values))
        assert found == after(*fleet, selection=TWO, before=Admission({"tag_team": before}))


def test_a_wildcard_makes_a_limited_number_of_labels_and_named_tags_come_first() -> None:
    many = tagged(*((f"n{number:03}", "x") for number in range(MAX_NAMES)), ("team", "a"))
    selection = TagSelection(("*", "team"))
    found = after(many, selection=selection)
    assert found.left_out == {("*", "names"): 1}
    assert "tag_team" in found.values
    assert len(found.values) == MAX_NAMES
    shown = tag_labels(many, selection, found)
    assert shown is not None
    assert [name for name, _ in shown] == sorted(found.values)


def test_a_label_that_is_in_use_stays_when_a_wildcard_finds_more() -> None:
    first = after(*(tagged((f"n{number:03}", "x")) for number in range(1, MAX_NAMES + 1)))
    then = after(*(tagged((f"n{number:03}", "x")) for number in range(MAX_NAMES + 1)), before=first)
    assert then.values == first.values
    assert then.left_out == {("*", "names"): 1}
