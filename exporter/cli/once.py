"""``once``: one sweep of every account, printed."""

from __future__ import annotations

import asyncio
import sys

from exporter.cli.context import Context
from exporter.cli.flags import add_settings_flags as add_flags  # noqa: F401 — part of a command
from exporter.daemon.daemon import Daemon
from exporter.daemon.once import sweep_once


def run(context: Context) -> int:
    settings = context.settings()

    async def once() -> tuple[bytes, str]:
        daemon = Daemon(settings, context.reader())
        daemon.log_to(settings, background=False)
        return await sweep_once(daemon)

    page, failures = asyncio.run(once())
    sys.stdout.buffer.write(page)
    sys.stdout.buffer.flush()
    if failures:
        print(f"workload-exporter: incomplete sweep: {failures}", file=sys.stderr)
    return 1 if failures else 0
