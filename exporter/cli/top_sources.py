"""Where `top` gets its table from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from exporter.cli.own_server import request_with_login
from exporter.cli.top_table import Explained, TopTable, TopTraffic, traffic_of
from exporter.cli.web_settings import DaemonAddress
from exporter.errors import ExporterError

TIMEOUT_SECONDS = 30.0
"""Time for a table: 10,000 workloads take a few seconds on a slow machine."""
_T = TypeVar("_T", TopTable, Explained)


class SourceLost(ExporterError):
    """There is no answer, or not the expected one."""


class TopSource(Protocol):
    """A source; its methods raise `SourceLost`. They are called in a thread, one at a time."""

    name: str

    def table(self) -> TopTable:
        """All workloads."""

    def details(self, account: str, workload_id: str) -> Explained:
        """One workload."""

    def traffic(self) -> Mapping[tuple[str, str], TopTraffic]:
        """The requests to all workloads, by account and id."""

    def close(self) -> None:
        """End what runs for it."""


def path_of(account: str, workload_id: str) -> tuple[str, str]:
    """The last part of the path of a workload, and its query."""
    return quote(workload_id, safe=""), f"account={quote(account, safe='')}"


class DaemonSource:
    """The daemon at an address."""

    def __init__(self, address: DaemonAddress, metrics_path: str) -> None:
        self._address, self._metrics_path = address, metrics_path
        self.name = f"daemon at {address.listen}"

    def table(self) -> TopTable:
        return self._decoded("/workloads.json", TopTable)

    def details(self, account: str, workload_id: str) -> Explained:
        path, query = path_of(account, workload_id)
        return self._decoded(f"/workloads/{path}?{query}", Explained)

    def traffic(self) -> Mapping[tuple[str, str], TopTraffic]:
        return traffic_of(self._received(self._metrics_path))

    def close(self) -> None: ...

    def _decoded(self, path: str, kind: type[_T]) -> _T:
        return decoded(self._received(path, "application/json"), kind)

    def _received(self, path: str, accept: str = "*/*") -> str:
        listen, tls = self._address.listen, self._address.tls
        status, text = request_with_login(listen, tls, path, timeout=TIMEOUT_SECONDS, accept=accept)
        if status != 200:
            raise SourceLost(text)
        return text


def decoded(body: str | bytes, kind: type[_T]) -> _T:
    """The content of a response. Raises `SourceLost`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise SourceLost(f"not an exporter, or one of another release: {error}") from None
