"""What settings name, built before any of it is used: clients, notifiers of receivers, the transport to a collector.

The start, a reload and ``check`` all build it, so settings that ``check`` accepts can be started and reloaded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from apscheduler.triggers.interval import IntervalTrigger

from exporter.collect.client import Client
from exporter.failures import one_line
from exporter.log import log
from exporter.metrics.exposition import Exposition
from exporter.otlp.transport import Transport
from exporter.paging.notify import Notifier
from exporter.settings.accounts import AccountSettings
from exporter.settings.file_contents import Contents
from exporter.settings.model import Settings
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import AnyReceiver
from exporter.settings.section import Section
from exporter.state.store import StoredAccount
from exporter.telemetry.report import AccountReport

if TYPE_CHECKING:
    from exporter.otlp.self_traces import SelfTraces


class Prepared:
    """Everything `settings` name, built but not in use. What is put in force is taken out; `aclose` closes the rest.

    `clients`, with their observers, are those of new or changed accounts; `states` those of new accounts. `contents`
    is what was in the files before they were read, `changed_files` those of which it is different from what is in use.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.schedule = trigger(settings)
        self.contents: Contents = {}
        self.changed_files: frozenset[Path] = frozenset()
        self.clients: dict[str, tuple[Client, AccountReport]] = {}
        self.states: dict[str, StoredAccount] = {}
        self.notifiers: list[tuple[AnyReceiver, Notifier]] = []
        self.transport: Transport | None = None
        self.metric_transport: Transport | None = None
        self.event_transport: Transport | None = None
        self.self_traces: SelfTraces | None = None
        self.exposition: Exposition | None = None

    def uses_changed_file(self, *sections: Section) -> bool:
        """Whether one of these sections names a file whose content is different from what is in use."""
        return any(file in self.changed_files for section in sections for file in section.pem_files)

    def take_notifiers(self) -> list[tuple[AnyReceiver, Notifier]]:
        """Take out the notifiers; none if the settings leave paging to alert rules."""
        if self.settings.paging.who == "rules":
            return []
        taken, self.notifiers = self.notifiers, []
        return taken

    async def aclose(self) -> None:
        """Close what was not taken out."""
        closing = [
            *(client.aclose() for client, _ in self.clients.values()),
            *(notifier.aclose() for _, notifier in self.notifiers),
        ]
        if self.self_traces is not None:
            closing.append(asyncio.to_thread(self.self_traces.close))
        self.clients, self.notifiers, self.self_traces = {}, [], None
        for error in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("connections built for new settings could not be closed", exc_info=error)


def trigger(settings: Settings) -> IntervalTrigger:
    """When sweeps start. Raises OverflowError for an interval that is too long for a datetime."""
    return IntervalTrigger(seconds=settings.sweep.interval, timezone=UTC)


def all_of(steps: Iterable[Callable[[], object]]) -> None:
    """Run each step. Raises one `BadSettings` with the problems of all of them."""
    problems: list[Problem] = []
    files: dict[Path, bytes | None] = {}
    for step in steps:
        try:
            step()
        except BadSettings as error:
            problems += error.problems
            files |= error.contents
    if problems:
        raise BadSettings(problems, files)


def check_ca_file(account: AccountSettings) -> None:
    """Raises `BadSettings` if the `ca_file` of an account cannot be used."""
    if account.ca_file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(account.ca_file)
    except OSError as error:
        problem = f"of {account.name} cannot be used: {one_line(str(error))}; give a PEM file"
        raise BadSettings([Problem("accounts.ca_file", problem)]) from error
