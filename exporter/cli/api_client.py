"""API clients of commands that send requests without the daemon."""

from __future__ import annotations

from typing import TypeVar

from exporter import __version__
from exporter.collect.client import Client, Record
from exporter.daemon.prepared import check_ca_file
from exporter.redaction import Secrets
from exporter.settings.accounts import AccountSettings


class _NoReport:
    """Counts nothing: these commands serve no metrics."""

    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...
    def paused(self, endpoint: str, seconds: float) -> None: ...
    def resumed(self, endpoint: str) -> None: ...


AnyClient = TypeVar("AnyClient", bound=Client)


def api_client(account: AccountSettings, secrets: Secrets | None = None, record: Record | None = None) -> Client:
    """A client of an account; `record`: see `Client`. Raises `BadSettings` if its `ca_file` cannot be used."""
    return api_client_of(Client, account, secrets, record)


def api_client_of(
    kind: type[AnyClient], account: AccountSettings, secrets: Secrets | None = None, record: Record | None = None
) -> AnyClient:
    """The same of a kind of client."""
    check_ca_file(account)
    return kind(
        account.endpoint,
        account.token_source(),
        _NoReport(),
        rate=account.requests_per_second,
        concurrency=account.concurrency,
        timeout=account.timeout,
        patience=account.timeout,
        ca_file=str(account.ca_file) if account.ca_file else None,
        secrets=secrets,
        record=record,
        user_agent=f"workload-exporter/{__version__}",
    )
