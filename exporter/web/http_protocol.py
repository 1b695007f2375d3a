"""One HTTP connection: uvicorn's protocol with limits for slow and oversized requests and unread responses."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from exporter.web.application import Application
from exporter.web.connections import Closed, Connections
from exporter.web.responses import Headers, HttpResponse, addressed, rejection


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with additional limits: time and size of a request, and a timeout for unread responses.

    A request is responded to once it is complete, its body included: what comes later can then not be part of it. A
    plain scrape is served immediately, without a task: that saves a third of the time of a small page. A pipelined
    request is not served: the connection is closed after the current response, which HTTP allows. Otherwise each would
    add a response to those in memory, and more time to read them.
    """

    def __init__(self, application: Application, connections: Connections, network: str, **named: Any) -> None:
        super().__init__(**named)
        self._application, self._limits = application, application.limits
        self._open_connections, self.network = connections, network
        self.opening: asyncio.Task[Any] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._in_body = self._responded = False
        self._head: Headers = []

    def abort(self) -> None:
        """Close the connection now; unsent data is dropped."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:  # during the TLS handshake
            self.opening.cancel()

    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self not in self._open_connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP only
        """Start the timer for the first request head."""
        super().connection_made(transport)
        if self.gone():
            transport.abort()
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._open_connections.remove(self)
        self._stop_head_timer()
        self._stop_read_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        # They refer to this object, and the daemon collects garbage only once an hour.
        self.scope = self.cycle = None  # type: ignore[assignment]  # as before the first request

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request; reject a request that is too long or invalid.

        Unlike uvicorn's, this logs nothing: any client could fill the log.
        """
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._responded = False
        if self._head_timer is None and self in self._open_connections.waiting:
            self._start_head_timer()
        too_long = False
        if self._head_timer is not None:
            left = self._limits.head_bytes - self._received
            self._received += len(data)
            if len(data) > left:
                data, too_long = data[:left], True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._reject(400)
        except httptools.HttpParserUpgrade:  # what follows is another protocol, to which this server does not switch
            self._close_after_response()
        if too_long and not self.transport.is_closing():
            if not self._in_body:
                self._application.closed("long_head")
            self._reject(413 if self._in_body else 431)

    def on_message_begin(self) -> None:
        """Start the timer for this request. One that came together with the one before it is pipelined."""
        if self._responded:
            self._close_after_response()
        if self._head_timer is None:
            self._start_head_timer()
        self._in_body = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Reject a request that is already known to be invalid or too long; else wait for the end of its body."""
        self._in_body = True
        if self.transport.is_closing():
            return
        if self not in self._open_connections.waiting:
            self._close_after_response()
            return
        status = rejection(self.headers, self.parser.get_http_version(), self._limits.head_bytes)
        if status:
            self._reject(status)
        elif self._application.hosts and not addressed(self.headers, self._application.hosts):
            self._reject(421)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._head, self.headers = self.headers, []  # fields after the body are no headers (RFC 9110 6.5.1)

    def on_body(self, body: bytes) -> None:
        """Drop the body: no request needs it."""

    def on_message_complete(self) -> None:
        """Respond to the request, which is complete now."""
        self._stop_head_timer()
        if self in self._open_connections.waiting and not self.transport.is_closing():
            self._respond()

    def _reject(self, status: int) -> None:
        """Respond with an error, unless a response is in progress, and close the connection."""
        if self.transport.is_closing():
            return
        if self in self._open_connections.waiting:
            self._write(STATUS_LINE[status], self._application.reject(status))
            self.transport.close()
        else:
            self._close_after_response()

    def _close_after_response(self) -> None:
        """Close the connection once the response in progress, if any, is written."""
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _respond(self) -> None:
        application, headers = self._application, self._head
        self._responded = True
        self._read_timer = self.loop.call_later(self._limits.write_seconds, self._time_out, "slow_read")
        response = application.immediate(self.url, headers) if self._is_plain_get() else None
        if response is not None:
            self._write(STATUS_LINE[200], response)
            self.on_response_complete()
        elif self._busy() and not application.prioritised(self.url, headers):
            self._write(STATUS_LINE[503], application.refuse(self.url))
            self.transport.close()
        else:
            self.scope["state"]["connection"] = self
            super().on_headers_complete()
            super().on_message_complete()
            self._open_connections.move(self, self._open_connections.working)

    def _write(self, status_line: bytes, response: HttpResponse) -> None:
        head = b"".join([b"%s: %s\r\n" % pair for pair in (*self.server_state.default_headers, *response.headers)])
        body = () if self.parser.get_method() == b"HEAD" else response.body
        self.transport.writelines([status_line, head, b"\r\n", *body])

    def _is_plain_get(self) -> bool:
        """Whether this is a GET of HTTP/1.1 that keeps the connection open."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        )

    def _busy(self) -> bool:
        """Whether only requests for metrics and health are accepted. Counts those of disconnected clients, too."""
        return len(self.tasks) >= self._limits.connections - self._limits.reserved

    def on_response_complete(self) -> None:
        """The response is written to the socket; while the client has not read it, the timer continues."""
        if not self.flow.write_paused:
            self._wait_for_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client reads slowly."""
        super().pause_writing()
        self._open_connections.move(self, self._open_connections.unread)

    def resume_writing(self) -> None:
        """The client has read nearly everything; after the end of a response, wait for the next request."""
        super().resume_writing()
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        self._stop_read_timer()
        self._open_connections.move(self, self._open_connections.waiting)

    def _start_head_timer(self) -> None:
        self._received = 0
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._time_out, "slow_head")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _time_out(self, reason: Closed) -> None:
        self._application.closed(reason)
        self._open_connections.remove(self)
        self.abort()
