"""The API as the source of `top`."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from exporter.cli.top_sources import SourceLost, decoded, path_of
from exporter.cli.top_table import Explained, TopTable, TopTraffic, traffic_of
from exporter.daemon import views
from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.daemon.publication import exposition
from exporter.settings.model import Settings
from exporter.settings.paging import PagingSettings
from exporter.settings.traces import TraceSettings

NEVER_SECONDS = 1e9
_R = TypeVar("_R")


class ApiSource:
    """The accounts of the settings, which are swept and polled as by the daemon, within their budgets, from now on.

    Raises `BadSettings` for certificates that cannot be used.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        sweep = settings.sweep.model_copy(update={"stale_after": NEVER_SECONDS})  # the last table stays
        traces, paging = TraceSettings.model_validate({}), PagingSettings.model_validate({})
        self._settings = settings.model_copy(update={"sweep": sweep, "traces": traces, "paging": paging})
        self.name = "API, " + ", ".join(f"account {each.name}" for each in settings.accounts)
        self._daemon = Daemon(self._settings, read)
        self._pages = views.Pages(
            lambda: self._settings, lambda: self._daemon.accounts.monitors, lambda: None, lambda: None, time.time, ""
        )
        self._loop = asyncio.new_event_loop()
        self._swept = asyncio.Event()
        new = Prepared(self._settings)
        self._loop.run_until_complete(self._use(new))
        self._sweeping = self._loop.create_task(self._sweep())
        self._thread = threading.Thread(target=self._loop.run_forever, name="api", daemon=True)
        self._thread.start()

    def table(self) -> TopTable:
        return decoded(self._called(self._table()), TopTable)

    def details(self, account: str, workload_id: str) -> Explained:
        _, query = path_of(account, workload_id)
        status, body = self._called(self._pages.workload.json(workload_id, query))
        if status != 200:
            raise SourceLost(f"{workload_id}: {json.loads(body)['error']}")
        return decoded(body, Explained)

    def traffic(self) -> Mapping[tuple[str, str], TopTraffic]:
        return self._called(self._traffic())

    def close(self) -> None:
        self._called(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _called(self, work: Coroutine[Any, Any, _R]) -> _R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _use(self, new: Prepared) -> None:
        self._daemon.accounts.prepare(new, self._settings)
        self._daemon.accounts.replace(new, None)
        self._daemon.accounts.start_polling()

    async def _sweep(self) -> None:
        while True:
            monitors = self._daemon.accounts.monitors.values()
            await asyncio.gather(*(monitor.sweep() for monitor in monitors))
            self._swept.set()
            await asyncio.sleep(self._settings.sweep.interval)  # the timer of sweeps

    async def _table(self) -> bytes:
        await self._swept.wait()
        return await self._pages.status.json("")

    async def _traffic(self) -> Mapping[tuple[str, str], TopTraffic]:
        page = exposition(self._settings.metrics)
        page.update(self._daemon.accounts.visible())
        return traffic_of(page.text().decode())

    async def _close(self) -> None:
        self._sweeping.cancel()
        await self._daemon.accounts.aclose()
