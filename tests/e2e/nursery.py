"""Children that watch an API for one cycle each, to be killed at any moment; forked, so that each is there at once.

Reads orders, a line of JSON each, as `Nursery.live` gives them; forks a child that does what the daemon does: it
restores the state at `path`, sweeps, polls all details, sweeps again, writes the state and pages after each step, sends
traces meanwhile and once more at its end, says ``done`` and ends. Says ``pid N`` first.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.alerting.alerts import ALERTS
from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.fleet.ledger import Ledger, Tally
from exporter.otlp.sender import Sender
from exporter.otlp.transport import transport
from exporter.settings.model import Settings
from exporter.state.store import EncodedTrace, Queue, Store, StoredPaging
from tests.daemon.parts import use_accounts, use_paging

POINTS = (
    "before commit", "within commit", "after commit", "before removal", "after removal", "before pages are stored",
    "after pages are stored",
)  # fmt: skip
"""Where a child may be killed: around the commit of traces, around their removal once they were accepted, and around
writes of what receivers were notified of.
"""


class Nursery:
    """The process that bears the children. `child` is the one that lives now.

    `usual`: how long the last completed child lived, in seconds. It varies with the load of the machine.
    """

    def __init__(self) -> None:
        self.child, self.usual = 0, 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def live(
        self,
        url: str,
        path: Path,
        now: float,
        lifetime: float | None = None,
        *,
        collector: str,
        webhook: str,
        dies: str = "",
    ) -> tuple[bool, int]:
        """Let one child live so long (None: to its end); returns whether it was done, and its exit status.

        `collector`: where it sends traces; `webhook`: pages; `dies`: the one of `POINTS` at which it ends itself.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        orders = {
            "url": url, "path": str(path), "now": now, "collector": collector, "webhook": webhook, "dies": dies,
        }  # fmt: skip
        began = time.monotonic()
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()
        timer: threading.Timer | None = None
        done = False
        while True:
            word, *more = self.process.stdout.readline().split()
            if word == "pid":
                self.child = int(more[0])
                if lifetime is not None:
                    timer = threading.Timer(lifetime, self.kill)
                    timer.start()
            elif word == "done":
                done = True
            elif word == "ended":
                if timer is not None:
                    timer.cancel()
                    timer.join()
                if done:
                    self.usual = time.monotonic() - began
                return done, int(more[0])

    def kill(self) -> None:
        """Kill the child, if it has not just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)

    def close(self) -> None:
        """Bear no more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class _Fatal(list[EncodedTrace]):
    """Its reader was killed after reading all of it."""

    def __iter__(self) -> Iterator[EncodedTrace]:
        yield from super().__iter__()
        os.kill(os.getpid(), signal.SIGKILL)


class _Mortal(Store):
    """A state file at which its process dies once it comes to the point `dies`."""

    def __init__(self, path: Path, dies: str) -> None:
        super().__init__(path)
        self._dies = dies

    def _at(self, point: str) -> None:
        if self._dies == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(
        self,
        account: str,
        ledgers: Mapping[str, Ledger | None],
        tally: Tally | None = None,
        traces: Sequence[EncodedTrace] = (),
        max_bytes: int | None = None,
    ) -> int:
        if not traces:
            return super().commit(account, ledgers, tally)
        self._at("before commit")
        batch = _Fatal(traces) if self._dies == "within commit" else traces
        capped = super().commit(account, ledgers, tally, batch, max_bytes)
        self._at("after commit")
        return capped

    def save_paging(self, now: StoredPaging, before: StoredPaging) -> None:
        self._at("before pages are stored")
        super().save_paging(now, before)
        self._at("after pages are stored")

    def remove(self, seqs: Collection[int], queue: Queue = "outbox") -> None:
        self._at("before removal")
        super().remove(seqs, queue)
        self._at("after removal")


class _Turns:
    """The pauses of the pager, which a test ends."""

    def __init__(self) -> None:
        self._waits, self._ended = asyncio.Event(), asyncio.Event()

    async def pause(self, seconds: float) -> None:
        if seconds < 1.0:  # between two requests
            await asyncio.sleep(seconds)  # as short in real time
            return
        self._waits.set()
        await self._ended.wait()
        self._ended.clear()

    async def turn(self) -> None:
        """Let the pager evaluate and notify once more."""
        await self._waits.wait()
        self._waits.clear()
        self._ended.set()
        await self._waits.wait()


async def cycle(orders: Mapping[str, Any]) -> None:
    """Two sweeps with all details that are due between them, and after each step pages, the state and traces."""
    settings = Settings.model_validate(
        {
            "accounts": [
                {"name": "acme", "endpoint": orders["url"], "token": "demo-token", "requests_per_second": 1000}
            ],
            "detail": {"parts": ["pods", "events"]},
            "traces": {"endpoint": orders["collector"]},
            "alerts": {"wait": {alert.name: alert.wait / 10 for alert in ALERTS},
                       "keep": {alert.name: max(alert.keep) / 10 for alert in ALERTS}},
            "paging": {"who": "direct", "receivers": [{"name": "hook", "kind": "webhook", "url": orders["webhook"]}]},
        }
    )  # fmt: skip
    store, turns = _Mortal(Path(orders["path"]), orders["dies"]), _Turns()
    clock = Clock(lambda: orders["now"], time.monotonic, turns.pause)
    daemon = Daemon(settings, lambda: settings, clock=clock, store=store)
    use_accounts(daemon, settings)
    await use_paging(daemon, settings)
    monitor = daemon.accounts.monitors["acme"]
    sender = Sender(
        store, transport(settings.traces), daemon.report, settings.traces, clock._replace(pause=asyncio.sleep)
    )
    sender.start()
    await monitor.sweep()
    await daemon.state.commit()
    assert monitor.poller is not None
    while await monitor.poller.turn():
        await daemon.state.commit()
    await turns.turn()
    await monitor.sweep()  # an episode is settled after two sweeps without it
    await daemon.state.commit()
    await turns.turn()
    await sender.close(10.0)
    await daemon.paging.aclose()
    await monitor.close()
    store.close()


def main() -> None:
    for line in sys.stdin:
        orders = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            logging.disable()
            try:
                asyncio.run(cycle(orders))
                os.write(1, b"done\n")
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        os.write(1, f"pid {child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
