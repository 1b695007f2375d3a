"""Export of events as log records: the sender of their outbox."""

from __future__ import annotations

import asyncio

from exporter.clock import Clock
from exporter.daemon.prepared import Prepared
from exporter.daemon.tasks import BackgroundTasks
from exporter.otlp.sender import LOG_RECORDS, Sender
from exporter.otlp.transport import transport
from exporter.otlp.verdict import LOGS
from exporter.redaction import Secrets
from exporter.state.rights import Rights
from exporter.state.store import Store
from exporter.telemetry.report import Report


class EventExport:
    """The sender in use. Of several replicas, the one that holds what all share sends the records of all."""

    def __init__(
        self, *, store: Store, report: Report, secrets: Secrets, clock: Clock, tasks: BackgroundTasks, rights: Rights
    ) -> None:
        self._store, self._report, self._secrets, self._clock, self._tasks = store, report, secrets, clock, tasks
        self._rights = rights
        self._replacing = asyncio.Lock()
        self.sender: Sender | None = None

    def prepare(self, new: Prepared) -> None:
        """Build the transport. Raises `BadSettings`."""
        if new.settings.events.otlp.endpoint:
            new.event_transport = transport(new.settings.events.otlp, self._secrets, LOGS)

    def replace(self, new: Prepared) -> None:
        """Send with what was built from now on; a request in progress ends first. Neither waits nor fails."""
        transport, settings = new.event_transport, new.settings.events.otlp
        sender = None
        if transport is not None:
            sender = Sender(
                self._store, transport, self._report, settings, self._clock, self._rights, contents=LOG_RECORDS
            )
        old, self.sender = self.sender, sender

        async def switch() -> None:
            async with self._replacing:  # one after the other: two senders must not send the same records
                if old is not None:
                    await old.close()
                if sender is not None and self.sender is sender:
                    sender.start()

        self._tasks.start(switch())

    async def aclose(self) -> None:
        """Send what can be sent quickly, and stop."""
        async with self._replacing:
            if self.sender is not None:
                await self.sender.close()
