"""A sweep: all pages of ``GET /workloads``, or it is incomplete."""

from __future__ import annotations

from collections.abc import Callable

from exporter.api.decoding import NotDecodable, Reject, workload_page
from exporter.api.models import Workload
from exporter.collect.client import Answer, ApiError, Client, Params
from exporter.fleet.reconcile import Sweep
from exporter.telemetry.sweep_trace import part

PAGE = 100
PAGES = 2000


async def sweep(client: Client, heard: Callable[[Answer], None] = lambda _: None) -> Sweep:
    """List the whole fleet, ordered by creation so that pages do not shift; `heard` receives each response.

    Never raises for API failures: they become the sweep's `failure` and `message`. A list that reports another size
    than it returns, repeats a page or does not end is incomplete; one that shrinks while it is read is read again where
    items moved. `next` only signals that there is more: its URL is never followed, so no link can send the token
    elsewhere.
    """
    rejects: list[Reject] = []
    try:
        return Sweep(await _all_pages(client, rejects, heard), tuple(rejects))
    except ApiError as error:
        return Sweep((), tuple(rejects), error.reason, str(error))
    except NotDecodable as error:
        return Sweep((), tuple(rejects), "decode", f"GET /workloads answered 200, but {error}")


async def _all_pages(client: Client, rejects: list[Reject], heard: Callable[[Answer], None]) -> tuple[Workload, ...]:
    found: dict[str, Workload] = {}
    total: int | None = None
    offset = again = 0
    for _ in range(PAGES):
        params: Params = {"limit": PAGE, "offset": offset, "orderBy": "createdAt", "serviceStats": "true"}
        answer = await client.get("/workloads", params)
        heard(answer)
        with part("decode"):
            page = workload_page(answer.body)
        gone = total - page.total if total is not None and page.total is not None else 0
        total = page.total if page.total is not None else total
        if gone > 0:
            # Workloads deleted from pages already read have moved as many others past us: go back for them.
            again, offset = again + min(gone, offset), max(0, offset - gone)
            continue
        rejects.extend(page.rejects)
        before = len(found)
        for place, workload in enumerate(page.items):
            if workload.id in found and place >= again:
                rejects.append(Reject("$.id", "duplicate", workload.id))
            found[workload.id] = workload
        offset += min(page.size, PAGE)  # a page may repeat an item and be longer than asked for
        if not page.size or (page.next is None and (total is None or offset >= total)):
            if total is not None and offset < total:
                raise _incomplete(f"told {total} workloads and gave {offset}")
            return tuple(found.values())
        if page.items and len(found) == before and not again:
            raise _incomplete(f"gave at offset {offset - page.size} only workloads that it gave before")
        again = max(0, again - PAGE)
    raise _incomplete(f"does not end after {PAGES} pages")


def _incomplete(what: str) -> ApiError:
    return ApiError("incomplete", f"the list of GET /workloads {what}")
