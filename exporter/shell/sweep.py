"""The status lane: all pages of ``GET /workloads`` make one sweep, or the sweep is not complete."""

from __future__ import annotations

from exporter.core.decode import NotDecodable, Reject, workload_page
from exporter.core.model import Workload
from exporter.core.step import Sweep
from exporter.shell.client import ApiError, Client

PAGE = 100
PAGES = 2000


async def sweep(client: Client) -> Sweep:
    """List the whole fleet, by creation so that pages do not shift.

    Never raises: what goes wrong is the sweep's `failure`. A list that tells another size than it gives, repeats a
    page or does not end is incomplete. `next` only says that there is more: its URL is never followed, so no link
    of an answer can send the token elsewhere.
    """
    found: dict[str, Workload] = {}
    rejects: list[Reject] = []
    offset = 0
    for _ in range(PAGES):
        params: dict[str, str | int] = {"limit": PAGE, "offset": offset, "orderBy": "createdAt", "serviceStats": "true"}
        try:
            page = workload_page(await client.get("/workloads/", params))
        except ApiError as error:
            return Sweep((), tuple(rejects), error.reason)
        except NotDecodable:
            return Sweep((), tuple(rejects), "decode")
        rejects.extend(page.rejects)
        repeated = [workload.id for workload in page.items if workload.id in found]
        rejects.extend(Reject("$.id", "duplicate", i) for i in repeated)
        found.update((workload.id, workload) for workload in page.items)
        offset += page.size
        if not page.size or (page.next is None and (page.total is None or offset >= page.total)):
            complete = page.total is None or offset >= page.total
            return Sweep(tuple(found.values()), tuple(rejects), "" if complete else "incomplete")
        if len(repeated) == page.size:
            break  # the server ignores the offset: it would never end
    return Sweep((), tuple(rejects), "incomplete")
