"""Children that watch an API for one cycle each, to be killed at any moment; forked, so that each is there at once.

Reads ``{"url": …, "path": …, "now": …}`` a line; forks a child that restores the state at `path`, sweeps, looks at all
details, writes the state after each step as the daemon does, says ``done`` and ends. Says ``pid N`` first.
"""

import asyncio
import json
import logging
import os
import sys
import time
from pathlib import Path

from exporter.core.lane import Policy
from exporter.core.step import restored
from exporter.shell.client import Client
from exporter.shell.report import Report
from exporter.shell.store import Store
from exporter.shell.watch import Clock, Plan, Watch

PARTS = frozenset({"pods", "events"})


async def cycle(url: str, path: Path, now: float) -> None:
    """One sweep and all details that are due, with the state written after each step."""
    store = Store(path)
    state = store.load("acme")
    report = Report(now).account("acme", 30.0, 1000.0)
    client = Client(url, lambda: "demo-token", report, rate=1000.0)
    plan = Plan(900.0, details=Policy(parts=PARTS), rate=1000.0)
    watch = Watch(
        restored("acme", state.ledgers, state.tally), client, report, plan, Clock(lambda: now, time.monotonic)
    )

    def commit() -> None:
        pending = watch.pending()
        store.commit("acme", pending.ledgers, pending.tally)
        watch.kept(pending)

    await watch.sweep()
    commit()
    assert watch.lane is not None
    while await watch.lane.turn():
        commit()
    commit()
    await watch.close()
    store.close()


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            logging.disable()
            try:
                asyncio.run(cycle(asked["url"], Path(asked["path"]), asked["now"]))
                os.write(1, b"done\n")
                code = 0
            finally:
                os._exit(code)
        os.write(1, f"pid {child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
