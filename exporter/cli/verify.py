"""``verify``: compare a real server with what the exporter knows and assumes about the API."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
from pathlib import Path

from exporter.cli import verify_report
from exporter.cli.api_client import api_client_of
from exporter.cli.context import Context
from exporter.cli.flags import EXIT_STATUS, add_settings_flags, positive_integer
from exporter.cli.verification import MeasuringClient, Progress, Verified, verified
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings

SAMPLE = 20
UNEXPECTED = 3
"""Exit status if the server differs from what is expected."""
BAR = 24
"""Characters of the progress bar."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    parser.add_argument("--account", metavar="NAME", help="verify only this account; default: all")
    parser.add_argument(
        "--workloads",
        type=positive_integer,
        default=SAMPLE,
        metavar="N",
        help=f"read the details of so many workloads; default {SAMPLE}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON with stable keys")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.md",
        help="also write a report that can be published: without names, ids, hosts, messages and values of the server",
    )
    parser.epilog = (
        f"{EXIT_STATUS} This command also exits with {UNEXPECTED} if a route is refused, a part of a response cannot "
        "be read, or an assumption is contradicted."
    )


def run(context: Context) -> int:
    options, settings = context.options, context.settings()
    accounts = [account for account in settings.accounts if options.account in (None, account.name)]
    if not accounts:
        names = ", ".join(account.name for account in settings.accounts)
        print(f"workload-exporter: no account is called {options.account}; accounts: {names}", file=sys.stderr)
        return 2
    found: dict[str, Verified] = {}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the encoding may lack characters of a value
    for each in accounts:
        found[each.name] = asyncio.run(_verified(context, settings, each))
        if not options.json:
            print("\n".join(verify_report.text(each.name, each.endpoint, found[each.name])), flush=True)
    if options.json:
        shown = [{"account": each.name, "endpoint": each.endpoint} for each in accounts]
        bodies = [verify_report.as_json(found[each.name]) for each in accounts]
        print(json.dumps({"accounts": [name | body for name, body in zip(shown, bodies, strict=True)]}, indent=2))
    if options.report is not None:
        options.report.write_text("\n".join(verify_report.report(found)), encoding="utf-8")
    if any(each.failure for each in found.values()):
        return 1
    return 0 if all(each.as_expected for each in found.values()) else UNEXPECTED


async def _verified(context: Context, settings: Settings, account: AccountSettings) -> Verified:
    progress = bar(account.name) if sys.stderr.isatty() else _no_progress
    async with api_client_of(MeasuringClient, account, context.secrets) as client:
        try:
            return await verified(client, context.options.workloads, settings.detail.slow_requests, progress)
        finally:
            if sys.stderr.isatty():
                print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _no_progress(done: int, steps: int, what: str) -> None:
    """Show nothing: standard error is not a terminal."""


def bar(account: str) -> Progress:
    """A progress bar on standard error."""

    def show(done: int, steps: int, what: str) -> None:
        filled = BAR * done // max(steps, 1)
        line = f"\r\x1b[2K{account} [{'#' * filled}{'.' * (BAR - filled)}] {done}/{steps} {what}"
        print(line, end="", file=sys.stderr, flush=True)

    return show
