"""How tests of laws are run, and what a run tells at its end: how much was proven of paging and of sending traces."""

import pytest
from hypothesis import HealthCheck, settings

from tests import counts

# A machine that is busy with other things is no mistake of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    if counts.told:
        terminalreporter.section("paging")
    for what, count in counts.told.items():
        terminalreporter.write_line(f"{what}: {count}")
