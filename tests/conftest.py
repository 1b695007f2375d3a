"""How tests of laws are run, how tests are spread over processes, and what a run prints at its end."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import counts
from tests.units import LONGEST, unit

if TYPE_CHECKING:
    from tests.postgresql import Server

# A machine that is busy with other things is no mistake of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("patient"), max_examples=25)
settings.load_profile("patient")
# No test needs the system's authorities, and every TLS context would read them, which takes 25 ms of CPU. The
# key of this one was not kept; a file without any certificate is an error for httpx.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))
# promtool and Prometheus look for garbage when they need five times, not twice, the memory in use: a fifth less CPU.
os.environ.setdefault("GOGC", "400")


@pytest.fixture(scope="session")
def postgresql() -> "Iterator[Server]":
    """A PostgreSQL server, which runs again after each test that stops it."""
    from tests.postgresql import server  # here: most processes need none

    with server() as made:
        yield made


FROZEN = pytest.StashKey[int]()


class Units(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives units to processes in the order of collection. Of --dist=loadgroup pytest 9.2 takes no notice."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Units:
    config.option.loadscopereorder = False
    return Units(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """In a worker process: until the collection ends, look for no garbage. All that is imported and collected stays."""
    if hasattr(config, "workerinput"):
        gc.disable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker process: the longest units first."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(unit(item.nodeid), len(places)))


def freeze() -> int:
    """Keep what exists out of garbage collections: thousands of tests. Gives the number of objects."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[FROZEN] = freeze()
    gc.enable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After a module whose daemons froze objects: free those that have become garbage."""
    stash = item.config.stash
    if (nextitem is None or nextitem.path != item.path) and gc.get_freeze_count() != stash[FROZEN]:
        stash[FROZEN] = freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker process: hand over what tests counted."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counts"], output["lines"] = counts.numbers, counts.lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """In the process that started the workers: add up their counts."""
    for what, count in getattr(node, "workeroutput", {}).get("counts", {}).items():
        counts.numbers[what] = counts.numbers.get(what, 0) + count
    counts.lines += getattr(node, "workeroutput", {}).get("lines", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    if counts.numbers:
        terminalreporter.section("paging")
    for what, count in counts.numbers.items():
        terminalreporter.write_line(f"{what}: {count}")
    if counts.lines:
        terminalreporter.section("reliability")
    for line in counts.lines:
        terminalreporter.write_line(line)
