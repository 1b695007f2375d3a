"""``check``: every problem with the settings; with ``--online`` also a request to each API route and the collector."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from exporter.api.decoding import NotDecodable, page, workload_page
from exporter.api.pods import Proton
from exporter.cli.api_client import api_client
from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import failure_reason
from exporter.collect.sweep import hint
from exporter.daemon.daemon import Daemon
from exporter.otlp.encoding import EMPTY
from exporter.otlp.transport import transport
from exporter.otlp.verdict import LOGS, METRICS, TRACES, Signal
from exporter.redaction import Secrets
from exporter.settings.accounts import AccountSettings
from exporter.settings.collector import CollectorSettings
from exporter.settings.model import Settings
from exporter.settings.receivers import SEVERITIES


class Route(NamedTuple):
    """A route that the exporter reads, what it provides, and the lowest sharing role that may read it."""

    template: str
    provides: str
    role: str


ROUTES = (
    Route("/workloads/{id}/protons", "replicas and containers", "user"),
    Route("/workloads/{id}/protons/{pid}/statusDetails", "replicas and containers", "user"),
    Route("/workloads/{id}/events", "events", "user"),
    Route("/workloads/{id}/stats", "request statistics", "user"),
    Route("/workloads/{id}/replacement", "replacements", "user"),
    Route("/workloads/{id}/history", "replacements", "user"),
    Route("/workloads/{id}/sharedRoles", "sharing", "user"),
    Route("/workloads/stats", "aggregate statistics", "user"),
    Route("/account/info", "account limits", "any"),
    Route("/mlops/compute/bundles", "resource bundles", "any"),
    Route("/otel/workload/{id}/metrics/autocollectedValues", "processor and memory use", "user"),
    Route("/quotas", "quotas", "user"),
)


class Finding(NamedTuple):
    """One line of ``check --online``; `good` is False if the daemon could not work.

    `route`: the template it is about. `result`: ``ok``, ``refused``, or ``untested``. `reason`: of a failed request.
    """

    good: bool
    text: str
    route: str = ""
    result: str = ""
    reason: str = ""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument(
        "--online",
        action="store_true",
        help="also test the token, each API route and its permissions, and the trace collector",
    )


def run(context: Context) -> int:
    settings = context.settings()
    asyncio.run(Daemon(settings, context.reader()).check())
    _print_valid(settings)
    if not context.options.online:
        print("The API was not contacted; use --online.")
        return 0
    good = asyncio.run(_print_accounts(settings, context.secrets))
    for signal, collector in _collectors(settings):
        finding = check_collector(collector, context.secrets, signal)
        print(f"{signal.place}: {collector.endpoint}\n{finding.text}")
        good = good and finding.good
    return 0 if good else 1


def _print_valid(settings: Settings) -> None:
    for account in settings.accounts:
        print(f"valid: account {account.name} at {account.endpoint}")
    if settings.state.url is not None:
        print(f"valid: state in {settings.state.url}")
    for signal, collector in _collectors(settings):
        print(f"valid: {signal.place} to {collector.endpoint} with {collector.protocol}")
    for receiver in settings.paging.receivers:
        severities = ", ".join(name for name in SEVERITIES if name in receiver.wants().severities)
        unused = "" if settings.paging.who != "rules" else "; not used: paging.who is rules"
        print(f"valid: receiver {receiver.name} ({receiver.kind}): {severities}{unused}")


def _collectors(settings: Settings) -> list[tuple[Signal, CollectorSettings]]:
    signals = zip((TRACES, METRICS, LOGS), settings.collectors, strict=True)
    return [(signal, collector) for signal, collector in signals if collector.endpoint]


async def _print_accounts(settings: Settings, secrets: Secrets) -> bool:
    good = True
    for account in settings.accounts:
        async for finding in check_online(account, secrets):
            print(finding.text, flush=True)
            good = good and finding.good
    return good


async def check_online(account: AccountSettings, secrets: Secrets | None = None) -> AsyncIterator[Finding]:
    """Request each route once, for the oldest workload where a workload is required. Does not raise `ApiError`."""
    yield Finding(True, f"account {account.name}: {account.endpoint}")
    async with api_client(account, secrets) as client:
        async for finding in check_routes(client):
            yield finding


async def check_routes(client: Client) -> AsyncIterator[Finding]:
    """The findings about each route, see `check_online`."""
    try:
        first = workload_page((await client.get("/workloads", {"limit": 1, "orderBy": "createdAt"})).body)
    except (ApiError, NotDecodable) as error:
        text = f"  FAIL  {error}{hint(error) if isinstance(error, ApiError) else ''}"
        yield Finding(False, text, "/workloads", "refused", failure_reason(error))
        yield Finding(False, "        no metrics of this account until the workload list can be read")
        return
    total = "an unknown number of" if first.total is None else first.total
    yield Finding(True, f"  ok    /workloads: {total} workloads, {len(first.rejects)} rejects", "/workloads", "ok")
    ids = {"id": first.items[0].id} if first.items else {}
    for route in ROUTES:
        missing = ""
        if "{id}" in route.template and not ids:
            missing = "there is no workload"
        elif "{pid}" in route.template and "pid" not in ids:
            missing = "the workload has no proton"
        if missing:
            yield Finding(True, f"  ?     {route.template}: not tested; {missing}", route.template, "untested")
        else:
            yield await _check_route(client, route, ids)


async def _check_route(client: Client, route: Route, ids: dict[str, str]) -> Finding:
    """Request a route; the id of a proton in the response is added to `ids`."""
    params: dict[str, str | int] = {}
    if route.template == "/workloads/{id}/stats":
        end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
        params = {"startTime": (end - timedelta(minutes=5)).isoformat(), "endTime": end.isoformat()}
    elif route.template == "/quotas":
        params = {"resourceType": "workload", "resourceId": ids.get("id", "")}
    try:
        needed = {name: value for name, value in ids.items() if "{" + name + "}" in route.template}
        response = await client.get(route.template, params, **needed)
    except ApiError as error:
        if route.template == "/workloads/{id}/replacement" and error.status == 404:
            return Finding(True, f"  ok    {route.template}: no replacement in progress", route.template, "ok")
        need = ""
        if error.reason == "forbidden" and route.role != "any":
            need = f"; the token's user needs the role {route.role} on the workload"
        text = f"  NO    {route.template}: {error}{need}; without it: no {route.provides}"
        return Finding(True, text, route.template, "refused", error.reason)
    if route.template == "/workloads/{id}/protons":
        protons = page(response.body, Proton).items
        if protons:
            ids["pid"] = protons[0].id
    return Finding(True, f"  ok    {route.template}: {response.status}", route.template, "ok")


def check_collector(collector: CollectorSettings, secrets: Secrets | None = None, signal: Signal = TRACES) -> Finding:
    """Send an empty request to the collector. Raises `BadSettings` for certificates that cannot be used."""
    verdict = transport(collector, secrets, signal).send(EMPTY)
    if verdict.result == "invalid":
        return Finding(False, f"  ?     {verdict.summary}; it rejects an empty request, but may accept {signal.items}")
    good = verdict.accepted
    return Finding(good, f"  {'ok  ' if good else 'FAIL'}  {verdict.message}")
