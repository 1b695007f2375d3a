"""Questions a person asks before or beside the daemon: does each route answer, what will it cost, is it alive."""

from __future__ import annotations

import base64
import math
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from exporter import __version__, redaction
from exporter.api.decoding import NotDecodable, page, workload_page
from exporter.api.models import Workload
from exporter.api.pods import Proton
from exporter.collect.client import ApiError, Client
from exporter.collect.sweep import PAGE
from exporter.daemon.prepared import check_ca_file
from exporter.failures import DETAIL_LENGTH, EDGE, SOME, beginning
from exporter.fleet.polling import EXTRAS, Policy, load, requests
from exporter.fleet.workload_state import WorkloadState
from exporter.otlp.encoding import EMPTY
from exporter.otlp.transport import transport
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings
from exporter.settings.traces import TraceSettings
from exporter.settings.values import listen_address


class Route(NamedTuple):
    """A route the exporter reads, what for, and the least sharing role that may read it."""

    template: str
    gives: str
    role: str


ROUTES = (
    Route("/workloads/{id}/protons", "replicas and containers", "user"),
    Route("/workloads/{id}/protons/{pid}/statusDetails", "replicas and containers", "user"),
    Route("/workloads/{id}/events", "events", "user"),
    Route("/workloads/{id}/stats", "request statistics", "user"),
    Route("/workloads/{id}/settings", "resolved bundles", "user"),
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
    """One line of ``check --online``; `good` is False where the daemon could not do its work."""

    good: bool
    text: str


class _Uncounted:
    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...
    def paused(self, endpoint: str, seconds: float) -> None: ...
    def resumed(self, endpoint: str) -> None: ...


def client_of(account: AccountSettings, secrets: redaction.Secrets | None = None) -> Client:
    """A client for questions outside the daemon. Raises `BadSettings` for a `ca_file` that cannot be used."""
    check_ca_file(account)
    return Client(
        account.endpoint,
        account.token_source(),
        _Uncounted(),
        rate=account.requests_per_second,
        concurrency=account.concurrency,
        timeout=account.timeout,
        patience=account.timeout,
        ca_file=str(account.ca_file) if account.ca_file else None,
        secrets=secrets,
        user_agent=f"workload-exporter/{__version__}",
    )


async def check_online(account: AccountSettings, secrets: redaction.Secrets | None = None) -> AsyncIterator[Finding]:
    """Ask each route once, for the oldest workload where one is needed. Raises nothing for what the API answers."""
    yield Finding(True, f"account {account.name}: {account.endpoint}")
    async with client_of(account, secrets) as client:
        try:
            first = workload_page((await client.get("/workloads", {"limit": 1, "orderBy": "createdAt"})).body)
        except (ApiError, NotDecodable) as error:
            yield Finding(False, f"  FAIL  {error}")
            yield Finding(False, "        nothing can be served for this account until the workload list answers")
            return
        total = "an untold number of" if first.total is None else first.total
        yield Finding(True, f"  ok    /workloads: {total} workloads, {len(first.rejects)} rejects")
        places = {"id": first.items[0].id} if first.items else {}
        for route in ROUTES:
            if "{id}" in route.template and not places:
                yield Finding(True, f"  ?     {route.template}: there is no workload to ask about")
            elif "{pid}" in route.template and "pid" not in places:
                yield Finding(True, f"  ?     {route.template}: the workload has no proton to ask about")
            else:
                yield await _ask(client, route, places)


async def _ask(client: Client, route: Route, places: dict[str, str]) -> Finding:
    params: dict[str, str | int] = {}
    if route.template == "/workloads/{id}/stats":
        end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
        params = {"startTime": (end - timedelta(minutes=5)).isoformat(), "endTime": end.isoformat()}
    elif route.template == "/quotas":
        params = {"resourceType": "workload", "resourceId": places.get("id", "")}
    try:
        needed = {name: value for name, value in places.items() if "{" + name + "}" in route.template}
        answer = await client.get(route.template, params, **needed)
    except ApiError as error:
        if route.template == "/workloads/{id}/replacement" and error.status == 404:
            return Finding(True, f"  ok    {route.template}: no replacement under way")
        if error.reason == "forbidden":
            need = f"; the token's user needs the role {route.role} on the workload" if route.role != "any" else ""
            return Finding(True, f"  NO    {route.template}: {error}{need}; without it: no {route.gives}")
        return Finding(True, f"  NO    {route.template}: {error}; without it: no {route.gives}")
    if route.template == "/workloads/{id}/protons":
        protons = page(answer.body, Proton).items
        if protons:
            places["pid"] = protons[0].id
    return Finding(True, f"  ok    {route.template}: {answer.status}")


def check_traces(traces: TraceSettings, secrets: redaction.Secrets | None = None) -> Finding:
    """Send a request without traces, and tell what the collector says. Raises `BadSettings` for bad certificates."""
    verdict = transport(traces, secrets).send(EMPTY)
    if verdict.result == "invalid":
        return Finding(False, f"  ?     {verdict.summary}; it rejects an empty request, but may accept traces")
    good = verdict.accepted
    return Finding(good, f"  {'ok  ' if good else 'FAIL'}  {verdict.message}")


async def fleet_size(account: AccountSettings, secrets: redaction.Secrets | None = None) -> int:
    """How many workloads the token sees. Raises `ApiError` or `NotDecodable`."""
    async with client_of(account, secrets) as client:
        first = workload_page((await client.get("/workloads", {"limit": 1, "orderBy": "createdAt"})).body)
        return first.total if first.total is not None else first.size


def plan_lines(settings: Settings, account: AccountSettings, workloads: int) -> list[str]:
    """What sweeping `workloads` costs under these settings, in words."""
    pages = max(1, math.ceil(workloads / PAGE))
    interval, rate = settings.sweep.interval, account.requests_per_second
    least = pages / rate
    lines = [
        f"account {account.name}: {workloads} workloads, {pages} list pages a sweep, one sweep every {interval:g} s",
        f"  API calls: {pages * 60 / interval:.1f} a minute of {rate * 60:g} that the budget allows",
        f"  a sweep takes {least:.1f} s at the least; a change of state shows after at most {interval + least:.1f} s",
    ]
    if least > interval:
        lines.append(
            f"  DOES NOT FIT: raise accounts[].requests_per_second above {pages / interval:.1f}, "
            f"or sweep.interval above {least:.0f} s; until then sweeps run back to back"
        )
    return lines + _detail_lines(settings, workloads, max(rate - pages / interval, 0.2 * rate))


def _detail_lines(settings: Settings, workloads: int, left: float) -> list[str]:
    """What the details cost, for a fleet that runs, all of low importance."""
    told = settings.detail
    if not told.enabled:
        return ["  details: none are asked for"]
    policy = Policy(settings.sweep.interval, told.interval, told.quantiles, frozenset(told.parts))
    one = WorkloadState(workload=Workload(id="w", status="running", importance="low"), account="")
    wanted, kept = (
        workloads * load(requests(one, policy, 0.0, dropped), left) for dropped in (frozenset(), frozenset(EXTRAS))
    )
    lines = [f"  details: {wanted * left * 60:.0f} calls a minute if all were taken, of {left * 60:.0f} that are left"]
    if wanted > 1:
        lines.append(
            f"  the least important go without extra quantiles and long windows; each part is then looked at every "
            f"{max(1.0, kept) * told.interval:.0f} s instead of every {told.interval:g} s"
        )
    return lines


def alive(address: str, tls: bool, timeout: float = 5.0) -> str:
    """Why the daemon at a listen address is not healthy; empty when it is. 401 counts as alive: it asks for a name."""
    status, words = asked(address, tls, "/-/healthy", timeout=timeout)
    return "" if status in (200, 401) else words


def asked(
    address: str, tls: bool, path: str, *, method: str = "GET", login: str = "", timeout: float = 5.0
) -> tuple[int, str]:
    """What our own daemon at a listen address answers: the status (0: none), and its words, or why there are none.

    `login` is ``USER:PASSWORD`` where the web config wants one. It is removed from the words: who listens there may be
    somebody else.
    """
    secrets = redaction.Secrets()
    secrets.learn(login, redaction.login)
    host, port = listen_address(address)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 — compared, not bound
    shown = f"[{host}]" if ":" in host else host
    url = f"http{'s' if tls else ''}://{shown}:{port}{path}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is ourselves that we ask
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url, method=method, headers={"x-requested-by": "workload-exporter"})  # noqa: S310 — ours
    if login:
        request.add_header("authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, secrets.clean(answer.read()).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            words = beginning(error.read(SOME + EDGE), secrets.clean).decode("utf-8", "replace").strip()
            return error.code, f"{url.partition('?')[0]} returned {error.code}: {words[:DETAIL_LENGTH]}"
    except Exception as error:  # noqa: BLE001 — who listens there need not speak HTTP
        why = secrets.text(str(getattr(error, "reason", error)))
        return 0, f"{url.partition('?')[0]} cannot be reached: {why}"
