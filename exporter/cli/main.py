"""The command line: the table of commands, and how errors become messages and exit statuses.

Only the module of the command that runs is imported, so that `--version`, `--help` and `healthcheck` start quickly.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from exporter import __revision__, __version__
from exporter.cli.context import Context
from exporter.cli.flags import EXIT_STATUS
from exporter.cli.process import (
    OUTPUT_NOT_READ,
    disable_core_dumps,
    discard_output,
    open_standard_streams,
    output_is_read,
)
from exporter.errors import ExporterError
from exporter.redaction import Secrets
from exporter.settings.problems import BadSettings
from exporter.settings.values import nearest
from exporter.telemetry.standard_error import clean_errors

DESCRIPTION = """\
Prometheus exporter for the workloads that you run on DataRobot. It only sends GET requests to the Workload API.

  workload-exporter demo        a simulated fleet on http://127.0.0.1:10142/; needs no account
  workload-exporter             sweep and serve; needs DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN
  workload-exporter check       list every problem with the settings, without starting anything
"""
COMMANDS = {
    "run": "sweep the accounts and serve their metrics (default)",
    "demo": "run against a simulated DataRobot with a changing fleet; needs no account",
    "init": "write a settings file from a few answers or flags, after testing them",
    "check": "list every problem with the settings; with --online also test each API route and the trace collector",
    "verify": "compare a server with what is known about the API: routes, rights, assumptions, unknown fields",
    "bundle": "collect settings, metrics of the exporter, assumptions and log in one file, without names or secrets",
    "record": "record the API's responses to a file, without names, addresses, texts and secrets; --inspect shows it",
    "replay": "serve a recording as an API on this machine, in its own time or faster",
    "once": "make one sweep and print the metrics; exit 1 with the reason if it is incomplete",
    "explain": "diagnose one workload: what is wrong, the likely cause, and what to do next; needs no running daemon",
    "top": "show the workloads, the worst first, live in a terminal; from the running daemon, or --api",
    "waste": "list workloads of the running daemon that are idle or in a bundle that does not fit, by money per month",
    "objectives": "list the objectives of workloads, worst first, from the running daemon; --openslo exports them",
    "plan": "estimate the API requests per minute that these settings cause",
    "notify": "send a test notification to a receiver, resolve it, and print the responses",
    "healthcheck": "request /-/healthy from the running daemon; exit 0 if it is healthy",
    "silence": "list, add or end silences of the running daemon's direct paging",
    "state": "copy the state from a SQLite file to a PostgreSQL database, or back",
    "rules": "print the alert rules for Prometheus or the Prometheus operator",
    "runbook": "print what to do when an alert fires",
    "dashboards": "list the Grafana dashboards, or print one of them",
    "assets": "list, show or export files for other programs: rules, dashboards, provisioning, manifests, documents",
    "completion": "print the script that completes commands and flags in bash, zsh or fish",
    "man": "print the manual page, as for `workload-exporter man | man -l -`",
    "docs": "print the reference pages for metrics, settings and alerts, as in docs/",
}
"""Summaries of the commands. Each command is the module of its name in this folder."""


VERSION = f"workload-exporter {__version__}" + (f" ({__revision__})" if __revision__ else "")


class Command(Protocol):
    """What the module of a command defines."""

    def add_flags(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, context: Context) -> int:
        """Run the command; return the exit status."""


def command(name: str) -> Command:
    """Import the module of a command."""
    return cast(Command, import_module(f"exporter.cli.{name}"))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest what may be meant: for a flag, also one of which it is a part."""

    def error(self, message: str) -> NoReturn:
        super().error(message + self._suggestion(message))

    def _suggestion(self, message: str) -> str:
        unknown = re.search(r"(?:unrecognized arguments: |invalid choice: ')(-{0,2}[\w.-]+)", message)
        name = unknown[1] if unknown is not None else ""
        if name in _MEANT:
            return f"; did you mean {_MEANT[name]}?"
        if not name.startswith("-"):
            return nearest(name, COMMANDS) if name else ""
        flags = [flag for child in self._children() for flag in child._option_string_actions]  # noqa: SLF001 — no other way
        part = re.compile(rf"[.-]{re.escape(name.strip('-'))}([.-]|$)")
        return nearest(name, flags) or next((f"; did you mean {each!r}?" for each in flags if part.search(each)), "")

    def _children(self) -> Iterator[argparse.ArgumentParser]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 — no other way
                yield from action.choices.values()


_MEANT = {"--port": "--web.listen-address=:PORT", "--token": "the variable DATAROBOT_API_TOKEN"}
"""Flags of other programs, and what has their effect here."""


def parser(*names: str) -> argparse.ArgumentParser:
    """The parser of the command line. Only the named commands have their flags."""
    root = _Parser(
        "workload-exporter",
        description=DESCRIPTION,
        epilog=EXIT_STATUS + " `workload-exporter COMMAND --help` shows the flags of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a misspelled flag must not become another one
    )
    root.add_argument("--version", action="version", version=VERSION)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        description = summary[0].upper() + summary[1:] + "."
        child = commands.add_parser(name, help=summary, description=description, epilog=EXIT_STATUS, allow_abbrev=False)
        if name in names:
            command(name).add_flags(child)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 success, 1 failure, 2 invalid settings or usage, and 141 if what reads
    its output has ended, such as `head`.
    """
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # while the interpreter ends, a failure would be printed
    except BrokenPipeError:
        discard_output()
        return OUTPUT_NOT_READ
    except OSError as error:  # such as a full disk
        print(f"workload-exporter: standard output: {error.strerror}", file=sys.stderr)
        discard_output()
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "run")
    options = parser(given[0]).parse_args(given)
    open_standard_streams()
    disable_core_dumps()
    secrets = Secrets()
    try:
        with clean_errors(secrets.text):
            return command(options.command).run(Context(options, secrets))
    except BadSettings as error:
        for problem in error.problems:
            print(f"workload-exporter: {problem}", file=sys.stderr)
        if options.command == "run" and options.config_file is None:
            print("workload-exporter: to try it without an account: workload-exporter demo", file=sys.stderr)
            print("workload-exporter: to write a settings file: workload-exporter init", file=sys.stderr)
        return 2
    except ExporterError as error:
        for line in secrets.text(str(error)).splitlines():
            print(f"workload-exporter: {line}", file=sys.stderr)
        return 1
    except OSError as error:
        return _failed(error, secrets)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 — it ends the process in any case, but its text may contain a secret
        sys.stderr.write(secrets.text(traceback.format_exc()))
        return 1


def _failed(error: OSError, secrets: Secrets) -> int:
    """Print why the system refused something. Raises the error if it is that the output is no longer read."""
    if isinstance(error, BrokenPipeError) and not output_is_read():
        raise error
    print(f"workload-exporter: {secrets.text(error.strerror or str(error))}", file=sys.stderr)
    return 1
