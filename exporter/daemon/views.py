"""What the web server shows besides /metrics: the data of the status page and of the page of a workload, service
discovery, and episodes in progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, urlsplit

from exporter import __version__
from exporter.alerting.silences import Silence
from exporter.api import models
from exporter.api.models import Workload
from exporter.collect.account_monitor import AccountMonitor
from exporter.fleet.workload_state import WorkloadState, last_group
from exporter.metrics.exposition import bounded
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings
from exporter.timestamps import rfc3339
from exporter.tracing.builder import Tracing
from exporter.tracing.episode_traces import in_progress
from exporter.web.on_request import Cached, made
from exporter.web.responses import Rows, encoded
from exporter.web.status_page import AccountStatus, Status, StatusPage
from exporter.web.workload_page import FoundWorkload, Requested, WorkloadPages

Monitors = Mapping[str, AccountMonitor]
MAX_URL = 2048
"""Characters of a URL."""


class Lists:
    """Lists of the web server as JSON, made on request: they may be long."""

    def __init__(self, settings: Callable[[], Settings], monitors: Callable[[], Monitors]) -> None:
        self._settings, self._monitors = settings, monitors
        self._targets = Cached(lambda: targets(settings(), monitors()))

    async def targets(self) -> bytes | str:
        """`targets`, or the reason why they are not known for all accounts.

        Prometheus keeps its targets after an error; a list without those of one account would end their probes.
        """
        unknown = "; ".join(filter(None, (monitor.not_ready for monitor in self._monitors().values())))
        return unknown or await self._targets()

    async def episodes(self) -> bytes | None:
        """`episodes`, or None if they are not enabled."""
        settings = self._settings()
        return await made(episodes(settings, self._monitors())) if settings.web.debug_config else None


class Pages:
    """The status page and the pages of workloads, of what is known when one is requested.

    `holders`: with leases, the URLs of the replicas that hold accounts. `silences`: None if direct paging is off.
    `wall` returns seconds since the epoch. `note` is shown at the top of all pages.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        monitors: Callable[[], Monitors],
        holders: Callable[[], Mapping[str, str] | None],
        silences: Callable[[], Mapping[str, Silence] | None],
        wall: Callable[[], float],
        note: str,
    ) -> None:
        started = wall()
        self.status = StatusPage(
            lambda: status(settings(), monitors(), started=started, now=wall(), note=note, holders=holders())
        )
        self.workload = WorkloadPages(
            lambda workload_id, account: requested(
                settings(),
                monitors(),
                workload_id,
                account,
                now=wall(),
                note=note,
                holders=holders(),
                silences=silences(),
            )
        )


def targets(settings: Settings, monitors: Monitors) -> Callable[[], bytes]:
    """A function that returns the invoke endpoints of workloads that were up when their status was last known, however
    long ago, in the format of Prometheus's HTTP service discovery. It may run in a thread.
    """
    bases = {account.name: account.endpoint for account in settings.accounts}
    fleets = [(bases[name], tuple(each.workloads.values())) for name, each in monitors.items() if name in bases]
    return lambda: encoded(
        [_target(base, state) for base, fleet in fleets for state in fleet if last_group(state) == "up"]
    )


def _target(base: str, state: WorkloadState) -> dict[str, object]:
    workload = state.workload
    url = invoke_url(base, workload)
    return {
        "targets": [url],
        "labels": {
            "__meta_datarobot_own_host": str(same_origin(url, base)).lower(),
            "__meta_datarobot_account": bounded(state.account),
            "__meta_datarobot_workload": bounded(workload.name or ""),
            "__meta_datarobot_workload_id": bounded(workload.id),
            "__meta_datarobot_importance": models.folded(workload.importance),
            "__meta_datarobot_status": models.folded(workload.status),
            "__meta_datarobot_type": models.folded(workload.type),
        },
    }


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


def episodes(settings: Settings, monitors: Monitors) -> Callable[[], bytes]:
    """A function that returns the episodes in progress as JSON, oldest first. It may run in a thread.

    `trace_id` is null while it is not known.
    """
    origins = {account.name: account.origin for account in settings.accounts}
    fleets = [
        (name, monitor.tracing or Tracing(origins[name]), tuple(monitor.workloads.values()))
        for name, monitor in monitors.items()
    ]

    def found() -> Rows:
        return [
            {
                "account": name,
                "workload": state.workload.name or "",
                **each,
                "since": rfc3339(float(each["since"]), "seconds"),
                "trace_id": each["trace_id"] or None,
            }
            for name, tracing, fleet in fleets
            for state in fleet
            for each in in_progress(state, tracing)
        ]

    return lambda: encoded(sorted(found(), key=lambda each: str(each["since"])))


def status(
    settings: Settings,
    monitors: Monitors,
    *,
    started: float,
    now: float,
    note: str,
    holders: Mapping[str, str] | None = None,
) -> Status:
    """The data of the status page. Times in seconds since the epoch; `note` is shown at the top. `holders`: with
    leases, the URL of the replica that holds an account.
    """
    accounts = tuple(
        _account_status(settings, account, monitor)._replace(fleet=tuple(monitor.visible()))
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
        elsewhere=_elsewhere(settings.accounts, monitors, holders),
    )


def _account_status(settings: Settings, account: AccountSettings, monitor: AccountMonitor) -> AccountStatus:
    """An account without its workloads."""
    return AccountStatus(
        name=account.name,
        url=account.endpoint.removesuffix("/api/v2"),
        known=monitor.facts,
        fleet=(),
        succeeded=monitor.snapshot.succeeded,
        failure=(monitor.message or monitor.snapshot.failure) if monitor.snapshot.failure else "",
        interval=settings.sweep.interval,
        stale_after=settings.sweep.stale_after,
    )


def _elsewhere(
    accounts: Iterable[AccountSettings], monitors: Monitors, holders: Mapping[str, str] | None
) -> tuple[tuple[str, str | None], ...]:
    """The accounts that this replica does not hold, with the URL of the one that does."""
    if holders is None:
        return ()
    return tuple((account.name, holders.get(account.name)) for account in accounts if account.name not in monitors)


def requested(
    settings: Settings,
    monitors: Monitors,
    workload_id: str,
    account: str,
    *,
    now: float,
    note: str = "",
    holders: Mapping[str, str] | None = None,
    silences: Mapping[str, Silence] | None = None,
) -> Requested:
    """What is known of a workload: of one account, or with an empty name of all. Also of one that has vanished, for as
    long as it is remembered.
    """
    wanted = [each for each in settings.accounts if account in ("", each.name)]
    statuses, found, fleets = [], [], []
    for each in wanted:
        monitor = monitors.get(each.name)
        if monitor is None:
            continue
        status = _account_status(settings, each, monitor)
        statuses.append(status)
        snapshot = monitor.snapshot
        if snapshot.succeeded is None:  # known from the state only: whether it still exists is not
            continue
        fleets.append(tuple(monitor.workloads.values()))
        for there in (snapshot.workloads, snapshot.missing, snapshot.gone):
            if workload_id in there:
                ages = {} if monitor.poller is None else monitor.poller.ages(workload_id)
                found.append(FoundWorkload(status, there[workload_id], there is not snapshot.missing, ages))
                break
    return Requested(
        id=workload_id,
        account=account,
        found=tuple(found),
        accounts=tuple(statuses),
        elsewhere=_elsewhere(wanted, monitors, holders),
        configured=tuple(each.name for each in settings.accounts),
        options=settings.alerts.options,
        now=now,
        version=__version__,
        note=note,
        silences=None if silences is None else tuple(silences.values()),
        fleets=() if found else tuple(fleets),
    )
