"""Push of the served metrics to a collector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from exporter import __version__
from exporter.clock import Clock
from exporter.daemon.prepared import Prepared
from exporter.daemon.tasks import BackgroundTasks
from exporter.otlp.metric_encoding import ServedPage
from exporter.otlp.metric_push import MetricPush
from exporter.otlp.transport import transport
from exporter.otlp.verdict import METRICS
from exporter.redaction import Secrets
from exporter.settings.collector import Attributes
from exporter.settings.metrics import MetricPushSettings
from exporter.telemetry.report import Report


class MetricExport:
    """The push in use, of what `page` returns. `instance`: ``service.instance.id``."""

    def __init__(
        self,
        *,
        page: Callable[[], ServedPage | None],
        report: Report,
        secrets: Secrets,
        clock: Clock,
        tasks: BackgroundTasks,
        instance: str,
    ) -> None:
        self._page, self._report, self._secrets, self._clock, self._tasks = page, report, secrets, clock, tasks
        self._instance = instance
        self._replacing = asyncio.Lock()
        self.push: MetricPush | None = None

    def prepare(self, new: Prepared) -> None:
        """Build the transport. Raises `BadSettings`."""
        settings = new.settings.metrics.otlp
        if settings.endpoint:
            new.metric_transport = transport(settings, self._secrets, METRICS)

    def replace(self, new: Prepared) -> None:
        """Push with what was built from now on; a request in progress ends first. Neither waits nor fails."""
        transport, settings = new.metric_transport, new.settings.metrics.otlp
        push, old = None, self.push
        if transport is not None:
            kept = old.encoder if old is not None and old.encoder.temporality == settings.temporality else None
            resource = self._resource(settings)
            push = MetricPush(self._page, transport, self._report, settings, resource, self._clock, kept)
        self.push = push

        async def switch() -> None:
            async with self._replacing:
                if old is not None:
                    await old.close()
                if push is not None and self.push is push:
                    push.start()

        self._tasks.start(switch())

    def _resource(self, settings: MetricPushSettings) -> Attributes:
        name = settings.service_name or os.environ.get("OTEL_SERVICE_NAME") or "workload-exporter"
        ours: Attributes = {"service.name": name, "service.version": __version__, "service.instance.id": self._instance}
        return ours | settings.resource_attributes

    async def aclose(self) -> None:
        """Push what is served once more, if that is quickly done, and stop."""
        async with self._replacing:
            if self.push is not None:
                await self.push.close()
