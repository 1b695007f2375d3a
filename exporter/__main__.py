"""Starts the command line. Before anything else is imported, signals are handled."""

from __future__ import annotations

import sys

from exporter import signals

DAEMONS = ("run", "demo")
"""Commands that run until they are stopped; `run` is the default."""


def _runs_daemon(arguments: list[str]) -> bool:
    return not arguments or arguments[0] in DAEMONS or arguments[0].startswith("-")


def main() -> int:
    """Run the command that the arguments name; returns the exit status."""
    signals.install(daemon=_runs_daemon(sys.argv[1:]))
    from exporter.cli.main import main  # here: it takes a while, and a signal may arrive meanwhile

    return main()


if __name__ == "__main__":
    sys.exit(main())
