"""Opens the state that the settings name."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from exporter.failures import one_line
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.state import StateSettings
from exporter.state.database import RESPONSE_SECONDS, Database, StateError
from exporter.state.leases import LEASE_SECONDS, LeaseTable
from exporter.state.sqlite import Sqlite
from exporter.state.store import Store

_MISSING = "PostgreSQL needs psycopg, which is not installed; pip install 'datarobot-workload-exporter[postgres]'"


def open_store(settings: StateSettings, *, shared: bool = False) -> Store:
    """The state, created if missing; in memory without a place. `shared`: see `Postgresql`. Raises `StateError`.

    Waits for the disk or the database.
    """
    if settings.url is not None:
        return Store(open_database(settings.url, settings.source("password"), shared=shared))
    return Store(settings.path, set_aside=settings.on_trouble == "set_aside")


def open_leases(settings: StateSettings, url: str) -> LeaseTable:
    """The leases of a new replica that can be reached at `url`. Raises `StateError`. Waits for the database."""
    assert settings.url is not None
    name = f"{socket.gethostname()}/{secrets.token_hex(4)}"
    database = open_database(settings.url, settings.source("password"), shared=True, response_seconds=LEASE_SECONDS / 3)
    return LeaseTable(database, name, url)


def open_database(
    place: Path | str,
    password: Callable[[], str] = str,
    *,
    shared: bool = False,
    response_seconds: float = RESPONSE_SECONDS,
) -> Database:
    """The file at a path, or the database at a URL; the rest: see `Postgresql`. Raises `StateError`."""
    if isinstance(place, Path):
        return Sqlite(place)
    try:
        from exporter.state.postgresql import Postgresql  # here: without a URL, psycopg need not be installed
    except ImportError as error:
        raise StateError(f"{place} cannot be used: {_MISSING}") from error
    return Postgresql(place, password, shared=shared, response_seconds=response_seconds)


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
