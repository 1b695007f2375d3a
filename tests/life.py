"""A daemon with traces in virtual time, with a real API, state file and collector."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from exporter.daemon.daemon import Daemon
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.simulator import Simulator
from exporter.state.store import Store
from tests.daemon.parts import use_accounts, use_traces
from tests.daemon.test_daemon import START, Time

SWEEP_SECONDS, POLL_SECONDS = 30.0, 5.0


class _FastTime(Time):
    """Virtual time in which requests are spaced normally, but longer waits, such as of the sender, end immediately."""

    async def pause(self, seconds: float) -> None:
        if seconds < 1.0:
            await super().pause(seconds)
        else:
            await asyncio.sleep(0.005)  # real time for other tasks


class Life:
    """The life of a daemon on a simulated fleet, with one request at a time, so that every life is the same.

    It starts at `born`, in seconds since the epoch. Its state is in `folder`, unless a `store` is given. `settings` are
    further settings.
    """

    def __init__(
        self, simulator: Simulator, folder: Path, store: Store | None = None, *, born: float = START, **settings: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / "exporter.yaml"
        self._account = {
            "name": "eu", "endpoint": simulator.url, "token": simulator.token,
            "requests_per_second": 100, "concurrency": 1,
        }  # fmt: skip
        self.time, self.store = _FastTime(), store or Store(folder / "state.db")
        self.time.wall = self._born = born
        simulator.clock = lambda: self.time.wall
        loaded = self._written(settings)
        self.daemon = Daemon(loaded, lambda: load(self._file, {}), clock=self.time.clock, store=self.store)
        use_accounts(self.daemon, loaded)
        use_traces(self.daemon, loaded.traces)

    def _written(self, settings: Any) -> Settings:
        parts = {"detail": {"parts": ["pods", "events", "replacement"]}}
        self._file.write_text(yaml.safe_dump({"accounts": [self._account], **parts, **settings}))
        return load(self._file, {})

    async def reload(self, **settings: Any) -> None:
        """Reload with other settings."""
        self._written(settings)
        assert await self.daemon.reload() == []

    async def until(self, minutes: float) -> None:
        """Sweep and poll details until `minutes` after the start."""
        while self.time.wall < self._born + minutes * 60:
            begun = self.time.wall
            await self.daemon.sweep("eu")
            poller = self.daemon.accounts.monitors["eu"].poller
            assert poller is not None
            while self.time.wall < begun + SWEEP_SECONDS:
                while await poller.turn():
                    pass
                self.time.pass_(min(POLL_SECONDS, max(0.1, begun + SWEEP_SECONDS - self.time.wall)))

    async def sent(self) -> None:
        """Wait until the outbox is empty."""
        async with asyncio.timeout(60):
            while self.store.outbox().traces:  # noqa: ASYNC110 — another thread or process sends them
                await asyncio.sleep(0.01)  # polling interval

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for monitor in self.daemon.accounts.monitors.values():
            await monitor.close()
        if self.daemon.traces.sender is not None:
            await self.daemon.traces.sender.close()
        self.store.close()
