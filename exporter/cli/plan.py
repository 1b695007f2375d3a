"""``plan``: the API requests that the settings cause."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator

from exporter.api.decoding import NotDecodable, workload_page
from exporter.cli.api_client import api_client
from exporter.cli.context import Context
from exporter.cli.flags import add_settings_flags, positive_integer
from exporter.collect.client import ApiError
from exporter.collect.lists import PAGE
from exporter.fleet.cost import SweepCost, detail_cost, sweep_cost
from exporter.fleet.polling import Policy
from exporter.redaction import Secrets
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    parser.add_argument(
        "--workloads", type=positive_integer, metavar="N", help="size of the fleet; default: as the API reports"
    )


def run(context: Context) -> int:
    size = context.options.workloads
    settings = context.settings("planned" if size else "needed")
    for account in settings.accounts:
        try:
            workloads = size or asyncio.run(fleet_size(account, context.secrets))
        except (ApiError, NotDecodable) as error:
            print(f"workload-exporter: the size of the fleet is unknown: {error}; use --workloads", file=sys.stderr)
            return 1
        print("\n".join(plan_lines(settings, account, workloads)))
    return 0


async def fleet_size(account: AccountSettings, secrets: Secrets | None = None) -> int:
    """The number of workloads that the token can read. Raises `ApiError` or `NotDecodable`."""
    async with api_client(account, secrets) as client:
        first = workload_page((await client.get("/workloads", {"limit": 1, "orderBy": "createdAt"})).body)
        return first.total if first.total is not None else first.size


def plan_lines(settings: Settings, account: AccountSettings, workloads: int) -> Iterator[str]:
    """The cost of a fleet of `workloads` as text."""
    interval, rate = settings.sweep.interval, account.requests_per_second
    cost = sweep_cost(workloads, PAGE, interval, rate)
    yield (
        f"account {account.name}: {workloads} workloads, {cost.pages} list pages per sweep, "
        f"one sweep every {interval:g} s"
    )
    yield f"  sweeps: {cost.requests_per_second * 60:.1f} API calls per minute; the budget is {rate * 60:g}"
    yield (
        f"  a sweep takes at least {cost.min_seconds:.1f} s; a status change is visible after at most "
        f"{interval + cost.min_seconds:.1f} s"
    )
    if not cost.fits:
        yield (
            f"  DOES NOT FIT: raise accounts[].requests_per_second above {cost.requests_per_second:.1f}, "
            f"or sweep.interval above {cost.min_seconds:.0f} s; until then sweeps run back to back"
        )
    yield from _detail_lines(settings, account.name, workloads, cost, rate)


def _detail_lines(settings: Settings, account: str, workloads: int, sweeps: SweepCost, rate: float) -> Iterator[str]:
    detail = settings.detail
    if not detail.enabled:
        yield "  details: disabled"
        return
    policy = Policy(
        status_interval=settings.sweep.interval,
        interval=detail.interval,
        quantiles=detail.quantiles,
        parts=frozenset(detail.parts),
        error_budget=settings.alerts.options.thresholds["error_budget"],
    )
    cost = detail_cost(workloads, policy, sweeps, rate, (row.row for row in settings.objectives), account)
    yield (
        f"  details: {cost.requests_per_second * 60:.0f} API calls per minute for everything; "
        f"sweeps leave {cost.budget * 60:.0f}"
    )
    yield (
        f"  {cost.important * 60:.1f} more for each workload of high or critical importance: pods more often, long "
        "windows, objectives by importance"
    )
    if cost.counted:
        yield (
            f"  {cost.counted * 60:.1f} more for each workload with an objective by its name or tags: counting its "
            "requests"
        )
    if not cost.fits:
        yield (
            "  extra quantiles and long windows of the least important workloads are dropped; each part is polled "
            f"every {cost.slowdown * detail.interval:.0f} s instead of every {detail.interval:g} s"
        )
