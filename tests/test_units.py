"""Distribution of tests over processes."""

import re
from pathlib import Path

import pytest

from tests.units import GOOD_DAY, LONGEST, SPLIT, UNITS, unit

ROOT = Path(__file__).parent.parent
LIFECYCLE = "tests/daemon/test_lifecycle.py"


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("tests/e2e/test_kill.py::test_no_total_changes", "tests/e2e/test_kill.py"),
        ("tests/api/test_clock_skew.py::test_the_clock_counts[2.0-0.0]", "tests/api/test_clock_skew.py"),
        (f"{LIFECYCLE}::test_a_story_gives_its_traces[exit 0]", f"{LIFECYCLE}[exit 0]"),
        (f"{LIFECYCLE}::test_a_story_gives_the_same_traces[exit 0-7]", f"{LIFECYCLE}[exit 0]"),
        (f"{LIFECYCLE}::test_there_is_no_golden_file_without_its_story", LIFECYCLE),
        (f"{GOOD_DAY}[datarobot-fleet: Ready A]", GOOD_DAY),
        ("tests/dashboards/test_queries.py::test_every_variable_offers_values[datarobot-fleet]", "bad day"),
        ("tests/dashboards/test_pictures.py::test_the_fleet_is_drawn", "bad day"),
    ],
)
def test_the_unit_of_a_test(test: str, name: str) -> None:
    assert unit(test) == name


def test_only_test_modules_name_the_marks_by_which_make_selects_modules() -> None:
    others = [path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")]
    names = [path.name for path in others if re.search(r"mark\.(real|long|exhaustive)", path.read_text())]
    assert names == []


def test_the_tables_name_existing_modules() -> None:
    named = {*SPLIT, *UNITS, *LONGEST} - {*UNITS.values()}
    assert [place for place in sorted(named) if not (ROOT / place.partition("::")[0]).is_file()] == []


def test_no_name_of_a_test_contains_a_time_or_an_address(request: pytest.FixtureRequest) -> None:
    """Every process must collect the same names. Compressed bytes begin with the time."""
    changing = re.compile(r"\\x1f\\x8b|0x[0-9a-f]{8}")
    assert [item.nodeid for item in request.session.items if changing.search(item.nodeid)] == []
