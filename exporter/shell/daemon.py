"""The daemon: APScheduler starts a sweep every interval, its page is published, uvicorn serves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

import uvicorn
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from exporter.core.exposition import Exposition
from exporter.core.step import Knowledge, step, visible
from exporter.shell.client import Client
from exporter.shell.report import Report
from exporter.shell.server import Application, published
from exporter.shell.sweep import sweep

log = logging.getLogger("exporter")


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: it would raise SIGTERM again after a clean stop, and we exit 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


class Options(NamedTuple):
    """What the daemon needs to know; times in seconds. The token is in no repr: see `__repr__`."""

    base: str
    token: str
    host: str = "127.0.0.1"
    port: int = 10142
    interval: float = 30.0
    account: str = "default"
    stale_after: float = 900.0

    def __repr__(self) -> str:
        return f"Options(base={self.base!r}, account={self.account!r}, token=<secret>)"


class Cycle:
    """One account: sweep, step, render, publish."""

    def __init__(self, options: Options, client: Client, report: Report, application: Application) -> None:
        self._options, self._client, self._report, self._application = options, client, report, application
        self._known = Knowledge(options.account)
        self._exposition = Exposition()
        self.failure = ""

    async def run(self) -> bytes:
        """Make one sweep and publish what is known after it; return the page."""
        began = time.monotonic()
        result = await sweep(self._client)
        now, seconds = time.time(), time.monotonic() - began
        self._known = step(self._known, result, now)
        self.failure = result.failure
        self._report.swept(result, self._known, seconds, self._options.interval)
        self._exposition.update(visible(self._known, now, self._options.stale_after))
        text = self._exposition.text() + self._report.text()
        reason = "" if self._known.succeeded else f"no complete sweep yet; the last one ended with: {result.failure}"
        self._application.publish(published(text, reason))
        log.log(
            logging.WARNING if result.failure else logging.INFO,
            "sweep account=%s workloads=%d rejects=%d seconds=%.3f failure=%s",
            self._options.account,
            len(self._known.workloads),
            len(result.rejects),
            seconds,
            result.failure or "none",
        )
        return text


async def run(options: Options) -> None:
    """Sweep and serve until SIGTERM or Ctrl-C."""
    report, application = Report(options.account), Application()
    async with Client(options.base, options.token, report) as client:
        cycle = Cycle(options, client, report, application)
        scheduler = AsyncIOScheduler()
        first = asyncio.create_task(cycle.run())
        scheduler.add_job(
            cycle.run, "interval", seconds=options.interval, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        scheduler.start()
        server = _Server(
            uvicorn.Config(
                application,
                host=options.host,
                port=options.port,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=40,
                timeout_graceful_shutdown=4,
            )
        )
        try:
            await server.serve()
        finally:
            first.cancel()
            scheduler.shutdown(wait=False)


async def once(options: Options) -> tuple[bytes, str]:
    """One sweep: the page, and why it was not complete (empty: it was)."""
    report = Report(options.account)
    async with Client(options.base, options.token, report) as client:
        cycle = Cycle(options, client, report, Application())
        return await cycle.run(), cycle.failure
