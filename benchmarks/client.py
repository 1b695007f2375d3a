"""A scraper with little overhead: one keep-alive connection, one buffer, no parsing of the body."""

from __future__ import annotations

import socket
import time

_CHUNK = 1 << 20


class Scraper:
    """Repeated GET requests for one path. The response needs a Content-Length, or the server must close."""

    def __init__(self, port: int, path: str, gzip: bool) -> None:
        self._port = port
        encoding = "gzip" if gzip else "identity"
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/plain\r\nAccept-Encoding: {encoding}\r\n\r\n"
        ).encode()
        self._socket: socket.socket | None = None
        self._buffer = bytearray(_CHUNK)

    def scrape(self) -> tuple[float, int]:
        """Seconds from request to last byte, and the bytes of the body."""
        began = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(self._request)
        head = b""
        while b"\r\n\r\n" not in head:
            got = self._socket.recv(65536)
            if not got:
                raise ConnectionError("closed before the head was complete")
            head += got
        head, _, rest = head.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"]) if b"content-length" in fields else None
        size = len(rest)
        while length is None or size < length:
            got_now = self._socket.recv_into(self._buffer)
            if not got_now:
                break
            size += got_now
        seconds = time.perf_counter() - began
        if length is None or fields.get(b"connection") == b"close" or head.startswith(b"HTTP/1.0"):
            self.close()
        return seconds, size

    def close(self) -> None:
        """Close the connection; the next scrape opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
