"""The life of the running daemon: start, timers, and one deadline for everything that is to be stopped.

The page is published after each sweep and on a timer. The timer is independent of the sweeps, so a sweep that hangs
neither keeps deleted workloads on the page nor stops the heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from exporter import __version__, signals
from exporter.daemon.event_loop import measure_lag
from exporter.daemon.prepared import Prepared
from exporter.log import log
from exporter.web.server import Server
from exporter.web.web_config import WebSecurity

if TYPE_CHECKING:
    from exporter.daemon.daemon import Daemon

CLOSE_SECONDS = 3.0
"""Seconds in which everything stops together; what does not is cancelled."""
REFRESH_SECONDS = 5.0
"""Seconds between two publications if no sweep ends, and between two checks of files."""


async def run(daemon: Daemon, bound: Callable[[], None]) -> None:
    """See `Daemon.run`."""
    new = Prepared(daemon.settings)
    try:
        daemon.prepare(new)
        server, security = _server(daemon)
        bound()
    except BaseException:
        await new.aclose()
        raise
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    with signals.handled(
        stop=lambda: loop.call_soon_threadsafe(stopped.set),
        reload=lambda: loop.call_soon_threadsafe(lambda: daemon.tasks.start(daemon.reload())),
    ):
        daemon.garbage.start()
        await _start(daemon, new)
        serving = asyncio.create_task(server.run_until_stopped())
        timers = [
            asyncio.create_task(each)
            for each in (
                _refresh(daemon, security),
                _watch_files(daemon),
                measure_lag(daemon.report, daemon.clock.steady),
                *([daemon.leases.run()] if daemon.leases is not None else []),
            )
        ]
        await asyncio.wait({serving, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for timer in timers:
            timer.cancel()
        server.stop()
        await _stop(daemon, serving)
        if not stopped.is_set():
            serving.result()  # the server ended by itself: with an exception


def _server(daemon: Daemon) -> tuple[Server, WebSecurity | None]:
    """The web server, not yet listening. Raises as `Daemon.run`."""
    web = daemon.settings.web
    security = None if web.config_file is None else WebSecurity(web.config_file)
    if security is not None:
        daemon.application.passwords = security.passwords
    server = Server(daemon.application, web.listen_address, lambda: None if security is None else security.tls)
    daemon.publication.connections = server.connections
    return server, security


async def _start(daemon: Daemon, new: Prepared) -> None:
    """Start everything but the web server."""
    daemon.files.in_force = new.contents
    if lost := daemon.store.lost:
        daemon.report.count("state_lost", "transactions", by=lost)
        log.warning("the last changes of the state are lost: its log was damaged", transactions=lost)
    async with daemon.reloader.lock:  # a reload requested by now waits until everything is started
        daemon.running = True
        daemon.traces.replace(new)
        daemon.metric_export.replace(new)
        daemon.event_export.replace(new)
        daemon.replace_accounts(new)
        daemon.accounts.start_polling()
        await daemon.paging.replace(new.settings, new.take_notifiers())
        await new.aclose()
    daemon.schedule.start()
    web = daemon.settings.web
    log.info(
        "serving",
        version=__version__,
        metrics=", ".join(address + web.telemetry_path for address in web.listen_address),
        accounts=", ".join(account.name for account in daemon.settings.accounts),
    )


async def _refresh(daemon: Daemon, security: WebSecurity | None) -> None:
    while True:
        try:
            daemon.schedule.follow_clock()
            if security is not None:
                daemon.tasks.start(security.refresh())
        except Exception:  # anything: it must not end this timer
            log.exception("the schedule could not be checked")
        await daemon.refresh_page()
        await asyncio.sleep(REFRESH_SECONDS)  # the timer of publications


async def _watch_files(daemon: Daemon) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)  # the timer of files
        await daemon.watch_files()


async def _stop(daemon: Daemon, serving: asyncio.Task[None]) -> None:
    """Stop everything at once, within `CLOSE_SECONDS` together, whatever hangs."""
    daemon.reloader.stopping = True
    daemon.schedule.stop()

    async def close_accounts() -> None:
        if daemon.leases is not None:
            await daemon.leases.stop()
        await daemon.accounts.aclose()
        await daemon.state.commit()

    exports = daemon.traces, daemon.metric_export, daemon.event_export
    parts = close_accounts(), daemon.paging.aclose(), *(export.aclose() for export in exports)
    done, late = await asyncio.wait([serving, *map(asyncio.create_task, parts)], timeout=CLOSE_SECONDS)
    for task in late:
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("stopping failed in part", exc_info=error)
    if daemon.leases is not None:
        await daemon.leases.leave()  # after everything was written
        await asyncio.to_thread(daemon.leases.close)
    await asyncio.to_thread(daemon.store.close)
