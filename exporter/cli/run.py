"""``run``: the daemon."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from exporter.cli.context import Context
from exporter.cli.flags import add_run_flags
from exporter.daemon.daemon import Daemon
from exporter.daemon.memory import limit_fragmentation
from exporter.settings.model import Settings
from exporter.simulator.api import TOKEN
from exporter.state.opened import open_leases, open_store

_SIMULATION = (
    "DATAROBOT_API_TOKEN is the token of the demo: this monitors its simulation, not DataRobot. To end that: "
    "unset DATAROBOT_ENDPOINT DATAROBOT_API_TOKEN"
)
add_flags: Callable[[argparse.ArgumentParser], None] = add_run_flags


def run(context: Context) -> int:
    settings = context.settings()
    note = _SIMULATION if os.environ.get("DATAROBOT_API_TOKEN") == TOKEN else ""
    if note:
        print(f"workload-exporter: {note}", file=sys.stderr)
    return run_daemon(settings, context.reader(), note, context.settings_files)


def run_daemon(
    settings: Settings,
    read: Callable[[], Settings],
    note: str = "",
    settings_files: Sequence[Path] = (),
    introduction: str = "",
) -> int:
    """Run the daemon until a signal stops it.

    `read` reads the settings again for a reload, from `settings_files`; `note` is shown at the top of the status page,
    `introduction` is printed when the address of the page is bound.
    """

    def introduce() -> None:
        if introduction:
            print(introduction, file=sys.stderr, flush=True)

    async def serve() -> None:
        await Daemon(settings, read).check()  # before a state file is made
        leased = settings.select.leased
        store = open_store(settings.state, shared=leased)
        try:
            leases = open_leases(settings.state, settings.web.advertise_url) if leased else None
            daemon = Daemon(settings, read, store=store, note=note, settings_files=settings_files, leases=leases)
            daemon.log_to(settings)
            if store.aside is not None:
                print(
                    f"workload-exporter: the state file could not be used and was renamed to {store.aside}",
                    file=sys.stderr,
                )
            await daemon.run(introduce)
        finally:
            store.close()

    limit_fragmentation()
    uvloop.run(serve())
    return 0
