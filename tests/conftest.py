"""What a run tells at its end: how much of the paging was proven."""

import pytest

from tests import counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of paging counted."""
    if counts.told:
        terminalreporter.section("paging")
    for what, count in counts.told.items():
        terminalreporter.write_line(f"{what}: {count}")
