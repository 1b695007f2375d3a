"""A daemon with traces that lives as fast as the machine can: API, state and collector are real, time is made."""

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

SWEEP, LOOK = 30.0, 5.0


class _Hurried(Time):
    """Requests are spaced as they should be; who waits for longer, such as for a trace to send, looks again at once."""

    async def pause(self, seconds: float) -> None:
        if seconds < 1.0:
            await super().pause(seconds)
        else:
            await asyncio.sleep(0.005)  # real time for what goes on beside


class Life:
    """The life of a daemon on a simulated fleet. One request at a time, so that each life is like the other.

    It begins at `born`, in seconds since the epoch. Its state is kept in `folder`, unless a `store` is given. `told`
    are more settings.
    """

    def __init__(
        self, simulator: Simulator, folder: Path, store: Store | None = None, *, born: float = START, **told: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / "exporter.yaml"
        self._account = {
            "name": "eu", "endpoint": simulator.url, "token": simulator.token,
            "requests_per_second": 100, "concurrency": 1,
        }  # fmt: skip
        self.time, self.store = _Hurried(), store or Store(folder / "state.db")
        self.time.wall = self._born = born
        simulator.clock = lambda: self.time.wall
        settings = self._written(told)
        self.daemon = Daemon(settings, lambda: load(self._file, {}), clock=self.time.clock, store=self.store)
        use_accounts(self.daemon, settings)
        use_traces(self.daemon, settings.traces)

    def _written(self, told: Any) -> Settings:
        parts = {"detail": {"parts": ["pods", "events", "replacement"]}}
        self._file.write_text(yaml.safe_dump({"accounts": [self._account], **parts, **told}))
        return load(self._file, {})

    async def reload(self, **told: Any) -> None:
        """Other settings from now on."""
        self._written(told)
        assert await self.daemon.reload() == []

    async def until(self, minutes: float) -> None:
        """Sweep and look at details, until so many minutes since birth."""
        while self.time.wall < self._born + minutes * 60:
            begun = self.time.wall
            await self.daemon.sweep("eu")
            lane = self.daemon.accounts.monitors["eu"].poller
            assert lane is not None
            while self.time.wall < begun + SWEEP:
                while await lane.turn():
                    pass
                self.time.pass_(min(LOOK, max(0.1, begun + SWEEP - self.time.wall)))

    async def sent(self) -> None:
        """Wait until no trace waits."""
        async with asyncio.timeout(20):
            while self.store.outbox().traces:  # noqa: ASYNC110 — another process or thread takes them
                await asyncio.sleep(0.01)  # between two looks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for monitor in self.daemon.accounts.monitors.values():
            await monitor.close()
        if self.daemon.traces.sender is not None:
            await self.daemon.traces.sender.close()
        self.store.close()
