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

from exporter.cli.context import Context
from exporter.cli.daemon_metrics import print_lines
from exporter.cli.flags import add_web_flags, duration
from exporter.cli.terminal import Terminal
from exporter.cli.top_screen import TopView, lines, pressed, printed, selected
from exporter.cli.top_sources import DaemonSource, SourceLost, TopSource
from exporter.cli.top_table import SORTS, Explained, TopTable
from exporter.cli.web_settings import daemon_address

DUTY = 20
"""A table that takes some time to get is requested again after at least that many times as long."""
DETAIL_SECONDS = 5.0
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
        return DaemonSource(daemon_address(context))
    from exporter.cli.top_api import ApiSource  # here: it imports the daemon

    return ApiSource(context.settings(), context.reader())


def _no_terminal() -> str:
    """Why nothing can be shown live; empty: it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "standard input and output are not a terminal"
    kind = os.environ.get("TERM", "")
    return f"TERM={kind} has no screen" if kind in ("", "dumb", "unknown") else ""


def _print_once(source: TopSource, view: TopView) -> int:
    view = view._replace(table=source.table())
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
            row = selected(view) if view.page in ("explain", "events") else None
            requests.want(None if row is None else row.key)


class Requests(threading.Thread):
    """Requests the table, and the details of one workload, again and again. `wake` is called for each answer."""

    def __init__(self, source: TopSource, interval: float, wake: Callable[[], None]) -> None:
        super().__init__(name="requests", daemon=True)
        self._source, self._interval, self._wake = source, interval, wake
        self._answers: queue.SimpleQueue[tuple[tuple[str, str] | None, TopTable | Explained | str]] = (
            queue.SimpleQueue()
        )
        self._wanted: tuple[str, str] | None = None
        self._changed = threading.Event()

    def want(self, key: tuple[str, str] | None) -> None:
        """Request the details of this workload from now on; None: of none."""
        if key != self._wanted:
            self._wanted = key
            self._changed.set()

    def applied(self, view: TopView) -> TopView:
        """The view with all answers since the last call."""
        while not self._answers.empty():
            key, answer = self._answers.get()
            if key is not None:
                row = selected(view) if view.page else None
                view = view._replace(details=answer) if row is not None and row.key == key else view  # type: ignore[arg-type]
            elif isinstance(answer, TopTable):
                view = view._replace(table=answer, lost=None)
            else:
                since = datetime.now(UTC) if view.lost is None else view.lost[0]
                view = view._replace(lost=(since, str(answer)))
        return view

    def run(self) -> None:
        table_at = details_at = 0.0
        shown: tuple[str, str] | None = None
        while True:
            key = self._wanted
            if key != shown:
                shown, details_at = key, 0.0
            if key is not None and time.monotonic() >= details_at:
                self._answer(key, lambda key=key: self._source.details(*key))  # type: ignore[misc]
                details_at = time.monotonic() + DETAIL_SECONDS
            if time.monotonic() >= table_at:
                began = time.monotonic()
                self._answer(None, self._source.table)
                ended = time.monotonic()
                table_at = ended + max(self._interval, DUTY * (ended - began) if table_at else 0.0)
            next_at = min(table_at, details_at) if key is not None else table_at
            if self._changed.wait(max(0.0, next_at - time.monotonic())):
                self._changed.clear()

    def _answer(self, key: tuple[str, str] | None, request: Callable[[], TopTable | Explained]) -> None:
        try:
            answer: TopTable | Explained | str = request()
        except SourceLost as error:
            answer = str(error)
        self._answers.put((key, answer))
        self._wake()
