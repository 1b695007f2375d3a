"""``state``: copy the state between a file and a database."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from exporter.cli.context import Context
from exporter.redaction import Source
from exporter.settings.secret_files import SecretFile
from exporter.settings.values import postgresql_url
from exporter.state.copying import copy
from exporter.state.database import StateError
from exporter.state.opened import open_database

PROGRESS_SECONDS = 1.0
"""Between two lines about the progress."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("copy",), help="`copy` copies all of FROM to TO while no exporter uses them")
    parser.add_argument("source", type=place, metavar="FROM", help="SQLite file, or postgresql://… without a password")
    parser.add_argument("target", type=place, metavar="TO", help="the same; it must be empty or not exist")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="password of the databases; default: that of PGPASSFILE or PGPASSWORD",
    )


def place(given: str) -> Path | str:
    """A path, or the URL of a database. Raises argparse.ArgumentTypeError."""
    if "://" not in given:
        return Path(given)
    try:
        return postgresql_url(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(context: Context) -> int:
    options = context.options
    password = str if options.password_file is None else SecretFile(options.password_file)
    context.secrets.follow([Source(password)])
    if options.password_file is not None and not password():
        print(f"workload-exporter: {options.password_file} cannot be read, or is empty", file=sys.stderr)
        return 2
    if isinstance(options.source, Path) and not options.source.is_file():
        raise StateError(f"{options.source} does not exist; name the file of state.path")
    source = open_database(options.source, password)
    try:
        target = open_database(options.target, password)
        try:
            counts = copy(source, target, _Progress())
        finally:
            target.close()
    finally:
        source.close()
    print(f"{'table':10} {'copied':>10} {'unreadable':>10}")
    for name, each in counts.items():
        print(f"{name:10} {each.copied:10} {each.unreadable:10}")
    return 0


class _Progress:
    """Prints how many rows of a table are copied, every `PROGRESS_SECONDS`."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def __call__(self, table: str, rows: int, total: int) -> None:
        if time.monotonic() >= self._printed + PROGRESS_SECONDS:
            self._printed = time.monotonic()
            print(f"workload-exporter: {table}: {rows} of {total} rows", file=sys.stderr, flush=True)
