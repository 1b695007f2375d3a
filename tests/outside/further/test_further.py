"""Plays each further story against the real exporter and compares what comes with what a person on call expects.

All of them take some minutes: `tests/outside/test_stories.py` is the smaller counterpart.
"""

import pytest

from tests.outside.expecting import ACCOUNT
from tests.outside.further.expectations import EXPECTED
from tests.outside.further.known import KNOWN
from tests.outside.further.stories import FURTHER
from tests.outside.playing import Suite

PRECISION, RECALL, CAUSE = 0.98, 0.98, 0.98  # reached
SUITE = Suite(FURTHER, EXPECTED, KNOWN)


def test_each_story_has_an_expectation_of_its_own_workloads() -> None:
    assert set(FURTHER) == set(EXPECTED)
    assert set(KNOWN) <= set(EXPECTED)
    for name, expected in EXPECTED.items():
        workloads = {each.name for each in FURTHER[name].world().workloads} | {ACCOUNT}
        for each in expected.incidents:
            assert each.subject in workloads, name
            assert each.after < each.by <= FURTHER[name].minutes, name


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FURTHER)
def test_further_story(name: str) -> None:
    """Nothing deviates but what is known; that a known deviation is over is no failure."""
    assert not SUITE.unknown_deviations(name), f"{FURTHER[name].says} Expected: {EXPECTED[name].because}"


@pytest.mark.exhaustive
def test_scores() -> None:
    precision, recall, cause = SUITE.scores
    assert (precision >= PRECISION, recall >= RECALL, cause >= CAUSE) == (True, True, True), (precision, recall, cause)
