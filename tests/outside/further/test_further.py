"""Each further story has an expectation about its own workloads, and its server responds at any time."""

from tests.outside.expecting import ACCOUNT
from tests.outside.further.expectations import EXPECTED
from tests.outside.further.stories import FURTHER


def test_each_story_has_an_expectation_of_its_own_workloads() -> None:
    assert set(FURTHER) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        workloads = {each.name for each in FURTHER[name].world().workloads} | {ACCOUNT}
        for each in expected.incidents:
            assert each.subject in workloads, name
            assert each.after < each.by <= FURTHER[name].minutes, name
