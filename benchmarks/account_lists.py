"""A Workload API that serves the lists of many accounts from memory, so that its own CPU time is small.

``python -m benchmarks.account_lists PORT ACCOUNTS WORKLOADS``. The token of an account selects its list. In each minute
another tenth of an account's workloads differs. ``/counts`` returns, by account, how many lists were read to the end,
when the last one was, and the number of all requests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import cast
from urllib.parse import parse_qs, urlsplit

import uvloop

from exporter.simulator import list_page

FORMS = 3
PAGE = 100
MARK = "@@@@"
"""In place of the first characters of each id: those of an account are put there."""


def token(account: int) -> str:
    """The token of an account."""
    return f"Zk8q-{account:04}-vW3xR7tB"


def name(account: int) -> str:
    """The name of an account."""
    return f"account-{account:03}"


def templates(size: int) -> list[list[bytes]]:
    """The pages of a list, in each form."""
    old, *later = (_items(size, 1.7e9 + 3600 + 31 * form) for form in range(FORMS))
    forms = []
    for number, new in enumerate([old, *later]):
        ids = {item["id"]: item for item in new}
        items = [ids.get(item["id"], item) if n % 10 == number else item for n, item in enumerate(old)]
        items = [item | {"id": MARK + item["id"][len(MARK) :]} for item in items]
        forms.append(
            [
                json.dumps(
                    {
                        "totalCount": len(items),
                        "count": len(items[at : at + PAGE]),
                        "next": "https://dr.test/api/v2/workloads/" if at + PAGE < len(items) else None,
                        "previous": None,
                        "data": items[at : at + PAGE],
                    }
                ).encode()
                for at in range(0, len(items), PAGE)
            ]
        )
    return forms


def _items(size: int, now: float) -> list[dict[str, str]]:
    pages = (list_page(workloads=size, offset=at, now=now) for at in range(0, size, PAGE))
    return [item for page in pages for item in json.loads(page)["data"]]


class Lists:
    """The responses, and what was requested."""

    def __init__(self, accounts: int, size: int) -> None:
        self._templates = templates(size)
        self._accounts = {f"bearer {token(number)}".lower().encode(): number for number in range(accounts)}
        self.complete: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self.requests = 0

    def response(self, head: bytes) -> bytes:
        """The response to a request without a body."""
        request, *lines = head.split(b"\r\n")
        target = urlsplit(request.split(b" ")[1].decode())
        if target.path == "/counts":
            counts = {"complete": self.complete, "last": self.last, "requests": self.requests}
            return _response(b"200 OK", json.dumps(counts).encode())
        self.requests += 1
        headers = dict(line.lower().split(b": ", 1) for line in lines if b": " in line)
        account = self._accounts.get(headers.get(b"authorization", b""))
        if account is None or not target.path.rstrip("/").endswith("/workloads"):
            return _response(b"404 Not Found", b'{"message": "Not Found"}')
        pages = self._templates[int(time.time() / 60) % FORMS]
        number = int(parse_qs(target.query).get("offset", ["0"])[0]) // PAGE
        if number == len(pages) - 1:
            self.complete[name(account)] += 1
            self.last[name(account)] = time.time()
        return _response(b"200 OK", pages[number].replace(MARK.encode(), f"{account:04x}".encode()))


def _response(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self, lists: Lists) -> None:
        self._lists, self._read = lists, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its type

    def data_received(self, data: bytes) -> None:
        *heads, self._read = (self._read + data).split(b"\r\n\r\n")
        for head in heads:
            self._transport.write(self._lists.response(head))


async def _serve(port: int, lists: Lists) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(lists), "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Lists(int(sys.argv[2]), int(sys.argv[3]))))
