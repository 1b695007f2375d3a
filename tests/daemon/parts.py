"""Puts single parts of settings in force in a daemon that does not run."""

from exporter.daemon.daemon import Daemon
from exporter.daemon.prepared import Prepared
from exporter.settings.model import Settings
from exporter.settings.traces import TraceSettings


def use_accounts(daemon: Daemon, settings: Settings) -> None:
    """Monitor the accounts of `settings`."""
    new = Prepared(settings)
    daemon.accounts.prepare(new, daemon.settings)
    daemon.replace_accounts(new)


def use_traces(daemon: Daemon, traces: TraceSettings) -> None:
    """Send traces by these settings."""
    new = Prepared(daemon.settings.model_copy(update={"traces": traces}))
    daemon.traces.prepare(new, changed=True)
    daemon.traces.replace(new)


async def use_paging(daemon: Daemon, settings: Settings) -> None:
    """Page by these settings."""
    new = Prepared(settings)
    daemon.paging.prepare(new)
    await daemon.paging.replace(settings, new.take_notifiers())
    await new.aclose()
