"""Responses of the API that are damaged, incomplete, or too much."""

from __future__ import annotations

import gzip
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exporter.simulator.oddities import SimulatedResponse
from tests.reliability.fault import OUTAGE, Fault, Inject
from tests.reliability.faults.api import always, odd
from tests.reliability.life import Life
from tests.reliability.servers import Reply, Request
from tests.web.test_web_config import certificate

GZIP = ("content-encoding", "gzip")
JSON = ("content-type", "application/json")


def packed(body: Callable[[bytes], bytes]) -> Inject:
    """Responses claim to be compressed, and their bodies are what `body` makes of them."""

    def answer(_: Request, response: SimulatedResponse) -> SimulatedResponse:
        return response._replace(body=body(response.body), headers=(*response.headers, GZIP))

    return lambda life: life.answering(answer)


def list_of(change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> Inject:
    """The list of workloads has other items."""

    def answer(request: Request, response: SimulatedResponse) -> SimulatedResponse:
        if not request.path.rstrip("/").endswith("/workloads") or response.status != 200:
            return response
        body = json.loads(response.body)
        return response._replace(body=json.dumps(body | {"data": change(body["data"])}).encode())

    return lambda life: life.answering(answer)


NAMED: Mapping[str, Any] = {"served": 0.8, "reason": "It is the healthy workload whose name changes."}
BOMB = gzip.compress(b" " * 2_000_000, 9) * 100


def tls(folder: Path) -> ssl.SSLContext:
    """A server's context with a new certificate of its own authority, ``api.pem``."""
    certificate(folder, "api")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.pem", folder / "api.key")
    return context


def with_tls(life: Life) -> None:
    """The API has a certificate of its own authority, which the settings name."""
    life.api.tls = tls(life.folder)
    life.account = {"ca_file": str(life.folder / "api.pem")}


@asynccontextmanager
async def other_certificate(life: Life) -> AsyncIterator[None]:
    """The API uses a certificate of another authority, whose file is put in place when the fault ends."""
    (life.folder / "new").mkdir()
    await life.api.down()
    life.api.tls = tls(life.folder / "new")
    await life.api.up()
    yield
    shutil.copy(life.folder / "new" / "api.pem", life.folder / "api.pem")


FAULTS = (
    Fault("Bodies are empty", odd("empty"), **OUTAGE),
    Fault("Bodies are truncated", odd("truncated"), **OUTAGE),
    Fault("Connections end in the middle of a body", odd("cut"), **OUTAGE),
    Fault("A page of HTML with status 200 in place of each response",
          always(Reply(200, b"<html>Sign in</html>", (("content-type", "text/html"),))), **OUTAGE),
    Fault("Bytes that are not HTTP", always(Reply(body=b"\x16\x03\x01\x00\xff" * 99, how="raw")), **OUTAGE),
    Fault("A header of 200 kB", always(Reply(200, b"{}", (("x-long", "x" * 200_000),))), **OUTAGE),
    Fault("A body of two gigabytes", odd("huge@/workloads"), **OUTAGE),
    Fault("A compressed body that unpacks to 200 MB", packed(lambda _: BOMB), **OUTAGE),
    Fault("Compressed twice", packed(lambda body: gzip.compress(gzip.compress(body))), **OUTAGE),
    Fault("Not compressed, though the header says so", packed(lambda body: body), **OUTAGE),
    Fault("The list has no data", odd("no-data@/workloads"), **OUTAGE),
    Fault("The list always has a next page", odd("never-ending@/workloads"), **OUTAGE),
    Fault("Each page of the list is the first one", odd("repeating@/workloads")),
    Fault("Pages of two items, whatever the limit", odd("short-pages")),
    Fault("An item of the list is there twice", odd("duplicates@/workloads")),
    Fault("An item of the list is a number", odd("wrong-type@/workloads")),
    Fault("An item of the list has no id", odd("no-id@/workloads")),
    Fault("An id is a number", odd("number-as-id@/workloads")),
    Fault("A name of ten kilobytes", odd("long-names@/workloads"), **NAMED),
    Fault("Quotes, a newline and NUL in a name", odd("odd-names@/workloads"), **NAMED),
    Fault("Half a surrogate pair in a name", odd("lone-surrogate@/workloads"), **NAMED),
    Fault("NaN as a number", odd("not-a-number")),
    Fault("A number too large for a float", odd("out-of-range")),
    Fault("A raw tab in a string", odd("raw-tab")),
    Fault("Bytes that are not UTF-8", odd("not-utf8")),
    Fault("An array nested 1,100 levels deep", odd("nested")),
    Fault("A byte order mark", odd("byte-order-mark")),
    Fault("Next links lead to another host", odd("next-elsewhere")),
    Fault("The list is empty, with status 200", list_of(lambda _: []), **OUTAGE),
    Fault("Half of the workloads are missing in the list", list_of(lambda items: items[:3])),
    Fault("The API has a certificate that is not trusted", other_certificate, prepare=with_tls,
          undisturbed=with_tls, **OUTAGE),
)  # fmt: skip
