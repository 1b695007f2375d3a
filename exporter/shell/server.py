"""/metrics and the health routes: an ASGI application that writes bytes which are ready."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Published(NamedTuple):
    """What is served: the page, the same gzipped, and why we are not ready (empty: ready)."""

    text: bytes
    gzip: bytes
    not_ready: str


def published(text: bytes, not_ready: str) -> Published:
    """A page with its gzip form, one member, made once for all scrapes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return Published(text, packer.compress(text) + packer.flush(), not_ready)


class Application:
    """The ASGI application; `publish` swaps what it serves in one assignment."""

    def __init__(self) -> None:
        self._now = published(b"", "the first sweep has not ended yet")

    def publish(self, page: Published) -> None:
        """Serve `page` from now on."""
        self._now = page

    async def __call__(self, scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
        """Answer one request (ASGI 3.0, http scope only)."""
        if scope["type"] != "http":
            return
        status, headers, body = self._answer(scope)
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, scope: MutableMapping[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        page, path = self._now, scope["path"]
        if path not in ("/", "/metrics", "/-/healthy", "/-/ready"):
            return 404, plain, b"not found; see /\n"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [*plain, (b"allow", b"GET, HEAD")], b"only GET and HEAD\n"
        if path == "/metrics":
            headers = [(b"content-type", CONTENT_TYPE), (b"vary", b"accept-encoding")]
            accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
            if accepts_gzip(accepted.decode("latin-1")):
                return 200, [*headers, (b"content-encoding", b"gzip")], page.gzip
            return 200, headers, page.text
        if path == "/-/healthy":
            return 200, plain, b"healthy\n"
        if path == "/-/ready":
            return (
                (503, plain, f"not ready: {page.not_ready}\n".encode()) if page.not_ready else (200, plain, b"ready\n")
            )
        return 200, plain, b"DataRobot workload exporter\n\n/metrics  /-/healthy  /-/ready\n"


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110 12.5.3): named, and not with q=0."""
    for part in header.split(","):
        name, _, weight = part.partition(";")
        if name.strip().casefold() == "gzip":
            return weight.replace(" ", "").casefold() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
