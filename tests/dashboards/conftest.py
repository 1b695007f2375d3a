"""Prometheus servers with the two stored days, each started once."""

from collections.abc import Iterator

import pytest

from tests.dashboards.days import BAD, GOOD, stored
from tests.e2e.servers import Prometheus


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with stored(GOOD, tmp_path_factory.mktemp("good")) as prometheus:
        yield prometheus


@pytest.fixture(scope="session")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with stored(BAD, tmp_path_factory.mktemp("bad")) as prometheus:
        yield prometheus
