"""The scraper of a run that is served over the network."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode

LOGIN = "prometheus", "right"
"""What the scraper logs in with."""


async def scraped(port: int, tls: ssl.SSLContext | None = None) -> str | None:
    """The page of /metrics on a port of 127.0.0.1; None: the response was not one. Raises OSError."""
    login = b64encode(":".join(LOGIN).encode()).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24, ssl=tls)
    try:
        lines = "GET /metrics HTTP/1.1", "host: x", f"authorization: Basic {login}", "connection: close", "", ""
        writer.write("\r\n".join(lines).encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    return body.decode() if head.split(b" ")[1:2] == [b"200"] else None
