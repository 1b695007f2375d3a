"""How tests of laws are run, how tests are spread over processes, and what a run tells at its end."""

import pytest
from hypothesis import HealthCheck, settings

from tests import counts

# A machine that is busy with other things is no mistake of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module in one process, where fixtures are made once, unless they name a group of their own.

    Groups start in the order of collection; those that take long come first, so that none is left over at the end.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker process: hand over what tests counted."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counts"] = counts.told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """In the process that started the workers: add up what they counted."""
    for what, count in getattr(node, "workeroutput", {}).get("counts", {}).items():
        counts.told[what] = counts.told.get(what, 0) + count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    if counts.told:
        terminalreporter.section("paging")
    for what, count in counts.told.items():
        terminalreporter.write_line(f"{what}: {count}")
