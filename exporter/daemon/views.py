"""What the web server shows besides /metrics: the status page's data, service discovery, and episodes in progress."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from exporter import __version__
from exporter.api import models
from exporter.api.models import Workload
from exporter.collect.account_monitor import AccountMonitor
from exporter.fleet.workload_state import last_group
from exporter.metrics.exposition import bounded
from exporter.settings.model import Settings
from exporter.timestamps import rfc3339
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import in_progress
from exporter.web.responses import Rows
from exporter.web.status_page import AccountStatus, Status

Monitors = Mapping[str, AccountMonitor]
MAX_URL = 2048
"""Characters of a URL."""


def targets(settings: Settings, monitors: Monitors) -> Rows | str:
    """The invoke endpoints of workloads that were up when their status was last known, however long ago, in the format
    of Prometheus's HTTP service discovery; or the reason why they are not known for all accounts.

    Prometheus keeps its targets after an error; a list without those of one account would end their probes.
    """
    unknown = "; ".join(filter(None, (monitor.not_ready for monitor in monitors.values())))
    if unknown:
        return unknown
    bases = {account.name: account.endpoint for account in settings.accounts}
    return [
        {
            "targets": [url],
            "labels": {
                "__meta_datarobot_own_host": str(same_origin(url, bases[name])).lower(),
                "__meta_datarobot_account": bounded(state.account),
                "__meta_datarobot_workload": bounded(state.workload.name or ""),
                "__meta_datarobot_workload_id": bounded(state.workload.id),
                "__meta_datarobot_importance": models.folded(state.workload.importance),
                "__meta_datarobot_status": models.folded(state.workload.status),
                "__meta_datarobot_type": models.folded(state.workload.type),
            },
        }
        for name, monitor in monitors.items()
        for state in monitor.workloads.values()
        if name in bases and last_group(state) == "up"
        for url in [invoke_url(bases[name], state.workload)]
    ]


def invoke_url(base: str, workload: Workload) -> str:
    """The URL for requests to a workload: as reported, because that of one in an enclave is on another host.

    It is built from the id if none is reported, or not a plain URL.
    """
    reported = (workload.endpoint or "").strip()
    try:
        parts = urlsplit(reported)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        usable = plain and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or len(reported) > MAX_URL or not reported.isascii() or not reported.isprintable() or " " in reported:
        return f"{base}/endpoints/workloads/{quote(workload.id, safe='')}/"
    return reported if parts.query or parts.fragment or reported.endswith("/") else f"{reported}/"


def same_origin(url: str, base: str) -> bool:
    """Whether a URL is on the configured host, the only one that may receive the token."""
    return _origin(url) == _origin(base)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def episodes(settings: Settings, monitors: Monitors) -> Rows:
    """The episodes in progress, oldest first. `trace_id` is null while it is not known."""
    origins = {account.name: account.origin for account in settings.accounts}
    found: Rows = [
        {
            "account": name,
            "workload": state.workload.name or "",
            **each,
            "since": rfc3339(float(each["since"]), "seconds"),
            "trace_id": each["trace_id"] or None,
        }
        for name, monitor in monitors.items()
        for state in monitor.workloads.values()
        for each in in_progress(state, monitor.tracing or Tracing(origins[name]))
    ]
    return sorted(found, key=lambda each: str(each["since"]))


def status(settings: Settings, monitors: Monitors, *, started: float, now: float, note: str) -> Status:
    """The data of the status page. Times in seconds since the epoch; `note` is shown at the top."""
    accounts = tuple(
        AccountStatus(
            name=account.name,
            url=account.endpoint.removesuffix("/api/v2"),
            known=monitor.facts,
            fleet=tuple(monitor.visible()),
            succeeded=monitor.snapshot.succeeded,
            failure=(monitor.message or monitor.snapshot.failure) if monitor.snapshot.failure else "",
            interval=settings.sweep.interval,
            stale_after=settings.sweep.stale_after,
        )
        for account in settings.accounts
        if (monitor := monitors.get(account.name)) is not None
    )
    debug = ("/debug/config", "/debug/episodes") if settings.web.debug_config else ()
    return Status(
        version=__version__,
        accounts=accounts,
        started=started,
        now=now,
        options=settings.alerts.options,
        links=(settings.web.telemetry_path, "/sd", "/-/healthy", "/-/ready", *debug),
        note=note,
    )
