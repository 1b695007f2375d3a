"""A sweep reads all pages of ``GET /workloads``, or it is incomplete."""

from __future__ import annotations

from collections.abc import Callable, Set

from exporter.api.decoding import NotDecodable, Reject
from exporter.api.models import Workload
from exporter.collect import decoded
from exporter.collect.client import ApiError, ApiResponse, Client, Params
from exporter.collect.lists import PAGE, ends, incomplete
from exporter.fleet.reconcile import Sweep
from exporter.fleet.selection import Selection, in_shard, selected
from exporter.telemetry.sweep_trace import part

MAX_PAGES = 2000


async def sweep(client: Client, observe: Callable[[ApiResponse], None] = lambda _: None) -> Sweep:
    """List the whole fleet, ordered by creation so that pages do not shift; `observe` receives each response.

    Never raises for API failures: they become the sweep's `failure` and `message`. A list that reports another size
    than it returns, repeats a page or does not end is incomplete. Of a list that shrinks while it is read, the part
    that moved is read again. `next` only signals that there is more: its URL is never used, so no link can redirect the
    token.
    """
    rejects: list[Reject] = []
    try:
        return Sweep(await _all_pages(client, rejects, observe), tuple(rejects))
    except ApiError as error:
        return Sweep((), tuple(rejects), error.reason, f"{error}{hint(error)}")
    except NotDecodable as error:
        return Sweep((), tuple(rejects), "decode", f"GET /workloads returned 200, but {error}")


def hint(error: ApiError) -> str:
    """What else a refused list may mean; empty for other errors."""
    if error.status != 403:
        return ""
    return "; the token may lack a permission, or the Workload API may not be enabled for this account"


async def _all_pages(
    client: Client, rejects: list[Reject], observe: Callable[[ApiResponse], None]
) -> tuple[Workload, ...]:
    found: dict[str, Workload] = {}
    total: int | None = None
    offset = again = 0
    for _ in range(MAX_PAGES):
        params: Params = {"limit": PAGE, "offset": offset, "orderBy": "createdAt", "serviceStats": "true"}
        response = await client.get("/workloads", params)
        observe(response)
        with part("decode"):
            page = await decoded.page(response.body, Workload)
        gone = total - page.total if total is not None and page.total is not None else 0
        total = page.total if page.total is not None else total
        if gone > 0:
            # Deletions from pages already read moved as many workloads forward past this offset: go back for them.
            again, offset = again + min(gone, offset), max(0, offset - gone)
            continue
        rejects.extend(page.rejects)
        before = len(found)
        for place, workload in enumerate(page.items):
            if workload.id in found and place >= again:
                rejects.append(Reject("$.id", "duplicate", workload.id))
            found[workload.id] = workload
        offset += min(page.size, PAGE)  # a page may repeat an item and be longer than requested
        try:
            if ends(page, offset, total):
                return tuple(found.values())
        except ValueError as error:
            raise incomplete("/workloads", str(error)) from error
        if page.items and len(found) == before and not again:
            problem = f"returned at offset {offset - page.size} only workloads that it had returned before"
            raise incomplete("/workloads", problem)
        again = max(0, again - PAGE)
    raise incomplete("/workloads", f"does not end after {MAX_PAGES} pages")


def select(sweep: Sweep, rules: Selection, known: Set[str]) -> tuple[Sweep, int, int]:
    """The sweep with the workloads that the settings select, and how many were not selected or are of other shards.

    A workload of the `known` ids stays selected while a part of it cannot be read: it may be the part that selects it.
    """
    if rules == Selection():
        return sweep, 0, 0
    listed = sweep.workloads
    unread = {reject.item_id for reject in sweep.rejects} & known
    wanted = [workload for workload in listed if workload.id in unread or selected(workload, rules)]
    ours = tuple(workload for workload in wanted if in_shard(workload.id, rules.shard, rules.shards))
    left_out = {workload.id for workload in listed} - {workload.id for workload in ours}
    sweep = sweep._replace(workloads=ours, unchosen=frozenset(left_out))
    return sweep, len(listed) - len(wanted), len(wanted) - len(ours)
