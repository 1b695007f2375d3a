"""Opens the state that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exporter.failures import one_line
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.state import StateSettings
from exporter.state.database import Database, StateError
from exporter.state.sqlite import Sqlite
from exporter.state.store import Store

_MISSING = "PostgreSQL needs psycopg, which is not installed; pip install 'datarobot-workload-exporter[postgres]'"


def open_store(settings: StateSettings) -> Store:
    """The state, created if missing; in memory without a place. Raises `StateError`. Waits for disk or database."""
    if settings.url is not None:
        return Store(open_database(settings.url, settings.source("password")))
    return Store(settings.path, set_aside=settings.on_trouble == "set_aside")


def open_database(place: Path | str, password: Callable[[], str] = str) -> Database:
    """The file at a path, or the database at a URL. Raises `StateError`."""
    if isinstance(place, Path):
        return Sqlite(place)
    try:
        from exporter.state.postgresql import Postgresql  # here: without a URL, psycopg need not be installed
    except ImportError as error:
        raise StateError(f"{place} cannot be used: {_MISSING}") from error
    return Postgresql(place, password)


def check_url(settings: StateSettings) -> None:
    """Check the parameters of a URL without connecting. Raises `BadSettings`."""
    if settings.url is None:
        return
    try:
        from exporter.state.postgresql import url_problem  # here: see above
    except ImportError:
        raise BadSettings([Problem("state.url", _MISSING)]) from None
    if problem := url_problem(settings.url):
        raise BadSettings([Problem("state.url", f"{one_line(problem)}; see the parameters of libpq")])
