"""Memory and file descriptors stay the same, whatever fails: six hours of each mode in virtual time.

What is measured: `tests/endurance.py`, with one process per mode; ``python -m tests.endurance`` measures whole days.
Smaller tests that detect the same faults: tests/test_http_client.py for connections, tests/daemon/test_memory.py for
garbage.
"""

import subprocess
import sys

import pytest

from tests.endurance import LIMIT, MODES, Endured, remembered

HOURS = 6.0
MAX_DESCRIPTORS = 40
"""Descriptors of the daemon and of its simulated peers, which are in the same process."""


def played(mode: str, hours: float) -> Endured:
    command = [sys.executable, "-m", "tests.endurance", mode, f"--hours={hours:g}", "--json"]
    return Endured.of_json(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.exhaustive
@pytest.mark.parametrize("mode", MODES)
def test_after_six_hours_there_are_as_much_memory_and_as_many_descriptors_as_after_one(mode: str) -> None:
    endured = played(mode, HOURS)
    before, after = (endured.mean(lambda each: each.memory, first=first) for first in (True, False))
    assert after <= before * (1 + LIMIT) + remembered(mode)
    before, after = (endured.mean(lambda each: each.descriptors, first=first) for first in (True, False))
    assert after <= before * (1 + LIMIT) + 1
    assert max(each.descriptors for each in endured.samples) <= MAX_DESCRIPTORS
