"""``record``: sweeps an account for a while and writes what the API responds to a file; ``--inspect`` shows it."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from exporter import __version__
from exporter.cli.api_client import api_client
from exporter.cli.context import Context
from exporter.cli.flags import add_settings_flags, duration
from exporter.cli.terminal import safe
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor
from exporter.collect.account_state import AccountState
from exporter.collect.log_tail import SIGN_LINES, read_log
from exporter.collect.recording_file import RecordingError, RecordingFile, read_recording
from exporter.daemon.accounts import plan
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.log_signs import is_worth_reading
from exporter.fleet.reconcile import Snapshot
from exporter.recording.lines import Lines, RecordedLine, TextCounts
from exporter.recording.redactor import Redactor, counted
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings
from exporter.telemetry.report import AccountReport, Report

LOGS_SECONDS = 300.0
"""Time between two passes that read the logs of workloads with problems."""
MAX_LOGS = 50
"""Logs that one pass reads."""
_IDS = re.compile(r"x?[0-9a-f]{16,24}")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="the recording, a new file, such as NAME.rec")
    parser.add_argument(
        "--for", dest="seconds", type=duration, default=600.0, metavar="DURATION", help="how long; default 10m"
    )
    parser.add_argument("--account", metavar="NAME", help="the account to record; needed if there are several")
    parser.add_argument("--inspect", action="store_true", help="show FILE in a readable form, and record nothing")
    parser.add_argument("--bodies", action="store_true", help="with --inspect: also the bodies of all responses")


def run(context: Context) -> int:
    options = context.options
    if options.inspect:
        return inspect(options.file, bodies=options.bodies)
    settings = context.settings()
    accounts = [account for account in settings.accounts if options.account in (None, account.name)]
    if len(accounts) != 1:
        names = ", ".join(account.name for account in settings.accounts)
        print(f"workload-exporter: name one account with --account: {names}", file=sys.stderr)
        return 2
    return asyncio.run(_recorded(context, settings, accounts[0], options.file, options.seconds))


async def _recorded(context: Context, settings: Settings, account: AccountSettings, path: Path, seconds: float) -> int:
    started, interval, stop = time.time(), settings.sweep.interval, asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    redactor = Redactor(secrets.token_bytes(32), started)
    with RecordingFile(path, Lines(redactor, __version__, interval), time.time) as file:
        async with api_client(account, context.secrets, file.add) as client:
            report = AccountReport(Report(started), account.name, interval)
            monitor = AccountMonitor(
                AccountState(Snapshot(account.name)), client, report, plan(account, settings), Clock()
            )
            watching = asyncio.create_task(_watched(file, started, seconds, stop))
            try:
                await _swept(monitor, settings, stop)
            finally:
                watching.cancel()
                await monitor.close()
    if file.problem:
        raise RecordingError(file.problem)
    print(f"{path}: {file.responses} responses in {time.time() - started:.0f} s, {file.bytes / 1000:.0f} kB")
    _print_counts(redactor.kept, redactor.replaced)
    print(f"Look through it before you send it: workload-exporter record --inspect --bodies {path}")
    if monitor.message:
        print(f"workload-exporter: the last sweep failed: {monitor.message}", file=sys.stderr)
    return 1 if monitor.message else 0


async def _swept(monitor: AccountMonitor, settings: Settings, stop: asyncio.Event) -> None:
    """Sweep and poll until `stop` is set, also in the middle of a sweep."""
    stopped = asyncio.create_task(stop.wait())
    monitor.start()
    logs, number = float("-inf"), 0
    try:
        while not stopped.done():
            begun = time.monotonic()
            sweep = asyncio.create_task(monitor.sweep())
            await asyncio.wait((sweep, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not sweep.done():
                sweep.cancel()
            elif number and begun - logs >= LOGS_SECONDS:
                logs = begun
                reading = asyncio.create_task(_logs(monitor, settings))
                await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
            number += 1
            left = begun + settings.sweep.interval - time.monotonic()
            await asyncio.wait((stopped,), timeout=max(0.0, left))
    finally:
        stopped.cancel()


async def _logs(monitor: AccountMonitor, settings: Settings) -> None:
    """Read the logs that pages about these workloads would read."""
    now, wanted = time.time(), []
    for state in monitor.visible():
        found = diagnosis(state, now, settings.alerts.options)
        if found.severity and is_worth_reading(found.cause.next_step):
            wanted.append(state.workload.id)
    for workload in wanted[:MAX_LOGS]:
        await read_log(monitor.client, workload, SIGN_LINES)


async def _watched(file: RecordingFile, started: float, seconds: float, stop: asyncio.Event) -> None:
    """Stop after some seconds, or when nothing can be written any more; show the progress on a terminal."""
    shown = sys.stderr.isatty()
    while not file.problem and (past := time.time() - started) < seconds:
        if shown:
            text = f"{min(past / seconds, 1):4.0%}  {file.responses} responses, {file.bytes / 1000:.0f} kB"
            print(f"\r{text}; Ctrl-C ends the recording", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(min(1.0, seconds - past))  # the interval of the progress
    if shown:
        print(file=sys.stderr)
    stop.set()


def inspect(path: Path, *, bodies: bool) -> int:
    """Print a recording, which may be that of others: each response, and what there is of each route."""
    header, lines = read_recording(path)
    routes: Counter[tuple[str, int]] = Counter()
    last, counts = 0.0, None
    print(
        f"Recorded by workload-exporter {safe(header.exporter)}. "
        "All times are moved: it starts in the first minute of 2020."
    )
    for line in lines:
        if isinstance(line, TextCounts):
            counts = line
            continue
        last = line.at
        routes[_IDS.sub("ID", line.path), line.status] += 1
        request = safe(f"{line.path}?{line.query}" if line.query else line.path)
        print(f"{line.at:10.3f} s  {line.status or '---'}  {request}  {_size(line)}")
        if bodies and not (line.same or line.other or line.empty):
            print(json.dumps(json.loads(bytes(line.body)), indent=2, ensure_ascii=True))
    print(f"\n{last:.0f} s")
    for (route, status), number in sorted(routes.items()):
        print(f"{number:8}  {status or '---'}  {safe(route)}")
    if counts is None:
        print("It was not completed: there are no counts of what was replaced.")
    else:
        _print_counts(counts.kept, counts.replaced)
    return 0


def _size(line: RecordedLine) -> str:
    if line.same:
        return "as before"
    return "not JSON, left out" if line.other else "no body" if line.empty else f"{len(bytes(line.body))} B"


def _print_counts(kept: dict[str, int] | Counter[str], replaced: dict[str, int] | Counter[str]) -> None:
    print(f"\nTexts by field {'kept':>20} {'replaced':>10}")
    for text in counted(kept, replaced):
        print(safe(text))
