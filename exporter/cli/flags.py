"""Flags that several commands share, and types of their values.

The destination of a flag that overrides a setting is the place of the setting, such as ``web.listen_address``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from exporter.settings.values import seconds

EXIT_STATUS = "Exit status: 0 success, 1 failure (the reason is on standard error), 2 invalid settings or usage."
_MAX_NUMBER = 1e6


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the settings file and for logging."""
    parser.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="settings in YAML; see `workload-exporter docs settings`",
    )
    log = parser.add_argument_group("logging")
    log.add_argument("--log.level", dest="log.level", metavar="LEVEL", help="debug, info (default), warn or error")
    log.add_argument("--log.format", dest="log.format", metavar="FORMAT", help="auto (default), logfmt or json")


def add_web_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for settings, logging and the HTTP server."""
    add_settings_flags(parser)
    web = parser.add_argument_group("HTTP server")
    web.add_argument(
        "--web.listen-address",
        dest="web.listen_address",
        action="append",
        metavar="HOST:PORT",
        help="default 127.0.0.1:10142; :PORT listens on all addresses; may be repeated",
    )
    web.add_argument("--web.telemetry-path", dest="web.telemetry_path", metavar="PATH", help="default /metrics")
    web.add_argument(
        "--web.config.file",
        dest="web.config_file",
        metavar="FILE",
        help="TLS and basic auth, in the format of the Prometheus exporter-toolkit",
    )


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that start the daemon."""
    add_web_flags(parser)
    parser.add_argument(
        "--state.path", dest="state.path", metavar="FILE", help="file that keeps totals and times across restarts"
    )
    parser.add_argument(
        "--state.url", dest="state.url", metavar="URL", help="PostgreSQL database in place of the file: postgresql://…"
    )
    parser.add_argument(
        "--state.password-file", dest="state.password_file", metavar="FILE", help="file with the database's password"
    )
    parser.add_argument(
        "--shard",
        dest="select.shard",
        metavar="I/N",
        help="monitor shard I of N, counted from 0; default 0/1; auto: share the accounts with replicas",
    )
    parser.add_argument(
        "--advertise-url", dest="web.advertise_url", metavar="URL", help="where the other replicas can reach this one"
    )


def suggest(action: argparse.Action, names: Iterable[str]) -> None:
    """Let completion suggest these values of a flag or argument, which may have others, too."""
    action.suggestions = tuple(names)  # type: ignore[attr-defined]


def positive_integer(given: str) -> int:
    """An integer of at least 1. Raises argparse.ArgumentTypeError."""
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not an integer of at least 1")
    return int(given)


def positive_number(given: str) -> float:
    """A number above 0. Raises argparse.ArgumentTypeError."""
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number < _MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number above 0")
    return number


def duration(given: str) -> float:
    """Seconds of a duration such as ``5s``. Raises argparse.ArgumentTypeError."""
    try:
        return float(str(seconds(given)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
