"""Rows of `objectives`: what is read of them, and what is reported about mistakes."""

from pathlib import Path

import pytest

from exporter.fleet.objectives import Objective, ObjectiveRow
from tests.settings.test_settings import loaded, problems


def test_an_objective_has_a_selector_targets_and_a_window(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        accounts: [{name: eu, token: t}]
        objectives:
          - {tags: [team=claims, gpu], name: "score-*", accounts: [eu], importance: [high], availability: 0.999}
          - {readiness: 0.995, latency: {target: 0.99, faster_than: 500ms}, window: 30d}
        """,
    )
    assert [each.row for each in settings.objectives] == [
        ObjectiveRow(
            Objective(availability=0.999), {"team": "claims", "gpu": None}, frozenset({"high"}), "score-*",
            frozenset({"eu"}),
        ),
        ObjectiveRow(Objective(readiness=0.995, latency=0.99, slower=0.5, window=30 * 86400.0)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("[{name: a}]", "objectives[0] (line 1): no target; set availability, readiness or latency, such as "
            "availability: 0.999"),
        ("[{availability: 99.9}]", "objectives[0].availability (line 1): must be less than 1"),
        ("[{availability: 1}]", "objectives[0].availability (line 1): must be less than 1"),
        ("[{availability: 0}]", "objectives[0].availability (line 1): must be greater than 0"),
        ("[{availability: 0.9, window: 1d}]", "objectives[0].window (line 1): must be greater than or equal "
            "to 604800"),
        ("[{availability: 0.9, window: 91d}]", "objectives[0].window (line 1): must be less than or equal to "
            "7776000"),
        ("[{latency: 0.9}]", "objectives[0].latency (line 1): must contain settings, such as `name: value`; remove it "
            "to use the defaults"),
        ("[{latency: {target: 0.9}}]", "objectives[0].latency.faster_than (line 1): is required"),
        ("[{latency: {target: 0.9, faster_than: 0}}]", "objectives[0].latency.faster_than (line 1): must be "
            "greater than or equal to 0.001"),
        ("[{tags: [=x], availability: 0.9}]", "objectives[0].tags[0] (line 1): must match the pattern "
            "'^[^=]+(=.*)?$'"),
        ("[{accounts: [default, defaul], availability: 0.9}]", "objectives[0].accounts (line 1): no account is called "
            "'defaul'; did you mean 'default'?"),
        ("[{availabilty: 0.9}]", "objectives[0].availabilty (line 1): unknown setting; did you mean availability?"),
        ("7", "objectives[0] (line 1): must contain settings, such as `name: value`; remove it to use the defaults"),
        ("[{availability: 0.9}, {name: a, availability: 0.99}]", "settings: objectives[0] matches all workloads, so "
            "the rows after it are never used"),
        ("[{readiness: 0.9}]\ndetail: {parts: [requests]}", "settings: objectives[0] cannot be counted: detail.parts "
            "lacks pods"),
        ("[{name: a, readiness: 0.9}, {availability: 0.9}]\ndetail: {parts: [pods]}", "settings: objectives[1] cannot "
            "be counted: detail.parts lacks requests"),
        ("[{latency: {target: 0.9, faster_than: 1s}}]\ndetail: {enabled: false}", "settings: objectives[0] cannot be "
            "counted: detail.enabled is false"),
    ],
)  # fmt: skip
def test_a_row_of_objectives_that_cannot_be_used_is_reported(tmp_path: Path, rows: str, problem: str) -> None:
    assert problem in problems(tmp_path, f"objectives: {rows}")
