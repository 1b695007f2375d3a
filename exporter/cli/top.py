"""``top``: the workloads, the worst first, live on a terminal; from the running daemon, or straight from the API."""

from __future__ import annotations

import argparse
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from exporter.cli.context import Context
from exporter.cli.daemon_metrics import print_lines
from exporter.cli.flags import add_web_flags, duration
from exporter.cli.terminal import Terminal
from exporter.cli.top_screen import TRAFFIC_WIDTH, TopView, lines, pressed, printed
from exporter.cli.top_sources import DaemonSource, TopSource
from exporter.cli.top_table import SORTS, Explained
from exporter.cli.web_settings import daemon_address
from exporter.settings.problems import BadSettings

DUTY = 20
"""A table that takes some time to get is requested again after at least that many times as long."""
DETAIL_SECONDS = 5.0
TRAFFIC_SECONDS = 30.0
TICK_SECONDS = 1.0
"""Times on the screen are that exact."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument("--api", action="store_true", help="monitor the accounts of the settings; needs no daemon")
    parser.add_argument("--once", action="store_true", help="print the whole table and exit")
    parser.add_argument("--filter", default="", metavar="WORDS", help="only workloads that contain all of these words")
    parser.add_argument("--attention", action="store_true", help="only workloads that need attention")
    parser.add_argument("--sort", choices=tuple(SORTS), default="worst", help="default worst")
    parser.add_argument(
        "--interval", type=duration, default=5.0, metavar="DURATION", help="between two requests; default 5s"
    )


def run(context: Context) -> int:
    options = context.options
    problem = "" if options.once else _no_terminal()
    if problem:
        print(f"workload-exporter: {problem}: the table is printed once", file=sys.stderr)
    source = _source(context)
    view = TopView(source.name, words=options.filter, attention=options.attention, sort=options.sort)
    try:
        if options.once or problem:
            return _print_once(source, view)
        logging.disable()  # lines of a log would be written across the screen
        try:
            _show(source, view, options.interval)
        finally:
            logging.disable(logging.NOTSET)
        return 0
    finally:
        source.close()


def _source(context: Context) -> TopSource:
    if not context.options.api:
        return DaemonSource(daemon_address(context), _metrics_path(context))
    from exporter.cli.top_api import ApiSource  # here: it imports the daemon

    return ApiSource(context.settings(), context.reader())


def _metrics_path(context: Context) -> str:
    """Where the daemon serves metrics. Invalid settings do not matter: a daemon keeps its old ones."""
    try:
        return context.settings("replaced").web.telemetry_path
    except BadSettings:
        return "/metrics"


def _no_terminal() -> str:
    """Why nothing can be shown live; empty: it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "standard input and output are not a terminal"
    kind = os.environ.get("TERM", "")
    return f"TERM={kind} has no screen" if kind in ("", "dumb", "unknown") else ""


def _print_once(source: TopSource, view: TopView) -> int:
    view = _traffic(source)(view._replace(table=source.table()))
    print_lines(printed(view, datetime.now(UTC)))
    assert view.table is not None
    return 0 if all(each.listed for each in view.table.accounts) else 1


def _show(source: TopSource, view: TopView, interval: float) -> None:
    terminal = Terminal(not os.environ.get("NO_COLOR"), sys.stdout.encoding)
    requests = Requests(source, interval, terminal.wake)
    requests.start()
    with terminal.entered():
        while True:
            view = requests.applied(view)
            size = terminal.size
            terminal.draw(lines(view, *size, datetime.now(UTC)), size)
            for key in terminal.keys(TICK_SECONDS):
                if key == "redraw":
                    terminal.redraw()
                    continue
                after = pressed(view, key, size[1])
                if after is None:
                    return
                view = after
            key_of_page = view.selected if view.page in ("explain", "events") else None
            requests.want(key_of_page, traffic=size[0] >= TRAFFIC_WIDTH)


Change = Callable[[TopView], TopView]
"""What an answer changes in the view."""


class Requests(threading.Thread):
    """Requests the table, and what else is shown, again and again. `wake` is called for each answer."""

    def __init__(self, source: TopSource, interval: float, wake: Callable[[], None]) -> None:
        super().__init__(name="requests", daemon=True)
        self._source, self._interval, self._wake = source, interval, wake
        self._answers = queue.SimpleQueue[Change]()
        self._wanted: tuple[str, str] | None = None
        self._with_traffic = False
        self._changed = threading.Event()

    def want(self, key: tuple[str, str] | None, *, traffic: bool = False) -> None:
        """Request the details of this workload from now on, or, with None, of none; and the requests to all."""
        if (key, traffic) != (self._wanted, self._with_traffic):
            self._wanted, self._with_traffic = key, traffic
            self._changed.set()

    def applied(self, view: TopView) -> TopView:
        """The view with all answers since the last call."""
        while not self._answers.empty():
            view = self._answers.get()(view)
        return view

    def run(self) -> None:
        table_at = details_at = traffic_at = 0.0
        shown: tuple[str, str] | None = None
        while True:
            key = self._wanted
            if key != shown:
                shown, details_at = key, 0.0
            if key is not None and time.monotonic() >= details_at:
                self._answer(partial(_details, self._source, key))
                details_at = time.monotonic() + DETAIL_SECONDS
            if time.monotonic() >= table_at:
                took = self._answer(partial(_table, self._source))
                table_at = time.monotonic() + max(self._interval, DUTY * took if table_at else 0.0)
            if self._with_traffic and time.monotonic() >= traffic_at:
                took = self._answer(partial(_traffic, self._source))
                traffic_at = time.monotonic() + max(TRAFFIC_SECONDS, DUTY * took)
            times = [table_at, *([details_at] if key is not None else []), *([traffic_at] * self._with_traffic)]
            if self._changed.wait(max(0.0, min(times) - time.monotonic())):
                self._changed.clear()

    def _answer(self, request: Callable[[], Change]) -> float:
        """Make a request; returns how many seconds it took."""
        began = time.monotonic()
        self._answers.put(request())
        self._wake()
        return time.monotonic() - began


def _table(source: TopSource) -> Change:
    try:
        table = source.table()
    except Exception as error:  # noqa: BLE001 — the last table stays, with the reason
        now, reason = datetime.now(UTC), str(error)
        return lambda view: view._replace(lost=(now if view.lost is None else view.lost[0], reason))
    return lambda view: view._replace(table=table, lost=None)


def _details(source: TopSource, key: tuple[str, str]) -> Change:
    try:
        found: Explained | str = source.details(*key)
    except Exception as error:  # noqa: BLE001 — shown in its place
        found = str(error)
    return lambda view: view._replace(details=found) if view.page and view.selected == key else view


def _traffic(source: TopSource) -> Change:
    try:
        found = source.traffic()
    except Exception:  # noqa: BLE001 — a lost source is shown above the table
        found = {}
    return lambda view: view._replace(traffic=found)
