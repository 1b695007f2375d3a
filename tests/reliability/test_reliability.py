"""docs/reliability.md lists every fault, and what it says is what is measured."""

import pytest

from tests import counts, endurance
from tests.reliability.day import FILE, rows_of
from tests.reliability.faults import FAULTS
from tests.reliability.run import BY_NAME, all_measured, measured
from tests.reliability.table import document, line, part, row, short_of, written

SOME = (
    "The API answers 503",
    "The collector refuses connections",
    "The disk is read-only",
    "The process is killed and started again",
)
"""One of each kind, for every run of the tests."""


def test_the_page_lists_every_fault_with_its_reason() -> None:
    assert part() == document(written()), "run `python -m tests.reliability --write`"
    assert [*written()] == [fault.name for faults in FAULTS.values() for fault in faults]
    assert len(written()) >= 60
    for fault in BY_NAME.values():
        assert bool(fault.reason) == bool(fault.lost or fault.doubled or fault.served < 0.9), fault.name


def test_the_page_shows_that_memory_and_descriptors_stay_the_same_for_a_day() -> None:
    text = FILE.read_text()
    rows = rows_of(text)
    assert text == part() + (endurance.written(rows) if rows else ""), "run `python -m tests.endurance --write`"
    assert [*rows] == [mode for mode in endurance.MODES if mode in rows]
    for mode, each in rows.items():
        assert float(each.hours) >= 24
        # Both ends of a connection are in this process; one or two more may be open than in the first hour.
        assert abs(int(each.descriptors_last) - int(each.descriptors_first)) <= 4, mode
        before, after = float(each.memory_first), float(each.memory_last)
        most = before * (1 + endurance.DAY_LIMIT) + endurance.remembered(mode) / 1e6
        assert before * (1 - endurance.DAY_LIMIT) <= after <= most, mode


@pytest.mark.long
@pytest.mark.parametrize("name", SOME)
def test_a_fault_costs_what_the_page_says(name: str) -> None:
    fault = BY_NAME[name]
    outcome = measured(fault)
    assert short_of(fault, outcome) == []
    assert row(fault, outcome).verdicts == written()[name].verdicts


@pytest.mark.exhaustive
def test_every_fault_costs_what_the_page_says() -> None:
    """Its counterpart for every run is above. Prints the table at the end of the run."""
    differ: dict[str, object] = {}
    lines: dict[str, str] = {}
    for name, outcome in all_measured([*BY_NAME]):
        if isinstance(outcome, str):
            differ[name] = outcome
            continue
        fault, is_now = BY_NAME[name], row(BY_NAME[name], outcome)
        lines[name] = line(is_now)
        problems = short_of(fault, outcome)
        if problems or is_now.verdicts != written()[name].verdicts:
            differ[name] = is_now, problems
    counts.lines += [lines[name] for name in BY_NAME if name in lines]
    assert differ == {}
