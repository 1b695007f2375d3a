"""Export of traces: the sender of the outbox, and the traces of the exporter's own sweeps."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from exporter.clock import Clock
from exporter.daemon.prepared import Prepared
from exporter.daemon.tasks import BackgroundTasks
from exporter.otlp.sender import Sender
from exporter.otlp.transport import transport
from exporter.redaction import Secrets
from exporter.settings.traces import TraceSettings
from exporter.state.rights import Rights
from exporter.state.store import Store
from exporter.telemetry.report import Report

if TYPE_CHECKING:
    from exporter.otlp.self_traces import SelfTraces

LAST_SPANS_SECONDS = 1.0
"""Seconds for sending the last spans of own sweeps on shutdown."""


class TraceExport:
    """The sender and the self traces in use. `instance`: ``service.instance.id``, from host and listen `address`."""

    def __init__(
        self,
        *,
        store: Store,
        report: Report,
        secrets: Secrets,
        clock: Clock,
        tasks: BackgroundTasks,
        address: str,
        rights: Rights,
    ) -> None:
        self._rights = rights
        self._store, self._report, self._secrets, self._clock, self._tasks = store, report, secrets, clock, tasks
        self.instance = f"{socket.gethostname()}{address.removeprefix('127.0.0.1')}"
        self._replacing = asyncio.Lock()
        self.sender: Sender | None = None
        self.self_traces: SelfTraces | None = None

    def prepare(self, new: Prepared, *, changed: bool) -> None:
        """Build the transport and, if the trace settings changed, the self traces. Raises `BadSettings`."""
        traces = new.settings.traces
        if traces.endpoint:
            new.transport = transport(traces, self._secrets)
            if changed and traces.self_traces:
                new.self_traces = self._build_self_traces(traces)

    def _build_self_traces(self, traces: TraceSettings) -> SelfTraces:
        from exporter.otlp.self_traces import SelfTraces  # imported here: without self traces the SDK is not needed

        return SelfTraces(
            transport(traces, self._secrets),
            self._report,
            instance=self.instance,
            attributes={name: str(value) for name, value in traces.resource.items()},
            wall=self._clock.wall,
            steady=self._clock.steady,
        )

    def replace(self, new: Prepared) -> None:
        """Send with what was built from now on; requests in progress end first. Neither waits nor fails."""
        transport, traces = new.transport, new.settings.traces
        sender = None
        if transport is not None:
            sender = Sender(self._store, transport, self._report, traces, self._clock, self._rights)
        old, self.sender = self.sender, sender
        ended, self.self_traces = self.self_traces, new.self_traces
        new.self_traces = None

        async def switch() -> None:
            async with self._replacing:  # one after the other: two senders must not send the same trace
                if ended is not None:
                    await asyncio.to_thread(ended.close)
                if old is not None:
                    await old.close()
                if sender is not None and self.sender is sender:
                    sender.start()

        self._tasks.start(switch())

    async def aclose(self) -> None:
        """Send what can be sent quickly, and stop."""
        await asyncio.gather(self._close_self_traces(), self._close_sender())

    async def _close_self_traces(self) -> None:
        if self.self_traces is not None:
            await asyncio.to_thread(self.self_traces.close, LAST_SPANS_SECONDS)

    async def _close_sender(self) -> None:
        async with self._replacing:
            if self.sender is not None:
                await self.sender.close()
