"""One sweep of every account, without schedule, details, traces and web server."""

from __future__ import annotations

import asyncio

from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.daemon.publication import exposition
from exporter.settings.traces import TraceSettings


async def sweep_once(daemon: Daemon) -> tuple[bytes, str]:
    """Sweep every account of a daemon that does not run: the page, and why a sweep was not complete (empty: all were).

    Raises `BadSettings` for certificates that cannot be used.
    """
    settings, accounts = daemon.settings, daemon.accounts
    detail = settings.detail.model_copy(update={"enabled": False})
    new = Prepared(settings.model_copy(update={"detail": detail, "traces": TraceSettings.model_validate({})}))
    accounts.prepare(new, settings)
    accounts.replace(new, None)
    try:
        await asyncio.gather(*(monitor.sweep() for monitor in accounts.monitors.values()))
    finally:
        await accounts.aclose()
    page = exposition(settings.metrics)
    page.update(accounts.visible())
    failures = "; ".join(
        f"account {name}: {monitor.snapshot.failure}: {monitor.message}"
        for name, monitor in accounts.monitors.items()
        if monitor.snapshot.failure
    )
    return page.text() + daemon.report.text(), failures
